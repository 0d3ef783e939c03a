"""What a person sees of scans: the live table, the lines of outcomes, ranked candidates, and scanners with their settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.console import Group as Stack
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mp2.cli.console import duration, record_table
from mp2.discovery.records import ANSWERED, MergedCandidate, ScanEvent, ScanResult, counted
from mp2.errors import plain

if TYPE_CHECKING:
    from mp2.picks.records import DayPicks

log = logging.getLogger("mp2")

LOOK_S = 0.2
"""How often the live table is told of running scanners."""


class ScanDisplay:
    """Follows a scan: on a terminal a live table, then the console lines; elsewhere the lines as they come.

    Use as a context manager and hand `show` to `mp2.scan(observe=..., observe_every_s=LOOK_S)`. Every event but `running` goes
    into the log as JSON, and so do the scanners' own log lines.
    """

    def __init__(self, screen: Console, scanners: Iterable[str], *, live: bool) -> None:
        self._screen = screen
        self._rows: dict[str, tuple[object, ...]] = dict.fromkeys(scanners, ("waiting", "", "", ""))
        self._lines: list[str] = []
        self._live = (
            Live(console=screen, auto_refresh=False, transient=True)
            if live and screen.is_terminal
            else None
        )

    def __enter__(self) -> ScanDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
            for line in self._lines:
                self.say(line)

    def say(self, line: str) -> None:
        """Print a line now."""
        self._screen.print(Text(plain(line)))

    def show(self, event: ScanEvent) -> None:
        """Show what happened."""
        _log_event(event)
        line = event.line
        if line is not None and self._live is None:
            self.say(line)
        elif line is not None:
            self._lines.append(line)
        if self._live:
            if event.scanner:
                self._rows[event.scanner] = _live_row(event)
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        rows = ((name, *row) for name, row in self._rows.items())
        return record_table(("scanner", "state", "time", "attempts", "candidates"), rows)


def _live_row(event: ScanEvent) -> tuple[object, ...]:
    outcome = event.outcome
    if outcome is None:
        limit = "" if event.timeout_s is None else f" of {duration(event.timeout_s)}"
        return ("running", f"{event.seconds:.1f} s{limit}", event.attempts, "")
    return (outcome.status, duration(outcome.seconds), outcome.attempts, outcome.n_candidates)


def _log_event(event: ScanEvent) -> None:
    if event.kind == "running":
        return
    log.debug("%s", json.dumps(event.to_dict(), ensure_ascii=False))
    for line in event.logs:
        for part in line.splitlines():  # those of a traceback
            log.debug("%s: %s", event.scanner, part)


# --- results -------------------------------------------------------------------------------------------------------


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


# --- beside picks ----------------------------------------------------------------------------------------------------


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


# --- scanners --------------------------------------------------------------------------------------------------------


def log_view(scanner: str, lines: Sequence[str]) -> Stack:
    """A scanner's log; the lines of a traceback stay lines."""
    shown = [Text(f"  {plain(part)}", style="dim") for line in lines for part in line.splitlines()]
    return Stack(
        Text(f"log of {scanner}:", style="bold"), *(shown or [Text("  empty", style="dim")])
    )
