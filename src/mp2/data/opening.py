"""Open any source as a table: the kind of a file by its name, and each kind by its own reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mp2._files import expanded
from mp2.data.databases import sqlite_table
from mp2.data.delimited import csv_table
from mp2.data.frames import frame_table
from mp2.data.parquet import parquet_table
from mp2.data.reading import Reading
from mp2.data.tables import Table, raise_if_stopped
from mp2.errors import InputError

_DEFAULT = Reading()


@contextmanager
def open_table(
    source: Any,
    name: str,
    reading: Reading = _DEFAULT,
    *,
    n_header_rows: int = 1,
) -> Iterator[Table]:
    """Open a path (Parquet, CSV, CSV.gz, SQLite) or any frame that narwhals knows.

    `name` stands for a frame in messages. `table` or `query` of the reading choose what to read
    from a SQLite file; its `stop` interrupts a query and ends the reading between two batches.
    The columns of a CSV file with several `n_header_rows` are called by the text of a tuple of the
    header's cells, `"('Close', 'AAPL')"`. Raises `InputError` when nothing can be read.
    """
    try:
        is_path = isinstance(source, str | os.PathLike)
        path = expanded(source) if is_path else Path()
        kind = file_kind(path) if is_path else "frame"
        if kind == "sqlite":
            with sqlite_table(path, reading) as opened:
                yield opened
            return
        if reading.table is not None or reading.query is not None:
            place = path if is_path else name
            raise InputError(f"{place}: table and query are for SQLite files; leave them out")
        if kind == "parquet":
            opened = parquet_table(path)
        elif kind == "csv":
            opened = csv_table(path, n_header_rows)
        else:
            opened = frame_table(source, name)
        yield replace(opened, stop=reading.stop)
    except InputError:
        # A query that `stop` has interrupted fails.
        raise_if_stopped(reading.stop, name)
        raise


_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}


def file_kind(path: Path) -> str:
    """Return the kind of a file by its name; raises `InputError` for what cannot be a table."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name a file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(
            f"{path}: is a pipe or device, and a table is read twice; save it as a file first"
        )
    for suffix, kind in _KINDS.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise InputError(f"{path}: unknown kind of file; expected one of {', '.join(_KINDS)}")
