"""Ctrl-C in a call from Python: the call ends early and returns what it has found."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, get_args

from mp2.errors import InputError, ReadStoppedError

OnInterrupt = Literal["stop", "raise"]
"""What Ctrl-C does: end the call early with its result, or raise `KeyboardInterrupt`."""


@contextmanager
def stopped_by_interrupt(
    stop: threading.Event | None,
    on_interrupt: OnInterrupt,
) -> Iterator[threading.Event]:
    """Yield the stop event of a call, which the first Ctrl-C sets; the second one raises.

    `stop` is the caller's event, if there is one. A first Ctrl-C raises as well where the call has
    no result to return, because it was still reading.

    Ctrl-C stays as it is outside of the main thread, where Python runs no handlers, and where the
    program has a handler of its own, as the command line has.
    """
    choices = get_args(OnInterrupt)
    if on_interrupt not in choices:
        known = " or ".join(map(repr, choices))
        raise InputError(f"on_interrupt: {on_interrupt!r} is unknown; choose {known}")
    interrupt = _Interrupt(stop or threading.Event())
    is_main = threading.current_thread() is threading.main_thread()
    has_own = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if on_interrupt == "raise" or not is_main or has_own:
        yield interrupt.stop
        return
    signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt.stop
    except ReadStoppedError:
        if interrupt.has_come:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Interrupt:
    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.has_come = False
        self._is_set = False

    def note(
        self,
        number: int,
        frame: FrameType | None,
    ) -> None:
        # `Event.set` holds a lock. A signal inside of it must neither call it again nor leave it
        # by an exception.
        if not self.has_come:
            self.has_come = True
            self.stop.set()
            self._is_set = True
        elif self._is_set:
            raise KeyboardInterrupt
