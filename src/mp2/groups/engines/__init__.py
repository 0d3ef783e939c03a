"""A search whose kernels run elsewhere: in other processes, or on other machines.

`remote` stands where the kernel stood: it leases stretches of starters to the workers of an
`Engine`. `lease` runs at a worker. `messages` is what travels between them, `pace` how long a lease
lasts. `futures` makes an engine of an executor, and `choice` finds the engine for what a caller has
passed in. Everything that decides about the search (order, time, state) stays where it is called.
"""
