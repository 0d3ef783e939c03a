"""JSON lines as a table: one record a line, packed or not, read in blocks of whole lines."""

from __future__ import annotations

import io
from pathlib import Path

from mp2.data.packed import open_bytes
from mp2.data.tables import ColumnList, Rows, Table, library_errors

_BLOCK_BYTES = 2 << 20


def json_lines_table(path: Path) -> Table:
    """Open a file of JSON lines; its columns are those of the first block."""
    import polars as pl

    def blocks() -> Rows:
        with library_errors(path, "cannot be read as JSON lines"), open_bytes(path) as file:
            while lines := file.readlines(_BLOCK_BYTES):
                block = io.BytesIO(b"".join(lines))
                yield pl.read_ndjson(block, infer_schema_length=None)

    def read(names: ColumnList) -> Rows:
        for block in blocks():
            # Records leave out what they do not have.
            absent = [pl.lit(None).alias(name) for name in names if name not in block.columns]
            yield block.with_columns(absent).select(names)

    first = next(blocks(), pl.DataFrame())
    return Table(str(path), tuple(first.columns), read)
