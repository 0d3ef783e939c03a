"""Logs and progress bars: what a command writes on standard error."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mp2.cli.log_file import FILE_ONLY, PlainFormatter
from mp2.cli.session import current_session
from mp2.cli.views import console, duration

if TYPE_CHECKING:
    from rich.console import Console

    from mp2.data.tables import Observe

log = logging.getLogger("mp2")

HEARTBEAT_S = 10.0


def start_logging() -> Console:
    """Log to stderr, beside the log file; return the console on stderr.

    Warnings and errors always, on a terminal or not; what is being done with `-v`.
    """
    from rich.logging import RichHandler

    session = current_session()
    screen = console(stderr=True)
    logger = logging.getLogger("mp2")
    # A process may run several commands, as the tests do.
    for handler in logger.handlers[:]:
        if handler is not session.log:
            logger.removeHandler(handler)
    logger.setLevel(logging.DEBUG)
    if screen.is_terminal:
        # Through the console, so that lines do not tear a live display.
        show_level = session.verbose > 1
        to_screen: logging.Handler = RichHandler(
            console=screen, show_path=False, markup=False, show_level=show_level
        )
        to_screen.setFormatter(PlainFormatter("%(message)s"))
    else:
        # Not through rich, which would wrap lines that are searched.
        to_screen = logging.StreamHandler()
        to_screen.setFormatter(PlainFormatter("mp2: %(message)s"))
    to_screen.setLevel(logging.WARNING)
    if session.verbose:
        to_screen.setLevel(logging.INFO if session.verbose == 1 else logging.DEBUG)
    # Those were printed where they arose.
    to_screen.addFilter(lambda record: record.name != FILE_ONLY)
    logger.addHandler(to_screen)
    return screen


@contextmanager
def observed(
    screen: Console,
    what: str,
    *,
    live: bool = True,
    heartbeat_s: float = HEARTBEAT_S,
) -> Iterator[Observe]:
    """Yield the `observe(done, total)` of long work: a heartbeat, and a bar on a terminal."""
    started_s = time.monotonic()
    next_beat_s = started_s + heartbeat_s

    def beat(done: int, total: int) -> None:
        nonlocal next_beat_s
        now_s = time.monotonic()
        if now_s >= next_beat_s:
            next_beat_s = now_s + heartbeat_s
            elapsed = duration(now_s - started_s)
            log.info("%s: %s of %s, %s elapsed", what, f"{done:,}", f"{total:,}", elapsed)

    if not live or not screen.is_terminal:
        yield beat
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            beat(done, total)
            progress.update(task, completed=done, total=total)

        yield show
