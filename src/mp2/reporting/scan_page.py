"""The page of a scan."""

from __future__ import annotations

from collections.abc import Iterator

from mp2.discovery.records import ScanResult
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
    n_scanners = counted(len(result.outcomes), "scanner")
    failed = "none failed"
    if result.n_failed:
        failed = f"{result.n_failed} of them failed, so candidates may be missing"
    return (
        f"{n_scanners} named {counted(len(result.candidates), 'candidate')}; {failed}. A candidate "
        "is a ticker to look at: whether such tickers gain was not tested."
    )


def _cards(result: ScanResult) -> Iterator[Card]:
    n_several = sum(one.n_sources > 1 for one in result.candidates)
    n_candidates = counted(len(result.candidates), "candidate")
    yield Card(label="Found", value=n_candidates, text=f"{n_several} named by several scanners")
    n_answered = sum(not one.failed and one.error is None for one in result.outcomes)
    scanners = f"{n_answered} of {len(result.outcomes)}"
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
