"""Scans in the store: each outcome with its candidates when it is known, and scanners' breakers.

A scan is a row from the moment it begins. Every outcome is a transaction of its own, which is on
the disk when `add_outcome` returns, so an outcome that is shown afterwards survives a kill. The
merged candidates are not stored: they follow from the outcomes and the order of the scanners, also
for a scan whose process died.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mp2._json import encode
from mp2.errors import InputError
from mp2.storage.database import Database
from mp2.storage.processes import status_now
from mp2.storage.values import Row, from_sql, validated

# Imported where they are used: a stored search has no use for scanners, and starts sooner.
if TYPE_CHECKING:
    from mp2.discovery.breaker import BreakerState, Change
    from mp2.discovery.records import Candidate, ScanEvent, ScanResult

_UNENDED = {
    "running": "the scan is still running: this is what has ended so far",
    "interrupted": "the process of the scan ended before it did: this is what had ended by then",
    "failed": "the scan failed: this is what had ended by then",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """One line of the list of scans.

    `day`: the ISO date that was scanned for. `status`: that of the result, or `running`, `failed`,
    or `interrupted` when its process died. Of `n_scanners`, `n_outcomes` have ended, `n_failed` of
    them with a failure. `n_candidates`: different tickers. `elapsed_s` is None until the end,
    `mode` and `workers` until the first outcome.
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
    """The scans of a store; `mp2.Store` is the whole store."""

    # --- a scan from begin to end -----------------------------------------------------------------

    def begin_scan(
        self,
        *,
        scanners: Sequence[str],
        day: str,
        config_fingerprint: str,
    ) -> str:
        """Store that a scan of these scanners, in registration order, starts. Returns its id."""
        values = {
            "day": day,
            "config_fingerprint": config_fingerprint,
            "scanners": list(scanners),
        }
        return self._begin("scan", values)

    def add_outcome(
        self,
        scan_id: str,
        event: ScanEvent,
    ) -> None:
        """Store a `finished` event of a running scan: its outcome and its candidates.

        They survive a power cut once this returns. `InputError` for an event without an outcome.
        """
        outcome = event.outcome
        if outcome is None:
            raise InputError(
                f"scan {scan_id}: only an event with an outcome can be stored, not {event.kind!r}"
            )
        with self._transaction("IMMEDIATE"):
            scan = self._running("scan", scan_id)
            self._update("scan", scan, {"mode": event.mode, "workers": event.workers})
            values = {"scan": scan, "logs": event.logs}
            self._insert("scan_outcome", values | asdict(outcome))
            for idx, candidate in enumerate(event.candidates):
                candidate_row = {
                    "scan": scan,
                    "scanner": candidate.source,
                    "candidate_idx": idx,
                    "ticker": candidate.ticker,
                    "priority": candidate.priority,
                    "context": candidate.context,
                    # Encoded here: plain text is JSON too.
                    "data": encode(candidate.data),
                }
                self._insert("scan_candidate", candidate_row)

    def finish_scan(
        self,
        scan_id: str,
        result: ScanResult,
    ) -> None:
        """Store how a running scan ended; its outcomes are already stored."""
        with self._transaction("IMMEDIATE"):
            scan = self._running("scan", scan_id)
            values = {
                "status": result.status,
                "mode": result.mode,
                "workers": result.workers,
                "elapsed_s": result.elapsed_s,
                "warnings": result.warnings,
            }
            self._update("scan", scan, values)

    def abandon_scan(self, scan_id: str) -> None:
        """Mark a running scan as failed; its outcomes stay."""
        with self._transaction("IMMEDIATE"):
            self._update("scan", self._running("scan", scan_id), {"status": "failed"})

    def delete_scan(self, scan_id: str) -> None:
        """Remove a scan; `InputError` when a process of this host still works on it."""
        self._delete("scan", scan_id)

    # --- reading ----------------------------------------------------------------------------------

    def scans(self, n_newest: int | None = None) -> list[ScanSummary]:
        """Every scan, or the newest so many; newest first.

        Rows that cannot be read back are named in `problems`.
        """
        return self._summaries("scan", self._summary, n_newest)

    def find_scan(self, name: str) -> str:
        """The scan id meant by a scan id, the unique beginning of one, or `last`.

        `InputError` lists the scans when `name` fits none or several.
        """
        with self._translated():
            return self._resolved("scan", name, "run mp2 scan")

    def scan_summary(self, scan_id: str) -> ScanSummary:
        """The scan's line of the list; `InputError` when there is no such scan."""
        with self._transaction("DEFERRED"), self._readable(f"scan {scan_id}"):
            return self._summary(self._row("scan", scan_id))

    def load_scan(self, scan_id: str) -> ScanResult:
        """The scan's result without tool logs; `InputError` when there is no such scan.

        A scan that has not ended is a stopped one with the outcomes so far; its `elapsed_s` is that
        of the last outcome.
        """
        from mp2.discovery.candidates import merged
        from mp2.discovery.records import ScanResult, ScanStatus

        with self._transaction("DEFERRED"), self._readable(f"scan {scan_id}"):
            row = self._row("scan", scan_id)
            values = from_sql(row)
            registered = list(values["scanners"])
            outcomes = self._outcome_rows(row["scan"])
            outcomes.sort(key=lambda outcome: registered.index(outcome["scanner"]))
            candidates = self._candidates(row["scan"])
            unended = _UNENDED.get(status_now(row))
            if unended is not None:
                ended_s = [outcome["ended_s"] for outcome in outcomes]
                values["status"] = ScanStatus.STOPPED
                values["elapsed_s"] = max(ended_s, default=0.0)
                values["warnings"] = [unended]
            # Unknown before the first outcome.
            values["mode"] = values["mode"] or "concurrent"
            values["workers"] = values["workers"] or 0
            values["outcomes"] = outcomes
            values["logs"] = {outcome["scanner"]: outcome["logs"] for outcome in outcomes}
            values["candidates"] = merged(
                (outcome["pipeline"], candidates.get(outcome["scanner"], ()))
                for outcome in outcomes
            )
            return validated(ScanResult, values)

    def _summary(self, row: Row) -> ScanSummary:
        from mp2.discovery.records import ScanOutcome

        scan = row["scan"]
        values = from_sql(row)
        stored = self._outcome_rows(scan)
        outcomes = [validated(ScanOutcome, outcome) for outcome in stored]
        tickers = self._execute(
            "SELECT count(DISTINCT ticker) FROM scan_candidate WHERE scan = ?", (scan,)
        )
        values["status"] = status_now(row)
        values["n_scanners"] = len(values["scanners"])
        values["n_outcomes"] = len(outcomes)
        values["n_failed"] = sum(outcome.failed for outcome in outcomes)
        values["n_candidates"] = tickers.fetchone()[0]
        return validated(ScanSummary, values)

    def _outcome_rows(self, scan: int) -> list[Row]:
        stored = self._execute(
            "SELECT * FROM scan_outcome WHERE scan = ? ORDER BY ended_s", (scan,)
        )
        return [from_sql(dict(row)) for row in stored]

    def _candidates(self, scan: int) -> dict[str, list[Candidate]]:
        """The candidates by scanner, in the order in which it yielded them."""
        from mp2.discovery.records import Candidate

        by_scanner: dict[str, list[Candidate]] = {}
        stored = self._execute(
            "SELECT * FROM scan_candidate WHERE scan = ? ORDER BY scanner, candidate_idx", (scan,)
        )
        for row in stored:
            values = from_sql(dict(row))
            candidate = validated(Candidate, {**values, "source": row["scanner"]})
            by_scanner.setdefault(row["scanner"], []).append(candidate)
        return by_scanner

    # --- breakers ---------------------------------------------------------------------------------

    def breakers(self) -> dict[str, BreakerState]:
        """The breakers that are not closed or have failures counted, by scanner."""
        from mp2.discovery.breaker import BreakerState

        with self._translated():
            stored = self._execute("SELECT * FROM breaker")
            return {row["scanner"]: BreakerState.from_row(row) for row in stored}

    def change_breaker(
        self,
        scanner: str,
        change: Change,
    ) -> BreakerState:
        """Apply a change that no other process can come between. Returns the state after it."""
        from mp2.discovery.breaker import BreakerState

        with self._transaction("IMMEDIATE"):
            row = self._execute("SELECT * FROM breaker WHERE scanner = ?", (scanner,)).fetchone()
            before = BreakerState() if row is None else BreakerState.from_row(row)
            after = change(before)
            if after == BreakerState():
                self._execute("DELETE FROM breaker WHERE scanner = ?", (scanner,))
            else:
                values = {"scanner": scanner, **asdict(after)}
                self._insert("breaker", values, replace=True)
        return after
