"""The specification's formulas in one place: day weights, synergy score, eligibility and final pick.

Everything is vectorised over groups (leading axis n) and over nothing else: sums over days run in date order from left
to right, standard deviations are two-pass, so that the values are those the kernel computes for one group at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mp2.groups.rules import Rules

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Statistics:
    """What the score is made of, for n groups over D days: `pp` is float64[n, D], the others are float64[n].

    `*_pp` and `wilson_lb` are percent, `pp_slope` percentage points per day, `mean_buys` and `max_buys` tickers per day.
    """

    pp: FloatArray
    weighted_pp: FloatArray
    pooled_pp: FloatArray
    median_pp: FloatArray
    second_worst_pp: FloatArray
    mad_pp: FloatArray
    iqr_pp: FloatArray
    mean_buys: FloatArray
    max_buys: FloatArray
    cv_buys: FloatArray
    wilson_lb: FloatArray
    pp_slope: FloatArray
    repeat_factor: FloatArray
    score: FloatArray


def day_weights(base_win_rates: FloatArray, rules: Rules) -> FloatArray:
    """Weight of each day, float64[D], from its base win rate in percent: harder days count more."""
    if not base_win_rates.any():
        return np.ones_like(base_win_rates)
    raw = 1.0 + rules.day_weight_slope * (_mean(base_win_rates) - base_win_rates)
    return np.clip(raw, rules.day_weight_min, rules.day_weight_max)


def describe(
    buys: IntArray, hits: IntArray, n_union: IntArray, weights: FloatArray, rules: Rules
) -> Statistics:
    """Statistics and score of n groups.

    `buys` and `hits` are int64[n, D] with `hits <= buys`, D >= 1; `n_union` int64[n] counts the different tickers of a
    group's consensus over all days; `weights` is `day_weights(...)`, float64[D].
    """
    pp = _ratio(100.0 * hits, buys)
    total_buys, total_hits = buys.sum(axis=1), hits.sum(axis=1)
    weighted_pp, median_pp = _mean(pp * weights), np.median(pp, axis=1)
    second_worst_pp = np.sort(pp, axis=1)[:, :2][:, -1]
    mad_pp = _mean(np.abs(pp - median_pp[:, np.newaxis]))
    upper_pp, lower_pp = np.percentile(pp, (75, 25), axis=1)
    iqr_pp = upper_pp - lower_pp
    mean_buys, max_buys = total_buys / buys.shape[1], buys.max(axis=1).astype(np.float64)
    cv_buys = _ratio(_nonzero_deviation(buys), mean_buys)
    wilson_lb = wilson_lower_bound(total_hits, total_buys, rules.wilson_z)
    pp_slope, repeat_factor = _slope(pp), total_buys / np.maximum(1, n_union)

    score = (
        _profit_base(weighted_pp, median_pp, second_worst_pp, rules)
        + rules.wilson_weight * wilson_lb
        + _coverage(mean_buys, max_buys, rules)
        + rules.rising_weight * np.maximum(0.0, pp_slope)
        - _stability_penalty(mad_pp, iqr_pp, cv_buys, pp_slope, rules)
        - rules.repeat_weight * np.square(np.maximum(0.0, repeat_factor - rules.repeat_tolerance))
    )
    return Statistics(
        pp=pp,
        weighted_pp=weighted_pp,
        pooled_pp=(100.0 * total_hits) / np.maximum(1, total_buys),
        median_pp=median_pp,
        second_worst_pp=second_worst_pp,
        mad_pp=mad_pp,
        iqr_pp=iqr_pp,
        mean_buys=mean_buys,
        max_buys=max_buys,
        cv_buys=cv_buys,
        wilson_lb=wilson_lb,
        pp_slope=pp_slope,
        repeat_factor=repeat_factor,
        score=score,
    )


def eligible(statistics: Statistics, rules: Rules) -> BoolArray:
    """Which of the n groups may be retained: bool[n]."""
    return (
        (statistics.pooled_pp >= rules.min_pooled_pp)
        & (statistics.max_buys <= rules.max_daily_buys)
        & (statistics.mad_pp <= rules.max_mad_pp)
        & (statistics.iqr_pp <= rules.max_iqr_pp)
        & (statistics.cv_buys <= rules.max_cv_buys)
        & (statistics.wilson_lb >= rules.min_wilson_lb)
    )


def pick(scores: FloatArray, pp: FloatArray, rules: Rules) -> int | None:
    """Index of the chosen group among the kept ones of a size, None when none was kept.

    `scores` float64[n] come best first, `pp` float64[n, D] are the groups' daily hit rates. Among the groups of stable
    hit rate the choice is one whose score is good but not the very best of all, which luck helps most.
    """
    if not len(scores):
        return None
    stability = _mean(pp) - rules.pick_deviation_weight * _deviation(pp, spare=0)
    threshold = np.sort(stability)[int(rules.pick_quantile * (len(scores) - 1))]
    pool = np.flatnonzero(stability >= threshold)
    target = _mean(scores[pool]) + rules.pick_target_deviations * _deviation(scores[pool], spare=1)
    reaching = pool[scores[pool] >= target]
    return int(reaching[np.argmin(scores[reaching] - target)] if len(reaching) else pool[0])


def wilson_lower_bound(n_hits: IntArray, n_buys: IntArray, z: float) -> FloatArray:
    """Lower end of the Wilson score interval (Wilson 1927) of `n_hits / n_buys`, percent; 0 where there is no buy."""
    n = np.maximum(1, n_buys)
    p, z2 = n_hits / n, z * z
    margin = z * np.sqrt((p * (1.0 - p) + z2 / (4.0 * n)) / n)
    bound: FloatArray = 100.0 * (p + z2 / (2.0 * n) - margin) / (1.0 + z2 / n)
    return np.where(n_buys > 0, bound, 0.0)


def sweet_spot(mean_buys: FloatArray, rules: Rules) -> FloatArray:
    """Bonus for a handful of tickers a day, growing up to `sweet_peak`, and penalty for fewer or many more."""
    pieces = [
        (mean_buys <= 0.0, np.full_like(mean_buys, rules.sweet_empty)),
        (mean_buys < rules.sweet_low, -rules.sweet_low_slope * (rules.sweet_low - mean_buys)),
        (mean_buys <= rules.sweet_peak, rules.sweet_slope * (mean_buys - rules.sweet_low)),
        (mean_buys <= rules.sweet_high, rules.sweet_slope * (rules.sweet_high - mean_buys)),
    ]
    above = -rules.sweet_high_slope * (mean_buys - rules.sweet_high)
    return np.select([where for where, _ in pieces], [value for _, value in pieces], default=above)


def _profit_base(
    weighted_pp: FloatArray, median_pp: FloatArray, second_worst_pp: FloatArray, rules: Rules
) -> FloatArray:
    return (
        rules.weighted_pp_weight * weighted_pp
        + rules.median_pp_weight * median_pp
        + rules.second_worst_pp_weight * second_worst_pp
    )


def _stability_penalty(
    mad_pp: FloatArray, iqr_pp: FloatArray, cv_buys: FloatArray, pp_slope: FloatArray, rules: Rules
) -> FloatArray:
    falling = np.maximum(0.0, -pp_slope)
    return (
        rules.mad_weight * mad_pp
        + rules.iqr_weight * iqr_pp
        + rules.cv_weight * cv_buys
        + rules.falling_weight * falling
    )


def _coverage(mean_buys: FloatArray, max_buys: FloatArray, rules: Rules) -> FloatArray:
    return (
        rules.coverage_log_weight * np.log(1.0 + np.minimum(mean_buys, rules.coverage_cap))
        + sweet_spot(mean_buys, rules)
        - rules.coverage_excess_weight * np.maximum(0.0, mean_buys - rules.coverage_cap)
        - rules.crowding_weight * np.square(np.maximum(0.0, max_buys - rules.crowding_cap))
    )


def _slope(pp: FloatArray) -> FloatArray:
    """Least-squares slope over days 1..D, [n, D] -> [n]; 0 when D = 1."""
    n_days = pp.shape[1]
    day = np.arange(1.0, n_days + 1.0) - (n_days + 1) / 2
    products = _sum(day * (pp - _mean(pp)[:, np.newaxis]))
    return _ratio(products, _sum(day * day))


def _nonzero_deviation(buys: IntArray) -> FloatArray:
    """Sample standard deviation of the non-zero entries of each row, [n, D] -> [n]; 0 with fewer than two."""
    n_nonzero = np.count_nonzero(buys, axis=1)
    centre = buys.sum(axis=1) / np.maximum(1, n_nonzero)
    squares = np.where(buys > 0, np.square(buys - centre[:, np.newaxis]), 0.0)
    return np.where(n_nonzero > 1, np.sqrt(_sum(squares) / np.maximum(1, n_nonzero - 1)), 0.0)


def _deviation(values: FloatArray, *, spare: int) -> FloatArray:
    """Standard deviation over the last axis, dividing by its length less `spare`; 0 when that leaves nothing."""
    n_free = values.shape[-1] - spare
    squares = _sum(np.square(values - _mean(values)[..., np.newaxis]))
    return np.sqrt(squares / n_free) if n_free > 0 else np.zeros_like(squares)


def _mean(values: FloatArray) -> FloatArray:
    mean: FloatArray = _sum(values) / values.shape[-1]
    return mean


def _sum(values: FloatArray) -> FloatArray:
    """Sum over the last axis from left to right; `np.sum` may add in pairs, running sums cannot."""
    running: FloatArray = np.add.accumulate(values, axis=-1)
    return running[..., -1]


def _ratio(part: npt.NDArray[np.floating], whole: npt.NDArray[np.number]) -> FloatArray:
    """`part / whole`, 0 where `whole` is 0."""
    ratio: FloatArray = np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
    return ratio
