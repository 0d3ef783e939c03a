# cython: language_level=3
"""Score and eligibility of one group: sections 4 and 5 of the specification, in date order as written there.

One scalar function for all instruction sets; the extension is compiled without contraction into fused multiply-add.
"""

cimport cython
from libc.math cimport fabs, floor, log, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy


cdef struct Constants:
    # The numeric rules, by the names of `Rules`.
    int32_t max_size
    int32_t min_daily_hits
    int32_t max_daily_buys
    double min_pooled_pp, max_mad_pp, max_iqr_pp, max_cv_buys, min_wilson_lb
    double weighted_pp_weight, median_pp_weight, second_worst_pp_weight
    double wilson_weight, wilson_z, rising_weight, falling_weight, mad_weight, iqr_weight, cv_weight
    double coverage_log_weight, coverage_cap, coverage_excess_weight, crowding_cap, crowding_weight
    double sweet_empty, sweet_low, sweet_peak, sweet_high, sweet_low_slope, sweet_slope, sweet_high_slope
    double repeat_tolerance, repeat_weight


cdef struct Days:
    # A group's days in date order; `pp` and `sorted_pp` are scratch.
    int32_t n
    const double *weights
    int32_t *hits
    int32_t *buys
    double *pp
    double *sorted_pp


cdef struct Statistics:
    # What the score is made of, but for the repeat factor.
    int64_t buys
    double most_buys, weighted_pp, median_pp, second_worst_pp, mad_pp, iqr_pp, mean_buys, cv_buys, wilson_lb, pp_slope


@cython.cdivision(True)
cdef inline bint is_eligible(const Constants *r, Days *days, Statistics *s) noexcept nogil:
    """Fill the statistics of a group and tell whether it is eligible; those of one that is not are incomplete."""
    cdef int32_t D = days.n, d, most_buys = 0, n_active = 0
    cdef int64_t hits = 0, buys = 0
    cdef double weighted = 0.0, sum_pp = 0.0, mad = 0.0, deviation = 0.0, mean_active, x
    cdef double *pp = days.pp
    cdef double *ascending = days.sorted_pp
    for d in range(D):
        hits += days.hits[d]
        buys += days.buys[d]
        most_buys = max(most_buys, days.buys[d])
        n_active += days.buys[d] > 0
        pp[d] = (100.0 * days.hits[d]) / days.buys[d] if days.buys[d] > 0 else 0.0
        weighted += pp[d] * days.weights[d]
        sum_pp += pp[d]
    if most_buys > r.max_daily_buys or not (100.0 * <double>hits) / <double>max(1, buys) >= r.min_pooled_pp:
        return False
    sort_days(pp, ascending, D)
    s.buys, s.most_buys, s.weighted_pp = buys, most_buys, weighted / D
    s.median_pp = (ascending[(D - 1) // 2] + ascending[D // 2]) / 2.0
    s.second_worst_pp = ascending[1] if D > 1 else ascending[0]
    s.iqr_pp = quantile(ascending, D, 0.75) - quantile(ascending, D, 0.25)
    for d in range(D):
        mad += fabs(pp[d] - s.median_pp)
    s.mad_pp = mad / D
    s.mean_buys = <double>buys / D
    s.cv_buys = 0.0
    if n_active >= 2:
        mean_active = <double>buys / n_active
        for d in range(D):
            if days.buys[d] > 0:
                x = days.buys[d] - mean_active
                deviation += x * x
        s.cv_buys = sqrt(deviation / (n_active - 1)) / s.mean_buys
    s.wilson_lb = wilson_lower_bound(<double>hits, <double>buys, r.wilson_z)
    s.pp_slope = least_squares_slope(pp, D, sum_pp / D)
    return (
        s.mad_pp <= r.max_mad_pp and s.iqr_pp <= r.max_iqr_pp and s.cv_buys <= r.max_cv_buys
        and s.wilson_lb >= r.min_wilson_lb
    )


@cython.cdivision(True)
cdef inline double score_of(const Constants *r, const Statistics *s, int64_t n_tickers) noexcept nogil:
    """The synergy score; `n_tickers` is the size of the union over days of the consensus."""
    cdef double repeat = <double>s.buys / <double>max(1, n_tickers)
    cdef double crowd = max(0.0, s.most_buys - r.crowding_cap), again = max(0.0, repeat - r.repeat_tolerance)
    cdef double profit_base = (
        r.weighted_pp_weight * s.weighted_pp + r.median_pp_weight * s.median_pp + r.second_worst_pp_weight * s.second_worst_pp
    )
    cdef double stability_penalty = (
        r.mad_weight * s.mad_pp + r.iqr_weight * s.iqr_pp + r.cv_weight * s.cv_buys + r.falling_weight * max(0.0, -s.pp_slope)
    )
    cdef double coverage = (
        r.coverage_log_weight * log(1.0 + min(s.mean_buys, r.coverage_cap)) + sweet_spot(r, s.mean_buys)
        - r.coverage_excess_weight * max(0.0, s.mean_buys - r.coverage_cap) - r.crowding_weight * (crowd * crowd)
    )
    return (
        profit_base + r.wilson_weight * s.wilson_lb + coverage + r.rising_weight * max(0.0, s.pp_slope)
        - stability_penalty - r.repeat_weight * (again * again)
    )


cdef inline double sweet_spot(const Constants *r, double mean_buys) noexcept nogil:
    if mean_buys <= 0.0:
        return r.sweet_empty
    if mean_buys < r.sweet_low:
        return -r.sweet_low_slope * (r.sweet_low - mean_buys)
    if mean_buys <= r.sweet_peak:
        return r.sweet_slope * (mean_buys - r.sweet_low)
    if mean_buys <= r.sweet_high:
        return r.sweet_slope * (r.sweet_high - mean_buys)
    return -r.sweet_high_slope * (mean_buys - r.sweet_high)


@cython.cdivision(True)
cdef inline double wilson_lower_bound(double hits, double n, double z) noexcept nogil:
    """Lower end of the score interval for a proportion, in percent (Wilson 1927)."""
    cdef double p, square = z * z
    if n <= 0.0:
        return 0.0
    p = hits / n
    return 100.0 * (p + square / (2.0 * n) - z * sqrt((p * (1.0 - p) + square / (4.0 * n)) / n)) / (1.0 + square / n)


@cython.cdivision(True)
cdef inline double least_squares_slope(const double *values, int32_t n, double mean) noexcept nogil:
    """Slope of `values` on 1..n; 0 for a single one."""
    cdef double middle = (n + 1) / 2.0, above = 0.0, below = 0.0
    cdef int32_t i
    for i in range(n):
        above += (i + 1 - middle) * (values[i] - mean)
        below += (i + 1 - middle) * (i + 1 - middle)
    return above / below if n > 1 else 0.0


cdef inline void sort_days(const double *values, double *out, int32_t n) noexcept nogil:
    """Shell sort with gaps 1, 4, 13, ... (Knuth): plain insertion for a week, still fast for years of days."""
    cdef int32_t i, j, gap = 1
    cdef double value
    memcpy(out, values, n * sizeof(double))
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value, j = out[i], i
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
    return ascending[high] - step * (1.0 - share) if share >= 0.5 else ascending[low] + step * share
