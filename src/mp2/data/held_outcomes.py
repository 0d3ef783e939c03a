"""Outcomes by a rule that sells on the next session: from a table of prices by day and ticker."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np

from mp2.data.arrays import FloatArray
from mp2.data.column_names import ColumnNames
from mp2.data.encoding import Axes, Market, Outcomes, day_positions, positions, unchanged
from mp2.data.holding import Holding
from mp2.data.tables import Table
from mp2.data.ticker_keys import positions_by_spelling, trimmed


class HeldOutcomes(Outcomes):
    """A table `day, ticker, open, close`; its days are the sessions."""

    def __init__(
        self,
        table: Table,
        columns: ColumnNames,
        rule: Holding,
    ) -> None:
        super().__init__(table, columns)
        self.rule = rule
        if "win" in self.outcome:
            self.problems.append(
                f"{table.name}: hold: {rule.name} needs open and close; a column of wins says "
                "itself what wins, so leave hold out"
            )

    def exit_day(self, day: date) -> date | None:
        """Return the first session after a day; None where the table has none."""
        sessions = sorted(self.days)
        number = bisect_right(sessions, day)
        return sessions[number] if number < len(sessions) else None

    def problems_of_days(self, days: Iterable[date]) -> list[str]:
        """Return a line for each day whose outcome the table cannot have."""
        return [
            f"days: {day} has no later session in {self.table.name} to sell on; leave it out"
            for day in days
            if self.exit_day(day) is None
        ]

    def load(self, axes: Axes) -> Market:
        """Return the outcomes of the panel's days, each of which has a later session."""
        shown = trimmed(self.tickers)
        others = set(shown.values()).difference(axes.tickers)
        spellings = positions_by_spelling(shown, [*axes.tickers, *sorted(others)])
        exit_days = [self.exit_day(day) for day in axes.days]
        sold_on = sorted({day for day in exit_days if day is not None})
        entry = self._prices(self.rule.bought, axes.days, spellings)
        sold = self._prices(self.rule.sold, sold_on, spellings)
        # Several days that are no sessions may have the same next one.
        exit = sold[[sold_on.index(day) for day in exit_days if day is not None]]

        known = np.isfinite(entry)
        priced = known & np.isfinite(exit)
        n_unsold = int((known & ~priced).sum())
        if n_unsold:
            without = f"without the {self.rule.sold} of the next session"
            self.warn(f"(day, ticker) {without}: {n_unsold}, counted as no win")
        return Market(known, priced & (exit > entry), priced)

    def _prices(
        self,
        role: str,
        days: Sequence[date],
        spellings: Mapping[str, int],
    ) -> FloatArray:
        """Read one price of some days, float64[D, T'], NaN where there is none."""
        import polars as pl

        prices = np.full((len(days), len(set(spellings.values()))), np.nan)
        with unchanged(self.table.name):
            for batch in self.batches((*self.keys, role)):
                rows = batch.filter(pl.col("day").is_in(days), pl.col(role).is_finite())
                day = day_positions(rows["day"], days)
                ticker = positions(rows["ticker"], spellings)
                prices[day, ticker] = rows[role].to_numpy()
        return prices
