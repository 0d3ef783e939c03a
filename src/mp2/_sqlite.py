"""One way to open a SQLite file of this program: private, marked as its own, with a busy timeout.

A file belongs to one purpose, which `PRAGMA application_id` names. A file with another mark is
refused before anything in it changes.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from mp2._files import make_private

_NO_INDEX = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)


class ForeignFileError(sqlite3.DatabaseError):
    """The database has not the expected `application_id`; `tables` are the names of its tables."""

    def __init__(self, tables: frozenset[str]) -> None:
        super().__init__("it is a database of another program")
        self.tables = tables


def connect(
    path: Path,
    application_id: int,
    *,
    read_only: bool = False,
    journal_mode: Literal["WAL", "DELETE"] = "WAL",
    busy_timeout_s: float = 5.0,
    any_thread: bool = False,
) -> sqlite3.Connection:
    """Open a database in autocommit mode; unless `read_only`, create a missing one, private.

    The connection waits `busy_timeout_s` for another program's lock. With `any_thread` every thread
    may use it, one at a time. Raises `ForeignFileError`, any other `sqlite3.Error`, or `OSError`
    when the file cannot be created.
    """
    if not read_only:
        # Only a new file is opened and closed here: closing any descriptor of a database that
        # another connection of this process has open would drop that connection's locks.
        make_private(path)

    def opened(mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=not any_thread,
        )
        try:
            if read_only:
                _check_owner(connection, application_id)
            else:
                _claim(connection, application_id)
                # While another connection changes the mode this fails; then that one does it.
                with suppress(sqlite3.OperationalError):
                    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        except BaseException:
            connection.close()
            raise
        return connection

    if not read_only:
        return opened("rw")
    # A reader of a WAL file creates an index beside it. In a folder that cannot be written and on a
    # full disk it reads without one, as nobody can write either; a log cannot be read so.
    has_log = Path(f"{path}-wal").exists()
    if has_log or os.access(path.absolute().parent, os.W_OK):
        try:
            return opened("ro")
        except sqlite3.OperationalError as error:
            if has_log or error.sqlite_errorcode & 0xFF not in _NO_INDEX:
                raise
    return opened("ro&immutable=1")


def _claim(connection: sqlite3.Connection, application_id: int) -> None:
    """Mark an empty file as ours, or check that it is."""
    if _owner(connection) == application_id:
        return
    # Checked again under the lock: another process may be marking the file.
    connection.execute("BEGIN IMMEDIATE")
    _check_owner(connection, application_id)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("COMMIT")


def _check_owner(connection: sqlite3.Connection, application_id: int) -> None:
    owner = _owner(connection)
    if owner == application_id:
        return
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = frozenset(name for (name,) in names)
    if owner != 0 or tables:
        raise ForeignFileError(tables)


def _owner(connection: sqlite3.Connection) -> int:
    row = connection.execute("PRAGMA application_id").fetchone()
    return int(row[0])
