"""A database file of this program: opened and checked, transactions, ids, errors in plain words.

The file is in WAL mode, so others read it while a run is written. SQLite before 3.51.3 can damage
such a file when two connections write or checkpoint at the same moment
(sqlite.org/wal.html#walresetbug). Therefore a process has one writing `Store`, used by one thread,
and readers open it with `read_only=True`, which never checkpoints.

Every error of SQLite leaves this module as a `StoreError` that names the file and the remedy.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import WeakSet

from pydantic import ValidationError

from mp2._document import Fields
from mp2._files import expanded
from mp2._overview import Entry, Overview
from mp2._sqlite import ForeignFileError, connect
from mp2.errors import InputError, StoreError
from mp2.storage import schema
from mp2.storage.processes import is_at_work, now_text, owner, status_now
from mp2.storage.values import Row, to_sql

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another program's lock."""

NOT_RESUMABLE = {
    "running": "it is still running",
    "complete": "it is complete",
}
"""Why a run or walk of this status cannot be resumed; one of any other status can."""

RecordT = TypeVar("RecordT")

_N_LISTED = 5
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
# Text that is not UTF-8 in one row must not be an error of the whole table.
_text = partial(str, encoding="utf-8", errors="replace")

_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space or pass another --db",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check it or pass another --db",
    sqlite3.SQLITE_NOTADB: "is not a database; pass another --db",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy or pass another --db",
    sqlite3.SQLITE_READONLY: "cannot be written; change the permissions of the file and its "
    "directory or pass another --db",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of its directory or pass "
    "another --db",
}


class Database(Overview):
    """A SQLite file with the tables of `schema`: one connection, used by one thread.

    Close it with `with` or `close`. The file is created when missing, readable by its owner only,
    unless `must_exist`; `read_only=True` needs it to exist and changes nothing in it.

    `problems`: rows that could not be read back so far, one line each, which name the row.

    Raises `InputError` when it is missing and has to exist; `StoreError`, here and from every
    method, when the file cannot be used: a directory, not
    a database, made by another program or another version, damaged, not readable or writable,
    locked for `busy_timeout_s` seconds, disk full. A failed write leaves the file as it was.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        read_only: bool = False,
        must_exist: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.path = expanded(path)
        self.read_only = read_only
        self.busy_timeout_s = busy_timeout_s
        self.problems: list[str] = []
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        self._check_path(must_exist or read_only)
        with self._translated():
            self._connection = self._connect()
            self._identity = self._file_identity()
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        return str(self.path), [("access", "read only" if self.read_only else "read and write")]

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        with self._translated():
            # A cursor in the frame of an error would keep the file open, and its locks.
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()
            self._connection.close()

    # --- the file ---------------------------------------------------------------------------------

    def _check_path(self, must_exist: bool) -> None:
        """Explain what SQLite would only call `unable to open database file`."""
        if os.path.isdir(self.path):
            raise StoreError(f"{self.path}: is a directory; name a file in it")
        exists = os.path.exists(self.path)
        if exists and not os.path.isfile(self.path):
            raise StoreError(f"{self.path}: is a pipe or a device; name a file")
        if not exists and os.path.islink(self.path):
            target = os.readlink(self.path)
            raise StoreError(
                f"{self.path}: is a link to {target}, which does not exist; pass another --db"
            )
        if must_exist and not exists:
            raise InputError(f"no database at {self.path}; run a search first or pass --db")
        wanted = "read" if self.read_only else "written"
        mode = os.R_OK if self.read_only else os.R_OK | os.W_OK
        if exists and not os.access(self.path, mode):
            raise StoreError(
                f"{self.path}: cannot be {wanted}; change its permissions or pass another --db"
            )

    def _file_identity(self) -> tuple[int, int] | None:
        """Device and inode of the file at the path; None when there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self) -> sqlite3.Connection:
        try:
            return connect(
                self.path,
                schema.APPLICATION_ID,
                read_only=self.read_only,
                busy_timeout_s=self.busy_timeout_s,
            )
        except ForeignFileError as error:
            # The one table that every file of the old format has.
            if "mp2_meta" in error.tables:
                raise StoreError(
                    f"{self.path}: made by mp2 0.1.0: export with that version, or choose "
                    "another --db"
                ) from None
            raise StoreError(
                f"{self.path}: is a database of another program; pass another --db"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be created: {error.strerror}; pass another --db"
            ) from error

    def _prepare(self) -> None:
        """Bring the file to this version. A newer file is refused as it is."""
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = _text
        # Off by default: deleting a run takes its rows along.
        self._execute("PRAGMA foreign_keys = ON")
        # What was reported as stored survives a power cut.
        self._execute("PRAGMA synchronous = FULL")
        version = self._checked_version()
        if self.read_only or version == schema.version():
            return
        with self._transaction("IMMEDIATE"):
            # Read again under the lock: another process may have done it meanwhile.
            for statement in schema.statements(self._checked_version()):
                self._execute(statement)

    def _checked_version(self) -> int:
        row = self._execute("PRAGMA user_version").fetchone()
        version = int(row[0])
        if version > schema.version():
            raise StoreError(
                f"{self.path}: was made by a newer mp2 (schema {version}, this one knows "
                f"{schema.version()}); upgrade mp2 or pass another --db"
            )
        if self.read_only and version == 0:
            raise StoreError(f"{self.path}: holds no run yet; run a search first")
        return version

    # --- runs and scans: rows with an id and an owner ---------------------------------------------

    def _begin(
        self,
        kind: str,
        values: Row,
    ) -> str:
        """Add a row that this process works on from now. Returns its id, sortable by the start."""
        started_at = now_text()
        moment = datetime.fromisoformat(started_at)
        with self._transaction("IMMEDIATE"):
            # Two runs may start within a second, and four random digits may meet again.
            taken = self._ids(kind)
            new = None
            while new is None or new in taken:
                new = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            row = {f"{kind}_id": new, "started_at": started_at, "status": "running"}
            self._insert(kind, row | owner() | values)
        return new

    def _ids(self, kind: str) -> list[str]:
        """The ids in a table, newest first."""
        if not self._has_table(kind):
            return []
        rows = self._execute(
            f"SELECT {sql_name(kind)}_id FROM {sql_name(kind)} ORDER BY {sql_name(kind)} DESC"
        )
        return [str(row[0]) for row in rows]

    def _has_table(self, kind: str) -> bool:
        """Whether the file has the table: one that an earlier version made may lack it."""
        known = self._execute("SELECT 1 FROM sqlite_master WHERE name = ?", (kind,))
        return known.fetchone() is not None

    def _resolved(
        self,
        kind: str,
        name: str,
        advice: str,
    ) -> str:
        """The id that `name` means: an id, the unique beginning of one, or `last`."""
        ids = self._ids(kind)
        if not ids:
            raise InputError(f"{self.path}: holds no {kind} yet; {advice} first")
        if name == "last":
            return ids[0]
        matches = [known for known in ids if name and known.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(
                f"{self.path}: {name!r} is the beginning of {listing(matches)}; give more of it"
            )
        raise InputError(f"{self.path}: no {kind} {name!r}; there is {listing(ids)}")

    def _row(
        self,
        kind: str,
        name: str,
    ) -> Row:
        """The row of a run or scan; `InputError` when there is none of this id."""
        row = self._find_row(kind, name)
        if row is None:
            known = listing(self._ids(kind))
            raise InputError(f"{self.path}: no {kind} {name!r}; there is {known}")
        return row

    def _find_row(
        self,
        kind: str,
        name: str,
    ) -> Row | None:
        statement = f"SELECT * FROM {sql_name(kind)} WHERE {sql_name(kind)}_id = ?"
        found = self._execute(statement, (name,)).fetchone()
        return None if found is None else dict(found)

    def _running(
        self,
        kind: str,
        name: str,
    ) -> int:
        """The key of a run or scan that this process works on; `StoreError` when it does not."""
        row = self._find_row(kind, name)
        if row is None:
            problem = "was deleted meanwhile"
        elif row["status"] != "running":
            problem = f"has already ended ({row['status']})"
        elif any(row[column] != value for column, value in owner().items()):
            # Silent for so long that another process took it for dead.
            problem = "was resumed by another process meanwhile"
        else:
            return int(row[kind])
        raise StoreError(f"{self.path}: {kind} {name} {problem}; nothing was stored")

    def _check_unfinished(self, kind: str, row: Row) -> None:
        """Raise the `InputError` that says why a run or walk cannot be resumed."""
        reason = NOT_RESUMABLE.get(status_now(row))
        if reason is not None:
            name = row[f"{kind}_id"]
            raise InputError(f"{self.path}: {kind} {name} cannot be resumed: {reason}")

    def count(self, kind: str) -> int:
        """The number of runs, scans or walks."""
        with self._translated():
            if not self._has_table(kind):
                return 0
            row = self._execute(f"SELECT count(*) FROM {sql_name(kind)}").fetchone()
        return int(row[0])

    def _summaries(
        self,
        kind: str,
        convert: Callable[[Row], RecordT],
        n_newest: int | None = None,
    ) -> list[RecordT]:
        """The newest rows of the table, all by default, newest first.

        One that cannot be read back hides no other.
        """
        # To SQLite a negative limit is none.
        limit = -1 if n_newest is None else n_newest
        summaries: list[RecordT] = []
        with self._transaction("DEFERRED"):
            if not self._has_table(kind):
                return summaries
            stored = self._execute(
                f"SELECT * FROM {sql_name(kind)} ORDER BY {sql_name(kind)} DESC LIMIT ?", (limit,)
            )
            for row in stored.fetchall():
                with self._problem_noted(f"{kind} {row[f'{kind}_id']}"):
                    summaries.append(convert(dict(row)))
        return summaries

    def _delete(
        self,
        kind: str,
        name: str,
    ) -> None:
        with self._transaction("IMMEDIATE"):
            row = self._row(kind, name)
            if is_at_work(row):
                raise InputError(
                    f"{kind} {name}: process {row['pid']} still works on it; stop that first, "
                    f"then delete the {kind}"
                )
            # Foreign keys take along what belongs to it.
            self._execute(f"DELETE FROM {sql_name(kind)} WHERE {sql_name(kind)} = ?", (row[kind],))

    # --- statements -------------------------------------------------------------------------------

    def _execute(
        self,
        statement: str,
        values: Any = (),
    ) -> sqlite3.Cursor:
        cursor = self._connection.execute(statement, values)
        # `close` has to find it.
        self._cursors.add(cursor)
        return cursor

    def _insert(
        self,
        table: str,
        values: Fields,
        *,
        replace: bool = False,
    ) -> None:
        """Add a row, or put it in the place of the row with its key."""
        self._insert_many(table, [values], replace=replace)

    def _insert_many(
        self,
        table: str,
        rows: Iterable[Fields],
        *,
        replace: bool = False,
    ) -> None:
        """Add rows with the same columns, one at a time: a lazy `rows` stays lazy."""
        left = iter(rows)
        if (first := next(left, None)) is None:
            return
        statement = insert(table, first, replace=replace)
        encoded = ([to_sql(value) for value in row.values()] for row in chain([first], left))
        self._connection.executemany(statement, encoded)

    def _update(
        self,
        table: str,
        key: int,
        values: Fields,
    ) -> None:
        """Change columns of the row whose key, a column called like the table, is `key`."""
        changes = f"UPDATE {sql_name(table)} SET {sql_names(values, '{} = ?')}"
        encoded = [to_sql(value) for value in values.values()]
        self._execute(f"{changes} WHERE {sql_name(table)} = ?", [*encoded, key])

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        """All changes of the block, or none when it raises."""
        with self._translated():
            self._execute(f"BEGIN {sql_name(kind.lower())}")
            try:
                # SQLite would go on writing to a file that has no name any more.
                if self._file_identity() != self._identity:
                    raise StoreError(f"{self.path}: was deleted, moved or replaced meanwhile")
                yield
                self._execute("COMMIT")
            except BaseException:
                # After some errors SQLite has already rolled back.
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The low byte is the kind of error, the rest its details.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_IOERR:
                # Creating the index of the log reports a full disk like this.
                with suppress(OSError):
                    if shutil.disk_usage(self.path.parent).free == 0:
                        code = sqlite3.SQLITE_FULL
            advice = _ADVICE.get(code, "the database reports an error")
            problem = f"{advice} ({error})"
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                problem = (
                    f"still locked by another program after {self.busy_timeout_s:g} s; try again "
                    "when that has ended"
                )
            raise StoreError(f"{self.path}: {problem}") from error

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        """Report a row that this program cannot have written as a `StoreError` that names it."""
        try:
            yield
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            reason = repr(error)
            if isinstance(error, ValidationError):
                # The first wrong value, on one line.
                first = error.errors(include_url=False)[0]
                place = ".".join(map(str, first["loc"]))
                reason = f"{place}: {first['msg']}"
            raise StoreError(
                f"{self.path}: {what} is damaged and cannot be read back ({reason}); delete it"
            ) from error

    @contextmanager
    def _problem_noted(self, what: str) -> Iterator[None]:
        """Name a row that cannot be read back in `problems`; it hides no other."""
        try:
            with self._readable(what):
                yield
        except StoreError as error:
            self.problems.append(str(error))


# --- statements -----------------------------------------------------------------------------------


def sql_name(name: str) -> str:
    """The name of a table or column, for a statement: SQLite binds only values.

    ValueError when it is not a plain word.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a table or column of this program")
    return name


def sql_names(names: Iterable[str], form: str = "{}") -> str:
    """The names, each checked and put into `form`, with commas between them."""
    return ", ".join(form.format(sql_name(name)) for name in names)


def insert(
    table: str,
    columns: Iterable[str],
    *,
    replace: bool = False,
) -> str:
    """The statement that adds a row, or puts it in the place of the row with its key."""
    names = tuple(columns)
    statement = (
        f"INSERT INTO {sql_name(table)} ({sql_names(names)}) VALUES ({sql_names(names, '?')})"
    )
    return statement.replace("INSERT", "INSERT OR REPLACE", 1) if replace else statement


def listing(ids: Sequence[str]) -> str:
    """The first few ids, and how many more there are."""
    shown = ", ".join(ids[:_N_LISTED]) or "none"
    n_more = len(ids) - _N_LISTED
    return f"{shown} and {n_more} more" if n_more > 0 else shown
