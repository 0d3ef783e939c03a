"""The track record: how the scored picks of stored runs did, by configuration.

A day counts once in a configuration, by the run whose picks a user had in hand on that day:
`one_per_day` says which that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from mp2._document import SCHEMA_VERSION, Document, Fields, Names
from mp2._overview import Entry, Overview, first_of, span
from mp2.data.frames import Backend, new_frame
from mp2.errors import counted
from mp2.picks.costs import with_costs
from mp2.picks.judging import judge, judge_each
from mp2.picks.records import ALL, SCORE_TYPES, VOTES, DayPicks, Outcome, Score, score_row
from mp2.picks.weeks import (
    JUDGED_TYPES,
    Judged,
    WalkDay,
    daily_returns,
    judged_row,
    judged_rows,
)

IDEA_RANKS: tuple[tuple[str, int, int], ...] = (
    ("1", 1, 1),
    ("2-10", 2, 10),
    ("11-100", 11, 100),
    # No rank is as large as the last one.
    ("over 100", 101, 2**62),
)
"""Ranks of ideas that are judged together: name, first and last."""

# Each takes a line or two of the short form.
_MAX_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedDay:
    """The picks of a stored run for one day, and their outcome once it is known.

    `began_at`: when the run began, ISO 8601 in UTC. `searched_to`: the last day it searched.
    `voted`: the tickers of the vote, which `picks` need not have.
    """

    run_id: str
    began_at: str
    searched_to: str
    picks: DayPicks
    voted: Names
    outcome: Outcome | None

    @property
    def session(self) -> str:
        """The day traded: after a holiday that was not known, the next one."""
        if self.outcome is None or self.outcome.session is None:
            return self.picks.day
        return self.outcome.session

    @property
    def is_late(self) -> bool:
        """Whether the run began after the day, when its prices may have been known."""
        return self.began_at[: len(self.session)] > self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackDay(WalkDay):
    """One scored day of a configuration, judged by the picks of `run_id`.

    `ideas`: by size, the rank of the idea that was picked, None where an earlier version did not
    store it.
    """

    run_id: str
    ideas: dict[str, int | None]

    def rows(self) -> Iterator[list[Any]]:
        """Yield the values of each series with a pick, for `TrackRecord.daily_frame`."""
        for picks, score in self.scores.items():
            if score is None:
                continue
            row: list[Any] = [date.fromisoformat(self.day), self.run_id, picks]
            # A union and the votes have no idea of their own.
            row += [self.ideas.get(picks), " ".join(self.tickers[picks])]
            row += score_row(score)
            row += [self.universe_hit_rate_pp, self.universe_return_pp]
            yield row


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConfigurationRecord(Overview):
    """The record of one configuration.

    - `configuration`: its id, eight characters; `label` and `settings` say what it is.
    - `days`: the scored ones, oldest first. `n_pending` more days are picked and not scored.
    - `n_late`: scored days whose run began after the day.
    - `total`: every series of picks over all days: each size, "all" (their union), "votes".
    - `by_idea`: of each size, the days whose pick has an idea of these ranks (`IDEA_RANKS`).
    - `cost_bps` per side is taken off the net returns.
    """

    configuration: str
    label: str
    settings: Document
    n_runs: int
    days: tuple[TrackDay, ...]
    n_pending: int
    n_late: int
    total: dict[str, Judged]
    by_idea: dict[str, dict[str, Judged]]
    cost_bps: float = 0.0

    def sentence(self) -> str:
        """Return the record of the union of the picks in one sentence, with its interval."""
        judged = self.total[ALL]
        head = f"{counted(judged.n_days, 'scored day')} with picks"
        if not judged.n_days:
            return f"{head}."
        if self.n_late:
            head += f", {self.n_late} of them searched after the day"
        text = f"{head}: {judged.text()}; mean return {judged.mean_return_pp:+.2f}%"
        if judged.net_return_pp is not None:
            text += f", {judged.net_return_pp:+.2f}% after {self.cost_bps:g} bps a side"
        return f"{text}."

    def returns(self, series: str = ALL) -> Any:
        """Return the net returns of the scored days, as `WalkForward.returns` does."""
        return daily_returns(self.days, series, self.total)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [("record", self.sentence()), *judged_rows(self.total)]
        rows.append(("days", span([day.day for day in self.days])))
        return f"{self.configuration}, {self.label}", rows

    def to_dict(self) -> Document:
        """Return everything as plain JSON values."""
        return {**asdict(self), "sentence": self.sentence()}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TrackRecord(Overview):
    """The records of all configurations, the one used last first."""

    configurations: tuple[ConfigurationRecord, ...]
    warnings: Names = ()

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [
            (record.configuration, f"{record.label}: {record.sentence()}")
            for record in self.configurations[:_MAX_SHOWN]
        ]
        rows.append(("warnings", first_of(self.warnings)))
        n_days = sum(len(record.days) for record in self.configurations)
        counts = counted(len(self.configurations), "configuration")
        return f"{counts}, {counted(n_days, 'scored day')}", rows

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per configuration, series of picks and ranks of ideas.

        Columns: `configuration`, `label`, `n_runs`, `picks` (the size, "all" or "votes"),
        `idea_ranks` ("any", or one of `IDEA_RANKS`), and the fields of `Judged`, of the differences
        mean, low and high, of `performance` its fields.
        """
        types: dict[str, type] = {
            "configuration": str,
            "label": str,
            "n_runs": int,
            "picks": str,
            "idea_ranks": str,
            **JUDGED_TYPES,
        }
        rows = []
        for record in self.configurations:
            head = (record.configuration, record.label, record.n_runs)
            for picks, judged in record.total.items():
                rows.append((*head, picks, "any", *judged_row(judged)))
                for ranks, of_ranks in record.by_idea.get(picks, {}).items():
                    rows.append((*head, picks, ranks, *judged_row(of_ranks)))
        return new_frame(rows, types, backend)

    def daily_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per configuration, scored day and series with a pick.

        Columns: `configuration`, `day` (date), `run_id`, `picks` (the size, "all" or "votes"),
        `idea` (rank of the idea picked, or null), `tickers` (with spaces between them), the fields
        of `Score` but the names, `universe_hit_rate_pp` and `universe_return_pp`.
        """
        types: dict[str, type] = {
            "configuration": str,
            "day": date,
            "run_id": str,
            "picks": str,
            "idea": int,
            "tickers": str,
            **SCORE_TYPES,
            "universe_hit_rate_pp": float,
            "universe_return_pp": float,
        }
        rows = []
        for record in self.configurations:
            for day in record.days:
                rows += [[record.configuration, *row] for row in day.rows()]
        return new_frame(rows, types, backend)

    def to_dict(self) -> Document:
        """Return everything as one JSON document."""
        return {
            "schema_version": SCHEMA_VERSION,
            # Every document has one, also where no run is meant.
            "run_id": None,
            "status": "ok",
            "configurations": [record.to_dict() for record in self.configurations],
            "warnings": list(self.warnings),
            "errors": [],
        }


def one_per_day(picked: Iterable[PickedDay]) -> list[PickedDay]:
    """Return the picks that count for each day, oldest first; `picked` come as their runs began.

    A run that began by the end of the day (in UTC) counts before one that began later, and one that
    searched to a later day before the others. Of several that are alike, the last one counts: its
    picks are those one had in hand. Where they began after the day, the first one does.
    """
    counting: dict[str, PickedDay] = {}
    for one in picked:
        former = counting.get(one.session)
        if former is None or _comes_before(one, former):
            counting[one.session] = one
    return [counting[day] for day in sorted(counting)]


def _comes_before(later: PickedDay, former: PickedDay) -> bool:
    """Whether the picks of a run that began later count instead of those of a former one."""
    if later.is_late != former.is_late:
        return former.is_late
    if later.searched_to != former.searched_to:
        return later.searched_to > former.searched_to
    # A search may be repeated until the outcome, which is known by then, looks good.
    return not later.is_late


def configuration_record(
    configuration: str,
    label: str,
    settings: Fields,
    picked: Sequence[PickedDay],
    cost_bps: float = 0.0,
) -> ConfigurationRecord:
    """Judge the picks of the runs of one configuration, in the order the runs began."""
    counting = one_per_day(picked)
    scored = []
    n_late = 0
    for one in counting:
        if one.outcome is not None and one.outcome.session is not None:
            scored.append(scored_day(one, one.outcome, cost_bps))
            n_late += one.is_late
    sizes: set[int] = set()
    for one in picked:
        sizes.update(one.picks.picks)
    by_idea = {}
    for size in sorted(sizes):
        by_idea[str(size)] = _judge_ideas(scored, str(size))
    return ConfigurationRecord(
        configuration=configuration,
        label=label,
        settings=dict(settings),
        n_runs=len({one.run_id for one in picked}),
        days=tuple(scored),
        n_pending=len(counting) - len(scored),
        n_late=n_late,
        total=judge_each(sizes, scored),
        by_idea=by_idea,
        cost_bps=cost_bps,
    )


def scored_day(
    one: PickedDay,
    outcome: Outcome,
    cost_bps: float = 0.0,
) -> TrackDay:
    """Return a day's picks with their scores, after costs per side."""
    stored = {str(size): score for size, score in outcome.sizes.items()}
    stored[ALL] = outcome.all_sizes
    stored[VOTES] = outcome.votes
    scores: dict[str, Score | None] = dict.fromkeys(stored)
    for series, score in stored.items():
        # Without a bar of any ticker there is nothing to judge.
        if score is not None and score.hit_rate_pp is not None:
            scores[series] = with_costs(score, cost_bps)
    ideas: dict[str, int | None] = {}
    for size, pick in one.picks.picks.items():
        ideas[str(size)] = None
        if pick is not None:
            ideas[str(size)] = pick.idea
    return TrackDay(
        day=one.session,
        n_universe=outcome.n_universe,
        universe_hit_rate_pp=outcome.universe_hit_rate_pp or 0.0,
        universe_return_pp=outcome.universe_return_pp or 0.0,
        scores=scores,
        tickers=one.picks.series() | {VOTES: one.voted},
        run_id=one.run_id,
        ideas=ideas,
    )


def _judge_ideas(days: Sequence[TrackDay], size: str) -> dict[str, Judged]:
    """Judge the pick of a size by the ranks of its ideas; those without a day are left out."""
    judged = {}
    for name, first, last in IDEA_RANKS:
        of_ranks = []
        for day in days:
            # 0 is no rank: of no pick, or of one that an earlier version stored.
            rank = day.ideas.get(size) or 0
            if first <= rank <= last:
                of_ranks.append(day)
        if of_ranks:
            judged[name] = judge(of_ranks, size)
    return judged
