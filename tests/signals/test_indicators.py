"""Indicators: TA-Lib's values, the bars they need, their memory, and that each is computed once."""

import numpy as np
import pytest
import talib
from market_bars import bars, walk

from mp2.errors import Mp2Error
from mp2.signals import indicators as ta
from mp2.signals.indicators import Indicator, evaluate, plan


def series_of(prices, *wanted, start_idx=0, n_last=None):
    """float64[T, n_last] of each wanted series, over all bars."""
    n_last = n_last or prices.n_dates - start_idx
    ordered = plan(wanted)
    out = np.full((len(ordered.series), prices.n_tickers, n_last), np.nan)
    evaluate(ordered, prices, range(start_idx, prices.n_dates), range(prices.n_tickers), out)
    return [out[ordered.series.index(series)] for series in wanted]


ALL = [
    *(
        make(period)
        for make in (ta.ema, ta.sma, ta.rsi, ta.adx, ta.plus_di, ta.minus_di, ta.natr)
        for period in (2, 7, 20)
    ),
    *(make(period) for make in (ta.channel_high, ta.deviation) for period in (2, 7, 20)),
    *(ta.macd_line(fast, slow) for fast, slow in ((3, 8), (12, 26))),
    *(ta.macd_histogram(*spans) for spans in ((3, 8, 4), (5, 20, 9), (3, 6, 15))),
]


@pytest.mark.parametrize(
    ("indicator", "expected"),
    [
        (ta.ema(3), [np.nan, np.nan, 2, 3, 6.5]),  # 2 = (1+2+3)/3, then halfway to each close
        (ta.sma(3), [np.nan, np.nan, 2, 3, 17 / 3]),
        (
            ta.macd_line(2, 3),
            [np.nan, np.nan, 0.5, 0.5, 47 / 6 - 6.5],
        ),  # EMA(2) is 1.5, 2.5, 3.5, 47/6
        (ta.rsi(2), [np.nan, np.nan, 100, 100, 100]),
        (ta.channel_high(2), [np.nan, np.nan, 2.01, 3.015, 4.02]),
        (ta.deviation(2), [np.nan, 0.5, 0.5, 0.5, 3]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_known_values(indicator, expected):
    (found,) = series_of(bars(A=[1, 2, 3, 4, 10]), indicator)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("indicator", "formula"),
    [
        (ta.ema(12), lambda high, low, c: talib.EMA(c, 12)),
        (ta.sma(20), lambda high, low, c: talib.SMA(c, 20)),
        (ta.rsi(14), lambda high, low, c: talib.RSI(c, 14)),
        (ta.adx(9), lambda high, low, c: talib.ADX(high, low, c, 9)),
        (ta.plus_di(9), lambda high, low, c: talib.PLUS_DI(high, low, c, 9)),
        (ta.minus_di(9), lambda high, low, c: talib.MINUS_DI(high, low, c, 9)),
        (ta.natr(14), lambda high, low, c: talib.ATR(high, low, c, 14) / c * 100),
        (ta.deviation(20), lambda high, low, c: talib.STDDEV(c, 20, 1)),
        (ta.macd_line(12, 26), lambda high, low, c: talib.EMA(c, 12) - talib.EMA(c, 26)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_series_are_ta_libs(indicator, formula):
    prices = walk(3, 150, late={1: 40})
    (found,) = series_of(prices, indicator)
    for ticker, first_idx in enumerate(prices.first_idx):
        expected = formula(
            *(
                column[ticker, first_idx:].copy()
                for column in (prices.high, prices.low, prices.close)
            )
        )
        np.testing.assert_allclose(found[ticker, first_idx:], expected, rtol=1e-12)
        assert np.isnan(found[ticker, :first_idx]).all()


def test_macd_agrees_with_ta_libs_once_both_have_forgotten_their_start():
    prices = walk(2, 700)
    (histogram,) = series_of(prices, ta.macd_histogram(12, 26, 9), n_last=100)
    for ticker in range(2):
        np.testing.assert_allclose(
            histogram[ticker], talib.MACD(prices.close[ticker], 12, 26, 9)[2][-100:], atol=1e-10
        )


def test_bands_of_a_price_that_does_not_move_are_unknown():
    (moved, still) = series_of(bars(A=[5, 5, 5, 5, 6, 6], B=[1 / 3] * 6), ta.deviation(3))[0]
    assert np.isnan(still).all()
    assert np.isfinite(moved).tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize("indicator", ALL, ids=lambda value: value.name)
def test_a_first_value_takes_n_bars(indicator):
    (found,) = series_of(walk(2, 150), indicator)
    assert np.isfinite(found).argmax(axis=1).tolist() == [ta.n_bars(indicator) - 1] * 2
    assert np.isfinite(found[:, ta.n_bars(indicator) - 1 :]).all()


@pytest.mark.parametrize("indicator", ALL, ids=lambda value: value.name)
def test_after_its_warm_up_the_start_no_longer_shows(indicator):
    n_settled = ta.n_warm_up(indicator)
    prices = walk(3, n_settled + 60, seed=5)
    ((whole,), (late,)) = (
        series_of(prices, indicator, start_idx=start, n_last=60 - 1) for start in (0, 60)
    )
    late, whole = late[:, -1], whole[:, -1]
    np.testing.assert_allclose(late, whole, atol=1e-9 * np.abs(prices.close).max())


@pytest.mark.parametrize(
    ("indicator", "periods", "period"),
    [
        (ta.ema(10), 12, 10),
        (ta.macd_line(5, 20), 12, 20),
        (ta.macd_histogram(5, 20, 9), 15, 20),
        (ta.macd_histogram(5, 8, 30), 15, 30),
        (ta.rsi(14), 25, 14),
        (ta.natr(14), 25, 14),
        (ta.plus_di(14), 25, 14),
        (ta.adx(14), 30, 14),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_warm_ups_are_the_documented_multiples(indicator, periods, period):
    assert ta.n_warm_up(indicator) >= periods * period


def test_without_memory_only_the_own_bars_are_needed():
    assert ta.n_warm_up(ta.sma(200)) == 200
    assert ta.n_warm_up(ta.channel_high(20)) == 21
    assert ta.n_warm_up("close") == 1


def test_the_last_values_do_not_depend_on_how_many_are_requested():
    prices = walk(3, 150, late={2: 147})
    few, many = series_of(prices, *ALL, n_last=5), series_of(prices, *ALL, n_last=80)
    np.testing.assert_array_equal(few, [values[:, -5:] for values in many])


def test_results_do_not_depend_on_the_chunks():
    prices, ordered = walk(7, 150, late={3: 20}), plan(ALL)
    outs = [np.full((len(ordered.series), 7, 9), np.nan) for _ in range(2)]
    evaluate(ordered, prices, range(0, 150), range(7), outs[0])
    for ticker in (6, 0, 3, 1, 2, 5, 4):
        evaluate(ordered, prices, range(0, 150), [ticker], outs[1][:, ticker : ticker + 1])
    np.testing.assert_array_equal(outs[0], outs[1])


def test_bars_at_and_after_the_stop_never_reach_an_indicator():
    seen = []

    def spy(close):
        seen.append(len(close))
        return close

    prices, ordered = walk(2, 40, late={1: 30}), plan([Indicator("spy", spy, ("close",))])
    evaluate(ordered, prices, range(10, 33), range(2), np.empty((1, 2, 5)))
    assert seen == [23, 3]


def test_tickers_without_a_bar_are_left_alone():
    prices = walk(2, 40, late={1: 39})
    out = np.full((1, 2, 4), -1.0)
    evaluate(plan([ta.sma(2)]), prices, range(0, 39), range(2), out)
    assert (out[0, 1] == -1).all()
    assert (out[0, 0] != -1).all()


def test_an_indicator_is_computed_once_however_many_read_it():
    calls = []

    def counted(close, period):
        calls.append(period)
        return close * period

    def base(period):
        return Indicator(f"base({period})", counted, ("close",), (period,))

    sums = [Indicator(f"sum{n}", np.add, (base(2), base(n))) for n in (3, 4, 5)]
    series_of(walk(2, 20), *sums, base(2), base(2), sums[0])
    assert sorted(calls) == [2, 2, 3, 3, 4, 4, 5, 5]  # once for each of two tickers


def test_a_plan_holds_shared_averages_once():
    ordered = plan(
        [
            ta.ema(12),
            ta.macd_histogram(12, 26, 9),
            ta.macd_histogram(12, 26, 5),
            "close",
            ta.ema(12),
        ]
    )
    names = [step.indicator.name for step in ordered.steps]
    assert sorted(names) == sorted(set(names))
    assert names.count("EMA(12)") == 1
    assert len(ordered.series) == 4


def failing(close):
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (failing, r"mine failed on T000: no licence"),
        (
            lambda close: close[1:],
            r"mine failed on T000: it returned float64\[19\], not float64\[20\]",
        ),
        (
            lambda close: close > 1,
            r"mine failed on T000: it returned bool\[20\], not float64\[20\]",
        ),
        (lambda close: 3.0, r"mine failed on T000: it returned float, not float64\[20\]"),
        (lambda close: close.__setitem__(0, 1.0), r"mine failed on T000: .*read-only"),
        ("NOSUCH", r"TA-Lib has no function 'NOSUCH'"),
        ("BBANDS", r"mine failed on T000: it returned tuple, not float64\[20\]"),
    ],
)
def test_errors_name_indicator_and_ticker(compute, message):
    with pytest.raises(Mp2Error, match=message):
        series_of(walk(1, 20), Indicator("mine", compute, ("close",)))


def test_series_that_others_read_cannot_be_changed():
    def spoil(average):
        average[-1] = 0
        return average

    with pytest.raises(Mp2Error, match="read-only"):
        series_of(walk(1, 20), Indicator("spoil", spoil, (ta.ema(3),)))


def test_any_ta_lib_function_of_one_output_serves():
    prices = walk(1, 60)
    williams = Indicator("WILLR(14)", "WILLR", ("high", "low", "close"), (14,), 13)
    (found,) = series_of(prices, williams)
    np.testing.assert_array_equal(
        found[0], talib.WILLR(prices.high[0], prices.low[0], prices.close[0], 14)
    )
