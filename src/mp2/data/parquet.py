"""A Parquet or Feather file as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mp2._document import Names
from mp2.data.tables import BATCH_ROWS, ColumnList, Rows, Table, library_errors

_PARQUET_MAGIC = b"PAR1"
_PARQUET_END_BYTES = 8
_DAY_PERIODS = """'pandas.period', Int64, '{"freq": "D"}'"""


@contextmanager
def polars_table(path: Path, kind: str) -> Iterator[Table]:
    """Open a Parquet file, or a Feather file of version 2, which is an Arrow IPC file."""
    import polars as pl

    failure = f"cannot be read as a {kind.title()} file"
    # Opened here: to polars a name with a *, or that is no Unicode, means another file.
    with library_errors(path, failure):
        file = path.open("rb")
    with file:
        with library_errors(path, failure):
            if kind == "parquet":
                check_footer(file)
                scan = pl.scan_parquet(file)
            else:
                scan = pl.scan_ipc(file)
            columns = tuple(scan.collect_schema().names())
            n_rows = scan.select(pl.len()).collect().item()

        def read(names: ColumnList) -> Rows:
            for first in range(0, n_rows, BATCH_ROWS):
                with library_errors(path, failure):
                    batch = scan.select(names).slice(first, BATCH_ROWS).collect()
                # pandas writes periods as a type of its own; those of a day count like dates.
                days = [one for one in batch if _DAY_PERIODS in str(one.dtype)]
                yield batch.with_columns(one.to_physical().cast(pl.Date) for one in days)

        def index() -> Names:
            """Return the columns that pandas wrote an index to."""
            if kind != "parquet":
                return ()
            with path.open("rb") as file:
                metadata = pl.read_parquet_metadata(file)
            names = json.loads(metadata.get("pandas", "{}")).get("index_columns", ())
            # A plain row number is described instead of named.
            return tuple(name for name in names if isinstance(name, str))

        yield Table(str(path), columns, read, index=index)


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
