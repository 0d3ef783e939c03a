"""How many requests hosts have had: rates counted over all threads and processes."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mp2.discovery.http.state import StateBusyError, StateFile
from mp2.errors import InputError

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,4})\s*(s|min|h|day)\s*", re.ASCII)
_SET_BACK = "UPDATE request SET sent_at = :now WHERE host = :host AND sent_at > :now"
_DELETE_OLD = "DELETE FROM request WHERE host = ? AND sent_at <= ?"
_SELECT = "SELECT sent_at FROM request WHERE host = ? ORDER BY sent_at DESC LIMIT 1 OFFSET ?"

_ROUNDING_S = 0.001
"""Added to a wait, since adding it to the time of day may round down."""

_BUSY_WAIT_S = 0.1
"""After it a file that another process has locked is tried again."""

_UNIT_S = {"day": 86400, "h": 3600, "min": 60, "s": 1}


class Rate(NamedTuple):
    """At most `limit` requests in any `interval_s` seconds, as `text` has it."""

    interval_s: int
    limit: int
    text: str


def parse_rate(text: str) -> Rate:
    """Return the rate that a text such as `1/s`, `60/min`, `25/day` or `1000/10min` means.

    Raises `InputError` for any other text.
    """
    match = _RATE.fullmatch(text)
    if match is not None:
        limit = int(match[1])
        interval_s = int(match[2] or 1) * _UNIT_S[match[3]]
        if limit > 0 and interval_s > 0:
            return Rate(interval_s, limit, text.replace(" ", ""))
    raise InputError(
        f"{text!r} is not a rate: write requests/time as in '1/s', '60/min', '25/day', '1000/10min'"
    )


class Quotas:
    """The requests each host may still have. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        file: StateFile,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._rates: dict[str, tuple[Rate, ...]] = {}

    def limit(
        self,
        host: str,
        rates: Iterable[Rate],
    ) -> None:
        """Hold the host to these rates as well as to those already set."""
        with self._lock:
            # Several scanners may declare the same rates of one host.
            self._rates[host] = tuple(sorted({*self.rates(host), *rates}))

    def rates(self, host: str) -> tuple[Rate, ...]:
        """Return the rates the host is held to."""
        return self._rates.get(host, ())

    def take(self, host: str) -> float:
        """Count a request and return 0, or only return the seconds until there may be room."""
        rates = self.rates(host)
        if not rates:
            return 0.0
        now = self._clock()

        def take(connection: sqlite3.Connection) -> float:
            # Looking and counting are one transaction, so two processes never share a last request.
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                # Requests of a clock that was set back since would count for ever.
                connection.execute(_SET_BACK, {"host": host, "now": now})
                # A later process may hold the host to a longer rate, as a rule of a day at most.
                kept_s = max(_UNIT_S["day"], rates[-1].interval_s)
                connection.execute(_DELETE_OLD, (host, now - kept_s))
                wait_s = 0.0
                for rate in rates:
                    # The request that has to leave the interval before there is room.
                    row = connection.execute(_SELECT, (host, rate.limit - 1)).fetchone()
                    if row is not None:
                        wait_s = max(wait_s, row[0] + rate.interval_s - now)
                if wait_s > 0:
                    return wait_s + _ROUNDING_S
                connection.execute("INSERT INTO request VALUES (?, ?)", (host, now))
            return 0.0

        try:
            return self._file.use(take)
        except StateBusyError:
            return _BUSY_WAIT_S
