# cython: language_level=3
"""A bounded heap of the best groups of one size, ties won by the lexicographically smaller group."""

from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

cdef extern from "_portable.h" nogil:
    int64_t mp2_load(int64_t *cell)

cdef enum:
    MAX_SIZE = 8                 # largest group, as in mp2.groups.rules


cdef struct Entry:
    double score
    int32_t members[MAX_SIZE]    # unused places are 0


cdef struct Heap:
    # The worst entry is at the root; `shared` is a score below which nothing can be kept any more.
    Entry *entries
    int64_t n
    int64_t capacity
    int64_t top_k
    int64_t *shared
    int32_t size
    int32_t failed


cdef inline int64_t sortable(double value) noexcept nogil:
    """The bits of a double as an integer of the same order, so that a threshold can be raised atomically."""
    cdef int64_t bits
    value += 0.0                                 # -0.0, which compares equal, gets the bits of 0.0
    memcpy(&bits, &value, sizeof(bits))
    return bits ^ INT64_MAX if bits < 0 else bits


cdef inline bint better(const Entry *a, const Entry *b) noexcept nogil:
    cdef int32_t k
    if a.score != b.score:
        return a.score > b.score
    for k in range(MAX_SIZE):
        if a.members[k] != b.members[k]:
            return a.members[k] < b.members[k]
    return False


cdef inline void offer(Heap *heap, const Entry *entry) noexcept nogil:
    """Keep an entry if it is among the best `top_k`; a full heap gives up its worst."""
    if sortable(entry.score) < mp2_load(heap.shared):
        return
    if heap.n == heap.top_k:
        if better(entry, &heap.entries[0]):
            sift_down(heap, entry)
        return
    if heap.n == heap.capacity and not grow(heap):
        heap.failed = 1
        return
    heap.n += 1
    sift_up(heap, entry)


cdef inline bint grow(Heap *heap) noexcept nogil:
    cdef int64_t capacity = min(heap.top_k, max(64, 2 * heap.capacity))
    cdef Entry *entries = <Entry *>realloc(heap.entries, capacity * sizeof(Entry))
    if entries == NULL:
        return False
    heap.entries, heap.capacity = entries, capacity
    return True


cdef inline void sift_up(Heap *heap, const Entry *entry) noexcept nogil:
    cdef int64_t i = heap.n - 1, parent
    while i > 0:
        parent = (i - 1) // 2
        if not better(&heap.entries[parent], entry):
            break
        heap.entries[i] = heap.entries[parent]
        i = parent
    heap.entries[i] = entry[0]


cdef inline void sift_down(Heap *heap, const Entry *entry) noexcept nogil:
    cdef int64_t i = 0, child
    while 2 * i + 1 < heap.n:
        child = 2 * i + 1
        if child + 1 < heap.n and better(&heap.entries[child], &heap.entries[child + 1]):
            child += 1
        if not better(entry, &heap.entries[child]):
            break
        heap.entries[i] = heap.entries[child]
        i = child
    heap.entries[i] = entry[0]
