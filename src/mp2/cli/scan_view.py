"""What a person sees of scans: ranked candidates, the scan beside picks, and the logs of scanners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from mp2.cli.views import duration, record_table
from mp2.discovery.records import ANSWERED, MergedCandidate, ScanResult, counted
from mp2.errors import plain

if TYPE_CHECKING:
    from mp2.picks.records import DayPicks


def scan_view(result: ScanResult, *, n_show: int, stored: bool) -> Stack:
    """The ranked candidates, the best `n_show` of them, and how the scan went in one sentence."""
    parts: list[Any] = (
        [candidates_table(result.candidates[:n_show]), Text()]
        if result.candidates and n_show
        else []
    )
    return Stack(*parts, Text(scan_sentence(result, stored=stored), style="bold"))


def candidates_table(candidates: Iterable[MergedCandidate]) -> Table:
    """A row per ticker: priority, sources, reasons."""
    rows = (
        (one.ticker, one.priority, one.n_sources, ", ".join(one.pipelines), reasons(one))
        for one in candidates
    )
    return record_table(("ticker", "priority", "sources", "pipelines", "why"), rows)


def reasons(candidate: MergedCandidate) -> str:
    """Who named it and why: `market_movers: up 12%; news: in 3 headlines`."""
    return "; ".join(
        f"{source}: {why}"
        for source, why in zip(candidate.sources, candidate.contexts, strict=True)
    )


def scan_sentence(result: ScanResult, *, stored: bool) -> str:
    """`2 candidates from 3 of 4 scanners in 1.20 s, status partial. Stored as scan 20261122-153012-1a2b.`"""
    n_answered = sum(outcome.status in ANSWERED for outcome in result.outcomes)
    what = f"{counted(len(result.candidates), 'candidate')} from {n_answered} of {counted(len(result.outcomes), 'scanner')}"
    where = f" Stored as scan {plain(result.scan_id)}." if stored else ""
    return f"{what} in {duration(result.elapsed_s)}, status {result.status}.{where}"


def named_view(
    picks: DayPicks, named: Mapping[str, MergedCandidate], result: ScanResult, *, n_votes: int
) -> Stack:
    """Beside every picked ticker, and the best `n_votes` of the vote, which scanners named it too and why."""
    votes = {vote.ticker: vote.n_groups for vote in picks.votes}
    shown = dict.fromkeys([*picks.tickers(), *(vote.ticker for vote in picks.votes[:n_votes])])
    rows = (
        (ticker, _picked_by(picks, ticker, votes), *_named(named.get(ticker))) for ticker in shown
    )
    head = f"Also named by scanners ({scan_sentence(result, stored=False)})"
    table = record_table(("ticker", "picked by", "priority", "scanners and why"), rows)
    return Stack(Text(), Text(head, style="bold"), table)


def _picked_by(picks: DayPicks, ticker: str, votes: Mapping[str, int]) -> str:
    sizes = [
        f"size {size}"
        for size, pick in picks.picks.items()
        if pick is not None and ticker in pick.tickers
    ]
    return ", ".join([*sizes, *([counted(votes[ticker], "vote")] if ticker in votes else [])])


def _named(candidate: MergedCandidate | None) -> tuple[str, str]:
    return ("-", "-") if candidate is None else (candidate.priority, reasons(candidate))


def log_view(scanner: str, lines: Sequence[str]) -> Stack:
    """A scanner's log; the lines of a traceback stay lines."""
    shown = [Text(f"  {plain(part)}", style="dim") for line in lines for part in line.splitlines()]
    return Stack(
        Text(f"log of {scanner}:", style="bold"), *(shown or [Text("  empty", style="dim")])
    )
