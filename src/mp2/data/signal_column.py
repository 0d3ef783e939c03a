"""Which rows of a table are buys, where a column says so instead of the row being there.

Such columns hold 0 and 1, -1 to 1, true and false, or BUY, SELL and HOLD. A column is looked at
for its name and believed for its values; `columns` (signal=NAME) decides, and an empty name counts
every row as a buy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mp2._document import Texts
from mp2.data.column_names import missing_line
from mp2.data.tables import Table
from mp2.data.texts import has_meaning, texts_of, words_of

if TYPE_CHECKING:
    from polars import Series

ROLE = "signal"

# Words of a name, as in `trade_signal`, `isBuy` or `Entry`.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_MEANS_SIGNAL = re.compile("signals?|action|side|positions?|entry|buy")
# Names of other things too: unknown values say that it is one of those.
_MAY_MEAN_SIGNAL = re.compile(
    "sig|pos|entries|enter|buys|bought|long|direction|decision|recommendation|order|trade|type|"
    "predictions?|pred"
)
# Words with which it is something else, as `entry_price` or `exit_signal`.
_MEANS_OTHER = re.compile(
    "prices?|size|qty|quantity|volume|amount|value|date|time|day|id|tag|reason|name|count|number|"
    "strength|score|exits?|sells?|short|line"
)

_BUYS = "1,true,t,yes,y,buy,b,strong buy,long,enter,entry,bull,bullish,up"
_OTHERS = (
    "0,-1,false,f,no,n,sell,s,strong sell,short,hold,h,wait,flat,neutral,none,exit,close,cash,out,"
    "bear,bearish,down,-,na,n/a,nan,null,"
)
_MEANINGS = {
    **dict.fromkeys(_BUYS.split(","), True),
    **dict.fromkeys(_OTHERS.split(","), False),
}

_MAX_VALUES_SHOWN = 5
_MAX_VALUES_COUNTED = 50
_EVERY_ROW = "count every row as a buy with columns (signal=)"


def signals_of(values: Series) -> Series:
    """Convert to booleans: whether a row is a buy. Missing values are none, unknown ones null."""
    import polars as pl

    if values.dtype == pl.Boolean:
        return values.fill_null(False)
    if values.dtype.is_numeric():
        number = values.cast(pl.Float64).fill_nan(None)
        is_known = number.is_in([-1.0, 0.0, 1.0]) | number.is_null()
        return (number == 1.0).fill_null(False).set(~is_known.fill_null(True), None)
    words = words_of(values).str.replace("_", " ")
    # A number may be written as "1.0" or "+1".
    words = words.str.replace(r"^\+?(-?\d+)\.0*$", "$1").str.strip_prefix("+")
    meanings = words.replace_strict(_MEANINGS, default=None, return_dtype=pl.Boolean)
    return meanings.set(~has_meaning(values, ()), False)


@dataclass(slots=True)
class _Candidate:
    """A column that may say which rows are buys, and its values, counted."""

    name: str
    values: Counter[str] = field(default_factory=Counter)
    n_rows: int = 0
    n_buys: int = 0
    n_unknown: int = 0

    def add(self, values: Series, is_buy: Series) -> None:
        self.n_rows += len(values)
        self.n_buys += int(is_buy.sum())
        self.n_unknown += is_buy.null_count()
        # A column of measurements has a value of its own in each row.
        if len(self.values) <= _MAX_VALUES_COUNTED:
            counts = texts_of(values).fill_null("null").value_counts(sort=True)
            self.values.update(dict(counts.head(_MAX_VALUES_COUNTED).iter_rows()))

    def __str__(self) -> str:
        common = self.values.most_common(_MAX_VALUES_SHOWN)
        shown = [f"{value}: {count:,}" for value, count in sorted(common)]
        if len(self.values) > len(common):
            shown.append("...")
        return f"{self.name!r} ({', '.join(shown)})"


def find(
    table: Table,
    names: Texts,
    problems: list[str],
    guesses: list[str],
) -> str | None:
    """Return the column of `table` that says which rows are buys; None when every row is one.

    `names` are the caller's column names by role. Reads the columns in question once, if there are
    any. Adds the choice to `guesses`, and what prevents one to `problems`.
    """
    given = names.get(ROLE)
    if given is not None and given not in ("", *table.columns):
        problems.append(missing_line(table, {ROLE: given}))
    columns = candidates(table.columns, {*names, *names.values()})
    if given is not None:
        columns = [name for name in (given,) if name in table.columns]
    if not columns:
        return None
    found = [_Candidate(name) for name in columns]
    n_different = 0
    for batch in table.batches(columns):
        meanings = [signals_of(batch[name]) for name in columns]
        for candidate, meaning in zip(found, meanings, strict=True):
            candidate.add(batch[candidate.name], meaning)
            n_different += int(meaning.ne_missing(meanings[0]).sum())
    unread = [one for one in found if one.n_unknown]
    read = [one for one in found if not one.n_unknown]
    if given is None:
        unread = [one for one in unread if has_word(one.name, _MEANS_SIGNAL)]
        # A column of buys alone says what the rows say.
        read = [one for one in read if one.n_buys < one.n_rows]
    if unread and not read:
        problems.append(
            f"{table.name}: column {unread[0]} may say which rows are buys: write 0 and 1, true "
            f"and false or BUY, SELL and HOLD in it; or {_EVERY_ROW}"
        )
        return None
    if not read:
        return None
    chosen = read[0]
    if len(read) > 1 and n_different:
        problems.append(
            f"{table.name}: columns {chosen} and {read[1]} both say which rows are buys; name one "
            f"with columns (signal={chosen.name}), or {_EVERY_ROW}"
        )
    elif not chosen.n_buys:
        problems.append(f"{table.name}: no row is a buy by column {chosen}; or {_EVERY_ROW}")
    guesses.append(
        f"{table.name}: {chosen.n_buys:,} of {chosen.n_rows:,} rows are buys, by column {chosen}"
    )
    return chosen.name


def candidates(
    columns: Collection[str],
    used: Collection[str],
) -> list[str]:
    """Return the columns whose names may say that they hold signals, and that no role uses."""
    names = []
    for name in columns:
        may_mean_signal = has_word(name, _MEANS_SIGNAL) or has_word(name, _MAY_MEAN_SIGNAL)
        if may_mean_signal and not has_word(name, _MEANS_OTHER) and name not in used:
            names.append(name)
    return names


def has_word(name: object, wanted: re.Pattern[str]) -> bool:
    """Return whether one of the words of a name is wanted."""
    return any(wanted.fullmatch(word.lower()) for word in _WORD.findall(str(name)))
