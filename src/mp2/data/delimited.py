"""Delimited text as a table: CSV files, packed or not, read in blocks of whole records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._document import Names
from mp2.data.packed import open_bytes
from mp2.data.tables import ColumnList, Rows, Table, library_errors
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_CSV_BLOCK_BYTES = 2 << 20
_CSV_RECORD_BYTES = 64 << 20
_CSV_HEADER_BYTES = 8 << 20

_CSV_FAILURE = "cannot be read as a CSV file"


def csv_table(
    path: Path,
    n_header_rows: int,
) -> Table:
    """Open a CSV file, packed or not."""
    # The header is read as rows: as a header, polars would rename duplicates.
    head = csv_head(path, n_header_rows)
    # Lines of nothing but commas have no column names either.
    if not any(any(cells) for cells in head):
        raise InputError(f"{path}: the file is empty; expected a header line with the column names")
    columns = head[0]
    if n_header_rows > 1:
        levels = zip(*head, strict=True)
        columns = tuple(str(tuple(filter(None, cells))) for cells in levels)

    def read(names: ColumnList) -> Rows:
        first_row = 1
        for header, records in _csv_blocks(path, n_header_rows):
            try:
                if n_header_rows == 1:
                    rows = _parse_csv(path, header + records, columns=names)
                elif records:
                    rows = _parse_csv(
                        path,
                        records,
                        has_header=False,
                        new_columns=columns,
                    )
                    rows = rows.select(names)
                else:
                    continue
            except InputError as error:
                fault = csv_fault(records, len(columns), first_row)
                if fault:
                    raise InputError(f"{path}: {fault}") from error
                raise
            yield rows
            first_row += rows.height

    return Table(str(path), columns, read)


def _parse_csv(path: Path, text: bytes, **options: Any) -> pl.DataFrame:
    import polars as pl

    # Blank lines at the end are not rows.
    trimmed = text.rstrip(b"\r\n") + b"\n"
    with library_errors(path, _CSV_FAILURE):
        # All as text: what a value means depends on its column, not on a guess from the first rows.
        return pl.read_csv(io.BytesIO(trimmed), infer_schema=False, **options)


def csv_fault(
    records: bytes,
    n_columns: int,
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
    reader = csv.reader(lines)
    row = first_row
    begin = 0
    # What Python's reader cannot parse either is left to the message of polars.
    with suppress(csv.Error):
        for fields in reader:
            if len(fields) > n_columns:
                return (
                    f"row {row} has {len(fields)} fields for {n_columns} columns; "
                    "quote a field that holds a comma"
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


def csv_head(
    path: Path,
    n_rows: int,
) -> list[Names]:
    """Return the first lines of a CSV file as text, fewer when the file is shorter.

    Raises `InputError` when the file cannot be read.
    """
    header, _ = next(_csv_blocks(path, n_rows), (b"", b""))
    if not header.strip():
        return []
    return _parse_csv(path, header, has_header=False).fill_null("").rows()


def _csv_blocks(
    path: Path,
    n_header_rows: int,
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the header lines with, block by block, whole records; the first block has none."""
    with library_errors(path, _CSV_FAILURE), open_bytes(path) as file:
        lines = [file.readline(_CSV_HEADER_BYTES) for _ in range(n_header_rows)]
        header = b"".join(lines)
        if len(header) >= _CSV_HEADER_BYTES:
            raise InputError(
                f"{path}: a header longer than {_CSV_HEADER_BYTES >> 20} MB; is this a CSV file?"
            )
        # A file without records has columns all the same.
        yield header, b""
        pending = b""
        while block := file.read(_CSV_BLOCK_BYTES):
            pending += block
            end = whole_records_end(pending)
            if end:
                yield header, pending[:end]
                pending = pending[end:]
            # A quote that is never closed would make one record of the rest of the file.
            elif len(pending) > _CSV_RECORD_BYTES:
                raise InputError(
                    f"{path}: a record longer than {_CSV_RECORD_BYTES >> 20} MB; "
                    "look for an unclosed quote"
                )
        if pending:
            yield header, pending


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
