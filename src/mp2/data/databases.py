"""A table or query of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from mp2.data.reading import Reading
from mp2.data.tables import ColumnList, Rows, Table, library_errors, series
from mp2.errors import InputError

# Names, days and prices are shorter: a longer text or blob is refused before it takes memory.
_SQLITE_VALUE_BYTES = 1 << 20
# Rows of Python objects: fewer than BATCH_ROWS stay in the processor's caches.
_SQLITE_ROWS = 1 << 14
# Instructions of a query between two checks of `stop`: some milliseconds.
_SQLITE_STEPS = 100_000


@contextmanager
def sqlite_table(
    path: Path,
    how: Reading,
) -> Iterator[Table]:
    """Open a table, or what a query selects, of a SQLite file."""
    import polars as pl

    table = how.table
    query = how.query
    stop = how.stop
    if table is not None and query is not None:
        raise InputError(f"{path}: give table or query, not both")
    # Read-only: reading must neither change a file nor create one.
    uri = f"{path.resolve().as_uri()}?mode=ro"
    reading = partial(
        library_errors,
        path,
        "cannot be read as a SQLite database",
    )
    with ExitStack() as opened:
        with reading():
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            opened.enter_context(closing(connection))
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SQLITE_VALUE_BYTES)
            if stop is not None:
                connection.set_progress_handler(stop.is_set, _SQLITE_STEPS)
            # One snapshot for all passes.
            connection.execute("BEGIN")
            statement = query or ""
            if query is None:
                identifier = choose_table(connection, path, table).replace('"', '""')
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
            description = connection.execute(statement).description
        if description is None:
            raise InputError(f"{path}: the query returns no columns; give a SELECT")
        columns = tuple(entry[0] for entry in description)

        def read(names: ColumnList) -> Rows:
            with reading():
                cursor = connection.execute(statement)
                while rows := cursor.fetchmany(_SQLITE_ROWS):
                    values = list(zip(*rows, strict=True))
                    yield pl.DataFrame(
                        [series(name, values[columns.index(name)]) for name in names]
                    )

        yield Table(str(path), columns, read, stop)


def choose_table(
    connection: sqlite3.Connection,
    path: Path,
    table: str | None,
) -> str:
    """Return the table or view to read: the named one, or the only one."""
    listing = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
    )
    names = [name for (name,) in listing]
    if not names:
        raise InputError(f"{path}: the database holds no table")
    if table is None and len(names) > 1:
        raise InputError(f"{path}: several tables; choose one with table: {', '.join(names)}")
    if table is not None and table not in names:
        raise InputError(f"{path}: no table {table!r}; it holds {', '.join(names)}")
    return table or names[0]
