"""How records of a search become rows of the store's tables, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mp2._json import encode
from mp2._recurse import STARTER_DTYPE
from mp2.groups.checkpoint import TIMES_DTYPE, Kept, SearchState
from mp2.groups.result import Group, ProgressSample, SearchResult, StarterRecord
from mp2.picks.records import DayPicks, Outcome
from mp2.storage.values import Row, from_sql, validated

DayT = TypeVar("DayT", DayPicks, Outcome)

# Tables of their own, or no part of what is stored.
_NO_COLUMN = ("kept", "starters", "run_id", "exclusions", "store_error", "panel")
_RUN_COLUMNS = [spec.name for spec in fields(SearchResult) if spec.name not in _NO_COLUMN]
_SAMPLE_FIELDS = [spec.name for spec in fields(ProgressSample)]
_STARTER_COLUMNS = [spec.name for spec in fields(StarterRecord)]


# --- to rows --------------------------------------------------------------------------------------


def result_row(result: SearchResult) -> Row:
    """The columns of `run` that a result fills."""
    row: Row = {name: getattr(result, name) for name in _RUN_COLUMNS}
    row["rules"] = result.rules.to_dict()
    # It has no upper bound, so its column is text.
    row["attempts"] = str(result.attempts)
    row["significance"] = result.significance and result.significance.to_dict()
    row["progress"] = [list(asdict(sample).values()) for sample in result.progress]
    # Kept here too, so that a list of runs reads no group.
    row["best_score"] = {}
    for size, groups in result.kept.items():
        row["best_score"][size] = groups[0].score if groups else None
    return row


def record_rows(run: int, result: SearchResult) -> Iterator[tuple[str, Iterator[Row]]]:
    """Each table of the records of a result, with its rows."""
    yield "starter", starter_rows(run, result.starters)
    yield "kept_group", group_rows(run, result.kept)


def starter_rows(run: int, starters: Iterable[StarterRecord]) -> Iterator[Row]:
    """One row per starter, made when it is asked for."""
    for starter in starters:
        row: Row = {"run": run}
        # `asdict` would copy every value of every starter.
        for name in _STARTER_COLUMNS:
            row[name] = getattr(starter, name)
        yield row


def group_rows(run: int, kept: Mapping[int, Iterable[Group]]) -> Iterator[Row]:
    """One row per kept group."""
    for size, groups in kept.items():
        for group in groups:
            yield {
                "run": run,
                "size": size,
                "rank": group.rank,
                "score": group.score,
                "body": encode(group),
            }


def day_row(run: int, record: DayPicks | Outcome) -> Row:
    """The row of one day's picks, or of their outcome."""
    row = asdict(record) | {"run": run}
    del row["run_id"]
    return row


# --- from rows: ValueError for what this program cannot have written ------------------------------


def to_day(
    kind: type[DayT],
    row: Row,
    run_id: str,
) -> DayT:
    """The picks of one day, or their outcome."""
    values = from_sql(row)
    values["run_id"] = run_id
    scores = [values.get("votes")]
    # Of picks there are none; other values are refused by the type.
    if isinstance(values.get("sizes"), dict):
        scores += values["sizes"].values()
    for score in scores:
        # The first version took its rates over the tickers with a bar, and did not count others.
        if isinstance(score, dict) and "n_picks" in score:
            score.setdefault("n_tickers", score["n_picks"])
    return validated(kind, values)


def to_result(
    row: Row,
    groups: Iterable[Row],
    starters: Iterable[Row],
) -> SearchResult:
    """The result of an ended run, from its row of `run`, its groups by rank and its starters."""
    values = from_sql(row)
    # Sizes are text in JSON. A size without a group has its entry too.
    kept: dict[str, list[Row]] = {size: [] for size in values["n_kept"]}
    for group in groups:
        kept[str(group["size"])].append(from_sql(group)["body"])
    values["kept"] = kept
    values["starters"] = tuple(from_sql(starter) for starter in starters)
    # Earlier versions left NULL.
    values["ideas"] = values.get("ideas") or {}
    # Lists: names would make them three times as large. Those of earlier versions lack the last.
    samples = values.get("progress") or ()
    values["progress"] = [
        dict(zip(_SAMPLE_FIELDS[: len(sample)], sample, strict=True)) for sample in samples
    ]
    result = validated(SearchResult, values)
    _check_consistent(result)
    return result


def _check_consistent(result: SearchResult) -> None:
    """Raise ValueError where columns contradict each other, which no column's own check sees."""
    for size, kept in result.kept.items():
        if size not in result.tested or size not in result.eligible:
            raise ValueError(f"tested, eligible: no count of size {size}")
        if any(len(group.days) != len(result.days) for group in kept):
            raise ValueError(f"days: not those of the groups of size {size}")
        rank = result.picked_rank.get(size)
        if rank is not None and all(group.rank != rank for group in kept):
            raise ValueError(f"picked_rank: no group of size {size} has rank {rank}")


# --- the state of a running search: bytes, because it is written every second ---------------------


def state_row(run: int, part: SearchState) -> Row:
    """The row of `run_state`."""
    return {
        "run": run,
        "layout": {"record": STARTER_DTYPE.descr, "times": TIMES_DTYPE.descr},
        "elapsed_ns": part.elapsed_ns,
        "budget_ns": part.budget_ns,
        "n_taken_over": part.n_taken_over,
    }


def starter_state_rows(run: int, part: SearchState) -> Iterator[Row]:
    """One row per starter of the part."""
    numbers = part.records["variation_idx"].tolist()
    for idx, variation_idx in enumerate(numbers):
        yield {
            "run": run,
            "variation_idx": variation_idx,
            "record": part.records[idx].tobytes(),
            "times": part.times[idx].tobytes(),
        }


def kept_state_rows(run: int, part: SearchState) -> Iterator[Row]:
    """One row per size of kept groups."""
    for size, (scores, members) in part.kept.items():
        yield {
            "run": run,
            "size": size,
            "scores": scores.tobytes(),
            "members": members.tobytes(),
            "counts": part.n_scores[size].tobytes(),
            "n_groups": part.n_groups[size].tobytes(),
        }


def to_state(
    row: Row | None,
    starters: Sequence[Row],
    kept: Iterable[Row],
) -> SearchState:
    """The state of a run; without a row, that of one which has not begun."""
    if row is None:
        return SearchState()
    groups: dict[int, Kept] = {}
    n_scores = {}
    n_groups = {}
    for size_row in kept:
        size = size_row["size"]
        scores = np.frombuffer(size_row["scores"])
        members = np.frombuffer(size_row["members"], np.int32)
        groups[size] = (scores, members.reshape(-1, size))
        # Empty where an earlier version stopped.
        if size_row.get("counts"):
            n_scores[size] = np.frombuffer(size_row["counts"], np.int64)
        n_groups[size] = np.frombuffer(size_row.get("n_groups", b""), np.int64)
    layout = from_sql(row)["layout"]
    return SearchState(
        records=_read_records(starters, "record", layout["record"], STARTER_DTYPE),
        times=_read_records(starters, "times", layout["times"], TIMES_DTYPE),
        kept=groups,
        elapsed_ns=row["elapsed_ns"],
        budget_ns=row["budget_ns"],
        n_taken_over=row["n_taken_over"],
        n_scores=n_scores,
        n_groups=n_groups,
    )


def _read_records(
    stored: Iterable[Row],
    column: str,
    layout: Iterable[Sequence[Any]],
    dtype: np.dtype[np.void],
) -> npt.NDArray[np.void]:
    """Return the records of a column; a field that the writing build did not have is zero."""
    fields_stored: list[Any] = []
    for name, kind, *shape in layout:
        # JSON has lists where numpy wants tuples.
        fields_stored.append((name, kind, *map(tuple, shape)))
    encoded = b"".join(row[column] for row in stored)
    written = np.frombuffer(encoded, np.dtype(fields_stored))
    records = np.zeros(len(written), dtype)
    for name in dtype.names or ():
        if name in (written.dtype.names or ()):
            records[name] = written[name]
    return records
