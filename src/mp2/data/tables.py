"""Any source of signals, outcomes or bars as rows in small polars frames.

`open_table` gives a `Table`: a name for messages, the column names, and rows that can be read any
number of times, a batch at a time, so that the memory needed does not grow with the source. Every
error of a library on an unreadable source is raised as `InputError`.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._document import Names
from mp2._files import expanded
from mp2.errors import InputError, ReadStoppedError

# Polars is imported where it is used: that takes longer than starting the program.
if TYPE_CHECKING:
    import polars as pl

# Rows of a batch: many enough to amortise a call, few enough to take some ten megabytes.
BATCH_ROWS = 1 << 16

_CSV_BLOCK_BYTES = 2 << 20
_CSV_RECORD_BYTES = 64 << 20
_CSV_HEADER_BYTES = 8 << 20
# Names, days and prices are shorter: a longer text or blob is refused before it takes memory.
_SQLITE_VALUE_BYTES = 1 << 20
# Rows of Python objects: fewer than BATCH_ROWS stay in the processor's caches.
_SQLITE_ROWS = 1 << 14
# Instructions of a query between two checks of `stop`: some milliseconds.
_SQLITE_STEPS = 100_000

_CSV_FAILURE = "cannot be read as a CSV file"
_PARQUET_MAGIC = b"PAR1"
_PARQUET_END_BYTES = 8

ColumnList = Sequence[str]
Rows = Iterator["pl.DataFrame"]
# Set by another thread, to end the work.
Stop = threading.Event | None
# Called with what is done, and the total.
Observe = Callable[[int, int], None] | None


@dataclass(frozen=True, slots=True)
class Table:
    """A source ready to be read.

    `read(names)` yields its rows in stored order, restricted to the named columns; `batches` raises
    `ReadStoppedError` once `stop` is set.
    """

    name: str
    columns: Names
    read: Callable[[ColumnList], Rows]
    stop: Stop = None

    def batches(self, names: ColumnList) -> Rows:
        """Yield what `read` yields, until the reading is stopped."""
        for batch in self.read(names):
            # Between two batches, since a library's call cannot be interrupted.
            raise_if_stopped(self.stop, self.name)
            yield batch


@contextmanager
def open_table(
    source: Any,
    name: str,
    *,
    table: str | None = None,
    query: str | None = None,
    n_header_rows: int = 1,
    stop: Stop = None,
) -> Iterator[Table]:
    """Open a path (Parquet, CSV, CSV.gz, SQLite) or any frame that narwhals knows.

    `name` stands for a frame in messages. `table` or `query` choose what to read from a SQLite
    file; `stop` interrupts a query and ends the reading between two batches. The columns of a CSV
    file with several `n_header_rows` are called by the text of a tuple of the header's cells,
    `"('Close', 'AAPL')"`. Raises `InputError` when nothing can be read.
    """
    try:
        is_path = isinstance(source, str | os.PathLike)
        path = expanded(source) if is_path else Path()
        kind = file_kind(path) if is_path else "frame"
        if kind == "sqlite":
            with sqlite_table(path, table, query, stop) as opened:
                yield opened
            return
        if table is not None or query is not None:
            place = path if is_path else name
            raise InputError(f"{place}: table and query are for SQLite files; leave them out")
        if kind == "parquet":
            opened = parquet_table(path)
        elif kind == "csv":
            opened = csv_table(path, n_header_rows)
        else:
            opened = frame_table(source, name)
        yield replace(opened, stop=stop)
    except InputError:
        # A query that `stop` has interrupted fails.
        raise_if_stopped(stop, name)
        raise


def raise_if_stopped(
    stop: Stop,
    name: str,
) -> None:
    """Raise `ReadStoppedError` once `stop` is set; `name` is what was being read."""
    if stop is not None and stop.is_set():
        raise ReadStoppedError(f"{name}: stopped while reading; nothing was searched")


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


@contextmanager
def library_errors(
    name: object,
    failure: str,
    remedy: str = "name a whole file of that kind",
) -> Iterator[None]:
    """Raise `InputError` for what a library raises on a source that it cannot read."""
    from polars.exceptions import PanicException

    try:
        yield
    except InputError:
        raise
    # Each library has its own errors; a panic of polars is no Exception.
    except (Exception, PanicException) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(
            f"{name}: {failure}: {reason or type(error).__name__}; {remedy}"
        ) from error


# --- Parquet -------------------------------------------------------------------------------------


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


# --- CSV -----------------------------------------------------------------------------------------


def csv_table(
    path: Path,
    n_header_rows: int,
) -> Table:
    """Open a CSV file, packed by gzip or not."""
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
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with library_errors(path, _CSV_FAILURE), opener(path, "rb") as file:
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


# --- SQLite --------------------------------------------------------------------------------------


@contextmanager
def sqlite_table(
    path: Path,
    table: str | None,
    query: str | None,
    stop: Stop,
) -> Iterator[Table]:
    """Open a table, or what a query selects, of a SQLite file."""
    import polars as pl

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


# --- frames --------------------------------------------------------------------------------------


def frame_table(
    source: Any,
    name: str,
) -> Table:
    """Open a frame; the named levels of a pandas index are columns, too."""
    import narwhals as nw

    library = type(source).__module__.partition(".")[0]
    reading = partial(
        library_errors,
        name,
        f"cannot read this {library}.{type(source).__name__}",
        "give a path or a polars, pandas or pyarrow frame",
    )
    with reading():
        index = getattr(source, "index", None)
        levels = getattr(index, "names", None) or []
        levels = [level for level in levels if level not in (None, *source.columns)]
        frame = nw.from_native(source.reset_index(level=levels) if levels else source)
        columns = frame.collect_schema().names()

    def read(names: ColumnList) -> Rows:
        with reading():
            # Once for all batches: a slice of a lazy frame would run its query again.
            rows = frame.select(*names)
            if isinstance(rows, nw.LazyFrame):
                rows = rows.collect("polars")
        for first in range(0, rows.shape[0], BATCH_ROWS):
            yield to_polars(rows[first : first + BATCH_ROWS])

    return Table(name, tuple(columns), read)


def to_polars(frame: Any) -> pl.DataFrame:
    """Convert a frame of any library to polars."""
    import polars as pl

    try:
        return frame.to_polars()  # type: ignore[no-any-return]
    # Mixed types, or no pyarrow: each library has its own error. Then value by value.
    except Exception:
        columns = []
        for column in frame.iter_columns():
            pairs = zip(column.to_list(), column.is_null(), strict=True)
            values = [None if null else value for value, null in pairs]
            columns.append(series(column.name, values))
        return pl.DataFrame(columns)


def series(
    name: str,
    values: Sequence[Any],
) -> pl.Series:
    """Make a series of values: of one type as they are, of mixed types as text."""
    import polars as pl

    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        texts = [None if value is None else str(value) for value in values]
        return pl.Series(name, texts, dtype=pl.String)
