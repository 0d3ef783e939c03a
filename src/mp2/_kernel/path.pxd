# cython: language_level=3
"""The path of the recursion in the panel's own layout: frames, general loops, groups, the clock.

A *frame* per level holds the group of that size: its consensus, and the candidates that may still
join. Children are visited in order of variation number, so `next` (the next number to visit) says
all about a position. A visit that returns at once costs a look at its row: one pass over a frame's
candidates finds those that survive, and the others are counted by subtracting variation numbers.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy, memset

from mp2._kernel.heap cimport MAX_SIZE, Entry, Heap, Idea, count_score, offer
from mp2._kernel.ideas cimport key_of, offer_idea
from mp2._kernel.score cimport (
    Statistics, add_score, compare_days, is_eligible, may_be_eligible, sum_days,
)
from mp2._kernel.state cimport *


cdef inline void place_lists(Turn *t) noexcept nogil:
    """Lay out the lists of the path; see `Arena`."""
    cdef Arena *lists = &t.lists
    cdef Frame *frame
    cdef int64_t list_bytes = (t.signals.n_variations + 1) * <int64_t>sizeof(int32_t)
    cdef int64_t row_bytes = t.signals.panel.row_words * sizeof(uint64_t)
    cdef int32_t n_days = t.signals.panel.n_days, level
    cdef Scratch *s = &t.scratch
    s.all_candidates = <int32_t *>take(lists, list_bytes)
    s.block.passing = <int32_t *>take(lists, MAX_BLOCK * sizeof(int32_t))
    s.block.living = <int32_t *>take(lists, MAX_BLOCK * sizeof(int32_t))
    s.block.within_cap = <int32_t *>take(lists, MAX_BLOCK * sizeof(int32_t))
    s.any_day = <uint64_t *>take(lists, t.signals.panel.n_words * sizeof(uint64_t))
    s.path_words = <uint64_t *>take(lists, row_bytes)
    s.lane_hits = <int32_t *>take(lists, MP2_MAX_LANES * sizeof(int32_t))
    s.lane_buys = <int32_t *>take(lists, MP2_MAX_LANES * sizeof(int32_t))
    s.days.hits = <int32_t *>take(lists, n_days * sizeof(int32_t))
    s.days.buys = <int32_t *>take(lists, n_days * sizeof(int32_t))
    s.days.pp = <double *>take(lists, n_days * sizeof(double))
    s.days.sorted_pp = <double *>take(lists, n_days * sizeof(double))
    t.base.lane_of = <int32_t *>take(lists, n_days * sizeof(int32_t))
    t.base.c.n_wins_of = <int32_t *>take(lists, n_days * sizeof(int32_t))
    t.base.c.n_losses_of = <int32_t *>take(lists, n_days * sizeof(int32_t))
    t.base.moves = <uint64_t *>take(lists, 12 * row_bytes)
    for level in range(1, t.rules.max_size):
        frame = &t.path.frames[level]
        frame.state = <uint64_t *>take(lists, 2 * row_bytes)
        frame.passing = <int32_t *>take(lists, list_bytes)
        frame.living = frame.passing             # a consistent panel has one list for both
        if t.signals.panel.win_rows != NULL:
            frame.living = <int32_t *>take(lists, list_bytes)


cdef inline Status spend(Turn *t, int64_t words) noexcept nogil:
    """Account for some words of work; look at the clock when the credit is used up."""
    t.clock.credit -= words
    return GO_ON if t.clock.credit > 0 else check(t)


cdef inline Status check(Turn *t) noexcept nogil:
    """Look at the stop flag, the wall and, once the turn has made an attempt, its deadline."""
    cdef Clock *clock = &t.clock
    cdef int64_t n_new = t.starter.attempts - clock.attempts_at_start
    cdef int64_t now
    mp2_note_words(t.options.check_words - clock.credit)
    clock.credit = t.options.check_words
    mp2_store(clock.attempts, n_new)
    if mp2_load(clock.stop):
        return TURN_STOPPED
    now = mp2_now_ns()
    if now >= mp2_load(clock.wall_ns):
        return TURN_AT_WALL
    if n_new > 0 and now >= mp2_load(clock.deadline_ns):
        return TURN_AT_LIMIT
    # Counters are 64-bit within a starter: a turn fails long before they could wrap.
    return TURN_OVERFLOW if t.starter.attempts > <int64_t>1 << 62 else GO_ON


cdef inline bint count_up_to(Turn *t, Frame *frame, int32_t end) noexcept nogil:
    """Count the visits before variation `end` of a frame; False: the work limit comes before."""
    cdef int64_t n = end - frame.next, room = t.options.max_attempts - t.starter.attempts
    if t.options.max_attempts and n > room:
        frame.next += <int32_t>room
        t.starter.attempts += room
        return False
    t.starter.attempts += n
    frame.next = end
    return True


cdef inline int64_t scoring_words(Turn *t) noexcept nogil:
    """Work of scoring one group, as words: its rows once more, and what grows with the days."""
    return t.signals.panel.row_words + 16 * t.signals.panel.n_days


cdef inline int32_t block_size(Turn *t) noexcept nogil:
    """Candidates that are scanned, and perhaps all scored, between two looks at the clock."""
    cdef int64_t n = t.options.check_words // (t.signals.panel.row_words + scoring_words(t))
    return <int32_t>max(1, min(MAX_BLOCK, n))


cdef inline const uint64_t *row_of(Turn *t, int32_t v) noexcept nogil:
    return t.signals.panel.rows + v * t.signals.panel.row_words


cdef inline void begin(Turn *t) noexcept nogil:
    """Visit the starter alone, or set up its frame again."""
    cdef const mp2_panel *panel = &t.signals.panel
    cdef Frame *first = &t.path.frames[1]
    cdef int32_t v = t.starter.variation_idx, i
    cdef const uint64_t *row = row_of(t, v)
    cdef int64_t n = panel.row_words, k
    cdef uint64_t any_buy = 0
    if t.starter.attempts == 0:
        t.starter.attempts = 1
    for k in range(n):
        any_buy |= row[k]
        first.state[k] = row[k] & panel.wins[k] if panel.wins != NULL else row[k]
        first.state[n + k] = row[k] & ~first.state[k]
    if panel.win_rows != NULL:
        memcpy(first.state + n, panel.win_rows + v * n, n * sizeof(uint64_t))
    t.path.depth = 1 if any_buy else 0
    first.member = v
    first.next = t.signals.next_algo[v]
    first.n_candidates = t.signals.n_variations - first.next
    for i in range(first.n_candidates):
        t.scratch.all_candidates[i] = first.next + i
    first.candidates = t.scratch.all_candidates


cdef inline void push(Turn *t, int32_t level, int32_t v) noexcept nogil:
    """Make the frame of the group one larger: the consensus with `v`, its candidates."""
    cdef const mp2_panel *panel = &t.signals.panel
    cdef Frame *above = &t.path.frames[level]
    cdef Frame *frame = &t.path.frames[level + 1]
    cdef const uint64_t *row = row_of(t, v)
    cdef int64_t n = panel.row_words, k
    cdef int32_t first
    frame.member = v
    frame.next = t.signals.next_algo[v]
    frame.scanned = frame.n_tail = 0
    t.path.depth = level + 1
    if t.base.usable and level >= t.options.base_depth:
        return                                   # pairs and triples have the base's own layout
    if level < t.options.base_depth:
        t.base.tried = t.base.usable = 0
    for k in range(n):
        frame.state[k] = above.state[k] & row[k]
        if panel.win_rows != NULL:
            frame.state[n + k] = above.state[n + k] | panel.win_rows[v * n + k]
        else:
            frame.state[n + k] = above.state[n + k] & row[k]
    first = lower_bound(above.tail, above.n_tail, frame.next)
    frame.candidates = above.tail + first
    frame.n_candidates = above.n_tail - first


cdef inline Status scan(Turn *t, int32_t level) noexcept nogil:
    """Find a frame's survivors and tail candidates, block by block.

    Stopped half-way, the frame stays unscanned and nothing was counted.
    """
    cdef const mp2_panel *panel = &t.signals.panel
    cdef Frame *frame = &t.path.frames[level]
    cdef mp2_survivors found = t.scratch.block
    cdef int32_t at = 0, n
    cdef Status status
    frame.n_passing = frame.n_tail = 0
    while at < frame.n_candidates:
        n = min(frame.n_candidates - at, block_size(t))
        found.passing = frame.passing + frame.n_passing
        found.living = frame.living + frame.n_tail
        t.loops.sort_out(panel, frame.state, frame.candidates + at, n, &found)
        frame.n_passing += found.n_passing
        frame.n_tail += found.n_living
        at += n
        status = spend(t, n * panel.row_words)
        if status != GO_ON:
            t.starter.n_rows_rescanned += at
            return status
    frame.tail = frame.living
    if not t.options.use_tails:
        frame.tail = frame.candidates
        frame.n_tail = frame.n_candidates
    frame.scanned = 1
    if t.path.rebuilding:
        t.starter.n_rows_rescanned += frame.n_candidates
    else:
        t.starter.n_rows_scanned += frame.n_candidates
    return GO_ON


cdef inline Status leaf_step(Turn *t) noexcept nogil:
    """Visit a block of children of the last but one size: they have no children of their own."""
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef mp2_survivors *found = &t.scratch.block
    cdef int32_t at = lower_bound(frame.candidates, frame.n_candidates, frame.next)
    cdef int32_t left = frame.n_candidates - at, n = min(left, block_size(t))
    cdef int32_t size = t.path.depth + 1, i
    cdef int64_t room = t.options.max_attempts - t.starter.attempts
    cdef Status status
    if t.options.max_attempts:
        while n > 0 and frame.candidates[at + n - 1] - frame.next >= room:
            n -= 1
    t.loops.sort_out(&t.signals.panel, frame.state, frame.candidates + at, n, found)
    t.starter.n_rows_scanned += n
    t.starter.tested[size] += found.n_passing
    t.clock.credit -= n * t.signals.panel.row_words + 16
    if t.options.retained[size]:
        t.scratch.path_ready = 0
        for i in range(found.n_within_cap):
            count_days(t, frame, found.within_cap[i])
            status = evaluate(t, size, found.within_cap[i])
            if status != GO_ON:
                return status
        t.clock.credit -= found.n_within_cap * scoring_words(t)
    if n < left:
        if not count_up_to(t, frame, frame.candidates[at + n]) or n == 0:
            return TURN_AT_WORK_LIMIT
        return spend(t, 0)
    if not count_up_to(t, frame, t.signals.n_variations):
        return TURN_AT_WORK_LIMIT
    t.path.depth -= 1
    return spend(t, 0)


cdef inline Status evaluate(Turn *t, int32_t size, int32_t v) noexcept nogil:
    """Score the group of the current path and `v`, whose days are counted; keep it if eligible."""
    cdef StarterState *starter = t.starter
    cdef Heap *heap = t.heaps[size]
    cdef Statistics found
    cdef Entry entry
    cdef double delta
    cdef int32_t k
    sum_days(&t.scratch.days, &found)
    if not may_be_eligible(t.rules, &found):
        return GO_ON
    compare_days(t.rules, &t.scratch.days, &found)
    if not is_eligible(t.rules, &found):
        return GO_ON
    add_score(t.rules, &t.scratch.days, n_tickers_of_any_day(t, size, v), &found)
    starter.eligible[size] += 1
    delta = found.score - starter.score_mean[size]
    starter.score_mean[size] += delta / <double>starter.eligible[size]
    starter.score_m2[size] += delta * (found.score - starter.score_mean[size])
    count_score(heap, found.score)
    # Most groups end here: they are below what is kept.
    if found.score < heap.least:
        return GO_ON
    memset(&entry, 0, sizeof(entry))
    entry.score = found.score
    for k in range(size - 1):
        entry.members[k] = t.path.frames[k + 1].member
    entry.members[size - 1] = v
    if heap.keeps_ideas:
        return keep_idea(t, size, heap, &entry)
    return GO_ON if offer(heap, &entry) else TURN_NO_MEMORY


cdef inline Status keep_idea(
    Turn *t, int32_t size, Heap *heap, const Entry *entry
) noexcept nogil:
    """Keep an eligible group for its idea."""
    cdef const mp2_panel *panel = &t.signals.panel
    cdef Idea idea
    idea.best = entry[0]
    idea.key = key_of(panel, size, entry)
    idea.n_groups = 1
    return GO_ON if offer_idea(panel, size, heap, &idea) else TURN_NO_MEMORY


cdef inline void count_days(Turn *t, Frame *frame, int32_t v) noexcept nogil:
    """Hits and buys of the group of `frame` and `v` on every day."""
    cdef const mp2_panel *panel = &t.signals.panel
    cdef int64_t n = panel.row_words, i
    cdef const uint64_t *row = row_of(t, v)
    cdef const uint64_t *second = frame.state + n
    cdef Days *days = &t.scratch.days
    cdef uint64_t both
    cdef int32_t d
    for d in range(panel.n_days):
        days.hits[d] = days.buys[d] = 0
        for i in range(d * panel.n_words, (d + 1) * panel.n_words):
            both = frame.state[i] & row[i]
            days.buys[d] += mp2_count(both)
            if panel.win_rows != NULL:
                days.hits[d] += mp2_count(both & (second[i] | panel.win_rows[v * n + i]))
            else:
                days.hits[d] += mp2_count(both)
                days.buys[d] += mp2_count(second[i] & row[i])


cdef inline int64_t n_tickers_of_any_day(Turn *t, int32_t size, int32_t v) noexcept nogil:
    """Size of the union over days of the consensus; only the panel's own layout shows it."""
    cdef int32_t D = t.signals.panel.n_days, W = t.signals.panel.n_words, k, d
    cdef int64_t n = t.signals.panel.row_words, i
    cdef const uint64_t *row = row_of(t, v)
    cdef const uint64_t *member
    cdef uint64_t *path = t.scratch.path_words
    if not t.scratch.path_ready:
        memcpy(path, row_of(t, t.path.frames[1].member), n * sizeof(uint64_t))
        for k in range(2, size):
            member = row_of(t, t.path.frames[k].member)
            for i in range(n):
                path[i] &= member[i]
        t.scratch.path_ready = 1
    memset(t.scratch.any_day, 0, W * sizeof(uint64_t))
    for d in range(D):
        for i in range(W):
            t.scratch.any_day[i] |= path[d * W + i] & row[d * W + i]
    return count_words(t.scratch.any_day, W)
