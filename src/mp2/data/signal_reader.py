"""Read signals from any file or frame into a panel."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mp2.data import bitset
from mp2.data.columns import CANONICAL, parse_day
from mp2.data.encoding import (
    Axes,
    Buys,
    LongSignals,
    Market,
    Outcomes,
    WideSignals,
    arrange,
    parse_days,
)
from mp2.data.panel import SignalPanel, blocks, signal_panel
from mp2.data.signal_table import algo_numbers
from mp2.data.tables import open_table, stopped_first
from mp2.errors import InputError

# --- reading -------------------------------------------------------------------------------------------------------


def read_signals(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    outcomes: Any = None,
    algos: Sequence[str] | None = None,
    days: Sequence[Any] | None = None,
    base_win_rates: Sequence[float] | Mapping[str, float] | None = None,
    table: str | None = None,
    query: str | None = None,
    stop: threading.Event | None = None,
    max_memory_bytes: int | None = None,
) -> SignalPanel:
    """Read signals from a file or frame into a panel.

    `source` is a path to Parquet, CSV, CSV.gz or SQLite (`table` or `query` choose from it), or a polars, pandas or
    pyarrow frame: long (`algo, variation, day, ticker` and `open, close` or `win`, one row per buy) or, in pandas, wide
    and boolean (index = time, named column levels algo, parameters, ticker or symbol).

    - `columns` maps these names to the source's own.
    - `outcomes`: a long table `day, ticker` with `open, close` or `win`, path or frame. Wide frames need it; for a long
      table it takes the place of the table's own outcome columns. Base win rates then cover all its pairs.
    - `algos` fixes the order of the algorithms (default: first appearance). `days` adds days that may have no buy.
    - `base_win_rates`, percent: one per day in date order, or by ISO day to replace some of the computed ones.
    - `stop`, when set, ends the reading between two batches with `ReadStoppedError`.
    - `max_memory_bytes`: the most that encoding may take (default: the memory available now).

    Raises `InputError` listing everything wrong with the input; what is tolerated is in the panel's `warnings`.
    """
    names = dict(columns or {})
    problems = [
        f"columns: {role!r} is unknown; choose from {', '.join(CANONICAL)}"
        for role in names
        if role not in CANONICAL
    ]
    extra_days = parse_days(_listed(days), problems)
    with ExitStack() as opened, stopped_first(stop):
        market = None
        if outcomes is not None:
            market = Outcomes(
                opened.enter_context(open_table(outcomes, "outcomes", stop=stop)), names, stop
            )
            market.scan()
        signals = _open_signals(opened, source, names, market, stop, table=table, query=query)
        found = signals.scan()
        problems += [*signals.problems, *(market.problems if market else ())]
        axes = arrange(found, _listed(algos), extra_days, problems)
        rates = _given_rates(base_win_rates, axes.days, problems)
        problems += _memory_problems(axes, max_memory_bytes)
        if problems:
            raise InputError(problems)
        return _encoded(signals, axes, market, rates)


def _listed(values: Sequence[Any] | None) -> Sequence[Any]:
    """A single name is a list of one."""
    return (values,) if isinstance(values, str) else () if values is None else values


Signals = LongSignals | WideSignals


def _open_signals(
    opened: ExitStack,
    source: Any,
    names: Mapping[str, str],
    market: Outcomes | None,
    stop: threading.Event | None,
    *,
    table: str | None,
    query: str | None,
) -> Signals:
    if not _is_wide(source):
        opened_table = opened.enter_context(
            open_table(source, "signals", table=table, query=query, stop=stop)
        )
        return LongSignals(opened_table, names, stop, with_outcome=market is None)
    if market is None:
        raise InputError(
            "signals: a wide frame needs outcomes, a table day, ticker with open, close or win"
        )
    return WideSignals(source, names, stop)


def _is_wide(source: Any) -> bool:
    import narwhals as nw

    return nw.dependencies.is_pandas_dataframe(source) and source.columns.nlevels > 1


def _given_rates(
    given: Sequence[float] | Mapping[str, float] | None, days: Sequence[date], problems: list[str]
) -> dict[int, float]:
    """The user's base win rates by day position."""
    if given is None or not days:
        return {}
    if isinstance(given, Mapping):
        position = {day: idx for idx, day in enumerate(days)}
        unknown = [day for day in given if parse_day(str(day)) not in position]
        problems += [
            f"base_win_rates: {day!r} is not among the days; add it with days" for day in unknown
        ]
        rates = {
            position[day]: rate
            for text, rate in given.items()
            if (day := parse_day(str(text))) in position
        }
    else:
        rates = dict(enumerate(given))
        if len(rates) != len(days):
            problems.append(
                f"base_win_rates: {len(rates)} given for {len(days)} days; give one for each"
            )
    problems += [
        f"base_win_rates: {rate!r} is not a percentage between 0 and 100"
        for rate in rates.values()
        if not (isinstance(rate, Real) and 0 <= float(rate) <= 100)
    ]
    return rates


def _memory_problems(axes: Axes, max_memory_bytes: int | None) -> Iterator[str]:
    needed, limit = (
        _encoding_bytes(axes),
        _available_bytes() if max_memory_bytes is None else max_memory_bytes,
    )
    if limit is not None and needed > limit:
        yield f"{_too_large(axes)} and {limit / 2**20:,.1f} MB are available; drop variations or days"


def _encoding_bytes(axes: Axes) -> int:
    return 8 * len(axes.days) * bitset.n_words(len(axes.tickers)) * (2 * len(axes.variations) + 2)


def _too_large(axes: Axes) -> str:
    sizes = (
        f"{len(axes.variations)} variations x {len(axes.days)} days x {len(axes.tickers)} tickers"
    )
    return f"the panel is larger than memory: {sizes} take {_encoding_bytes(axes) / 2**20:,.1f} MB to encode"


def _available_bytes() -> int | None:
    """Memory a process can still take: the kernel's estimate on Linux, all there is elsewhere, None when unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")
        )
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


# --- encoding ------------------------------------------------------------------------------------------------------


class _Encoder:
    """Sets the bits of one buy after another. Memory: two packed panels, until `wins` turns out to be consistent."""

    def __init__(self, axes: Axes) -> None:
        n_days, n_words = len(axes.days), bitset.n_words(len(axes.tickers))
        self.buys = np.zeros((len(axes.variations), n_days, n_words), np.uint64)
        self.wins = np.zeros_like(self.buys)
        self._priced = np.zeros((n_days, len(axes.tickers)), np.bool_)

    def add(self, rows: Buys) -> None:
        _, n_days, n_words = self.buys.shape
        cells = (rows.variation * n_days + rows.day) * n_words
        bitset.set_bits(self.buys.reshape(-1), cells, rows.ticker)
        bitset.set_bits(self.wins.reshape(-1), cells[rows.won], rows.ticker[rows.won])
        self._priced[rows.day[rows.priced], rows.ticker[rows.priced]] = True

    def priced(self) -> npt.NDArray[np.uint64]:
        """uint64[D, W]: the (day, ticker) priced in any row."""
        return bitset.pack(self._priced)

    def winners(self) -> npt.NDArray[np.uint64]:
        """uint64[D, W]: the (day, ticker) won in any row."""
        winners: npt.NDArray[np.uint64] = np.bitwise_or.reduce(self.wins, axis=0)
        return winners

    def is_consistent(self, winners: npt.NDArray[np.uint64]) -> bool:
        """Whether every buy of a winner is a win."""
        return all(
            np.array_equal(self.buys[block] & winners, self.wins[block])
            for block in blocks(self.buys)
        )


def _encoded(
    signals: Signals, axes: Axes, outcomes: Outcomes | None, given_rates: Mapping[int, float]
) -> SignalPanel:
    market = outcomes.load(axes) if outcomes else None
    try:
        encoder = _Encoder(axes)
    except MemoryError as error:
        raise InputError(f"{_too_large(axes)}; drop variations or days") from error
    for rows in signals.rows(axes, market):
        encoder.add(rows)
    winners = encoder.winners()
    consistent = encoder.is_consistent(winners)
    rates = _base_rates(encoder.priced(), winners) if market is None else _market_rates(market)
    rates[list(given_rates)] = list(given_rates.values())
    warnings = [
        *(outcomes.warnings if outcomes else ()),
        *signals.tally.warnings(_n_set(encoder.buys), _BUY),
    ]
    if not consistent:
        warnings.append(
            f"{signals.tally.name}: some (day, ticker) win in some rows and lose in others; each buy keeps its own"
        )
    return _panel(axes, encoder.buys, winners if consistent else encoder.wins, rates, warnings)


_BUY = "(variation, day, ticker)"


def _n_set(words: npt.NDArray[np.uint64]) -> int:
    return sum(int(bitset.count(words[block]).sum()) for block in blocks(words))


def _base_rates(
    priced: npt.NDArray[np.uint64], winners: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float64]:
    return _percent(bitset.count(priced & winners), bitset.count(priced))


def _market_rates(market: Market) -> npt.NDArray[np.float64]:
    return _percent((market.priced & market.won).sum(axis=1), market.priced.sum(axis=1))


def _percent(n_won: npt.NDArray[np.int64], n: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Zero where there is nothing to divide by."""
    return np.where(n > 0, 100.0 * n_won / np.maximum(n, 1), 0.0)


def _panel(
    axes: Axes,
    buys: npt.NDArray[np.uint64],
    wins: npt.NDArray[np.uint64],
    rates: npt.NDArray[np.float64],
    warnings: Sequence[str],
) -> SignalPanel:
    return signal_panel(
        algos=axes.algos,
        variations=[variation for _, variation in axes.variations],
        algo_of=algo_numbers(axes.algos, [algo for algo, _ in axes.variations]),
        days=[day.isoformat() for day in axes.days],
        tickers=axes.tickers,
        buys=buys,
        wins=wins,
        base_win_rates=rates,
        warnings=warnings,
    )
