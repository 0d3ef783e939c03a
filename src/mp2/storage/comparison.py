"""Two stored runs side by side: settings, groups, picks, scores, luck and outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mp2._document import Document, Names
from mp2._overview import Entry, Overview
from mp2.groups.result import Group, SearchResult
from mp2.picks.judging import judge
from mp2.picks.records import ALL, VOTES, DayPicks
from mp2.picks.track import PickedDay, TrackDay, scored_day
from mp2.picks.weeks import Judged
from mp2.storage.configuration import flattened
from mp2.storage.runs import Store

Pair = tuple[Any, Any]
"""A value of the first run and that of the second one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsInCommon:
    """The kept groups of one size: how many each run has, and how many are in both.

    Groups are the same when their members have the same names. `best_score` and `picked_score` are
    those of the best and of the picked group, None without one.
    """

    n_kept: Pair
    n_common: int
    best_score: Pair
    picked_score: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class PicksInCommon:
    """What both runs picked for one day: of one size, of all sizes ("all"), or by the vote."""

    day: str
    picks: str
    n_tickers: Pair
    common: Names


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunComparison(Overview):
    """Two runs side by side; a pair has the value of the first run first.

    - `settings`: those that differ, by dotted name. `figures`: how the searches ended, and luck.
    - `groups`: by size. `picks`: for every day that both picked for.
    - `outcomes`: `mp2.picks.weeks.Judged` of each series over `scored_days`, scored in both runs.
    - `warnings`: which of the runs was compacted, and so has not all of its groups.
    """

    run_ids: Pair
    settings: dict[str, Pair]
    figures: dict[str, Pair]
    groups: dict[int, GroupsInCommon]
    picks: tuple[PicksInCommon, ...]
    scored_days: Names
    outcomes: dict[str, tuple[Judged, Judged]]
    warnings: Names = ()

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        rows: list[Entry] = [("other settings", ", ".join(self.settings) or "none")]
        for size, groups in self.groups.items():
            first, second = groups.n_kept
            rows.append((f"size {size}", f"{groups.n_common} groups of {first} and {second} kept"))
        rows.append(("days picked by both", len({one.day for one in self.picks})))
        rows.append(("days scored in both", len(self.scored_days)))
        return " and ".join(self.run_ids), rows

    def to_dict(self) -> Document:
        """Return everything as plain JSON values, sizes as text."""
        values = asdict(self)
        values["groups"] = {str(size): groups for size, groups in values["groups"].items()}
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What is compared of one run; picks and scored days are by day."""

    run_id: str
    settings: Document
    figures: Document
    result: SearchResult
    picks: dict[str, DayPicks]
    scored: dict[str, TrackDay]


def compare_runs(
    store: Store,
    first: str,
    second: str,
    *,
    cost_bps: float = 0.0,
) -> RunComparison:
    """Compare two runs of a store by their ids; `cost_bps` per side is taken off net returns.

    Raises `InputError` for a run without a result.
    """
    a = _side(store, first, cost_bps)
    b = _side(store, second, cost_bps)
    settings = {}
    for name in sorted({*a.settings, *b.settings}):
        pair = (a.settings.get(name), b.settings.get(name))
        if pair[0] != pair[1]:
            settings[name] = pair
    scored_days = sorted(a.scored.keys() & b.scored.keys())
    sizes = sorted({*a.result.kept, *b.result.kept})
    outcomes = {}
    for series in (*map(str, sizes), ALL, VOTES):
        outcomes[series] = (
            judge([a.scored[day] for day in scored_days], series),
            judge([b.scored[day] for day in scored_days], series),
        )
    warnings = []
    for run_id in (first, second):
        compaction = store.compaction(run_id)
        if compaction is not None:
            warnings.append(f"run {run_id}: {compaction}")
    return RunComparison(
        run_ids=(a.run_id, b.run_id),
        settings=settings,
        figures={name: (figure, b.figures[name]) for name, figure in a.figures.items()},
        groups={size: _groups_in_common(a.result, b.result, size) for size in sizes},
        picks=tuple(_picks_in_common(a.picks, b.picks)),
        scored_days=tuple(scored_days),
        outcomes=outcomes,
        warnings=tuple(warnings),
    )


def _figures(result: SearchResult) -> Document:
    """How a search ended, and whether its groups are better than luck; None without a test."""
    figures: Document = {
        "last_day": result.days[-1],
        "status": str(result.status),
        "coverage": result.coverage,
        "elapsed_s": result.elapsed_s,
        "attempts": result.attempts,
        "p": None,
        "luck": None,
    }
    if result.significance is not None:
        figures["p"] = result.significance.p
        figures["luck"] = result.significance.sentence()
    return figures


def _side(
    store: Store,
    run_id: str,
    cost_bps: float,
) -> _Side:
    result = store.load(run_id, starters=False)
    picks = {one.day: one for one in store.load_picks(run_id)}
    scored = {}
    for outcome in store.load_outcomes(run_id):
        one = PickedDay(
            run_id=run_id,
            began_at="",
            searched_to=result.days[-1],
            picks=picks[outcome.day],
            voted=picks[outcome.day].series()[VOTES],
            outcome=outcome,
        )
        scored[outcome.day] = scored_day(one, outcome, cost_bps)
    return _Side(
        run_id=run_id,
        settings=flattened(store.load_request(run_id)),
        figures=_figures(result),
        result=result,
        picks=picks,
        scored=scored,
    )


def _groups_in_common(
    a: SearchResult,
    b: SearchResult,
    size: int,
) -> GroupsInCommon:
    # A run that kept no group of a size, or searched for none, has no entry.
    kept = (a.kept.get(size, ()), b.kept.get(size, ()))
    return GroupsInCommon(
        n_kept=(len(kept[0]), len(kept[1])),
        n_common=len(_members_of(kept[0]) & _members_of(kept[1])),
        best_score=(_score(kept[0], 1), _score(kept[1], 1)),
        picked_score=(
            _score(kept[0], a.picked_rank.get(size)),
            _score(kept[1], b.picked_rank.get(size)),
        ),
    )


def _members_of(groups: Sequence[Group]) -> set[frozenset[tuple[str, str]]]:
    # By name: the numbers are those of one panel.
    return {
        frozenset((member.algo, member.variation) for member in group.members) for group in groups
    }


def _score(groups: Sequence[Group], rank: int | None) -> float | None:
    return next((group.score for group in groups if group.rank == rank), None)


def _picks_in_common(
    a: dict[str, DayPicks],
    b: dict[str, DayPicks],
) -> list[PicksInCommon]:
    in_common = []
    for day in sorted(a.keys() & b.keys()):
        of_a = a[day].series()
        of_b = b[day].series()
        # The sizes of both, those of the first run in front.
        for picks in {**of_a, **of_b}:
            tickers = of_a.get(picks, ())
            others = of_b.get(picks, ())
            one = PicksInCommon(
                day=day,
                picks=picks,
                n_tickers=(len(tickers), len(others)),
                common=tuple(sorted({*tickers} & {*others})),
            )
            in_common.append(one)
    return in_common
