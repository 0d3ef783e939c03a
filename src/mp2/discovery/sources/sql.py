"""`sql`: the rows of any query that only reads, as candidates.

The query's columns: one of tickers, one of reasons (without it, the others are listed as `name
value`), one of priorities (without it, the setting `priority`); all others become the candidate's
data. `:today` in a query is the day scanned for.

SQLite files are built in, given as a path or by any `sqlite` URL, and are opened read-only. Any
other database goes through SQLAlchemy (extra `sql`) and its driver, in a transaction that is
declared read-only where the database supports that, and never committed. There the rights of the
account are the real protection.

A query is cancelled at the scanner's deadline and when the scan is stopped. SQLite checks between
steps of its virtual machine; for others a second thread cancels the query through the driver, or
closes the connection where the driver cannot cancel. A driver that ignores even that costs one
abandoned thread.
"""

from __future__ import annotations

import datetime
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from mp2._document import Document
from mp2._files import expanded
from mp2._intervals import POLL_S
from mp2.discovery.candidates import one_line
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import FileText, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources._options import Text
from mp2.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    import sqlalchemy as sa

Value = str | int | float | bool | datetime.datetime | datetime.date | None

# The names of a query's columns, and its rows.
Result = tuple[Sequence[str], Iterable[Sequence[Any]]]

_PASSWORD = re.compile(
    r"^[\w+.-]+://[^/?#@]*:[^@]+@|(?:password|passwd|pwd)\s*(?:=|%3d)", re.IGNORECASE
)
_COMMENT = r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_SELECT = re.compile(rf"{_COMMENT}(?:SELECT|WITH|VALUES|TABLE|FROM)\b", re.IGNORECASE | re.DOTALL)


class Sql(Scanner):
    """Rows of a query. `offline`: it needs no HTTP, and with an SQLite file no network at all."""

    name = "sql"
    pipeline = "database"
    summary = "the rows of a query of your own"
    offline = True

    class Settings(ScannerSettings):
        """The query, and the meaning of its columns.

        - `database`: path of an SQLite file, or a SQLAlchemy URL without a password
          (`postgresql+psycopg://me@host/quotes`).
        - `password_key`: the environment variable that holds the password.
        - `query`: one SELECT; `parameters`: values of its `:names`.
        - `ticker_column`, `context_column`, `priority_column`: their names, in any letter case.
        - `priority`: of rows without one.
        - `max_rows`: rows that are read, 1..1,000,000.
        """

        model_config = ConfigDict(strict=True)

        database: FileText = ""
        password_key: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
        query: str = ""
        parameters: dict[str, Value] = Field({})
        ticker_column: Text = "ticker"
        context_column: Text = "context"
        priority_column: Text = "priority"
        priority: Literal["critical", "high", "medium", "low"] = "medium"
        max_rows: int = Field(10_000, ge=1, le=1_000_000)

        @field_validator("database")
        @classmethod
        def _has_no_password(cls, database: str) -> str:
            if _PASSWORD.search(database):
                raise ValueError(
                    "contains a password; "
                    "put it into an environment variable and name that with password_key"
                )
            return database

    settings: Settings

    @classmethod
    def needed_keys(cls, settings: Settings) -> tuple[str, ...]:
        """Return the variable of the password, if there is one."""
        if settings.password_key is None:
            return ()
        return (settings.password_key,)

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Yield one candidate per row, in the order of the query.

        Raises `SourceError`: `missing_key` without a database, a query or the password;
        `bad_request` for settings to correct; `forbidden` for a query that does not only read;
        `unauthorized`; `unavailable` for a database that is locked or cannot be reached;
        `bad_payload` for a damaged file; `timeout`. Raises `MissingExtraError` without SQLAlchemy.
        """
        settings = self.settings
        for name in ("database", "query"):
            if not getattr(settings, name):
                raise SourceError(
                    "missing_key",
                    f"no {name}; set {name} in [discovery.scanners.{context.scanner}]",
                )
        # A DELETE by mistake gets the same message from every database.
        if not _SELECT.match(settings.query):
            raise SourceError(
                "forbidden", "the query may only read; it has to begin with SELECT or WITH"
            )
        path = sqlite_path(settings.database)
        if path is None:
            opened = other_database(settings, context)
        else:
            opened = sqlite_file(path, settings, context)
        with opened as (columns, rows):
            check_columns(columns, settings)
            for number, row in enumerate(rows):
                if number == settings.max_rows:
                    context.logger.warning("only max_rows = %d rows of the query are read", number)
                    break
                context.check()
                yield self._candidate(context, dict(zip(columns, row, strict=True)))

    def _candidate(
        self,
        context: ScanContext,
        values: Document,
    ) -> Candidate:
        settings = self.settings
        ticker = take(values, settings.ticker_column)
        if isinstance(ticker, int):  # tickers in Tokyo and Hong Kong are numbers
            ticker = str(ticker)
        reason = take(values, settings.context_column)
        priority = take(values, settings.priority_column) or settings.priority
        data = {name: json_value(value) for name, value in values.items()}
        if reason is None:
            reason = ", ".join(f"{name} {value}" for name, value in data.items())
        reason = str(reason) or "named by the query"
        return context.candidate(
            ticker,
            reason,
            str(priority).strip().lower(),
            data or None,
        )


def check_columns(columns: Sequence[str], settings: Sql.Settings) -> None:
    """Raise `SourceError("bad_request")` without tickers, and when a name occurs twice."""
    names = [column.lower() for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise SourceError(
                "bad_request", f"the query has two columns {name!r}; rename one with AS"
            )
    if settings.ticker_column.lower() not in names:
        raise SourceError(
            "bad_request",
            f"the query has no column {settings.ticker_column!r}, only {listing(columns)}; "
            "name the right one with ticker_column, or rename one with AS",
        )


def take(values: Document, column: str) -> Any:
    """Remove a column, in any letter case, and return its value; None when there is none."""
    for name in values:
        if name.lower() == column.lower():
            return values.pop(name)
    return None


def json_value(value: Any) -> Any:
    """Return a value of a database as JSON.

    Decimals become numbers, times ISO text, NaN and infinities None, bytes their length.
    """
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return str(value)


def listing(names: Sequence[str]) -> str:
    """Return the names in one line, cut at 300 characters."""
    return one_line(", ".join(names), 300) or "none"


def query_values(settings: Sql.Settings, context: ScanContext) -> Document:
    """Return the parameters; every query may use `today`."""
    return {"today": context.today.isoformat(), **settings.parameters}


def with_texts_for_dates(values: Document) -> Document:
    """Return the parameters for SQLite, which has no dates: its module's own adapter will go."""
    return {
        name: value.isoformat() if isinstance(value, datetime.date) else value
        for name, value in values.items()
    }


# --- SQLite ---------------------------------------------------------------------------------------

# Steps of SQLite's virtual machine between two checks of the deadline: about 0.1 ms.
_STEPS = 10_000

# How long to wait for a writer that has locked the file; SQLite cannot be interrupted meanwhile.
_BUSY_S = 2.0

# By SQLite's primary result code; any other is an error in the query.
_SQLITE_CODES = {
    sqlite3.SQLITE_READONLY: "forbidden",
    sqlite3.SQLITE_BUSY: "unavailable",
    sqlite3.SQLITE_LOCKED: "unavailable",
    sqlite3.SQLITE_IOERR: "unavailable",
    sqlite3.SQLITE_CORRUPT: "bad_payload",
    sqlite3.SQLITE_NOTADB: "bad_payload",
}


def sqlite_path(database: str) -> Path | None:
    """Return the file that a path or an SQLite URL with any driver names, None for other databases.

    SQLAlchemy would create a missing file, and open it for writing.
    """
    path = re.sub(r"^sqlite(\+\w*)?:///?", "", database, flags=re.IGNORECASE)
    if "://" in path:
        return None
    return expanded(path)


@contextmanager
def sqlite_file(
    path: Path,
    settings: Sql.Settings,
    context: ScanContext,
) -> Iterator[Result]:
    """Run the query on an SQLite file. Raises `SourceError`, also while rows are read."""
    if not path.is_file():
        raise SourceError(
            "bad_request",
            f"{path}: no such file; set database",
        )
    values = with_texts_for_dates(query_values(settings, context))
    try:
        with closing(connect_read_only(path, context)) as connection:
            cursor = connection.execute(settings.query, values)
            yield [entry[0] for entry in cursor.description], cursor
    except sqlite3.Error as error:
        context.check()  # a query that was interrupted
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        code = _SQLITE_CODES.get(primary_code, "bad_request")
        problem = f"{path}: {error}"
        if str(error) == "not authorized":  # for load_extension, which is off
            code = "forbidden"
        elif str(error).startswith(("no such column", "no such table")):
            problem += f"; it has {tables_of(path, context)}"
        raise SourceError(code, problem) from error


def connect_read_only(path: Path, context: ScanContext) -> sqlite3.Connection:
    """Open a file for reading; its queries end at the deadline."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro",
        uri=True,
        timeout=min(_BUSY_S, context.remaining_s() / 2),
        isolation_level=None,
    )
    # A text that is not UTF-8 must not end the scan.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.set_progress_handler(lambda: context.remaining_s() <= 0, _STEPS)
    return connection


def tables_of(path: Path, context: ScanContext) -> str:
    """Return `quotes (day, ticker, close), names (ticker, name)`. Raises sqlite3.Error."""
    columns: dict[str, list[str]] = {}
    with closing(connect_read_only(path, context)) as connection:
        for table, column in connection.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%' "
            "ORDER BY m.name, c.cid"
        ):
            columns.setdefault(table, []).append(column)
    return listing([f"{table} ({listing(names)})" for table, names in columns.items()])


# --- other databases ------------------------------------------------------------------------------

# By SQLAlchemy's dialect.
_READ_ONLY = {
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}

_UNAUTHORIZED = re.compile(
    r"authentication failed|access denied|login failed|ORA-01017|no password supplied",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"permission denied|read[- ]?only|not authorized|insufficient privilege|ORA-01031",
    re.IGNORECASE,
)


@contextmanager
def other_database(settings: Sql.Settings, context: ScanContext) -> Iterator[Result]:
    """Run the query through SQLAlchemy. Raises `SourceError`, also while rows are read."""
    try:
        import sqlalchemy as sa
    except ImportError as missing:
        raise MissingExtraError("scanner sql, for anything but SQLite files,", "sql") from missing
    with database_errors(context):
        url = sa.make_url(settings.database)
        if settings.password_key is not None:
            url = url.set(password=context.key(settings.password_key))
        # An engine for this scan alone; its messages do not show parameters.
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        with engine.connect() as connection, cancelled_at_deadline(connection, context):
            dialect = connection.dialect.name
            if dialect in _READ_ONLY:
                connection.exec_driver_sql(_READ_ONLY[dialect])
            else:
                context.logger.warning(
                    "%s has no read-only transactions; use an account that may only read", dialect
                )
            # SET SESSION concerns the transactions that follow.
            if "SESSION" in _READ_ONLY.get(dialect, ""):
                connection.commit()
            statement = sa.text(settings.query)
            given = query_values(settings, context)
            if dialect == "sqlite":
                given = with_texts_for_dates(given)
            # SQLAlchemy rejects parameters that the query does not use.
            values = {name: given[name] for name in statement.compile().params if name in given}
            streaming = connection.execution_options(stream_results=True, max_row_buffer=1000)
            with streaming.execute(statement, values) as result:
                yield list(result.keys()), result


@contextmanager
def cancelled_at_deadline(connection: sa.Connection, context: ScanContext) -> Iterator[None]:
    """Cancel the query that runs inside at the scanner's deadline."""
    done = threading.Event()
    driver = connection.connection.driver_connection

    def watch() -> None:
        try:
            context.deadline.wait(done)
        except SourceError:
            # Again and again: a cancellation before the statement has begun is lost.
            while not done.is_set():
                cancel(driver)
                done.wait(POLL_S)

    threading.Thread(target=watch, name="mp2-scanner-sql-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def cancel(driver: Any) -> None:
    """Cancel a query: psycopg and oracledb have `cancel`, sqlite3 and duckdb `interrupt`."""
    for name in ("cancel", "interrupt", "close"):
        method = getattr(driver, name, None)
        if method is not None:
            # Drivers raise errors of their own when the query ends at this moment.
            with suppress(Exception):
                method()
            return


@contextmanager
def database_errors(context: ScanContext) -> Iterator[None]:
    """Raise `SourceError` for the errors of SQLAlchemy and the drivers.

    The code follows from SQLSTATE, from the driver's message, or from the class of the error.
    """
    from sqlalchemy import exc

    try:
        yield
    except (exc.SQLAlchemyError, ImportError) as error:
        context.check()  # a query that was cancelled
        cause = getattr(error, "orig", None) or error
        reason = str(cause).strip().split("\n", 1)[0] or type(cause).__name__
        # psycopg has `sqlstate`, psycopg2 has `pgcode`.
        state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None))
        code = "bad_request"
        if state.startswith("28") or _UNAUTHORIZED.search(reason):
            code = "unauthorized"
        elif state in ("42501", "25006") or _FORBIDDEN.search(reason):
            code = "forbidden"
        # 42: wrong SQL; 22: wrong data. Both also come as OperationalError.
        elif not state.startswith(("42", "22")) and isinstance(
            error,
            exc.OperationalError | exc.InterfaceError | exc.InternalError | exc.TimeoutError,
        ):
            code = "unavailable"
        raise SourceError(code, reason) from error
