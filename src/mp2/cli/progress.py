"""Progress of a running command: live displays on a terminal, heartbeats and events in the log."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mp2._intervals import DISPLAY_S
from mp2.cli.log_file import log_line
from mp2.cli.views import count, duration, record_table, share, styled
from mp2.errors import plain

if TYPE_CHECKING:
    from mp2.discovery.records import ScanEvent
    from mp2.groups.result import StarterRecord
    from mp2.groups.search import SearchProgress


log = logging.getLogger("mp2")
_NS_PER_S = 1e9
# In turn, at each drawing: they show that a command whose figures stand still is alive.
_MARKS = "|/-\\"


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

    def _show(self, content: RenderableType) -> None:
        self._draw(lambda live: live.update(content, refresh=True))

    def _draw(self, change: Callable[[Live], None]) -> None:
        if self._live:
            try:
                change(self._live)
            except OSError:
                # A terminal that has gone away ends the display, not the command.
                self._live = None


# --- a search --------------------------------------------------------------------------------


class SearchDisplay(_LiveDisplay):
    """Follows a run: `step` gets its steps, `update_signals` and `update` their progress.

    A heartbeat of the search is logged everywhere.
    """

    def __init__(
        self,
        screen: Console,
        *,
        heartbeat_s: float,
        live: bool,
    ) -> None:
        super().__init__(screen, live=live)
        self._heartbeat_ns = round(heartbeat_s * _NS_PER_S)
        self._next_beat_ns = self._heartbeat_ns
        self._began: SearchProgress | None = None
        self._n_drawn = 0
        self._step_ended = threading.Event()
        self._step_thread: threading.Thread | None = None

    def __exit__(self, *error: object) -> None:
        self._end_step()
        super().__exit__(*error)

    def step(self, name: str) -> None:
        """Show a step without figures until another one begins or reports progress."""
        self._end_step()
        if self._live is None:
            return
        self._step_ended.clear()
        # A thread, since a step reports nothing; a daemon, so that it never keeps the process.
        self._step_thread = threading.Thread(target=self._move, args=(name,), daemon=True)
        self._step_thread.start()

    def _move(self, name: str) -> None:
        started_s = time.monotonic()
        while True:
            elapsed_s = time.monotonic() - started_s
            self._draw_lines(f"{name}, {elapsed_s:.0f} s")
            if self._step_ended.wait(DISPLAY_S):
                return

    def _end_step(self) -> None:
        # Before the next drawing: the thread must not draw over it.
        if self._step_thread is not None:
            self._step_ended.set()
            self._step_thread.join()
            self._step_thread = None

    def update_signals(
        self,
        done: int,
        total: int,
    ) -> None:
        """Show how many of the parts of the signals are computed."""
        self._end_step()
        self._draw_lines(f"computing signals: {done:,} of {total:,} parts")

    def update(self, progress: SearchProgress) -> None:
        """Show the state of the search; log a heartbeat when one is due."""
        elapsed_ns = progress.pool.elapsed_ns
        if elapsed_ns >= self._next_beat_ns:
            # From now, not from when it was due: late beats are not made up for.
            self._next_beat_ns = elapsed_ns + self._heartbeat_ns
            log.info(heartbeat_line(progress))
        self._end_step()
        if self._began is None:
            # A resumed search begins with what earlier calls covered.
            self._began = progress
        if self._live is not None:
            self._draw_lines(*search_lines(progress, self._began))

    def _draw_lines(self, *lines: str) -> None:
        self._n_drawn += 1
        mark = _MARKS[self._n_drawn % len(_MARKS)]
        parts = []
        for line in lines:
            # A line that wraps would make the display jump.
            parts.append(Text(f"{mark} {plain(line)}", no_wrap=True, overflow="ellipsis"))
            mark = " "
        self._show(Group(*parts))


def search_lines(
    progress: SearchProgress,
    began: SearchProgress,
) -> tuple[str, ...]:
    """Return lines on a search: how far it is, when it ends, its cluster; `began`: as it began."""
    pool = progress.pool
    scores = [f"{score:.1f}" for score in progress.best_score.values() if score is not None]
    best = " ".join(scores) or "none"
    done = (
        f"searching: {share(progress.coverage)} of the space, "
        f"{pool.n_exhausted:,} of {progress.n_starters:,} starters, "
        f"best {best}"
    )
    # Turns may end a little after the wall.
    wall_ns = max(0, pool.wall_ns - pool.elapsed_ns)
    wall = duration(wall_ns / _NS_PER_S)
    cluster = cluster_words(progress)
    gained = progress.coverage - began.coverage
    if gained <= 0:
        return done, f"the wall in {wall}, the whole space not known yet", *cluster
    # As if the rest went as fast as the part that this call has covered.
    elapsed_s = (pool.elapsed_ns - began.pool.elapsed_ns) / _NS_PER_S
    left_s = elapsed_s * (1 - progress.coverage) / gained
    return done, f"the wall in {wall}, the whole space in about {duration(left_s)}", *cluster


def cluster_words(progress: SearchProgress) -> tuple[str, ...]:
    """Return what a display says of a cluster: a line, or none for a search in threads."""
    cluster = progress.cluster
    if cluster is None:
        return ()
    return (
        f"{cluster.n_alive:,} of {cluster.n_slots:,} slots alive, leases: "
        f"{cluster.n_home:,} home, {cluster.n_lost:,} lost, {cluster.n_late:,} late",
    )


def heartbeat_line(progress: SearchProgress) -> str:
    """Return one log line: time, starters, limit, bank, attempts and memory."""
    pool = progress.pool
    elapsed_s = pool.elapsed_ns / _NS_PER_S
    limit_s = pool.limit_ns / _NS_PER_S
    bank_s = pool.bank_ns / _NS_PER_S
    n_left = progress.n_starters - pool.n_exhausted
    memory_mb = _resident_bytes() >> 20
    words = (f"{count(progress.attempts)} attempts, {memory_mb} MB", *cluster_words(progress))
    return (
        f"{elapsed_s:.1f}s elapsed, {pool.n_exhausted} starters done, "
        f"{n_left} left ({pool.n_running} running, {pool.n_cut_off} cut off, "
        f"{pool.n_waiting} waiting), limit {limit_s:.3f}s, bank {bank_s:.3f}s, "
        f"{', '.join(words)}"
    )


def _resident_bytes() -> int:
    """The memory this process holds now; its peak where there is no /proc."""
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
    if sys.platform == "darwin":
        return peak
    return peak * 1024


def log_algo_totals(starters: Iterable[StarterRecord]) -> None:
    """Log one line per algorithm at the end of a run."""
    from mp2.groups.result import StarterStatus

    by_algo: dict[str, list[StarterRecord]] = {}
    for starter in starters:
        by_algo.setdefault(starter.algo, []).append(starter)
    for algo, own in by_algo.items():
        n_cut_off = 0
        n_buys = 0
        elapsed_s = 0.0
        for starter in own:
            n_buys += starter.n_buys
            elapsed_s += starter.elapsed_s
            if starter.status is StarterStatus.CUT_OFF:
                n_cut_off += 1
        log.info(
            "%s: %d starters, %d cut off, %.2fs, %.1f buys a starter on average",
            plain(algo),
            len(own),
            n_cut_off,
            elapsed_s,
            n_buys / len(own),
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
        # Of every scanner from the start, in their order: rows do not jump.
        self._rows = dict.fromkeys(scanners, waiting)
        self._lines: list[str] = []

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        # Below the place of the table, which is gone: they stay in the scrollback.
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
                # Printed now, it would tear the table apart.
                self._lines.append(line)
        outcome = event.outcome
        if outcome is not None:
            time = duration(outcome.seconds)
            row = (outcome.status, time, outcome.attempts, outcome.n_candidates)
            self._rows[event.scanner] = row
        # Events of the whole scan are of no scanner.
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
    # Several a second from every scanner: they are for the table only.
    if event.kind == "running":
        return
    log.debug("%s", json.dumps(event.to_dict(), ensure_ascii=False))
    for line in event.logs:
        # A traceback is one log line of a scanner and several of this log.
        for part in line.splitlines():
            log.debug("%s: %s", event.scanner, part)
