"""What every source is read as: rows in small polars frames.

A `Table` has a name for messages, the column names, and rows that can be read any number of times,
a batch at a time, so that the memory needed does not grow with the source. Every error of a library
on an unreadable source is raised as `InputError`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._document import Names
from mp2.errors import InputError, ReadStoppedError

# Polars is imported where it is used: that takes longer than starting the program.
if TYPE_CHECKING:
    import polars as pl

# Polars knows no offset of half an hour: it would refuse a pyarrow table with one and panic on a
# Parquet file, even where the column is not used. `date_columns` reads these zones.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

# Rows of a batch: many enough to amortise a call, few enough to take some ten megabytes.
BATCH_ROWS = 1 << 18

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
    `ReadStoppedError` once `stop` is set. `notes`: what was guessed about the source. `decimal`:
    the decimal mark of its numbers; `likely_decimal`: where that is unclear. `index`: returns the
    columns that the source says are its index. `timezone` and `date_format` are those of `Reading`.
    `parts`: the name and the first row of each file of a folder, once it is read.
    """

    name: str
    columns: Names
    read: Callable[[ColumnList], Rows]
    stop: Stop = None
    notes: Names = ()
    decimal: str | None = None
    likely_decimal: str | None = None
    index: Callable[[], Names] = tuple
    timezone: str | None = None
    date_format: str | None = None
    parts: list[tuple[str, int]] = field(default_factory=list)

    def batches(self, names: ColumnList) -> Rows:
        """Yield what `read` yields, until the reading is stopped."""
        for batch in self.read(names):
            # Between two batches, since a library's call cannot be interrupted.
            raise_if_stopped(self.stop, self.name)
            yield batch

    def place(self, row: int) -> tuple[str, int]:
        """Return the file of a row, and its number there; rows are counted from 1."""
        for name, first_row in reversed(self.parts):
            if row >= first_row:
                return name, row - first_row + 1
        return self.name, row


def raise_if_stopped(
    stop: Stop,
    name: str,
) -> None:
    """Raise `ReadStoppedError` once `stop` is set; `name` is what was being read."""
    if stop is not None and stop.is_set():
        raise ReadStoppedError(f"{name}: stopped while reading; nothing was searched")


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


def series(
    name: str,
    values: Sequence[Any],
) -> pl.Series:
    """Make a series of values: of one type as they are, of mixed types as text."""
    import polars as pl

    with suppress(TypeError, OverflowError, pl.exceptions.PolarsError):
        made = pl.Series(name, values, strict=True)
        # Of times with an offset polars keeps the instant alone.
        if not isinstance(made.dtype, pl.Datetime) or made.dtype.time_zone is None:
            return made
    texts = [None if value is None else str(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def chosen_part(
    path: Path,
    names: Sequence[str],
    wanted: str | None,
    *,
    kind: str,
    what: str,
) -> str:
    """Return the table or sheet to read, which `what` is: the wanted one, or the only one."""
    if not names:
        raise InputError(f"{path}: the {kind} holds no {what}")
    if wanted is None and len(names) > 1:
        raise InputError(f"{path}: several {what}s; choose one with table: {', '.join(names)}")
    if wanted is not None and wanted not in names:
        raise InputError(f"{path}: no {what} {wanted!r}; it holds {', '.join(names)}")
    return wanted or names[0]
