"""A Parquet file as a table."""

from __future__ import annotations

import os
from pathlib import Path

from mp2.data.tables import BATCH_ROWS, ColumnList, Rows, Table, library_errors

_PARQUET_MAGIC = b"PAR1"
_PARQUET_END_BYTES = 8


def parquet_table(path: Path) -> Table:
    """Open a Parquet file."""
    import polars as pl

    def read(names: ColumnList) -> Rows:
        for first in range(0, n_rows, BATCH_ROWS):
            with library_errors(path, failure):
                batch = scan.select(names).slice(first, BATCH_ROWS).collect()
            yield batch

    failure = "cannot be read as a Parquet file"
    with library_errors(path, failure):
        check_footer(path)
        # Without `glob` a path with a * or a [ is the name of one file.
        scan = pl.scan_parquet(path, glob=False)
        columns = scan.collect_schema().names()
        n_rows = scan.select(pl.len()).collect().item()
    return Table(str(path), tuple(columns), read)


def check_footer(path: Path) -> None:
    """Raise EOFError when the length at the end of the file is more than the file has.

    Polars may take the memory that a damaged footer claims, and aborts when there is not enough.
    """
    with path.open("rb") as file:
        n_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, n_bytes - _PARQUET_END_BYTES))
        end = file.read()
    footer_bytes = int.from_bytes(end[:4], "little")
    # The magic number is at the beginning of the file as well. Polars reports where it is missing.
    most_bytes = n_bytes - _PARQUET_END_BYTES - len(_PARQUET_MAGIC)
    if end.endswith(_PARQUET_MAGIC) and footer_bytes > most_bytes:
        raise EOFError("its footer is damaged")
