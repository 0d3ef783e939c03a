"""A database file of this program: opened, checked, brought to this version; transactions; who still works on something.

The file is in WAL mode, so that others read while a run is open. SQLite before 3.51.3 can damage such a file when two
connections write or checkpoint at the very same moment (sqlite.org/wal.html#walresetbug); so a process has one writing
`Store`, used by one thread, and whoever only reads opens it with `read_only=True`, which never checkpoints.

Whatever SQLite raises leaves here as `StoreError`, which names the file and what to do.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mp2._files import expanded, make_private
from mp2.errors import InputError, StoreError
from mp2.storage import schema

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another program's lock."""

SILENCE_S = 600.0
"""How long a process of another host may be silent before what it works on counts as interrupted."""


class Database:
    """A file of SQLite with the tables of `schema`: one connection, used by one thread, closed by `with` or `close`.

    The file is made when missing, readable by its owner only, unless `must_exist`; `read_only=True` needs it to exist too
    and changes nothing in it.
    Raises `StoreError`, here and from every method, when the file cannot be used: a directory, no database, one of another
    program or of a newer version of this one, damaged, not readable or writable, locked for `busy_timeout_s` seconds,
    disk full. A failed write leaves what was there untouched.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        read_only: bool = False,
        must_exist: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.path, self.read_only, self.busy_timeout_s = expanded(path), read_only, busy_timeout_s
        self._check_path(must_exist or read_only)
        with self._translated():
            self._connection = sqlite3.connect(
                self._uri(),
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
                cached_statements=32,
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; calling it again does nothing."""
        with self._translated():
            self._connection.close()

    # --- the file --------------------------------------------------------------------------------------------------

    def _check_path(self, must_exist: bool) -> None:
        """Say plainly what SQLite would call `unable to open database file`, and make a missing file, private."""
        if os.path.isdir(self.path):
            raise StoreError(f"{self.path}: is a directory; name a file in it")
        exists = os.path.exists(self.path)  # False also where that cannot be told
        if exists and not os.path.isfile(self.path):
            raise StoreError(f"{self.path}: is a pipe or a device; name a file")
        if not exists and os.path.islink(self.path):
            raise StoreError(
                f"{self.path}: is a link to {os.readlink(self.path)}, which is not there; pass another --db"
            )
        if must_exist and not exists:
            raise StoreError(f"no database at {self.path}; run a search first or pass --db")
        if not must_exist:
            self._create_private()
        if not os.access(self.path, os.R_OK if self.read_only else os.R_OK | os.W_OK):
            wanted = "read" if self.read_only else "written"
            raise StoreError(
                f"{self.path}: cannot be {wanted}; change its permissions or pass another --db"
            )

    def _create_private(self) -> None:
        # Only ever a file of our making is opened and closed here: closing any descriptor of a database that another
        # connection of this process has open would drop that connection's locks.
        try:
            make_private(self.path)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be made: {error.strerror}; pass another --db"
            ) from error

    def _uri(self) -> str:
        """Where to open; a file in a directory without write permission is frozen unless others left a log beside it."""
        uri, log = self.path.absolute().as_uri(), Path(f"{self.path}-wal")
        if not self.read_only:
            return f"{uri}?mode=rw"
        frozen = not os.access(self.path.absolute().parent, os.W_OK) and not log.exists()
        return f"{uri}?mode=ro{'&immutable=1' if frozen else ''}"

    def _prepare(self) -> None:
        """Refuse what is not ours before anything in the file changes, then bring it to this version."""
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = _text
        self._execute("PRAGMA foreign_keys = ON")
        self._execute("PRAGMA synchronous = FULL")
        version = self._checked_version()
        if self.read_only or version == schema.VERSION:
            return
        self._execute("PRAGMA journal_mode = WAL")
        with self._transaction("IMMEDIATE"):
            # Another process may have done it while this one waited for the lock.
            for statement in schema.steps(self._checked_version()):
                self._execute(statement)

    def _checked_version(self) -> int:
        """The file's version, 0 when there is nothing in it yet (and it may be filled)."""
        version = self._version()
        if version > schema.VERSION:
            raise StoreError(
                f"{self.path}: was made by a newer mp2 (schema {version}, this one knows {schema.VERSION}); upgrade mp2 "
                "or pass another --db"
            )
        if self.read_only and version < schema.OLDEST_READABLE:
            what = (
                "holds no run yet; run a search first"
                if version == 0
                else "is of an older mp2; run a search to convert it"
            )
            raise StoreError(f"{self.path}: {what}")
        return version

    def _version(self) -> int:
        tables = {row["name"] for row in self._execute("SELECT name FROM sqlite_master")}
        if tables and "mp2_meta" not in tables:
            raise StoreError(f"{self.path}: is a database of another program; pass another --db")
        versions = self._execute("PRAGMA user_version").fetchall()
        if tables:
            versions += self._execute(
                "SELECT CAST(value AS INTEGER) FROM mp2_meta WHERE name = 'schema_version'"
            ).fetchall()
        return max(int(version) for (version,) in versions)

    # --- ids -------------------------------------------------------------------------------------------------------

    def _unused_id(self, kind: str, started_at: str) -> str:
        """A new id in the table `kind`, which sorts by `started_at`."""
        label = time_label(started_at)
        while True:
            new = f"{label}-{secrets.token_hex(2)}"
            if (
                self._execute(
                    f"SELECT 1 FROM {sql_name(kind)} WHERE {sql_name(kind)}_id = ?", (new,)
                ).fetchone()
                is None
            ):
                return new

    def _ids(self, kind: str) -> list[str]:
        """The ids in a table, newest first."""
        statement = (
            f"SELECT {sql_name(kind)}_id FROM {sql_name(kind)} ORDER BY {sql_name(kind)} DESC"
        )
        return [str(row[0]) for row in self._execute(statement)]

    def _meant(self, kind: str, name: str, ids: Sequence[str], advice: str) -> str:
        """The id meant by an id, the unique beginning of one, or `last`; otherwise `InputError` says what there is."""
        if not ids:
            raise InputError(f"{self.path}: holds no {kind} yet; {advice} first")
        if name == "last":
            return ids[0]
        matches = [one for one in ids if name and one.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(
                f"{self.path}: {name!r} is the beginning of {listing(matches)}; give more of it"
            )
        raise InputError(f"{self.path}: no {kind} {name!r}; there is {listing(ids)}")

    # --- SQLite ----------------------------------------------------------------------------------------------------

    def _execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        """All or nothing, whatever ends the block."""
        with self._translated():
            self._execute(f"BEGIN {sql_name(kind.lower())}")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                # After some errors SQLite has rolled back itself.
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {self._explain(error)}") from error

    def _explain(self, error: sqlite3.Error) -> str:
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary_code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"still locked by another program after {self.busy_timeout_s:g} s; try again when that has ended"
        return f"{_ADVICE.get(primary_code, 'the database reports an error')} ({error})"

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        """Values that cannot be what this program wrote are damage, not a crash."""
        try:
            yield
        except DAMAGE as error:
            raise StoreError(
                f"{self.path}: {what} is damaged and cannot be read back ({error!r}); delete it"
            ) from error


_text = partial(str, encoding="utf-8", errors="replace")
"""Text that is none, in one row, must not be an error of the whole table."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a row back raises when it holds what this program did not write."""

_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full, nothing was stored; free some space or pass another --db",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check it or pass another --db",
    sqlite3.SQLITE_NOTADB: "is not a database; pass another --db",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy or pass another --db",
    sqlite3.SQLITE_READONLY: "cannot be written; change the permissions of the file and its directory or pass another --db",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of its directory or pass another --db",
    sqlite3.SQLITE_TOOBIG: "a value is too large for a database",
}


# --- who is running ------------------------------------------------------------------------------------------------


def process_start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None where the system does not tell (field 22 of proc(5) stat)."""
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str]:
    """What proc(5) stat says of a process from its third field, the state, on; empty where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The second field is the program's name in parentheses, which may hold spaces and parentheses.
    return stat.rpartition(")")[2].split()


def is_running(pid: int, start: str | None) -> bool:
    """Whether the process that had this number and start still runs; when that cannot be told it does."""
    if not isinstance(pid, int) or pid <= 0:  # damage; to the system, a group of processes
        return False
    if sys.platform == "win32":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat(pid)
    if fields and fields[0] in _DEAD:
        return False
    return not fields or start is None or fields[19] == start


_DEAD = ("Z", "X")
"""States of a process that has ended and that its parent has not asked about yet."""


def owner() -> dict[str, Any]:
    """The columns that say which process works on something: this one."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()),
    }


def is_at_work(row: sqlite3.Row) -> bool:
    """Whether a process of this host still works on it."""
    return row["host"] == platform.node() and status_now(row) == "running"


def status_now(row: sqlite3.Row) -> str:
    """The status in the row, or `interrupted` when the process that should have ended it is gone.

    A process of another host is taken for gone when it has not written for `SILENCE_S`.
    """
    if row["status"] != "running":
        return str(row["status"])
    here = row["host"] == platform.node()
    gone = not is_running(row["pid"], row["process_start"]) if here else _is_silent(row)
    return "interrupted" if gone else "running"


def _is_silent(row: sqlite3.Row) -> bool:
    heartbeat_at = row["heartbeat_at"] if "heartbeat_at" in row.keys() else None  # noqa: SIM118 - `in row` looks at the values
    if heartbeat_at is None:
        return False
    return (datetime.now(UTC) - datetime.fromisoformat(heartbeat_at)).total_seconds() > SILENCE_S


# --- statements and names --------------------------------------------------------------------------------------------


_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def sql_name(name: str) -> str:
    """A table's or column's name as it is, for a statement: SQLite binds values only. ValueError when it is no plain word."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a table or column of this program")
    return name


def sql_names(names: Iterable[str], form: str = "{}") -> str:
    """The names, each checked and put into `form`, with commas between them."""
    return ", ".join(form.format(sql_name(name)) for name in names)


def insert(table: str, *columns: str) -> str:
    """The statement that adds a row with these columns."""
    return (
        f"INSERT INTO {sql_name(table)} ({sql_names(columns)}) VALUES ({sql_names(columns, '?')})"
    )


def replacing(table: str, *columns: str) -> str:
    """The statement that adds a row with these columns, or puts it in the place of the one with its key."""
    return insert(table, *columns).replace("INSERT", "INSERT OR REPLACE", 1)


def time_label(started_at: str) -> str:
    """The readable, sortable part of an id, from an ISO 8601 time."""
    try:
        moment = datetime.fromisoformat(started_at)
    except ValueError:
        raise InputError(
            f"started_at: {started_at!r} is not an ISO 8601 time such as 2026-11-22T15:30:12+00:00"
        ) from None
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y%m%d-%H%M%S}"


_N_LISTED = 5


def listing(ids: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(ids) - _N_LISTED} more" if len(ids) > _N_LISTED else ""
    return (", ".join(ids[:_N_LISTED]) or "none") + more
