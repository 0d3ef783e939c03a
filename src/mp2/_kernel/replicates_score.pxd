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

For 512 replicates at once it is taken in whole units: gains become *codes*, maxima *levels*, which
begin at 0, and what that rounds away goes to the base. It stays a bound.
"""

from libc.math cimport INFINITY, fabs, floor
from libc.stdlib cimport abs
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
        t.loops.count_sets(pending.words + n * pending.n, t.family.panel.n_words, days.n, days.buys)
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
        # The salts of groups are larger.
        if status != GO_ON or is_known(t.seen, t.n_slots, &pending.prints[k], pending.sizes[k]):
            continue
        status = score_set(t, pending.words + t.family.panel.row_words * k, pending.sizes[k])
    pending.n = 0
    t.scoring_ns += mp2_now_ns() - started_ns
    return status


cdef inline Status score_set(Walk *t, const uint64_t *words, int32_t size) noexcept nogil:
    """Raise the maxima of a size to the scores of a consensus in all replicates."""
    cdef int64_t blocks_before = t.family.row_of_size[size] * <int64_t>t.max_blocks
    cdef uint64_t alive[BLOCK_WORDS]
    cdef int32_t block
    cdef Status status
    t.n_sets += 1
    count_buys(t, words, t.family.n_set_planes)
    for block in range(t.n_blocks):
        if count_hits(t, words, block, alive):
            if t.scoring.n_tickers == 0:
                prepare(t, words)
            raise_maxima(t, blocks_before + block, alive)
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
    cdef const uint64_t *labels
    cdef int32_t W = family.panel.n_words, k
    cdef int32_t *tickers
    memcpy(alive, t.valid + BLOCK_WORDS * block, BLOCK_WORDS * sizeof(uint64_t))
    for k in range(s.days.n):
        d = (s.first_day + k) % s.days.n
        tickers = s.tickers + d * (family.n_tickers + 8)
        if k == s.n_listed:
            t.loops.list_bits(words + d * W, W, family.n_tickers, tickers)
            s.n_listed += 1
        labels = family.labels + d * (family.n_tickers + 1) * stride + BLOCK_WORDS * block
        if not t.loops.add_day(
            labels, stride, tickers, s.days.buys[d], s.n_planes, family.panel.floor,
            s.planes + d * family.n_planes * BLOCK_WORDS, alive
        ):
            return False
    return True


cdef inline void prepare(Walk *t, const uint64_t *words) noexcept nogil:
    """What is the same in all replicates: different tickers and the bound."""
    cdef const Family *family = t.family
    cdef const ScoreRules *rules = family.rules
    cdef Scoring *s = &t.scoring
    cdef int32_t W = family.panel.n_words, least = family.panel.floor, d, i
    cdef int64_t half = 1 << (family.n_sums - 2), start = 0, reach = 0
    cdef double total = least * <double>s.days.n, worst_pp = 100.0, chord = 0.0, base = 0.0
    cdef double pp_of_hit, gain, rest
    cdef uint64_t any_day
    cdef Statistics found
    for i in range(W):
        any_day = 0
        for d in range(s.days.n):
            any_day |= words[d * W + i]
        s.n_tickers += count_words(&any_day, 1)
    sum_buys(&s.days, &found)
    found.wilson_lb = wilson_lower_bound(total, s.n_buys, rules.wilson_z)
    if s.n_buys > total:
        chord = wilson_lower_bound(s.n_buys, s.n_buys, rules.wilson_z) - found.wilson_lb
        chord *= rules.wilson_weight / (s.n_buys - total)
    found.weighted_pp = 0.0
    add_score(rules, &s.days, s.n_tickers, &found)
    for d in range(s.days.n):
        pp_of_hit = 100.0 / s.days.buys[d] if s.days.buys[d] > 0 else 0.0
        worst_pp = min(worst_pp, pp_of_hit * least)
        gain = (family.slopes[d] * pp_of_hit + chord) * family.n_units
        # The nearest is the sharpest, but any is right.
        s.codes[d] = <int32_t>(gain + 32.5) - 32
        rest = gain - s.codes[d]
        base += max(rest * least, rest * s.days.buys[d])
        reach += <int64_t>abs(s.codes[d]) << s.n_planes
        if s.codes[d] < 0:
            # x times the complement of h, n bits, is x (2**n - 1) - x h.
            start += <int64_t>s.codes[d] * ((1 << s.n_planes) - 1)
    found.score += family.slack - chord * total - family.second_worst_share * worst_pp
    base += found.score * family.n_units
    s.bounded = family.bounded and fabs(base) + reach < half - 1
    if s.bounded:
        s.start = <uint64_t>(start + half + <int64_t>base + 1)


cdef inline void raise_maxima(Walk *t, int64_t block, uint64_t *alive) noexcept nogil:
    """Score the replicates of a block whose hits may beat their maximum."""
    cdef Scoring *s = &t.scoring
    cdef uint64_t *levels = t.levels_of_maxima + block * t.family.n_sums * BLOCK_WORDS
    cdef double *maxima = t.maxima + block * BLOCK
    cdef int64_t half = 1 << (t.family.n_sums - 2), level
    cdef int32_t w, r, j
    cdef uint64_t left
    cdef double score
    if s.bounded:
        t.loops.drop_beaten(
            s.planes, s.days.n, t.family.n_planes, s.n_planes, s.codes, s.start, levels,
            t.family.n_sums, alive
        )
    for w in range(BLOCK_WORDS):
        left = alive[w]
        while left:
            r = mp2_lowest_bit(left)
            left &= left - 1
            score = score_hits(t, w, r)
            if score <= maxima[64 * w + r]:
                continue
            maxima[64 * w + r] = score
            level = <int64_t>max(0.0, min(2.0 * half, floor(score * t.family.n_units) + half))
            for j in range(t.family.n_sums):
                levels[BLOCK_WORDS * j + w] &= ~(<uint64_t>1 << r)
                levels[BLOCK_WORDS * j + w] |= <uint64_t>(level >> j & 1) << r


cdef inline double score_hits(Walk *t, int32_t w, int32_t r) noexcept nogil:
    """The score with the hits in bit r of the planes' word w, -inf when it is not eligible."""
    cdef const ScoreRules *rules = t.family.rules
    cdef Days *days = &t.scoring.days
    cdef const uint64_t *plane
    cdef Statistics found
    cdef int32_t d, p
    t.n_evaluated += 1
    for d in range(days.n):
        days.hits[d] = 0
        plane = t.scoring.planes + w + d * t.family.n_planes * BLOCK_WORDS
        for p in range(t.scoring.n_planes):
            days.hits[d] |= <int32_t>(plane[BLOCK_WORDS * p] >> r & 1) << p
    sum_days(days, &found)
    if not may_be_eligible(rules, &found):
        return -INFINITY
    compare_days(rules, days, &found)
    if not is_eligible(rules, &found):
        return -INFINITY
    add_score(rules, days, t.scoring.n_tickers, &found)
    return found.score
