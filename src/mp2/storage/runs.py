"""Runs kept in one SQLite file: rules, input fingerprint, starters, kept groups, what they picked later and what came of it.

A run is a row from the moment it begins (`Store.begin`); its results and its final status arrive together, in one
transaction that is on the disk when `Store.finish` returns. A run whose process died in between is told apart from one
that still runs by its process number, start and host.

`Store` is the whole of the file: what holds scans is in `scan_store`, what all of it rests on in `database`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from mp2._recurse import STARTER_DTYPE
from mp2.errors import InputError, StoreError
from mp2.groups.checkpoint import TIMES_DTYPE, SearchState
from mp2.groups.result import Group, SearchResult, StarterRecord, Status
from mp2.groups.rules import Rules
from mp2.picks.records import DayPicks, Outcome, PickStatus
from mp2.storage import rows, schema
from mp2.storage.database import (
    DAMAGE,
    insert,
    is_at_work,
    listing,
    owner,
    replacing,
    sql_name,
    sql_names,
    status_now,
)
from mp2.storage.intact import intact
from mp2.storage.scans import ScanStore

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs.

    `status` is that of the result, or `running`, `failed`, or `interrupted` when its process ended without a word. What
    only an ended run has is None (or empty) before. A row that cannot be read back has the status `damaged` and nothing but
    its id.
    """

    run_id: str
    started_at: str
    source: str
    status: str
    budget_s: float | None
    elapsed_s: float | None
    coverage: float | None
    attempts: int | None
    n_kept: dict[int, int]
    best_score: dict[int, float | None]


class Store(ScanStore):
    """A database of runs and scans: one connection, used by one thread, closed by `with` or `close`."""

    # --- a run's life ----------------------------------------------------------------------------------------------

    def begin(
        self,
        *,
        rules: Rules,
        budget_s: float,
        workers: int,
        source: str,
        input_fingerprint: str,
        started_at: str,
        request: dict[str, Any] | None = None,
    ) -> str:
        """Note that a search starts; `started_at` is ISO 8601 in UTC. Returns its run id, which sorts by `started_at`.

        `request` (JSON) is whatever the caller needs to take the run up again; `load_request` gives it back.
        """
        values = {
            "started_at": started_at,
            "source": source.encode("utf-8", "backslashreplace").decode(),
            "status": "running",
            **owner(),
            "input_fingerprint": input_fingerprint,
            "rules": rows.to_json(rules.to_dict()),
            "budget_s": budget_s,
            "workers": workers,
        } | ({} if request is None else {"request": rows.to_json(request)})
        with self._transaction("IMMEDIATE"):
            if self._version() >= schema.STATES_SINCE:
                values["heartbeat_at"] = _now()
            values["run_id"] = self._unused_id("run", started_at)
            self._execute(insert("run", *values), tuple(values.values()))
        return str(values["run_id"])

    def finish(
        self,
        run_id: str,
        result: SearchResult,
        state: SearchState | None = None,
        picks: DayPicks | None = None,
    ) -> None:
        """Store a running run's result, and its picks, whole or not at all; it survives a power cut once this returns.

        It replaces the result of an earlier session. With `state`, the last part, a run that is not complete can be taken up
        again. Starters are read one at a time, so that a lazy sequence stays lazy.
        """
        values = rows.result_values(result)
        with self._transaction("IMMEDIATE"):
            run = self._running(run_id)
            if self._version() >= schema.STATES_SINCE:
                values["ended_as"] = values["status"]
            for table in ("starter", "kept_group"):
                self._execute(f"DELETE FROM {sql_name(table)} WHERE run = ?", (run,))
            if result.status is Status.COMPLETE:
                self._forget_state(run)
            elif state is not None:
                self._write_state(run, state)
            for statement, own_rows in (
                (_INSERT_STARTER, rows.starter_rows(run, result.starters)),
                (_INSERT_GROUP, rows.group_rows(run, result.kept)),
                (_INSERT_DAY, rows.day_rows(run, result.kept)),
            ):
                self._connection.executemany(statement, own_rows)
            self._execute(
                f"UPDATE run SET {sql_names(values, '{0} = :{0}')} WHERE run = :run",
                {**values, "run": run},
            )
            if picks is not None:
                self._replace_picks(run, picks)

    def save_state(self, run_id: str, part: SearchState) -> int:
        """Write a part of a running run's state; it survives a power cut once this returns. How many starters are exhausted."""
        with self._transaction("IMMEDIATE"):
            run = self._running(run_id)
            self._write_state(run, part)
            self._execute("UPDATE run SET heartbeat_at = ? WHERE run = ?", (_now(), run))
        return int(part.records["exhausted"].sum())

    def load_request(self, run_id: str) -> dict[str, Any]:
        """What `begin` was given. `InputError` says why a run cannot be taken up again."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._row(run_id)
            why = _NOT_RESUMABLE.get(status_now(row))
            if why is None and ("request" not in row.keys() or row["request"] is None):  # noqa: SIM118 - not its values
                why = "it was stored without its options; search again"
            if why is not None:
                raise InputError(f"{self.path}: run {run_id} cannot be resumed: {why}")
            return dict(json.loads(row["request"]))

    def take_up(
        self,
        run_id: str,
        *,
        source: str,
        rules: Rules,
        input_fingerprint: str,
        workers: int,
        last: Mapping[str, Any] | None = None,
    ) -> SearchState:
        """Make an ended or interrupted run this process's running one. Returns where it stands.

        `last`: options that the next search of the run starts from, put in place of those in the request's `last`.
        `InputError` when it cannot be resumed, or the input, read from `source` now, or the rules are not what they were.
        """
        request = self.load_request(run_id)
        with self._transaction("IMMEDIATE"), self._readable(f"run {run_id}"):
            row = self._row(run_id)
            if status_now(row) in _NOT_RESUMABLE:
                raise InputError(
                    f"{self.path}: run {run_id} was taken up by another process meanwhile"
                )
            if row["input_fingerprint"] != input_fingerprint:
                raise InputError(
                    f"{source}: is not what run {run_id} began with; search it anew, or resume with the table as it was"
                )
            if json.loads(row["rules"]) != json.loads(rows.to_json(rules.to_dict())):
                raise InputError(
                    f"run {run_id}: the rules have changed since it began; search anew"
                )
            state = self._read_state(row["run"])
            taken = {**owner(), "status": "running", "workers": workers, "heartbeat_at": _now()}
            taken["request"] = rows.to_json(
                request | {"last": request.get("last", {}) | dict(last or {})}
            )
            statement = f"UPDATE run SET {sql_names(taken, '{0} = :{0}')} WHERE run = :run"
            self._execute(statement, {**taken, "run": row["run"]})
        return state

    def _write_state(self, run: int, part: SearchState) -> None:
        self._execute(
            _REPLACE_STATE, (run, _LAYOUT, part.elapsed_ns, part.budget_ns, part.n_taken_over)
        )
        numbers = part.records["variation_idx"].tolist()
        own_rows = (
            (run, v, part.records[i].tobytes(), part.times[i].tobytes())
            for i, v in enumerate(numbers)
        )
        self._connection.executemany(_REPLACE_STARTER_STATE, own_rows)
        for size, (scores, members) in part.kept.items():
            self._execute(_REPLACE_KEPT_STATE, (run, size, scores.tobytes(), members.tobytes()))

    def _read_state(self, run: int) -> SearchState:
        state = self._execute("SELECT * FROM run_state WHERE run = ?", (run,)).fetchone()
        if state is None:
            return SearchState()
        if state["layout"] != _LAYOUT:
            raise InputError(
                f"{self.path}: the state was written by another build of mp2; search again, or resume with that build"
            )
        starters = self._execute(_SELECT_STARTER_STATES, (run,)).fetchall()
        kept = {
            row["size"]: (
                np.frombuffer(row["scores"]),
                np.frombuffer(row["members"], np.int32).reshape(-1, row["size"]),
            )
            for row in self._execute("SELECT * FROM kept_state WHERE run = ?", (run,))
        }
        records = np.frombuffer(b"".join(row["record"] for row in starters), STARTER_DTYPE)
        times = np.frombuffer(b"".join(row["times"] for row in starters), TIMES_DTYPE)
        return SearchState(
            records, times, kept, state["elapsed_ns"], state["budget_ns"], state["n_taken_over"]
        )

    def _forget_state(self, run: int) -> None:
        for table in ("run_state", "starter_state", "kept_state"):
            self._execute(f"DELETE FROM {sql_name(table)} WHERE run = ?", (run,))

    def abandon(self, run_id: str) -> None:
        """Mark a running run as failed; one that had a result before has that again."""
        with self._transaction("IMMEDIATE"):
            self._execute(
                "UPDATE run SET status = coalesce(ended_as, 'failed') WHERE run = ?",
                (self._running(run_id),),
            )

    def set_store_s(self, run_id: str, store_s: float) -> None:
        """Note how long storing an ended run took, in seconds; `load` gives it back."""
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)["run"]
            self._execute("UPDATE run SET store_s = ? WHERE run = ?", (store_s, run))

    def delete(self, run_id: str) -> None:
        """Remove a run and everything that belongs to it.

        The space is used again by later runs. Raises `InputError` when there is no such run or a process of this host still
        works on it.
        """
        with self._transaction("IMMEDIATE"):
            row = self._row(run_id)
            if is_at_work(row):
                raise InputError(
                    f"run {run_id}: process {row['pid']} still works on it; stop that first, then delete the run"
                )
            self._execute("DELETE FROM run WHERE run = ?", (row["run"],))

    def save_picks(self, run_id: str, picks: DayPicks) -> None:
        """Store the picks of one day with an ended run, in place of earlier ones for that day and their outcome."""
        with self._transaction("IMMEDIATE"):
            self._replace_picks(self._ended(run_id)["run"], picks)

    def _replace_picks(self, run: int, picks: DayPicks) -> None:
        self._execute("DELETE FROM day_picks WHERE run = ? AND day = ?", (run, picks.day))
        self._execute(_INSERT_PICKS, rows.picks_row(run, picks))

    def save_outcome(self, run_id: str, outcome: Outcome) -> None:
        """Store what came of the picks of one day; `InputError` while it is pending or when the run has no such picks."""
        if outcome.status is not PickStatus.SCORED:
            raise InputError(
                f"run {run_id}: {outcome.note or 'the outcome is pending'}; there is nothing to store yet"
            )
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)["run"]
            if (
                self._execute(
                    "SELECT 1 FROM day_picks WHERE run = ? AND day = ?", (run, outcome.day)
                ).fetchone()
                is None
            ):
                raise InputError(
                    f"{self.path}: run {run_id} has no picks for {outcome.day}; pick for that day first"
                )
            self._execute("DELETE FROM outcome WHERE run = ? AND day = ?", (run, outcome.day))
            self._execute(_INSERT_OUTCOME, rows.outcome_row(run, outcome))

    # --- reading ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunSummary]:
        """Every run, newest first."""
        with self._translated():
            return [_summary(row) for row in self._execute("SELECT * FROM run ORDER BY run DESC")]

    def status(self, run_id: str) -> str:
        """What `runs` says of one run; `InputError` when there is no such run."""
        with self._translated():
            return status_now(self._row(run_id))

    def find(self, name: str) -> str:
        """The run id meant by a run id, the unique beginning of one, or `last`; otherwise `InputError` says what there is."""
        with self._translated():
            return self._meant("run", name, self._ids("run"), "run a search")

    def load(self, run_id: str, *, starters: bool = True) -> SearchResult:
        """The result given to `finish`, with its `run_id`; `starters=False` leaves theirs out, which many make large.

        While a run is taken up again it is the result of the session before. Raises `InputError` when there is no such run, or
        none of its results.
        """
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._with_result(run_id)
            values = dict(row) | {"status": _ended_as(row) or row["status"]}
            return rows.to_result(
                values, self._kept(row), tuple(self._starters(row["run"])) if starters else ()
            )

    def load_picks(self, run_id: str) -> tuple[DayPicks, ...]:
        """The picks stored with a run, by day; `InputError` when there is no such run."""
        return self._by_day(run_id, _SELECT_PICKS, rows.to_day_picks)

    def load_outcomes(self, run_id: str) -> tuple[Outcome, ...]:
        """The outcomes stored with a run, by day; `InputError` when there is no such run."""
        return self._by_day(run_id, _SELECT_OUTCOMES, rows.to_outcome)

    def _by_day(
        self, run_id: str, statement: str, convert: Callable[[str, rows.Row], RecordT]
    ) -> tuple[RecordT, ...]:
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            run = self._row(run_id)["run"]
            stored = (
                self._execute(statement, (run,)) if self._version() >= schema.PICKS_SINCE else ()
            )
            return tuple(convert(run_id, tuple(row)) for row in stored)

    def _kept(self, row: sqlite3.Row) -> dict[int, tuple[Group, ...]]:
        """Kept groups by size, a size without any included."""
        days = groupby(
            self._execute(_SELECT_DAYS, (row["run"],)), key=lambda day: (day["size"], day["rank"])
        )
        days_of = {key: list(own) for key, own in days}
        kept: dict[int, list[Group]] = {size: [] for size in rows.by_size(row["n_kept"])}
        for group in self._execute(_SELECT_GROUPS, (row["run"],)):
            kept[group["size"]].append(
                rows.to_group(tuple(group), days_of.get((group["size"], group["rank"]), ()))
            )
        return {size: tuple(groups) for size, groups in kept.items()}

    def _starters(self, run: int) -> Iterator[StarterRecord]:
        return map(rows.to_starter, self._execute(_SELECT_STARTERS, (run,)))

    # --- rows ------------------------------------------------------------------------------------------------------

    def _row(self, run_id: str) -> sqlite3.Row:
        row = self._execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            raise InputError(
                f"{self.path}: no run {run_id!r}; there is {listing(self._ids('run'))}"
            )
        return row  # type: ignore[no-any-return]

    def _running(self, run_id: str) -> int:
        """The number of a run that this process works on; another may have taken it for dead, and taken it up."""
        row = self._execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        fate = "was deleted meanwhile" if row is None else None
        if row is not None and row["status"] != "running":
            fate = f"has already ended ({row['status']})"
        elif row is not None and any(row[name] != value for name, value in owner().items()):
            fate = "was taken up by another process meanwhile"
        if fate is not None:
            raise StoreError(f"{self.path}: run {run_id} {fate}; nothing was stored")
        return int(row["run"])

    def _ended(self, run_id: str) -> sqlite3.Row:
        """A run with a result that nobody works on."""
        row = self._with_result(run_id)
        if status_now(row) == "running":
            raise InputError(
                f"{self.path}: run {run_id} is taken up again just now; wait until that has ended"
            )
        return row

    def _with_result(self, run_id: str) -> sqlite3.Row:
        row = self._row(run_id)
        why = _NO_RESULT.get(status_now(row))
        if why is not None and _ended_as(row) is None:
            raise InputError(f"{self.path}: run {run_id} has no result: {why}")
        return row


_NO_RESULT = {
    "running": "it is still running; look again when it has ended",
    "interrupted": "its process ended before it could store one; mp2 resume goes on with what it had kept",
    "failed": "the search failed; mp2 resume goes on with what it had kept",
}

_NOT_RESUMABLE = {
    "running": "it is still running",
    "complete": "it is complete",
}


# --- statements ----------------------------------------------------------------------------------------------------


def _select(table: str, columns: Iterable[str], order: Iterable[str]) -> str:
    return f"SELECT {sql_names(columns)} FROM {sql_name(table)} WHERE run = ? ORDER BY {sql_names(order)}"


_INSERT_STARTER = insert("starter", "run", *rows.STARTER_COLUMNS)
_INSERT_GROUP = insert("kept_group", "run", *rows.GROUP_COLUMNS)
_INSERT_DAY = insert("group_day", "run", *rows.DAY_COLUMNS)
_INSERT_PICKS = insert("day_picks", "run", *rows.PICKS_COLUMNS)
_INSERT_OUTCOME = insert("outcome", "run", *rows.OUTCOME_COLUMNS)
_REPLACE_STATE = replacing("run_state", "run", "layout", "elapsed_ns", "budget_ns", "n_taken_over")
_REPLACE_STARTER_STATE = replacing("starter_state", "run", "variation_idx", "record", "times")
_REPLACE_KEPT_STATE = replacing("kept_state", "run", "size", "scores", "members")
_SELECT_STARTER_STATES = _select("starter_state", ("record", "times"), ("variation_idx",))
_SELECT_STARTERS = _select("starter", rows.STARTER_COLUMNS, ("variation_idx",))
_SELECT_GROUPS = _select("kept_group", rows.GROUP_COLUMNS, ("size", "rank"))
_SELECT_DAYS = _select("group_day", rows.DAY_COLUMNS, ("size", "rank", "day_idx"))
_SELECT_PICKS = _select("day_picks", rows.PICKS_COLUMNS, ("day",))
_SELECT_OUTCOMES = _select("outcome", rows.OUTCOME_COLUMNS, ("day",))


# Two builds with the same layout read each other's records.
_LAYOUT = f"{sys.byteorder} {rows.to_json([STARTER_DTYPE.descr, TIMES_DTYPE.descr])}"


def _ended_as(row: sqlite3.Row) -> str | None:
    """How the last session ended that did; None where there was none, or the version did not know of it."""
    return row["ended_as"] if "ended_as" in row.keys() else None  # noqa: SIM118 - `in row` looks at the values


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _summary(row: sqlite3.Row) -> RunSummary:
    try:
        return intact(
            RunSummary(
                **{
                    name: row[name]
                    for name in (
                        "run_id",
                        "started_at",
                        "source",
                        "budget_s",
                        "elapsed_s",
                        "coverage",
                    )
                },
                status=status_now(row),
                attempts=None if row["attempts"] is None else int(row["attempts"]),
                n_kept=rows.by_size(row["n_kept"]),
                best_score=rows.by_size(row["best_score"]),
            )
        )
    except DAMAGE:
        return RunSummary(**_UNREADABLE, run_id=str(row["run_id"]), n_kept={}, best_score={})


_UNREADABLE: dict[str, Any] = {
    "status": "damaged", "started_at": "", "source": "",
    "budget_s": None, "elapsed_s": None, "coverage": None, "attempts": None,
}  # fmt: skip
