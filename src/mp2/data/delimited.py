"""Delimited text as a table: CSV files, packed or not, read in blocks of whole records."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mp2.data.packed import open_bytes
from mp2.data.tables import ColumnList, Rows, Table, library_errors
from mp2.data.text_layout import CSV_FAILURE, TextLayout, text_layout
from mp2.errors import InputError

_CSV_BLOCK_BYTES = 2 << 20
_CSV_RECORD_BYTES = 64 << 20
_MARKS = {",": "comma", ";": "semicolon", "\t": "tab"}


def csv_table(
    path: Path,
    *,
    has_header: bool = True,
) -> Table:
    """Open a CSV file, packed or not; without a header its columns are called 1, 2 and so on."""
    import polars as pl

    layout = text_layout(path, has_header=has_header)
    columns = layout.columns
    # As a header, polars would rename duplicates: a column is read by its number.
    header = layout.separator.join(map(str, range(len(columns)))).encode() + b"\n"

    def read(names: ColumnList) -> Rows:
        first_row = 1
        numbers = [str(columns.index(name)) for name in names]
        spaced = f'{layout.separator} "'.encode()
        for block in _csv_blocks(path, layout):
            records = block
            if layout.has_spaced_quotes:
                records = block.replace(spaced, spaced.replace(b" ", b""))
            # Blank lines at the end are not rows.
            text = (header + records).rstrip(b"\r\n") + b"\n"
            try:
                with library_errors(path, CSV_FAILURE):
                    # All as text: what a value means depends on its column, not on a guess.
                    rows = pl.read_csv(
                        io.BytesIO(text),
                        columns=numbers,
                        separator=layout.separator,
                        infer_schema=False,
                    )
            except InputError as error:
                fault = csv_fault(records, layout, first_row)
                if fault:
                    raise InputError(f"{path}: {fault}") from error
                raise
            rows = rows.select(numbers)
            rows.columns = list(names)
            yield rows
            first_row += rows.height

    # Where a semicolon separates fields, a comma separates decimals.
    decimal = "," if layout.separator == ";" else None
    return Table(
        str(path),
        columns,
        read,
        notes=layout.notes,
        likely_decimal=decimal,
    )


def csv_fault(
    records: bytes,
    layout: TextLayout,
    first_row: int,
) -> str | None:
    """Return what is wrong with the first faulty record of a block, with its row; None if unclear.

    Known faults: text that is not UTF-8, too many fields, a quote that is never closed.
    """
    try:
        text = records.decode()
    except UnicodeDecodeError as error:
        row = first_row + records.count(b"\n", 0, error.start)
        return f"row {row} is not UTF-8 text; save the file as UTF-8"
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=layout.separator)
    n_columns = len(layout.columns)
    mark = _MARKS.get(layout.separator, repr(layout.separator))
    row = first_row
    begin = 0
    # What Python's reader cannot parse either is left to the message of polars.
    with suppress(csv.Error):
        for fields in reader:
            if len(fields) > n_columns:
                return (
                    f"row {row} has {len(fields)} fields for {n_columns} columns; "
                    f"quote a field that holds a {mark}"
                )
            record = "".join(lines[begin : reader.line_num])
            if record.count('"') % 2:
                break
            begin = reader.line_num
            # Blank lines are not rows.
            row += bool(fields)
    if records.count(b'"') % 2:
        return f"row {row} has a quote that is never closed; close it"
    return None


def _csv_blocks(
    path: Path,
    layout: TextLayout,
) -> Iterator[bytes]:
    """Yield whole records, block by block, in UTF-8; at least one block."""
    with library_errors(path, CSV_FAILURE), open_bytes(path) as file:
        text: Any = file
        if not layout.encoding.startswith("utf-8"):
            text = codecs.EncodedFile(file, "utf-8", layout.encoding)
        for _ in range(layout.n_lines):
            text.readline()
        pending = b""
        is_empty = True
        while block := text.read(_CSV_BLOCK_BYTES):
            pending += block
            end = whole_records_end(pending)
            if end:
                is_empty = False
                yield pending[:end]
                pending = pending[end:]
            # A quote that is never closed would make one record of the rest of the file.
            elif len(pending) > _CSV_RECORD_BYTES:
                raise InputError(
                    f"{path}: a record longer than {_CSV_RECORD_BYTES >> 20} MB; "
                    "look for an unclosed quote"
                )
        # A file without records has columns all the same.
        if pending or is_empty:
            yield pending


def whole_records_end(text: bytes) -> int:
    """Return the length of the whole records in `text`: up to a line end outside quotes, or 0."""
    end = text.rfind(b"\n") + 1
    n_quotes = text.count(b'"', 0, end)
    # An odd number of quotes before a line end means that it is part of a quoted field.
    while end and n_quotes % 2:
        shorter = text.rfind(b"\n", 0, end - 1) + 1
        n_quotes -= text.count(b'"', shorter, end)
        end = shorter
    return end
