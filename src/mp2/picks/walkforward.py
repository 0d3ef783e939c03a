"""Search and outcome over past weeks: would the picks have done better than the universe?

Trading days are cut into blocks of five. Each block but the last is searched; the groups kept are
applied to each day of the next block, with that day's signals, and scored on that day's bars. So no
day is judged twice, and none by groups that were chosen with a look at it.

What is judged, each on its own: the pick of each retained size (`"3"`, `"4"`, ...), the union of
these picks (`"all"`) and the tickers of the vote (`"votes"`). The verdict of the whole is that of
`"all"`, named here before any number is known: the best of several series looks better than it is.

A day counts once, however many tickers it has: the difference is the mean over days with picks of
(picks - universe), its interval Student's t over these days, taken as independent. Tickers the
price table leaves out (a gap, an early end) are missing from picks and universe alike.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from mp2._document import SCHEMA_VERSION
from mp2.data.prices import PriceTable
from mp2.errors import InputError
from mp2.evidence.intervals import Interval, mean_interval
from mp2.groups import search as group_search
from mp2.groups.result import SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.picks.outcome import Universe
from mp2.picks.pick import pick_day
from mp2.picks.records import DayPicks, Score
from mp2.signals.grids import Grids
from mp2.signals.sheet import SignalSheet, compute_signals

DAYS_PER_WEEK = 5
ALL, VOTES = "all", "votes"


class Verdict(StrEnum):
    """What the 95% interval of a difference allows to say."""

    BETTER = "better than the universe"
    WORSE = "worse than the universe"
    NO_BETTER = "no better than the universe"
    TOO_FEW_DAYS = "too few days"


class WalkStatus(StrEnum):
    """Whether all weeks asked for are there."""

    COMPLETE = "complete"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkDay:
    """One day judged: the universe, and by series the score of its picks (None: no pick).

    Rates and returns in percent.
    """

    day: str
    n_universe: int
    universe_hit_rate_pp: float
    universe_return_pp: float
    scores: dict[str, Score | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One series over some days. Rates and returns are percent, differences (picks less universe) percentage points.

    `n_days` days have picks, `n_days_without` have none. `n_picks` tickers on these days, of which
    `n_hits` closed above their open. Rates and returns, the universe's too, are means over the days
    with picks, so that rate - universe rate is the mean of the difference; None without such days.
    """

    n_days: int
    n_days_without: int
    n_picks: int
    n_hits: int
    hit_rate_pp: float | None
    universe_hit_rate_pp: float | None
    hit_difference: Interval | None
    mean_return_pp: float | None
    universe_return_pp: float | None
    return_difference: Interval | None
    verdict: Verdict
    return_verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """One block searched and the next one judged. `searched` are the days of the search, `status` is how it ended.

    `n_fallbacks`: picks, over sizes and days, that are not the run's own but those of a group
    standing in.
    """

    searched: tuple[str, ...]
    status: Status
    elapsed_s: float
    coverage: float
    n_kept: dict[int, int]
    n_fallbacks: int
    days: tuple[WalkDay, ...]
    judged: dict[str, Judged]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForward:
    """All weeks, oldest first, and every series over all their days; `n_weeks` were asked for."""

    status: WalkStatus
    n_weeks: int
    budget_s_per_week: float
    rules: Rules
    weeks: tuple[Week, ...]
    total: dict[str, Judged]
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """That of the union of the picks, on the hit rate."""
        return self.total[ALL].verdict

    def sentence(self) -> str:
        """The verdict with the numbers behind it."""
        judged = self.total[ALL]
        n_days = f"{judged.n_days} day{'s' if judged.n_days != 1 else ''} with picks, {judged.n_days_without} without"
        head = f"{len(self.weeks)} of {self.n_weeks} weeks, {n_days}"
        difference = judged.hit_difference
        if difference is None or difference.low is None:
            return f"{head}: {judged.verdict} to compare with the universe."
        rates = f"hit rate {judged.hit_rate_pp:.1f}% against {judged.universe_hit_rate_pp:.1f}% of the universe"
        interval = f"95% interval {difference.low:+.1f} to {difference.high:+.1f}"
        return f"{head}: {rates}, difference {difference.mean:+.1f} points ({interval}): {judged.verdict}."

    def to_dict(self) -> dict[str, Any]:
        """Everything as one JSON document."""
        plain = asdict(self)
        weeks = [
            {**week, "n_kept": {str(size): n for size, n in week["n_kept"].items()}}
            for week in plain["weeks"]
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": None,
            **plain,
            "weeks": weeks,
            "rules": self.rules.to_dict(),
            "warnings": list(self.warnings),
            "verdict": self.verdict,
            "sentence": self.sentence(),
            "errors": [],
        }


def walk_forward(
    prices: PriceTable,
    *,
    weeks: int = 26,
    budget_s_per_week: float = 10.0,
    workers: int = 4,
    rules: Rules | None = None,
    end: str | None = None,
    min_tickers: int = 1,
    top_groups: int = 50,
    grids: Grids | None = None,
    count: str = "exact",
    without: Collection[str] = (),
    stop: threading.Event | None = None,
    observe: Callable[[int, int], None] | None = None,
    search: Callable[..., SearchResult] = group_search.search,
    signals: Callable[..., SignalSheet] = compute_signals,
) -> WalkForward:
    """Search and judge `weeks` blocks of five trading days, the last ending at `end` (ISO; default: the last date).

    The signals of all days are computed once. `budget_s_per_week` seconds, `workers`, `count` and
    `without` go to each search; `min_tickers` and `top_groups` are those of `pick_day`, `grids`
    those of `compute_signals`. `observe` gets the weeks done and to do. Setting `stop` ends the
    walk with the weeks finished so far; while signals are computed it raises `ReadStoppedError`.

    Raises `InputError` for unusable settings and for too short a history.
    """
    rules = rules or Rules()
    n_days = _n_days(prices.dates, weeks, end)
    sheet = signals(prices, n_days=n_days, end=end, grids=grids, stop=stop)
    settings = SearchSettings(
        budget_s=budget_s_per_week, workers=workers, rules=rules, count=count, without=without
    )
    done: list[Week] = []
    while len(done) < weeks and not _is_set(stop):
        if observe is not None:
            observe(len(done), weeks)
        first = DAYS_PER_WEEK * len(done)
        panel = sheet.panel(first, DAYS_PER_WEEK)
        result = search(
            panel,
            settings,
            stop=stop,
        )
        if _is_set(stop):
            break  # this search had less time than the others
        done.append(_week(result, sheet, first + DAYS_PER_WEEK, min_tickers, top_groups))
    if observe is not None:
        observe(len(done), weeks)
    series = _series(rules.retain_sizes)
    return WalkForward(
        status=WalkStatus.COMPLETE if len(done) == weeks else WalkStatus.STOPPED,
        n_weeks=weeks,
        budget_s_per_week=budget_s_per_week,
        rules=rules,
        weeks=tuple(done),
        total=_judge_each(series, [day for week in done for day in week.days]),
        warnings=sheet.warnings,
    )


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()


def _n_days(dates: Sequence[str], weeks: int, end: str | None) -> int:
    """Days whose signals are needed.

    The first date has no bar before it, so it cannot be one of them.
    """
    if weeks < 1:
        raise InputError(f"weeks: {weeks} is below 1; give 1 or more")
    n_days = DAYS_PER_WEEK * (weeks + 1)
    n_known = len(dates) if end is None else bisect_right(dates, end)
    if n_days >= n_known:
        at_most = (n_known - 1) // DAYS_PER_WEEK - 1
        remedy = f"ask for {at_most} weeks or fewer" if at_most > 0 else "give a longer history"
        until = f" up to {end}" if end else ""
        raise InputError(
            f"weeks: {weeks} need {n_days + 1} dates; the prices have {n_known}{until}; {remedy}"
        )
    return n_days


def _week(
    result: SearchResult, sheet: SignalSheet, first: int, min_tickers: int, top_groups: int
) -> Week:
    """The days from position `first` on, judged by the groups of `result`."""
    applied = range(first, first + DAYS_PER_WEEK)
    picks = [
        pick_day(result, sheet, sheet.days[d], min_tickers=min_tickers, top_groups=top_groups)
        for d in applied
    ]
    days = tuple(_walk_day(own, sheet, d) for own, d in zip(picks, applied, strict=True))
    return Week(
        searched=result.days,
        status=result.status,
        elapsed_s=result.elapsed_s,
        coverage=result.coverage,
        n_kept={size: len(groups) for size, groups in result.kept.items()},
        n_fallbacks=sum(
            pick is not None and pick.fallback_from is not None
            for own in picks
            for pick in own.picks.values()
        ),
        days=days,
        judged=_judge_each(_series(result.kept), days),
    )


def _walk_day(picks: DayPicks, sheet: SignalSheet, day_idx: int) -> WalkDay:
    universe = Universe(sheet.tickers, sheet.open[day_idx], sheet.close[day_idx])
    chosen: dict[str, Iterable[str]] = {
        str(size): pick.tickers if pick else () for size, pick in picks.picks.items()
    }
    chosen |= {ALL: picks.tickers(), VOTES: [vote.ticker for vote in picks.votes]}
    scores = {series: universe.score(tickers) for series, tickers in chosen.items()}
    return WalkDay(
        day=picks.day,
        n_universe=universe.n,
        universe_hit_rate_pp=universe.hit_rate_pp or 0.0,
        universe_return_pp=universe.mean_return_pp or 0.0,
        scores={series: score if score.n_picks else None for series, score in scores.items()},
    )


# --- judging -------------------------------------------------------------------------------------------------------


def _series(sizes: Iterable[int]) -> tuple[str, ...]:
    return (*map(str, sorted(sizes)), ALL, VOTES)


def _judge_each(series: Iterable[str], days: Sequence[WalkDay]) -> dict[str, Judged]:
    return {name: judge(days, name) for name in series}


def judge(days: Sequence[WalkDay], series: str) -> Judged:
    """One series over some days."""
    scored = [(day, score) for day in days if (score := day.scores[series]) is not None]
    hit_difference = mean_interval(_known(score.hit_difference_pp for _, score in scored))
    return_difference = mean_interval(_known(score.return_difference_pp for _, score in scored))
    return Judged(
        n_days=len(scored),
        n_days_without=len(days) - len(scored),
        n_picks=sum(score.n_picks for _, score in scored),
        n_hits=sum(score.n_hits for _, score in scored),
        hit_rate_pp=_mean(score.hit_rate_pp for _, score in scored),
        universe_hit_rate_pp=_mean(day.universe_hit_rate_pp for day, _ in scored),
        hit_difference=hit_difference,
        mean_return_pp=_mean(score.mean_return_pp for _, score in scored),
        universe_return_pp=_mean(day.universe_return_pp for day, _ in scored),
        return_difference=return_difference,
        verdict=verdict_on(hit_difference),
        return_verdict=verdict_on(return_difference),
    )


def verdict_on(difference: Interval | None) -> Verdict:
    """Better or worse only where the whole interval lies on one side of zero."""
    if difference is None or difference.low is None or difference.high is None:
        return Verdict.TOO_FEW_DAYS
    if difference.low > 0:
        return Verdict.BETTER
    return Verdict.WORSE if difference.high < 0 else Verdict.NO_BETTER


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return fmean(known) if known else None
