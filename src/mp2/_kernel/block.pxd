# cython: language_level=3
"""Pairs and triples below a base: `pair_step` goes through the x of a pair, each with all its y.

The *support table* has a row per candidate v: for every later candidate y a bit whether B v y
passes, and the tickers that B v loses with y. The rows of v and x bound what B v x y has left, so
that most y are known to pass, or known to be above the cap, uncounted. Rows are counted when they
are first needed and kept as far as memory reaches; a row that is not kept is counted for its own v
only, and x then gives one bound instead of three.

When only results are wanted, `find_results` goes through the x of a block together, and most of
them without a look at any y.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from mp2._kernel.path cimport count_up_to, evaluate, scoring_words, spend
from mp2._kernel.state cimport *


cdef inline const uint64_t *projected(Base *b, int32_t i) noexcept nogil:
    """The row of candidate i; i = n is the group itself."""
    return b.c.rows + <int64_t>i * b.c.row_words


cdef inline void intersect(
    Base *b, const uint64_t *words, int32_t i, uint64_t *out
) noexcept nogil:
    cdef const uint64_t *row = projected(b, i)
    cdef int32_t k
    for k in range(b.c.row_words):
        out[k] = words[k] & row[k]


cdef inline Status count_support(
    Turn *t, int32_t i, const uint64_t *words, uint64_t *support
) noexcept nogil:
    """Count the candidates after i against the pair `words` of the base and i: bits, losses."""
    cdef Base *b = &t.base
    cdef int32_t first = b.c.after[i], w
    cdef const int32_t *totals = b.c.totals + i * b.c.n_planes
    cdef uint8_t *lost = mp2_lost_of(&b.c, support, first)
    cdef Status status
    memset(support, 0, b.c.n_blocks * sizeof(uint64_t))
    for w in range(first >> 6, b.c.n_blocks):
        support[w] = t.loops.count_block(&b.c, words, totals, w, lost + w * b.block_bytes)
        status = spend(t, 64 * <int64_t>b.c.row_words)
        if status != GO_ON:
            t.starter.n_rows_rescanned += w * 64 + 64 - first
            return status
    support[first >> 6] &= ~<uint64_t>0 << (first & 63)
    support[b.n >> 6] &= (<uint64_t>1 << (b.n & 63)) - 1     # without the group itself
    if t.clock.attempts_at_start > 0:            # after a resume it may have been counted before
        t.starter.n_rows_rescanned += b.n - first
    else:
        t.starter.n_rows_scanned += b.n - first
    return GO_ON


cdef inline void note_own_most(Turn *t, int32_t i) noexcept nogil:
    """Note the most that any later candidate takes of the base and candidate i."""
    cdef Base *b = &t.base
    cdef int32_t first = b.c.after[i], n = b.c.n_planes, p
    t.loops.note_most(&b.c, mp2_lost_of(&b.c, b.c.support[i], first), first >> 6, b.most)
    for p in range(n):
        b.c.most[((i >> 6) * n + p) * 64 + (i & 63)] = b.most[(first >> 6) * n + p]


cdef inline Status count_kept(Turn *t, int32_t block, uint64_t wanted) noexcept nogil:
    """Count the rows of these candidates of a block that are kept and have not been counted yet."""
    cdef Base *b = &t.base
    cdef uint64_t missing = wanted & ~b.counted[block]
    cdef int32_t i
    cdef Status status
    while missing:
        i = block * 64 + mp2_lowest_bit(missing)
        intersect(b, projected(b, b.n), i, b.words)
        status = count_support(t, i, b.words, b.c.support[i])
        if status != GO_ON:
            return status
        note_own_most(t, i)
        b.counted[block] |= <uint64_t>1 << (i & 63)
        missing &= missing - 1
    return GO_ON


cdef inline Status open_pair(Turn *t) noexcept nogil:
    """Set up the pair of the current path; with max_size 3 that is the base itself."""
    cdef Base *b = &t.base
    cdef mp2_triple *pair = &t.triple
    cdef Frame *frame = &t.path.frames[t.options.pair_depth]
    cdef uint64_t *support = b.spare_support
    cdef int32_t v = b.n
    cdef Status status
    if t.options.pair_depth > t.options.base_depth:
        v = lower_bound(b.candidates, b.n, frame.member)
    intersect(b, projected(b, b.n), v, pair.words)
    if b.c.support[v] == NULL:
        status = count_support(t, v, pair.words, support)
    else:
        support = b.c.support[v]
        status = count_kept(t, v >> 6, <uint64_t>1 << (v & 63))
    if status != GO_ON:
        return status
    t.passing = support
    pair.tails = support if t.options.use_tails else b.c.no_support
    pair.totals = b.c.totals + v * b.c.n_planes
    pair.lost = mp2_lost_of(&b.c, support, b.c.after[v])
    pair.scored = t.options.retained[t.rules.max_size]
    t.loops.note_most(&b.c, pair.lost, b.c.after[v] >> 6, pair.most)
    t.clock.credit -= 8 * <int64_t>b.c.n_planes * b.c.n_blocks
    t.block = -1
    frame.scanned = 1
    return GO_ON


cdef inline Status pair_step(Turn *t) noexcept nogil:
    """Visit the children x of a pair, each with its own children, until the next check."""
    cdef Base *b = &t.base
    cdef int32_t pair_depth = t.options.pair_depth, size = pair_depth + 1
    cdef Frame *frame = &t.path.frames[pair_depth]
    cdef Frame *triple = &t.path.frames[size]
    cdef int32_t at = lower_bound(b.candidates, b.n, frame.next), x
    cdef Status status = GO_ON
    while status == GO_ON and t.path.depth == pair_depth:
        x = next_bit(t.passing, at, b.n)
        if x == b.n:
            if not count_up_to(t, frame, t.signals.n_variations):
                return TURN_AT_WORK_LIMIT
            t.path.depth -= 1
            return spend(t, 16)
        aim_at(t, x)
        if b.at_once:
            status = find_results(t, x)
            at = (x | 63) + 1
            continue
        if is_worth_it(t, x):
            status = count_kept(t, x >> 6, <uint64_t>1 << (x & 63))
            if status != GO_ON:
                return status
        if not count_up_to(t, frame, b.candidates[x] + 1):
            return TURN_AT_WORK_LIMIT
        at = x + 1
        triple.member = b.candidates[x]
        triple.next = t.signals.next_algo[triple.member]
        t.starter.tested[size] += 1
        if t.options.retained[size] and t.triple.within_cap >> (x & 63) & 1:
            status = evaluate_triple(t, x)
            if status != GO_ON:
                return status
        t.path.depth += 1
        status = visit_children(t, x, b.c.after[x])
    return status


cdef inline Status find_results(Turn *t, int32_t x) noexcept nogil:
    """Visit the children of a pair from x to the end of its block, when only results are wanted."""
    cdef Base *b = &t.base
    cdef mp2_triple *pair = &t.triple
    cdef int32_t block = x >> 6
    cdef uint64_t passing = t.passing[block] & ~<uint64_t>0 << (x & 63)
    cdef uint64_t hopeful = passing & pair.hopeful if pair.scored else 0
    cdef uint64_t visited
    cdef mp2_decided decided
    cdef Status status = count_kept(t, block, hopeful)
    while passing and status == GO_ON:
        hopeful = t.loops.find(&b.c, pair, block, hopeful, &t.clock.credit, &decided)
        t.starter.n_rows_scanned += decided.n_counted
        t.starter.tested[t.rules.max_size] += decided.n_passing
        visited = passing
        if hopeful:
            visited &= (<uint64_t>1 << mp2_lowest_bit(hopeful)) - 1
        if decided.n_left:
            status = evaluate_left(t, pair.x, decided.n_left)
            if status != GO_ON:
                return status
        status = count_triples(t, block, visited)
        passing &= ~visited
    return status


cdef inline Status count_triples(Turn *t, int32_t block, uint64_t visited) noexcept nogil:
    """Count these triples with all their children; evaluate those within the cap themselves."""
    cdef Base *b = &t.base
    cdef int32_t size = t.rules.max_size - 1, x = block * 64
    cdef Frame *frame = &t.path.frames[size - 1]
    cdef uint64_t retained = visited & t.triple.within_cap if t.options.retained[size] else 0
    cdef Status status
    if not visited:
        return spend(t, 16)
    t.starter.tested[size] += mp2_count(visited)
    while visited:
        x = block * 64 + mp2_lowest_bit(visited)
        t.starter.attempts += b.n_below[x]
        visited &= visited - 1
    t.starter.attempts += b.candidates[x] + 1 - frame.next
    frame.next = b.candidates[x] + 1
    while retained:
        status = evaluate_triple(t, block * 64 + mp2_lowest_bit(retained))
        if status != GO_ON:
            return status
        retained &= retained - 1
    return spend(t, 16)


cdef inline void aim_at(Turn *t, int32_t x) noexcept nogil:
    """Have the thresholds of the block of x ready."""
    cdef int32_t block = x >> 6
    if block != t.block:
        t.loops.aim(&t.base.c, &t.triple, block, t.base.c.after[block << 6] >> 6)
        t.clock.credit -= 8 * t.base.c.n_planes
        t.block = block


cdef inline bint is_worth_it(Turn *t, int32_t x) noexcept nogil:
    """Whether the children of a triple must be looked at: to count them, or to score some."""
    return not t.options.fast or t.triple.scored and t.triple.hopeful >> (x & 63) & 1


cdef inline Status triple_step(Turn *t) noexcept nogil:
    """Go on with the children of a triple that were not all visited at once."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef int32_t x = lower_bound(b.candidates, b.n, frame.member)
    cdef Status status = count_kept(t, x >> 6, <uint64_t>1 << (x & 63))
    if status != GO_ON:
        return status
    aim_at(t, x)
    return visit_children(t, x, lower_bound(b.candidates, b.n, frame.next))


cdef inline Status visit_children(Turn *t, int32_t x, int32_t first) noexcept nogil:
    """Visit the children of a triple from candidate `first` on: all, or as many as limits allow."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef int32_t end = min(b.n, ((first >> 6) + b.blocks_at_once) * 64)
    cdef int32_t end_next = b.candidates[end] if end < b.n else t.signals.n_variations
    cdef int64_t room = t.options.max_attempts - t.starter.attempts
    cdef Status status = GO_ON
    if t.options.max_attempts and room < end_next - frame.next:
        end = lower_bound(b.candidates, b.n, frame.next + <int32_t>room)
    if first < end and is_worth_it(t, x):
        status = decide_children(t, x, first, end)
    if status != GO_ON:
        return status
    if not count_up_to(t, frame, end_next):
        return TURN_AT_WORK_LIMIT
    if frame.next == t.signals.n_variations:
        t.path.depth -= 1
    return spend(t, 64)


cdef inline Status decide_children(Turn *t, int32_t x, int32_t first, int32_t end) noexcept nogil:
    """Decide which of these candidates pass; score those that may be within the cap."""
    cdef Base *b = &t.base
    cdef mp2_triple *triple = &t.triple
    cdef mp2_decided decided
    t.loops.decide(&b.c, triple, x, first, end, &decided)
    t.starter.n_rows_scanned += decided.n_counted
    t.starter.tested[t.rules.max_size] += decided.n_passing
    t.clock.credit -= (b.c.n_blocks - (first >> 6)) * <int64_t>(16 * b.c.n_days)
    t.clock.credit -= (decided.n_counted + decided.n_listed) * b.c.row_words
    return evaluate_left(t, x, decided.n_left) if decided.n_left else GO_ON


cdef inline Status evaluate_left(Turn *t, int32_t x, int32_t n) noexcept nogil:
    """Evaluate what is left of the triple's candidates."""
    cdef Base *b = &t.base
    cdef int32_t k, i
    cdef Status status
    t.path.frames[t.rules.max_size - 1].member = b.candidates[x]
    intersect(b, t.triple.words, x, b.words)
    t.scratch.path_ready = 0
    for k in range(n):
        i = t.triple.left[k]
        count_lanes(t, b.words, projected(b, i))
        t.clock.credit -= scoring_words(t) + b.c.row_words
        status = evaluate(t, t.rules.max_size, b.candidates[i])
        if status != GO_ON:
            return status
    return GO_ON


cdef inline Status evaluate_triple(Turn *t, int32_t x) noexcept nogil:
    """Evaluate the triple itself."""
    cdef Base *b = &t.base
    intersect(b, t.triple.words, x, b.words)
    count_lanes(t, b.words, b.words)
    t.scratch.path_ready = 0
    return evaluate(t, t.rules.max_size - 1, b.candidates[x])


cdef inline void count_lanes(Turn *t, const uint64_t *words, const uint64_t *row) noexcept nogil:
    """Hits and buys of two rows' common tickers, in date order."""
    cdef Scratch *s = &t.scratch
    cdef int32_t d
    t.loops.count_days(&t.base.c, words, row, s.lane_hits, s.lane_buys)
    for d in range(s.days.n):
        s.days.hits[d] = s.lane_hits[t.base.lane_of[d]]
        s.days.buys[d] = s.lane_buys[t.base.lane_of[d]]
