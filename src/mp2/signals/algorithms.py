"""The ten algorithms: each a named rule over arrays, the parameters it takes, and the variations it is tried with.

A rule gets one float64[T, n] array per series its algorithm reads, as of the close of n bars, and its parameters by name;
it answers bool[T, n]: whether to buy at the open that follows the bar. Where a series is NaN (too little history) nothing
is bought, whatever the rule says. A rule may compare tickers of one bar with each other, never one bar with another: what
needs earlier bars is an indicator (`mp2.signals.indicators`). `mp2.signals.lookahead` holds every algorithm to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mp2.signals import indicators as ta
from mp2.signals.indicators import Series

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number an algorithm takes: allowed are `low`..`high`, tried by default are `values`; `whole`: integers only."""

    name: str
    meaning: str
    low: float
    high: float
    values: tuple[float, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A rule with its parameters; the default variations are the product of the parameters' values.

    - `rule(*series, **params) -> bool[T, n]`: see the head of this module; the first line of its docstring is its summary.
    - `reads(**params)`: the series the rule gets, in order.
    - `rising`: parameters that have to rise in this order; other combinations are skipped.
    """

    name: str
    rule: Callable[..., BoolArray]
    reads: Callable[..., Sequence[Series]]
    parameters: tuple[Parameter, ...]
    rising: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The rule in one line."""
        return (self.rule.__doc__ or "").strip().partition("\n")[0]


# --- the rules ------------------------------------------------------------------------------------------------------


def macd(histogram: FloatArray, *, fast: int, slow: int, signal: int) -> BoolArray:
    """MACD line above its signal line.

    EMA(fast) - EMA(slow) > EMA(signal) of that difference, all of the close. Appel, *Technical Analysis: Power Tools for
    Active Investors* (2005); the customary setting is 12-26-9.
    """
    return histogram > 0


def ema(fast_average: FloatArray, slow_average: FloatArray, *, fast: int, slow: int) -> BoolArray:
    """Fast average above the slow one, the state after an upward cross.

    EMA(fast) > EMA(slow) of the close. Two moving averages are Donchian's; see Murphy, *Technical Analysis of the Financial
    Markets* (1999), chapter 9.
    """
    return fast_average > slow_average


def rsi(strength: FloatArray, *, period: int, level: float) -> BoolArray:
    """Relative strength below a level: buys weakness.

    RSI(period) < level. Wilder, *New Concepts in Technical Trading Systems* (1978), section 6, with 14 and 30.
    """
    return strength < level


def breakout(
    close: FloatArray, channel_high: FloatArray, *, period: int, margin: float
) -> BoolArray:
    """Close at the upper edge of the channel of earlier highs, or within a margin below it.

    close >= (1 - margin) * max(high of the `period` bars before). With margin 0 it is the channel
    breakout of Donchian, *High Finance in Copper* (1960); his four weeks' rule has 20 bars.
    """
    return close >= (1 - margin) * channel_high


def adx(
    index: FloatArray, plus: FloatArray, minus: FloatArray, *, period: int, level: float
) -> BoolArray:
    """A directed market whose direction is up.

    ADX(period) > level and +DI(period) > -DI(period). Wilder (1978), section 4; customary are 14 and 25.
    """
    return (index > level) & (plus > minus)


def volatility(range_percent: FloatArray, *, period: int, share: float) -> BoolArray:
    """Among the calmest share of the tickers that day.

    rank of NATR(period) over the tickers with a value <= share * their number, rank 1 being the smallest; ties count as the
    best of them. NATR = 100 * ATR / close with the ATR of Wilder (1978), section 3; buying low volatility is Haugen and
    Heins, *Risk and the Rate of Return on Financial Assets* (1975).
    """
    n_ranked = np.isfinite(range_percent).sum(axis=0)
    n_bought = np.floor(share * n_ranked + 1e-9).astype(np.int64)  # 0.29 * 100 is 28.999...
    ascending = np.sort(range_percent, axis=0)  # NaN last
    limit = np.take_along_axis(ascending, np.maximum(n_bought - 1, 0)[np.newaxis], axis=0)
    bought: BoolArray = (range_percent <= limit) & (n_bought > 0)
    return bought


def sma(close: FloatArray, average: FloatArray, *, period: int, margin: float) -> BoolArray:
    """Close above its average by a margin.

    close > (1 + margin) * SMA(period). The filter over a moving average is tested in Brock, Lakonishok and LeBaron, *Simple
    Technical Trading Rules* (1992).
    """
    return close > (1 + margin) * average


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

    %B < level, where %B = (close - lower) / (upper - lower) and lower, upper = SMA(period) -+ width * deviation(period), the
    population standard deviation. Bollinger, *Bollinger on Bollinger Bands* (2001), with 20 and 2.
    """
    return _percent_b(close, middle, deviation, width) < level


def _percent_b(
    close: FloatArray, middle: FloatArray, deviation: FloatArray, width: float
) -> FloatArray:
    """0 at the lower band, 1 at the upper."""
    return 0.5 + (close - middle) / (2 * width * deviation)


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

    close > EMA(trend) and EMA(fast) - EMA(slow) > EMA(9) of that difference: Appel's signal, taken only with the trend, as in
    Elder's first screen (*Trading for a Living*, 1993).
    """
    return (close > average) & (histogram > 0)


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

    RSI(period) < level and close < SMA(window) - width * deviation(window). Bollinger (2001) confirms a touch of the band
    by an oscillator; here it is Wilder's (1978).
    """
    return (strength < level) & (close < middle - width * deviation)


# --- parameters and default grids -----------------------------------------------------------------------------------

_SIGNAL = 9  # of EMA_MACD, the customary one


def _period(
    name: str, meaning: str, low: int, values: Sequence[int], high: int = 1000
) -> Parameter:
    return Parameter(name, f"{meaning}, bars", low, high, tuple(values))


def _level(name: str, meaning: str, low: float, high: float, values: Sequence[float]) -> Parameter:
    return Parameter(name, meaning, low, high, tuple(values), whole=False)


_MARGINS = (0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03)
_SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
_FAST, _SLOW = "span of the fast average", "span of the slow average"
_WIDTH = "distance of the bands from the average, standard deviations"

ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm(
        name="MACD",
        rule=macd,
        reads=lambda fast, slow, signal: (ta.macd_histogram(fast, slow, signal),),
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
        reads=lambda fast, slow: (ta.ema(fast), ta.ema(slow)),
        parameters=(
            _period("fast", _FAST, 2, range(3, 15)),
            _period("slow", _SLOW, 3, range(16, 50, 3)),
        ),
        rising=("fast", "slow"),
    ),
    Algorithm(
        name="RSI",
        rule=rsi,
        reads=lambda period, level: (ta.rsi(period),),
        parameters=(
            _period("period", "span of Wilder's smoothing", 2, range(2, 16)),
            _level("level", "index below which to buy", 1, 99, (30, 34, 38, 42, 46, 50, 54, 58)),
        ),
    ),
    Algorithm(
        name="Breakout",
        rule=breakout,
        reads=lambda period, margin: ("close", ta.channel_high(period)),
        parameters=(
            _period("period", "length of the channel", 2, range(5, 56, 5)),
            _level(
                "margin",
                "distance below the channel that still counts, share of it",
                0,
                0.5,
                _MARGINS,
            ),
        ),
    ),
    Algorithm(
        name="ADX",
        rule=adx,
        reads=lambda period, level: (ta.adx(period), ta.plus_di(period), ta.minus_di(period)),
        parameters=(
            _period("period", "span of Wilder's smoothing", 2, range(5, 30, 2)),
            _level(
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
        reads=lambda period, share: (ta.natr(period),),
        parameters=(
            _period("period", "span of Wilder's smoothing", 2, range(5, 30, 2)),
            _level(
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
        reads=lambda period, margin: ("close", ta.sma(period)),
        parameters=(
            _period("period", "length of the average", 2, (*range(5, 58, 4), 75, 100, 150, 200)),
            _level(
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
        reads=lambda period, width, level: ("close", ta.sma(period), ta.deviation(period)),
        parameters=(
            _period("period", "length of the average", 2, range(8, 33, 4)),
            _level("width", _WIDTH, 0.1, 5, (1, 1.5, 2, 2.5)),
            _level(
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
            ta.ema(trend),
            ta.macd_histogram(fast, slow, _SIGNAL),
        ),
        parameters=(
            _period("trend", "span of the trend's average", 2, (10, 20, 30, 40, 50)),
            _period("fast", _FAST, 2, (6, 8, 10, 12, 14)),
            _period("slow", _SLOW, 3, (20, 26, 32, 38)),
        ),
        rising=("fast", "slow"),
    ),
    Algorithm(
        name="RSI_Bollinger",
        rule=rsi_bollinger,
        reads=lambda period, level, window, width: (
            "close",
            ta.rsi(period),
            ta.sma(window),
            ta.deviation(window),
        ),
        parameters=(
            _period("period", "span of the index", 2, (3, 5, 7, 10, 14)),
            _level("level", "index below which to buy", 1, 99, (34, 38, 42, 46, 50)),
            _period("window", "length of the bands' average", 2, (10, 20, 30)),
            _level("width", _WIDTH, 0.1, 5, (0.5, 1)),
        ),
    ),
)
"""The built-in algorithms, in the order of their variation numbers."""
