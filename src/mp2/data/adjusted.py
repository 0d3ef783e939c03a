"""Adjusted prices that stand beside those as traded: which columns hold them, how they are used.

Some vendors give all four prices adjusted: they are read in place of those as traded. Others give
the adjusted close alone: its ratio to the close scales all four, so that the moves within a day
stay what they were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mp2.data.column_names import Finder
from mp2.data.findings import MAX_NAMED, Finding
from mp2.data.numbers import numbers_of
from mp2.data.reading import Reading
from mp2.data.tables import Table
from mp2.data.wide_bars import PRICES
from mp2.errors import InputError, counted, named

if TYPE_CHECKING:
    import polars as pl

CHOICES = ("auto", "yes", "no")
OTHER_CLOSE = "other_close"
"""The role of the second close: as traded beside four adjusted prices, else the adjusted one."""

# Of the letters alone: adj_open, adjOpen, Adj. Open, "5. adjusted close", "Adj Close**", closeadj.
_ADJ = "(?:adj|adjusted)"
_ROLE = "(open|high|low|close|closing|volume)(?:price)?"
_NAME = re.compile(f"{_ADJ}{_ROLE}|{_ROLE}{_ADJ}|(adjusted)")
_MAX_COLUMNS_SHOWN = 12
_REMEDY = "--adjusted no takes prices as traded"


def _adjusted_columns(
    table: Table,
    reading: Reading,
) -> dict[str, str]:
    """Return the columns of adjusted prices and volumes by role.

    Raises `InputError` when two columns could have the same role.
    """
    columns: dict[str, str] = {}
    for name in table.columns:
        letters = re.sub("[^a-z]", "", name.lower())
        match = _NAME.fullmatch(letters)
        # A column that the caller gives a role has that role only.
        if not match or name in reading.names.values():
            continue
        first = next(table.batches([name]), None) if match[3] else None
        # `adjusted` may say whether prices are, instead of what they are.
        if first is not None and numbers_of(first[name]).is_in([0.0, 1.0]).all():
            continue
        role = match[1] or match[2]
        if role not in (*PRICES, "volume"):
            role = "close"
        if role in columns:
            raise InputError(
                f"{table.name}: columns {columns[role]!r} and {name!r} could both be the adjusted "
                f"{role}; leave one out, or take prices as traded with --adjusted no"
            )
        columns[role] = name
    return columns


@dataclass(slots=True)
class Adjustments:
    """The adjusted prices of a source that may hold many tables.

    - `used`: the columns that were read, or by whose ratio to the close prices were scaled.
    - `n_adjusted`, `as_traded`: how many tables have adjusted prices, and the names of the others.
    - `n_lost`: rows with a price as traded, but none adjusted.
    """

    used: dict[str, None] = field(default_factory=dict)
    n_adjusted: int = 0
    as_traded: list[str] = field(default_factory=list)
    n_lost: int = 0

    def columns_of(
        self,
        table: Table,
        reading: Reading,
    ) -> dict[str, str]:
        """Return the columns of a table to be read by role, for `applied`; none: as traded.

        With all four prices, the volume goes along if it is adjusted too. Raises `InputError` when
        it is not clear which column is meant, and when the caller wants what is not there.
        """
        if reading.adjusted == "no":
            return {}
        columns = _adjusted_columns(table, reading)
        if "close" not in columns:
            if reading.adjusted == "yes":
                raise InputError(
                    f"{table.name}: no adjusted prices: it has "
                    f"{named(table.columns, _MAX_COLUMNS_SHOWN)}; expected adj_open, adj_high, "
                    "adj_low and adj_close, or Adj Close; leave out --adjusted yes"
                )
            return {}
        # Prices that the caller names are scaled: three adjusted ones would not fit the fourth.
        named_prices = reading.names.keys() & {*PRICES}
        if columns.keys() >= {*PRICES} and not named_prices:
            finder = Finder(table, reading.names)
            if finder.find("close"):
                columns[OTHER_CLOSE] = finder.names["close"]
            return columns
        return {OTHER_CLOSE: columns["close"]}

    def note(
        self,
        table: Table,
        columns: dict[str, str],
    ) -> None:
        """Count a table of which these columns, of `columns_of`, are read."""
        if not columns:
            self.as_traded.append(table.name)
            return
        self.n_adjusted += 1
        if "close" not in columns:
            self.used[f"{columns[OTHER_CLOSE]} / close"] = None
            return
        for role, name in columns.items():
            if role != OTHER_CLOSE:
                self.used[name] = None

    def applied(
        self,
        batch: pl.DataFrame,
        columns: dict[str, str],
    ) -> pl.DataFrame:
        """Return a batch with adjusted prices; `columns` are those of its table."""
        import polars as pl

        if OTHER_CLOSE not in columns:
            return batch
        close = pl.col("close")
        other = pl.col(OTHER_CLOSE)
        is_scaled = "close" not in columns
        adjusted, traded = (other, close) if is_scaled else (close, other)
        is_lost = traded.is_finite() & ~adjusted.is_finite().fill_null(False)
        self.n_lost += batch.select(is_lost.sum()).item()
        if not is_scaled:
            return batch
        # One factor for all: equal prices stay equal, and where it is 1 they stay what they are.
        return batch.with_columns(pl.col(*PRICES) * (other / close))

    def findings(self, source: str) -> list[Finding]:
        """Return what was used, and what is lost by it."""
        if not self.n_adjusted:
            return []
        used = named(list(self.used), len(PRICES))
        line = f"{source}: adjusted prices are used: {used}"
        if self.as_traded:
            n_tables = self.n_adjusted + len(self.as_traded)
            line += f", in {self.n_adjusted} of {n_tables} tables"
            line += f"; as traded: {named(self.as_traded, MAX_NAMED)}"
        line += f"; {_REMEDY}"
        note = Finding(
            kind="adjusted",
            line=line,
            done="used",
            n=self.n_adjusted,
        )
        if not self.n_lost:
            return [note]
        rows = counted(self.n_lost, "row")
        lost = f"{source}: {rows} with a price as traded and none adjusted, left out; {_REMEDY}"
        left_out = Finding(
            kind="not_adjusted",
            line=lost,
            done="left out",
            n=self.n_lost,
        )
        return [note, left_out]
