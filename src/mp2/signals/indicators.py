"""Indicators of daily bars, computed by TA-Lib: each distinct one once per ticker.

An `Indicator` is a description: which function of which columns or other indicators. Equal
descriptions are the same indicator, so EMA(12) is computed once for all variations that read it.

Guarantees:

- A series is as of the close of each bar. Only `mp2.signals.sheet` knows about trading days and
  shifts by one.
- Only bars before the stop index reach an indicator, so later bars cannot matter.
- A ticker's series are those of its own bars, from its first one in the window on, and depend on
  no other ticker. Results do not depend on chunks or threads, and equal those of a longer request
  bit for bit.

Recursive indicators forget their start at a known pace. After `n_warm_up` bars less than 1e-9 of it
is left.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

from mp2.data.arrays import FloatArray
from mp2.data.prices import PriceTable
from mp2.data.sessions import MAX_SESSIONS_BACK
from mp2.errors import Mp2Error

Column = Literal["open", "high", "low", "close", "volume"]
COLUMNS: tuple[Column, ...] = get_args(Column)

# Warm-up in multiples of the period, of the longest one for a nested EMA. ADX applies Wilder's
# smoothing twice.
EMA_PERIODS = 12
NESTED_EMA_PERIODS = 15
WILDER_PERIODS = 25
ADX_PERIODS = 30

# Relative to the price. Sums of the same prices in another order differ by 1e-13 of them, so
# averages of a price that never moves would otherwise be above each other by chance.
NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class Indicator:
    """One series per ticker, float64[n_bars]: `compute(*inputs, *params)`.

    Value i is as of the close of bar i.

    - `name`: its name in messages, such as `EMA(12)`.
    - `compute`: a function of arrays, or the name of a TA-Lib function with one output. It returns
      float64 of the length of its inputs, NaN where the history is too short, and must not read
      bars later than the one it computes.
    - `inputs`: columns of the bars, or other indicators. Volumes may contain NaN, prices never do.
    - `params`: the arguments after the inputs, whole numbers as int.
    - `n_lookback`: bars needed before the bar of a first value, beyond those its inputs need.
    - `n_warm_up`: bars until the start no longer matters; 0 without memory beyond `n_lookback`.
    """

    name: str
    compute: Callable[..., FloatArray] | str
    inputs: tuple[Series, ...]
    params: tuple[float, ...] = ()
    n_lookback: int = 0
    n_warm_up: int = 0


Series = Indicator | Column
"""What a rule can read."""


def n_bars(series: Series) -> int:
    """Count the bars that the first value of a series needs; 1 for a column."""
    if not isinstance(series, Indicator):
        return 1
    return series.n_lookback + max(map(n_bars, series.inputs), default=1)


def n_warm_up(series: Series) -> int:
    """Count the bars before the first wanted value: the longest warm-up or lookback."""
    if not isinstance(series, Indicator):
        return 1
    return max(series.n_warm_up, n_bars(series), *map(n_warm_up, series.inputs))


# --- the indicators of the ten algorithms


def ema(period: int) -> Indicator:
    """Exponential moving average of the close, smoothing 2 / (period + 1).

    It starts with the mean of the first `period` closes.
    """
    return _talib(
        "EMA",
        ("close",),
        period,
        n_lookback=period - 1,
        n_warm_up_periods=EMA_PERIODS,
    )


def sma(period: int) -> Indicator:
    """Mean of the last `period` closes."""
    return _talib(
        "SMA",
        ("close",),
        period,
        n_lookback=period - 1,
    )


def macd_line(fast: int, slow: int) -> Indicator:
    """EMA(fast) - EMA(slow)."""
    return Indicator(
        f"MACD({fast},{slow})",
        np.subtract,
        (ema(fast), ema(slow)),
    )


def macd_histogram(
    fast: int,
    slow: int,
    signal: int,
) -> Indicator:
    """MACD line minus its signal line, which is EMA(signal) of the MACD line.

    Every EMA starts at its own first bar, so that it can be shared. TA-Lib's MACD seeds the fast
    one later; both agree after the warm-up.
    """
    periods = f"({fast},{slow},{signal})"
    line = macd_line(fast, slow)
    signal_line = Indicator(
        f"MACD signal{periods}",
        "EMA",
        (line,),
        (signal,),
        signal - 1,
        NESTED_EMA_PERIODS * max(slow, signal),
    )
    return Indicator(
        f"MACD histogram{periods}",
        np.subtract,
        (line, signal_line),
    )


def rsi(period: int) -> Indicator:
    """Wilder's relative strength index, 0..100; NaN for a price that does not move."""
    raw = _talib(
        "RSI",
        ("close",),
        period,
        n_lookback=period,
        n_warm_up_periods=WILDER_PERIODS,
    )
    return Indicator(
        f"RSI({period})",
        _where_moving,
        (raw, _average_move(("close", "close", "close"), period)),
    )


def adx(period: int) -> Indicator:
    """Wilder's average directional movement index, 0..100."""
    return _talib(
        "ADX",
        _RANGE,
        period,
        n_lookback=2 * period - 1,
        n_warm_up_periods=ADX_PERIODS,
    )


def plus_di(period: int) -> Indicator:
    """Wilder's positive directional indicator, 0..100; NaN for a price that does not move."""
    raw = _talib(
        "PLUS_DI",
        _RANGE,
        period,
        n_lookback=period,
        n_warm_up_periods=WILDER_PERIODS,
    )
    # A share of the range: without one it keeps its last value for good.
    return Indicator(
        f"PLUS_DI({period})",
        _where_moving,
        (raw, _average_move(_RANGE, period)),
    )


def minus_di(period: int) -> Indicator:
    """Wilder's negative directional indicator, 0..100."""
    return _talib(
        "MINUS_DI",
        _RANGE,
        period,
        n_lookback=period,
        n_warm_up_periods=WILDER_PERIODS,
    )


def natr(period: int) -> Indicator:
    """Wilder's average true range in percent of the close; NaN for a price that does not move."""
    average = _average_move(_RANGE, period)
    return Indicator(
        f"NATR({period})",
        _where_moving,
        (average, average),
    )


def channel_high(period: int) -> Indicator:
    """Highest high of the `period` bars before a bar, without the bar itself."""
    return _channel("channel high", "MAX", "high", period)


def channel_low(period: int) -> Indicator:
    """Lowest low of the `period` bars before a bar, without the bar itself."""
    return _channel("channel low", "MIN", "low", period)


def _average_move(bars: tuple[Series, ...], period: int) -> Indicator:
    """Moves between and within bars, smoothed as Wilder does, in percent of the close."""
    return _talib(
        "NATR",
        bars,
        period,
        n_lookback=period,
        n_warm_up_periods=WILDER_PERIODS,
    )


def _channel(
    name: str,
    function: str,
    column: Column,
    period: int,
) -> Indicator:
    extreme = _talib(
        function,
        (column,),
        period,
        n_lookback=period - 1,
    )
    return Indicator(
        f"{name}({period})",
        _previous,
        (extreme,),
        n_lookback=1,
    )


def deviation(period: int) -> Indicator:
    """Population standard deviation of `period` closes; NaN below a millionth of their mean."""
    raw = _talib(
        "STDDEV",
        ("close",),
        period,
        n_lookback=period - 1,
    )
    return Indicator(
        f"deviation({period})",
        _above_rounding,
        (raw, sma(period)),
    )


_RANGE: tuple[Series, ...] = ("high", "low", "close")


def _talib(
    function: str,
    inputs: tuple[Series, ...],
    period: int,
    n_lookback: int,
    n_warm_up_periods: int = 0,
) -> Indicator:
    """A TA-Lib function with one period as its only parameter."""
    return Indicator(
        f"{function}({period})",
        function,
        inputs,
        (period,),
        n_lookback,
        n_warm_up_periods * period,
    )


def _previous(values: FloatArray) -> FloatArray:
    return np.concatenate(([np.nan], values[:-1]))


def _where_moving(
    values: FloatArray,
    move_percent: FloatArray,
) -> FloatArray:
    return np.where(move_percent > NOISE * 100, values, np.nan)


def _above_rounding(spread: FloatArray, mean: FloatArray) -> FloatArray:
    # TA-Lib's running sums leave rounding errors of this size: less measures nothing.
    return np.where(spread > 1e-6 * mean, spread, np.nan)


# --- evaluation


@dataclass(frozen=True, slots=True)
class Step:
    """One indicator to compute; slots 0..4 are the columns, the next ones the steps in order."""

    indicator: Indicator
    compute: Callable[..., FloatArray]
    input_slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to compute some series, each after its inputs.

    `series`: the S distinct series wanted, in order of first appearance; `slots`: the slot of each.
    """

    series: tuple[Series, ...]
    slots: tuple[int, ...]
    steps: tuple[Step, ...]


def plan(wanted: Iterable[Series]) -> Plan:
    """Order the series and their inputs; an input that several indicators share occurs once."""
    series = tuple(dict.fromkeys(wanted))
    slot_of: dict[Series, int] = {}
    for column in COLUMNS:
        slot_of[column] = len(slot_of)
    steps: list[Step] = []
    for indicator in _with_inputs(series):
        if indicator in slot_of:
            continue
        slot_of[indicator] = len(slot_of)
        inputs = tuple(slot_of[name] for name in indicator.inputs)
        steps.append(
            Step(
                indicator,
                _function(indicator.compute),
                inputs,
            )
        )
    slots = tuple(slot_of[name] for name in series)
    return Plan(
        series,
        slots,
        tuple(steps),
    )


def _with_inputs(series: Iterable[Series]) -> Iterator[Indicator]:
    for indicator in series:
        if isinstance(indicator, Indicator):
            # Inputs first, so that every step finds them computed.
            yield from _with_inputs(indicator.inputs)
            yield indicator


@cache
def _function(compute: Callable[..., FloatArray] | str) -> Callable[..., FloatArray]:
    if callable(compute):
        return compute
    import talib

    if compute not in talib.get_functions():  # type: ignore[no-untyped-call]
        raise Mp2Error(f"TA-Lib has no function {compute!r}")
    # The wrapper looks for data frames among its arguments, which takes as long as the computation.
    return inspect.unwrap(getattr(talib, compute))  # type: ignore[no-any-return]


def evaluate(
    plan: Plan,
    prices: PriceTable,
    bars: range,
    tickers: Sequence[int],
    out: FloatArray,
) -> None:
    """Fill float64[S, len(tickers), n_last] with every series as of the last `n_last` dates.

    `bars`: the positions of the dates to compute from; `tickers`: those of the tickers. On a date
    without a bar a series has the value of the ticker's last bar, until that lies more than
    `MAX_SESSIONS_BACK` dates back. Cells without a value keep theirs. Raises `Mp2Error` naming
    indicator and ticker when a function fails or does not return one number per bar.
    """
    columns = [getattr(prices, name) for name in COLUMNS]
    for number, ticker in enumerate(tickers):
        # Starting at the ticker's own first bar keeps tickers independent of each other.
        first_idx = max(bars.start, int(prices.first_idx[ticker]))
        n_here = min(out.shape[2], bars.stop - first_idx)
        if n_here <= 0:
            continue
        inputs = [column[ticker, first_idx : bars.stop] for column in columns]
        has_bar = np.isfinite(prices.close[ticker, first_idx : bars.stop])
        has_holes = not has_bar.all()
        if has_holes:
            # A hole would end many series for good.
            inputs = [column[has_bar] for column in inputs]
            if not len(inputs[0]):
                continue
            positions = np.arange(len(has_bar))
            own = np.where(has_bar, positions, -1)
            age = positions - np.maximum.accumulate(own)
            # The ticker's last bar up to each date, -1 where it is none or too old.
            bar_of = np.cumsum(has_bar) - 1
            bar_of[age > MAX_SESSIONS_BACK] = -1
        computed = _computed(plan.steps, inputs, prices.tickers[ticker])
        for row, slot in enumerate(plan.slots):
            series = computed[slot]
            if has_holes:
                series = np.append(series, np.nan)[bar_of[-n_here:]]
            out[row, number, -n_here:] = series[-n_here:]


def evaluate_last(
    plan: Plan,
    prices: PriceTable,
    ticker: int,
    n_used: int,
    out: FloatArray,
) -> None:
    """Fill float64[S, n_last] with the last values of every series, bar by bar.

    Computed from the last `n_used` bars of the ticker. Raises as `evaluate` does.
    """
    has_bar = np.isfinite(prices.close[ticker])
    used = np.flatnonzero(has_bar)[-n_used:]
    inputs = [getattr(prices, name)[ticker, used] for name in COLUMNS]
    computed = _computed(plan.steps, inputs, prices.tickers[ticker])
    n_here = min(out.shape[1], len(used))
    for values, slot in zip(out, plan.slots, strict=True):
        values[-n_here:] = computed[slot][-n_here:]


def _computed(
    steps: Sequence[Step],
    bars: list[FloatArray],
    ticker: str,
) -> list[FloatArray]:
    """Compute every step for one ticker and return the series by slot."""
    series = bars
    for step in steps:
        inputs = [series[slot] for slot in step.input_slots]
        try:
            values = step.compute(*inputs, *step.indicator.params)
            check_array(values, "it", np.float64, bars[0].shape)
        except Exception as error:  # third-party code may raise anything
            message = f"{step.indicator.name} failed on {ticker}"
            raise Mp2Error(f"{message}: {error or type(error).__name__}") from error
        # Other steps and rules read the same array.
        values.flags.writeable = False
        series.append(values)
    return series


def check_array(
    value: object,
    what: str,
    dtype: type,
    shape: tuple[int, ...],
) -> None:
    """Raise `TypeError` unless `value`, returned by `what`, is an array of this type and shape."""
    returned = type(value).__name__
    if isinstance(value, np.ndarray):
        # Compared before any text is made: this runs for every indicator of every ticker.
        if value.dtype == dtype and value.shape == shape:
            return
        returned = f"{value.dtype}{list(value.shape)}"
    raise TypeError(f"{what} returned {returned}, not {np.dtype(dtype)}{list(shape)}")
