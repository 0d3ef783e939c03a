# cython: language_level=3
"""The groups of a test of replicates: depth first over those that reach the floor by their buys.

A *level* holds a group N and its candidates, projected onto what N buys. Every candidate a gets a
*mask*: all later b for which N a b reaches the floor. They are the candidates of N a, and the
groups N a b within the limits are scored. Below N = M v only those b are asked for a that are in
the masks of a below M (its *siblings*) and below v alone (its *followers*) as well.
"""

from libc.string cimport memcpy, memset

from mp2._kernel.replicates_score cimport count_buys, count_hits, flush, offer_set
from mp2._kernel.replicates_state cimport *
from mp2._kernel.state cimport TURN_EXHAUSTED

cdef extern from "_kernel/platform.h" nogil:
    int mp2_swap_if(int64_t *cell, int64_t seen, int64_t value)
    void mp2_publish(int64_t *cell, int64_t value)
    int64_t mp2_published(int64_t *cell)

cdef enum:
    # Of the followers of a variation. The worker that claims them makes them.
    UNKNOWN = 0
    CLAIMED = 1
    KNOWN = 2


cdef inline Status walk_starter(Walk *t, int32_t starter) noexcept nogil:
    """Meet every replicate with every group that begins with a variation."""
    cdef Status status = check(t)
    if status == GO_ON:
        status = find_mask(t, 0, starter, mask_of(t, t.levels[0].masks, starter), True)
    if status == GO_ON and t.family.max_size > 2:
        status = descend(t, 0, starter)
    if status == GO_ON:
        status = flush(t)
    return TURN_EXHAUSTED if status == GO_ON else status


cdef inline uint64_t *row_of(const mp2_node *node, int32_t k) noexcept nogil:
    return node.rows + k * <int64_t>node.row_words


cdef inline bint is_repeated(Walk *t, mp2_print found, int32_t k, int32_t *algo) noexcept nogil:
    """Whether an earlier candidate of the same algorithm leaves the same consensus.

    Then every larger group with k equals one with that. A salt stands for the group and the
    algorithm (`algo`: that of the candidate before), so that the table needs no clearing.
    """
    if t.family.algo_of[k] != algo[0]:
        algo[0] = t.family.algo_of[k]
        t.n_salts += 1
    if not is_known(t.representatives, N_REPRESENTATIVES, &found, t.n_salts):
        return False
    if t.n_visited < N_MEASURED:
        return False
    t.exact = 0
    return True


cdef inline bint is_new_group(Walk *t, mp2_print found, int32_t size, int32_t k) noexcept nogil:
    """Whether no group of equal consensus and size was looked into that ends as early.

    All larger groups of such a one have been met. Only those with the same last algorithm are
    remembered as equal: those that end earlier are as good as never found.
    """
    cdef uint64_t salt = <uint64_t>size << 32 | t.family.algo_of[k]
    t.n_visited += 1
    if not is_known(t.seen, t.n_slots, &found, salt) or t.n_visited <= N_MEASURED:
        return True
    t.exact = 0
    return False


cdef inline Status walk(Walk *t, int32_t size) noexcept nogil:
    """Everything below the group of a level; recursion is at most as deep as groups are large."""
    cdef Level *level = &t.levels[size]
    cdef int32_t n_words = t.family.n_words, k
    cdef Status status = GO_ON
    if size == t.family.max_size - 2:
        return walk_last(t, size)
    k = next_bit(level.candidates, n_words, 0)
    while k >= 0 and status == GO_ON:
        status = find_mask(t, size, k, mask_of(t, level.masks, k), True)
        k = next_bit(level.candidates, n_words, k + 1)
    k = next_bit(level.candidates, n_words, 0)
    while k >= 0 and status == GO_ON:
        status = descend(t, size, k)
        k = next_bit(level.candidates, n_words, k + 1)
    return status


cdef inline uint64_t *mask_of(Walk *t, const uint64_t *masks, int32_t k) noexcept nogil:
    """The mask of a candidate: words from that of `after[k]` on have a place."""
    return <uint64_t *>masks + t.family.offsets[k] - (t.family.after[k] >> 6)


cdef inline Status walk_last(Walk *t, int32_t size) noexcept nogil:
    """The groups of the two largest sizes below a level.

    N a b has at least |N a| + |N b| - |N| buys a day; where that is above the cap, it is not looked
    at. Of most a nothing is left. The others are looked up together, so that memory keeps pace.
    """
    cdef const Family *family = t.family
    cdef Level *level = &t.levels[size]
    cdef int32_t n_words = family.n_words, n = 0, k
    cdef Status status
    t.loops.count_lanes(&level.node, level.candidates, n_words, t.counts)
    status = spend(t, 64 * n_words + 64 * <int64_t>level.node.row_words)
    k = next_bit(level.candidates, n_words, 0)
    while k >= 0 and status == GO_ON:
        if allow(t, level, k, t.allowed + n * <int64_t>n_words):
            t.rows[n] = k
            n += look_up(t, level, n)
        if n == N_AT_ONCE:
            status = meet_rows(t, size, n)
            n = 0
        k = next_bit(level.candidates, n_words, k + 1)
    return meet_rows(t, size, n) if status == GO_ON else status


cdef inline bint look_up(Walk *t, const Level *level, int32_t i) noexcept nogil:
    """Begin the look-up of a group of the last level, if a larger one may be within the cap."""
    cdef const Family *family = t.family
    cdef int32_t n_words = family.n_words, k = t.rows[i], first = family.after[k] >> 6, lane, w
    cdef int64_t slot, n = family.panel.row_words
    cdef uint64_t *allowed = t.allowed + i * <int64_t>n_words
    cdef uint64_t any_left = 0
    for lane in range(level.node.n_days):
        slot = level.n_buys[lane] - t.counts[lane * 64 * <int64_t>n_words + k]
        t.most[lane] = <int32_t>min(255, slot + family.panel.cap)
    t.loops.drop_larger(t.counts, t.most, level.node.n_days, first, n_words, allowed)
    for w in range(first, n_words):
        any_left |= allowed[w]
    if any_left == 0:
        return False
    t.prints[i] = t.loops.fingerprint(
        level.consensus, family.panel.rows + k * n, n, family.keys, t.any_words
    )
    MP2_PREFETCH(t.seen + (t.prints[i].slot & (t.n_slots - 1)))
    return True


cdef inline Status meet_rows(Walk *t, int32_t size, int32_t n) noexcept nogil:
    """Meet the groups that were looked up, and are new."""
    cdef int64_t n_words = t.family.n_words
    cdef int32_t i
    cdef Status status = GO_ON
    for i in range(n):
        if is_new_group(t, t.prints[i], size + 1, t.rows[i]) and may_hit(t, size, t.rows[i]):
            status = meet_later(t, size, t.rows[i], t.allowed + i * n_words, t.passing, True)
        if status == GO_ON:
            status = spend(t, 2 * t.family.panel.row_words + 64 * n_words)
        if status != GO_ON:
            break
    return status


cdef inline bint may_hit(Walk *t, int32_t size, int32_t k) noexcept nogil:
    """Whether a group of the last level reaches the floor in any replicate; if not, no larger does.

    Where signals agree by chance this skips half of them, where they agree much it only costs time:
    the first `N_MEASURED` groups show which, and are not skipped.
    """
    cdef const uint64_t *member = t.family.panel.rows
    cdef int64_t n = t.family.panel.row_words
    cdef uint64_t alive[BLOCK_WORDS]
    cdef int32_t block
    if t.n_measured == N_MEASURED and 3 * t.n_dead < N_MEASURED:
        return True
    intersect(t.state, t.levels[size].consensus, member + k * n, n)
    count_buys(t, t.state)
    for block in range(t.n_blocks):
        t.credit -= BLOCK_WORDS * t.scoring.n_buys
        if count_hits(t, t.state, block, alive):
            t.n_measured = min(N_MEASURED, t.n_measured + 1)
            return True
    if t.n_measured < N_MEASURED:
        t.n_measured += 1
        t.n_dead += 1
        return True
    t.exact = 0
    return False


cdef inline void intersect(
    uint64_t *out, const uint64_t *a, const uint64_t *b, int64_t n
) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        out[i] = a[i] & b[i]


cdef inline bint allow(
    Walk *t, const Level *level, int32_t k, uint64_t *allowed
) noexcept nogil:
    """The candidates that may follow one of a level; whether there is any."""
    cdef int32_t n_words = t.family.n_words, first = t.family.after[k] >> 6, w
    cdef const uint64_t *mask
    cdef uint64_t any_left = 0
    if first >= n_words:
        return False
    for w in range(first, n_words):
        allowed[w] = level.candidates[w]
    allowed[first] &= ~<uint64_t>0 << (t.family.after[k] & 63)
    if level.siblings != NULL:
        mask = mask_of(t, level.siblings, k)
        for w in range(first, n_words):
            allowed[w] &= mask[w]
    if level.followers != NULL:
        mask = mask_of(t, level.followers, k)
        for w in range(first, n_words):
            allowed[w] &= mask[w]
    for w in range(first, n_words):
        any_left |= allowed[w]
    return any_left != 0


cdef inline Status find_mask(
    Walk *t, int32_t size, int32_t k, uint64_t *mask, bint scored
) noexcept nogil:
    """Find the mask of the k-th candidate of a level that is not the last."""
    cdef int32_t w
    for w in range(t.family.after[k] >> 6, t.family.n_words):
        mask[w] = 0
    if not allow(t, &t.levels[size], k, t.allowed):
        return GO_ON
    return meet_later(t, size, k, t.allowed, mask, scored)


cdef inline Status meet_later(
    Walk *t, int32_t size, int32_t k, const uint64_t *allowed, uint64_t *passing, bint scored
) noexcept nogil:
    """Find which of some candidates may follow one; groups within the limits are `scored`.

    Above the last level only representatives stay in `passing`.
    """
    cdef const Family *family = t.family
    cdef Level *level = &t.levels[size]
    cdef int64_t n = family.panel.row_words
    cdef int32_t n_words = family.n_words, first = family.after[k] >> 6, w, i
    cdef int32_t at_once = <int32_t>max(
        1, family.check_words // (64 * <int64_t>level.node.row_words)
    )
    cdef uint64_t any_within = 0
    cdef Status status
    w = first
    while w < n_words:
        i = min(n_words, w + at_once)
        t.loops.meet(&level.node, row_of(&level.node, k), allowed, w, i, passing, t.within)
        status = spend(t, (i - w) * 16 * <int64_t>level.node.row_words)
        if status != GO_ON:
            return status
        w = i
    # Followers have no other candidates.
    if size != family.max_size - 2 and (size != 1 or level.followers == NULL):
        keep_representatives(t, &level.node, k, passing)
    if not scored or family.row_of_size[size + 2] < 0:
        return GO_ON
    for w in range(first, n_words):
        t.within[w] &= passing[w]
        any_within |= t.within[w]
    if any_within == 0:
        return GO_ON
    intersect(t.state, level.consensus, family.panel.rows + k * n, n)
    i = next_bit(t.within, n_words, 64 * first)
    while i >= 0:
        status = offer_set(t, size + 2, t.state, family.panel.rows + i * n)
        if status != GO_ON:
            return status
        i = next_bit(t.within, n_words, i + 1)
    return spend(t, 2 * n)


cdef inline void keep_representatives(
    Walk *t, const mp2_node *node, int32_t k, uint64_t *passing
) noexcept nogil:
    """Drop candidates that leave the same consensus as an earlier one of their algorithm."""
    cdef int32_t n_words = t.family.n_words, algo = -1
    cdef int32_t i = next_bit(passing, n_words, 64 * (t.family.after[k] >> 6))
    while i >= 0:
        if is_repeated(
            t, t.loops.fingerprint(
                row_of(node, k), row_of(node, i), node.row_words, t.family.keys, t.any_words
            ), i, &algo
        ):
            passing[i >> 6] &= ~(<uint64_t>1 << (i & 63))
        i = next_bit(passing, n_words, i + 1)


cdef inline Status descend(Walk *t, int32_t size, int32_t k) noexcept nogil:
    """Open the level of the group with the k-th candidate, and walk it."""
    cdef const Family *family = t.family
    cdef Level *above = &t.levels[size]
    cdef Level *level = &t.levels[size + 1]
    cdef const uint64_t *mask = mask_of(t, above.masks, k)
    cdef int64_t n = family.panel.row_words
    cdef mp2_print found
    cdef Status status
    if next_bit(mask, family.n_words, 64 * (family.after[k] >> 6)) < 0:
        return GO_ON
    found = t.loops.fingerprint(
        above.consensus, family.panel.rows + k * n, n, family.keys, level.consensus
    )
    if not is_new_group(t, found, size + 1, k):
        return GO_ON
    status = open_level(t, above, k, mask, level)
    # At level 0 only the starter has a mask.
    level.siblings = above.masks if size > 0 else NULL
    if status == GO_ON:
        status = find_followers(t, k, &level.followers)
    return walk(t, size + 1) if status == GO_ON else status


cdef inline Status open_level(
    Walk *t, const Level *above, int32_t k, const uint64_t *mask, Level *level
) noexcept nogil:
    """Make those in the mask of the k-th candidate the candidates of the next level."""
    cdef const uint64_t *row = row_of(&above.node, k)
    cdef int32_t n_lanes = level.node.n_lanes, first = t.family.after[k] >> 6, lane, i
    cdef Status status = GO_ON
    level.node.n_chunks = 1
    for lane in range(level.node.n_days):
        level.n_buys[lane] = 0
        for i in range(above.node.n_chunks):
            level.n_buys[lane] += count_words(row + i * n_lanes + lane, 1)
        level.node.n_chunks = max(level.node.n_chunks, (level.n_buys[lane] + 63) // 64)
    level.node.row_words = level.node.n_chunks * n_lanes
    memset(level.candidates, 0, t.family.n_words * sizeof(uint64_t))
    for i in range(first, t.family.n_words):
        level.candidates[i] = mask[i]
        if mask[i]:
            t.loops.narrow(&above.node, row, mask, i, &level.node)
            status = spend(t, 64 * <int64_t>above.node.row_words)
            if status != GO_ON:
                break
    return status


cdef inline Status find_followers(
    Walk *t, int32_t m, const uint64_t **followers
) noexcept nogil:
    """The masks of the candidates of one variation alone; NULL where they are not to be had.

    They are made when they are first needed, by one worker for all. A candidate that was dropped
    has the followers of its representative; everything is allowed instead.
    """
    cdef const Family *family = t.family
    cdef int32_t size = family.max_size - 1, n_words = family.n_words, k, w
    cdef Level *level = &t.levels[size]
    cdef int64_t *state = family.followers_state + m
    cdef uint64_t *masks = family.followers + family.followers_at[m]
    cdef uint64_t *mask
    cdef Status status
    followers[0] = NULL
    if family.followers_at[m] < 0:
        return GO_ON
    if mp2_published(state) != KNOWN:
        if not mp2_swap_if(state, UNKNOWN, CLAIMED):
            return GO_ON
        status = find_mask(t, 0, m, t.passing, False)
        if status == GO_ON:
            status = open_level(t, &t.levels[0], m, t.passing, level)
        for k in range(family.after[m], family.n_members):
            if status != GO_ON:
                break
            mask = mask_of(t, masks, k)
            if level.candidates[k >> 6] >> (k & 63) & 1:
                status = find_mask(t, size, k, mask, False)
                continue
            for w in range(family.after[k] >> 6, n_words):
                mask[w] = ~<uint64_t>0
        mp2_publish(state, KNOWN if status == GO_ON else UNKNOWN)
        if status != GO_ON:
            return status
    followers[0] = masks
    return GO_ON
