# cython: language_level=3
"""The groups of a test of replicates: depth first over those that reach the floor by their buys.

A *level* holds a group N and its candidates, projected onto what N buys. For each candidate a it
finds all later b for which N a b reaches the floor: they are the candidates of N a, and the groups
N a b within the limits are scored. Below N a only those b are asked that also may join N b'.
"""

from libc.string cimport memcpy, memset

from mp2._kernel.replicates_score cimport flush, offer_set
from mp2._kernel.replicates_state cimport *
from mp2._kernel.state cimport (
    TURN_EXHAUSTED, TURN_NO_MEMORY, Arena, measure, mp2_compress_moves, mp2_project, reserve, take,
)


cdef inline Status walk_starter(Walk *t, int32_t starter) noexcept nogil:
    """Meet every replicate with every group that begins with a starter."""
    cdef Status status = check(t)
    if status == GO_ON:
        status = find_candidates(t, starter)
    if status == GO_ON and t.n_candidates > 0 and t.family.max_size > 2:
        status = open_starter(t, starter)
        if status == GO_ON:
            status = walk(t, 1)
    if status == GO_ON:
        status = flush(t)
    return TURN_EXHAUSTED if status == GO_ON else status


cdef inline Status find_candidates(Walk *t, int32_t starter) noexcept nogil:
    """The variations that reach the floor with a starter, and the groups of two they make."""
    cdef const Family *family = t.family
    cdef const mp2_panel *panel = &family.panel
    cdef int64_t n = panel.row_words
    cdef int32_t v, k, algo = -1
    cdef mp2_print found
    cdef Status status
    memcpy(t.state, panel.rows + starter * n, n * sizeof(uint64_t))
    memset(t.state + n, 0, n * sizeof(uint64_t))
    t.n_candidates = 0
    for v in range(family.next_algo[starter], family.n_variations):
        if family.alias_of[v] != v:
            continue
        status = spend(t, 2 * n)
        if status != GO_ON:
            return status
        t.loops.sort_out(panel, t.state, &v, 1, &t.survivors)
        if t.survivors.n_passing == 0:
            continue
        found = mp2_fingerprint(t.state, panel.rows + v * n, n, family.keys, t.any_words)
        if family.algo_of[v] != algo:
            algo = family.algo_of[v]
            t.n_salts += 1
        if is_repeated(t, found):
            continue
        t.candidates[t.n_candidates] = v
        t.n_candidates += 1
        if family.row_of_size[2] >= 0 and t.survivors.n_within_cap:
            status = offer_set(t, 2, t.state, panel.rows + v * n, family.n_alike[v])
            if status != GO_ON:
                return status
    for k in range(t.n_candidates - 1, -1, -1):
        t.after[k] = t.n_candidates
        if k + 1 < t.n_candidates:
            v = t.candidates[k]
            t.after[k] = t.after[k + 1]
            if family.algo_of[t.candidates[k + 1]] != family.algo_of[v]:
                t.after[k] = k + 1
    return GO_ON


cdef inline bint is_repeated(Walk *t, mp2_print found) noexcept nogil:
    """Whether an earlier candidate of the same algorithm leaves the same consensus.

    Then every larger group with this one equals one with that. A salt stands for the group and the
    algorithm, so that the table needs no clearing; it forgets, which costs time only.
    """
    cdef uint64_t key = found.key + t.n_salts * <uint64_t>0x9e3779b97f4a7c15
    cdef uint64_t *place = t.representatives + (found.slot & (N_REPRESENTATIVES - 1))
    if place[0] != key:
        place[0] = key
        return False
    if t.n_visited < N_MEASURED:
        return False
    t.exact = 0
    return True


cdef inline bint is_new_group(Walk *t, mp2_print found, int32_t size, int32_t algo) noexcept nogil:
    """Whether the consensus of a group was not yet looked into, at its size and last algorithm.

    All larger groups of an equal one have been met.
    """
    cdef uint64_t salt = (<uint64_t>size << 32 | <uint32_t>algo) * <uint64_t>0x9e3779b97f4a7c15
    cdef uint64_t *place = t.groups + (found.slot & (t.n_group_slots - 1))
    t.n_visited += 1
    if place[0] != (found.key ^ salt):
        place[0] = found.key ^ salt
        return True
    if t.n_visited <= N_MEASURED:
        return True
    t.exact = 0
    return False


cdef inline Status open_starter(Walk *t, int32_t starter) noexcept nogil:
    """Level 1: the candidates of a starter, projected onto what it buys."""
    cdef const mp2_panel *panel = &t.family.panel
    cdef int32_t D = panel.n_days, W = panel.n_words, d, k
    cdef int64_t n = panel.row_words, i
    cdef Level *level = &t.levels[1]
    cdef uint64_t *row
    cdef Status status
    t.n_words = (t.n_candidates + 63) // 64
    t.keeps_masks = (
        t.n_candidates * <int64_t>t.n_words * 8 * max(0, t.family.max_size - 3)
        <= t.family.max_mask_bytes
    )
    memset(&level.node, 0, sizeof(level.node))
    level.node.n_days = D
    level.node.n_lanes = (D + 7) // 8 * 8
    level.node.floor = panel.floor
    level.node.cap = panel.cap
    for d in range(D):
        k = 0
        for i in range(d * W, (d + 1) * W):
            k += mp2_count(t.state[i])
        level.node.n_chunks = max(level.node.n_chunks, (k + 63) // 64)
    level.node.row_words = level.node.n_chunks * level.node.n_lanes
    measure(&t.tables)
    place_levels(t)
    status = reserve(&t.tables)
    if status != GO_ON:
        return status
    place_levels(t)
    for i in range(n):
        mp2_compress_moves(t.state[i], t.moves + 6 * i)
    memcpy(level.consensus, t.state, n * sizeof(uint64_t))
    for k in range(t.n_candidates):
        row = level.node.rows + <int64_t>k * level.node.row_words
        memset(row, 0, level.node.row_words * sizeof(uint64_t))
        mp2_project(
            panel.rows + t.candidates[k] * n, t.state, t.moves, D, W, t.lane_of,
            level.node.n_lanes, row
        )
        status = spend(t, 12 * n)
        if status != GO_ON:
            return status
    level.candidates = t.all_candidates
    memset(t.all_candidates, 0, t.n_words * sizeof(uint64_t))
    for k in range(t.n_candidates):
        t.all_candidates[k >> 6] |= <uint64_t>1 << (k & 63)
    level.siblings = NULL
    level.weight = 1
    return GO_ON


cdef inline void place_levels(Walk *t) noexcept nogil:
    """Lay out the levels below a starter; see `Arena`. Rows only get shorter further down."""
    cdef int64_t n = t.n_candidates, mask_bytes = 8 * <int64_t>t.n_words
    cdef int32_t k, leaf = t.family.max_size - 2
    t.all_candidates = <uint64_t *>take(&t.tables, mask_bytes)
    t.allowed = <uint64_t *>take(&t.tables, mask_bytes)
    t.within = <uint64_t *>take(&t.tables, mask_bytes)
    t.passing = <uint64_t *>take(&t.tables, mask_bytes)
    t.prints = <mp2_print *>take(&t.tables, n * sizeof(mp2_print))
    for k in range(1, leaf + 1):
        t.levels[k].node.rows = <uint64_t *>take(
            &t.tables, n * t.levels[1].node.row_words * <int64_t>sizeof(uint64_t)
        )
        if k < leaf:
            t.levels[k].masks = <uint64_t *>take(
                &t.tables, mask_bytes * (n if t.keeps_masks else 1)
            )


cdef inline Status walk(Walk *t, int32_t size) noexcept nogil:
    """Everything below the group of a level; recursion is at most as deep as groups are large."""
    cdef Level *level = &t.levels[size]
    cdef int32_t k
    cdef Status status = GO_ON
    if size == t.family.max_size - 2:
        return walk_last(t, size)
    k = next_bit(level.candidates, t.n_words, 0)
    while k >= 0 and status == GO_ON:
        status = meet_later(t, size, k, mask_of(t, level, k))
        if status == GO_ON and not t.keeps_masks:
            status = descend(t, size, k)
        k = next_bit(level.candidates, t.n_words, k + 1)
    if not t.keeps_masks or status != GO_ON:
        return status
    k = next_bit(level.candidates, t.n_words, 0)
    while k >= 0 and status == GO_ON:
        status = descend(t, size, k)
        k = next_bit(level.candidates, t.n_words, k + 1)
    return status


cdef inline uint64_t *mask_of(Walk *t, Level *level, int32_t k) noexcept nogil:
    return level.masks + (k * <int64_t>t.n_words if t.keeps_masks else 0)


cdef inline Status walk_last(Walk *t, int32_t size) noexcept nogil:
    """The groups of the two largest sizes below a level: look up all of the one, then meet."""
    cdef const Family *family = t.family
    cdef Level *level = &t.levels[size]
    cdef int64_t n = family.panel.row_words
    cdef int32_t k = next_bit(level.candidates, t.n_words, 0)
    cdef Status status
    while k >= 0:
        if allow(t, level, k):
            t.prints[k] = mp2_fingerprint(
                level.consensus, family.panel.rows + t.candidates[k] * n, n, family.keys,
                t.any_words
            )
            MP2_PREFETCH(t.groups + (t.prints[k].slot & (t.n_group_slots - 1)))
        k = next_bit(level.candidates, t.n_words, k + 1)
    status = spend(t, 64 * t.n_words)
    k = next_bit(level.candidates, t.n_words, 0)
    while k >= 0 and status == GO_ON:
        if allow(t, level, k) and is_new_group(
            t, t.prints[k], size + 1, family.algo_of[t.candidates[k]]
        ):
            status = meet_later(t, size, k, t.passing)
        k = next_bit(level.candidates, t.n_words, k + 1)
    return status


cdef inline bint allow(Walk *t, Level *level, int32_t k) noexcept nogil:
    """The candidates of a group that may follow one of them; whether there is any."""
    cdef int32_t first = t.after[k] >> 6, w
    cdef const uint64_t *sibling = NULL
    cdef uint64_t any_left = 0
    if first >= t.n_words:
        return False
    if level.siblings != NULL:
        sibling = level.siblings + k * <int64_t>t.n_words
    for w in range(first, t.n_words):
        t.allowed[w] = level.candidates[w]
        if sibling != NULL:
            t.allowed[w] &= sibling[w]
        if w == first:
            t.allowed[w] &= ~<uint64_t>0 << (t.after[k] & 63)
        any_left |= t.allowed[w]
    return any_left != 0


cdef inline Status meet_later(
    Walk *t, int32_t size, int32_t k, uint64_t *passing
) noexcept nogil:
    """Find the later candidates that reach the floor with the k-th, and score groups within limits.

    On a level that is not the last, only representatives stay in `passing`.
    """
    cdef const Family *family = t.family
    cdef Level *level = &t.levels[size]
    cdef const mp2_node *node = &level.node
    cdef const uint64_t *row = node.rows + k * <int64_t>node.row_words
    cdef int64_t n = family.panel.row_words
    cdef int32_t first = t.after[k] >> 6, w, i
    cdef int32_t at_once = <int32_t>max(1, family.check_words // (64 * <int64_t>node.row_words))
    cdef uint64_t any_within = 0
    cdef Status status
    memset(passing, 0, t.n_words * sizeof(uint64_t))
    if not allow(t, level, k):
        return GO_ON
    w = first
    while w < t.n_words:
        i = min(t.n_words, w + at_once)
        t.n_candidates_met += t.loops.meet(node, row, t.allowed, w, i, passing, t.within)
        status = spend(t, (i - w) * 16 * <int64_t>node.row_words)
        if status != GO_ON:
            return status
        w = i
    if size < family.max_size - 2:
        keep_representatives(t, node, row, first, passing)
    for w in range(first, t.n_words):
        t.within[w] &= passing[w]
        any_within |= t.within[w]
    if any_within == 0 or family.row_of_size[size + 2] < 0:
        return GO_ON
    intersect(t.state, level.consensus, family.panel.rows + t.candidates[k] * n, n)
    i = next_bit(t.within, t.n_words, 64 * first)
    while i >= 0:
        status = offer_set(
            t, size + 2, t.state, family.panel.rows + t.candidates[i] * n,
            level.weight * family.n_alike[t.candidates[k]] * family.n_alike[t.candidates[i]]
        )
        if status != GO_ON:
            return status
        i = next_bit(t.within, t.n_words, i + 1)
    return spend(t, 2 * n)


cdef inline void intersect(
    uint64_t *out, const uint64_t *a, const uint64_t *b, int64_t n
) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        out[i] = a[i] & b[i]


cdef inline void keep_representatives(
    Walk *t, const mp2_node *node, const uint64_t *row, int32_t first, uint64_t *passing
) noexcept nogil:
    """Drop candidates that leave the same consensus as an earlier one of their algorithm."""
    cdef int32_t i = next_bit(passing, t.n_words, 64 * first), algo = -1
    cdef mp2_print found
    while i >= 0:
        if t.family.algo_of[t.candidates[i]] != algo:
            algo = t.family.algo_of[t.candidates[i]]
            t.n_salts += 1
        found = mp2_fingerprint(
            row, node.rows + i * <int64_t>node.row_words, node.row_words, t.family.keys,
            t.any_words
        )
        if is_repeated(t, found):
            passing[i >> 6] &= ~(<uint64_t>1 << (i & 63))
        i = next_bit(passing, t.n_words, i + 1)


cdef inline Status descend(Walk *t, int32_t size, int32_t k) noexcept nogil:
    """Open the level of the group with the k-th candidate, and walk it."""
    cdef const Family *family = t.family
    cdef Level *above = &t.levels[size]
    cdef Level *level = &t.levels[size + 1]
    cdef const uint64_t *mask = mask_of(t, above, k)
    cdef const uint64_t *consensus = above.node.rows + k * <int64_t>above.node.row_words
    cdef int64_t n = family.panel.row_words
    cdef int32_t lane, i, w, count
    cdef mp2_print found
    cdef Status status
    if next_bit(mask, t.n_words, 0) < 0:
        return GO_ON
    found = mp2_fingerprint(
        above.consensus, family.panel.rows + t.candidates[k] * n, n, family.keys, level.consensus
    )
    if not is_new_group(t, found, size + 1, family.algo_of[t.candidates[k]]):
        return GO_ON
    level.node.n_days = above.node.n_days
    level.node.n_lanes = above.node.n_lanes
    level.node.floor = above.node.floor
    level.node.cap = above.node.cap
    level.node.n_chunks = 1
    for lane in range(level.node.n_days):
        count = 0
        for i in range(above.node.n_chunks):
            count += mp2_count(consensus[i * above.node.n_lanes + lane])
        level.node.n_chunks = max(level.node.n_chunks, (count + 63) // 64)
    level.node.row_words = level.node.n_chunks * level.node.n_lanes
    for w in range(t.n_words):
        if mask[w] == 0:
            continue
        t.loops.narrow(&above.node, consensus, mask, w, &level.node)
        status = spend(t, 64 * <int64_t>above.node.row_words)
        if status != GO_ON:
            return status
    level.candidates = mask
    level.siblings = above.masks if t.keeps_masks else NULL
    level.weight = above.weight * family.n_alike[t.candidates[k]]
    return walk(t, size + 1)
