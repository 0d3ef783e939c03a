"""The judgement of a series of picks over some days, and the verdict that its interval allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from mp2.evidence.intervals import Interval, mean_interval
from mp2.picks.performance import performance
from mp2.picks.records import ALL, VOTES, Score
from mp2.picks.weeks import Judged, Verdict, WalkDay


def judge_each(
    sizes: Iterable[int],
    days: Sequence[WalkDay],
) -> dict[str, Judged]:
    """Judge the picks of each size, the union of them and the tickers of the vote."""
    series = (*map(str, sorted(sizes)), ALL, VOTES)
    return {name: judge(days, name) for name in series}


def judge(days: Sequence[WalkDay], series: str) -> Judged:
    """Judge one series over some days."""
    # A day without a pick is not a miss: it counts as a day without.
    with_picks: list[WalkDay] = []
    scores: list[Score] = []
    for day in days:
        score = day.scores.get(series)
        if score is not None:
            with_picks.append(day)
            scores.append(score)
    hit_differences = _column(scores, "hit_difference_pp")
    return_differences = _column(scores, "return_difference_pp")
    hit_difference = mean_interval(hit_differences)
    return_difference = mean_interval(return_differences)
    net_return_pp = None
    # Costs are those of all days: every score has a net return, or none has.
    if any(score.net_return_pp is not None for score in scores):
        net_return_pp = _mean(scores, "net_return_pp")
    return Judged(
        n_days=len(scores),
        n_days_without=len(days) - len(scores),
        n_picks=sum(_column(scores, "n_picks")),
        n_hits=sum(_column(scores, "n_hits")),
        hit_rate_pp=_mean(scores, "hit_rate_pp"),
        # Of the same days, so that the mean difference is the difference of the means.
        universe_hit_rate_pp=_mean(with_picks, "universe_hit_rate_pp"),
        hit_difference=hit_difference,
        mean_return_pp=_mean(scores, "mean_return_pp"),
        universe_return_pp=_mean(with_picks, "universe_return_pp"),
        return_difference=return_difference,
        verdict=verdict_on(hit_difference),
        return_verdict=verdict_on(return_difference),
        net_return_pp=net_return_pp,
        performance=performance(
            [day.day for day in days],
            [day.net_return_pp(series) for day in days],
            [day.tickers.get(series, ()) for day in days],
        ),
    )


def verdict_on(difference: Interval | None) -> Verdict:
    """Return better or worse only when the whole interval is on one side of zero."""
    if difference is None or difference.low is None or difference.high is None:
        return Verdict.TOO_FEW_DAYS
    if difference.low > 0:
        return Verdict.BETTER
    if difference.high < 0:
        return Verdict.WORSE
    return Verdict.NO_BETTER


def _column(records: Iterable[object], name: str) -> list[Any]:
    return [getattr(record, name) for record in records]


def _mean(records: Sequence[object], name: str) -> float | None:
    if not records:
        return None
    return fmean(_column(records, name))
