"""The scan of a night: what scanners say of the tickers picked for the day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Document
from mp2.errors import Mp2Error
from mp2.nightly.records import Report
from mp2.picks.records import DayPicks
from mp2.storage.runs import Store

if TYPE_CHECKING:
    from mp2.discovery.records import ScanResult

Scan = Callable[[str], "ScanResult"]
"""Scans for a day, an ISO date, and stores the scan."""

# A partial scan has ended too: what failed in it is a warning, and another one costs requests.
_DONE = ("complete", "partial")


def scan_once(
    db: Path,
    picks: DayPicks,
    scan: Scan,
    report: Report,
) -> Document | None:
    """Scan for the day picked for, unless that was done; what goes wrong with it is a warning."""
    from mp2.discovery.candidates import named_among

    try:
        result = _stored_scan(db, picks.day) or scan(picks.day)
    except Mp2Error as error:
        # The picks are made without it, so they must not be lost with it.
        for line in str(error).splitlines():
            report.warnings.append(f"scan: {line}")
        return None
    for outcome in result.outcomes:
        if outcome.failed and outcome.error is not None:
            report.warnings.append(f"scan: {outcome.scanner}: {outcome.error.message}")
    tickers = list(picks.tickers())
    tickers += [vote.ticker for vote in picks.votes]
    named: Document = {}
    for ticker, candidate in named_among(tickers, result.candidates).items():
        reasons = candidate.to_dict()
        # Data can be large; `mp2 scans show` has it.
        del reasons["ticker"], reasons["data"]
        named[ticker] = reasons
    return {
        "scan_id": result.scan_id,
        "status": str(result.status),
        "n_candidates": len(result.candidates),
        "named": named,
    }


def _stored_scan(db: Path, day: str) -> ScanResult | None:
    """Return the newest scan for a day that came to its end.

    A night that is repeated takes it, since sources limit requests.
    """
    with Store(db, read_only=True) as store:
        for summary in store.scans():
            if summary.day == day and summary.status in _DONE:
                return store.load_scan(summary.scan_id)
    return None
