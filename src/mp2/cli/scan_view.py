"""What a person sees of scans: ranked candidates, why they are named, logs of scanners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mp2.cli.views import duration, record_table, stacked, styled
from mp2.discovery.records import ANSWERED, MergedCandidate, ScanResult
from mp2.errors import counted

if TYPE_CHECKING:
    from rich.console import RenderableType


@stacked
def scan_view(
    result: ScanResult,
    *,
    n_show: int,
    stored: bool,
) -> Iterator[RenderableType]:
    """Show the best `n_show` of the ranked candidates, and one sentence on the scan."""
    rows = []
    for one in result.candidates[:n_show]:
        pipelines = ", ".join(one.pipelines)
        rows.append((one.ticker, one.priority, one.n_sources, pipelines, reasons(one)))
    if rows:
        yield record_table(("ticker", "priority", "sources", "pipelines", "why"), rows)
        yield ""
    sentence = scan_sentence(result)
    if stored:
        sentence += f" Stored as scan {result.scan_id}."
    yield styled(sentence, "bold")


def scan_sentence(result: ScanResult) -> str:
    """Return `2 candidates from 3 of 4 scanners in 1.20 s, status partial.`"""
    n_answered = sum(outcome.status in ANSWERED for outcome in result.outcomes)
    candidates = counted(len(result.candidates), "candidate")
    scanners = counted(len(result.outcomes), "scanner")
    time = duration(result.elapsed_s)
    return f"{candidates} from {n_answered} of {scanners} in {time}, status {result.status}."


def reasons(candidate: MergedCandidate) -> str:
    """Return which scanners name it and why: `market_movers: up 12%; news: in 3 headlines`."""
    pairs = zip(candidate.sources, candidate.contexts, strict=True)
    return "; ".join(f"{source}: {why}" for source, why in pairs)


@stacked
def log_view(scanner: str, lines: Sequence[str]) -> Iterator[RenderableType]:
    """Show a scanner's log; the lines of a traceback stay lines."""
    yield styled(f"log of {scanner}:", "bold")
    # One line of the log may hold a whole traceback.
    for part in "\n".join(lines or ["empty"]).splitlines():
        yield styled(f"  {part}", "dim")
