"""How many requests each host has had: rates of seconds and of days, counted over all threads and processes.

The counting is pyrate-limiter's; every host has one of its SQLite tables, all in one file. The file is not that of the
cached answers, because whoever deletes those must not get a spent daily quota back. It has a rollback journal: with a write
per request, readers that need not wait are worth less than the safety from SQLite's race between connections in WAL mode
(sqlite.org/wal.html#walresetbug).

pyrate-limiter looks and then inserts; here both happen in one transaction that no other process can enter, so two processes
never share the last request of a day. Its buckets are used without its `Limiter`, whose thread and whose waiting, which
cannot be broken off, nobody needs: `take` answers at once, and the caller waits.

When the file cannot be used, one warning names it and the counting goes on in memory, for this process alone.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mp2.discovery.http.cache import open_private, reason
from mp2.discovery.http.retry import Rate, combined
from mp2.errors import MissingExtraError

try:
    from pyrate_limiter import Rate as BucketRate
    from pyrate_limiter import RateItem, SQLiteBucket
except ImportError as missing:
    raise MissingExtraError("keeping to the rates of sources", "net") from missing

_APPLICATION_ID = 0x6D703271  # "mp2q"
_BUSY_S = 1.0
"""Longer than for the cache: a quota that is lost sight of costs more than a moment."""

_SCHEMA = """CREATE TABLE IF NOT EXISTS '{table}' (
    name VARCHAR,           -- of no use to us
    item_timestamp INTEGER  -- milliseconds since the epoch
)"""


class Quotas:
    """The requests each host may still have, shared by threads.

    `path` None counts in memory. `clock` gives seconds since the epoch. `warn` gets one sentence when the file cannot be
    used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._path, self._clock, self._warn = path, clock, warn
        self._lock = threading.Lock()
        self._rates: dict[str, tuple[Rate, ...]] = {}
        self._buckets: dict[str, SQLiteBucket] = {}
        self._connection: sqlite3.Connection | None = None

    def limit(self, host: str, rates: Iterable[Rate]) -> None:
        """Hold the host to these rates as well as to those already set."""
        with self._lock:
            self._rates[host] = combined((*self._rates.get(host, ()), *rates))
            self._buckets.pop(host, None)

    def rates(self, host: str) -> tuple[Rate, ...]:
        """What the host is held to."""
        with self._lock:
            return self._rates.get(host, ())

    def take(self, host: str) -> float:
        """Count a request to the host and return 0, or count nothing and return the seconds until there is room."""
        with self._lock:
            if not self._rates.get(host):
                return 0.0
            try:
                return self._take(host)
            except (sqlite3.Error, OSError) as error:
                self._warn(
                    f"{self._path}: requests are counted for this process only: {reason(error)}"
                )
                self._drop()
                self._path = None
                return self._take(host)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._drop()

    def _take(self, host: str) -> float:
        connection = self._open()
        now_ms = int(self._clock() * 1000)
        bucket = self._bucket(connection, host, now_ms)
        item = RateItem(host, now_ms)
        with _transaction(connection):
            # Requests of a clock that was set back since count as made now, or they would count for ever.
            connection.execute(
                f"UPDATE '{bucket.table}' SET item_timestamp = :now WHERE item_timestamp > :now",
                {"now": now_ms},
            )
            if bucket.put(item):
                return 0.0
        return max(int(bucket.waiting(item)), 1) / 1000  # type: ignore[arg-type]

    def _bucket(self, connection: sqlite3.Connection, host: str, now_ms: int) -> SQLiteBucket:
        if host not in self._buckets:
            table = "".join(
                char if char.isalnum() or char in ".-" else "_" for char in f"host_{host}"
            )
            with _transaction(connection):
                connection.execute(_SCHEMA.format(table=table))
                connection.execute(
                    f"CREATE INDEX IF NOT EXISTS 'by_time_{table}' ON '{table}' (item_timestamp)"
                )
                rates = [
                    BucketRate(rate.limit, rate.interval_s * 1000) for rate in self._rates[host]
                ]
                self._buckets[host] = SQLiteBucket(rates, connection, table)
                self._buckets[host].leak(now_ms)
        return self._buckets[host]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = (
                sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                if self._path is None
                else open_private(
                    self._path, _APPLICATION_ID, journal_mode="DELETE", busy_s=_BUSY_S
                )
            )
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._buckets.clear()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Nobody else writes meanwhile. A bucket commits by itself what it has put; what is left then is taken back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        if connection.in_transaction:
            connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
