"""The session a command runs in, and what signals do to it."""

from __future__ import annotations

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
    """What the options before the command say, and whether the command was asked for JSON: its errors are JSON then too.

    `kept`: what an interruption at once leaves behind, for the message about it. `signal_code`: the exit code of a signal that
    was caught, whatever came of it. `is_answered`: the document asked for is printed, there must be no other.
    """

    verbose: int = 0
    log_file: Path | None = None
    as_json: bool = False
    settings: SettingsFile = field(default_factory=lambda: SettingsFile(Path("mp2.toml"), {}))
    kept: list[str] = field(default_factory=list)
    interrupts: Interrupts | None = None
    signal_code: int | None = None
    is_answered: bool = False

    @property
    def wants_document(self) -> bool:
        """Whether a failure has to be told as a document, too."""
        return self.as_json and not self.is_answered

    def stopped_text(self) -> str:
        """What is said of an interruption at once."""
        return "; ".join(("stopped by a signal", *(self.kept or ["nothing was stored"])))


def current_session() -> Session:
    """The session of the command that runs; outside of one (a test, a notebook) one of its own."""
    context = click.get_current_context(silent=True)
    return Session() if context is None else context.ensure_object(Session)


def note_kept(text: str) -> None:
    """What an interruption at once leaves behind from now on, beside what was noted before."""
    current_session().kept.append(text)


class Terminated(BaseException):
    """SIGTERM or SIGHUP came while a command ran that cannot be stopped kindly: as KeyboardInterrupt for SIGINT."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """A handler of signals."""
    raise Terminated


def stop_signals(*names: str) -> list[int]:
    """Those of the named signals that there are; SIGHUP not for a process that `nohup` made ignore it."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [
        one
        for one in numbers
        if one == signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN
    ]


@contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Inside of the block the signals have this handler; only the main thread may say so, in any other nothing happens."""
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop event; a second SIGINT ends the process without waiting."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signal_number: int | None = None
        self._is_noted = False

    @contextmanager
    def caught(self) -> Iterator[Interrupts]:
        """Catch signals inside the `with` block; the command gets the exit code of the first, whatever error follows."""
        session = current_session()
        session.interrupts = self
        try:
            with handled(stop_signals("SIGINT", "SIGTERM", "SIGHUP"), self._note):
                yield self
        finally:
            session.interrupts, session.signal_code = None, session.signal_code or self.exit_code

    @property
    def exit_code(self) -> int | None:
        """130 for SIGINT, 143 for SIGTERM and SIGHUP, None when no signal came."""
        if self.signal_number is None:
            return None
        if self.signal_number == signal.SIGINT:
            return ExitCode.INTERRUPTED
        return ExitCode.TERMINATED

    def _note(self, number: int, frame: FrameType | None) -> None:
        # The next signal may come inside of `set`, which holds a lock: it must not call it again, nor leave it by an exception.
        if self.signal_number is None:
            self.signal_number = number
            self.stop.set()
            self._is_noted = True
        elif self._is_noted and number == signal.SIGINT:
            raise KeyboardInterrupt
