"""Records of a walk-forward: judged days and weeks, and every series of picks over all of them.

Rates and returns (`*_pp`) are in percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from mp2._document import SCHEMA_VERSION, Document, Names
from mp2._overview import Entry, Overview, first_of, span
from mp2.data.frames import Backend, new_frame
from mp2.data.holding import DAY_HOLD, Hold
from mp2.errors import InputError, counted
from mp2.evidence.intervals import Interval
from mp2.groups.luck import P_SMALL
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.picks.performance import (
    PERFORMANCE_TYPES,
    Performance,
    performance_row,
    returns_series,
)
from mp2.picks.records import ALL, VOTES, Score


class Verdict(StrEnum):
    """The conclusion that the 95% interval of a difference allows."""

    BETTER = "better than the universe"
    WORSE = "worse than the universe"
    NO_BETTER = "no better than the universe"
    TOO_FEW_DAYS = "too few days"


class WalkStatus(StrEnum):
    """Whether all wanted weeks are there."""

    COMPLETE = "complete"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkDay:
    """One judged day: the universe, and the score of each series of picks (None without a pick).

    Rates and returns are in percent. `tickers`: those of each series. `universe_spread_pp`: the
    standard deviation of the returns of the universe; None in walks of earlier versions.
    """

    day: str
    n_universe: int
    universe_hit_rate_pp: float
    universe_return_pp: float
    scores: dict[str, Score | None]
    tickers: dict[str, Names]
    universe_spread_pp: float | None = None

    def net_return_pp(self, series: str) -> float | None:
        """Return what a series made, after costs where there are any; None without a pick."""
        score = self.scores.get(series)
        if score is None:
            return None
        if score.net_return_pp is None:
            return score.mean_return_pp
        return score.net_return_pp


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One series over some days.

    Rates and returns are in percent, differences (picks - universe) in percentage points.

    `n_days` days have picks, `n_days_without` have none. `n_picks` tickers were picked on these
    days, of which `n_hits` gained. Rates and returns, the universe's too, are means over the days
    with picks, so that rate - universe rate is the mean of the difference; None without such days.
    `net_return_pp` is the mean return after costs, None without costs. `performance`: of all days,
    those without picks too; None where no day has any.
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
    net_return_pp: float | None = None
    performance: Performance | None = None

    def text(self) -> str:
        """Return the verdict on the hit rate with the numbers behind it."""
        difference = self.hit_difference
        if difference is None or difference.low is None:
            return f"{self.verdict} to compare with the universe"
        rate = f"hit rate {self.hit_rate_pp:.1f}%"
        universe = f"{self.universe_hit_rate_pp:.1f}% of the universe"
        points = f"difference {difference.mean:+.1f} points"
        interval = f"95% interval {difference.low:+.1f} to {difference.high:+.1f}"
        return f"{rate} against {universe}, {points} ({interval}): {self.verdict}"


JUDGED_TYPES: dict[str, type] = {
    "n_days": int,
    "n_days_without": int,
    "n_picks": int,
    "n_hits": int,
    "hit_rate_pp": float,
    "universe_hit_rate_pp": float,
    "hit_difference": float,
    "hit_difference_low": float,
    "hit_difference_high": float,
    "mean_return_pp": float,
    "universe_return_pp": float,
    "return_difference": float,
    "return_difference_low": float,
    "return_difference_high": float,
    "verdict": str,
    "return_verdict": str,
    "net_return_pp": float,
    **PERFORMANCE_TYPES,
}
"""The fields of `Judged` as columns of a frame."""


def judged_row(judged: Judged) -> list[Any]:
    """Return the values of the columns `JUDGED_TYPES`."""
    row: list[Any] = []
    for name in judged.__slots__:
        value = getattr(judged, name)
        if name == "performance":
            row += performance_row(value)
        elif not name.endswith("_difference"):
            row.append(value)
        elif value is None:
            row += [None, None, None]
        else:
            row += [value.mean, value.low, value.high]
    return row


_WEEK_TYPES: dict[str, type] = {
    "first_searched": date,
    "last_searched": date,
    "first_judged": date,
    "last_judged": date,
    "status": str,
    "coverage": float,
    "p": float,
    "picks": str,
    **JUDGED_TYPES,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Week(Overview):
    """One searched block and the judgement of the next one.

    `searched` are the days of the search, `status` is how it ended. `n_fallbacks` counts the picks,
    over sizes and days, that come from another group than the picked one. `p`: of the best group of
    the search, None when it was not tested. `why_nothing`: the reason when no group was kept.
    """

    searched: Names
    status: Status
    elapsed_s: float
    coverage: float
    n_kept: dict[int, int]
    n_fallbacks: int
    days: tuple[WalkDay, ...]
    judged: dict[str, Judged]
    p: float | None = None
    why_nothing: str | None = None

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        judged_days = [day.day for day in self.days]
        rows: list[Entry] = [("judged", span(judged_days)), *judged_rows(self.judged)]
        return f"searched {span(self.searched)}, {self.status}", rows


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WalkForward(Overview):
    """All finished weeks, oldest first, and every series over all their days.

    `n_weeks` were wanted. `hold` is the rule of outcomes, `cost_bps` per side is taken off the net
    returns. `walk_id`: where it is stored; None for one that is not, and `store_error` says why
    where it should be.
    """

    status: WalkStatus
    n_weeks: int
    budget_s_per_week: float
    rules: Rules
    weeks: tuple[Week, ...]
    total: dict[str, Judged]
    warnings: Names
    cost_bps: float = 0.0
    hold: Hold = DAY_HOLD
    walk_id: str | None = None
    store_error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict on the hit rate of the union of the picks."""
        return self.total[ALL].verdict

    def sentence(self) -> str:
        """Return the verdict with the numbers behind it."""
        judged = self.total[ALL]
        weeks = f"{len(self.weeks)} of {self.n_weeks} weeks"
        n_days = counted(judged.n_days, "day")
        days = f"{n_days} with picks, {judged.n_days_without} without"
        return f"{weeks}, {days}: {judged.text()}."

    def luck_sentence(self) -> str | None:
        """Return in how many weeks the best group was better than luck; None without tests."""
        tested = [week.p for week in self.weeks if week.p is not None]
        if not tested:
            return None
        n_small = sum(p <= P_SMALL for p in tested)
        weeks = counted(len(tested), "week")
        expected = f"{P_SMALL * len(tested):.1f} expected by luck"
        return f"In {n_small} of {weeks} the best group had p <= {P_SMALL} ({expected})."

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [
            ("verdict", self.sentence()),
            ("walk", self.walk_id),
            ("luck", self.luck_sentence()),
            *judged_rows(self.total),
            ("warnings", first_of(self.warnings)),
        ]
        return f"{self.status}, {len(self.weeks)} of {self.n_weeks} weeks", rows

    def returns(self, series: str = ALL) -> Any:
        """Return the daily net returns of a size, "all" or "votes", as quantstats takes them.

        A pandas series of fractions, 0 on a day without a pick, with a `DatetimeIndex`. Raises
        `InputError` for another series, and where pandas is not installed.
        """
        days: list[WalkDay] = []
        for week in self.weeks:
            days += week.days
        return daily_returns(days, series, self.total)

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per week and series of picks.

        Columns: `first_searched`, `last_searched`, `first_judged`, `last_judged` (dates), `status`,
        `coverage`, `p`, `picks` (the size, "all" or "votes"), and the fields of `Judged`, of the
        differences the mean and the interval, of `performance` its fields.
        """
        rows = []
        for week in self.weeks:
            head = [
                date.fromisoformat(week.searched[0]),
                date.fromisoformat(week.searched[-1]),
                date.fromisoformat(week.days[0].day),
                date.fromisoformat(week.days[-1].day),
                week.status,
                week.coverage,
                week.p,
            ]
            for picks, judged in week.judged.items():
                rows.append((*head, picks, *judged_row(judged)))
        return new_frame(rows, _WEEK_TYPES, backend)

    def daily_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per judged day.

        Columns: `day` (date), `universe_hit_rate_pp`, `universe_return_pp`, and for each series of
        picks (a size, "all", "votes") `tickers SERIES` (with spaces between them),
        `n_picks SERIES`, `hit_rate_pp SERIES`, `return_pp SERIES` and `net_return_pp SERIES`:
        empty, 0 or null on days without a pick, the last also without costs.
        """
        types: dict[str, type] = {
            "day": date,
            "universe_hit_rate_pp": float,
            "universe_return_pp": float,
        }
        for series in self.total:
            types[f"tickers {series}"] = str
            types[f"n_picks {series}"] = int
            types[f"hit_rate_pp {series}"] = float
            types[f"return_pp {series}"] = float
            types[f"net_return_pp {series}"] = float
        rows = []
        for week in self.weeks:
            for day in week.days:
                row = [
                    date.fromisoformat(day.day),
                    day.universe_hit_rate_pp,
                    day.universe_return_pp,
                ]
                for series in self.total:
                    score = day.scores[series] or Score()
                    row += [" ".join(day.tickers[series]), score.n_picks]
                    row += [score.hit_rate_pp, score.mean_return_pp, score.net_return_pp]
                rows.append(row)
        return new_frame(rows, types, backend)

    def to_dict(self) -> Document:
        """Return everything as one JSON document."""
        document = {
            "schema_version": SCHEMA_VERSION,
            # Every document has one, also where no run is meant.
            "run_id": None,
            **asdict(self),
        }
        for week in document["weeks"]:
            # JSON keys are text.
            week["n_kept"] = {str(size): n for size, n in week["n_kept"].items()}
        document["rules"] = self.rules.to_dict()
        document["verdict"] = self.verdict
        document["sentence"] = self.sentence()
        document["luck_sentence"] = self.luck_sentence()
        document["errors"] = []
        return document


def daily_returns(
    days: Sequence[WalkDay],
    series: str,
    known: Collection[str],
) -> Any:
    """Return the net returns of one of the known series, as `WalkForward.returns` does."""
    if series not in known:
        raise InputError(f"series: {series!r} is unknown; choose from {', '.join(known)}")
    names = [day.day for day in days]
    returns_pp = [day.net_return_pp(series) for day in days]
    return returns_series(names, returns_pp, series)


def judged_rows(series: Mapping[str, Judged]) -> list[Entry]:
    """Return the rows of a short form: each series of picks beside the universe."""
    rows: list[Entry] = []
    for name, judged in series.items():
        text = f"{counted(judged.n_picks, 'pick')} on {counted(judged.n_days, 'day')}"
        if judged.hit_rate_pp is not None:
            universe = f"{judged.universe_hit_rate_pp:.1f}% of the universe"
            text += f", {judged.hit_rate_pp:.1f}% hit against {universe}"
        label = name
        if name not in (ALL, VOTES):
            label = f"size {name}"
        rows.append((label, text))
    return rows
