# cython: language_level=3
"""The best ideas among the groups of one size, each by its best group and their number.

Groups with the same consensus and the same hits on all days are one *idea*. They have one score, so
a group below the worst of `top_k` ideas is of none of them, and never will be: it is dropped.
Others are appended as they come. When the list is full it is *folded*: the best group of each idea
stays, and of the ideas the best `top_k`. So what stays does not depend on the order of the groups.

The number of an idea's groups is exact as long as none of them was dropped. That happens only to
ideas with the score of the worst one: `dropped` has the highest score at which it did.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport qsort, realloc

from mp2._kernel.heap cimport Entry, Heap, Idea, better
from mp2._kernel.state cimport mp2_count, mp2_panel


cdef inline bint offer_idea(
    const mp2_panel *panel, int32_t size, Heap *heap, const Idea *idea
) noexcept nogil:
    """Keep groups that say the same, the best of which is given. False: no memory."""
    # As many new groups as kept ideas fit between two folds, so that folds are rare.
    cdef int64_t most = max(64, 2 * heap.top_k)
    cdef int64_t capacity = min(most, max(64, 2 * heap.capacity))
    cdef Idea *ideas
    if idea.best.score < heap.least:
        return True
    if heap.n == most:
        fold(panel, size, heap)
    if heap.n == heap.capacity:
        ideas = <Idea *>realloc(heap.ideas, capacity * sizeof(Idea))
        if ideas == NULL:
            return False
        heap.ideas = ideas
        heap.capacity = capacity
    heap.ideas[heap.n] = idea[0]
    heap.n += 1
    return True


cdef inline void fold(const mp2_panel *panel, int32_t size, Heap *heap) noexcept nogil:
    """Keep the best group of each idea, and the best `top_k` ideas, best first."""
    cdef Idea *ideas = heap.ideas
    cdef int64_t n = 0, first = 0, i, k
    if heap.n == heap.n_folded:
        return
    qsort(ideas, heap.n, sizeof(Idea), by_key)
    for i in range(heap.n):
        # Different ideas may have one key, so those of the same key are compared.
        if n == 0 or ideas[first].key != ideas[i].key:
            first = n
        k = first
        while k < n and not are_one_idea(panel, size, &ideas[k].best, &ideas[i].best):
            k += 1
        if k < n:
            ideas[k].n_groups += ideas[i].n_groups
        else:
            ideas[n] = ideas[i]
            n += 1
    qsort(ideas, n, sizeof(Idea), by_rank)
    if n > heap.top_k:
        n = heap.top_k
        heap.dropped = max(heap.dropped, ideas[n].best.score)
    if n == heap.top_k:
        heap.least = max(heap.least, ideas[n - 1].best.score)
    heap.n = heap.n_folded = n


cdef inline int by_rank(const void *a, const void *b) noexcept nogil:
    cdef const Entry *best = &(<const Idea *>a).best
    cdef const Entry *other = &(<const Idea *>b).best
    return -1 if better(best, other) else better(other, best)


cdef inline int by_key(const void *a, const void *b) noexcept nogil:
    cdef uint64_t key = (<const Idea *>a).key, other = (<const Idea *>b).key
    if key != other:
        return -1 if key < other else 1
    return by_rank(a, b)


cdef inline uint64_t key_of(
    const mp2_panel *panel, int32_t size, const Entry *entry
) noexcept nogil:
    """A number that the groups of one idea share, made of their consensus."""
    cdef uint64_t key = 0
    cdef int64_t i
    for i in range(panel.row_words):
        key = (key ^ consensus_word(panel, size, entry, i)) * <uint64_t>0x9e3779b97f4a7c15
        key ^= key >> 32
    return key


cdef inline bint are_one_idea(
    const mp2_panel *panel, int32_t size, const Entry *a, const Entry *b
) noexcept nogil:
    """Whether two groups have the same consensus and the same hits on all days."""
    cdef uint64_t agreed
    cdef int64_t i
    cdef int32_t d, more_hits
    for d in range(panel.n_days):
        more_hits = 0
        for i in range(d * panel.n_words, (d + 1) * panel.n_words):
            agreed = consensus_word(panel, size, a, i)
            if agreed != consensus_word(panel, size, b, i):
                return False
            # Winners of a consistent panel are the same for all groups.
            if panel.win_rows != NULL:
                more_hits += mp2_count(agreed & win_word(panel, size, a, i))
                more_hits -= mp2_count(agreed & win_word(panel, size, b, i))
        if more_hits != 0:
            return False
    return True


cdef inline uint64_t consensus_word(
    const mp2_panel *panel, int32_t size, const Entry *entry, int64_t i
) noexcept nogil:
    cdef uint64_t word = ~<uint64_t>0
    cdef int32_t k
    for k in range(size):
        word &= panel.rows[entry.members[k] * panel.row_words + i]
    return word


cdef inline uint64_t win_word(
    const mp2_panel *panel, int32_t size, const Entry *entry, int64_t i
) noexcept nogil:
    cdef uint64_t word = 0
    cdef int32_t k
    for k in range(size):
        word |= panel.win_rows[entry.members[k] * panel.row_words + i]
    return word
