"""A table or query of a SQLite or DuckDB file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mp2.data.reading import Reading
from mp2.data.tables import ColumnList, Rows, Stop, Table, library_errors, series
from mp2.errors import InputError, MissingExtraError

_NAMES = {"sqlite": "SQLite", "duckdb": "DuckDB"}
_LISTINGS = {
    "sqlite": (
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
    ),
    "duckdb": (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' "
        "AND table_catalog = current_database() ORDER BY table_name"
    ),
}
# Names, days and prices are shorter: a longer text or blob is refused before it takes memory.
_SQLITE_VALUE_BYTES = 1 << 20
# Rows of Python objects: fewer than BATCH_ROWS stay in the processor's caches.
_SQLITE_ROWS = 1 << 14
# Instructions of a query between two checks of `stop`: some milliseconds.
_SQLITE_STEPS = 100_000


@contextmanager
def database_table(
    path: Path,
    kind: str,
    how: Reading,
) -> Iterator[Table]:
    """Open a table, or what a query selects, of a file of this kind, `sqlite` or `duckdb`."""
    import polars as pl

    query = how.query
    if how.table is not None and query is not None:
        raise InputError(f"{path}: give table or query, not both")
    reading = partial(
        library_errors,
        path,
        f"cannot be read as a {_NAMES[kind]} database",
    )
    with ExitStack() as opened:
        with reading():
            connection = opened.enter_context(closing(_connect(path, kind, how.stop)))
            # One snapshot for all passes.
            connection.execute("BEGIN")
            statement = query or ""
            if query is None:
                identifier = choose_table(connection, path, kind, how.table).replace('"', '""')
                statement = f'SELECT * FROM "{identifier}"'
        if query is not None:
            remedy = "give a SELECT that can be run on it"
            reading = partial(
                library_errors,
                path,
                "the query fails",
                remedy,
            )
        with reading():
            description = connection.cursor().execute(statement).description
        if description is None:
            raise InputError(f"{path}: the query returns no columns; give a SELECT")
        columns = tuple(entry[0] for entry in description)

        def read(names: ColumnList) -> Rows:
            with reading():
                cursor = connection.cursor().execute(statement)
                while rows := cursor.fetchmany(_SQLITE_ROWS):
                    values = list(zip(*rows, strict=True))
                    yield pl.DataFrame(
                        [series(name, values[columns.index(name)]) for name in names]
                    )

        yield Table(str(path), columns, read, how.stop)


def database_tables(
    path: Path,
    kind: str,
) -> list[str]:
    """Return the tables and views of a database file."""
    with (
        library_errors(path, f"cannot be read as a {_NAMES[kind]} database"),
        closing(_connect(path, kind, None)) as connection,
    ):
        return _listed(connection, kind)


def _connect(
    path: Path,
    kind: str,
    stop: Stop,
) -> Any:
    """Connect for reading only: that must neither change a file nor create one."""
    if kind == "duckdb":
        try:
            import duckdb
        except ImportError as missing:
            raise MissingExtraError(f"{path}: a DuckDB file", "sql") from missing
        return duckdb.connect(path, read_only=True)
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SQLITE_VALUE_BYTES)
    if stop is not None:
        connection.set_progress_handler(stop.is_set, _SQLITE_STEPS)
    return connection


def _listed(connection: Any, kind: str) -> list[str]:
    return [name for (name,) in connection.execute(_LISTINGS[kind]).fetchall()]


def choose_table(
    connection: Any,
    path: Path,
    kind: str,
    table: str | None,
) -> str:
    """Return the table or view to read: the named one, or the only one."""
    names = _listed(connection, kind)
    if not names:
        raise InputError(f"{path}: the database holds no table")
    if table is None and len(names) > 1:
        raise InputError(f"{path}: several tables; choose one with table: {', '.join(names)}")
    if table is not None and table not in names:
        raise InputError(f"{path}: no table {table!r}; it holds {', '.join(names)}")
    return table or names[0]
