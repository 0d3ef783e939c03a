"""The page of a scan."""

from __future__ import annotations

from collections.abc import Iterator

from mp2.discovery.records import ANSWERED, ScanResult
from mp2.errors import counted
from mp2.reporting import pictures_scan as draw
from mp2.reporting.content import Card, Cell, Page, Picture, Section, Table, without_folders


def scan_page(result: ScanResult) -> Page:
    """Return the page of a scan: its candidates, and what became of each scanner."""
    headings = ("ticker", "priority", "sources", "named by", "why")
    rows: list[tuple[Cell, ...]] = []
    for one in result.candidates:
        why = "; ".join(one.contexts)
        rows.append((one.ticker, one.priority, one.n_sources, ", ".join(one.sources), why))
    return Page(
        name=f"scan {result.scan_id}",
        title=f"{counted(len(result.candidates), 'candidate')}: scan {result.status}",
        lead=_lead(result),
        cards=list(_cards(result)),
        sections=[_section(result)] if result.outcomes else [],
        groups=Table(headings=headings, rows=rows) if rows else None,
        groups_title="Candidates",
        warnings=tuple(map(without_folders, result.warnings)),
    )


def _lead(result: ScanResult) -> str:
    n_answered = _n_answered(result)
    missing = "none failed"
    if result.n_failed:
        missing = f"{result.n_failed} failed, so candidates may be missing"
    n_not_run = len(result.outcomes) - n_answered - result.n_failed
    if n_not_run:
        missing += f", {n_not_run} were not run"
    candidates = counted(len(result.candidates), "candidate")
    return (
        f"{n_answered} of {counted(len(result.outcomes), 'scanner')} answered and named "
        f"{candidates}; {missing}. A candidate is a ticker to look at: whether such tickers gain "
        "was not tested."
    )


def _n_answered(result: ScanResult) -> int:
    return sum(outcome.status in ANSWERED for outcome in result.outcomes)


def _cards(result: ScanResult) -> Iterator[Card]:
    n_several = sum(one.n_sources > 1 for one in result.candidates)
    yield Card(
        label="Found",
        value=counted(len(result.candidates), "candidate"),
        text=f"{n_several} named by several scanners",
    )
    scanners = f"{_n_answered(result)} of {len(result.outcomes)}"
    yield Card(label="Scanners with an answer", value=scanners, text=f"{result.n_failed} failed")
    text = f"at most {result.workers} at once"
    yield Card(label="Time", value=f"{result.elapsed_s:.1f} s", text=text)


def _section(result: ScanResult) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for one in result.outcomes:
        message = without_folders(one.error.message) if one.error else ""
        numbers = (one.seconds, one.ended_s, one.attempts, one.n_candidates, one.n_dropped)
        rows.append((one.scanner, one.pipeline, str(one.status), *numbers, message))
    times = ("seconds", "ended at s")
    counts = ("requests", "candidates", "dropped")
    headings = ("scanner", "pipeline", "status", *times, *counts, "message")
    # The slowest one decides how long a concurrent scan takes.
    slowest = max(result.outcomes, key=lambda one: one.seconds)
    answer = f"{slowest.scanner} took longest, {slowest.seconds:.1f} s."
    failed = [one.scanner for one in result.outcomes if one.failed]
    if failed:
        answer += f" Failed: {', '.join(failed)}."
    return Section(
        anchor="scanners",
        short="Scanners",
        question="Which source held the scan up, or failed?",
        answer=answer,
        pictures=[
            Picture(figure=draw.scanners(result), table=Table(headings=headings, rows=rows)),
        ],
    )
