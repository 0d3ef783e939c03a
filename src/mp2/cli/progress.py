"""Progress of a running command: live displays on a terminal, heartbeats and events in the log."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mp2.cli.views import count, duration, record_table
from mp2.errors import plain
from mp2.groups.result import StarterRecord, StarterStatus

if TYPE_CHECKING:
    from mp2.discovery.records import ScanEvent
    from mp2.groups.search import SearchProgress


log = logging.getLogger("mp2")
NS_PER_S = 1e9


def resident_bytes() -> int:
    """Memory this process holds now (its peak where the system does not tell)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def heartbeat_line(progress: SearchProgress) -> str:
    """One log line: elapsed, starters done and left, limit, bank, attempts, memory."""
    pool = progress.pool
    left = progress.n_starters - pool.n_exhausted
    return (
        f"{pool.elapsed_ns / NS_PER_S:.1f}s elapsed, {pool.n_exhausted} starters done, {left} left ({pool.n_running} running, "
        f"{pool.n_cut_off} cut off, {pool.n_waiting} waiting), limit {pool.limit_ns / NS_PER_S:.3f}s, "
        f"bank {pool.bank_ns / NS_PER_S:.3f}s, {count(progress.attempts)} attempts, {resident_bytes() >> 20} MB"
    )


class SearchDisplay:
    """Follows a running search: a live display on a terminal, and a heartbeat in the log everywhere.

    Use as a context manager and hand `update` to `mp2.search(observe=...)`.
    """

    def __init__(self, screen: Console, *, heartbeat_s: float, live: bool) -> None:
        self._heartbeat_ns = round(heartbeat_s * NS_PER_S)
        self._next_beat_ns = self._heartbeat_ns
        self._last = (0, 0)
        self._rate = 0.0
        self._live = (
            Live(console=screen, auto_refresh=False, transient=True)
            if live and screen.is_terminal
            else None
        )

    def __enter__(self) -> SearchDisplay:
        self._draw(Live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw(Live.stop)

    def update(self, progress: SearchProgress) -> None:
        """Show the state of the search; logs a heartbeat when one is due."""
        elapsed_ns = progress.pool.elapsed_ns
        if elapsed_ns >= self._next_beat_ns:
            self._next_beat_ns = elapsed_ns + self._heartbeat_ns
            log.info(heartbeat_line(progress))
        if self._live:
            self._measure(elapsed_ns, progress.attempts)
            shown = self._render(progress)
            self._draw(lambda live: live.update(shown, refresh=True))

    def _draw(self, change: Callable[[Live], None]) -> None:
        """A terminal that has gone away costs the display, not the search."""
        if self._live:
            try:
                change(self._live)
            except OSError:
                self._live = None

    def _measure(self, elapsed_ns: int, attempts: int) -> None:
        span_ns, more = elapsed_ns - self._last[0], attempts - self._last[1]
        if span_ns > 0:
            now = more * NS_PER_S / span_ns
            self._rate = now if self._rate == 0 else 0.7 * self._rate + 0.3 * now
            self._last = (elapsed_ns, attempts)

    def _render(self, progress: SearchProgress) -> Table:
        pool = progress.pool
        left_s = max(0, pool.wall_ns - pool.elapsed_ns) / NS_PER_S
        grid = Table.grid(padding=(0, 2))
        grid.add_row("to the wall", duration(left_s))
        grid.add_row(
            "starters",
            f"{pool.n_exhausted} done, {pool.n_running} running, {pool.n_cut_off} cut off, {pool.n_waiting} waiting",
        )
        grid.add_row(
            "limit, bank",
            f"{duration(pool.limit_ns / NS_PER_S)}, {duration(pool.bank_ns / NS_PER_S)}",
        )
        grid.add_row("attempts", f"{count(progress.attempts)}, {count(self._rate)} a second")
        for size, score in progress.best_score.items():
            grid.add_row(f"best of size {size}", "none yet" if score is None else f"{score:.2f}")
        return grid


def algo_totals(starters: Iterable[StarterRecord]) -> dict[str, dict[str, float]]:
    """Per algorithm: starters, cut-offs, seconds run and mean buys of a starter."""
    totals: dict[str, dict[str, float]] = {}
    for starter in starters:
        row = totals.setdefault(
            starter.algo, {"n_starters": 0, "n_cut_off": 0, "elapsed_s": 0.0, "n_buys": 0}
        )
        row["n_starters"] += 1
        row["n_cut_off"] += starter.status is StarterStatus.CUT_OFF
        row["elapsed_s"] += starter.elapsed_s
        row["n_buys"] += starter.n_buys
    return totals


def log_algo_totals(starters: Iterable[StarterRecord]) -> None:
    """Log one line per algorithm at the end of a run."""
    for algo, row in algo_totals(starters).items():
        log.info(
            "%s: %d starters, %d cut off, %.2fs, %.1f buys a starter on average",
            plain(algo), row["n_starters"], row["n_cut_off"], row["elapsed_s"], row["n_buys"] / row["n_starters"],
        )  # fmt: skip


REFRESH_S = 0.2
"""How often the live table is told of running scanners."""


class ScanDisplay:
    """Follows a scan: on a terminal a live table, then the console lines; elsewhere the lines as they come.

    Use as a context manager and hand `show` to `mp2.scan(observe=..., observe_every_s=REFRESH_S)`. Every event but `running` goes
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
