# cython: language_level=3
"""What other extensions of the package read of `_recurse`."""

from libc.stdint cimport int64_t


cdef class Control:
    cdef int64_t _stop, _deadline_ns, _wall_ns, _attempts
