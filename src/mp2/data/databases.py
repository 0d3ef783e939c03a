"""A table or query of a SQLite or DuckDB file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from mp2.data.reading import Reading
from mp2.data.tables import ColumnList, Rows, Stop, Table, chosen_part, library_errors, series
from mp2.errors import InputError, MissingExtraError

LIBRARIES = {"sqlite": "SQLite", "duckdb": "DuckDB"}
"""The library of each kind of database."""

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
    reading: Reading,
) -> Iterator[Table]:
    """Open a table, or what a query selects, of a file of this kind, `sqlite` or `duckdb`."""
    import polars as pl

    if reading.table is not None and reading.query is not None:
        raise InputError(f"{path}: give table or query, not both")
    unreadable: tuple[str, ...] = (f"cannot be read as a {LIBRARIES[kind]} database",)
    with ExitStack() as opened:
        with library_errors(path, *unreadable):
            connection = opened.enter_context(closing(_connect(path, kind, reading.stop)))
            # One snapshot for all passes.
            connection.execute("BEGIN")
            if reading.query is None:
                names = _listed(connection, kind)
                name = chosen_part(
                    path,
                    names,
                    reading.table,
                    kind="database",
                    what="table",
                )
                identifier = name.replace('"', '""')
                statement = f'SELECT * FROM "{identifier}"'
                failure = unreadable
            else:
                statement = reading.query
                failure = ("the query fails", "give a SELECT that can be run on it")
        with library_errors(path, *failure):
            description = connection.cursor().execute(statement).description
        if description is None:
            raise InputError(f"{path}: the query returns no columns; give a SELECT")
        columns = tuple(entry[0] for entry in description)

        def read(names: ColumnList) -> Rows:
            with library_errors(path, *failure):
                cursor = connection.cursor().execute(statement)
                while rows := cursor.fetchmany(_SQLITE_ROWS):
                    values = list(zip(*rows, strict=True))
                    yield pl.DataFrame(
                        [series(name, values[columns.index(name)]) for name in names]
                    )

        yield Table(str(path), columns, read)


def database_tables(
    path: Path,
    kind: str,
) -> list[str]:
    """Return the tables and views of a database file."""
    with (
        library_errors(path, f"cannot be read as a {LIBRARIES[kind]} database"),
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
