"""What HTTP calls remember between processes: one SQLite file in the user's state folder.

It holds the cached responses (`cache`) and the requests that hosts have had (`quota`), each in a
table of its own, so that clearing the one leaves the other. The file has a rollback journal: with a
write per request, readers that need not wait are worth less than safety from SQLite's race between
connections in WAL mode (sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from mp2 import _sqlite
from mp2._files import make_folder
from mp2.errors import Mp2Error, SourceError

FILE_NAME = "sources.db"

_APPLICATION_ID = 0x6D703273  # "mp2s"

_BUSY_S = 1.0
"""How long to wait for another process, which holds the file for one statement at a time."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS response (
    key TEXT PRIMARY KEY,       -- sha256 in hexadecimal
    stored_at REAL NOT NULL,    -- seconds since the epoch
    expires_at REAL NOT NULL,   -- stored_at + time to live
    n_bytes INTEGER NOT NULL,   -- of body; stands before it so that sweeping reads no body
    body TEXT NOT NULL          -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS request (
    host TEXT NOT NULL,
    sent_at REAL NOT NULL       -- seconds since the epoch
) STRICT;
CREATE INDEX IF NOT EXISTS request_of_host ON request (host, sent_at);
"""

T = TypeVar("T")


class StateBusyError(Mp2Error):
    """Another process has the file locked."""


def state_folder() -> Path:
    """Return the user's folder for what outlives a process.

    `$XDG_STATE_HOME/mp2`, by default `~/.local/state/mp2`.

    On Windows the default is `~/AppData/Local/mp2`.
    """
    default = "~/.local/state"
    if os.name == "nt":
        default = "~/AppData/Local"
    base = os.environ.get("XDG_STATE_HOME") or Path(default).expanduser()
    return Path(base, "mp2")


class StateFile:
    """The file, shared by the threads of a process. `folder` None keeps everything in memory.

    A file that cannot be used (damaged, of another program, on a full disk) is left as it is:
    `warn` gets one sentence that names it, and this process continues in memory. A file that
    another process has locked is used again as soon as it is free.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._path = None if folder is None else Path(folder, FILE_NAME)
        self._warn = warn
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        # Opened now, so that a warning comes before the first request.
        with suppress(StateBusyError):
            self.use(lambda connection: None)

    def use(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `action` returns for a connection in autocommit mode, one thread at a time.

        `action` is repeated when the file fails. Raises `StateBusyError` while another process has
        the file locked, `SourceError("timeout")` after `close`.
        """
        with self._lock:
            if self._closed:
                raise SourceError("timeout", "cancelled")
            try:
                return action(self._connected())
            except (sqlite3.Error, OSError) as error:
                if self._path is None:
                    raise
                # Not in memory instead: an empty count would permit what the file forbids.
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise StateBusyError(
                        f"{self._path}: another process holds it locked; try again"
                    ) from error
                reason = _reason(error)
                self._warn(f"{self._path}: responses and requests are not kept: {reason}")
            # For the rest of the process: a file used now and then would miss counts.
            self._path = None
            self._disconnect()
            return action(self._connected())

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if self._path is None:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        else:
            make_folder(self._path.parent)
            connection = _sqlite.connect(
                self._path,
                _APPLICATION_ID,
                journal_mode="DELETE",
                busy_timeout_s=_BUSY_S,
                any_thread=True,
            )
        try:
            # What a power cut may lose here can be requested again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            # A damaged file may fail to close, too.
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


def _reason(error: sqlite3.Error | OSError) -> str:
    """Return what is wrong with the file and how to fix it, as the end of a sentence."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{error}; delete it, and the next command creates it again"
    return str(error)
