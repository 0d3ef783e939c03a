"""Scans kept in the store: an outcome with its candidates the moment it is known, and the breakers of scanners.

A scan is a row from the moment it begins. Every outcome is a transaction of its own that is on the disk when `add_outcome`
returns, so whoever shows an outcome afterwards shows what no kill can take back. The merged candidates are not stored: they
follow from the outcomes and the order of the scanners, also in a scan whose process died.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from mp2.discovery.breaker import BreakerState, Change
from mp2.discovery.candidates import merged
from mp2.discovery.records import (
    Candidate,
    OutcomeStatus,
    ScanError,
    ScanEvent,
    ScanOutcome,
    ScanResult,
    ScanStatus,
)
from mp2.errors import InputError, StoreError
from mp2.storage import schema
from mp2.storage.database import DAMAGE, Database, insert, is_at_work, listing, owner, status_now
from mp2.storage.intact import intact
from mp2.storage.rows import to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """One line of the list of scans.

    `day`: the ISO date that was scanned for. `status`: that of the result, or `running`, `failed`, or `interrupted` when its
    process ended without a word. `n_scanners` were to end, `n_outcomes` have, `n_failed` of them badly. `n_candidates`:
    different tickers. `elapsed_s` is None without an end, `mode` and `workers` before the first outcome. A row that cannot be
    read back has the status `damaged` and nothing but its id.
    """

    scan_id: str
    started_at: str
    day: str
    status: str
    mode: str | None
    workers: int | None
    elapsed_s: float | None
    n_scanners: int
    n_outcomes: int
    n_failed: int
    n_candidates: int


class ScanStore(Database):
    """What the store knows of scans; `mp2.Store` is the whole of it."""

    # --- a scan's life ---------------------------------------------------------------------------------------------

    def begin_scan(
        self, *, scanners: Sequence[str], day: str, config_fingerprint: str, started_at: str
    ) -> str:
        """Note that a scan of these scanners, in registration order, starts; `started_at` is ISO 8601 in UTC. Its id."""
        values = {
            "started_at": started_at,
            "day": day,
            "status": "running",
            **owner(),
            "config_fingerprint": config_fingerprint,
            "scanners": to_json(list(scanners)),
        }
        with self._transaction("IMMEDIATE"):
            values["scan_id"] = self._unused_id("scan", started_at)
            self._execute(insert("scan", *values), tuple(values.values()))
        return str(values["scan_id"])

    def add_outcome(self, scan_id: str, event: ScanEvent) -> None:
        """Store a `finished` event of a running scan; its outcome and candidates survive a power cut once this returns."""
        outcome = event.outcome
        if outcome is None:
            raise InputError(
                f"scan {scan_id}: only an event with an outcome can be stored, not {event.kind!r}"
            )
        with self._transaction("IMMEDIATE"):
            scan = self._running_scan(scan_id)
            self._execute(
                "UPDATE scan SET mode = ?, workers = ? WHERE scan = ?",
                (event.mode, event.workers, scan),
            )
            self._execute(
                _INSERT_OUTCOME,
                (scan, *_outcome_row(outcome), event.elapsed_s, to_json(event.logs)),
            )
            self._connection.executemany(_INSERT_CANDIDATE, _candidate_rows(scan, event.candidates))

    def finish_scan(self, scan_id: str, result: ScanResult) -> None:
        """Store how a running scan ended; its outcomes are there."""
        with self._transaction("IMMEDIATE"):
            scan = self._running_scan(scan_id)
            values = (
                str(result.status),
                result.mode,
                result.workers,
                result.elapsed_s,
                to_json(result.warnings),
                scan,
            )
            self._execute(
                "UPDATE scan SET status = ?, mode = ?, workers = ?, elapsed_s = ?, warnings = ? WHERE scan = ?",
                values,
            )

    def abandon_scan(self, scan_id: str) -> None:
        """Mark a running scan as failed; what had ended stays."""
        with self._transaction("IMMEDIATE"):
            self._execute(
                "UPDATE scan SET status = 'failed' WHERE scan = ?", (self._running_scan(scan_id),)
            )

    def delete_scan(self, scan_id: str) -> None:
        """Remove a scan; `InputError` when there is no such scan or a process of this host still works on it."""
        with self._transaction("IMMEDIATE"):
            row = self._scan_row(scan_id)
            if is_at_work(row):
                raise InputError(
                    f"scan {scan_id}: process {row['pid']} still works on it; stop that first, then delete the scan"
                )
            self._execute("DELETE FROM scan WHERE scan = ?", (row["scan"],))

    # --- reading ---------------------------------------------------------------------------------------------------

    def scans(self) -> list[ScanSummary]:
        """Every scan, newest first."""
        with self._transaction("DEFERRED"):
            stored = (
                self._execute("SELECT * FROM scan ORDER BY scan DESC").fetchall()
                if self._has_scans()
                else ()
            )
            return [self._listed(row) for row in stored]

    def find_scan(self, name: str) -> str:
        """The scan id meant by a scan id, the unique beginning of one, or `last`; else `InputError` says what there is."""
        with self._translated():
            return self._meant("scan", name, self._scan_ids(), "run mp2 scan")

    def scan_summary(self, scan_id: str) -> ScanSummary:
        """The scan's line of the list; `InputError` when there is no such scan."""
        with self._transaction("DEFERRED"), self._readable(f"scan {scan_id}"):
            return self._scan_summary(self._scan_row(scan_id))

    def load_scan(self, scan_id: str) -> ScanResult:
        """The scan's result without tool logs; of one that has no end what there is up to now, as a stopped one.

        Its `elapsed_s` is then that of its last outcome. Raises `InputError` when there is no such scan.
        """
        with self._transaction("DEFERRED"), self._readable(f"scan {scan_id}"):
            row = self._scan_row(scan_id)
            order = {name: idx for idx, name in enumerate(json.loads(row["scanners"]))}
            stored = sorted(
                self._execute(_SELECT_OUTCOMES, (row["scan"],)).fetchall(),
                key=lambda one: order.get(one["scanner"], len(order)),
            )
            candidates = self._candidates(row["scan"])
            return _result(row, stored, candidates)

    def _candidates(self, scan: int) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for row in self._execute(_SELECT_CANDIDATES, (scan,)):
            candidate = Candidate(
                row["ticker"],
                row["scanner"],
                row["context"],
                row["priority"],
                json.loads(row["data"]),
            )
            found.setdefault(row["scanner"], []).append(intact(candidate))
        return found

    # --- breakers --------------------------------------------------------------------------------------------------

    def breakers(self) -> dict[str, BreakerState]:
        """The breakers that are not closed or have failures counted, by scanner."""
        with self._translated():
            stored = self._execute("SELECT * FROM breaker").fetchall() if self._has_scans() else ()
            return {row["scanner"]: BreakerState.from_dict(dict(row)) for row in stored}

    def change_breaker(self, scanner: str, change: Change) -> BreakerState:
        """Apply a change that no other process can come between; the state after it."""
        with self._transaction("IMMEDIATE"):
            row = self._execute("SELECT * FROM breaker WHERE scanner = ?", (scanner,)).fetchone()
            before = BreakerState() if row is None else BreakerState.from_dict(dict(row))
            after = change(before)
            if after == BreakerState():
                self._execute("DELETE FROM breaker WHERE scanner = ?", (scanner,))
            elif after != before or row is None:
                values = after.to_dict()
                statement = insert("breaker", "scanner", *values).replace(
                    "INSERT", "INSERT OR REPLACE", 1
                )
                self._execute(statement, (scanner, *map(_plain, values.values())))
        return after

    # --- rows ------------------------------------------------------------------------------------------------------

    def _has_scans(self) -> bool:
        return self._version() >= schema.SCANS_SINCE

    def _scan_ids(self) -> list[str]:
        return self._ids("scan") if self._has_scans() else []

    def _scan_row(self, scan_id: str) -> sqlite3.Row:
        found = (
            self._execute("SELECT * FROM scan WHERE scan_id = ?", (scan_id,)).fetchone()
            if self._has_scans()
            else None
        )
        if found is None:
            raise InputError(
                f"{self.path}: no scan {scan_id!r}; there is {listing(self._scan_ids())}"
            )
        return found  # type: ignore[no-any-return]

    def _running_scan(self, scan_id: str) -> int:
        row = self._execute(
            "SELECT scan, status FROM scan WHERE scan_id = ?", (scan_id,)
        ).fetchone()
        if row is None or row["status"] != "running":
            fate = (
                "was deleted meanwhile" if row is None else f"has already ended ({row['status']})"
            )
            raise StoreError(f"{self.path}: scan {scan_id} {fate}; nothing was stored")
        return int(row["scan"])

    def _listed(self, row: sqlite3.Row) -> ScanSummary:
        try:
            return self._scan_summary(row)
        except DAMAGE:
            return ScanSummary(scan_id=str(row["scan_id"]), **_UNREADABLE)

    def _scan_summary(self, row: sqlite3.Row) -> ScanSummary:
        outcomes = [_to_outcome(one) for one in self._execute(_SELECT_OUTCOMES, (row["scan"],))]
        statement = "SELECT COUNT(DISTINCT ticker) FROM scan_candidate WHERE scan = ?"
        (n_candidates,) = self._execute(statement, (row["scan"],)).fetchone()
        return intact(
            ScanSummary(
                **{
                    name: row[name]
                    for name in ("scan_id", "started_at", "day", "mode", "workers", "elapsed_s")
                },
                status=status_now(row),
                n_scanners=len(json.loads(row["scanners"])),
                n_outcomes=len(outcomes),
                n_failed=sum(outcome.failed for outcome in outcomes),
                n_candidates=n_candidates,
            )
        )


# --- rows and records -------------------------------------------------------------------------------------------------

_OUTCOME_COLUMNS = tuple(spec.name for spec in fields(ScanOutcome) if spec.name != "error")
_INSERT_OUTCOME = insert(
    "scan_outcome", "scan", *_OUTCOME_COLUMNS, "error_code", "error_message", "ended_s", "logs"
)
_INSERT_CANDIDATE = insert(
    "scan_candidate", "scan", "scanner", "candidate_idx", "ticker", "priority", "context", "data"
)
_SELECT_OUTCOMES = "SELECT * FROM scan_outcome WHERE scan = ? ORDER BY ended_s"
_SELECT_CANDIDATES = "SELECT * FROM scan_candidate WHERE scan = ? ORDER BY scanner, candidate_idx"


def _plain(value: Any) -> Any:
    """An enum's member as text."""
    return str(value) if isinstance(value, str) else value


def _outcome_row(outcome: ScanOutcome) -> tuple[Any, ...]:
    error = (None, None) if outcome.error is None else astuple(outcome.error)
    return (*(_plain(getattr(outcome, name)) for name in _OUTCOME_COLUMNS), *error)


def _candidate_rows(scan: int, candidates: Sequence[Candidate]) -> Iterator[tuple[Any, ...]]:
    for idx, one in enumerate(candidates):
        yield (scan, one.source, idx, one.ticker, one.priority, one.context, to_json(one.data))


def _to_outcome(row: sqlite3.Row) -> ScanOutcome:
    values = {name: row[name] for name in _OUTCOME_COLUMNS} | {
        "status": OutcomeStatus(row["status"])
    }
    return ScanOutcome(
        **values,
        error=None
        if row["error_code"] is None
        else ScanError(row["error_code"], row["error_message"]),
    )


_UNREADABLE: dict[str, Any] = {
    "status": "damaged", "started_at": "", "day": "", "mode": None, "workers": None, "elapsed_s": None,
    "n_scanners": 0, "n_outcomes": 0, "n_failed": 0, "n_candidates": 0,
}  # fmt: skip

_UNENDED = {
    "running": "the scan is still running: this is what has ended so far",
    "interrupted": "the process of the scan ended before it did: this is what had ended by then",
    "failed": "the scan failed: this is what had ended by then",
}


def _result(
    row: sqlite3.Row, stored: Sequence[sqlite3.Row], candidates: Mapping[str, Sequence[Candidate]]
) -> ScanResult:
    unended = _UNENDED.get(status_now(row))
    result = ScanResult(
        scan_id=row["scan_id"],
        status=ScanStatus.STOPPED if unended else ScanStatus(row["status"]),
        elapsed_s=max((one["ended_s"] for one in stored), default=0.0)
        if unended
        else row["elapsed_s"],
        workers=row["workers"] or 0,
        mode=row["mode"] or "concurrent",
        outcomes=tuple(map(_to_outcome, stored)),
        candidates=merged((one["pipeline"], candidates.get(one["scanner"], ())) for one in stored),
        warnings=(unended,) if unended else tuple(json.loads(row["warnings"])),
        logs={one["scanner"]: tuple(json.loads(one["logs"])) for one in stored},
    )
    return intact(result)
