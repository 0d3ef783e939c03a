"""`sql`: the rows of any query that only reads, as candidates.

The query's columns: one of tickers, one of reasons (without it, the others are told as `name value`), one of priorities
(without it, the setting `priority`); all of the rest become the candidate's data. `:today` in a query is the day scanned for.

SQLite files are built in, given as a path or by any `sqlite` URL. They are opened for reading only, and an authorizer refuses
whatever is no reading: writes, schema changes, ATTACH, pragmas, extensions. Any other database goes through SQLAlchemy (extra
`sql`) and its driver, in a transaction that is declared as read-only where the database knows such, and never committed; there
the account's rights are the true guard.

It runs in a thread, not in a process of its own: every database here can be interrupted, and so is at the deadline and when the
scan is stopped. SQLite asks after some thousand steps of its machine; for others a second thread cancels the query through
the driver, or closes the connection where the driver cannot cancel. A driver that ignores even that costs one abandoned thread.
"""

from __future__ import annotations

import datetime
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from mp2._files import expanded
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.errors import InputError, MissingExtraError, SourceError

if TYPE_CHECKING:
    import sqlalchemy as sa

Value = str | int | float | bool | datetime.datetime | datetime.date | None


class Sql(Scanner):
    """Rows of a query. `offline`: it needs no HTTP, and with an SQLite file no network at all."""

    name, pipeline = "sql", "database"
    summary = "the rows of a query of your own"
    offline: ClassVar[bool] = True

    class Settings(ScannerSettings):
        """What to ask, and what the answer's columns mean.

        - `database`: path of an SQLite file, or a SQLAlchemy URL without a password (`postgresql+psycopg://me@host/quotes`).
        - `password_key`: the environment variable that holds the password.
        - `query`: one SELECT; `parameters`: values of its `:names`.
        - `ticker_column`, `context_column`, `priority_column`: their names, letter case does not count. `priority`: of rows
          without one.
        - `max_rows`: rows that are looked at, 1..1,000,000.
        """

        database: str | None = Field(default=None, min_length=1, strict=True)
        password_key: str | None = Field(
            default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", strict=True
        )
        query: str | None = Field(default=None, min_length=1, strict=True)
        parameters: dict[str, Value] = Field(default_factory=dict)
        ticker_column: str = Field(default="ticker", min_length=1, strict=True)
        context_column: str = Field(default="context", min_length=1, strict=True)
        priority_column: str = Field(default="priority", min_length=1, strict=True)
        priority: Literal["critical", "high", "medium", "low"] = "medium"
        max_rows: int = Field(default=10_000, ge=1, le=1_000_000, strict=True)

        @field_validator("database")
        @classmethod
        def _has_no_password(cls, database: str | None) -> str | None:
            if database is not None and _PASSWORD.search(database):
                raise ValueError(
                    "holds a password; put it into an environment variable and name that with password_key"
                )
            return database

    settings: Settings

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """One candidate per row, in the order of the query.

        Raises `SourceError`: `missing_key` without a database, a query or the password; `bad_request` for what the settings
        have to mend; `forbidden` for a query that does not only read; `unauthorized`; `unavailable` for a database that is
        locked or away; `bad_payload` for a damaged file; `timeout`. Raises `MissingExtraError` without SQLAlchemy.
        """
        settings = self.settings
        for name in ("database", "query"):
            if getattr(settings, name) is None:
                raise SourceError(
                    "missing_key",
                    f"no {name}; set {name} in [discovery.scanners.{context.scanner}]",
                )
        with _opened(settings, context) as (names, rows):
            columns = _Columns(names, settings)
            for number, row in enumerate(rows):
                if number == settings.max_rows:
                    context.logger.warning(
                        "the query gives more than max_rows = %d rows; the rest is not read", number
                    )
                    break
                context.check()
                yield columns.candidate(row, context)


_PASSWORD = re.compile(
    r"^[\w+.-]+://[^/?#@]*:[^@]+@|(?:password|passwd|pwd)\s*(?:=|%3d)", re.IGNORECASE
)

Answer = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""The names of a query's columns, and its rows."""


@contextmanager
def _opened(settings: Sql.Settings, context: ScanContext) -> Iterator[Answer]:
    path = _sqlite_path(settings.database or "")
    if path is None:
        with _other_database(settings, context) as answer:
            yield answer
    else:
        with _sqlite_file(path, settings, context) as answer:
            yield answer


_SQLITE_URL = re.compile(r"sqlite(?:\+\w*)?:///?", re.IGNORECASE)


def _sqlite_path(database: str) -> Path | None:
    """The file that a path or a URL of SQLite names, whatever its driver, None for another database.

    SQLAlchemy would make a file that is not there, and nothing would look at what a query does.
    """
    path = _SQLITE_URL.sub("", database, count=1) if _SQLITE_URL.match(database) else database
    try:
        return None if "://" in path else expanded(path)
    except InputError as error:
        raise SourceError("bad_request", f"database: {error}") from error


# --- rows to candidates ---------------------------------------------------------------------------------------------


class _Columns:
    """Which column of an answer is what. Raises `SourceError("bad_request")` when it has no tickers or a name twice."""

    def __init__(self, names: Sequence[str], settings: Sql.Settings) -> None:
        lower = [name.lower() for name in names]
        if twice := next((name for name in names if lower.count(name.lower()) > 1), None):
            raise SourceError(
                "bad_request", f"the query gives two columns {twice!r}; rename one with AS"
            )
        place = {name: idx for idx, name in enumerate(lower)}
        if settings.ticker_column.lower() not in place:
            have = f"it has {_listed(names)}; name the right one with ticker_column, or rename one with AS"
            raise SourceError(
                "bad_request", f"the query gives no column {settings.ticker_column!r}; {have}"
            )
        self._ticker = place[settings.ticker_column.lower()]
        self._context = place.get(settings.context_column.lower())
        self._priority = place.get(settings.priority_column.lower())
        self._usual_priority = settings.priority
        own = (self._ticker, self._context, self._priority)
        self._others = [(name, idx) for idx, name in enumerate(names) if idx not in own]

    def candidate(self, row: Sequence[Any], context: ScanContext) -> Candidate:
        """A row as a candidate; whether its ticker and priority are any is seen later."""
        data = {name: _json_value(row[idx]) for name, idx in self._others}
        reason = None if self._context is None else row[self._context]
        told = (
            ", ".join(f"{name} {value}" for name, value in data.items())
            if reason is None
            else str(reason)
        )
        urgency = None if self._priority is None else row[self._priority]
        priority = self._usual_priority if urgency is None else str(urgency).strip().lower()
        return context.candidate(
            _ticker(row[self._ticker]), told or "named by the query", priority, data or None
        )


def _ticker(value: Any) -> Any:
    """Text, also of the numbers that are tickers in Tokyo and Hong Kong."""
    return str(value) if isinstance(value, int) else value


def _json_value(value: Any) -> Any:
    """What a database gives as JSON: decimals as numbers, times as ISO text, what is no number as None, bytes by length."""
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(bytes(value))} bytes>"
    return str(value)


_N_LISTED = 12


def _listed(names: Sequence[str]) -> str:
    return (
        ", ".join(names[:_N_LISTED]) + (", ..." if len(names) > _N_LISTED else "")
        if names
        else "none"
    )


def _values(settings: Sql.Settings, context: ScanContext) -> dict[str, Any]:
    """The parameters; `today` comes with every query."""
    return {"today": context.today.isoformat(), **settings.parameters}


# --- SQLite ---------------------------------------------------------------------------------------------------------

_STEPS = 10_000
"""Of SQLite's machine, between two looks at the time: about a tenth of a millisecond."""

_BUSY_S = 2.0
"""How long a writer that has locked the file is waited for; SQLite cannot be interrupted meanwhile."""

_MAX_VALUE_BYTES = 10_000_000
"""The longest text a query may read or make."""

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_INSIDE_TABLES = {
    (
        sqlite3.SQLITE_UPDATE,
        "sqlite_master",
    ),  # so a virtual table's columns are made known; nothing is written
    *((sqlite3.SQLITE_PRAGMA, name) for name in ("data_version", "page_size")),
}
"""What full-text tables, `json_each` and their like ask for themselves, the pragmas without a value."""
_CODE_OR_ADDRESSES = ("load_extension", "fts3_tokenizer")
"""Functions that load code, or that give and take addresses of it."""
_TELLING_PRAGMAS = ("table_info", "table_xinfo", "table_list")
"""They tell about columns, also as functions in a query."""


@contextmanager
def _sqlite_file(path: Path, settings: Sql.Settings, context: ScanContext) -> Iterator[Answer]:
    if not path.is_file():
        raise SourceError(
            "bad_request",
            f"{path}: {'is no file' if path.exists() else 'no such file'}; set database",
        )
    with _sqlite_errors(path, context), closing(_read_only(path, context)) as connection:
        try:
            cursor = connection.execute(
                settings.query or "", _sqlite_values(_values(settings, context))
            )
        except sqlite3.OperationalError as error:
            if str(error).startswith(("no such column", "no such table")):
                raise SourceError(
                    "bad_request", f"{path}: {error}; it has {_tables(connection)}"
                ) from error
            raise
        if cursor.description is None:
            raise SourceError("bad_request", "the query gives no rows; it has to be a SELECT")
        yield [entry[0] for entry in cursor.description], cursor


def _read_only(path: Path, context: ScanContext) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro",
        uri=True,
        timeout=min(_BUSY_S, context.remaining_s() / 2),
        isolation_level=None,
    )
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")  # what a view or trigger may call
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(lambda: context.remaining_s() <= 0, _STEPS)
    return connection


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, inside: str | None
) -> int:
    """Whether a query may do that: read, and call functions that have to do with values alone."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = second not in _CODE_OR_ADDRESSES
    elif action == sqlite3.SQLITE_PRAGMA and second is not None:
        allowed = first in _TELLING_PRAGMAS
    else:
        allowed = action in _READING or (action, first) in _INSIDE_TABLES
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _sqlite_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime.date) else value
        for name, value in values.items()
    }


def _tables(connection: sqlite3.Connection) -> str:
    """`quotes (day, ticker, close), names (ticker, name)`."""
    listing = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
        "WHERE m.type IN ('table', 'view') AND substr(m.name, 1, 7) <> 'sqlite_' ORDER BY m.name, c.cid"
    )
    columns: dict[str, list[str]] = {}
    for table, column in listing:
        columns.setdefault(table, []).append(column)
    return _listed([f"{table} ({_listed(names)})" for table, names in columns.items()])


_SQLITE_CODES = {
    sqlite3.SQLITE_AUTH: ("forbidden", "the query may only read"),
    sqlite3.SQLITE_READONLY: ("forbidden", "the query may only read"),
    sqlite3.SQLITE_BUSY: ("unavailable", "another program has locked it"),
    sqlite3.SQLITE_LOCKED: ("unavailable", "another program has locked it"),
    sqlite3.SQLITE_IOERR: ("unavailable", "it cannot be read"),
    sqlite3.SQLITE_CANTOPEN: (
        "bad_request",
        "it cannot be opened; may it be read, and its folder?",
    ),
    sqlite3.SQLITE_PERM: ("bad_request", "it may not be read"),
    sqlite3.SQLITE_CORRUPT: ("bad_payload", "it is damaged"),
    sqlite3.SQLITE_NOTADB: ("bad_payload", "it is no SQLite database, or an encrypted one"),
    sqlite3.SQLITE_TOOBIG: (
        "bad_request",
        f"the query makes a value of more than {_MAX_VALUE_BYTES:,} bytes",
    ),
}
"""By SQLite's primary result code; anything else is for the query to mend."""


@contextmanager
def _sqlite_errors(path: Path, context: ScanContext) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise SourceError(
            "bad_request", f"parameters: {error}; SQLite takes whole numbers up to 64 bits"
        ) from error
    except sqlite3.Error as error:
        context.check()  # a query that was interrupted
        number = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if str(error).startswith(
            "not authorized"
        ):  # inside a function it is an error like any other
            number = sqlite3.SQLITE_AUTH
        code, what = _SQLITE_CODES.get(number, ("bad_request", ""))
        raise SourceError(code, f"{path}: {f'{what}: ' if what else ''}{error}") from error


# --- other databases ------------------------------------------------------------------------------------------------

_READ_ONLY = {
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
_LASTING = ("mariadb", "mysql", "postgresql")
"""Where it holds for the transactions that follow, and has to be committed to do so."""

_CONNECT_TIMEOUT = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
}
_CONNECT_TIMEOUT |= {
    "mysqldb": "connect_timeout",
    "mariadbconnector": "connect_timeout",
    "pg8000": "timeout",
}
_CONNECT_S = 10.0

_COMMENT = r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_SELECT = re.compile(rf"{_COMMENT}(?:SELECT|WITH|VALUES|TABLE|FROM)\b", re.IGNORECASE | re.DOTALL)


@contextmanager
def _other_database(settings: Sql.Settings, context: ScanContext) -> Iterator[Answer]:
    try:
        import sqlalchemy as sa
    except ImportError as missing:
        raise MissingExtraError("scanner sql, for anything but SQLite files,", "sql") from missing
    query = settings.query or ""
    if not _SELECT.match(query):
        raise SourceError(
            "forbidden", "the query may only read; it has to begin with SELECT or WITH"
        )
    with _database_errors(context):
        engine = _engine(settings, context)
        try:
            with engine.connect() as connection, _cancelled_in_time(connection, context):
                _declare_read_only(connection, context)
                statement = sa.text(query)
                given = _values(settings, context)
                values = {name: given[name] for name in statement.compile().params if name in given}
                streaming = connection.execution_options(stream_results=True, max_row_buffer=1000)
                with streaming.execute(statement, values) as result:
                    yield list(result.keys()), result
        finally:
            engine.dispose()


def _engine(settings: Sql.Settings, context: ScanContext) -> sa.Engine:
    """A connection for this scan alone; nothing of the password is in any message."""
    import sqlalchemy as sa

    url = sa.make_url(settings.database or "")
    if settings.password_key is not None:
        url = url.set(password=context.key(settings.password_key))
    limit = _CONNECT_TIMEOUT.get(url.get_driver_name())
    limit_s = math.ceil(min(_CONNECT_S, context.remaining_s()))
    return sa.create_engine(
        url,
        poolclass=sa.NullPool,
        hide_parameters=True,
        connect_args={} if limit is None else {limit: limit_s},
    )


def _declare_read_only(connection: sa.Connection, context: ScanContext) -> None:
    dialect = connection.dialect.name
    if dialect not in _READ_ONLY:
        context.logger.warning(
            "%s has no read-only transactions; the account's rights have to see to that", dialect
        )
        return
    connection.exec_driver_sql(_READ_ONLY[dialect])
    if dialect in _LASTING:
        connection.commit()


@contextmanager
def _cancelled_in_time(connection: sa.Connection, context: ScanContext) -> Iterator[None]:
    """Inside, the query ends when the time does."""
    done = threading.Event()
    driver = connection.connection.driver_connection

    def watch() -> None:
        while not done.wait(min(_LOOK_S, max(0.001, context.remaining_s()))):
            if context.remaining_s() <= 0:
                _cancel(driver)
                return

    threading.Thread(target=watch, name="mp2-scanner-sql-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


_LOOK_S = 0.05


def _cancel(driver: Any) -> None:
    """By what the driver has for that: psycopg and oracledb cancel, sqlite3 and duckdb interrupt."""
    for name in ("cancel", "interrupt", "close"):
        if callable(method := getattr(driver, name, None)):
            with suppress(
                Exception
            ):  # whatever a driver raises when the query ends at this very moment
                method()
            return


@contextmanager
def _database_errors(context: ScanContext) -> Iterator[None]:
    from sqlalchemy import exc

    try:
        yield
    except (exc.SQLAlchemyError, ImportError, OverflowError) as error:
        context.check()  # a query that was cancelled
        cause = getattr(error, "orig", None) or error
        reason = str(cause).strip().split("\n", 1)[0] or type(cause).__name__
        raise SourceError(_code(error, cause, reason), reason) from error


_UNAUTHORIZED = re.compile(
    r"authentication failed|access denied|login failed|ORA-01017|no password supplied",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"permission denied|read[- ]?only|not authorized|insufficient privilege|ORA-01031",
    re.IGNORECASE,
)


def _code(error: Exception, cause: BaseException, reason: str) -> str:
    from sqlalchemy import exc

    state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")
    if state.startswith("28") or _UNAUTHORIZED.search(reason):
        return "unauthorized"
    if state in ("42501", "25006") or _FORBIDDEN.search(reason):
        return "forbidden"
    away = isinstance(
        error, exc.OperationalError | exc.InterfaceError | exc.InternalError | exc.TimeoutError
    )
    return "unavailable" if away and not state.startswith(("42", "22")) else "bad_request"
