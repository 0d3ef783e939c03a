"""Answers kept for a while: in memory in front of one table of an SQLite file, so that the next process asks nobody either.

What is kept is text, the JSON of validated results, under keys that are hashes. An answer is fresh while its age lies
between 0 and its time to live, both as the reader and as the writer saw it; so an entry from the future, which a clock that
was set back leaves behind, is of no use and is swept. Past that it can still stand in for a source that fails, for
`STALE_S` more, and is then called stale.

The file is a convenience. When it is locked, damaged, of another program or on a full disk, it is left as it is, one
warning names it, and the cache works on in memory.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from mp2._files import make_private
from mp2.errors import TRANSIENT_CODES, MissingExtraError, SourceError

try:
    from cachetools import TLRUCache
except ImportError as missing:
    raise MissingExtraError("keeping the answers of sources", "net") from missing

STALE_S = 24 * 3600.0
"""How long after its time to live an answer may stand in for a source that fails."""

MAX_MEMORY_BYTES = 64 * 2**20
MAX_FILE_BYTES = 256 * 2**20
"""Of answers; the newest are kept."""

BUSY_S = 0.2
"""How long to wait for another process: less than a scanner may be late."""

_LOOK_S = 0.05
_APPLICATION_ID = 0x6D703263  # "mp2c"
_SCHEMA = """CREATE TABLE IF NOT EXISTS answer (
    key TEXT PRIMARY KEY,       -- sha256 in hexadecimal
    stored_at REAL NOT NULL,    -- seconds since the epoch
    expires_at REAL NOT NULL,   -- stored_at + time to live
    n_bytes INTEGER NOT NULL,   -- of body; stands before it so that sweeping reads no body
    body TEXT NOT NULL          -- JSON
)"""
_SWEEP_OLD = "DELETE FROM answer WHERE expires_at < :now - :stale_s OR stored_at > :now + 60"
_SWEEP_SURPLUS = """DELETE FROM answer WHERE key IN (
    SELECT key FROM (SELECT key, SUM(n_bytes) OVER (ORDER BY stored_at DESC, key) AS total FROM answer) WHERE total > ?
)"""

Freshness = Literal["fresh", "cached", "stale"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer and when it was stored, in seconds since the epoch."""

    stored_at: float
    expires_at: float
    body: str

    def age_s(self, now: float) -> float:
        """Seconds since it was stored; infinite for an entry from the future."""
        return now - self.stored_at if now >= self.stored_at else float("inf")

    def is_fresh(self, now: float, ttl_s: float) -> bool:
        """Whether it serves a reader who accepts answers up to `ttl_s` old."""
        return self.age_s(now) < min(ttl_s, self.expires_at - self.stored_at)

    def can_stand_in(self, now: float) -> bool:
        """Whether it may be served when the source fails."""
        return self.age_s(now) < self.expires_at - self.stored_at + STALE_S


def key_of(method: str, url: str, values: Iterable[tuple[str, str]]) -> str:
    """The key of a request: a hash, the same for any order of `values`, which must not hold secrets."""
    return hashlib.sha256(json.dumps([method, url, sorted(values)]).encode()).hexdigest()


class Cache:
    """Answers of sources, shared by threads; of several that want the same one asks and the others wait for it.

    The waiting is done here and not by cachetools' `cached(condition=...)`, whose waiters cannot be called back at their
    deadline. `path` None keeps nothing on disk. `clock` gives seconds since the epoch. `warn` gets one sentence when the
    file cannot be used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], object] = lambda text: None,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._memory: TLRUCache[str, Entry] = TLRUCache(
            max_memory_bytes,
            ttu=lambda key, entry, now: entry.expires_at + STALE_S,
            timer=clock,
            getsizeof=lambda entry: len(entry.body),
        )
        self._asked: dict[str, threading.Event] = {}
        self._file = _File(path, clock, warn, max_file_bytes)

    def close(self) -> None:
        """Let go of the file; the cache works on in memory. Calling it again does nothing."""
        self._file.close()

    def fetch(
        self,
        key: str,
        ttl_s: float,
        make: Callable[[], str],
        *,
        check: Callable[[], None] = lambda: None,
        may_keep: Callable[[str], bool] = lambda body: True,
    ) -> tuple[str, Freshness]:
        """The answer under `key`: a kept one younger than `ttl_s`, otherwise what `make` returns, kept if it `may_keep`.

        Who waits for another thread's `make` calls `check` all the while, which ends the wait by raising; if that thread
        fails, the next one asks. When `make` or `check` raises a `SourceError` that may pass, an old answer serves, as `stale`.
        """
        try:
            return self._fetch(key, ttl_s, make, check, may_keep)
        except SourceError as error:
            entry = self._find(key, ttl_s)
            if (
                error.code in TRANSIENT_CODES
                and entry is not None
                and entry.can_stand_in(self._clock())
            ):
                return entry.body, "stale"
            raise

    def _fetch(
        self,
        key: str,
        ttl_s: float,
        make: Callable[[], str],
        check: Callable[[], None],
        may_keep: Callable[[str], bool],
    ) -> tuple[str, Freshness]:
        while True:
            entry = self._find(key, ttl_s)
            if entry is not None and entry.is_fresh(self._clock(), ttl_s):
                return entry.body, "cached"
            asked = self._claim(key)
            if asked is None:
                break
            while not asked.wait(_LOOK_S):
                check()
        try:
            return self._make(key, ttl_s, make, may_keep)
        finally:
            with self._lock:
                self._asked.pop(key).set()

    def _claim(self, key: str) -> threading.Event | None:
        """None when this thread is to ask, otherwise what is set when the thread that asks is done."""
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                self._asked[key] = threading.Event()
            return asked

    def _make(
        self, key: str, ttl_s: float, make: Callable[[], str], may_keep: Callable[[str], bool]
    ) -> tuple[str, Freshness]:
        entry = self._find(
            key, ttl_s
        )  # again: another thread may have been done just before this one's claim
        if entry is not None and entry.is_fresh(self._clock(), ttl_s):
            return entry.body, "cached"
        body = make()
        if may_keep(body):
            self._keep(key, ttl_s, body)
        return body, "fresh"

    def _find(self, key: str, ttl_s: float) -> Entry | None:
        """The newest entry there is, fresh or not; another process may have put a newer one on disk."""
        with self._lock:
            entry = self._memory.get(key)
        if entry is not None and entry.is_fresh(self._clock(), ttl_s):
            return entry
        stored = self._file.read(key)
        if stored is None or (entry is not None and entry.stored_at >= stored.stored_at):
            return entry
        self._remember(key, stored)
        return stored

    def _keep(self, key: str, ttl_s: float, body: str) -> None:
        now = self._clock()
        entry = Entry(now, now + ttl_s, body)
        self._remember(key, entry)
        self._file.write(key, entry)

    def _remember(self, key: str, entry: Entry) -> None:
        with self._lock, suppress(ValueError):  # raised for what is larger than the whole memory
            self._memory[key] = entry


class _File:
    """The table on disk: one connection, one thread at a time. The first failure ends its use, with a warning."""

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float],
        warn: Callable[[str], object],
        max_bytes: int,
    ) -> None:
        self._path, self._clock, self._warn, self._max_bytes = path, clock, warn, max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            with self._lock:
                self._use(lambda: self._open(path))

    def read(self, key: str) -> Entry | None:
        with self._lock:
            rows = self._use(
                lambda: self._execute(
                    "SELECT stored_at, expires_at, body FROM answer WHERE key = ?", key
                )
            )
        return Entry(*rows[0]) if rows else None

    def write(self, key: str, entry: Entry) -> None:
        values = (key, entry.stored_at, entry.expires_at, len(entry.body), entry.body)
        with self._lock:
            self._use(
                lambda: self._execute(
                    "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?)", *values
                )
            )
            self._use(self._sweep)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _open(self, path: Path) -> None:
        self._connection = open_private(path, _APPLICATION_ID, journal_mode="WAL")
        self._connection.execute(_SCHEMA)
        self._sweep()

    def _sweep(self) -> None:
        if self._connection is not None:
            self._connection.execute(_SWEEP_OLD, {"now": self._clock(), "stale_s": STALE_S})
            self._connection.execute(_SWEEP_SURPLUS, (self._max_bytes,))

    def _execute(self, statement: str, *values: object) -> list[Any]:
        return (
            []
            if self._connection is None
            else self._connection.execute(statement, values).fetchall()
        )

    def _use(self, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except (sqlite3.Error, OSError) as error:
            self._drop()
            self._warn(f"{self._path}: the cache of answers is not used: {reason(error)}")
            return None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


# --- files of our own --------------------------------------------------------------------------------------------------


def open_private(
    path: Path,
    application_id: int,
    *,
    journal_mode: Literal["WAL", "DELETE"],
    busy_s: float = BUSY_S,
) -> sqlite3.Connection:
    """A connection, in autocommit mode, to a database of our own, which is made, for its owner's eyes only, when missing.

    Any thread may use it, one at a time. Raises `sqlite3.Error` or `OSError`; a file of others is not changed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(path)
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    try:
        _claim_file(connection, application_id)
        # While another process does the same this fails; then that one has done it.
        with suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _claim_file(connection: sqlite3.Connection, application_id: int) -> None:
    """Mark an empty file as ours, or make sure that it is."""
    if _owner(connection) == application_id:
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be doing the same
    if _owner(connection) not in (0, application_id) or (
        _owner(connection) == 0 and _n_tables(connection) > 0
    ):
        raise sqlite3.DatabaseError("it is a database of another program")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("COMMIT")


def _owner(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _n_tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0])


def reason(error: sqlite3.Error | OSError) -> str:
    """What is wrong with such a file and what to do, as the end of a sentence."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds it locked"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{error}; delete it and it is made anew"
    return str(error)
