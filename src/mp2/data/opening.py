"""Open any source as a table, each kind of file by its own reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mp2._files import expanded
from mp2._process import check_polars_runs
from mp2.data.databases import database_table, database_tables
from mp2.data.delimited import csv_table
from mp2.data.excel import excel_table, sheet_names
from mp2.data.frames import frame_table
from mp2.data.headers import check_header
from mp2.data.json_lines import json_lines_table
from mp2.data.kinds import file_kind
from mp2.data.parquet import feather_table, parquet_table
from mp2.data.reading import AS_IT_IS, Reading
from mp2.data.tables import Table, raise_if_stopped
from mp2.errors import InputError


@contextmanager
def open_table(
    source: Any,
    name: str,
    reading: Reading = AS_IT_IS,
) -> Iterator[Table]:
    """Open a path, of a kind that `file_kind` knows, or any frame that narwhals knows.

    `name` stands for a frame in messages. `table` or `query` of the reading choose what to read
    from a database or workbook; its `stop` interrupts a query and ends the reading between two
    batches. Raises `InputError` when nothing can be read.
    """
    check_polars_runs()
    try:
        with ExitStack() as opened:
            is_path = isinstance(source, str | os.PathLike)
            path = expanded(source) if is_path else Path()
            kind = file_kind(path) if is_path else "frame"
            if kind in ("sqlite", "duckdb"):
                table = opened.enter_context(database_table(path, kind, reading))
            elif kind == "excel" and reading.query is None:
                table = excel_table(path, reading.table)
            elif reading.table is not None or reading.query is not None:
                place = path if is_path else name
                raise InputError(
                    f"{place}: table is for databases and workbooks, query for databases; "
                    "leave them out"
                )
            elif kind == "parquet":
                table = opened.enter_context(parquet_table(path))
            elif kind == "feather":
                table = opened.enter_context(feather_table(path))
            elif kind == "json lines":
                table = json_lines_table(path)
            elif kind == "csv":
                table = csv_table(path, has_header=reading.has_header)
                if not set(table.columns).intersection(reading.names.values()):
                    check_header(table.name, table.columns)
            else:
                table = frame_table(source, name)
            yield replace(
                table,
                stop=reading.stop,
                timezone=reading.timezone,
                date_format=reading.date_format,
                decimal=reading.decimal,
            )
    except InputError:
        # A query that `stop` has interrupted fails.
        raise_if_stopped(reading.stop, name)
        raise


def table_names(path: Path, reading: Reading) -> list[str]:
    """Return the tables of a database or workbook when the reading chooses none; else nothing."""
    if reading.table is not None or reading.query is not None:
        return []
    kind = file_kind(path)
    if kind == "excel":
        return sheet_names(path)
    if kind in ("sqlite", "duckdb"):
        return database_tables(path, kind)
    return []
