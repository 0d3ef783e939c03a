"""The lock of a night: one `mp2 daily` at a time works in a folder.

It is a lock on an open SQLite file, which the system drops with the process, however that ends: a
night that was killed leaves none behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mp2._sqlite import connect
from mp2.errors import Mp2Error, StoreError

FILE_NAME = "daily.lock"
_APPLICATION_ID = 0x6D70326C  # "mp2l"


@contextmanager
def night_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder during the block.

    Raises `Mp2Error` while another process holds it, `StoreError` where the file cannot be used.
    """
    path = folder / FILE_NAME
    try:
        connection = connect(path, _APPLICATION_ID, journal_mode="DELETE", busy_timeout_s=0.0)
    except (sqlite3.Error, OSError) as error:
        raise _problem(path, error) from error
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise _problem(path, error) from error
        yield
    finally:
        connection.close()


def _problem(path: Path, error: Exception) -> Mp2Error:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Mp2Error(f"{path}: another mp2 daily is at work there; try again when it has ended")
    reason = getattr(error, "strerror", None) or error
    return StoreError(f"{path}: {reason}; choose another --out")
