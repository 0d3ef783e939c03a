# cython: language_level=3
"""The groups of a test of replicates: depth first over those that reach the floor by their buys.

A *level* holds a group N and its candidates. Every candidate a gets a *mask*: all later b for which
N a b reaches the floor. They are the candidates of N a, and the groups N a b within the limits are
scored. Candidates are visited from the last to the first: below N = M v only those b are asked for
a that are in the mask of a below M as well, so that has to be known.
"""

from libc.string cimport memset

from mp2._kernel.replicates_score cimport count_buys, count_hits, flush, offer_set
from mp2._kernel.replicates_state cimport *
from mp2._kernel.state cimport TURN_EXHAUSTED, mp2_compress_moves, mp2_project


cdef inline Status walk_starter(Walk *t, int32_t starter) noexcept nogil:
    """Meet every replicate with every group that begins with a variation."""
    cdef Level *level = &t.levels[0]
    cdef Status status = project(t, starter)
    # As if the group of no variation bought what the starter buys.
    level.words = t.node.rows + starter * <int64_t>t.node.row_words
    level.consensus = panel_row(t, starter)
    level.candidates = t.family.everyone
    if status == GO_ON:
        status = walk(t, 0, starter, starter + 1)
    if status == GO_ON:
        status = flush(t)
    return TURN_EXHAUSTED if status == GO_ON else status


cdef inline uint64_t *panel_row(Walk *t, int32_t k) noexcept nogil:
    return <uint64_t *>t.family.panel.rows + k * t.family.panel.row_words


cdef inline Status project(Walk *t, int32_t starter) noexcept nogil:
    """Project what later variations and the starter buy onto what the starter buys."""
    cdef const Family *family = t.family
    cdef const uint64_t *row = panel_row(t, starter)
    cdef mp2_node *node = &t.node
    cdef int32_t W = family.panel.n_words, n_chunks = 1, d, k
    cdef Status status = check(t)
    for d in range(node.n_days):
        n_chunks = max(n_chunks, (count_words(row + d * W, W) + 63) // 64)
    node.row_words = n_chunks * node.n_lanes
    for k in range(node.n_days * W):
        mp2_compress_moves(row[k], t.moves + 6 * k)
    memset(node.rows, 0, family.n_members * <int64_t>node.row_words * sizeof(uint64_t))
    k = starter
    while k < family.n_members and status == GO_ON:
        mp2_project(
            panel_row(t, k), row, t.moves, node.n_days, W, family.lanes, node.n_lanes,
            node.rows + k * <int64_t>node.row_words
        )
        status = spend(t, 12 * family.panel.row_words)
        k = max(k + 1, family.after[starter])
    return status


cdef inline Status walk(Walk *t, int32_t size, int32_t first, int32_t end) noexcept nogil:
    """Every group that adds a candidate from `first` to before `end` to a level, and all larger.

    Recursion is at most as deep as groups are large.
    """
    cdef const Family *family = t.family
    cdef Level *level = &t.levels[size]
    cdef int32_t n_words = family.n_words, k
    cdef bint last = size == family.max_size - 2
    cdef uint64_t *mask = level.masks
    cdef Status status = GO_ON
    if last:
        t.loops.count_lanes(
            &t.node, level.words, level.candidates, first >> 6, n_words, t.n_buys, t.counts
        )
        status = spend(t, 64 * n_words + 64 * <int64_t>t.node.row_words)
    for k in range(end - 1, first - 1, -1):
        if status != GO_ON:
            break
        if not level.candidates[k >> 6] >> (k & 63) & 1:
            continue
        MP2_PREFETCH(t.seen + (level.prints[k].slot & (t.n_slots - 1)))
        if not last and size > 0:
            mask = level.masks + k * <int64_t>n_words
        allow(t, size, k, mask)
        if last:
            t.loops.drop_larger(&t.node, t.counts, t.n_buys, k, family.after[k] >> 6, n_words, mask)
        if not any_left(t, k, mask) or (last and size > 0 and not is_new_group(t, size, k)):
            continue
        join(t, level, k, &t.levels[size + 1])
        if last and not may_hit(t, t.levels[size + 1].consensus):
            continue
        status = find_larger(t, size, k, mask)
        if last or status != GO_ON or not any_left(t, k, mask):
            continue
        if size == 0 or is_new_group(t, size, k):
            t.levels[size + 1].candidates = mask
            status = walk(t, size + 1, family.after[k], family.n_members)
    return status


cdef inline void allow(Walk *t, int32_t size, int32_t k, uint64_t *mask) noexcept nogil:
    """The candidates that may follow one of a level."""
    cdef const uint64_t *above = t.levels[size].candidates
    cdef int32_t first = t.family.after[k] >> 6, w
    if size > 1:
        above = t.levels[size - 1].masks + k * <int64_t>t.family.n_words
    for w in range(first, t.family.n_words):
        mask[w] = t.levels[size].candidates[w] & above[w]
    if first < t.family.n_words:
        mask[first] &= ~<uint64_t>0 << (t.family.after[k] & 63)


cdef inline bint any_left(Walk *t, int32_t k, const uint64_t *mask) noexcept nogil:
    cdef int32_t n_members = t.family.n_members
    return next_bit(mask, t.family.after[k], n_members) < n_members


cdef inline void join(Walk *t, const Level *level, int32_t k, Level *joined) noexcept nogil:
    """The consensus of the group of a level with the k-th candidate."""
    cdef const uint64_t *row = t.node.rows + k * <int64_t>t.node.row_words
    cdef const uint64_t *buys = panel_row(t, k)
    cdef int64_t i
    for i in range(t.node.row_words):
        joined.words[i] = level.words[i] & row[i]
    for i in range(t.family.panel.row_words):
        joined.consensus[i] = level.consensus[i] & buys[i]


cdef inline bint is_new_group(Walk *t, int32_t size, int32_t k) noexcept nogil:
    """Whether no group of equal consensus and size was looked into that ends as early.

    All larger groups of such a one have been met. Only those with the same last algorithm are
    remembered as equal: those that end earlier are as good as never found.
    """
    cdef uint64_t salt = <uint64_t>(size + 1) << 32 | t.family.algo_of[k]
    t.n_visited += 1
    return not (is_known(t.seen, t.n_slots, &t.levels[size].prints[k], salt) and may_skip(t))


cdef inline bint may_skip(Walk *t) noexcept nogil:
    """Whether what is known may be skipped: not in small searches, which count all groups."""
    t.exact &= t.n_visited <= N_MEASURED
    return not t.exact


cdef inline bint may_hit(Walk *t, const uint64_t *consensus) noexcept nogil:
    """Whether a group of the last level reaches the floor in any replicate; if not, no larger does.

    Where signals agree by chance this skips half of them, where they agree much it only costs time:
    the first `N_MEASURED` groups show which, and are not skipped.
    """
    cdef uint64_t alive[BLOCK_WORDS]
    cdef int32_t block = 0
    cdef bint hits = False
    if t.n_measured == N_MEASURED and 3 * t.n_dead < N_MEASURED:
        return True
    count_buys(t, consensus, t.family.n_planes)
    while block < t.n_blocks and not hits:
        t.credit -= BLOCK_WORDS * t.scoring.n_buys
        hits = count_hits(t, consensus, block, alive)
        block += 1
    if t.n_measured < N_MEASURED:
        t.n_measured += 1
        t.n_dead += not hits
        return True
    t.exact &= hits
    return hits


cdef inline Status find_larger(Walk *t, int32_t size, int32_t k, uint64_t *mask) noexcept nogil:
    """Keep the candidates of a mask that may follow the k-th; offer the groups within the limits.

    Above the last level only representatives stay.
    """
    cdef const Family *family = t.family
    cdef Level *joined = &t.levels[size + 1]
    cdef int32_t n_members = family.n_members, first = family.after[k], algo = -1, i
    cdef int64_t n = family.panel.row_words
    cdef bint last = size == family.max_size - 2, scored = family.row_of_size[size + 2] >= 0
    cdef const uint64_t *left = t.within if last else mask
    cdef mp2_print found
    cdef Status status = GO_ON
    t.loops.meet(&t.node, joined.words, first >> 6, family.n_words, mask, t.within)
    i = next_bit(left, first, n_members)
    while i < n_members and status == GO_ON:
        found = t.loops.fingerprint(
            joined.consensus, panel_row(t, i), n, family.keys, t.pending.words + n * t.pending.n
        )
        MP2_PREFETCH(t.seen + (found.slot & (t.n_slots - 1)))
        if not last and is_repeated(t, found, i, &algo):
            mask[i >> 6] &= ~(<uint64_t>1 << (i & 63))
        else:
            joined.prints[i] = found
            if scored and t.within[i >> 6] >> (i & 63) & 1:
                status = offer_set(t, size + 2, found)
        i = next_bit(left, i + 1, n_members)
    if status == GO_ON:
        status = spend(t, 2 * n + 16 * family.n_words * <int64_t>t.node.row_words)
    return status


cdef inline bint is_repeated(Walk *t, mp2_print found, int32_t k, int32_t *algo) noexcept nogil:
    """Whether an earlier candidate of the same algorithm leaves the same consensus.

    Then every larger group with k equals one with that. A salt stands for the group and the
    algorithm (`algo`: that of the candidate before), so that the table needs no clearing.
    """
    if t.family.algo_of[k] != algo[0]:
        algo[0] = t.family.algo_of[k]
        t.n_salts += 1
    return is_known(t.representatives, N_REPRESENTATIVES, &found, t.n_salts) and may_skip(t)
