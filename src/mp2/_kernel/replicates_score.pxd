# cython: language_level=3
"""Sets of a test of replicates: each distinct one is scored once, in all replicates.

The bound. Buys fix a part of the score: coverage, and the penalties of uneven buys and of repeats.
The other terms are at most linear in the daily hit rates `pp`, and so in the daily hits, because

    median - mad          <= mean(pp)
    second worst          <= (D mean(pp) - worst) / (D - 1), and no rate is below floor / buys
    reward of the slope   <= rising_weight * slope    while rising_weight <= falling_weight
    - iqr                 <= 0
    wilson                is convex in the hits of all days: it runs below its chord

so `score <= base + sum(gain_d hits_d)`. Rules for which a line does not hold switch the bound off.
The score is not monotone in hits: fewer on day one raise the slope.
"""

from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from mp2._kernel.replicates_state cimport *
from mp2._kernel.score cimport (
    Days, Statistics, add_score, compare_days, cv_of_active_days, is_eligible, may_be_eligible,
    sum_days, wilson_lower_bound,
)


cdef inline Status offer_set(Walk *t, int32_t size, mp2_print found) noexcept nogil:
    """Put the consensus of a group of a retained size among those to be scored.

    Its words are at the end of the pending ones already.
    """
    cdef Pending *pending = &t.pending
    cdef Days *days = &t.scoring.days
    cdef int64_t n = t.family.panel.row_words
    cdef Statistics buys
    if not t.family.steady:
        t.loops.count_sets(
            pending.words + n * pending.n, t.family.panel.n_words, days.n, days.buys
        )
        sum_buys(days, &buys)
        if buys.cv_buys > t.family.rules.max_cv_buys:
            return GO_ON
    t.n_groups[size] += 1
    pending.prints[pending.n] = found
    pending.sizes[pending.n] = size
    pending.n += 1
    return flush(t) if pending.n == N_PENDING else GO_ON


cdef inline void sum_buys(Days *days, Statistics *found) noexcept nogil:
    """The statistics of buys alone; those of hits are 0."""
    memset(found, 0, sizeof(Statistics))
    memset(days.hits, 0, days.n * sizeof(int32_t))
    sum_days(days, found)
    found.mean_buys = <double>found.buys / days.n
    found.cv_buys = cv_of_active_days(days, found)


cdef inline Status flush(Walk *t) noexcept nogil:
    """Score the pending sets that the table does not know."""
    cdef Pending *pending = &t.pending
    cdef int64_t started_ns = mp2_now_ns()
    cdef int32_t k
    cdef Status status = GO_ON
    for k in range(pending.n):
        if status != GO_ON:
            break
        # The salts of groups are larger.
        if not is_known(t.seen, t.n_slots, &pending.prints[k], pending.sizes[k]):
            status = score_set(t, pending.words + t.family.panel.row_words * k, pending.sizes[k])
    pending.n = 0
    t.scoring_ns += mp2_now_ns() - started_ns
    return status


cdef inline Status score_set(Walk *t, const uint64_t *words, int32_t size) noexcept nogil:
    """Raise the maxima of a size to the scores of a consensus in all replicates."""
    cdef double *maxima = t.maxima + t.family.row_of_size[size] * t.max_row
    cdef uint64_t alive[BLOCK_WORDS]
    cdef int32_t block
    cdef Status status
    t.n_sets += 1
    count_buys(t, words, t.family.n_set_planes)
    for block in range(t.n_blocks):
        if count_hits(t, words, block, alive):
            if t.scoring.n_tickers == 0:
                prepare(t, words)
            raise_maxima(t, maxima + <int64_t>block * BLOCK, alive)
        status = spend(t, BLOCK_WORDS * t.scoring.n_buys + 16 * t.family.panel.n_days)
        if status != GO_ON:
            return status
    return GO_ON


cdef inline void count_buys(Walk *t, const uint64_t *words, int32_t n_planes) noexcept nogil:
    """The buys of a set, and the day with the fewest expected hits, which decides most."""
    cdef Scoring *s = &t.scoring
    cdef double expected, fewest = INFINITY
    cdef int32_t d
    t.loops.count_sets(words, t.family.panel.n_words, s.days.n, s.days.buys)
    s.n_planes = n_planes
    s.n_buys = s.n_tickers = s.n_listed = 0
    for d in range(s.days.n):
        s.n_buys += s.days.buys[d]
        expected = s.days.buys[d] * t.family.win_rates[d]
        if expected < fewest:
            fewest = expected
            s.first_day = d


cdef inline bint count_hits(
    Walk *t, const uint64_t *words, int32_t block, uint64_t *alive
) noexcept nogil:
    """Count the daily hits in a block of replicates; `alive`: those above the floor every day.

    A day's tickers are written out when it is reached: half of the sets are decided by the first.
    """
    cdef const Family *family = t.family
    cdef Scoring *s = &t.scoring
    cdef int64_t stride = family.n_label_words, d
    cdef const uint64_t *labels = family.labels + BLOCK_WORDS * block
    cdef int32_t W = family.panel.n_words, k
    cdef int32_t *tickers
    memcpy(alive, t.valid + BLOCK_WORDS * block, BLOCK_WORDS * sizeof(uint64_t))
    for k in range(s.days.n):
        d = (s.first_day + k) % s.days.n
        tickers = s.tickers + d * (family.n_tickers + 4)
        if k == s.n_listed:
            t.loops.list_bits(words + d * W, W, tickers)
            s.n_listed += 1
        if not t.loops.add_day(
            labels + d * family.n_tickers * stride, stride, tickers, s.days.buys[d], s.n_planes,
            family.panel.floor, s.planes + d * family.n_planes * BLOCK_WORDS, alive
        ):
            return False
    return True


cdef inline void prepare(Walk *t, const uint64_t *words) noexcept nogil:
    """What is the same in all replicates: different tickers and the bound."""
    cdef const Family *family = t.family
    cdef const ScoreRules *rules = family.rules
    cdef Scoring *s = &t.scoring
    cdef int32_t W = family.panel.n_words, floor = family.panel.floor, d, i
    cdef double least = floor * <double>s.days.n, pp_of_hit, worst_pp = 100.0, chord = 0.0
    cdef Statistics found
    memset(s.any_day, 0, W * sizeof(uint64_t))
    for d in range(s.days.n):
        for i in range(W):
            s.any_day[i] |= words[d * W + i]
    s.n_tickers = count_words(s.any_day, W)
    sum_buys(&s.days, &found)
    found.wilson_lb = wilson_lower_bound(least, s.n_buys, rules.wilson_z)
    if s.n_buys > least:
        chord = wilson_lower_bound(s.n_buys, s.n_buys, rules.wilson_z) - found.wilson_lb
        chord *= rules.wilson_weight / (s.n_buys - least)
    found.weighted_pp = 0.0
    add_score(rules, s.n_tickers, &found)
    for d in range(s.days.n):
        pp_of_hit = 100.0 / s.days.buys[d] if s.days.buys[d] > 0 else 0.0
        worst_pp = min(worst_pp, pp_of_hit * floor)
        s.gains[d] = family.slopes[d] * pp_of_hit + chord
    s.base = found.score - chord * least - family.second_worst_share * worst_pp + family.slack


cdef inline void raise_maxima(Walk *t, double *maxima, const uint64_t *alive) noexcept nogil:
    """Score the replicates of a block whose hits may beat their maximum."""
    cdef Scoring *s = &t.scoring
    cdef int32_t w, r
    cdef uint64_t left
    cdef double bound
    for w in range(BLOCK_WORDS):
        left = alive[w]
        while left:
            r = 64 * w + mp2_lowest_bit(left)
            left &= left - 1
            bound = s.base + t.loops.gather(
                s.planes, s.days.n, t.family.n_planes, s.n_planes, r, s.gains, s.days.hits
            )
            if bound > maxima[r] or not t.family.bounded:
                maxima[r] = max(maxima[r], score_hits(t))


cdef inline double score_hits(Walk *t) noexcept nogil:
    """The score of the set with the hits of one replicate, -inf when it is not eligible."""
    cdef const ScoreRules *rules = t.family.rules
    cdef Days *days = &t.scoring.days
    cdef Statistics found
    t.n_evaluated += 1
    sum_days(days, &found)
    if not may_be_eligible(rules, &found):
        return -INFINITY
    compare_days(rules, days, &found)
    if not is_eligible(rules, &found):
        return -INFINITY
    add_score(rules, t.scoring.n_tickers, &found)
    return found.score
