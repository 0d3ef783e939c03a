"""Progress of a running command: live displays on a terminal, heartbeats and events in the log."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mp2.cli.log_file import log_line
from mp2.cli.views import count, duration, record_table, styled
from mp2.errors import plain
from mp2.groups.result import StarterRecord, StarterStatus

if TYPE_CHECKING:
    from mp2.discovery.records import ScanEvent
    from mp2.groups.search import SearchProgress


log = logging.getLogger("mp2")
NS_PER_S = 1e9


class _LiveDisplay:
    """A live display on a terminal; elsewhere `_live` is None. Use as a context manager."""

    def __init__(
        self,
        screen: Console,
        *,
        live: bool,
    ) -> None:
        self._screen = screen
        self._live: Live | None = None
        if live and screen.is_terminal:
            # Without a thread that refreshes it: that would compete with the kernels.
            self._live = Live(console=screen, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._draw(Live.start)
        return self

    def __exit__(self, *error: object) -> None:
        self._draw(Live.stop)

    def _show(self, table: Table) -> None:
        self._draw(lambda live: live.update(table, refresh=True))

    def _draw(self, change: Callable[[Live], None]) -> None:
        if self._live:
            try:
                change(self._live)
            except OSError:
                # A terminal that has gone away ends the display, not the command.
                self._live = None


# --- a search --------------------------------------------------------------------------------


class SearchDisplay(_LiveDisplay):
    """Follows a running search; `update` is its observer, `update_signals` that of its signals.

    A heartbeat is logged everywhere.
    """

    def __init__(
        self,
        screen: Console,
        *,
        heartbeat_s: float,
        live: bool,
    ) -> None:
        super().__init__(screen, live=live)
        self._heartbeat_ns = round(heartbeat_s * NS_PER_S)
        self._next_beat_ns = self._heartbeat_ns
        self._last_ns = 0
        self._last_attempts = 0
        self._rate = 0.0

    def update_signals(
        self,
        done: int,
        total: int,
    ) -> None:
        """Show how many of the parts of the signals are computed."""
        grid = Table.grid(padding=(0, 2))
        grid.add_row("signals", f"{done:,} of {total:,}")
        self._show(grid)

    def update(self, progress: SearchProgress) -> None:
        """Show the state of the search; log a heartbeat when one is due."""
        elapsed_ns = progress.pool.elapsed_ns
        if elapsed_ns >= self._next_beat_ns:
            self._next_beat_ns = elapsed_ns + self._heartbeat_ns
            log.info(heartbeat_line(progress))
        if self._live is None:
            return
        span_ns = elapsed_ns - self._last_ns
        if span_ns > 0:
            rate = (progress.attempts - self._last_attempts) * NS_PER_S / span_ns
            # Smoothed, because attempts are counted at the end of a turn.
            self._rate = 0.7 * (self._rate or rate) + 0.3 * rate
            self._last_ns = elapsed_ns
            self._last_attempts = progress.attempts
        self._show(self._table(progress))

    def _table(self, progress: SearchProgress) -> Table:
        pool = progress.pool
        # Turns may end a little after the wall.
        left_s = max(0, pool.wall_ns - pool.elapsed_ns) / NS_PER_S
        limit = duration(pool.limit_ns / NS_PER_S)
        bank = duration(pool.bank_ns / NS_PER_S)
        grid = Table.grid(padding=(0, 2))
        grid.add_row("to the wall", duration(left_s))
        grid.add_row(
            "starters",
            f"{pool.n_exhausted} done, {pool.n_running} running, {pool.n_cut_off} cut off, "
            f"{pool.n_waiting} waiting",
        )
        grid.add_row("limit, bank", f"{limit}, {bank}")
        grid.add_row("attempts", f"{count(progress.attempts)}, {count(self._rate)} a second")
        for size, score in progress.best_score.items():
            best = "none yet" if score is None else f"{score:.2f}"
            grid.add_row(f"best of size {size}", best)
        return grid


def heartbeat_line(progress: SearchProgress) -> str:
    """Return one log line: time, starters, limit, bank, attempts and memory."""
    pool = progress.pool
    left = progress.n_starters - pool.n_exhausted
    return (
        f"{pool.elapsed_ns / NS_PER_S:.1f}s elapsed, {pool.n_exhausted} starters done, "
        f"{left} left ({pool.n_running} running, {pool.n_cut_off} cut off, "
        f"{pool.n_waiting} waiting), limit {pool.limit_ns / NS_PER_S:.3f}s, "
        f"bank {pool.bank_ns / NS_PER_S:.3f}s, {count(progress.attempts)} attempts, "
        f"{resident_bytes() >> 20} MB"
    )


def resident_bytes() -> int:
    """Return the memory this process holds now; its peak where there is no /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            n_pages = int(statm.read().split()[1])
        return n_pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak if sys.platform == "darwin" else peak * 1024


def log_algo_totals(starters: Iterable[StarterRecord]) -> None:
    """Log one line per algorithm at the end of a run."""
    by_algo: dict[str, list[StarterRecord]] = {}
    for starter in starters:
        by_algo.setdefault(starter.algo, []).append(starter)
    for algo, own in by_algo.items():
        log.info(
            "%s: %d starters, %d cut off, %.2fs, %.1f buys a starter on average",
            plain(algo),
            len(own),
            sum(starter.status is StarterStatus.CUT_OFF for starter in own),
            sum(starter.elapsed_s for starter in own),
            sum(starter.n_buys for starter in own) / len(own),
        )


# --- a scan ----------------------------------------------------------------------------------


class ScanDisplay(_LiveDisplay):
    """Follows a scan; `show` is its observer.

    On a terminal it is a live table, and the console lines at its end; elsewhere the lines as
    they come, unless `quiet`. The lines, every event but `running`, and the scanners' own log
    lines go into the log.
    """

    def __init__(
        self,
        screen: Console,
        scanners: Iterable[str],
        *,
        live: bool,
        quiet: bool = False,
    ) -> None:
        super().__init__(screen, live=live and not quiet)
        self._quiet = quiet
        waiting: tuple[object, ...] = ("waiting", "", "", "")
        self._rows = dict.fromkeys(scanners, waiting)
        self._lines: list[str] = []

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for line in self._lines:
            self._screen.print(styled(line))

    def show(self, event: ScanEvent) -> None:
        """Show what happened."""
        log_event(event)
        line = event.line
        if line is not None:
            log_line(line)
        if line is not None and not self._quiet:
            if self._live is None:
                self._screen.print(styled(line))
            else:
                self._lines.append(line)
        outcome = event.outcome
        if outcome is not None:
            time = duration(outcome.seconds)
            row = (outcome.status, time, outcome.attempts, outcome.n_candidates)
            self._rows[event.scanner] = row
        elif event.scanner:
            time = f"{event.seconds:.1f} s"
            if event.timeout_s is not None:
                time += f" of {duration(event.timeout_s)}"
            self._rows[event.scanner] = ("running", time, event.attempts, "")
        if self._live:
            rows = [(name, *row) for name, row in self._rows.items()]
            headings = ("scanner", "state", "time", "attempts", "candidates")
            self._show(record_table(headings, rows))


def log_event(event: ScanEvent) -> None:
    """Log an event as JSON, and the log lines of its scanner."""
    if event.kind == "running":
        return
    log.debug("%s", json.dumps(event.to_dict(), ensure_ascii=False))
    for line in event.logs:
        # A traceback is one log line of a scanner and several of this log.
        for part in line.splitlines():
            log.debug("%s: %s", event.scanner, part)
