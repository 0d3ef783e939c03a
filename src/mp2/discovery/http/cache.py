"""Responses kept for a while, so that the next process need not request them again.

An entry is the JSON of validated data under a key that is a hash. It is fresh while its age lies
between 0 and its time to live, as both its reader and its writer set it; so an entry from the
future, which a clock that was set back leaves behind, is never used. A stale entry can still stand
in for a source that fails, for `STALE_S` more.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from mp2.discovery.http.reply import ReplyKind
from mp2.discovery.http.state import StateBusyError, StateFile
from mp2.discovery.single_flight import SingleFlight
from mp2.errors import TRANSIENT_CODES, SourceError

STALE_S = 24 * 3600.0
"""How long after its time to live an entry may stand in for a source that fails."""

MAX_BYTES = 64 * 2**20
"""Of all bodies together; the newest are kept."""

_SELECT = """
SELECT body FROM response
WHERE key = :key AND stored_at <= :now
    AND :now - stored_at < MIN(:ttl_s, expires_at - stored_at + :stale_s)
"""
_INSERT = "INSERT OR REPLACE INTO response VALUES (?, ?, ?, ?, ?)"
_DELETE_OLD = "DELETE FROM response WHERE expires_at < :now - :stale_s OR stored_at > :now + 60"
_DELETE_SURPLUS = """
DELETE FROM response WHERE key IN (
    SELECT key FROM (
        SELECT key, SUM(n_bytes) OVER (ORDER BY stored_at DESC, key) AS total FROM response
    ) WHERE total > ?
)
"""


class Cache:
    """The entries of a file. Of the threads that want the same one, one makes the request.

    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        file: StateFile,
        *,
        clock: Callable[[], float] = time.time,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._file = file
        self._clock = clock
        self._max_bytes = max_bytes
        self._flights = SingleFlight()

    def fetch(
        self,
        key: str,
        ttl_s: float,
        make: Callable[[], str],
        *,
        wait: Callable[[threading.Event], None],
        may_keep: Callable[[str], bool] = lambda body: True,
    ) -> tuple[str, ReplyKind]:
        """Return an entry younger than `ttl_s`, otherwise what `make` returns.

        That is kept if it `may_keep`.

        `wait(done)` blocks while another thread makes it, and raises to give up. When `make` or
        `wait` raises a `SourceError` that may pass, an old entry is returned as `stale`.
        """

        def find() -> tuple[str, ReplyKind] | None:
            body = self._find(key, ttl_s)
            if body is None:
                return None
            return body, "cached"

        def make_and_keep() -> tuple[str, ReplyKind]:
            body = make()
            now = self._clock()

            def keep(connection: sqlite3.Connection) -> None:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(_INSERT, (key, now, now + ttl_s, len(body), body))
                    connection.execute(_DELETE_OLD, {"now": now, "stale_s": STALE_S})
                    connection.execute(_DELETE_SURPLUS, (self._max_bytes,))

            if may_keep(body):
                # What cannot be kept now is requested again.
                with suppress(StateBusyError):
                    self._file.use(keep)
            return body, "fresh"

        try:
            return self._flights.get(key, find=find, make=make_and_keep, wait=wait)
        except SourceError as error:
            if error.code in TRANSIENT_CODES:
                body = self._find(key, math.inf, stale_s=STALE_S)
                if body is not None:
                    return body, "stale"
            raise

    def clear(self) -> None:
        """Remove every entry; requests stay counted."""
        self._file.use(lambda connection: connection.execute("DELETE FROM response"))

    def _find(
        self,
        key: str,
        ttl_s: float,
        *,
        stale_s: float = 0.0,
    ) -> str | None:
        """Return the body of an entry younger than `ttl_s`.

        It is also younger than its own time to live plus `stale_s`.
        """
        values = {
            "key": key,
            "now": self._clock(),
            "ttl_s": ttl_s,
            "stale_s": stale_s,
        }
        row = None
        with suppress(StateBusyError):
            row = self._file.use(lambda connection: connection.execute(_SELECT, values).fetchone())
        if row is None:
            return None
        body: str = row[0]
        return body
