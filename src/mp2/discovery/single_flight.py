"""One thread makes what several threads want."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class SingleFlight:
    """Of the threads that want the value of one key, one makes it while the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, threading.Event] = {}

    def get(
        self,
        key: Hashable,
        *,
        find: Callable[[], T | None],
        make: Callable[[], T],
        wait: Callable[[threading.Event], None],
    ) -> T:
        """Return what `find` finds, otherwise what `make` returns in one thread at a time.

        `make` keeps its value where `find` looks. `wait(done)` blocks until the event is set and
        raises to give up waiting. When `make` raises, its own caller gets the exception and the
        next thread makes the value.
        """
        while True:
            value = find()
            if value is not None:
                return value
            with self._lock:
                done = self._flights.get(key)
                if done is None:
                    self._flights[key] = threading.Event()
            if done is not None:
                wait(done)
                continue
            try:
                # Another thread may have kept the value between the search and the claim.
                value = find()
                if value is None:
                    value = make()
                return value
            finally:
                with self._lock:
                    self._flights.pop(key).set()
