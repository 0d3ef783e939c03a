"""Columns of a table as prices, volumes and wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mp2.data.texts import texts_of

if TYPE_CHECKING:
    from polars import Series

_WIN_TEXTS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def numbers_of(values: Series) -> Series:
    """Convert to floats; floats keep their width."""
    import polars as pl

    if values.dtype.is_float():
        return values
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    return texts_of(values).str.strip_chars().cast(pl.Float64, strict=False)


def wins_of(values: Series) -> Series:
    """Convert to booleans; 0, 1, true and false are read."""
    import polars as pl

    if values.dtype == pl.Boolean:
        return values
    # As text, a decimal 1 may be "1.00".
    if values.dtype.is_decimal():
        values = values.cast(pl.Float64)
    words = texts_of(values).str.strip_chars().str.to_lowercase()
    return words.replace_strict(
        _WIN_TEXTS,
        default=None,
        return_dtype=pl.Boolean,
    )
