# cython: language_level=3
"""Pairs and triples below a base: `pair_step` goes through the x of a pair, each with all its y.

The *support table* has a row per candidate v: for every later candidate y a bit whether B v y
passes, and bounds of its hits and buys. The rows of v and x bound the counts of B v x y from below,
so that most y are known to pass, or known to be above the cap, uncounted. Rows are counted when
they are first needed and kept as far as memory reaches; a row that is not kept is counted for its
own v only, and x then gives one bound instead of three.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from mp2._kernel.base cimport head_bytes
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


cdef inline uint8_t *counts_of(Base *b, uint64_t *support, int32_t first) noexcept nogil:
    """Where block 0 of a row's counts would be; only those from candidate `first` on are there."""
    return <uint8_t *>support + head_bytes(b) - (first >> 6) * b.block_bytes


cdef inline Status count_support(
    Turn *t, int32_t first, const uint64_t *words, uint64_t *support
) noexcept nogil:
    """Count the candidates from `first` on against the group `words`: bits, bounds of counts."""
    cdef Base *b = &t.base
    cdef uint8_t *counts = counts_of(b, support, first)
    cdef int32_t w
    cdef Status status
    memset(support, 0, b.c.n_blocks * sizeof(uint64_t))
    for w in range(first >> 6, b.c.n_blocks):
        support[w] = t.loops.count_block(&b.c, words, w, 0, counts + w * b.block_bytes)
        status = spend(t, 64 * <int64_t>b.c.row_words)
        if status != GO_ON:
            t.starter.n_rows_rescanned += w * 64 + 64 - first
            return status
    if first < b.n:
        support[first >> 6] &= ~<uint64_t>0 << (first & 63)
    if t.clock.attempts_at_start > 0:            # after a resume it may have been counted before
        t.starter.n_rows_rescanned += b.n - first
    else:
        t.starter.n_rows_scanned += b.n - first
    return GO_ON


cdef inline Status count_kept_support(Turn *t, int32_t i) noexcept nogil:
    """Count the row of candidate i, if it is kept and has not been counted yet."""
    cdef Base *b = &t.base
    cdef Status status
    if b.support[i] == NULL or b.ready[i]:
        return GO_ON
    intersect(b, projected(b, b.n), i, b.words)
    status = count_support(t, b.after[i], b.words, b.support[i])
    b.ready[i] = status == GO_ON
    return status


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
    if b.support[v] == NULL:
        status = count_support(t, b.after[v], pair.words, support)
    else:
        support = b.support[v]
        status = count_kept_support(t, v)
    if status != GO_ON:
        return status
    t.passing = support
    pair.v = v
    pair.tails = support if t.options.use_tails else b.ones
    pair.support = counts_of(b, support, b.after[v])
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
        status = count_kept_support(t, x)
        if status != GO_ON:
            return status
        if not count_up_to(t, frame, b.candidates[x] + 1):
            return TURN_AT_WORK_LIMIT
        at = x + 1
        triple.member = b.candidates[x]
        triple.next = t.signals.next_algo[triple.member]
        t.starter.tested[size] += 1
        if t.options.retained[size]:
            status = evaluate_triple(t, x)
            if status != GO_ON:
                return status
        t.path.depth += 1
        status = visit_children(t, x, b.after[x])
    return status


cdef inline Status triple_step(Turn *t) noexcept nogil:
    """Go on with the children of a triple that were not all visited at once."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef int32_t x = lower_bound(b.candidates, b.n, frame.member)
    cdef Status status = count_kept_support(t, x)
    if status != GO_ON:
        return status
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
    if first < end:
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
    cdef int32_t size = t.rules.max_size
    cdef uint64_t *support = b.support[x]
    cdef mp2_decided decided
    if t.options.fast and not t.options.retained[size]:
        return GO_ON
    triple.x = x
    triple.first = first
    triple.end = end
    triple.row_x = projected(b, x)
    triple.tails_x = support if support != NULL and t.options.use_tails else b.ones
    triple.support_x = counts_of(b, support, b.after[x]) if support != NULL else NULL
    triple.scored = t.options.retained[size]
    triple.cap_first = t.options.fast
    t.loops.decide(&b.c, triple, &decided)
    t.starter.n_rows_scanned += decided.n_counted
    t.starter.tested[size] += decided.n_passing
    t.clock.credit -= (b.c.n_blocks - (first >> 6)) * <int64_t>(16 * b.c.n_days)
    t.clock.credit -= decided.n_counted * b.c.row_words
    return evaluate_left(t, x) if decided.any_left else GO_ON


cdef inline Status evaluate_left(Turn *t, int32_t x) noexcept nogil:
    """Evaluate what is left of the triple's candidates."""
    cdef Base *b = &t.base
    cdef int32_t w, i
    cdef uint64_t bits
    cdef Status status
    intersect(b, t.triple.words, x, b.words)
    t.scratch.path_ready = 0
    for w in range(t.triple.first >> 6, b.c.n_blocks):
        bits = t.triple.left[w]
        while bits:
            i = w * 64 + mp2_lowest_bit(bits)
            bits &= bits - 1
            count_lanes(t, b.words, projected(b, i))
            t.clock.credit -= scoring_words(t) + b.c.row_words
            status = evaluate(t, t.rules.max_size, b.candidates[i])
            if status != GO_ON:
                return status
    return GO_ON


cdef inline Status evaluate_triple(Turn *t, int32_t x) noexcept nogil:
    """Evaluate the triple itself, unless a lower bound of its buys is above the cap."""
    cdef Base *b = &t.base
    cdef const uint8_t *low = t.triple.support + (x >> 6) * b.block_bytes + (x & 63)
    cdef int32_t p
    for p in range(b.c.n_days, 2 * b.c.n_days):
        if b.c.capped and low[p * 64] >= b.c.need[p]:
            return GO_ON
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
