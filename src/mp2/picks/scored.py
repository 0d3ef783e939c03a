"""The record of a run: how its picks of earlier days did, as far as they are scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from mp2.errors import counted
from mp2.picks.costs import net_return_pp
from mp2.picks.performance import Performance, performance
from mp2.picks.records import DayPicks, Outcome, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredDays:
    """The picks of one size on `n_days` scored days, every day counting once.

    Of `n_tickers` picked, `n_hits` gained. Rates and returns are means over the days, in percent;
    `net_return_pp` and `performance` are after `cost_bps` per side.
    """

    n_days: int
    n_tickers: int
    n_hits: int
    hit_rate_pp: float
    universe_hit_rate_pp: float
    mean_return_pp: float
    cost_bps: float
    net_return_pp: float
    performance: Performance | None = None

    def sentence(self) -> str:
        """Return the record in one line."""
        days = counted(self.n_days, "day")
        universe = f"{self.universe_hit_rate_pp:.1f}% of the universe"
        text = f"{days}, hit rate {self.hit_rate_pp:.1f}% against {universe}"
        text += f", mean return {self.mean_return_pp:+.2f}%"
        if self.cost_bps:
            text += f", {self.net_return_pp:+.2f}% after {self.cost_bps:g} bps a side"
        if self.performance is not None:
            text += f", {self.performance.text()}"
        return text


def scored_days(
    outcomes: Iterable[Outcome],
    picks: Iterable[DayPicks],
    *,
    before: str | None = None,
    cost_bps: float = 0.0,
) -> dict[int, ScoredDays]:
    """Return the record by size, of the days before an ISO date; a size without one is left out.

    `outcomes` and `picks` come by day.
    """
    series_on = {picked.day: picked.series() for picked in picks}
    days_of: dict[int, list[tuple[Outcome, Score]]] = {}
    for outcome in outcomes:
        if before is not None and outcome.day >= before:
            continue
        for size, score in outcome.sizes.items():
            # A pick of which no ticker has a bar neither hit nor missed.
            if score is not None and score.hit_rate_pp is not None:
                days_of.setdefault(size, []).append((outcome, score))
    record: dict[int, ScoredDays] = {}
    for size, days in sorted(days_of.items()):
        scores = [score for _, score in days]
        net = [net_return_pp(score, cost_bps) for score in scores]
        tickers = []
        for outcome, _ in days:
            series = series_on.get(outcome.day, {})
            tickers.append(series.get(str(size), ()))
        record[size] = ScoredDays(
            n_days=len(days),
            n_tickers=sum(score.n_tickers for score in scores),
            n_hits=sum(score.n_hits for score in scores),
            hit_rate_pp=fmean(score.hit_rate_pp or 0.0 for score in scores),
            universe_hit_rate_pp=fmean(outcome.universe_hit_rate_pp or 0.0 for outcome, _ in days),
            mean_return_pp=fmean(score.mean_return_pp or 0.0 for score in scores),
            cost_bps=cost_bps,
            net_return_pp=fmean(net),
            performance=performance(
                [outcome.session or outcome.day for outcome, _ in days],
                net,
                tickers,
            ),
        )
    return record
