"""Runs in the store: what was asked, where a run stands, its result, picks and outcomes.

A run is a row from the moment it begins (`Store.begin`). Its result and its final status are
written in one transaction, which is on the disk when `Store.finish` returns. A run whose process
died is distinguished from one that still runs by its process number, start and host.

`Store` is the whole file: `walks` adds walk-forwards, `picked` the picks of all runs, `scans`
scans, `database` the connection.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from mp2.errors import InputError
from mp2.groups.checkpoint import SearchState
from mp2.groups.ideas import with_ideas
from mp2.groups.result import SearchResult, Status
from mp2.picks.records import DayPicks, Outcome, PickStatus
from mp2.storage import rows
from mp2.storage.compaction import CompactingStore, unpacked, what_is_left
from mp2.storage.database import NOT_RESUMABLE, sql_name
from mp2.storage.picked import PickedOutcome
from mp2.storage.processes import now_text, owner, status_now
from mp2.storage.request import Request
from mp2.storage.values import Row, from_sql, unicode_text, validated

# About a tenth of a second of writing, which is short beside what another writer waits.
_BATCH_ROWS = 5000
_PAUSE_S = 0.02

_NO_RESULT = {
    "running": "it is still running; look again when it has ended",
    "interrupted": "its process ended before it could store one; mp2 resume continues from the "
    "stored state",
    "failed": "the search failed; mp2 resume continues from the stored state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs.

    `status` is that of the result, or `running`, `failed`, or `interrupted` when its process died.
    What only an ended run has is None or empty before. Times in seconds; `coverage` 0..1;
    `last_day` is the last one searched, `p` that of the test over all sizes, None without a test.
    `outcome`: of its picks, None while none is scored.
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
    last_day: str | None = None
    p: float | None = None
    outcome: PickedOutcome | None = None


class Store(CompactingStore):
    """A database of runs and scans: one connection, used by one thread.

    Close it with `with` or `close`. Every method raises `StoreError` as `Database` says, and
    `InputError` for a run that does not exist.
    """

    # --- a run from begin to end ------------------------------------------------------------------

    def begin(
        self,
        request: Request,
        *,
        input_fingerprint: str,
    ) -> str:
        """Store that a search starts. Returns its run id, which sorts by the time of the start."""
        values = {
            "source": unicode_text(request.label),
            "request": request.to_dict(),
            "heartbeat_at": now_text(),
            "input_fingerprint": input_fingerprint,
            "budget_s": request.search.budget_s,
            "workers": request.search.workers,
        }
        return self._begin("run", values)

    def save_state(
        self,
        run_id: str,
        part: SearchState,
    ) -> int:
        """Write a part of a running run's state. Returns how many of its starters are exhausted.

        The part survives a power cut once this returns.
        """
        with self._transaction("IMMEDIATE"):
            run = self._running("run", run_id)
            self._write_state(run, part)
            self._update("run", run, {"heartbeat_at": now_text()})
        return int(part.records["exhausted"].sum())

    def finish(
        self,
        run_id: str,
        result: SearchResult,
        state: SearchState | None = None,
        picks: DayPicks | None = None,
    ) -> None:
        """Store the result of a running run and its picks, all or nothing.

        The result replaces that of an earlier session, and survives a power cut once this returns.
        With `state`, the last part, a run that is not complete can be resumed. Starters are read
        one at a time, so that a lazy sequence stays lazy.
        """
        run = self._write_ahead(run_id, result)
        with self._transaction("IMMEDIATE"):
            if run is None:
                run = self._running("run", run_id)
                self._delete_rows(run, "starter", "kept_group")
                for table, records in rows.record_rows(run, result):
                    self._insert_many(table, records)
            # A complete run is never resumed, so nothing needs its state.
            if result.status is Status.COMPLETE:
                self._delete_rows(run, "run_state", "starter_state", "kept_state")
            elif state is not None:
                self._write_state(run, state)
            values = rows.result_row(result)
            self._update("run", run, {**values, "ended_as": result.status})
            if picks is not None:
                self._replace_picks(run, picks)

    def _write_ahead(
        self,
        run_id: str,
        result: SearchResult,
    ) -> int | None:
        """Write the records of a large result in several transactions; return the run's key.

        Between them others get the file. The records count once the run has its result. Nothing is
        written when one transaction will do, or has to: when the run has an earlier result.
        """
        n_rows = result.n_starters + sum(result.n_kept.values())
        with self._transaction("IMMEDIATE"):
            run = self._running("run", run_id)
            if n_rows <= _BATCH_ROWS or self._row("run", run_id)["ended_as"] is not None:
                return None
            self._delete_rows(run, "starter", "kept_group")
        for table, records in rows.record_rows(run, result):
            while batch := list(islice(records, _BATCH_ROWS)):
                with self._transaction("IMMEDIATE"):
                    self._running("run", run_id)
                    self._insert_many(table, batch)
                # SQLite has no queue: who waits asks again every few milliseconds.
                time.sleep(_PAUSE_S)
        return run

    def abandon(self, run_id: str) -> None:
        """Mark a running run as failed. One that had a result before has that again."""
        with self._transaction("IMMEDIATE"):
            run = self._running("run", run_id)
            self._execute(
                "UPDATE run SET status = coalesce(ended_as, 'failed') WHERE run = ?", (run,)
            )

    def set_store_s(
        self,
        run_id: str,
        store_s: float,
    ) -> None:
        """Store how long storing an ended run took, in seconds."""
        with self._transaction("IMMEDIATE"):
            self._update("run", self._ended(run_id), {"store_s": store_s})

    def save_significance(
        self,
        run_id: str,
        result: SearchResult,
    ) -> None:
        """Store the test of an ended run, and the p-values of all its kept groups."""
        significance = rows.result_row(result)["significance"]
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)
            self._update("run", run, {"significance": significance})
            self._delete_rows(run, "kept_group")
            self._insert_many("kept_group", rows.group_rows(run, result.kept))

    # --- resuming ---------------------------------------------------------------------------------

    def load_request(self, run_id: str) -> Request:
        """What the run was asked to do."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            return validated(Request, from_sql(self._row("run", run_id))["request"])

    def check_resumable(self, run_id: str) -> None:
        """Raise the `InputError` that says why a run cannot be resumed."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            self._check_unfinished("run", self._row("run", run_id))

    def resume(
        self,
        run_id: str,
        request: Request,
        *,
        input_fingerprint: str,
    ) -> SearchState:
        """Make an ended or interrupted run this process's running one. Returns where it stands.

        `request` is that of the session that starts; of it only `max_attempts` replaces what the
        run began with. `InputError` when the run cannot be resumed, or when the input, read from
        `request.source` now, is not what it was.
        """
        with self._transaction("IMMEDIATE"), self._readable(f"run {run_id}"):
            row = self._row("run", run_id)
            # Checked again under the lock: the request was read in a transaction of its own.
            if status_now(row) in NOT_RESUMABLE:
                raise InputError(
                    f"{self.path}: run {run_id} was resumed by another process meanwhile"
                )
            if row["input_fingerprint"] != input_fingerprint:
                raise InputError(
                    f"{request.label}: is not what run {run_id} began with; search again, or "
                    "resume with the input as it was"
                )
            run = row["run"]
            states = self._rows_of("run_state", run, "run")
            starters = self._rows_of("starter_state", run, "variation_idx")
            kept = self._rows_of("kept_state", run, "size")
            state = rows.to_state(states[0] if states else None, starters, kept)
            stored = validated(Request, from_sql(row)["request"])
            search = replace(stored.search, max_attempts=request.search.max_attempts)
            values = {
                "status": "running",
                "workers": request.search.workers,
                "heartbeat_at": now_text(),
                "request": stored.model_copy(update={"search": search}).to_dict(),
            }
            self._update("run", run, values | owner())
        return state

    def _write_state(
        self,
        run: int,
        part: SearchState,
    ) -> None:
        self._insert("run_state", rows.state_row(run, part), replace=True)
        self._insert_many("starter_state", rows.starter_state_rows(run, part), replace=True)
        self._insert_many("kept_state", rows.kept_state_rows(run, part), replace=True)

    # --- picks and outcomes -----------------------------------------------------------------------

    def save_picks(
        self,
        run_id: str,
        picks: DayPicks,
    ) -> None:
        """Store one day's picks with an ended run, in place of earlier ones and their outcome."""
        with self._transaction("IMMEDIATE"):
            self._replace_picks(self._ended(run_id), picks)

    def save_outcome(
        self,
        run_id: str,
        outcome: Outcome,
    ) -> None:
        """Store the outcome of one day's picks.

        `InputError` while it is pending, or when the run has no picks for the day.
        """
        if outcome.status is not PickStatus.SCORED:
            reason = outcome.note or "the outcome is pending"
            raise InputError(f"run {run_id}: {reason}; there is nothing to store yet")
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)
            key = (run, outcome.day)
            picked = self._execute("SELECT 1 FROM day_picks WHERE run = ? AND day = ?", key)
            if picked.fetchone() is None:
                raise InputError(
                    f"{self.path}: run {run_id} has no picks for {outcome.day}; pick for that day "
                    "first"
                )
            self._insert("outcome", rows.day_row(run, outcome), replace=True)

    def _replace_picks(
        self,
        run: int,
        picks: DayPicks,
    ) -> None:
        # Not "INSERT OR REPLACE": a deletion takes the outcome of the earlier picks along.
        self._execute("DELETE FROM day_picks WHERE run = ? AND day = ?", (run, picks.day))
        self._insert("day_picks", rows.day_row(run, picks))

    # --- reading ----------------------------------------------------------------------------------

    def runs(self, n_newest: int | None = None) -> list[RunSummary]:
        """Every run, or the newest so many; newest first.

        Rows that cannot be read back are named in `problems`.
        """
        return self._summaries("run", self._run_summary, n_newest)

    def status(self, run_id: str) -> str:
        """The status of a run, as `runs` shows it."""
        with self._translated():
            return status_now(self._row("run", run_id))

    def find(self, name: str) -> str:
        """The run id meant by a run id, the unique beginning of one, or `last`.

        `InputError` lists the runs when `name` fits none or several.
        """
        with self._translated():
            return self._resolved("run", name, "run a search")

    def load(
        self,
        run_id: str,
        *,
        starters: bool = True,
        n_groups: int | None = None,
    ) -> SearchResult:
        """The result given to `finish`, with its `run_id`.

        `starters=False` leaves out the starters, which make most of a large result. `n_groups`
        limits the kept groups of each size to the best so many, those that stand for the best so
        many ideas, and the chosen one. While a run is resumed, this is the result of the session
        before. Of one that was compacted, what is left, with a warning that says so. `InputError`
        when it has none.
        """
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._with_result(run_id)
            # The status may be that of a session that is running now.
            row["status"] = row["ended_as"]
            run = row["run"]
            compacted = self._compacted(run)
            if compacted is not None:
                groups = unpacked(compacted["kept_groups"])
                packed = unpacked(compacted["starters"]) if starters else ()
                result = rows.to_result(row, groups, packed)
                left = what_is_left(row, compacted)
                return replace(result, warnings=(*result.warnings, left))
            starter_rows = self._rows_of("starter", run, "variation_idx") if starters else ()
            result = rows.to_result(row, self._best_groups(row, n_groups), starter_rows)
        # A version that did not know ideas left none.
        if row.get("ideas") is None and n_groups is None:
            return with_ideas(result)
        return result

    def load_picks(self, run_id: str) -> tuple[DayPicks, ...]:
        """The picks stored with a run, by day."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            return tuple(self._by_day("day_picks", DayPicks, self._row("run", run_id)).values())

    def load_outcomes(self, run_id: str) -> tuple[Outcome, ...]:
        """The outcomes stored with a run, by day."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            return tuple(self._by_day("outcome", Outcome, self._row("run", run_id)).values())

    def delete(self, run_id: str) -> None:
        """Remove a run and everything that belongs to it; later runs use the space again.

        `InputError` when a process of this host still works on it.
        """
        self._delete("run", run_id)

    # --- rows -------------------------------------------------------------------------------------

    def _run_summary(self, row: Row) -> RunSummary:
        # Not listed, and by far the largest columns.
        for name in ("ideas", "progress"):
            row.pop(name, None)
        values = from_sql(row)
        values["status"] = status_now(row)
        # Empty until the run has ended.
        values["n_kept"] = values["n_kept"] or {}
        values["best_score"] = values["best_score"] or {}
        if values["days"]:
            values["last_day"] = values["days"][-1]
        # A file of the first version has no column for the test.
        significance = values.get("significance")
        if significance:
            values["p"] = significance["p"]
        values["outcome"] = self._picked_outcome(row)
        return validated(RunSummary, values)

    def _best_groups(
        self,
        row: Row,
        n_groups: int | None,
    ) -> Iterator[Row]:
        """The kept groups of a run, size by size: all, or those that `load` reads of so many.

        Read one at a time, since there may be hundreds of thousands.
        """
        statement = (
            "SELECT * FROM kept_group WHERE run = ? AND size = ? AND "
            "(rank <= ? OR rank IN (SELECT value FROM json_each(?))) ORDER BY rank"
        )
        # More than there can be: SQL has no comparison that is true of every rank.
        most = 2**62 if n_groups is None else n_groups
        decoded = from_sql({"picked_rank": row["picked_rank"], "ideas": row.get("ideas")})
        ideas = dict(decoded["ideas"] or {})
        for size, picked_rank in dict(decoded["picked_rank"]).items():
            ranks = [idea["rank"] for idea in ideas.get(size, ())[:n_groups]]
            ranks.append(picked_rank)
            values = (row["run"], int(size), most, json.dumps(ranks))
            yield from map(dict, self._execute(statement, values))

    def _delete_rows(
        self,
        run: int,
        *tables: str,
    ) -> None:
        for table in tables:
            self._execute(f"DELETE FROM {sql_name(table)} WHERE run = ?", (run,))

    def _ended(self, run_id: str) -> int:
        """The key of a run with a result on which no process works."""
        row = self._with_result(run_id)
        if status_now(row) == "running":
            raise InputError(
                f"{self.path}: run {run_id} is being resumed just now; wait until that has ended"
            )
        return int(row["run"])

    def _with_result(self, run_id: str) -> Row:
        row = self._row("run", run_id)
        if row["ended_as"] is None:
            reason = _NO_RESULT.get(status_now(row), "it stored none")
            raise InputError(f"{self.path}: run {run_id} has no result: {reason}")
        return row
