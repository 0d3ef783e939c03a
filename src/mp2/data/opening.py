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
from mp2.data.databases import LIBRARIES, database_table, database_tables
from mp2.data.delimited import csv_table
from mp2.data.excel import excel_table, sheet_names
from mp2.data.folders import is_pattern, table_files, with_keys
from mp2.data.frames import frame_table
from mp2.data.headers import check_header
from mp2.data.json_lines import json_lines_table
from mp2.data.kinds import file_kind
from mp2.data.parquet import polars_table
from mp2.data.reading import AS_IT_IS, Reading
from mp2.data.tables import ColumnList, Rows, Table, raise_if_stopped
from mp2.errors import InputError, counted


@contextmanager
def open_table(
    source: Any,
    name: str,
    reading: Reading = AS_IT_IS,
) -> Iterator[Table]:
    """Open a file of a kind that `file_kind` knows, a folder of such files, or a frame.

    `name` stands for a frame in messages. `table` or `query` of the reading choose what to read
    from a database or workbook; its `stop` interrupts a query and ends the reading between two
    batches. Raises `InputError` when nothing can be read.
    """
    check_polars_runs()
    try:
        with ExitStack() as opened:
            if isinstance(source, str | os.PathLike):
                table = _table_at(expanded(source), reading, opened)
            else:
                _refuse_choice(name, reading)
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


def _table_at(
    path: Path,
    reading: Reading,
    opened: ExitStack,
) -> Table:
    if path.is_dir() or is_pattern(path):
        return _folder_table(path, reading)
    kind = file_kind(path)
    if kind in LIBRARIES:
        return opened.enter_context(database_table(path, kind, reading))
    if kind == "excel" and reading.query is None:
        return excel_table(path, reading.table)
    _refuse_choice(path, reading)
    if kind in ("parquet", "feather"):
        return opened.enter_context(polars_table(path, kind))
    if kind == "json lines":
        return json_lines_table(path)
    table = csv_table(path, has_header=reading.has_header)
    if not set(table.columns).intersection(reading.names.values()):
        check_header(table.name, table.columns)
    return table


def _refuse_choice(place: object, reading: Reading) -> None:
    if reading.table is not None or reading.query is not None:
        raise InputError(
            f"{place}: table is for databases and workbooks, query for databases; leave them out"
        )


def _folder_table(folder: Path, reading: Reading) -> Table:
    """Join the files of a folder, in the order of their paths, to one table."""
    files, others = table_files(folder)
    if others:
        others_text = counted(len(others), "file")
        raise InputError(
            f"{folder}: {others_text} of another kind than most, such as {others[0].name}; "
            f"give a pattern, such as *{files[0].path.suffix}"
        )
    with open_table(files[0].path, folder.name, reading) as opened:
        first = with_keys(opened, files[0].keys)
    parts: list[tuple[str, int]] = []

    def read(names: ColumnList) -> Rows:
        parts.clear()
        first_row = 1
        for file in files:
            with open_table(file.path, folder.name, reading) as opened:
                table = with_keys(opened, file.keys)
                for name in names:
                    if name not in table.columns:
                        raise InputError(
                            f"{file.path}: no column {name!r}, which {files[0].path} has; "
                            "the files of a folder are read as one table"
                        )
                parts.append((table.name, first_row))
                for batch in table.read(names):
                    yield batch
                    first_row += batch.height

    return replace(first, name=str(folder), read=read, parts=parts)


def table_names(path: Path, reading: Reading) -> list[str]:
    """Return the tables of a database or workbook when the reading chooses none; else nothing."""
    if reading.table is not None or reading.query is not None:
        return []
    kind = file_kind(path)
    if kind == "excel":
        return sheet_names(path)
    if kind in LIBRARIES:
        return database_tables(path, kind)
    return []
