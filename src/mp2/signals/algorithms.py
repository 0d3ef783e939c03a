"""The ten algorithms: each a named rule over arrays, its parameters, and its default variations.

A rule takes one float64[T, n] array per series its algorithm reads, as of the close of n bars, and
its parameters by name. It returns bool[T, n]: whether to buy at the open after each bar. Where a
series is NaN (too little history) nothing is bought, even if the rule returns True. A rule may
compare the tickers of one bar, but not different bars: what needs earlier bars is an indicator
(`mp2.signals.indicators`). `mp2.signals.lookahead` checks this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np

from mp2._document import Names
from mp2.data.arrays import BoolArray, FloatArray
from mp2.errors import InputError
from mp2.signals import indicators
from mp2.signals.indicators import NOISE, Series


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an algorithm: its range `low`..`high` and its default `values`.

    `whole`: whether it must be a whole number.
    """

    name: str
    meaning: str
    low: float
    high: float
    values: tuple[float, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A rule with its parameters; its default variations are the product of all default values.

    - `rule(*series, **params) -> bool[T, n]`: see the head of this module; the first line of its
      docstring is its summary.
    - `reads(**params)`: the series for the rule, in order.
    - `rising`: parameters whose values must rise in this order; other combinations are skipped.
    """

    name: str
    rule: Callable[..., BoolArray]
    reads: Callable[..., Sequence[Series]]
    parameters: tuple[Parameter, ...]
    rising: Names = ()

    @property
    def summary(self) -> str:
        """Describe the rule in one line."""
        return (self.rule.__doc__ or "").strip().partition("\n")[0]


def algorithm(
    *,
    reads: Callable[..., Sequence[Series]],
    values: Mapping[str, Iterable[float]],
    name: str | None = None,
    rising: Names = (),
) -> Callable[[Callable[..., BoolArray]], Algorithm]:
    """Make an algorithm of the rule below it, for `mp2.Grids.of`.

    - `reads`, `rising`: as in `Algorithm`. `name`: that of the function, if left out.
    - `values`: the default values of each parameter, which are its range too.

    For example::

        @mp2.algorithm(reads=lambda period: ("close", sma(period)), values={"period": (10, 20)})
        def above(close, average, *, period):
            return close > average
    """

    def make(rule: Callable[..., BoolArray]) -> Algorithm:
        return Algorithm(
            name=name or rule.__name__,
            rule=rule,
            reads=reads,
            parameters=tuple(starmap(_parameter_of, values.items())),
            rising=rising,
        )

    return make


def _parameter_of(name: str, values: Iterable[float]) -> Parameter:
    # Numbers of Python, also from a range of NumPy.
    numbers = np.asarray(list(values)).tolist()
    if not numbers:
        raise InputError(f"values: {name} has no value; give one")
    whole = all(isinstance(number, int) for number in numbers)
    return Parameter(name, name, min(numbers), max(numbers), tuple(numbers), whole)


# --- the rules


def is_above(values: FloatArray, others: FloatArray) -> BoolArray:
    """Return where values are above others by more than the noise of their computation."""
    return values > others + NOISE * np.abs(others)


def macd(
    close: FloatArray,
    histogram: FloatArray,
    *,
    fast: int,
    slow: int,
    signal: int,
) -> BoolArray:
    """MACD line above its signal line.

    EMA(fast) - EMA(slow) > EMA(signal) of that difference, all of the close. Appel, *Technical
    Analysis: Power Tools for Active Investors* (2005); the customary setting is 12-26-9.
    """
    return histogram > NOISE * close


def ema(
    fast_average: FloatArray,
    slow_average: FloatArray,
    *,
    fast: int,
    slow: int,
) -> BoolArray:
    """Fast average above the slow one, the state after an upward cross.

    EMA(fast) > EMA(slow) of the close. Two moving averages are Donchian's; see Murphy, *Technical
    Analysis of the Financial Markets* (1999), chapter 9.
    """
    return is_above(fast_average, slow_average)


def rsi(
    strength: FloatArray,
    *,
    period: int,
    level: float,
) -> BoolArray:
    """Relative strength below a level: buys weakness.

    RSI(period) < level. Wilder, *New Concepts in Technical Trading Systems* (1978), section 6, with
    14 and 30.
    """
    return strength < level


def breakout(
    close: FloatArray,
    channel_high: FloatArray,
    channel_low: FloatArray,
    *,
    period: int,
    margin: float,
) -> BoolArray:
    """Close at the upper edge of the channel of earlier highs, or within a margin below it.

    close >= (1 - margin) * max(high of the `period` bars before). With margin 0 it is the channel
    breakout of Donchian, *High Finance in Copper* (1960); his four weeks' rule has 20 bars.
    """
    # A price that does not move is at the edge of no channel.
    has_moved = is_above(np.maximum(close, channel_high), channel_low)
    return (close >= (1 - margin) * channel_high) & has_moved


def adx(
    index: FloatArray,
    plus: FloatArray,
    minus: FloatArray,
    *,
    period: int,
    level: float,
) -> BoolArray:
    """A directed market whose direction is up.

    ADX(period) > level and +DI(period) > -DI(period). Wilder (1978), section 4; customary are 14
    and 25.
    """
    # Both are percentages: one is 0 where the other has nearly forgotten its last move.
    return (index > level) & (plus > minus + NOISE * 100)


def volatility(
    range_percent: FloatArray,
    *,
    period: int,
    share: float,
) -> BoolArray:
    """Among the calmest share of the tickers that day.

    rank of NATR(period) among the tickers with a value <= share * their number. Rank 1 is the
    smallest; ties get the best of their ranks. NATR = 100 * ATR / close with the ATR of Wilder
    (1978), section 3; buying low volatility is Haugen and Heins, *Risk and the Rate of Return on
    Financial Assets* (1975).
    """
    n_ranked = np.isfinite(range_percent).sum(axis=0)
    # 1e-9: 0.29 * 100 is 28.999...
    n_bought = np.floor(share * n_ranked + 1e-9).astype(np.int64)
    # Sorted to the end, NaN is never a limit.
    ascending = np.sort(range_percent, axis=0)
    last_bought = np.maximum(n_bought - 1, 0)[np.newaxis]
    limit = np.take_along_axis(ascending, last_bought, axis=0)
    bought: BoolArray = (range_percent <= limit) & (n_bought > 0)
    return bought


def sma(
    close: FloatArray,
    average: FloatArray,
    *,
    period: int,
    margin: float,
) -> BoolArray:
    """Close above its average by a margin.

    close > (1 + margin) * SMA(period). The filter over a moving average is tested in Brock,
    Lakonishok and LeBaron, *Simple Technical Trading Rules* (1992).
    """
    return is_above(close, (1 + margin) * average)


def bollinger(
    close: FloatArray,
    middle: FloatArray,
    deviation: FloatArray,
    *,
    period: int,
    width: float,
    level: float,
) -> BoolArray:
    """Close low between its bands: buys weakness.

    %B < level, where %B = (close - lower) / (upper - lower), 0 at the lower band and 1 at the upper
    one. The bands are SMA(period) -+ width * deviation(period), the population standard deviation.
    Bollinger, *Bollinger on Bollinger Bands* (2001), with 20 and 2.
    """
    percent_b = 0.5 + (close - middle) / (2 * width * deviation)
    # Without a deviation there are no bands.
    return (percent_b < level) & (deviation > NOISE * middle)


def ema_macd(
    close: FloatArray,
    average: FloatArray,
    histogram: FloatArray,
    *,
    trend: int,
    fast: int,
    slow: int,
) -> BoolArray:
    """MACD line above its signal line while the close is above its trend.

    close > EMA(trend) and EMA(fast) - EMA(slow) > EMA(9) of that difference: Appel's signal, taken
    only with the trend, as in Elder's first screen (*Trading for a Living*, 1993).
    """
    return is_above(close, average) & (histogram > NOISE * close)


def rsi_bollinger(
    close: FloatArray,
    strength: FloatArray,
    middle: FloatArray,
    deviation: FloatArray,
    *,
    period: int,
    level: float,
    window: int,
    width: float,
) -> BoolArray:
    """Weak by two measures: low relative strength and a close below its lower band.

    RSI(period) < level and close < SMA(window) - width * deviation(window). Bollinger (2001)
    confirms a touch of the band by an oscillator; here it is Wilder's (1978).
    """
    return (strength < level) & is_above(middle - width * deviation, close)


# --- parameters and default grids

# The customary span; as a parameter it would multiply the grid of EMA_MACD.
_MACD_SIGNAL = 9
_MAX_PERIOD = 1000
_WILDER_PERIODS = range(5, 30, 2)


def _period(
    name: str,
    meaning: str,
    low: int,
    values: Sequence[int],
) -> Parameter:
    return Parameter(name, f"{meaning}, bars", low, _MAX_PERIOD, tuple(values))


def _real(
    name: str,
    meaning: str,
    low: float,
    high: float,
    values: Sequence[float],
) -> Parameter:
    return Parameter(name, meaning, low, high, tuple(values), whole=False)


_FAST = "span of the fast average"
_SLOW = "span of the slow average"
_SMOOTHING = "span of Wilder's smoothing"
_LENGTH = "length of the average"
_OVERSOLD = "index below which to buy"
_WIDTH = "distance of the bands from the average, standard deviations"

ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm(
        name="MACD",
        rule=macd,
        reads=lambda fast, slow, signal: (
            "close",
            indicators.macd_histogram(fast, slow, signal),
        ),
        parameters=(
            _period("fast", _FAST, 2, (5, 6, 8, 10, 12, 14)),
            _period("slow", _SLOW, 3, (20, 23, 26, 30, 34)),
            _period("signal", "span of the signal line", 2, (5, 7, 9, 11)),
        ),
        rising=("fast", "slow"),
    ),
    Algorithm(
        name="EMA",
        rule=ema,
        reads=lambda fast, slow: (indicators.ema(fast), indicators.ema(slow)),
        parameters=(
            _period("fast", _FAST, 2, range(3, 15)),
            _period("slow", _SLOW, 3, range(16, 50, 3)),
        ),
        rising=("fast", "slow"),
    ),
    Algorithm(
        name="RSI",
        rule=rsi,
        reads=lambda period, level: (indicators.rsi(period),),
        parameters=(
            _period("period", _SMOOTHING, 2, range(2, 16)),
            _real("level", _OVERSOLD, 1, 99, range(30, 59, 4)),
        ),
    ),
    Algorithm(
        name="Breakout",
        rule=breakout,
        reads=lambda period, margin: (
            "close",
            indicators.channel_high(period),
            indicators.channel_low(period),
        ),
        parameters=(
            _period("period", "length of the channel", 2, range(5, 56, 5)),
            _real(
                "margin",
                "distance below the channel that still counts, share of it",
                0,
                0.5,
                (0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03),
            ),
        ),
    ),
    Algorithm(
        name="ADX",
        rule=adx,
        reads=lambda period, level: (
            indicators.adx(period),
            indicators.plus_di(period),
            indicators.minus_di(period),
        ),
        parameters=(
            _period("period", _SMOOTHING, 2, _WILDER_PERIODS),
            _real(
                "level",
                "index above which the market is directed",
                1,
                99,
                (15, 18, 20, 22, 25, 28, 30, 35),
            ),
        ),
    ),
    Algorithm(
        name="Volatility",
        rule=volatility,
        reads=lambda period, share: (indicators.natr(period),),
        parameters=(
            _period("period", _SMOOTHING, 2, _WILDER_PERIODS),
            _real(
                "share",
                "share of the tickers to buy, calmest first",
                0.01,
                0.99,
                (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6),
            ),
        ),
    ),
    Algorithm(
        name="SMA",
        rule=sma,
        reads=lambda period, margin: (
            "close",
            indicators.sma(period),
        ),
        parameters=(
            _period("period", _LENGTH, 2, (*range(5, 58, 4), 75, 100, 150, 200)),
            _real(
                "margin",
                "distance above the average, share of it",
                0,
                0.5,
                (0, 0.005, 0.01, 0.02, 0.03, 0.05),
            ),
        ),
    ),
    Algorithm(
        name="Bollinger",
        rule=bollinger,
        reads=lambda period, width, level: (
            "close",
            indicators.sma(period),
            indicators.deviation(period),
        ),
        parameters=(
            _period("period", _LENGTH, 2, range(8, 33, 4)),
            _real("width", _WIDTH, 0.1, 5, (1, 1.5, 2, 2.5)),
            _real(
                "level",
                "%B below which to buy; 0 is the lower band, 1 the upper",
                -1,
                2,
                (0.05, 0.15, 0.3, 0.45),
            ),
        ),
    ),
    Algorithm(
        name="EMA_MACD",
        rule=ema_macd,
        reads=lambda trend, fast, slow: (
            "close",
            indicators.ema(trend),
            indicators.macd_histogram(fast, slow, _MACD_SIGNAL),
        ),
        parameters=(
            _period("trend", "span of the trend's average", 2, range(10, 51, 10)),
            _period("fast", _FAST, 2, range(6, 15, 2)),
            _period("slow", _SLOW, 3, range(20, 39, 6)),
        ),
        rising=("fast", "slow"),
    ),
    Algorithm(
        name="RSI_Bollinger",
        rule=rsi_bollinger,
        reads=lambda period, level, window, width: (
            "close",
            indicators.rsi(period),
            indicators.sma(window),
            indicators.deviation(window),
        ),
        parameters=(
            _period("period", "span of the index", 2, (3, 5, 7, 10, 14)),
            _real("level", _OVERSOLD, 1, 99, range(34, 51, 4)),
            _period("window", "length of the bands' average", 2, (10, 20, 30)),
            _real("width", _WIDTH, 0.1, 5, (0.5, 1)),
        ),
    ),
)
"""The built-in algorithms, in the order of their variation numbers."""
