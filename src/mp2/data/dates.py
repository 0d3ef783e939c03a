"""Columns of a table as dates, and dates as people write them."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from mp2.data.texts import nulls, texts_of

if TYPE_CHECKING:
    from polars import Series


def dates_of(values: Series) -> Series:
    """Convert to dates: a timestamp gives its local day; text is read by `parse_day`."""
    import polars as pl

    if values.dtype in (pl.Date, pl.Datetime):
        in_range = values.dt.year().is_between(1, 9999).fill_null(False)
        return values.dt.date().set(~in_range, None)
    text = texts_of(values)
    # pandas turns whole numbers into floats where some are missing.
    if values.dtype.is_float():
        text = text.str.strip_suffix(".0")
    # Each different text is parsed once: there are few days among many rows.
    distinct = text.unique().drop_nulls()
    if distinct.is_empty():
        return nulls(values, pl.Date)
    dates = pl.Series([parse_day(day) for day in distinct], dtype=pl.Date)
    return text.replace_strict(
        distinct,
        dates,
        default=None,
        return_dtype=pl.Date,
    )


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?|\d{8}")


@lru_cache(maxsize=1 << 14)  # sources repeat the same few thousand days
def parse_day(text: str) -> date | None:
    """Return the day of `YYYY-MM-DD`, with or without a time, or `YYYYMMDD`; else None."""
    trimmed = text.strip()
    if not _DAY.fullmatch(trimmed):
        return None
    try:
        return datetime.fromisoformat(trimmed).date()
    except ValueError:
        return None
