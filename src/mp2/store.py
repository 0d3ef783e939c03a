"""Runs kept in one SQLite file: rules, input fingerprint, starters, kept groups, what they picked later and what came of it.

A run is a row from the moment it begins (`Store.begin`); its results and its final status arrive together, in one
transaction that is on the disk when `Store.finish` returns. A run whose process died in between is told apart from one
that still runs by its process number, start and host.

The file is in WAL mode, so that others read while a run is open. SQLite before 3.51.3 can damage such a file when two
connections write or checkpoint at the very same moment (sqlite.org/wal.html#walresetbug); so a process has one writing
`Store`, used by one thread, and whoever only reads opens it with `read_only=True`, which never checkpoints.

Whatever SQLite raises leaves here as `StoreError`, which names the file and what to do.
"""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mp2 import rows, schema
from mp2.errors import InputError, StoreError
from mp2.model import Group, Rules, SearchResult, StarterRecord
from mp2.pick_model import DayPicks, Outcome, OutcomeStatus

RecordT = TypeVar("RecordT")

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another program's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs.

    `status` is that of the result, or `running`, `failed`, or `interrupted` when its process ended without a word. What
    only an ended run has is None (or empty) before.
    """

    run_id: str
    started_at: str
    source: str
    status: str
    budget_s: float
    elapsed_s: float | None
    coverage: float | None
    attempts: int | None
    n_kept: dict[int, int]
    best_score: dict[int, float | None]


class Store:
    """A database of runs: one connection, used by one thread, closed by `with` or `close`.

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
        self.path, self.read_only, self.busy_timeout_s = Path(path).expanduser(), read_only, busy_timeout_s
        self._check_path(must_exist or read_only)
        with self._translated():
            self._connection = sqlite3.connect(
                self._uri(), uri=True, timeout=busy_timeout_s, isolation_level=None, cached_statements=32
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; calling it again does nothing."""
        with self._translated():
            self._connection.close()

    # --- a run's life ----------------------------------------------------------------------------------------------

    def begin(
        self, *, rules: Rules, budget_s: float, workers: int, source: str, input_fingerprint: str, started_at: str
    ) -> str:
        """Note that a search starts; `started_at` is ISO 8601 in UTC. Returns its run id, which sorts by `started_at`."""
        label = _run_label(started_at)
        values = {
            "started_at": started_at,
            "source": source.encode("utf-8", "backslashreplace").decode(),
            "status": "running",
            "host": platform.node(),
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
            "input_fingerprint": input_fingerprint,
            "rules": rows.to_json(rules.to_dict()),
            "budget_s": budget_s,
            "workers": workers,
        }
        with self._transaction("IMMEDIATE"):
            values["run_id"] = self._unused_id(label)
            self._execute(_insert("run", *values), tuple(values.values()))
        return str(values["run_id"])

    def finish(self, run_id: str, result: SearchResult) -> None:
        """Store a running run's result, whole or not at all; it survives a power cut once this returns.

        Starters are read one at a time, so that a lazy sequence stays lazy.
        """
        values = rows.result_values(result)
        with self._transaction("IMMEDIATE"):
            run = self._running(run_id)
            for statement, own_rows in (
                (_INSERT_STARTER, rows.starter_rows(run, result.starters)),
                (_INSERT_GROUP, rows.group_rows(run, result.kept)),
                (_INSERT_DAY, rows.day_rows(run, result.kept)),
            ):
                self._connection.executemany(statement, own_rows)
            self._execute(f"UPDATE run SET {', '.join(f'{name} = :{name}' for name in values)} WHERE run = {run}", values)

    def abandon(self, run_id: str) -> None:
        """Mark a running run as failed: it will have no result."""
        with self._transaction("IMMEDIATE"):
            self._execute("UPDATE run SET status = 'failed' WHERE run = ?", (self._running(run_id),))

    def set_store_s(self, run_id: str, store_s: float) -> None:
        """Note how long storing an ended run took, in seconds; `load` gives it back."""
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)["run"]
            self._execute("UPDATE run SET store_s = ? WHERE run = ?", (store_s, run))

    def delete(self, run_id: str) -> None:
        """Remove a run and everything that belongs to it.

        The space is used again by later runs. Raises `InputError` when there is no such run or a process of this host still
        works on it.
        """
        with self._transaction("IMMEDIATE"):
            row = self._row(run_id)
            if row["host"] == platform.node() and _status_now(row) == "running":
                raise InputError(f"run {run_id}: process {row['pid']} still works on it; stop that first, then delete the run")
            self._execute("DELETE FROM run WHERE run = ?", (row["run"],))

    def save_picks(self, run_id: str, picks: DayPicks) -> None:
        """Store the picks of one day with an ended run, in place of earlier ones for that day and their outcome."""
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)["run"]
            self._execute("DELETE FROM day_picks WHERE run = ? AND day = ?", (run, picks.day))
            self._execute(_INSERT_PICKS, rows.picks_row(run, picks))

    def save_outcome(self, run_id: str, outcome: Outcome) -> None:
        """Store what came of the picks of one day; `InputError` while it is pending or when the run has no such picks."""
        if outcome.status is not OutcomeStatus.SCORED:
            raise InputError(f"run {run_id}: {outcome.note or 'the outcome is pending'}; there is nothing to store yet")
        with self._transaction("IMMEDIATE"):
            run = self._ended(run_id)["run"]
            if self._execute("SELECT 1 FROM day_picks WHERE run = ? AND day = ?", (run, outcome.day)).fetchone() is None:
                raise InputError(f"{self.path}: run {run_id} has no picks for {outcome.day}; pick for that day first")
            self._execute("DELETE FROM outcome WHERE run = ? AND day = ?", (run, outcome.day))
            self._execute(_INSERT_OUTCOME, rows.outcome_row(run, outcome))

    # --- reading ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunSummary]:
        """Every run, newest first."""
        with self._translated(), self._readable("the list of runs"):
            return [_summary(row) for row in self._execute("SELECT * FROM run ORDER BY run DESC")]

    def find(self, name: str) -> str:
        """The run id meant by a run id, the unique beginning of one, or `last`; otherwise `InputError` says what there is."""
        with self._translated():
            run_ids = [row["run_id"] for row in self._execute("SELECT run_id FROM run ORDER BY run DESC")]
        if not run_ids:
            raise InputError(f"{self.path}: holds no run yet; run a search first")
        if name == "last":
            return str(run_ids[0])
        matches = [run_id for run_id in run_ids if name and run_id.startswith(name)]
        if len(matches) == 1:
            return str(matches[0])
        if matches:
            raise InputError(f"{self.path}: {name!r} is the beginning of {_listing(matches)}; give more of it")
        raise InputError(f"{self.path}: no run {name!r}; there is {_listing(run_ids)}")

    def load(self, run_id: str, *, starters: bool = True) -> SearchResult:
        """The result given to `finish`, with its `run_id`; `starters=False` leaves theirs out, which many make large.

        Raises `InputError` when there is no such run or it has no result.
        """
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._ended(run_id)
            return rows.to_result(dict(row), self._kept(row), tuple(self._starters(row["run"])) if starters else ())

    def load_picks(self, run_id: str) -> tuple[DayPicks, ...]:
        """The picks stored with a run, by day; `InputError` when there is no such run."""
        return self._by_day(run_id, _SELECT_PICKS, rows.to_day_picks)

    def load_outcomes(self, run_id: str) -> tuple[Outcome, ...]:
        """The outcomes stored with a run, by day; `InputError` when there is no such run."""
        return self._by_day(run_id, _SELECT_OUTCOMES, rows.to_outcome)

    def _by_day(self, run_id: str, statement: str, convert: Callable[[str, rows.Row], RecordT]) -> tuple[RecordT, ...]:
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            run = self._row(run_id)["run"]
            stored = self._execute(statement, (run,)) if self._version() >= schema.PICKS_SINCE else ()
            return tuple(convert(run_id, tuple(row)) for row in stored)

    def _kept(self, row: sqlite3.Row) -> dict[int, tuple[Group, ...]]:
        """Kept groups by size, a size without any included."""
        days = groupby(self._execute(_SELECT_DAYS, (row["run"],)), key=lambda day: (day["size"], day["rank"]))
        days_of = {key: list(own) for key, own in days}
        kept: dict[int, list[Group]] = {size: [] for size in rows.by_size(row["n_kept"])}
        for group in self._execute(_SELECT_GROUPS, (row["run"],)):
            kept[group["size"]].append(rows.to_group(tuple(group), days_of.get((group["size"], group["rank"]), ())))
        return {size: tuple(groups) for size, groups in kept.items()}

    def _starters(self, run: int) -> Iterator[StarterRecord]:
        return map(rows.to_starter, self._execute(_SELECT_STARTERS, (run,)))

    # --- rows ------------------------------------------------------------------------------------------------------

    def _row(self, run_id: str) -> sqlite3.Row:
        row = self._execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            there = [other["run_id"] for other in self._execute("SELECT run_id FROM run ORDER BY run DESC")]
            raise InputError(f"{self.path}: no run {run_id!r}; there is {_listing(there)}")
        return row  # type: ignore[no-any-return]

    def _running(self, run_id: str) -> int:
        row = self._execute("SELECT run, status FROM run WHERE run_id = ?", (run_id,)).fetchone()
        if row is None or row["status"] != "running":
            fate = "was deleted meanwhile" if row is None else f"has already ended ({row['status']})"
            raise StoreError(f"{self.path}: run {run_id} {fate}; nothing was stored")
        return int(row["run"])

    def _ended(self, run_id: str) -> sqlite3.Row:
        row = self._row(run_id)
        why = _NO_RESULT.get(_status_now(row))
        if why is not None:
            raise InputError(f"{self.path}: run {run_id} has no result: {why}")
        return row

    def _unused_id(self, label: str) -> str:
        while True:
            run_id = f"{label}-{secrets.token_hex(2)}"
            if self._execute("SELECT 1 FROM run WHERE run_id = ?", (run_id,)).fetchone() is None:
                return run_id

    # --- the file --------------------------------------------------------------------------------------------------

    def _check_path(self, must_exist: bool) -> None:
        """Say plainly what SQLite would call `unable to open database file`, and make a missing file, private."""
        if os.path.isdir(self.path):
            raise StoreError(f"{self.path}: is a directory; name a file in it")
        if must_exist and not os.path.lexists(self.path):
            raise StoreError(f"no database at {self.path}; run a search first or pass --db")
        if not must_exist:
            self._create_private()
        if not os.access(self.path, os.R_OK if self.read_only else os.R_OK | os.W_OK):
            wanted = "read" if self.read_only else "written"
            raise StoreError(f"{self.path}: cannot be {wanted}; change its permissions or pass another --db")

    def _create_private(self) -> None:
        # Only ever a file of our making is opened and closed here: closing any descriptor of a database that another
        # connection of this process has open would drop that connection's locks.
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be made: {error.strerror}; pass another --db") from error

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
            what = "holds no run yet; run a search first" if version == 0 else "is of an older mp2; run a search to convert it"
            raise StoreError(f"{self.path}: {what}")
        return version

    def _version(self) -> int:
        tables = {row["name"] for row in self._execute("SELECT name FROM sqlite_master")}
        if tables and "mp2_meta" not in tables:
            raise StoreError(f"{self.path}: is a database of another program; pass another --db")
        versions = self._execute("PRAGMA user_version").fetchall()
        if tables:
            versions += self._execute("SELECT CAST(value AS INTEGER) FROM mp2_meta WHERE name = 'schema_version'").fetchall()
        return max(int(version) for (version,) in versions)

    # --- SQLite ----------------------------------------------------------------------------------------------------

    def _execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        """All or nothing, whatever ends the block."""
        with self._translated():
            self._execute(f"BEGIN {kind}")
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
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{self.path}: {what} is damaged and cannot be read back ({error!r}); delete it") from error


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full, nothing was stored; free some space or pass another --db",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check it or pass another --db",
    sqlite3.SQLITE_NOTADB: "is not a database; pass another --db",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy or pass another --db",
    sqlite3.SQLITE_READONLY: "cannot be written; change the permissions of the file and its directory or pass another --db",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of its directory or pass another --db",
    sqlite3.SQLITE_TOOBIG: "a value is too large for a database",
}

_NO_RESULT = {
    "running": "it is still running; look again when it has ended",
    "interrupted": "its process ended before it could store one; run the search again",
    "failed": "the search failed; run it again",
}


# --- who is running ------------------------------------------------------------------------------------------------


def process_start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None where the system does not tell (field 22 of proc(5) stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may hold spaces and parentheses.
    return stat.rpartition(")")[2].split()[19]


def is_running(pid: int, start: str | None) -> bool:
    """Whether the process that had this number and start still exists; when that cannot be told it does."""
    if sys.platform == "win32":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    now = process_start(pid)
    return now is None or start is None or now == start


def _status_now(row: sqlite3.Row) -> str:
    here = row["host"] == platform.node()
    if row["status"] == "running" and here and not is_running(row["pid"], row["process_start"]):
        return "interrupted"
    return str(row["status"])


# --- statements ----------------------------------------------------------------------------------------------------


def _insert(table: str, *columns: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _select(table: str, columns: Iterable[str], order: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} WHERE run = ? ORDER BY {order}"


_INSERT_STARTER = _insert("starter", "run", *rows.STARTER_COLUMNS)
_INSERT_GROUP = _insert("kept_group", "run", *rows.GROUP_COLUMNS)
_INSERT_DAY = _insert("group_day", "run", *rows.DAY_COLUMNS)
_INSERT_PICKS = _insert("day_picks", "run", *rows.PICKS_COLUMNS)
_INSERT_OUTCOME = _insert("outcome", "run", *rows.OUTCOME_COLUMNS)
_SELECT_STARTERS = _select("starter", rows.STARTER_COLUMNS, "variation_idx")
_SELECT_GROUPS = _select("kept_group", rows.GROUP_COLUMNS, "size, rank")
_SELECT_DAYS = _select("group_day", rows.DAY_COLUMNS, "size, rank, day_idx")
_SELECT_PICKS = _select("day_picks", rows.PICKS_COLUMNS, "day")
_SELECT_OUTCOMES = _select("outcome", rows.OUTCOME_COLUMNS, "day")


def _summary(row: sqlite3.Row) -> RunSummary:
    return RunSummary(
        **{name: row[name] for name in ("run_id", "started_at", "source", "budget_s", "elapsed_s", "coverage")},
        status=_status_now(row),
        attempts=None if row["attempts"] is None else int(row["attempts"]),
        n_kept=rows.by_size(row["n_kept"]),
        best_score=rows.by_size(row["best_score"]),
    )


# --- names -----------------------------------------------------------------------------------------------------------


def _run_label(started_at: str) -> str:
    """The readable, sortable part of a run id."""
    try:
        moment = datetime.fromisoformat(started_at)
    except ValueError:
        raise InputError(f"started_at: {started_at!r} is not an ISO 8601 time such as 2026-11-22T15:30:12+00:00") from None
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y%m%d-%H%M%S}"


_N_LISTED = 5


def _listing(run_ids: list[str]) -> str:
    more = f" and {len(run_ids) - _N_LISTED} more" if len(run_ids) > _N_LISTED else ""
    return (", ".join(run_ids[:_N_LISTED]) or "none") + more
