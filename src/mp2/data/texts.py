"""Columns of a table as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mp2.data.tables import series

if TYPE_CHECKING:
    from polars import Series


def has_meaning(
    values: Series,
    missing: Sequence[str],
) -> Series:
    """Return which values are not null, not NaN and none of the texts that stand for a null."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    has_value = values.is_not_null()
    if not missing:
        return has_value
    words = words_of(values)
    return has_value & ~words.is_in(missing).fill_null(False)


def texts_of(values: Series) -> Series:
    """Convert to text; NaN, lists, bytes and types of other libraries become null."""
    import polars as pl

    if values.dtype == pl.String:
        return values
    # Any Python objects: polars cannot cast them.
    if values.dtype == pl.Object:
        return series(
            values.name,
            [None if value is None else str(value) for value in values],
        )
    if values.dtype.is_float():
        values = values.fill_nan(None)
    values = in_utc(values)
    # Polars would write lists as text and read bytes as UTF-8.
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        return nulls(values, pl.String)
    try:
        return values.cast(pl.String)
    # An extension type of another library; a timestamp beyond polars' calendar.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return nulls(values, pl.String)


def words_of(values: Series) -> Series:
    """Convert to text in lower case without the blanks around it."""
    return texts_of(values).str.strip_chars().str.to_lowercase()


def in_utc(values: Series) -> Series:
    """Return times of a zone as those of UTC without one: of zones it does not know polars panics.

    Other values are returned as they are.
    """
    import polars as pl

    dtype = values.dtype
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        return values
    return values.to_physical().cast(pl.Datetime(dtype.time_unit))


def nulls(
    values: Series,
    dtype: Any,
) -> Series:
    """Return as many nulls as there are values."""
    import polars as pl

    return pl.repeat(None, len(values), dtype=dtype, eager=True).alias(values.name)


def tickers_of(values: Series) -> Series:
    """Convert to text; an empty or blank text becomes null, as an empty field of a CSV file is."""
    text = texts_of(values)
    # What sorts before every visible character is empty or begins with a blank: rare, so that the
    # usual column is passed over once.
    if (text < "!").any():
        is_empty = text.str.strip_chars() == ""
        text = text.set(is_empty.fill_null(False), None)
    return text
