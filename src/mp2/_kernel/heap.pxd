# cython: language_level=3
"""A bounded heap of the best groups of one size; ties go to the lexicographically smaller group.

Beside it the scores of all eligible groups are counted in bins.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport realloc

cdef enum:
    MAX_SIZE = 8                 # largest group, as in `Rules`
    N_BINS = 64                  # of scores, as in `mp2.groups.histogram`


cdef struct Entry:
    double score
    int32_t members[MAX_SIZE]    # unused places are 0


cdef struct Idea:
    Entry best                   # of its groups
    uint64_t key
    int64_t n_groups


cdef struct Heap:
    # It has entries, the worst at the root, or ideas, as `ideas.pxd` has it.
    int64_t n_scores[N_BINS]     # all eligible groups, also those that were not kept
    Entry *entries
    Idea *ideas
    int64_t n
    int64_t capacity
    int64_t top_k
    int32_t keeps_ideas
    int64_t n_folded             # ideas of the last fold, the first entries
    double least                 # groups with a lower score are not kept
    double dropped               # highest score of an idea that was dropped, else -inf


cdef inline void count_score(Heap *heap, double score) noexcept nogil:
    """Count a score in its bin, those beyond the ends in the first and the last one."""
    cdef double place = (score + 80.0) / 5.0
    # Limited before it becomes a whole number: rules may make scores of any size.
    if place < 0.0:
        place = 0.0
    elif place > N_BINS - 1:
        place = N_BINS - 1
    heap.n_scores[<int64_t>place] += 1


cdef inline bint better(const Entry *a, const Entry *b) noexcept nogil:
    cdef int32_t k
    if a.score != b.score:
        return a.score > b.score
    for k in range(MAX_SIZE):
        if a.members[k] != b.members[k]:
            return a.members[k] < b.members[k]
    return False


cdef inline bint offer(Heap *heap, const Entry *entry) noexcept nogil:
    """Keep an entry that is among the best `top_k`, perhaps for the worst. False: no memory."""
    cdef int64_t capacity = min(heap.top_k, max(64, 2 * heap.capacity))
    cdef Entry *entries
    if heap.n == heap.top_k:
        if better(entry, &heap.entries[0]):
            sift_down(heap, entry)
        return True
    if heap.n == heap.capacity:
        entries = <Entry *>realloc(heap.entries, capacity * sizeof(Entry))
        if entries == NULL:
            return False
        heap.entries = entries
        heap.capacity = capacity
    heap.n += 1
    sift_up(heap, entry)
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
