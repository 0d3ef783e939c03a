"""Signals as wide boolean pandas frames, as vectorbt makes them: one frame, a list or a dict."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mp2.data.arrays import BoolArray
from mp2.data.column_names import ColumnNames, plain_name, role_of, sure_names
from mp2.data.columns import KEYS
from mp2.data.date_columns import DateColumn
from mp2.data.encoding import FoundNames, LongSignals
from mp2.data.frames import frame_table
from mp2.data.reading import Reading
from mp2.data.signal_table import Key
from mp2.data.tables import Rows, Stop, Table, raise_if_stopped
from mp2.errors import named

# Cells that are converted at once.
_BLOCK_CELLS = 1 << 20
_NAME = "signals"
# The variation of an algorithm without parameters.
_ONLY = "default"
_MAX_NAMED = 5


def is_wide(source: Any) -> bool:
    """Return whether a source is a wide pandas frame, or a dict or list that is not of long ones.

    A wide frame has several column levels, except in a dict or list.
    """
    # Files are never wide, and need not wait for the import.
    if isinstance(source, str | os.PathLike):
        return False
    import narwhals as nw

    if is_several(source):
        frames = _frames(source)
        return not frames or not all(map(is_long, frames))
    return nw.dependencies.is_pandas_dataframe(source) and source.columns.nlevels > 1


def is_long(frame: Any) -> bool:
    """Return whether a frame has a column of variations."""
    columns = getattr(frame, "columns", ())
    return any(role_of(name, ["variation"]) for name in columns)


def is_several(source: Any) -> bool:
    """Return whether a source is a dict or list of frames, empty or with one; a text is a path."""
    if not isinstance(source, Mapping | Sequence) or isinstance(source, str):
        return False
    frames = _frames(source)
    return not frames or any(hasattr(frame, "columns") for frame in frames)


def _frames(source: Any) -> list[Any]:
    return list(source.values() if isinstance(source, Mapping) else source)


def wide_signals(
    source: Any,
    reading: Reading,
) -> tuple[LongSignals, FoundNames]:
    """Return wide frames as one long table of buys, and all their names, also without a buy.

    Index = time; column levels = the ticker, the algorithm if there is such a level, and any
    others, which are parameters: a variation is named by their values joined with '-', without
    those that a column leaves null. A frame without a level of algorithms is one algorithm, called
    by its key of a dict or else by its parameters, as `ma` by `ma_window`. Cells are true, false,
    1, 0, -1 (no buy) or null.
    """
    import polars as pl

    parts = []
    if isinstance(source, Mapping):
        for key, frame in source.items():
            parts.append(_Part(f"{_NAME}[{key!r}]", frame, str(key)))
    elif is_several(source):
        for number, frame in enumerate(source, 1):
            parts.append(_Part(f"{_NAME}, frame {number}", frame))
    else:
        parts.append(_Part(_NAME, source))

    def read(_: Any) -> Rows:
        for part in parts:
            # One row for each column of the frame: a buy takes its names from there.
            key_columns = pl.DataFrame(part.keys, schema=["algo", "variation"], orient="row")
            key_columns = key_columns.with_columns(pl.Series("ticker", part.tickers, pl.String))
            day_column = pl.Series("day", part.days, pl.Date)
            for first_column, block in _blocks(part.frame, reading.stop):
                is_bought, _ = _cells(block)
                row, column = np.nonzero(is_bought)
                buys = key_columns[column + first_column]
                yield buys.with_columns(day_column.gather(row))

    signals = LongSignals(Table(_NAME, KEYS, read), {}, with_outcome=False)
    if not parts:
        signals.problems.append(f"{_NAME}: there is no frame")
    names = FoundNames()
    for part in parts:
        if part.is_pandas():
            part.name_columns(reading.columns)
            part.read_index(reading)
            part.check_cells(reading.stop)
        signals.problems += part.problems
        signals.guesses += part.guesses
        names.variations.update(dict.fromkeys(part.keys))
        names.tickers.update(ticker for ticker in part.tickers if ticker is not None)
        names.days.update(filter(None, part.days))
    signals.problems += overlaps(parts)
    return signals, names


def overlaps(parts: Sequence[_Part]) -> list[str]:
    """Return a problem if two frames have the same variation of a ticker on the same days.

    They are likely to be two algorithms with parameters of the same names.
    """
    part_of: dict[tuple[Key, str | None], _Part] = {}
    for part in parts:
        for column in zip(part.keys, part.tickers, strict=True):
            other = part_of.setdefault(column, part)
            if other is not part and not set(part.days).isdisjoint(other.days):
                key, ticker = column
                return [
                    f"{part.place}: has {' '.join(key)} of {ticker}, as {other.place} has; name "
                    'the algorithms: {"NAME": frame, "OTHER": frame}'
                ]
    return []


# --- one frame -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """One frame: its algorithm, if the caller names it, and what its rows and columns are.

    Column levels are meant by position, since they may have no name. `keys` and `tickers` are those
    of each column; they are empty when the levels are not understood.
    """

    place: str
    frame: Any
    algo: str | None = None
    keys: list[Key] = field(default_factory=list)
    tickers: list[str | None] = field(default_factory=list)
    days: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)

    def is_pandas(self) -> bool:
        """Return whether the frame is one of pandas, which alone has column levels."""
        import narwhals as nw

        if nw.dependencies.is_pandas_dataframe(self.frame):
            return True
        self.refuse(
            f"is a {type(self.frame).__name__}, not a wide pandas frame of true and false "
            "(index = days, columns = tickers)"
        )
        return False

    def refuse(self, problem: str) -> None:
        """Add a problem of this frame."""
        self.problems.append(f"{self.place}: {problem}")

    def name_columns(self, columns: ColumnNames) -> None:
        """Give every column its algorithm, variation and ticker; `columns` are the caller's."""
        for axis, n in zip(("rows", "columns"), self.frame.shape, strict=True):
            if not n:
                self.refuse(f"the frame has no {axis}")
        levels = list(self.frame.columns.names)
        algo_level = self._level("algo", columns)
        ticker_level = self._level("ticker", columns)
        if ticker_level is None and levels.count(None) == 1:
            ticker_level = levels.index(None)
        if ticker_level is None and "ticker" not in columns:
            self._refuse_levels("no column level 'ticker'", "ticker")
        if self.algo is not None and algo_level is not None:
            self.refuse(
                f"has the column level {levels[algo_level]!r} too; give a list of frames, or drop "
                "the level"
            )
        if self.problems or ticker_level is None:
            return
        if levels[ticker_level] is None and len(levels) > 1:
            tickers = self.frame.columns.get_level_values(ticker_level).unique()
            self.guesses.append(
                f"{self.place}: the column level without a name has tickers: "
                f"{named(tickers, _MAX_NAMED)}"
            )
        self.tickers = self._texts(ticker_level)
        parameters = list(range(len(levels)))
        parameters.remove(ticker_level)
        if algo_level is None:
            algo = self.algo or self.guessed_algo([levels[level] for level in parameters])
            algos: list[str | None] = [algo] * len(self.tickers)
        else:
            parameters.remove(algo_level)
            algos = self._texts(algo_level)
        self.name_variations(algos, [self._texts(level) for level in parameters])

    def _level(self, role: str, columns: ColumnNames) -> int | None:
        """Return the position of a role's level, by the caller's name or the usual ones."""
        levels = list(self.frame.columns.names)
        usual = sure_names(role)
        matching = []
        for number, level in enumerate(levels):
            is_meant = plain_name(level) in usual
            if role in columns:
                is_meant = level == columns[role]
            if is_meant:
                matching.append(number)
        if role in columns and not matching:
            self._refuse_levels(f"no column level {columns[role]!r}", role)
        if len(matching) > 1:
            self._refuse_levels(f"several column levels may be the {role}", role)
        if not matching:
            return None
        is_null = self.frame.columns.get_level_values(matching[0]).isna()
        if is_null.any():
            self.refuse(
                f"column level {levels[matching[0]]!r} holds nulls, "
                f"the first in column {is_null.argmax() + 1}"
            )
        return matching[0]

    def _refuse_levels(self, problem: str, role: str) -> None:
        levels = ", ".join(map(str, self.frame.columns.names))
        self.refuse(f"{problem}; the levels are {levels}; name it with columns ({role}=NAME)")

    def _texts(self, level: int) -> list[str | None]:
        """Return the value of a level for every column, as text."""
        values = self.frame.columns.get_level_values(level)
        pairs = zip(values, values.isna(), strict=True)
        return [None if null else str(value) for value, null in pairs]

    def guessed_algo(self, parameters: Sequence[Any]) -> str:
        """Return the name of a frame that is one algorithm.

        vectorbt calls a parameter by its indicator: `ma_window`, or `fast_window` and
        `slow_window`.
        """
        indicators = [name.rpartition("_")[0] or name for name in map(str, parameters)]
        algo = "-".join(dict.fromkeys(indicators)) or self.place
        self.guesses.append(
            f"{self.place}: no column level 'algo': the frame is one algorithm, called {algo!r}; "
            'give {"NAME": frame} for another name'
        )
        return algo

    def name_variations(
        self,
        algos: Sequence[str | None],
        parameters: Sequence[Sequence[str | None]],
    ) -> None:
        """Name every column; different parameters must not give the same name."""
        parameters_of: dict[Key, Any] = {}
        for algo, *values in zip(algos, *parameters, strict=True):
            variation = "-".join(text for text in values if text is not None) or _ONLY
            key = (str(algo), variation)
            self.keys.append(key)
            is_same = parameters_of.setdefault(key, values) == values
            # Once: every ticker of such a variation clashes.
            if not is_same and not self.problems:
                self.refuse(
                    f"two variations of {algo!r} would both be called {variation!r}; "
                    "rename a parameter value"
                )

    def read_index(self, reading: Reading) -> None:
        """Take the days from the index."""
        index = self.frame.index
        table = frame_table(index.to_frame(index=False, name="index"), self.place)
        table = replace(table, timezone=reading.timezone, date_format=reading.date_format)
        dates = DateColumn(table, "index")
        for batch in table.batches(["index"]):
            self.days += dates.days(batch["index"]).to_list()
            dates.note_times([])
        self.problems += dates.problems()
        if None in self.days and not dates.refusal:
            number = self.days.index(None)
            self.refuse(
                f"index entry {number + 1}: {str(index[number])!r} is not a day; "
                f"use timestamps, YYYY-MM-DD or YYYYMMDD ({self.days.count(None)} such entries)"
            )

    def check_cells(self, stop: Stop) -> None:
        """Report the first cell that is no signal, if any."""
        n_wrong = 0
        first = ""
        for _, block in _blocks(self.frame, stop):
            _, is_wrong = _cells(block)
            n_wrong += int(np.count_nonzero(is_wrong))
            if n_wrong and not first:
                row, column = np.argwhere(is_wrong)[0]
                name = block.columns[column]
                levels = ", ".join(map(str, name)) if isinstance(name, tuple) else name
                value = block.iat[row, column]
                first = f"column {levels}, row {row + 1}: {value} is neither true nor false"
        if n_wrong > 1:
            first += f" ({n_wrong} such cells)"
        if n_wrong:
            self.refuse(first)


def _blocks(
    frame: Any,
    stop: Stop,
) -> Iterator[tuple[int, Any]]:
    """Yield blocks of columns with the number of their first column."""
    n_rows, n_columns = frame.shape
    width = max(1, _BLOCK_CELLS // max(1, n_rows))
    for first in range(0, n_columns, width):
        raise_if_stopped(stop, _NAME)
        yield first, frame.iloc[:, first : first + width]


def _cells(block: Any) -> tuple[BoolArray, BoolArray]:
    """Return which cells are buys, and which are not signals: neither true, false, -1 nor null."""
    values = block.to_numpy()
    # The usual frame; the others take several passes.
    if values.dtype == np.bool_:
        return values, np.zeros_like(values)
    values = np.where(block.isna().to_numpy(), 0, values)
    is_buy = np.asarray(values == 1, np.bool_)
    is_other = np.asarray((values == 0) | (values == -1), np.bool_)
    return is_buy, ~(is_buy | is_other)
