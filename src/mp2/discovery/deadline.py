"""The end of the time a scanner has, and waits that respect it."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from typing import Self

from mp2._intervals import POLL_S
from mp2.discovery.records import seconds_text
from mp2.errors import SourceError


class Deadline:
    """The end of work: `timeout_s` seconds after its start, or when `cancelled` is set.

    `timeout_s` None: no limit.

    `clock` gives seconds that never go back; the start is the moment of construction.
    """

    def __init__(
        self,
        timeout_s: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.timeout_s = timeout_s
        self.cancelled = threading.Event()
        self.started_s = clock()
        self._clock = clock
        self._reserve_s = 0.0

    def earlier(self, reserve_s: float) -> Self:
        """Return the same deadline, `reserve_s` seconds earlier."""
        # The start and `cancelled` are shared.
        other = copy.copy(self)
        other._reserve_s += reserve_s
        return other

    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self.started_s

    def remaining_s(self) -> float:
        """Return the seconds left: 0 when cancelled or past the end, infinity without a limit."""
        if self.cancelled.is_set():
            return 0.0
        if self.timeout_s is None:
            return math.inf
        return max(0.0, self.timeout_s - self._reserve_s - self.elapsed_s())

    def check(self) -> None:
        """Raise `SourceError("timeout")` when no time is left."""
        if self.remaining_s() <= 0:
            raise SourceError("timeout", timeout_message(self.timeout_s))

    def wait(self, event: threading.Event) -> None:
        """Return when `event` is set. Raises `SourceError("timeout")` when no time is left."""
        while not event.wait(min(POLL_S, self.remaining_s())):
            self.check()


def timeout_message(timeout_s: float | None) -> str:
    """Return `timeout after 30s`; a scanner without a limit was cancelled."""
    if timeout_s is None:
        return "cancelled"
    return f"timeout after {seconds_text(timeout_s)}"
