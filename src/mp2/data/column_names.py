"""Which column of a table is meant: found by its usual names, or the one that the caller gives.

One finder for prices, signals and outcomes. Names count in any letter case, with any blanks, signs
and numbering: `<DATE>`, `Trade Date`, `1. open`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mp2._document import Names, Texts
from mp2.data.dates import may_be_date, parse_day
from mp2.data.tables import Table
from mp2.data.texts import texts_of
from mp2.errors import named

if TYPE_CHECKING:
    from polars import Series

# The names in a table by role, such as {"day": "Date"}.
ColumnNames = Texts

# By role: names without doubt, the first one first; then names that are taken with a note, and of
# which only one may be there, from the likelier ones to the less likely.
_USUAL_NAMES: dict[str, tuple[Names, ...]] = {
    "date": (
        ("date", "datetime", "day", "timestamp", "tradedate", "tradingdate", "tradingday"),
        ("time", "opentime", "t", "windowstart", "日期", "交易日期"),
    ),
    "day": (
        ("day", "date", "datetime", "timestamp", "tradedate", "tradingdate", "tradingday"),
        ("time", "opentime", "t", "signaldate", "日期", "交易日期"),
    ),
    "ticker": (
        ("ticker", "symbol", "tickersymbol"),
        ("tscode", "tic", "instrument", "actsymbol", "stockcode", "代码", "股票代码"),
        ("code", "stock", "sym", "s", "asset", "security", "pair"),
        ("name",),
    ),
    "open": (("open",), ("openprice", "openingprice", "o", "pxopen", "开盘", "开盘价")),
    "high": (("high",), ("highprice", "h", "pxhigh", "最高", "最高价")),
    "low": (("low",), ("lowprice", "l", "pxlow", "最低", "最低价")),
    "close": (
        ("close",),
        ("closeprice", "closingprice", "closelast", "c", "收盘", "收盘价"),
        ("last", "lastprice", "pxlast", "price"),
    ),
    "volume": (
        ("volume",),
        ("vol", "v", "totalvolume", "sharevolume", "pxvolume", "成交量"),
        ("tickvol", "tickvolume"),
    ),
    "algo": (("algo", "algorithm", "strategy", "indicator"), ("algoname", "strategyname", "model")),
    "variation": (
        ("variation", "variant"),
        ("parameters", "params", "parameter", "settings", "config", "configuration"),
    ),
    "sector": (("sector",), ("gicssector", "industry", "group", "category")),
    "win": (("win", "won", "iswin"), ("winner", "hit", "ishit", "success")),
}
_DATE_ROLES = ("date", "day")
# An index without a name, as pandas, fastparquet and `reset_index` call it.
_INDEX_NAME = re.compile(r"|index|level_\d+|__index_level_\d+__|unnamed: ?\d+", re.IGNORECASE)
_MAX_COLUMNS_SHOWN = 12
# Rows that show whether a column holds dates, and the shortest text of a date.
_SAMPLE_ROWS = 20
_DATE_LETTERS = 6


def plain_name(name: object) -> str:
    """Return a column's name as it is compared: its letters and digits, in lower case."""
    text = re.sub(r"^\s*\d+\. ", "", str(name))
    return re.sub(r"[\W_]+", "", text.lower())


def unnamed(number: int) -> str:
    """Return what a column without a name is called, as pandas does it."""
    return f"Unnamed: {number}"


def sure_names(role: str) -> Names:
    """Return the names that mean a role without doubt, as `plain_name` writes them."""
    return _USUAL_NAMES[role][0]


def role_of(
    name: object,
    roles: Iterable[str],
) -> str | None:
    """Return the role, among `roles`, that a name is usual for."""
    plain = plain_name(name)
    for role in roles:
        if any(plain in names for names in _USUAL_NAMES[role]):
            return role
    return None


# --- finding -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Finder:
    """Finds the columns of a table by role, in `names`; `given` are the caller's.

    `guesses` are those of `names` that are less than sure, `unclear` says which columns could each
    have one role, and `missing` are the roles that no column has, with the name looked for.
    """

    table: Table
    given: ColumnNames
    names: dict[str, str] = field(default_factory=dict)
    guesses: dict[str, str] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def find(
        self,
        role: str,
        *,
        is_sure: bool = False,
    ) -> bool:
        """Find the column of a role; `is_sure`: only by names without doubt."""
        columns = self._candidates(role, is_sure)
        if not columns:
            self.missing[role] = self.given.get(role, role)
            return False
        self.names[role] = columns[0]
        if len(columns) > 1:
            self.unclear.append(
                f"{self.table.name}: columns {columns[0]!r} and {columns[1]!r} could both be "
                f"{role}; choose with columns ({role}=NAME)"
            )
        return True

    @property
    def notes(self) -> Names:
        """The guesses as a line without the table's name, if there are any."""
        if not self.guesses:
            return ()
        pairs = [f"{role}={name}" for role, name in self.guesses.items()]
        return (f"columns read as {', '.join(pairs)}; give other ones with columns (ROLE=NAME)",)

    def problems(self, alternative: str = "", *, remedy: str = "") -> list[str]:
        """Return why the columns cannot be read; the texts are for those that are missing."""
        problems = list(self.unclear)
        if self.missing:
            problems.append(missing_line(self.table, self.missing, alternative) + remedy)
        return problems + ambiguous_lines(self.table, self.names.values())

    def _candidates(self, role: str, is_sure: bool) -> list[str]:
        columns = self.table.columns
        if role in self.given:
            return _spelled(columns, self.given[role])
        sure, *others = _USUAL_NAMES[role]
        for usual in sure:
            spelled = _spelled(columns, usual)
            if spelled:
                return spelled
        if is_sure:
            return []
        for names in others:
            likely = [name for name in columns if plain_name(name) in names]
            if likely:
                self.guesses[role] = likely[0]
                return list(dict.fromkeys(likely))
        if role not in (*_DATE_ROLES, "ticker"):
            return []
        by_values = self._by_values(role)
        if by_values:
            self.guesses[role] = by_values[0]
        return by_values

    def _by_values(self, role: str) -> list[str]:
        """Return the columns of dates or, in an index without names, of tickers."""
        used = set(self.names.values())
        names = []
        for name in dict.fromkeys(self.table.columns):
            # A frame can have names that are no text.
            is_other = isinstance(name, str) and role_of(name, _USUAL_NAMES) is None
            if is_other and name not in used:
                names.append(name)
        batches = self.table.read(names) if names else iter(())
        sample = next((batch.head(_SAMPLE_ROWS) for batch in batches if batch.height), None)
        if sample is None:
            return []
        index = [name for name in names if _INDEX_NAME.fullmatch(name)]
        index += self.table.index()
        holds = _holds_dates if role in _DATE_ROLES else _holds_names
        found = [values.name for values in sample if holds(values, is_index=values.name in index)]
        of_index = [name for name in found if name in index]
        return of_index[:1] or found


def _spelled(columns: Sequence[str], wanted: str) -> list[str]:
    """Return the columns of a name: one, unless names differ in letter case or signs alone."""
    # An exact name is not ambiguous beside others in capitals.
    if wanted in columns:
        return [wanted]
    plain = plain_name(wanted)
    spelled = [name for name in columns if plain and plain_name(name) == plain]
    return list(dict.fromkeys(spelled))


def _holds_dates(values: Series, *, is_index: bool) -> bool:
    import polars as pl

    if values.dtype in (pl.Date, pl.Datetime):
        return values.null_count() < len(values)
    texts = _filled_texts(values)
    # Row numbers and short prices are no dates, and long numbers only in an index.
    if any(len(text) < _DATE_LETTERS for text in texts):
        return False
    return bool(texts) and all(
        may_be_date(text) or (is_index and parse_day(text) is not None) for text in texts
    )


def _holds_names(values: Series, *, is_index: bool) -> bool:
    texts = _filled_texts(values)
    if not is_index or not texts:
        return False
    has_number = any(text.replace(".", "").isdigit() for text in texts)
    return not has_number and not any(map(may_be_date, texts))


def _filled_texts(values: Series) -> list[str]:
    texts = texts_of(values).drop_nulls().str.strip_chars().unique()
    return [text for text in texts if text]


# --- messages ------------------------------------------------------------------------------------


def unknown_roles(
    names: Iterable[str],
    known: Sequence[str],
) -> list[str]:
    """Return a problem for each of the caller's `columns` that means no known column."""
    return [
        f"columns: {role!r} is unknown; choose from {', '.join(known)}"
        for role in names
        if role not in known
    ]


def mistaken(
    table: Table,
    wanted: str,
) -> list[str]:
    """Return the problem of prices where signals are wanted, or of signals instead of prices."""
    roles = {role_of(name, _USUAL_NAMES) for name in table.columns}
    keys = {"algo", "variation"}
    if wanted == "prices" and keys <= roles:
        return [
            f"{table.name}: these are signals: mp2 search (mp2.search) searches them; prices have "
            "no columns algo and variation"
        ]
    if wanted == "signals" and {"open", "high", "low", "close"} <= roles and not keys & roles:
        return [
            f"{table.name}: these are prices: mp2 run (mp2.run) computes signals from them and "
            "searches these; signals have columns algo and variation"
        ]
    return []


def missing_line(
    table: Table,
    missing: Mapping[str, str],
    alternative: str = "",
) -> str:
    """Return the problem of the columns, by role, that a table lacks."""
    wanted = [repr(name) for name in missing.values()]
    columns = named(table.columns, _MAX_COLUMNS_SHOWN) or "none"
    plural = "s" if len(missing) > 1 else ""
    remedy = "give other names" if plural else "give another name"
    pairs = ",".join(f"{role}=NAME" for role in missing)
    return (
        f"{table.name}: missing column{plural} {', '.join(wanted)}{alternative}; it has {columns}; "
        f"{remedy} with columns ({pairs})"
    )


def ambiguous_lines(
    table: Table,
    used: Iterable[str],
) -> list[str]:
    """Return a problem for each name in use that several columns have."""
    problems = []
    for name in dict.fromkeys(used):
        n_columns = table.columns.count(name)
        if n_columns > 1:
            problems.append(
                f"{table.name}: {n_columns} columns are called {name!r}; rename all but one"
            )
    return problems
