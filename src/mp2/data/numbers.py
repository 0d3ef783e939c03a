"""Columns of a table as prices, volumes and wins, also as people and spreadsheets write them.

A comma is the decimal mark or separates thousands: all numbers of a table are read alike, and what
both readings could be is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mp2.data.texts import has_meaning, texts_of, words_of

if TYPE_CHECKING:
    from polars import Series

# What stands for a number that is not known.
MISSING_TEXTS = (
    *("", "-", "--", "–", "—", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "null", "none", "nil"),
)

_YES = "1,1.0,+1,true,t,yes,y,w,win,won,hit"
_NO = "0,0.0,-1,-1.0,false,f,no,n,l,loss,lose,lost,miss"
_WIN_TEXTS = {
    **dict.fromkeys(_YES.split(","), True),
    **dict.fromkeys(_NO.split(","), False),
}

_EXPONENTS = {"": "", "k": "e3", "m": "e6", "b": "e9"}
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP)?\s*"
# Also the spaces and apostrophes of France and Switzerland; in India groups have two digits.
_GROUPS = {".": r"[,'’\s]", ",": r"[.'’\s]"}
_NUMBER = (
    r"^{currency}(-?(?:\d+|[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}})"
    r"(?:{mark}\d*)?(?:[eE][+-]?\d+)?)\s*([KMBkmb]?)\s*{currency}$"
)


def numbers_of(
    values: Series,
    mark: str | None = ".",
) -> Series:
    """Convert to floats; floats keep their width.

    `mark` is the decimal mark of texts; None reads only those that need no such knowledge.
    """
    import polars as pl

    if values.dtype.is_float():
        return values
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    texts = texts_of(values)
    if mark == ",":
        return _written(texts.str.strip_chars(), mark)
    plain = texts.cast(pl.Float64, strict=False)
    # The usual column: trimming takes longer than the conversion.
    if plain.null_count() == texts.null_count():
        return plain
    text = texts.str.strip_chars()
    plain = text.cast(pl.Float64, strict=False)
    if mark is None:
        return plain
    is_odd = plain.is_null()
    return _written(text.set(~is_odd, None), mark).zip_with(is_odd, plain)


def _written(text: Series, mark: str) -> Series:
    """Convert texts like `$1,234.50` and `1.23M`; null where a text is not written so."""
    import polars as pl

    group = _GROUPS[mark]
    number = _NUMBER.format(currency=_CURRENCY, group=group, mark=f"[{mark}]")
    parts = text.str.extract_groups(number).struct
    digits = parts.field("1").str.replace_all(group, "").str.replace(mark, ".", literal=True)
    exponent = parts.field("2").str.to_lowercase().replace_strict(_EXPONENTS, default=None)
    return (digits + exponent).cast(pl.Float64, strict=False)


def decimal_mark(
    columns: Iterable[Series],
    likely: str | None,
) -> tuple[str | None, str | None]:
    """Return the decimal mark of some columns of numbers, and a text that leaves it open.

    The mark is None when no number says it, or when numbers have two readings, as "1,234" has:
    then the text is one of them. Of such readings the `likely` mark decides.
    """
    import polars as pl

    texts = []
    for values in columns:
        if not values.dtype.is_numeric():
            text = texts_of(values).str.strip_chars()
            texts.append(text.filter(has_meaning(text, MISSING_TEXTS)).alias("text"))
    text = pl.concat(texts).unique(maintain_order=True)
    readings = {mark: _written(text, mark) for mark in _GROUPS}
    dot, comma = readings.values()
    if dot.null_count() != comma.null_count():
        return min(readings, key=lambda mark: readings[mark].null_count()), None
    is_open = dot != comma
    if not is_open.any() or likely:
        return likely or ".", None
    return None, text.filter(is_open.fill_null(False))[0]


def wins_of(values: Series) -> Series:
    """Convert to booleans: 1 or 0, 1 or -1, true or false, yes or no, W or L are read."""
    import polars as pl

    if values.dtype == pl.Boolean:
        return values
    # As text, a decimal 1 may be "1.00".
    if values.dtype.is_decimal():
        values = values.cast(pl.Float64)
    return words_of(values).replace_strict(
        _WIN_TEXTS,
        default=None,
        return_dtype=pl.Boolean,
    )
