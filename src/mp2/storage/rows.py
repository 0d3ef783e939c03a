"""How a search's records become rows of the store's tables and back; `store.py` holds the tables and talks to SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from functools import cache
from typing import Any

from mp2.errors import InputError
from mp2.groups.result import (
    DayConsensus,
    DayStats,
    Group,
    Member,
    SearchResult,
    StarterRecord,
    StarterStatus,
    Status,
)
from mp2.groups.rules import Rules
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score, SizePick, Vote
from mp2.storage.intact import intact

Row = tuple[Any, ...]

STARTER_COLUMNS = tuple(spec.name for spec in fields(StarterRecord))
"""Columns of a starter's row, in order; the table has `run` before them."""

STATISTICS = tuple(spec.name for spec in fields(Group) if spec.type == "float")
"""The score and the statistics behind it: fields of `Group` that are columns of their own."""

GROUP_COLUMNS = ("size", "rank", "members", *STATISTICS)
DAY_COLUMNS = ("size", "rank", "day_idx", "day", "buys", "hits", "pp", "weight", "tickers")
PICKS_COLUMNS = ("day", "assumed", "picks", "votes", "warnings")
OUTCOME_COLUMNS = (
    "day", "session", "n_universe", "universe_hit_rate_pp", "universe_return_pp", "sizes", "votes", "note",
)  # fmt: skip

_PLAIN = (
    "budget_s", "workers", "input_fingerprint", "elapsed_s", "overrun_s", "read_s", "store_s", "n_starters", "n_exhausted",
    "coverage", "n_branches", "n_branches_done", "max_attempts",
)  # fmt: skip
_BY_SIZE = ("tested", "eligible", "score_mean", "score_std", "picked_rank")
_TUPLES = ("days", "day_weights", "base_win_rates", "special", "warnings")

to_json = json.JSONEncoder(separators=(",", ":")).encode
"""JSON text in ASCII: whatever a name holds can be stored."""


def by_size(text: str | None) -> dict[int, Any]:
    """A JSON object with group sizes as keys; none is an empty one."""
    return {} if text is None else {int(size): value for size, value in json.loads(text).items()}


# --- to rows -------------------------------------------------------------------------------------------------------


def result_values(result: SearchResult) -> dict[str, Any]:
    """The columns of `run` that a result fills."""
    return {
        **{name: getattr(result, name) for name in _PLAIN},
        **{name: to_json(getattr(result, name)) for name in (*_BY_SIZE, *_TUPLES)},
        "status": str(result.status),
        "rules": to_json(result.rules.to_dict()),
        "tested_exact": int(result.tested_exact),
        "attempts": str(result.attempts),
        "n_visited": None if result.n_visited is None else str(result.n_visited),
        "aliases": to_json([_member_rows(members) for members in result.aliases]),
        "n_kept": to_json({size: len(groups) for size, groups in result.kept.items()}),
        "best_score": to_json(
            {size: groups[0].score if groups else None for size, groups in result.kept.items()}
        ),
    }


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "status": str, "attempts": str, "tested": to_json, "eligible": to_json, "retained": to_json, "cursor": to_json,
}  # fmt: skip
_STARTER_FIELDS = tuple((name, _ENCODERS.get(name)) for name in STARTER_COLUMNS)


def starter_rows(run: int, starters: Sequence[StarterRecord]) -> Iterator[Row]:
    """One row per starter, made when it is asked for."""
    for starter in starters:
        values = ((getattr(starter, name), encode) for name, encode in _STARTER_FIELDS)
        yield (run, *(encode(value) if encode else value for value, encode in values))


def group_rows(run: int, kept: Mapping[int, Sequence[Group]]) -> Iterator[Row]:
    """One row per kept group, in the order of the table's key."""
    for size, groups in sorted(kept.items()):
        for group in groups:
            members = _member_rows(group.members)
            yield (
                run,
                size,
                group.rank,
                to_json(members),
                *(getattr(group, name) for name in STATISTICS),
            )


def _member_rows(members: Iterable[Member]) -> list[Row]:
    return [(member.algo, member.variation, member.variation_idx) for member in members]


def day_rows(run: int, kept: Mapping[int, Sequence[Group]]) -> Iterator[Row]:
    """One row per kept group and day, in the order of the table's key."""
    quoted = cache(to_json)  # the same tickers come again and again
    for size, groups in sorted(kept.items()):
        for group in groups:
            for day_idx, (day, consensus) in enumerate(
                zip(group.days, group.consensus, strict=True)
            ):
                tickers = f"[{','.join(map(quoted, consensus.tickers))}]"
                yield (
                    run,
                    size,
                    group.rank,
                    day_idx,
                    day.day,
                    day.buys,
                    day.hits,
                    day.pp,
                    day.weight,
                    tickers,
                )


def picks_row(run: int, picks: DayPicks) -> Row:
    """The row of one day's picks."""
    by_name = asdict(picks)
    return (
        run,
        picks.day,
        int(picks.assumed),
        *(to_json(by_name[name]) for name in ("picks", "votes", "warnings")),
    )


def outcome_row(run: int, outcome: Outcome) -> Row:
    """The row of one day's scored outcome."""
    by_name = asdict(outcome)
    by_name |= {name: to_json(by_name[name]) for name in ("sizes", "votes")}
    return (run, *(by_name[name] for name in OUTCOME_COLUMNS))


# --- from rows: what no row written here can hold raises one of `database.DAMAGE` -------------------------------------


def to_result(
    row: Mapping[str, Any], kept: dict[int, tuple[Group, ...]], starters: tuple[StarterRecord, ...]
) -> SearchResult:
    """The result of an ended run from its row of `run`, its groups and its starters.

    Rows from before visits were counted lack `n_visited` and `aliases`, or have NULL there.
    """
    values: dict[str, Any] = {name: row[name] for name in ("run_id", *_PLAIN)}
    values |= {name: by_size(row[name]) for name in _BY_SIZE}
    values |= {name: tuple(json.loads(row[name])) for name in _TUPLES}
    result = SearchResult(
        **values,
        status=Status(row["status"]),
        rules=_rules(row["rules"]),
        tested_exact=bool(row["tested_exact"]),
        attempts=int(row["attempts"]),
        kept=kept,
        starters=starters,
        n_visited=None if row.get("n_visited") is None else int(row["n_visited"]),
        aliases=tuple(map(_members, json.loads(row.get("aliases") or "[]"))),
    )
    _check(intact(result))
    return result


def _check(result: SearchResult) -> None:
    """What its users rely on: days, counts of each size, and picks that are there. Raises ValueError."""
    if not [date.fromisoformat(day) for day in result.days]:
        raise ValueError("days is empty")
    for size, groups in result.kept.items():
        if size not in result.tested or size not in result.eligible:
            raise ValueError(f"nothing was counted of size {size}")
        rank = result.picked_rank.get(size)
        if rank is not None and rank not in range(1, len(groups) + 1):
            raise ValueError(f"picked_rank of size {size} is none of its groups")


def _rules(text: str) -> Rules:
    try:
        return Rules.from_dict(json.loads(text))
    except InputError as error:
        raise ValueError(str(error)) from error


def to_starter(row: Row) -> StarterRecord:
    """A starter from its columns in the order of `STARTER_COLUMNS`."""
    values = dict(zip(STARTER_COLUMNS, row, strict=True))
    for name in ("tested", "eligible", "retained"):
        values[name] = by_size(values[name])
    values["status"] = StarterStatus(values["status"])
    values["attempts"] = int(values["attempts"])
    values["cursor"] = tuple(json.loads(values["cursor"]))
    return StarterRecord(**values)


def to_group(row: Row, days: Sequence[Row]) -> Group:
    """A group from its columns and its days' columns, in the orders of `GROUP_COLUMNS` and `DAY_COLUMNS`."""
    _, rank, members, *statistics = row
    return Group(
        rank=rank,
        members=_members(json.loads(members)),
        days=tuple(DayStats(*day[3:8]) for day in days),
        consensus=tuple(DayConsensus(day[3], tuple(json.loads(day[8]))) for day in days),
        **dict(zip(STATISTICS, statistics, strict=True)),
    )


def _members(stored: Iterable[Row]) -> tuple[Member, ...]:
    return tuple(Member(*member) for member in stored)


def to_day_picks(run_id: str, row: Row) -> DayPicks:
    """A day's picks from their columns in the order of `PICKS_COLUMNS`."""
    day, assumed, picks, votes, warnings = row
    return intact(
        DayPicks(
            run_id=run_id,
            day=day,
            assumed=bool(assumed),
            picks={
                size: None if pick is None else _size_pick(pick)
                for size, pick in by_size(picks).items()
            },
            votes=tuple(
                Vote(**{**vote, "members": tuple(vote["members"])}) for vote in json.loads(votes)
            ),
            warnings=tuple(json.loads(warnings)),
        )
    )


def _size_pick(values: Mapping[str, Any]) -> SizePick:
    members = tuple(Member(**member) for member in values["members"])
    return SizePick(**{**values, "members": members, "tickers": tuple(values["tickers"])})


def to_outcome(run_id: str, row: Row) -> Outcome:
    """A scored outcome from its columns in the order of `OUTCOME_COLUMNS`."""
    values = dict(zip(OUTCOME_COLUMNS, row, strict=True))
    values["sizes"] = {
        size: None if score is None else Score(**score)
        for size, score in by_size(values["sizes"]).items()
    }
    values["votes"] = Score(**json.loads(values["votes"]))
    return intact(Outcome(run_id=run_id, status=PickStatus.SCORED, **values))
