"""Runs kept in one SQLite file: rules, input fingerprint, what became of every starter, kept groups and their tickers.

A run is a row from the moment it begins (`Store.begin`); its results and its final status arrive together, in one
transaction that is on the disk when `Store.finish` returns. A run whose process died in between is told apart from one
that still runs by its process number, start and host.

The file is in WAL mode, so that others read while a run is open. SQLite before 3.51.3 can damage a WAL file when two
connections of one process write or checkpoint at the same moment: a process has one writing `Store`, used by one thread;
any other is opened with `read_only=True`, which never checkpoints.

Whatever SQLite raises leaves here as `StoreError`, which names the file and what to do.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mp2.errors import InputError, StoreError
from mp2.model import DayConsensus, DayStats, Group, Member, Rules, SearchResult, StarterRecord, StarterStatus, Status

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another program's lock."""

STORE_VERSION = 1
"""Version of `_SCHEMA`. 1: runs, starters, kept groups."""

# A statement ends with a semicolon at the end of its line; no other line ends so. JSON is text without spaces.
_SCHEMA = """
-- What this file is. `schema_version` is also PRAGMA user_version; the row survives a dump.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('program', 'mp2'), ('schema_version', '0');

-- One search. The higher `run`, the later it began, whatever the clock said.
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,        -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    source TEXT NOT NULL,               -- where the signals came from, as the user named it
    status TEXT NOT NULL CHECK (status IN ('running', 'failed', 'complete', 'stopped', 'wall', 'work_limit')),

    host TEXT NOT NULL,                 -- the process that searches
    pid INTEGER NOT NULL,
    process_start TEXT,                 -- its start in clock ticks since boot; NULL where the system does not tell

    input_fingerprint TEXT NOT NULL,    -- sha256 of the panel, hex
    rules TEXT NOT NULL,                -- JSON object
    budget_s REAL NOT NULL,
    workers INTEGER NOT NULL,

    -- NULL until the search ended. Counts without a bound are decimal text or in JSON. `by size` is a JSON object with
    -- the group size as key.
    elapsed_s REAL,
    overrun_s REAL,
    read_s REAL,
    store_s REAL,
    n_starters INTEGER,
    n_exhausted INTEGER,
    coverage REAL,                      -- 0..1
    n_branches INTEGER,
    n_branches_done INTEGER,
    tested_exact INTEGER,               -- 0 or 1
    attempts TEXT,
    max_attempts INTEGER,               -- NULL: no limit
    tested TEXT,                        -- by size
    eligible TEXT,                      -- by size
    score_mean TEXT,                    -- by size, null when nothing was eligible
    score_std TEXT,                     -- by size, null when nothing was eligible
    n_kept TEXT,                        -- by size: rows in kept_group, here so that a list of runs need not count them
    best_score TEXT,                    -- by size, null when nothing was kept
    picked_rank TEXT,                   -- by size, null when nothing was kept
    days TEXT,                          -- JSON array, as are all below
    day_weights TEXT,
    base_win_rates TEXT,                -- percent
    special TEXT,
    warnings TEXT
);

-- What became of one starter of a run.
CREATE TABLE starter (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    variation_idx INTEGER NOT NULL,     -- over all algorithms, from 0
    algo TEXT NOT NULL,
    variation TEXT NOT NULL,
    n_buys INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('exhausted', 'cut_off', 'not_started')),
    elapsed_s REAL NOT NULL,            -- running time
    limit_start_s REAL NOT NULL,        -- granted at its start
    limit_end_s REAL NOT NULL,          -- granted in all
    n_turns INTEGER NOT NULL,
    attempts TEXT NOT NULL,             -- decimal
    tested TEXT NOT NULL,               -- by size
    eligible TEXT NOT NULL,             -- by size
    retained TEXT NOT NULL,             -- by size
    n_branches INTEGER NOT NULL,
    n_branches_done INTEGER NOT NULL,
    cursor TEXT NOT NULL,               -- JSON array: next position at each level; empty: exhausted or not started
    PRIMARY KEY (run, variation_idx)
) WITHOUT ROWID;

-- One kept group of a run; rank 1 is the best of its size.
CREATE TABLE kept_group (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    size INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    members TEXT NOT NULL,              -- JSON array of [algo, variation, variation_idx], by variation_idx
    score REAL NOT NULL,
    pooled_pp REAL NOT NULL,
    weighted_pp REAL NOT NULL,
    median_pp REAL NOT NULL,
    second_worst_pp REAL NOT NULL,
    mad_pp REAL NOT NULL,
    iqr_pp REAL NOT NULL,
    cv_buys REAL NOT NULL,
    wilson_lb REAL NOT NULL,
    pp_slope REAL NOT NULL,
    repeat_factor REAL NOT NULL,
    PRIMARY KEY (run, size, rank)
) WITHOUT ROWID;

-- A kept group on one day.
CREATE TABLE group_day (
    run INTEGER NOT NULL,
    size INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    day_idx INTEGER NOT NULL,           -- from 0, in the order of the run's days
    day TEXT NOT NULL,
    buys INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    pp REAL NOT NULL,
    weight REAL NOT NULL,
    tickers TEXT NOT NULL,              -- JSON array: the consensus
    PRIMARY KEY (run, size, rank, day_idx),
    FOREIGN KEY (run, size, rank) REFERENCES kept_group ON DELETE CASCADE
) WITHOUT ROWID;
"""

_MIGRATIONS: dict[int, str] = {1: _SCHEMA}
"""Version -> the statements that bring a file from the version before to it; a new file is at version 0."""

_PLAIN = (
    "budget_s", "workers", "input_fingerprint", "elapsed_s", "overrun_s", "read_s", "store_s", "n_starters", "n_exhausted",
    "coverage", "n_branches", "n_branches_done", "max_attempts",
)  # fmt: skip
_BY_SIZE = ("tested", "eligible", "score_mean", "score_std", "picked_rank")
_TUPLES = ("days", "day_weights", "base_win_rates", "special", "warnings")
_STARTER = tuple(spec.name for spec in fields(StarterRecord))
_STATISTICS = tuple(spec.name for spec in fields(Group) if spec.type == "float")

_json = json.JSONEncoder(separators=(",", ":")).encode


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

    The file is made when missing, readable by its owner only; `read_only=True` needs it to exist and changes nothing in it.
    Raises `StoreError`, here and from every method, when the file cannot be used: a directory, no database, one of another
    program or of a newer version of this one, damaged, not readable or writable, locked for `busy_timeout_s` seconds,
    disk full. A failed write leaves what was there untouched.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path, self.read_only, self.busy_timeout_s = Path(path).expanduser(), read_only, busy_timeout_s
        self._check_path()
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
            "rules": _json(rules.to_dict()),
            "budget_s": budget_s,
            "workers": workers,
        }
        with self._transaction("IMMEDIATE"):
            values["run_id"] = self._unused_id(label)
            self._execute(_insert("run", values), values)
        return str(values["run_id"])

    def finish(self, run_id: str, result: SearchResult) -> None:
        """Store a running run's result, whole or not at all; it survives a power cut once this returns.

        Starters are read one at a time, so that a lazy sequence stays lazy.
        """
        values = _result_values(result)
        with self._transaction("IMMEDIATE"):
            run = self._running(run_id)
            self._execute_many(_STARTER_INSERT, _starter_rows(run, result))
            self._execute_many(_GROUP_INSERT, _group_rows(run, result))
            self._execute_many(_DAY_INSERT, _day_rows(run, result))
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

        Raises `InputError` when there is no such run or a process of this host still works on it.
        """
        with self._transaction("IMMEDIATE"):
            row = self._row(run_id)
            if row["host"] == platform.node() and _status_now(row) == "running":
                raise InputError(f"run {run_id}: process {row['pid']} still works on it; stop that first, then delete the run")
            self._execute("DELETE FROM run WHERE run = ?", (row["run"],))

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
        if len(matches) == 1 or name in matches:
            return name if name in matches else str(matches[0])
        if matches:
            raise InputError(f"{self.path}: {name!r} is the beginning of {_listing(matches)}; give more of it")
        raise InputError(f"{self.path}: no run {name!r}; there is {_listing(run_ids)}")

    def load(self, run_id: str, *, starters: bool = True) -> SearchResult:
        """The result given to `finish`, with its `run_id`; `starters=False` leaves theirs out, which many make large.

        Raises `InputError` when there is no such run or it has no result.
        """
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._ended(run_id)
            return _result(row, self._kept(row), tuple(self._starters(row["run"])) if starters else ())

    def _kept(self, row: sqlite3.Row) -> dict[int, tuple[Group, ...]]:
        """Kept groups by size: groups and their days are read side by side, both in the order of the key."""
        kept: dict[int, list[Group]] = {size: [] for size in _by_size(row["n_kept"])}
        days = groupby(self._execute(_DAYS_SELECT, (row["run"],)), key=lambda day: (day["size"], day["rank"]))
        ahead = next(days, None)
        for group in self._execute(_GROUPS_SELECT, (row["run"],)):
            own: list[sqlite3.Row] = []
            if ahead is not None and ahead[0] == (group["size"], group["rank"]):
                own = list(ahead[1])
                ahead = next(days, None)
            kept[group["size"]].append(_group(group, own))
        return {size: tuple(groups) for size, groups in kept.items()}

    def _starters(self, run: int) -> Iterator[StarterRecord]:
        return map(_starter, self._execute(_STARTERS_SELECT, (run,)))

    # --- rows ------------------------------------------------------------------------------------------------------

    def _row(self, run_id: str) -> sqlite3.Row:
        row = self._execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            there = [other["run_id"] for other in self._execute("SELECT run_id FROM run ORDER BY run DESC")]
            raise InputError(f"{self.path}: no run {run_id!r}; there is {_listing(there)}")
        return row  # type: ignore[no-any-return]

    def _running(self, run_id: str) -> int:
        row = self._row(run_id)
        if row["status"] != "running":
            raise InputError(f"{self.path}: run {run_id} has ended before ({row['status']}); its result stays as it is")
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

    def _check_path(self) -> None:
        """Say plainly what SQLite would call `unable to open database file`, and make a missing file, private."""
        if self.path.is_dir():
            raise StoreError(f"{self.path}: is a directory; name a file in it")
        if self.read_only and not self.path.exists():
            raise StoreError(f"no database at {self.path}; run a search first or pass --db")
        if not self.read_only:
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
        if self.read_only or version == STORE_VERSION:
            return
        self._execute("PRAGMA journal_mode = WAL")
        with self._transaction("IMMEDIATE"):
            for step in range(self._checked_version() + 1, STORE_VERSION + 1):
                self._migrate(step)

    def _migrate(self, version: int) -> None:
        for statement in _MIGRATIONS[version].split(";\n"):
            self._execute(statement)
        self._execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(version),))
        self._execute(f"PRAGMA user_version = {version}")

    def _checked_version(self) -> int:
        """The file's version, 0 when there is nothing in it yet (and it may be filled)."""
        version = self._version()
        if version > STORE_VERSION:
            raise StoreError(
                f"{self.path}: was made by a newer mp2 (schema {version}, this one knows {STORE_VERSION}); upgrade mp2 "
                "or pass another --db"
            )
        if self.read_only and version < STORE_VERSION:
            what = "holds no run yet; run a search first" if version == 0 else "is of an older mp2; run a search to convert it"
            raise StoreError(f"{self.path}: {what}")
        return version

    def _version(self) -> int:
        tables = {row["name"] for row in self._execute("SELECT name FROM sqlite_master")}
        meta = dict(self._execute("SELECT * FROM meta").fetchall()) if "meta" in tables else {}
        if tables and meta.get("program") != "mp2":
            raise StoreError(f"{self.path}: is a database of another program; pass another --db")
        (version,) = self._execute("PRAGMA user_version").fetchone()
        return max(int(version), int(meta.get("schema_version", 0)))

    # --- SQLite ----------------------------------------------------------------------------------------------------

    def _execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.executemany(statement, rows)

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


# --- records to rows -----------------------------------------------------------------------------------------------


def _insert(table: str, columns: Iterable[str]) -> str:
    names = tuple(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"


def _insert_in_order(table: str, *columns: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


_STARTER_INSERT = _insert_in_order("starter", "run", *_STARTER)
_GROUP_INSERT = _insert_in_order("kept_group", "run", "size", "rank", "members", *_STATISTICS)
_DAY_INSERT = _insert_in_order(
    "group_day", "run", "size", "rank", "day_idx", "day", "buys", "hits", "pp", "weight", "tickers"
)
_STARTERS_SELECT = f"SELECT {', '.join(_STARTER)} FROM starter WHERE run = ? ORDER BY variation_idx"
_GROUPS_SELECT = "SELECT * FROM kept_group WHERE run = ? ORDER BY size, rank"
_DAYS_SELECT = "SELECT * FROM group_day WHERE run = ? ORDER BY size, rank, day_idx"


def _result_values(result: SearchResult) -> dict[str, Any]:
    """The columns of `run` that a result fills."""
    return {
        **{name: getattr(result, name) for name in _PLAIN},
        **{name: _json(getattr(result, name)) for name in (*_BY_SIZE, *_TUPLES)},
        "status": str(result.status),
        "rules": _json(result.rules.to_dict()),
        "tested_exact": int(result.tested_exact),
        "attempts": str(result.attempts),
        "n_kept": _json({size: len(groups) for size, groups in result.kept.items()}),
        "best_score": _json({size: groups[0].score if groups else None for size, groups in result.kept.items()}),
    }


# By type: how a field of `StarterRecord` becomes a value; those not named go as they are.
_STARTER_ENCODERS: dict[str, Callable[[Any], Any]] = {"dict[int, int]": _json, "tuple[int, ...]": _json, "StarterStatus": str}
_STARTER_FIELDS = tuple(
    (spec.name, str if spec.name == "attempts" else _STARTER_ENCODERS.get(str(spec.type))) for spec in fields(StarterRecord)
)


def _starter_rows(run: int, result: SearchResult) -> Iterator[tuple[Any, ...]]:
    for starter in result.starters:
        values = ((getattr(starter, name), encode) for name, encode in _STARTER_FIELDS)
        yield (run, *(encode(value) if encode else value for value, encode in values))


def _group_rows(run: int, result: SearchResult) -> Iterator[tuple[Any, ...]]:
    for size, groups in result.kept.items():
        for group in groups:
            members = _json([(member.algo, member.variation, member.variation_idx) for member in group.members])
            yield (run, size, group.rank, members, *(getattr(group, name) for name in _STATISTICS))


def _day_rows(run: int, result: SearchResult) -> Iterator[tuple[Any, ...]]:
    for size, groups in result.kept.items():
        for group in groups:
            for day_idx, (day, consensus) in enumerate(zip(group.days, group.consensus, strict=True)):
                values = (day.day, day.buys, day.hits, day.pp, day.weight, _json(consensus.tickers))
                yield (run, size, group.rank, day_idx, *values)


# --- rows to records -----------------------------------------------------------------------------------------------


def _by_size(text: str | None) -> dict[int, Any]:
    return {} if text is None else {int(size): value for size, value in json.loads(text).items()}


def _summary(row: sqlite3.Row) -> RunSummary:
    return RunSummary(
        **{name: row[name] for name in ("run_id", "started_at", "source", "budget_s", "elapsed_s", "coverage")},
        status=_status_now(row),
        attempts=None if row["attempts"] is None else int(row["attempts"]),
        n_kept=_by_size(row["n_kept"]),
        best_score=_by_size(row["best_score"]),
    )


def _result(row: sqlite3.Row, kept: dict[int, tuple[Group, ...]], starters: tuple[StarterRecord, ...]) -> SearchResult:
    return SearchResult(
        **{name: row[name] for name in ("run_id", *_PLAIN)},
        **{name: _by_size(row[name]) for name in _BY_SIZE},
        **{name: tuple(json.loads(row[name])) for name in _TUPLES},
        status=Status(row["status"]),
        rules=_rules(row["rules"]),
        tested_exact=bool(row["tested_exact"]),
        attempts=int(row["attempts"]),
        kept=kept,
        starters=starters,
    )


def _rules(text: str) -> Rules:
    try:
        return Rules.from_dict(json.loads(text))
    except InputError as error:
        raise ValueError(str(error)) from error


def _starter(row: sqlite3.Row) -> StarterRecord:
    values = dict(zip(_STARTER, row, strict=True))
    for name in ("tested", "eligible", "retained"):
        values[name] = _by_size(values[name])
    values["status"] = StarterStatus(values["status"])
    values["attempts"] = int(values["attempts"])
    values["cursor"] = tuple(json.loads(values["cursor"]))
    return StarterRecord(**values)


def _group(row: sqlite3.Row, days: list[sqlite3.Row]) -> Group:
    return Group(
        rank=row["rank"],
        members=tuple(Member(*member) for member in json.loads(row["members"])),
        days=tuple(DayStats(day["day"], day["buys"], day["hits"], day["pp"], day["weight"]) for day in days),
        consensus=tuple(DayConsensus(day["day"], tuple(json.loads(day["tickers"]))) for day in days),
        **{name: row[name] for name in _STATISTICS},
    )


# --- names ---------------------------------------------------------------------------------------------------------


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
