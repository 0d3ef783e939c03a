"""Logs and progress bars: what a command writes on standard error, and to its log file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mp2._files import make_private
from mp2.cli.session import Session
from mp2.errors import InputError, plain


class PlainFormatter(logging.Formatter):
    """A log line is one line, whatever is logged; a traceback's lines stay lines. Control characters are made visible."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line."""
        record.message = plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        return "\n".join(map(plain, super().formatException(ei).split("\n")))


def start_logging(context: click.Context) -> Any:
    """Log to stderr through the console of the live display; without a terminal the heartbeat is the progress."""
    from rich.logging import RichHandler

    from mp2.cli.views import console

    session = context.find_object(Session) or Session()
    verbose, log_file = session.verbose, session.log_file
    screen = console(stderr=True)
    logger = logging.getLogger("mp2")
    logger.handlers.clear()
    if screen.is_terminal:
        to_screen: logging.Handler = RichHandler(
            console=screen, show_path=False, markup=False, show_level=verbose > 1
        )
        to_screen.setFormatter(PlainFormatter("%(message)s"))
    else:
        to_screen = logging.StreamHandler()
        to_screen.setFormatter(PlainFormatter("mp2: %(message)s"))
    to_screen.setLevel(
        logging.DEBUG
        if verbose > 1
        else logging.INFO
        if verbose or not screen.is_terminal
        else logging.WARNING
    )
    logger.addHandler(to_screen)
    logger.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log file that is full does not spoil the display
    if log_file is not None:
        to_file = _file_handler(log_file)
        context.call_on_close(to_file.close)
        context.call_on_close(
            lambda: logger.removeHandler(to_file)
        )  # before it is closed: a record would open it again
        logger.addHandler(to_file)
    return screen


def _file_handler(path: Path) -> logging.Handler:
    try:
        target = path if path.exists() else Path(os.path.realpath(path))
        make_private(target)
        os.close(
            os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        )  # a pipe that nobody reads would be waited for
        handler = logging.FileHandler(target, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"--log-file {path}: {error.strerror}; choose a file that can be written"
        ) from error
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


@contextmanager
def observed(
    screen: Any, what: str, *, live: bool = True
) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, as the `observe(done, total)` that long work takes; None elsewhere."""
    if not live or not screen.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
