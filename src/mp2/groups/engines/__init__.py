"""A search whose kernels run elsewhere: in other processes, or on other machines.

`remote` stands where the kernel stood: it leases stretches of starters to the workers of an engine.
`lease` runs at a worker. `messages` is what travels between them, `pace` how long a lease lasts.
`engine` says what an engine is; `futures` makes one of an executor, `dask` of a client of dask,
which `dask_client` connects. `choice` finds the engine for what a caller has passed in. Everything
that decides about the search (order, time, state) stays where it is called.
"""
