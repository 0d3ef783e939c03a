"""Logs and progress bars: what a command writes on standard error, and to its log file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._files import make_private
from mp2.cli.session import current_session
from mp2.cli.views import console, duration, say
from mp2.errors import InputError, plain

if TYPE_CHECKING:
    from rich.console import Console

    from mp2.data.tables import Observe

log = logging.getLogger("mp2")

HEARTBEAT_S = 10.0


class PlainFormatter(logging.Formatter):
    """Makes a log record one line, also if it quotes several; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line with control characters made visible."""
        record.message = plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback with control characters made visible."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(map(plain, lines))


def start_logging() -> Console:
    """Log to stderr, and to the log file if one is named; return the console on stderr.

    Without a terminal there is no live display: the heartbeat of a search is its progress.
    """
    from rich.logging import RichHandler

    session = current_session()
    screen = console(stderr=True)
    logger = logging.getLogger("mp2")
    # A process may run several commands, as the tests do.
    logger.handlers.clear()
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
    if session.verbose > 1:
        to_screen.setLevel(logging.DEBUG)
    elif session.verbose or not screen.is_terminal:
        to_screen.setLevel(logging.INFO)
    else:
        to_screen.setLevel(logging.WARNING)
    logger.addHandler(to_screen)
    # A log file that is full must not spoil the display.
    logging.raiseExceptions = False
    if session.log_file is not None:
        to_file = file_handler(session.log_file)
        logger.addHandler(to_file)
        context = click.get_current_context()
        # Called in reverse: a record after the closing would open the file again.
        context.call_on_close(lambda: close_log(to_file))
        context.call_on_close(lambda: logger.removeHandler(to_file))
    return screen


def file_handler(path: Path) -> logging.Handler:
    """Open a log file for its owner alone; raises `InputError` naming --log-file."""
    try:
        target = path if path.exists() else Path(os.path.realpath(path))
        # Logs quote names of files and responses of sources.
        make_private(target)
        # Opening a pipe that has no reader would block.
        os.close(os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)))
        handler = logging.FileHandler(target, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        message = f"--log-file {path}: {error.strerror}; choose a file that can be written"
        raise InputError(message) from error
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def close_log(handler: logging.Handler) -> None:
    """Close a log file; one that could not be written costs a line on stderr and no result."""
    try:
        handler.close()
    except OSError as error:
        say(f"mp2: --log-file: {error.strerror}; the log is not complete", err=True)


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
