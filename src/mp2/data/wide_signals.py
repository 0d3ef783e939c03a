"""Signals as a wide boolean pandas frame, as vectorbt makes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from mp2.data.arrays import BoolArray, IndexArray
from mp2.data.columns import parse_day
from mp2.data.encoding import Axes, Buys, Market, Names, Tally
from mp2.data.signal_table import Key
from mp2.data.tables import raise_if_stopped

# Cells that are converted at once.
_BLOCK_CELLS = 1 << 20


class WideSignals:
    """Index = time, columns = levels algo, parameters and ticker (or symbol).

    A variation is named by its parameter values joined with '-'; parameters that a column leaves
    null are skipped. Cells are true, false, 1, 0 or null. Every column and index entry counts, also
    without a buy.
    """

    def __init__(
        self, frame: Any, columns: Mapping[str, str], stop: threading.Event | None
    ) -> None:
        self.frame = frame
        self.stop = stop
        self.tally = Tally()
        self.problems: list[str] = []
        levels = list(frame.columns.names)
        usual_ticker = "symbol" if "symbol" in levels and "ticker" not in levels else "ticker"
        self.algo_level = columns.get("algo", "algo")
        self.ticker_level = columns.get("ticker", usual_ticker)
        self.levels = levels
        self.days: list[date] = []
        self.variations: list[Key] = []
        self.tickers: list[str] = []

    def scan(self) -> Names:
        """Check every cell; the names are those of the columns and the index: the first pass."""
        self._check_levels()
        self._read_days()
        if not self.problems:
            self._read_variations()
        self._check_cells()
        variations = dict.fromkeys(self.variations)
        return Names(variations, set(self.days), set(self.tickers))

    def rows(self, axes: Axes, market: Market | None) -> Iterator[Buys]:
        """Yield every true cell as positions: the second pass."""
        assert market is not None, "the reader requires outcomes for a wide frame"
        variation = _positions(self.variations, axes.variations)
        ticker = _positions(self.tickers, axes.tickers)
        day = _positions(self.days, axes.days)
        for first_column, block in self._blocks():
            is_bought, _ = _cells(block)
            row, column = np.nonzero(is_bought)
            column += first_column
            won = self.tally.look_up(market, day[row], ticker[column])
            priced = np.ones_like(won)
            self.tally.n_rows += len(row)
            yield Buys(variation[column], day[row], ticker[column], won, priced)

    def _check_levels(self) -> None:
        shown = ", ".join(map(str, self.levels))
        if None in self.levels or len(set(self.levels)) < len(self.levels):
            self.problems.append(
                f"signals: every column level needs a name of its own; the levels are {shown}"
            )
            return
        for role, level in (("algo", self.algo_level), ("ticker", self.ticker_level)):
            if level not in self.levels:
                self.problems.append(
                    f"signals: no column level {level!r}; the levels are {shown}; "
                    f"name it with columns ({role}=NAME)"
                )
            elif None in self._texts(level):
                column = self._texts(level).index(None) + 1
                self.problems.append(
                    f"signals: column level {level!r} holds nulls, the first in column {column}"
                )
        if len(self.levels) < 3:
            self.problems.append(
                "signals: a wide frame needs a parameter level beside algo and ticker; "
                f"the levels are {shown}"
            )
        for what, n in zip(("rows", "columns"), self.frame.shape, strict=True):
            if not n:
                self.problems.append(f"signals: the frame has no {what}")

    def _read_days(self) -> None:
        n_wrong = 0
        first = ""
        for number, entry in enumerate(self.frame.index, 1):
            day = parse_day(str(entry))
            if day is not None:
                self.days.append(day)
                continue
            n_wrong += 1
            first = first or f"signals: index entry {number}: {str(entry)!r} is not a day"
        if n_wrong:
            self.problems.append(
                f"{first}; use timestamps, YYYY-MM-DD or YYYYMMDD ({n_wrong} such entries)"
            )

    def _texts(self, level: str) -> list[str | None]:
        """Return the value of a level for every column, as text."""
        values = self.frame.columns.get_level_values(level)
        return [
            None if null else str(value) for value, null in zip(values, values.isna(), strict=True)
        ]

    def _read_variations(self) -> None:
        """Name every column; different parameters must not give the same name."""
        own_levels = [level for level in self.levels if level != self.ticker_level]
        parameters_of: dict[Key, Any] = {}
        is_unique = True
        for values in zip(*map(self._texts, own_levels), strict=True):
            by_level = dict(zip(own_levels, values, strict=True))
            algo = str(by_level.pop(self.algo_level))
            parameters = list(by_level.values())
            key = (algo, "-".join(text for text in parameters if text is not None))
            self.variations.append(key)
            if parameters_of.setdefault(key, parameters) != parameters and is_unique:
                is_unique = False
                self.problems.append(
                    f"signals: two variations of {algo!r} would both be called {key[1]!r}; "
                    "rename a parameter value"
                )
        self.tickers = [str(ticker) for ticker in self._texts(self.ticker_level)]

    def _check_cells(self) -> None:
        n_wrong = 0
        first = ""
        for _, block in self._blocks():
            _, is_wrong = _cells(block)
            n_wrong += int(np.count_nonzero(is_wrong))
            if n_wrong and not first:
                row, column = np.argwhere(is_wrong)[0]
                place = f"column {', '.join(map(str, block.columns[column]))}, row {row + 1}"
                first = f"signals: {place}: {block.iat[row, column]} is neither true nor false"
        if n_wrong > 1:
            first += f" ({n_wrong} such cells)"
        if n_wrong:
            self.problems.append(first)

    def _blocks(self) -> Iterator[tuple[int, Any]]:
        """Yield blocks of columns with the number of their first column."""
        n_rows, n_columns = self.frame.shape
        width = max(1, _BLOCK_CELLS // max(1, n_rows))
        for first in range(0, n_columns, width):
            raise_if_stopped(self.stop, "signals")
            yield first, self.frame.iloc[:, first : first + width]


def _cells(block: Any) -> tuple[BoolArray, BoolArray]:
    """Return which cells are true, and which are neither true, false nor null."""
    values = block.to_numpy()
    if values.dtype == np.bool_:
        return values, np.zeros_like(values)
    values = np.where(block.isna().to_numpy(), 0, values)
    is_true = np.asarray(values == 1, np.bool_)
    is_false = np.asarray(values == 0, np.bool_)
    return is_true, ~(is_true | is_false)


def _positions(names: Sequence[Any], axis: Sequence[Any]) -> IndexArray:
    position = {name: number for number, name in enumerate(axis)}
    return np.array([position[name] for name in names], np.int64)
