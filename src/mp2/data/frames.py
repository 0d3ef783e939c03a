"""A polars, pandas or pyarrow frame as a table, and a table as one of these frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timezone
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from mp2.data.tables import BATCH_ROWS, ColumnList, Rows, Table, library_errors, series
from mp2.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

Backend = Literal["polars", "pandas", "pyarrow"]
"""The library of a frame that is returned."""

# polars makes a pandas frame by way of pyarrow.
_NEEDS = {"polars": (), "pandas": ("pandas", "pyarrow"), "pyarrow": ("pyarrow",)}


def new_frame(
    rows: Sequence[Sequence[Any]],
    types: Mapping[str, type],
    backend: Backend,
) -> Any:
    """Make a frame of rows with the values of the columns in order, of these types or None."""
    import polars as pl

    return in_library(pl.DataFrame(rows, types, orient="row"), backend)


def in_library(
    frame: pl.DataFrame,
    backend: Backend,
) -> Any:
    """Return a frame as one of another library; `InputError` where that is not installed."""
    if backend not in _NEEDS:
        known = ", ".join(map(repr, _NEEDS))
        raise InputError(f"backend: {backend!r} is unknown; choose from {known}")
    missing = [name for name in _NEEDS[backend] if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise InputError(f"backend: {backend!r} needs a library: pip install {names}")
    if backend == "pandas":
        return frame.to_pandas()
    if backend == "pyarrow":
        return frame.to_arrow()
    return frame


def write_frame(frame: pl.DataFrame, path: Path, kind: str) -> None:
    """Write a frame to a file of a kind: `.parquet`, or else CSV."""
    if kind.lower() == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)


def frame_table(
    source: Any,
    name: str,
) -> Table:
    """Open a frame; the levels of a pandas index are columns too, but for row numbers."""
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
        levels = []
        for number, level in enumerate(getattr(index, "names", None) or []):
            dtype = source.index.get_level_values(number).dtype
            is_row_number = level is None and dtype.kind in "iu"
            if level not in source.columns and not is_row_number:
                levels.append(number)
        frame = nw.from_native(source.reset_index(level=levels) if levels else source)
        columns = frame.collect_schema().names()

    def read(names: ColumnList) -> Rows:
        with reading():
            # Once for all batches: a slice of a lazy frame would run its query again.
            rows = frame.select(*names)
            if isinstance(rows, nw.LazyFrame):
                rows = rows.collect("polars")
        for first in range(0, rows.shape[0], BATCH_ROWS):
            yield to_polars(with_plain_times(rows[first : first + BATCH_ROWS]))

    return Table(name, tuple(columns), read)


def with_plain_times(frame: Any) -> Any:
    """Convert the times of a pandas frame that polars would refuse, or move to another day.

    Those are periods, zones with an offset under a name of their own, and objects, of which each
    may have its own zone.
    """
    import narwhals as nw

    native = nw.to_native(frame)
    if not nw.dependencies.is_pandas_dataframe(native):
        return frame
    pandas = nw.get_native_namespace(frame)
    columns = {}
    for name, column in native.items():
        dtype = column.dtype
        if isinstance(dtype, pandas.PeriodDtype):
            columns[name] = column.dt.start_time
        elif isinstance(dtype, pandas.DatetimeTZDtype):
            offset = dtype.tz.utcoffset(None)
            if offset is not None:
                columns[name] = column.dt.tz_convert(timezone(offset))
        elif pandas.api.types.is_object_dtype(dtype):
            kind = pandas.api.types.infer_dtype(column, skipna=True)
            if kind in ("datetime", "period"):
                columns[name] = column.map(str, na_action="ignore")
    return nw.from_native(native.assign(**columns)) if columns else frame


def joined_frame(
    frames: Mapping[Any, Any] | Sequence[Any],
    name: str,
) -> pl.DataFrame:
    """Return the rows of several frames as one; `algo`, if missing, is a frame's key of a dict."""
    import polars as pl

    items = frames.items() if isinstance(frames, Mapping) else enumerate(frames)
    parts = []
    for key, frame in items:
        table = frame_table(frame, f"{name}[{key!r}]")
        part = pl.concat(table.read(table.columns))
        if isinstance(frames, Mapping) and "algo" not in part.columns:
            part = part.with_columns(pl.lit(str(key)).alias("algo"))
        parts.append(part)
    with library_errors(name, "cannot join these frames", "give frames of the same columns"):
        return pl.concat(parts, how="diagonal_relaxed")


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
