"""Indicators of daily bars: each distinct one computed once per ticker, in threads, by TA-Lib.

An `Indicator` is a description, not a series: what is computed from which columns or other indicators. Descriptions are
values: two that are equal are the same indicator, so EMA(12) is computed once however many variations read it.

What is guaranteed:

- A series is *as of the close* of each bar. Nothing here knows of days to trade; `mp2.signals.sheet` alone shifts by one.
- Only bars before the stop index reach any indicator, so a later one cannot matter.
- A ticker's series begin at its first bar in the window and are computed for that ticker alone: results do not depend on
  chunks, threads or the other tickers, and equal those of a longer request bit for bit.

Recursive indicators forget their start at a known pace; `n_warm_up` is the number of bars after which less than 1e-9 of it
is left: 12 periods for an EMA, 15 for an EMA of EMAs, 25 for Wilder's smoothing, 30 for his ADX, which smooths twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from mp2.data.prices import PriceTable
from mp2.errors import Mp2Error

FloatArray = npt.NDArray[np.float64]
Column = Literal["open", "high", "low", "close", "volume"]
COLUMNS: tuple[Column, ...] = ("open", "high", "low", "close", "volume")

EMA_PERIODS, NESTED_EMA_PERIODS, WILDER_PERIODS, ADX_PERIODS = 12, 15, 25, 30
"""Warm-up in multiples of the (longest) period."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One series per ticker: `compute(*inputs, *params)`, all of them float64[n_bars], value i as of the close of bar i.

    - `name`: how messages call it, `EMA(12)`.
    - `compute`: a function over arrays, or the name of a TA-Lib function of one output. It returns float64 of the length
      of its inputs, NaN where it has too little history, and never looks at a later bar than the one it computes.
    - `inputs`: columns of the bars, or other indicators. A volume may be NaN inside, prices never are.
    - `params`: what follows the inputs, whole numbers as int.
    - `n_lookback`: bars before a bar that a first value takes, over those its inputs take.
    - `n_warm_up`: bars until the start no longer shows; 0 for what has no memory beyond `n_lookback`.
    """

    name: str
    compute: Callable[..., FloatArray] | str
    inputs: tuple[Series, ...]
    params: tuple[float, ...] = ()
    n_lookback: int = 0
    n_warm_up: int = 0

    @property
    def n_bars(self) -> int:
        """Bars that a first value takes."""
        return self.n_lookback + max(map(n_bars, self.inputs), default=1)


Series = Indicator | Column
"""What a rule can read."""


def n_bars(series: Series) -> int:
    """Bars that the first value of a series takes; 1 for a column."""
    return series.n_bars if isinstance(series, Indicator) else 1


def n_warm_up(series: Series) -> int:
    """Bars a series wants before its first value asked for: its own warm-up, its inputs' and its lookback."""
    if not isinstance(series, Indicator):
        return 1
    return max(series.n_warm_up, series.n_bars, *map(n_warm_up, series.inputs))


# --- the indicators of the ten algorithms ---------------------------------------------------------------------------


def ema(period: int) -> Indicator:
    """Exponential moving average of the close, smoothing 2 / (period + 1), seeded with the mean of the first `period`."""
    return Indicator(
        f"EMA({period})", "EMA", ("close",), (period,), period - 1, EMA_PERIODS * period
    )


def sma(period: int) -> Indicator:
    """Mean of the last `period` closes."""
    return Indicator(f"SMA({period})", "SMA", ("close",), (period,), period - 1)


def macd_line(fast: int, slow: int) -> Indicator:
    """EMA(fast) - EMA(slow)."""
    return Indicator(f"MACD({fast},{slow})", np.subtract, (ema(fast), ema(slow)))


def macd_histogram(fast: int, slow: int, signal: int) -> Indicator:
    """MACD line minus its signal line, the EMA(signal) of it.

    Both EMAs start at their own first bar, so that every EMA is shared; TA-Lib's MACD seeds the fast one later, and agrees
    after the warm-up.
    """
    line = macd_line(fast, slow)
    n_settled = NESTED_EMA_PERIODS * max(slow, signal)
    smoothed = Indicator(
        f"MACD signal({fast},{slow},{signal})", "EMA", (line,), (signal,), signal - 1, n_settled
    )
    return Indicator(f"MACD histogram({fast},{slow},{signal})", np.subtract, (line, smoothed))


def rsi(period: int) -> Indicator:
    """Wilder's relative strength index, 0..100; 0 for a price that never moved."""
    return Indicator(
        f"RSI({period})", "RSI", ("close",), (period,), period, WILDER_PERIODS * period
    )


def adx(period: int) -> Indicator:
    """Wilder's average directional movement index, 0..100."""
    return Indicator(
        f"ADX({period})", "ADX", _RANGE, (period,), 2 * period - 1, ADX_PERIODS * period
    )


def plus_di(period: int) -> Indicator:
    """Wilder's positive directional indicator, 0..100."""
    return Indicator(
        f"+DI({period})", "PLUS_DI", _RANGE, (period,), period, WILDER_PERIODS * period
    )


def minus_di(period: int) -> Indicator:
    """Wilder's negative directional indicator, 0..100."""
    return Indicator(
        f"-DI({period})", "MINUS_DI", _RANGE, (period,), period, WILDER_PERIODS * period
    )


def natr(period: int) -> Indicator:
    """Normalised average true range: Wilder's ATR in percent of the close."""
    return Indicator(f"NATR({period})", "NATR", _RANGE, (period,), period, WILDER_PERIODS * period)


def channel_high(period: int) -> Indicator:
    """Highest high of the `period` bars before a bar, itself not among them."""
    highest = Indicator(f"MAX({period})", "MAX", ("high",), (period,), period - 1)
    return Indicator(f"channel high({period})", _previous, (highest,), (), 1)


def deviation(period: int) -> Indicator:
    """Population standard deviation of the last `period` closes; NaN where it is below a millionth of their mean.

    TA-Lib's running sums leave rounding of that size, so that less of it is no measure of anything.
    """
    raw = Indicator(f"STDDEV({period})", "STDDEV", ("close",), (period,), period - 1)
    return Indicator(f"deviation({period})", _above_rounding, (raw, sma(period)))


_RANGE: tuple[Series, ...] = ("high", "low", "close")


def _previous(values: FloatArray) -> FloatArray:
    """The value of one bar earlier."""
    return np.concatenate(([np.nan], values[:-1]))


def _above_rounding(spread: FloatArray, mean: FloatArray) -> FloatArray:
    return np.where(spread > 1e-6 * mean, spread, np.nan)


# --- evaluation -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """One indicator in order of need; slots 0..4 are the columns, the following ones the steps."""

    indicator: Indicator
    compute: Callable[..., FloatArray]
    input_slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Distinct series in an order in which each follows its inputs.

    `series`: the S distinct series asked for, in order of first appearance; `slots`: where each is among columns and steps.
    """

    series: tuple[Series, ...]
    slots: tuple[int, ...]
    steps: tuple[_Step, ...]


def plan(wanted: Iterable[Series]) -> Plan:
    """What to compute, and in which order; inputs that several indicators share are there once."""
    series = tuple(dict.fromkeys(wanted))
    slot_of: dict[Series, int] = {column: slot for slot, column in enumerate(COLUMNS)}
    steps: list[_Step] = []
    for indicator in _with_inputs(series):
        if indicator not in slot_of:
            slot_of[indicator] = len(slot_of)
            steps.append(
                _Step(
                    indicator,
                    _function(indicator.compute),
                    tuple(slot_of[name] for name in indicator.inputs),
                )
            )
    return Plan(series, tuple(slot_of[name] for name in series), tuple(steps))


def _with_inputs(series: Iterable[Series]) -> Iterator[Indicator]:
    """Every indicator after the ones it reads."""
    for indicator in series:
        if isinstance(indicator, Indicator):
            yield from _with_inputs(indicator.inputs)
            yield indicator


@cache
def _function(compute: Callable[..., FloatArray] | str) -> Callable[..., FloatArray]:
    """TA-Lib's bare functions: the public ones look for frames in every argument, which takes as long as the work."""
    if callable(compute):
        return compute
    import talib

    if compute not in talib.get_functions():  # type: ignore[no-untyped-call]
        raise Mp2Error(f"TA-Lib has no function {compute!r}")
    return inspect.unwrap(getattr(talib, compute))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Window:
    """Bars `start_idx` up to, not including, `stop_idx` of a price table; the last `n_last` of them are asked for."""

    start_idx: int
    stop_idx: int
    n_last: int


def evaluate(
    plan: Plan, prices: PriceTable, window: Window, tickers: range, out: FloatArray
) -> None:
    """Fill `out[:, tickers]` of float64[S, T, n_last] with the last values of every series, for a chunk of tickers.

    Cells of bars a ticker does not have are left alone. Raises `Mp2Error` naming indicator and ticker when a function fails
    or returns something else than one number per bar.
    """
    columns = [getattr(prices, name) for name in COLUMNS]
    for ticker in tickers:
        first_idx = max(window.start_idx, int(prices.first_idx[ticker]))
        n_here = min(window.n_last, window.stop_idx - first_idx)
        if n_here > 0:
            bars = [column[ticker, first_idx : window.stop_idx] for column in columns]
            computed = _computed(plan.steps, bars, prices.tickers[ticker])
            for row, slot in enumerate(plan.slots):
                out[row, ticker, -n_here:] = computed[slot][-n_here:]


def _computed(steps: Sequence[_Step], bars: Sequence[FloatArray], ticker: str) -> list[FloatArray]:
    """The columns, then every step's series, for one ticker."""
    series = list(bars)
    for step in steps:
        try:
            values = step.compute(
                *[series[slot] for slot in step.input_slots], *step.indicator.params
            )
            _check(values, len(bars[0]))
        except Exception as error:  # whatever third-party code raises
            raise Mp2Error(
                f"{step.indicator.name} failed on {ticker}: {error or type(error).__name__}"
            ) from error
        values.flags.writeable = False  # others read it too
        series.append(values)
    return series


def _check(values: object, n_bars: int) -> None:
    if not isinstance(values, np.ndarray):
        raise TypeError(f"returned {type(values).__name__} for {n_bars} bars")
    if values.shape != (n_bars,) or values.dtype != np.float64:
        raise TypeError(f"returned {values.dtype}{list(values.shape)} for {n_bars} bars")
