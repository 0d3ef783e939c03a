# cython: language_level=3
"""Statistics, eligibility and score of one group: sections 4 and 5 of the specification.

Sums run in date order, as written there. One scalar function serves all instruction sets; the
extension is compiled without contraction into fused multiply-add, so that scores do not differ.
CONTRIBUTING.md shows how to add a rule.
"""

from libc.math cimport fabs, floor, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy


cdef struct ScoreRules:
    # The rules the kernel reads, by the names of `Rules`: Cython fills the struct by name.
    int32_t max_size, min_daily_hits, max_daily_buys
    double min_pooled_pp, max_mad_pp, max_iqr_pp, max_cv_buys, min_wilson_lb
    double weighted_pp_weight, median_pp_weight, second_worst_pp_weight
    double wilson_weight, wilson_z, rising_weight, falling_weight
    double mad_weight, iqr_weight, cv_weight
    double coverage_log_weight, coverage_cap, coverage_excess_weight
    double crowding_cap, crowding_weight
    double sweet_empty, sweet_low, sweet_peak, sweet_high
    double sweet_low_slope, sweet_slope, sweet_high_slope
    double repeat_tolerance, repeat_weight


cdef struct Days:
    # A group's days in date order; `pp` and `sorted_pp` are scratch.
    int32_t n
    const double *weights
    const double *logs           # [last_log + 1], by `mp2.groups.logarithms`
    int64_t last_log
    int32_t *hits
    int32_t *buys
    double *pp
    double *sorted_pp


cdef struct Statistics:
    # What the score is made of. `*_pp` and `wilson_lb` are percent, `pp_slope` is percentage points
    # a day, `mean_buys` and `max_buys` are tickers a day.
    double weighted_pp, pooled_pp, median_pp, second_worst_pp, mad_pp, iqr_pp
    double mean_buys, max_buys, cv_buys, wilson_lb, pp_slope, repeat_factor, score
    int64_t hits, buys
    int32_t n_active             # days with a buy
    int32_t eligible


cdef inline void sum_days(Days *days, Statistics *s) noexcept nogil:
    """The statistics that need one pass: they decide about most groups."""
    cdef int32_t d, max_buys = 0
    cdef double weighted = 0.0
    s.hits = s.buys = s.n_active = 0
    for d in range(days.n):
        s.hits += days.hits[d]
        s.buys += days.buys[d]
        s.n_active += days.buys[d] > 0
        max_buys = max(max_buys, days.buys[d])
        days.pp[d] = (100.0 * days.hits[d]) / days.buys[d] if days.buys[d] > 0 else 0.0
        weighted += days.pp[d] * days.weights[d]
    s.max_buys = max_buys
    s.pooled_pp = (100.0 * <double>s.hits) / <double>max(1, s.buys)
    s.weighted_pp = weighted / days.n


cdef inline void compare_days(const ScoreRules *r, Days *days, Statistics *s) noexcept nogil:
    """The other statistics of a group, except for the repeat factor."""
    cdef int32_t d, n = days.n
    cdef double *ascending = days.sorted_pp
    cdef double sum_pp = 0.0, deviation = 0.0
    sort_days(days.pp, ascending, n)
    s.median_pp = (ascending[(n - 1) // 2] + ascending[n // 2]) / 2.0
    s.second_worst_pp = ascending[1] if n > 1 else ascending[0]
    s.iqr_pp = quantile(ascending, n, 0.75) - quantile(ascending, n, 0.25)
    for d in range(n):
        sum_pp += days.pp[d]
        deviation += fabs(days.pp[d] - s.median_pp)
    s.mad_pp = deviation / n
    s.mean_buys = <double>s.buys / n
    s.cv_buys = cv_of_active_days(days, s)
    s.wilson_lb = wilson_lower_bound(<double>s.hits, <double>s.buys, r.wilson_z)
    s.pp_slope = least_squares_slope(days.pp, n, sum_pp / n)


cdef inline bint may_be_eligible(const ScoreRules *r, const Statistics *s) noexcept nogil:
    """Whether a group passes the limits on what `sum_days` found."""
    return s.max_buys <= r.max_daily_buys and s.pooled_pp >= r.min_pooled_pp


cdef inline bint is_eligible(const ScoreRules *r, const Statistics *s) noexcept nogil:
    return (
        may_be_eligible(r, s) and s.mad_pp <= r.max_mad_pp and s.iqr_pp <= r.max_iqr_pp
        and s.cv_buys <= r.max_cv_buys and s.wilson_lb >= r.min_wilson_lb
    )


cdef inline void add_score(
    const ScoreRules *r, const Days *days, int64_t n_tickers, Statistics *s
) noexcept nogil:
    """Repeat factor and score; `n_tickers` is the size of the union over days of the consensus."""
    s.repeat_factor = <double>s.buys / <double>max(1, n_tickers)
    cdef double crowd = max(0.0, s.max_buys - r.crowding_cap)
    cdef double repeat = max(0.0, s.repeat_factor - r.repeat_tolerance)
    cdef double profit_base = (
        r.weighted_pp_weight * s.weighted_pp + r.median_pp_weight * s.median_pp
        + r.second_worst_pp_weight * s.second_worst_pp
    )
    cdef double stability_penalty = (
        r.mad_weight * s.mad_pp + r.iqr_weight * s.iqr_pp + r.cv_weight * s.cv_buys
        + r.falling_weight * max(0.0, -s.pp_slope)
    )
    cdef double coverage = (
        r.coverage_log_weight * days.logs[min(s.buys, days.last_log)]
        + sweet_spot(r, s.mean_buys)
        - r.coverage_excess_weight * max(0.0, s.mean_buys - r.coverage_cap)
        - r.crowding_weight * (crowd * crowd)
    )
    s.score = (
        profit_base + r.wilson_weight * s.wilson_lb + coverage
        + r.rising_weight * max(0.0, s.pp_slope)
        - stability_penalty - r.repeat_weight * (repeat * repeat)
    )


cdef inline double sweet_spot(const ScoreRules *r, double mean_buys) noexcept nogil:
    """Bonus for a handful of tickers a day, penalty for fewer or many more."""
    if mean_buys <= 0.0:
        return r.sweet_empty
    if mean_buys < r.sweet_low:
        return -r.sweet_low_slope * (r.sweet_low - mean_buys)
    if mean_buys <= r.sweet_peak:
        return r.sweet_slope * (mean_buys - r.sweet_low)
    if mean_buys <= r.sweet_high:
        return r.sweet_slope * (r.sweet_high - mean_buys)
    return -r.sweet_high_slope * (mean_buys - r.sweet_high)


cdef inline double cv_of_active_days(const Days *days, const Statistics *s) noexcept nogil:
    """Sample deviation of the non-zero buys over the mean of all; 0 with fewer than two."""
    cdef double mean_active, distance, squares = 0.0
    cdef int32_t d
    if s.n_active < 2:
        return 0.0
    mean_active = <double>s.buys / s.n_active
    for d in range(days.n):
        if days.buys[d] > 0:
            distance = days.buys[d] - mean_active
            squares += distance * distance
    return sqrt(squares / (s.n_active - 1)) / s.mean_buys


cdef inline double wilson_lower_bound(double hits, double n, double z) noexcept nogil:
    """Lower end of the score interval for a proportion, in percent (Wilson 1927)."""
    cdef double p, margin, square = z * z
    if n <= 0.0:
        return 0.0
    p = hits / n
    margin = z * sqrt((p * (1.0 - p) + square / (4.0 * n)) / n)
    return 100.0 * (p + square / (2.0 * n) - margin) / (1.0 + square / n)


cdef inline double least_squares_slope(
    const double *values, int32_t n, double mean
) noexcept nogil:
    """Slope of `values` on 1..n; 0 for a single one."""
    cdef double middle = (n + 1) / 2.0, above = 0.0, below = 0.0
    cdef int32_t i
    for i in range(n):
        above += (i + 1 - middle) * (values[i] - mean)
        below += (i + 1 - middle) * (i + 1 - middle)
    return above / below if n > 1 else 0.0


cdef inline void sort_days(const double *values, double *out, int32_t n) noexcept nogil:
    """Each value at its rank, for a week of days; or Shell sort with gaps 1, 4, 13, ... (Knuth)."""
    cdef int32_t i, j, rank, gap = 1
    cdef double value
    if n <= 8:                                   # without a branch that depends on the values
        for i in range(n):
            rank = 0
            for j in range(i):
                rank += values[j] <= values[i]
            for j in range(i + 1, n):
                rank += values[j] < values[i]
            out[rank] = values[i]
        return
    memcpy(out, values, n * sizeof(double))
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value = out[i]
            j = i
            while j >= gap and out[j - gap] > value:
                out[j] = out[j - gap]
                j -= gap
            out[j] = value
        gap //= 3


cdef inline double quantile(const double *ascending, int32_t n, double q) noexcept nogil:
    """Quantile with linear interpolation, as numpy does by default."""
    cdef double position = q * (n - 1)
    cdef int32_t low = <int32_t>floor(position), high = min(low + 1, n - 1)
    cdef double share = position - low, step = ascending[high] - ascending[low]
    if share >= 0.5:
        return ascending[high] - step * (1.0 - share)
    return ascending[low] + step * share
