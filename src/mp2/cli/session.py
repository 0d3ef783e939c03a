"""The session a command runs in, and what signals do to it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mp2.cli.settings import SettingsFile
from mp2.errors import ExitCode


@dataclass(slots=True)
class Session:
    """Options given before the command, and the state of its output.

    - `quiet`: lines about what is being done are not shown.
    - `log`: the open log file.
    - `as_json`: JSON was asked for; errors are a JSON document then too.
    - `kept`: what a second interruption leaves behind, for the message about it.
    - `signal_code`: the exit code of a signal that was caught; it outranks that of the command.
    - `warnings`: about the environment, for every command.
    - `said`: warnings that were shown already, in another form.
    - `is_answered`: the JSON document is printed; a second one must not follow.
    """

    verbose: int = 0
    quiet: bool = False
    log_file: Path | None = None
    log: logging.Handler | None = None
    as_json: bool = False
    settings: SettingsFile = field(default_factory=lambda: SettingsFile(Path("mp2.toml"), {}))
    kept: list[str] = field(default_factory=list)
    interrupts: Interrupts | None = None
    signal_code: int | None = None
    warnings: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    is_answered: bool = False

    def stopped_text(self) -> str:
        """Return the message of a command that was interrupted before its end."""
        return "; ".join(("stopped by a signal", *(self.kept or ["nothing was stored"])))


def current_session() -> Session:
    """Return the session of the running command; a new one outside of a command."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Session()
    return context.ensure_object(Session)


def note_kept(text: str) -> None:
    """Note what an interruption leaves behind from now on, beside what was noted before."""
    current_session().kept.append(text)


class Terminated(BaseException):
    """SIGTERM or SIGHUP where no stop event is checked; what KeyboardInterrupt is to SIGINT."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """Handle a signal by raising `Terminated`."""
    raise Terminated


def stop_signals(*names: str) -> list[int]:
    """Return the numbers of the named signals that exist here.

    SIGHUP and SIGTERM are left out when the process ignores them, as under `nohup`.
    """
    numbers = []
    for name in names:
        # Windows has no SIGHUP.
        number = getattr(signal, name, None)
        if number is None:
            continue
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            numbers.append(number)
    return numbers


@contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle signals inside the block; outside of the main thread do nothing."""
    before: dict[int, Any] = {}
    try:
        # Python lets only the main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop event; a second SIGINT ends the command at once.

    `exit_code`: 130 for SIGINT, 143 for SIGTERM and SIGHUP, None when no signal came.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.exit_code: ExitCode | None = None
        self._is_set = False

    @contextmanager
    def caught(self) -> Iterator[Interrupts]:
        """Catch signals inside the block; the first one decides the exit code of the command."""
        session = current_session()
        # `views.print_document` need not catch signals again.
        session.interrupts = self
        try:
            with handled(stop_signals("SIGINT", "SIGTERM", "SIGHUP"), self._note):
                yield self
        finally:
            session.interrupts = None
            session.signal_code = session.signal_code or self.exit_code

    def _note(
        self,
        number: int,
        frame: FrameType | None,
    ) -> None:
        # `Event.set` holds a lock. A signal inside of it must neither call it again nor leave it
        # by an exception.
        if self.exit_code is None:
            self.exit_code = ExitCode.TERMINATED
            if number == signal.SIGINT:
                self.exit_code = ExitCode.INTERRUPTED
            self.stop.set()
            self._is_set = True
        elif self._is_set and number == signal.SIGINT:
            raise KeyboardInterrupt
