"""Signals as wide boolean pandas frames, as vectorbt makes them: one frame, a list or a dict."""

from __future__ import annotations

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
    import narwhals as nw

    if is_several(source):
        frames = _frames(source)
        return not frames or not all(map(is_long, frames))
    return nw.dependencies.is_pandas_dataframe(source) and source.columns.nlevels > 1


def is_long(frame: Any) -> bool:
    """Return whether a frame has a column of variations."""
    roles = [role_of(name, ["variation"]) for name in getattr(frame, "columns", ())]
    return "variation" in roles


def is_several(source: Any) -> bool:
    """Return whether a source is a dict or list of frames, empty or with one; a text is a path."""
    if not isinstance(source, Mapping | Sequence) or isinstance(source, str):
        return False
    frames = _frames(source)
    return not frames or any(hasattr(frame, "columns") for frame in frames)


def _frames(source: Any) -> list[Any]:
    return list(source.values() if isinstance(source, Mapping) else source)


@dataclass(slots=True)
class _Part:
    """One frame: its algorithm, if the caller names it, and what its column levels are.

    Levels are meant by position, since they may have no name. `keys` and `tickers` are those of
    each column; they are empty when the levels are not understood.
    """

    place: str
    frame: Any
    algo: str | None
    keys: list[Key] = field(default_factory=list)
    tickers: list[str | None] = field(default_factory=list)
    days: list[Any] = field(default_factory=list)

    @property
    def levels(self) -> list[Any]:
        return list(self.frame.columns.names)

    def texts(self, level: int) -> list[str | None]:
        """Return the value of a level for every column, as text."""
        values = self.frame.columns.get_level_values(level)
        pairs = zip(values, values.isna(), strict=True)
        return [None if null else str(value) for value, null in pairs]


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

    names = FoundNames()
    problems: list[str] = []
    warnings: list[str] = []
    parts = list(_parts(source, problems))
    for part in parts:
        _name_columns(part, reading.columns, problems, warnings)
        _read_index(part, reading, problems)
        problems += cell_problems(part, reading.stop)
        names.variations.update(dict.fromkeys(part.keys))
        names.tickers.update(ticker for ticker in part.tickers if ticker is not None)
        names.days.update(day for day in part.days if day is not None)
    problems += overlaps(parts)

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
    signals.problems += problems
    signals.guesses += warnings
    return signals, names


def _parts(
    source: Any,
    problems: list[str],
) -> Iterator[_Part]:
    """Yield the frames of a source with what messages call them."""
    import narwhals as nw

    if nw.dependencies.is_pandas_dataframe(source):
        yield _Part(_NAME, source, None)
        return
    if isinstance(source, Mapping):
        parts = [_Part(f"{_NAME}[{key!r}]", frame, str(key)) for key, frame in source.items()]
    else:
        frames = enumerate(source, 1)
        parts = [_Part(f"{_NAME}, frame {number}", frame, None) for number, frame in frames]
    for part in parts:
        if nw.dependencies.is_pandas_dataframe(part.frame):
            yield part
        else:
            problems.append(
                f"{part.place}: is a {type(part.frame).__name__}, not a wide pandas frame of true "
                "and false (index = days, columns = tickers)"
            )
    if not parts:
        problems.append(f"{_NAME}: there is no frame")


# --- columns -------------------------------------------------------------------------------------


def _name_columns(
    part: _Part,
    columns: ColumnNames,
    problems: list[str],
    warnings: list[str],
) -> None:
    """Give every column of a frame its algorithm, variation and ticker."""
    levels = part.levels
    wrong = []
    for axis, n in zip(("rows", "columns"), part.frame.shape, strict=True):
        if not n:
            wrong.append(f"{part.place}: the frame has no {axis}")
    algo_level = _level(part, "algo", columns, wrong)
    ticker_level = _level(part, "ticker", columns, wrong)
    if ticker_level is None and levels.count(None) == 1:
        ticker_level = levels.index(None)
    shown = f"the levels are {', '.join(map(str, levels))}"
    if ticker_level is None and "ticker" not in columns:
        wrong.append(
            f"{part.place}: no column level 'ticker'; {shown}; name it with columns (ticker=NAME)"
        )
    if part.algo is not None and algo_level is not None:
        wrong.append(
            f"{part.place}: has the column level {levels[algo_level]!r} too; give a list of "
            "frames, or drop the level"
        )
    problems += wrong
    if wrong or ticker_level is None:
        return
    if levels[ticker_level] is None and len(levels) > 1:
        examples = named(part.frame.columns.get_level_values(ticker_level).unique(), _MAX_NAMED)
        warnings.append(f"{part.place}: the column level without a name has tickers: {examples}")
    part.tickers = part.texts(ticker_level)
    parameters = [level for level in range(len(levels)) if level not in (algo_level, ticker_level)]
    if algo_level is not None:
        algos = part.texts(algo_level)
    else:
        algos = [_algo_of(part, [levels[level] for level in parameters], warnings)]
        algos *= len(part.tickers)
    part.keys = variation_keys(part, algos, parameters, problems)


def _level(
    part: _Part,
    role: str,
    columns: ColumnNames,
    problems: list[str],
) -> int | None:
    """Return the position of the level that has a role, by the caller's name or the usual ones."""
    levels = part.levels
    usual = sure_names(role)
    matching = [n for n, level in enumerate(levels) if plain_name(level) in usual]
    if role in columns:
        matching = [n for n, level in enumerate(levels) if level == columns[role]]
    shown = f"the levels are {', '.join(map(str, levels))}"
    remedy = f"name it with columns ({role}=NAME)"
    if role in columns and not matching:
        problems.append(f"{part.place}: no column level {columns[role]!r}; {shown}; {remedy}")
    if len(matching) > 1:
        problems.append(f"{part.place}: several column levels may be the {role}; {shown}; {remedy}")
    if not matching:
        return None
    is_null = part.frame.columns.get_level_values(matching[0]).isna()
    if is_null.any():
        problems.append(
            f"{part.place}: column level {levels[matching[0]]!r} holds nulls, "
            f"the first in column {is_null.argmax() + 1}"
        )
    return matching[0]


def _algo_of(
    part: _Part,
    parameters: Sequence[Any],
    warnings: list[str],
) -> str:
    """Return the name of a frame that is one algorithm.

    vectorbt calls a parameter by its indicator: `ma_window`, or `fast_window` and `slow_window`.
    """
    if part.algo is not None:
        return part.algo
    indicators = [str(name).rpartition("_")[0] or str(name) for name in parameters]
    algo = "-".join(dict.fromkeys(indicators)) or part.place
    warnings.append(
        f"{part.place}: no column level 'algo': the frame is one algorithm, called {algo!r}; "
        'give {"NAME": frame} for another name'
    )
    return algo


def variation_keys(
    part: _Part,
    algos: Sequence[str | None],
    parameters: Sequence[int],
    problems: list[str],
) -> list[Key]:
    """Name every column; different parameters must not give the same name."""
    keys = []
    clashes = []
    parameters_of: dict[Key, Any] = {}
    texts = [part.texts(level) for level in parameters]
    for algo, *values in zip(algos, *texts, strict=True):
        variation = "-".join(text for text in values if text is not None) or _ONLY
        key = (str(algo), variation)
        keys.append(key)
        if parameters_of.setdefault(key, values) != values:
            clashes.append(
                f"{part.place}: two variations of {algo!r} would both be called {variation!r}; "
                "rename a parameter value"
            )
    # The first one shows what is wrong; every ticker of such a variation clashes.
    problems += clashes[:1]
    return keys


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


# --- rows and cells ------------------------------------------------------------------------------


def _read_index(
    part: _Part,
    reading: Reading,
    problems: list[str],
) -> None:
    """Take the days of a frame from its index."""
    index = part.frame.index
    table = frame_table(index.to_frame(index=False, name="index"), part.place)
    table = replace(table, timezone=reading.timezone, date_format=reading.date_format)
    dates = DateColumn(table, "index")
    for batch in table.batches(["index"]):
        part.days += dates.days(batch["index"]).to_list()
        dates.note_times([])
    problems += dates.problems()
    if None in part.days and not dates.refusal:
        number = part.days.index(None)
        problems.append(
            f"{part.place}: index entry {number + 1}: {str(index[number])!r} is not a day; "
            f"use timestamps, YYYY-MM-DD or YYYYMMDD ({part.days.count(None)} such entries)"
        )


def cell_problems(
    part: _Part,
    stop: Stop,
) -> list[str]:
    """Return the first cell that is no signal, if any."""
    n_wrong = 0
    first = ""
    for _, block in _blocks(part.frame, stop):
        _, is_wrong = _cells(block)
        n_wrong += int(np.count_nonzero(is_wrong))
        if n_wrong and not first:
            row, column = np.argwhere(is_wrong)[0]
            name = block.columns[column]
            levels = ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
            value = block.iat[row, column]
            first = (
                f"{part.place}: column {levels}, row {row + 1}: {value} is neither true nor false"
            )
    if n_wrong > 1:
        first += f" ({n_wrong} such cells)"
    return [first] if n_wrong else []


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
