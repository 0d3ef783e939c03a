# cython: language_level=3
"""Sets of a test of replicates: each distinct one is scored once, in all replicates.

The bound. Buys fix a part of the score: coverage, and the penalties of uneven buys and of repeats.
`buys_part` is that part. The other terms are at most linear in the daily hit rates `pp`, because

    median - mad          <= mean(pp)
    second worst          <= (D mean(pp) - worst) / (D - 1), and no rate is below floor / buys
    reward of the slope   <= rising_weight * slope    while rising_weight <= falling_weight
    - iqr                 <= 0

so `score <= base + sum(gain_d hits_d) + wilson_weight * wilson(hits, buys)`. Rules for which a line
does not hold switch the bound off. `ceilings` has its greatest value by the hits of all days, over
all ways to spread them. The score is not monotone in hits: fewer on day one raise the slope.
"""

from libc.string cimport memcpy, memset

from mp2._kernel.replicates_state cimport *
from mp2._kernel.score cimport (
    Days, Statistics, add_score, compare_days, cv_of_active_days, is_eligible, may_be_eligible,
    sum_days, wilson_lower_bound,
)


cdef inline Status offer_set(
    Walk *t, int32_t size, const uint64_t *state, const uint64_t *row
) noexcept nogil:
    """Put the consensus of a group of a retained size among those to be scored."""
    cdef Pending *pending = &t.pending
    cdef int64_t n = t.family.panel.row_words
    cdef uint64_t *words = pending.words + n * pending.n
    cdef mp2_print found = t.loops.fingerprint(state, row, n, t.family.keys, words)
    if not t.family.steady and not is_steady(t, words):
        return GO_ON
    t.n_groups[size] += 1
    MP2_PREFETCH(t.seen + (found.slot & (t.n_slots - 1)))
    pending.prints[pending.n] = found
    pending.sizes[pending.n] = size
    pending.n += 1
    return flush(t) if pending.n == N_PENDING else GO_ON


cdef inline bint is_steady(Walk *t, const uint64_t *words) noexcept nogil:
    """Whether the buys of a consensus are within `max_cv_buys`."""
    cdef Days *days = &t.scoring.days
    cdef Statistics found
    t.loops.count_sets(words, t.family.panel.n_words, days.n, days.buys)
    memset(days.hits, 0, days.n * sizeof(int32_t))
    sum_days(days, &found)
    found.mean_buys = <double>found.buys / days.n
    return cv_of_active_days(days, &found) <= t.family.rules.max_cv_buys


cdef inline Status flush(Walk *t) noexcept nogil:
    """Score the pending sets that the table does not know. It forgets, which costs time only."""
    cdef Pending *pending = &t.pending
    cdef int32_t fresh[N_PENDING]
    cdef int32_t n_fresh = 0, k
    cdef int64_t started_ns
    cdef Status status = GO_ON
    for k in range(pending.n):
        # The salts of groups are larger.
        if not is_known(t.seen, t.n_slots, &pending.prints[k], pending.sizes[k]):
            fresh[n_fresh] = k
            n_fresh += 1
    pending.n = 0
    if n_fresh == 0:
        return GO_ON
    started_ns = mp2_now_ns()
    for k in range(n_fresh):
        status = score_set(
            t, pending.words + t.family.panel.row_words * fresh[k], pending.sizes[fresh[k]]
        )
        if status != GO_ON:
            break
    t.scoring_ns += mp2_now_ns() - started_ns
    return status


cdef inline Status score_set(Walk *t, const uint64_t *words, int32_t size) noexcept nogil:
    """Raise the maxima of a size to the scores of a consensus in all replicates."""
    cdef int32_t size_row = t.family.row_of_size[size], block
    cdef double *maxima
    cdef uint64_t alive[BLOCK_WORDS]
    cdef Status status
    t.n_sets += 1
    count_buys(t, words)
    for block in range(t.n_blocks):
        if count_hits(t, words, block, alive):
            if not t.scoring.prepared:
                prepare(t, words)
            maxima = t.maxima + size_row * t.max_row + <int64_t>block * BLOCK
            if may_rise(t, size_row, block, alive) and raise_maxima(t, maxima, alive):
                find_weakest(t, size_row, block)
        status = spend(t, BLOCK_WORDS * t.scoring.n_buys + 16 * t.family.panel.n_days)
        if status != GO_ON:
            return status
    return GO_ON


cdef inline void count_buys(Walk *t, const uint64_t *words) noexcept nogil:
    """The buys of a set; days in the order in which they decide most."""
    cdef Scoring *s = &t.scoring
    cdef const double *rates = t.family.win_rates
    cdef int32_t D = s.days.n, d, k
    t.loops.count_sets(words, t.family.panel.n_words, D, s.days.buys)
    s.n_listed = s.prepared = 0
    s.n_buys = 0
    for d in range(D):
        s.n_buys += s.days.buys[d]
        s.day_planes[d] = mp2_width(s.days.buys[d])
        s.expected[d] = s.days.buys[d] * rates[d]
        k = d
        while k > 0 and s.expected[d] < s.expected[s.day_order[k - 1]]:
            s.day_order[k] = s.day_order[k - 1]
            k -= 1
        s.day_order[k] = d


cdef inline bint count_hits(
    Walk *t, const uint64_t *words, int32_t block, uint64_t *alive
) noexcept nogil:
    """Count the daily hits in a block of replicates; `alive`: those above the floor every day.

    A day's tickers are written out when it is reached: half of the sets are decided by the first.
    """
    cdef const Family *family = t.family
    cdef Scoring *s = &t.scoring
    cdef int32_t W = family.panel.n_words, k, d
    cdef int64_t stride = family.n_label_words
    cdef int32_t *tickers
    memcpy(alive, t.valid + BLOCK_WORDS * block, BLOCK_WORDS * sizeof(uint64_t))
    for k in range(family.panel.n_days):
        d = s.day_order[k]
        tickers = s.tickers + d * <int64_t>(family.n_tickers + 4)
        if k == s.n_listed:
            t.loops.list_bits(words + d * W, W, tickers)
            s.n_listed += 1
        if not t.loops.add_day(
            family.labels + (d * <int64_t>family.n_tickers * stride + BLOCK_WORDS * block),
            stride, tickers, s.days.buys[d], s.day_planes[d], family.panel.floor,
            planes_of(t, d), alive
        ):
            return False
    return True


cdef inline uint64_t *planes_of(Walk *t, int32_t d) noexcept nogil:
    return t.scoring.planes + BLOCK_WORDS * t.family.n_planes * <int64_t>d


cdef inline void prepare(Walk *t, const uint64_t *words) noexcept nogil:
    """What is the same in all replicates: different tickers, the part of buys, the bound."""
    cdef const Family *family = t.family
    cdef Scoring *s = &t.scoring
    cdef int32_t W = family.panel.n_words, D = family.panel.n_days, d, i
    cdef Statistics found
    memset(s.any_day, 0, W * sizeof(uint64_t))
    for d in range(D):
        for i in range(W):
            s.any_day[i] |= words[d * W + i]
    s.n_tickers = count_words(s.any_day, W)
    s.prepared = 1
    if not family.bounded:
        return
    memset(&found, 0, sizeof(found))
    memset(s.days.hits, 0, D * sizeof(int32_t))
    sum_days(&s.days, &found)
    found.weighted_pp = 0.0
    found.mean_buys = <double>found.buys / D
    found.cv_buys = cv_of_active_days(&s.days, &found)
    add_score(family.rules, s.n_tickers, &found)
    make_ceilings(t, found.score)


cdef inline void make_ceilings(Walk *t, double buys_part) noexcept nogil:
    """The bound by hits of all days: each further hit goes where it raises the bound most."""
    cdef const Family *family = t.family
    cdef Scoring *s = &t.scoring
    cdef int32_t D = family.panel.n_days, floor = family.panel.floor, d, k, step
    cdef int64_t hits = floor * <int64_t>D
    cdef double worst_pp = 100.0, pp_of_hit, value
    for d in range(D):
        pp_of_hit = 100.0 / s.days.buys[d] if s.days.buys[d] > 0 else 0.0
        worst_pp = min(worst_pp, pp_of_hit * floor)
        s.gains[d] = family.slopes[d] * pp_of_hit
        k = d
        while k > 0 and s.gains[s.by_gain[k - 1]] < s.gains[d]:
            s.by_gain[k] = s.by_gain[k - 1]
            k -= 1
        s.by_gain[k] = d
    s.base = buys_part - family.second_worst_share * worst_pp + family.slack
    value = s.base
    for d in range(D):
        value += s.gains[d] * floor
    s.ceilings[hits] = value + wilson_part(t, hits)
    for k in range(D):
        d = s.by_gain[k]
        for step in range(s.days.buys[d] - floor):
            value += s.gains[d]
            hits += 1
            s.ceilings[hits] = value + wilson_part(t, hits)


cdef inline double wilson_part(Walk *t, int64_t hits) noexcept nogil:
    cdef int64_t n = t.scoring.n_buys
    cdef const ScoreRules *rules = t.family.rules
    if t.family.wilson != NULL:
        return t.family.wilson[n * (n + 1) // 2 + hits]
    return rules.wilson_weight * wilson_lower_bound(<double>hits, <double>n, rules.wilson_z)


cdef inline bint may_rise(
    Walk *t, int32_t size_row, int32_t block, uint64_t *alive
) noexcept nogil:
    """Add up the hits of all days; keep the replicates whose hits may beat the weakest maximum."""
    cdef const Family *family = t.family
    cdef Scoring *s = &t.scoring
    cdef double weakest = t.weakest[size_row * (t.max_row // BLOCK) + block]
    cdef int64_t least = family.panel.floor * <int64_t>family.panel.n_days
    cdef int32_t n_total = mp2_width(s.n_buys), d
    if not family.bounded:
        return True
    while least <= s.n_buys and s.ceilings[least] <= weakest:
        least += 1
    if least > s.n_buys:
        return False
    memset(s.total, 0, family.n_total_planes * BLOCK_WORDS * sizeof(uint64_t))
    for d in range(family.panel.n_days):
        t.loops.add_planes(planes_of(t, d), s.day_planes[d], s.total, n_total)
    return t.loops.keep_reaching(s.total, n_total, <int32_t>least, alive)


cdef inline bint raise_maxima(Walk *t, double *maxima, const uint64_t *alive) noexcept nogil:
    """Score the replicates of a block whose own hits may beat their maximum; whether any did."""
    cdef int32_t w, bit
    cdef bint raised = False
    cdef uint64_t left
    for w in range(BLOCK_WORDS):
        left = alive[w]
        while left:
            bit = mp2_lowest_bit(left)
            left &= left - 1
            if may_beat(t, w, bit, maxima[64 * w + bit]):
                raised |= score_replicate(t, w, bit, maxima + 64 * w + bit)
    return raised


cdef inline bint may_beat(Walk *t, int32_t w, int32_t bit, double maximum) noexcept nogil:
    """Whether the bound of a replicate's hits of all days, then of each day, is above a score."""
    cdef Scoring *s = &t.scoring
    cdef int32_t d
    cdef double value
    cdef int64_t hits
    if not t.family.bounded:
        return True
    hits = bits_at(s.total + w, t.family.n_total_planes, bit)
    if s.ceilings[hits] <= maximum:
        return False
    value = s.base + wilson_part(t, hits)
    for d in range(t.family.panel.n_days):
        value += s.gains[d] * bits_at(planes_of(t, d) + w, s.day_planes[d], bit)
    return value > maximum


cdef inline int32_t bits_at(const uint64_t *planes, int32_t n_planes, int32_t bit) noexcept nogil:
    """The count of one replicate, gathered from the planes."""
    cdef int32_t count = 0, p
    for p in range(n_planes):
        count |= <int32_t>(planes[BLOCK_WORDS * p] >> bit & 1) << p
    return count


cdef inline bint score_replicate(
    Walk *t, int32_t w, int32_t bit, double *maximum
) noexcept nogil:
    """Score the set with the hits of one replicate; whether its maximum rises."""
    cdef const ScoreRules *rules = t.family.rules
    cdef Days *days = &t.scoring.days
    cdef Statistics found
    cdef int32_t d
    t.n_evaluated += 1
    for d in range(days.n):
        days.hits[d] = bits_at(planes_of(t, d) + w, t.scoring.day_planes[d], bit)
    sum_days(days, &found)
    if not may_be_eligible(rules, &found):
        return False
    compare_days(rules, days, &found)
    if not is_eligible(rules, &found):
        return False
    add_score(rules, t.scoring.n_tickers, &found)
    if found.score <= maximum[0]:
        return False
    maximum[0] = found.score
    return True


cdef inline void find_weakest(Walk *t, int32_t size_row, int32_t block) noexcept nogil:
    """The least maximum of a block; places without a replicate hold infinity."""
    cdef const double *maxima = t.maxima + size_row * t.max_row + <int64_t>block * BLOCK
    cdef double weakest = maxima[0]
    cdef int32_t r
    for r in range(1, BLOCK):
        weakest = min(weakest, maxima[r])
    t.weakest[size_row * (t.max_row // BLOCK) + block] = weakest
