"""A Parquet or Feather file as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mp2._document import Names
from mp2.data.tables import BATCH_ROWS, ColumnList, Rows, Table, library_errors

if TYPE_CHECKING:
    import polars as pl

_PARQUET_MAGIC = b"PAR1"
_PARQUET_END_BYTES = 8
_DAY_PERIODS = """'pandas.period', Int64, '{"freq": "D"}'"""


@contextmanager
def parquet_table(path: Path) -> Iterator[Table]:
    """Open a Parquet file."""
    import polars as pl

    failure = "cannot be read as a Parquet file"
    with _opened(path, failure) as file:
        with library_errors(path, failure):
            check_footer(file)
            scan = pl.scan_parquet(file)
        table = _scanned(path, scan, failure)
        yield replace(table, index=partial(_pandas_index, path))


@contextmanager
def feather_table(path: Path) -> Iterator[Table]:
    """Open a Feather file of version 2, which is an Arrow IPC file."""
    import polars as pl

    failure = "cannot be read as a Feather file"
    with _opened(path, failure) as file:
        with library_errors(path, failure):
            scan = pl.scan_ipc(file)
        yield _scanned(path, scan, failure)


def _opened(path: Path, failure: str) -> IO[bytes]:
    """Open a file for polars, to which a name with a *, or that is no Unicode, means another."""
    with library_errors(path, failure):
        return path.open("rb")


def _scanned(path: Path, scan: pl.LazyFrame, failure: str) -> Table:
    import polars as pl

    def read(names: ColumnList) -> Rows:
        for first in range(0, n_rows, BATCH_ROWS):
            with library_errors(path, failure):
                batch = scan.select(names).slice(first, BATCH_ROWS).collect()
            # pandas writes periods as a type of its own; those of a day are counted like dates.
            days = [one for one in batch if _DAY_PERIODS in str(one.dtype)]
            yield batch.with_columns(one.to_physical().cast(pl.Date) for one in days)

    with library_errors(path, failure):
        columns = scan.collect_schema().names()
        n_rows = scan.select(pl.len()).collect().item()
    return Table(str(path), tuple(columns), read)


def _pandas_index(path: Path) -> Names:
    """Return the columns that pandas wrote an index to."""
    import polars as pl

    with path.open("rb") as file:
        metadata = pl.read_parquet_metadata(file).get("pandas")
    if metadata is None:
        return ()
    # A plain row number is described instead of named.
    index = json.loads(metadata)["index_columns"]
    return tuple(name for name in index if isinstance(name, str))


def check_footer(file: IO[bytes]) -> None:
    """Raise EOFError when the length at the end of the file is more than the file has.

    Polars may take the memory that a damaged footer claims, and aborts when there is not enough.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, n_bytes - _PARQUET_END_BYTES))
    end = file.read()
    file.seek(0)
    footer_bytes = int.from_bytes(end[:4], "little")
    # The magic number is at the beginning of the file as well. Polars reports where it is missing.
    most_bytes = n_bytes - _PARQUET_END_BYTES - len(_PARQUET_MAGIC)
    if end.endswith(_PARQUET_MAGIC) and footer_bytes > most_bytes:
        raise EOFError("its footer is damaged")
