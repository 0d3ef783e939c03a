"""Any source of signals or outcomes as rows in small polars frames.

`open_table` gives a `Table`: a name for messages, the column names, and rows that can be read any number of times, a
batch at a time, so that the memory needed does not grow with the source. Whatever a library raises on an unreadable
source leaves here as `InputError`. Polars is imported on first use: it takes longer than starting the program.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2 import last_words
from mp2._files import expanded
from mp2.errors import InputError, ReadStoppedError

if TYPE_CHECKING:
    import polars as pl

BATCH_ROWS = 1 << 17
"""Rows in flight at once: large enough to amortise a call, small enough to stay within some ten megabytes."""

_CSV_BLOCK_BYTES = 2 << 20
_CSV_RECORD_BYTES = 64 << 20
_CSV_HEADER_BYTES = 8 << 20
_SQLITE_VALUE_BYTES = (
    1 << 20
)  # names, days and prices are shorter; a longer text or blob is refused before it takes memory
_SQLITE_ROWS = 1 << 14  # Python objects: fewer stay in the caches
_SQLITE_STEPS = 100_000  # some milliseconds of a query between two looks at the stop


@dataclass(frozen=True, slots=True)
class Table:
    """A source ready to be read: `read(names)` yields its rows in stored order, restricted to the named columns."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[pl.DataFrame]]


@contextmanager
def open_table(
    source: Any,
    name: str,
    *,
    table: str | None = None,
    query: str | None = None,
    n_header_rows: int = 1,
    stop: threading.Event | None = None,
) -> Iterator[Table]:
    """Open a path (Parquet, CSV, CSV.gz, SQLite) or any frame narwhals knows; `name` stands for a frame in messages.

    `table` or `query` choose what to read from a SQLite file; `stop` ends a query that yields nothing yet. The columns of a
    CSV file with several `n_header_rows` are called by the text of a tuple of what is above them, `"('Close', 'AAPL')"`.
    Raises `InputError` when nothing can be read.
    """
    if not isinstance(source, str | os.PathLike):
        _refuse_selection(name, table, query)
        yield _frame_table(source, name)
        return
    path = expanded(source)
    kind = _file_kind(path)
    if kind != "sqlite":
        _refuse_selection(str(path), table, query)
        yield _parquet_table(path) if kind == "parquet" else _csv_table(path, n_header_rows)
        return
    with closing(_connect(path)) as connection:
        if stop is not None:
            connection.set_progress_handler(stop.is_set, _SQLITE_STEPS)
        yield _sqlite_table(connection, path, table, query)


@contextmanager
def stopped_first(stop: threading.Event | None) -> Iterator[None]:
    """What goes wrong after a stop was asked for is its consequence (an interrupted query), not the input's fault."""
    try:
        yield
    except InputError as error:
        if stop is not None and stop.is_set():
            raise ReadStoppedError("stopped while reading; nothing was searched") from error
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


def _file_kind(path: Path) -> str:
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


def _refuse_selection(name: str, table: str | None, query: str | None) -> None:
    if table is not None or query is not None:
        raise InputError(f"{name}: table and query are for SQLite files; leave them out")


@contextmanager
def _translated(path: Path, kind: str) -> Iterator[None]:
    with _failures(path, f"cannot be read as {kind}", "name a whole file of that kind"):
        yield


@contextmanager
def _failures(path: Path, failed: str, remedy: str) -> Iterator[None]:
    from polars.exceptions import PanicException, PolarsError

    try:
        yield
    except (
        PolarsError,
        PanicException,
        OSError,
        EOFError,
        MemoryError,
        sqlite3.Error,
        UnicodeError,
        zlib.error,
    ) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InputError(f"{path}: {failed}: {reason}; {remedy}") from error


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    with _translated(path, "a Parquet file"), last_words.reading(path):
        yield


def _parquet_table(path: Path) -> Table:
    import polars as pl

    def read(names: Sequence[str]) -> Iterator[pl.DataFrame]:
        for first in range(0, n_rows, BATCH_ROWS):
            with _reading_parquet(path):
                batch = scan.select(names).slice(first, BATCH_ROWS).collect()
            yield batch

    with _reading_parquet(path):
        scan = pl.scan_parquet(path, glob=False)
        columns = tuple(scan.collect_schema().names())
        n_rows = scan.select(pl.len()).collect().item()
    return Table(str(path), columns, read)


def _csv_table(path: Path, n_header_rows: int) -> Table:
    """Every column is read as text: what a value means is decided by its column, not by a guess from the first rows."""

    def read(names: Sequence[str]) -> Iterator[pl.DataFrame]:
        first_row = 1
        for header, records in _csv_blocks(path, n_header_rows):
            with _wrong_row_named(path, records, len(columns), first_row):
                if n_header_rows == 1:
                    rows = _parse_csv(path, header + records, columns=names)
                elif records:
                    rows = _parse_csv(path, records, has_header=False, new_columns=columns).select(
                        names
                    )
                else:
                    continue
            yield rows
            first_row += rows.height

    # As rows, since a header would have its duplicates renamed.
    rows = csv_head(path, n_header_rows)
    if not any(map(any, rows)):
        raise InputError(f"{path}: the file is empty; expected a header line with the column names")
    columns = (
        rows[0]
        if n_header_rows == 1
        else tuple(str(tuple(filter(None, cells))) for cells in zip(*rows, strict=True))
    )
    return Table(str(path), columns, read)


def _parse_csv(path: Path, text: bytes, **options: Any) -> pl.DataFrame:
    import polars as pl

    with _translated(path, "a CSV file"):
        # Blank lines at the end are no rows.
        return pl.read_csv(io.BytesIO(text.rstrip(b"\r\n") + b"\n"), infer_schema=False, **options)


@contextmanager
def _wrong_row_named(path: Path, records: bytes, n_columns: int, first_row: int) -> Iterator[None]:
    """When a block cannot be parsed, name the row that is to blame, if it can be told; `first_row` is the block's first."""
    try:
        yield
    except InputError as error:
        if wrong := _wrong_row(records, n_columns, first_row):
            raise InputError(f"{path}: {wrong}") from error
        raise


def _wrong_row(records: bytes, n_columns: int, first_row: int) -> str | None:
    """What is wrong with the first record that is not UTF-8, has too many fields, or has a quote that is never closed."""
    try:
        lines = list(io.StringIO(records.decode("utf-8"), newline=""))
    except UnicodeDecodeError as error:
        row = first_row + records.count(b"\n", 0, error.start)
        return f"row {row} is not UTF-8 text; save the file as UTF-8"
    reader, row, begin = csv.reader(lines), first_row, 0
    with suppress(csv.Error):
        for fields in reader:
            if len(fields) > n_columns:
                return f"row {row} has {len(fields)} fields for {n_columns} columns; quote a field that holds a comma"
            if "".join(lines[begin : reader.line_num]).count('"') % 2:
                break
            row, begin = row + bool(fields), reader.line_num
    return (
        f"row {row} has a quote that is never closed; close it" if records.count(b'"') % 2 else None
    )


def csv_head(path: Path, n_rows: int) -> list[tuple[str, ...]]:
    """The first lines of a CSV file as text, fewer when it is shorter; raises `InputError` when it cannot be read."""
    head = next(_csv_blocks(path, n_rows), (b"", b""))[0]
    rows = _parse_csv(path, head, has_header=False).rows() if head.strip() else []
    return [tuple(cell or "" for cell in row) for row in rows]


def _csv_blocks(path: Path, n_header_rows: int) -> Iterator[tuple[bytes, bytes]]:
    """The header lines and, block by block, whole records: a block ends at a line end outside quotes."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with _translated(path, "a CSV file"), opened(path, "rb") as file:
        header = b"".join(file.readline(_CSV_HEADER_BYTES) for _ in range(n_header_rows))
        if len(header) >= _CSV_HEADER_BYTES:
            raise InputError(
                f"{path}: a header longer than {_CSV_HEADER_BYTES >> 20} MB; is this a CSV file?"
            )
        yield header, b""
        pending = b""
        while block := file.read(_CSV_BLOCK_BYTES):
            pending += block
            end = _records_end(pending)
            if end:
                yield header, pending[:end]
                pending = pending[end:]
            elif len(pending) > _CSV_RECORD_BYTES:
                raise InputError(
                    f"{path}: a record longer than {_CSV_RECORD_BYTES >> 20} MB; look for an unclosed quote"
                )
        if pending:
            yield header, pending


def _records_end(text: bytes) -> int:
    """Length of the longest prefix that ends with a line end and holds an even number of quotes; 0 when there is none."""
    end = text.rfind(b"\n") + 1
    n_quotes = text.count(b'"', 0, end)
    while end and n_quotes % 2:
        shorter = text.rfind(b"\n", 0, end - 1) + 1
        n_quotes -= text.count(b'"', shorter, end)
        end = shorter
    return end


def _connect(path: Path) -> sqlite3.Connection:
    with _translated(path, "a SQLite database"):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SQLITE_VALUE_BYTES)
        connection.execute("BEGIN")  # one snapshot for all passes
        return connection


def _sqlite_table(
    connection: sqlite3.Connection, path: Path, table: str | None, query: str | None
) -> Table:
    if table is not None and query is not None:
        raise InputError(f"{path}: give table or query, not both")
    failures = partial(_translated, path, "a SQLite database")
    if query is not None:
        failures = partial(
            _failures, path, "the query fails", "give a SELECT that can be run on it"
        )
    with failures():
        statement = (
            f"SELECT * FROM {_quoted(_chosen_table(connection, path, table))}"
            if query is None
            else query
        )
        description = connection.execute(statement).description

    def read(names: Sequence[str]) -> Iterator[pl.DataFrame]:
        import polars as pl

        positions = [(name, columns.index(name)) for name in names]
        with failures():
            cursor = connection.execute(statement)
            while rows := cursor.fetchmany(_SQLITE_ROWS):
                values = list(zip(*rows, strict=True))
                yield pl.DataFrame([series(name, values[position]) for name, position in positions])

    if description is None:
        raise InputError(f"{path}: the query returns no columns; give a SELECT")
    columns = tuple(entry[0] for entry in description)
    return Table(str(path), columns, read)


def _chosen_table(connection: sqlite3.Connection, path: Path, table: str | None) -> str:
    listing = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
    )
    names = [name for (name,) in listing]
    if not names:
        raise InputError(f"{path}: the database holds no table")
    if table is None and len(names) > 1:
        raise InputError(f"{path}: several tables; choose one with table: {', '.join(names)}")
    if table is not None and table not in names:
        raise InputError(f"{path}: no table {table!r}; it holds {', '.join(names)}")
    return table or names[0]


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _frame_table(source: Any, name: str) -> Table:
    import narwhals as nw

    def read(names: Sequence[str]) -> Iterator[pl.DataFrame]:
        with _frame_errors(source, name):
            chosen = frame.select(*names)
            rows = chosen.collect("polars") if isinstance(chosen, nw.LazyFrame) else chosen
        for first in range(0, rows.shape[0], BATCH_ROWS):
            yield _to_polars(rows[first : first + BATCH_ROWS])

    with _frame_errors(source, name):
        frame = nw.from_native(_with_index_columns(source))
        columns = tuple(frame.collect_schema().names())
    return Table(name, columns, read)


@contextmanager
def _frame_errors(source: Any, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every library behind narwhals raises its own
        reason = str(error).strip().split("\n", 1)[0]
        kind = f"{type(source).__module__.partition('.')[0]}.{type(source).__name__}"
        raise InputError(
            f"{name}: cannot read this {kind}; give a path or a polars, pandas or pyarrow frame ({reason})"
        ) from error


def _with_index_columns(source: Any) -> Any:
    """A pandas frame whose index levels are named gets them as columns."""
    index_names = getattr(getattr(source, "index", None), "names", None) or []
    levels = [name for name in index_names if name is not None and name not in source.columns]
    return source.reset_index(level=levels) if levels else source


def _to_polars(frame: Any) -> pl.DataFrame:
    """Columns that polars cannot take over as they are (mixed types, no pyarrow) are taken value by value."""
    import polars as pl

    try:
        return frame.to_polars()  # type: ignore[no-any-return]
    except Exception:  # pandas, pyarrow and polars each have their own
        return pl.DataFrame([series(name, _values(frame[name])) for name in frame.columns])


def _values(column: Any) -> list[Any]:
    return [
        None if null else value
        for value, null in zip(column.to_list(), column.is_null(), strict=True)
    ]


def series(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of one type as they are, of mixed types as text."""
    import polars as pl

    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(
            name, [None if value is None else str(value) for value in values], dtype=pl.String
        )
