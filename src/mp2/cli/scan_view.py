"""What a person sees of scans: ranked candidates, the scan beside picks, logs of scanners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mp2.cli.views import duration, record_table, stacked, styled
from mp2.discovery.records import ANSWERED, MergedCandidate, ScanResult
from mp2.errors import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mp2.picks.records import DayPicks


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
        rows.append((one.ticker, one.priority, one.n_sources, pipelines, _reasons(one)))
    if rows:
        yield record_table(("ticker", "priority", "sources", "pipelines", "why"), rows)
        yield ""
    sentence = _sentence(result)
    if stored:
        sentence += f" Stored as scan {result.scan_id}."
    yield styled(sentence, "bold")


def _sentence(result: ScanResult) -> str:
    """Return `2 candidates from 3 of 4 scanners in 1.20 s, status partial.`"""
    n_answered = sum(outcome.status in ANSWERED for outcome in result.outcomes)
    candidates = counted(len(result.candidates), "candidate")
    scanners = counted(len(result.outcomes), "scanner")
    time = duration(result.elapsed_s)
    return f"{candidates} from {n_answered} of {scanners} in {time}, status {result.status}."


def _reasons(candidate: MergedCandidate) -> str:
    """Return which scanners name it and why: `market_movers: up 12%; news: in 3 headlines`."""
    pairs = zip(candidate.sources, candidate.contexts, strict=True)
    return "; ".join(f"{source}: {why}" for source, why in pairs)


@stacked
def named_view(
    picks: DayPicks,
    named: Mapping[str, MergedCandidate],
    result: ScanResult,
    *,
    n_votes: int,
) -> Iterator[RenderableType]:
    """Show which scanners also name the picked tickers, and the best `n_votes` of the vote."""
    picked_by: dict[str, list[str]] = {ticker: [] for ticker in picks.tickers()}
    for size, pick in picks.picks.items():
        if pick is not None:
            for ticker in pick.tickers:
                picked_by[ticker].append(f"size {size}")
    for idx, vote in enumerate(picks.votes):
        if idx < n_votes or vote.ticker in picked_by:
            picked_by.setdefault(vote.ticker, []).append(counted(vote.n_groups, "vote"))
    rows = []
    for ticker, picked in picked_by.items():
        priority = "-"
        why = "-"
        if ticker in named:
            priority = named[ticker].priority
            why = _reasons(named[ticker])
        rows.append((ticker, ", ".join(picked), priority, why))
    yield ""
    yield styled(f"Also named by scanners ({_sentence(result)})", "bold")
    yield record_table(("ticker", "picked by", "priority", "scanners and why"), rows)


@stacked
def log_view(scanner: str, lines: Sequence[str]) -> Iterator[RenderableType]:
    """Show a scanner's log; the lines of a traceback stay lines."""
    yield styled(f"log of {scanner}:", "bold")
    for part in "\n".join(lines or ["empty"]).splitlines():
        yield styled(f"  {part}", "dim")
