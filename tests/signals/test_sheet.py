"""Signals of days from the bars before them.

They are compared with TA-Lib called by hand on each day's past, under any split of the work.
"""

import threading
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import talib
from market_bars import bars, walk, weekdays
from places import REAL_BARS

from mp2 import read_signals
from mp2.data import bitset
from mp2.data.findings import Finding
from mp2.data.prices import price_table
from mp2.data.sessions import next_session
from mp2.errors import InputError, Mp2Error, ReadStoppedError
from mp2.signals import indicators
from mp2.signals import sheet as signals
from mp2.signals.algorithms import ALGORITHMS, Algorithm, Parameter
from mp2.signals.grids import grids_of, load_grids
from mp2.signals.sheet import compute_signals


def narrowed(algorithm, n_values=2):
    """The algorithm with its shortest few values of every parameter."""
    parameters = tuple(replace(p, values=p.values[:n_values]) for p in algorithm.parameters)
    return replace(algorithm, parameters=parameters)


GRIDS = grids_of(map(narrowed, ALGORITHMS))
PRICES = walk(70, 140, late={3: 100, 5: 133, 6: 139})


def bought(sheet, algo, variation, day):
    """Names of the tickers."""
    (row,) = (
        v
        for v, name in enumerate(sheet.variations)
        if (sheet.algos[sheet.algo_of[v]], name) == (algo, variation)
    )
    members = bitset.unpack(sheet.buys[row, sheet.days.index(day)], len(sheet.tickers))
    return {ticker for ticker, is_in in zip(sheet.tickers, members, strict=True) if is_in}


def same_buys(sheet, other, days=None):
    days = days or sheet.days
    first, second = ([each.days.index(day) for day in days] for each in (sheet, other))
    return np.array_equal(sheet.buys[:, first], other.buys[:, second])


# --- the rule of time


def ema_macd(high, low, c):
    line = talib.EMA(c, 6) - talib.EMA(c, 20)
    return c[-1] > talib.EMA(c, 10)[-1] and line[-1] > talib.EMA(line, 9)[-1]


def rsi_bollinger(high, low, c):
    return talib.RSI(c, 3)[-1] < 38 and c[-1] < talib.SMA(c, 20)[-1] - 0.5 * talib.STDDEV(c, 20)[-1]


def bollinger(high, low, c):
    upper, _, bottom = talib.BBANDS(c, 12, 1.5, 1.5)
    return (c[-1] - bottom[-1]) / (upper[-1] - bottom[-1]) < 0.15


def breakout(high, low, c):
    return len(c) > 10 and c[-1] >= (1 - 0.0025) * high[-11:-1].max()


def adx(high, low, c):
    return (
        talib.ADX(high, low, c, 7)[-1] > 18
        and talib.PLUS_DI(high, low, c, 7)[-1] > talib.MINUS_DI(high, low, c, 7)[-1]
    )


@pytest.mark.parametrize(
    ("algo", "variation", "condition"),
    [
        (
            "MACD",
            "5-20-5",
            lambda high, low, c: (
                (m := talib.EMA(c, 5) - talib.EMA(c, 20))[-1] > talib.EMA(m, 5)[-1]
            ),
        ),
        ("EMA", "4-19", lambda high, low, c: talib.EMA(c, 4)[-1] > talib.EMA(c, 19)[-1]),
        ("RSI", "3-34", lambda high, low, c: talib.RSI(c, 3)[-1] < 34),
        ("Breakout", "10-0.0025", breakout),
        ("ADX", "7-18", adx),
        ("SMA", "9-0.005", lambda high, low, c: c[-1] > 1.005 * talib.SMA(c, 9)[-1]),
        ("Bollinger", "12-1.5-0.15", bollinger),
        ("EMA_MACD", "10-6-20", ema_macd),
        ("RSI_Bollinger", "3-38-20-0.5", rsi_bollinger),
    ],
)
def test_a_days_signal_is_the_condition_on_the_bars_before_it(algo, variation, condition):
    sheet = compute_signals(PRICES, n_days=6, grids=GRIDS)
    n_bought = 0
    for day in sheet.days:
        stop_idx = PRICES.date_idx(day)
        expected = set()
        for ticker, first_idx in zip(range(PRICES.n_tickers), PRICES.first_idx, strict=True):
            past = [
                column[ticker, first_idx:stop_idx].copy()
                for column in (PRICES.high, PRICES.low, PRICES.close)
            ]
            if len(past[0]) and condition(*past):
                expected.add(PRICES.tickers[ticker])
        assert bought(sheet, algo, variation, day) == expected
        n_bought += len(expected)
    assert 0 < n_bought < 6 * PRICES.n_tickers


def test_volatility_ranks_the_tickers_of_a_day():
    sheet = compute_signals(PRICES, n_days=3, grids=GRIDS)
    for day in sheet.days:
        stop_idx = PRICES.date_idx(day)
        ranges = {}
        for ticker, first_idx in enumerate(PRICES.first_idx):
            past = [
                column[ticker, first_idx:stop_idx].copy()
                for column in (PRICES.high, PRICES.low, PRICES.close)
            ]
            if stop_idx - first_idx > 7:
                ranges[PRICES.tickers[ticker]] = talib.NATR(*past, 7)[-1]
        calmest = sorted(ranges, key=ranges.__getitem__)[: int(0.15 * len(ranges))]
        assert bought(sheet, "Volatility", "7-0.15", day) == set(calmest)


def test_the_day_and_what_follows_do_not_matter():
    sheet = compute_signals(PRICES, n_days=1, grids=GRIDS)
    fields = [getattr(PRICES, name).copy() for name in indicators.COLUMNS]
    for field in fields:
        field[:, -1] *= 3
    assert same_buys(
        sheet,
        compute_signals(price_table(PRICES.dates, PRICES.tickers, fields), n_days=1, grids=GRIDS),
    )


# --- days


def test_fewer_days_are_the_last_of_more():
    ten, five = (compute_signals(PRICES, n_days=n, grids=GRIDS) for n in (10, 5))
    assert ten.days[-5:] == five.days == PRICES.dates[-5:]
    assert same_buys(five, ten)


@pytest.mark.slow
def test_all_default_variations_of_fewer_days_are_the_last_of_more():
    ten, five = (compute_signals(PRICES, n_days=n) for n in (10, 5))
    assert same_buys(five, ten)


def test_days_up_to_an_end_are_those_of_the_whole_file():
    whole = compute_signals(PRICES, n_days=20, grids=GRIDS)
    ended = compute_signals(PRICES, n_days=5, end=PRICES.dates[-10], grids=GRIDS)
    assert ended.days == PRICES.dates[-14:-9]
    assert same_buys(ended, whole)
    np.testing.assert_array_equal(ended.open, PRICES.open[:, -14:-9].T)


def test_the_next_day_is_the_files_if_it_has_one():
    sheet = compute_signals(PRICES, n_days=2, end=PRICES.dates[-4], include_next=True, grids=GRIDS)
    assert sheet.days == PRICES.dates[-5:-2]
    assert not sheet.assumed_day
    assert sheet.n_outcome_days == 3
    np.testing.assert_array_equal(sheet.close, PRICES.close[:, -5:-2].T)
    assert same_buys(sheet, compute_signals(PRICES, n_days=9, grids=GRIDS))


def test_an_assumed_next_day_has_the_signals_that_day_will_have():
    later, known = compute_signals(PRICES, n_days=3, grids=GRIDS), PRICES.dates[-2]
    fields = [getattr(PRICES, name)[:, :-1] for name in indicators.COLUMNS]
    sheet = compute_signals(
        price_table(PRICES.dates[:-1], PRICES.tickers, fields),
        n_days=2,
        include_next=True,
        grids=GRIDS,
    )
    assert sheet.assumed_day
    assert sheet.days == (PRICES.dates[-3], known, next_session(PRICES.dates[:-1]))
    assert np.array_equal(sheet.buys, later.buys)
    assert np.isnan(sheet.open[-1]).all()
    assert np.isnan(sheet.close[-1]).all()
    assert np.isfinite(sheet.close[0]).sum() == PRICES.n_tickers - 1


def test_the_next_day_alone():
    sheet = compute_signals(PRICES, n_days=0, include_next=True, grids=GRIDS)
    assert sheet.days == (next_session(PRICES.dates),)
    assert sheet.n_outcome_days == 0
    assert np.array_equal(
        sheet.buys[:, 0],
        compute_signals(PRICES, n_days=4, include_next=True, grids=GRIDS).buys[:, -1],
    )


def test_an_end_without_bars_is_the_last_day_before_it():
    # A Saturday, written in another form.
    sheet = compute_signals(PRICES, n_days=2, end="2023/7/8", grids=GRIDS)
    assert sheet.days == ("2023-07-06", "2023-07-07")
    assert (
        "end: no bars on 2023/7/8; 2023-07-07, the last day before it, is taken" in sheet.warnings
    )
    assert not any(
        "end:" in line
        for line in compute_signals(PRICES, n_days=2, end="20230707", grids=GRIDS).warnings
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"n_days": 0}, "days: 0 is too few; ask for at least 1"),
        ({"n_days": -1, "include_next": True}, "days: -1 is too few; ask for at least 0"),
        (
            {"n_days": 140},
            "days: 140 up to 2023-07-14 need 141 dates, one of them before; "
            "the file has 140 dates up to it, 2023-01-02..2023-07-14",
        ),
        (
            {"n_days": 3, "end": "2023-01-04"},
            "days: 3 up to 2023-01-04 need 4 dates, one of them before; the file has 3 dates",
        ),
        (
            {"end": "2023-01-01"},
            "prices: no bars up to '2023-01-01'; the dates run from 2023-01-02 to 2023-07-14",
        ),
        ({"end": "soon"}, "end: 'soon' is not a date; write YYYY-MM-DD"),
        ({"threads": 0}, "threads: 0 is too few; use at least 1"),
        ({"history": 0}, "history: 0 is too few; use at least 1 bar, or leave it out for all"),
        ({"only": []}, "only: names no variation; leave it out for all"),
        (
            {"only": [("MACD", "1-2-3"), ("RSI", "2-30")]},
            "only: MACD 1-2-3 is not in the grids; use the grids it comes from",
        ),
    ],
)
def test_invalid_requests(settings, problem):
    with pytest.raises(InputError) as error:
        compute_signals(PRICES, grids=GRIDS, **settings)
    (line,) = error.value.problems
    assert line.startswith(problem)


def test_every_unknown_variation_is_named():
    with pytest.raises(InputError) as error:
        compute_signals(PRICES, grids=GRIDS, only=[("B", "2"), ("RSI", "2-30"), ("A", "1")])
    assert error.value.problems == (
        "only: A 1 is not in the grids (and 1 more); use the grids it comes from",
    )


def test_only_some_variations_in_the_order_of_the_grids():
    whole = compute_signals(PRICES, grids=GRIDS)
    some = compute_signals(
        PRICES, grids=GRIDS, only=[("SMA", "9-0"), ("RSI", "3-30"), ("RSI", "2-30")]
    )
    assert some.algos == ("RSI", "SMA")
    assert some.variations == ("2-30", "3-30", "9-0")
    assert some.algo_of.tolist() == [0, 0, 1]
    for algo, variation in (("RSI", "2-30"), ("RSI", "3-30"), ("SMA", "9-0")):
        assert bought(some, algo, variation, some.days[2]) == bought(
            whole, algo, variation, some.days[2]
        )


# --- chunks, threads, memory


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("tickers", "variations", "block_bytes"), [(1, 1, 1), (7, 3, 100_000), (64, 1000, 1 << 30)]
)
def test_signals_do_not_depend_on_how_the_work_is_split(
    monkeypatch, threads, tickers, variations, block_bytes
):
    expected = compute_signals(PRICES, n_days=7, include_next=True, grids=GRIDS)
    monkeypatch.setattr(signals, "_CHUNK_TICKERS", tickers)
    monkeypatch.setattr(signals, "_CHUNK_VARIATIONS", variations)
    monkeypatch.setattr(signals, "_BLOCK_BYTES", block_bytes)
    found = compute_signals(PRICES, n_days=7, include_next=True, grids=GRIDS, threads=threads)
    assert np.array_equal(found.buys, expected.buys)
    assert found.to_frame().equals(expected.to_frame())


def test_progress_counts_up_to_the_total(monkeypatch):
    monkeypatch.setattr(signals, "_BLOCK_BYTES", 1)
    seen = []
    compute_signals(
        PRICES, n_days=3, grids=GRIDS, observe=lambda done, total: seen.append((done, total))
    )
    total = seen[0][1]
    assert seen == [(done, total) for done in range(1, total + 1)]
    assert total % 3 == 0  # three blocks of a day


def test_a_stop_ends_the_work(monkeypatch):
    stop, n_seen, evaluate = threading.Event(), [], indicators.evaluate

    def stopped(*args):
        stop.set()
        return evaluate(*args)

    monkeypatch.setattr(indicators, "evaluate", stopped)
    with pytest.raises(ReadStoppedError):
        compute_signals(
            walk(400, 60),
            grids=GRIDS,
            threads=1,
            stop=stop,
            observe=lambda done, total: n_seen.append(done),
        )
    assert len(n_seen) <= 1


def test_an_interrupt_drops_the_jobs_that_wait(monkeypatch):
    n_evaluated = []
    evaluate = indicators.evaluate
    monkeypatch.setattr(
        indicators, "evaluate", lambda *args: (n_evaluated.append(1), evaluate(*args))
    )
    monkeypatch.setattr(signals, "_CHUNK_TICKERS", 1)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_signals(walk(400, 60), grids=GRIDS, threads=1, observe=interrupt)
    assert len(n_evaluated) < 200
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")
    ]


# --- too little history


def test_a_ticker_without_the_bars_a_variation_needs_is_not_bought():
    sheet = compute_signals(
        walk(4, 60, late={1: 50, 2: 59}),
        n_days=1,
        only=[("SMA", "9-0"), ("RSI", "9-58"), ("SMA", "5-0")],
    )
    tickers = {key: bought(sheet, *key, sheet.days[0]) for key in (("SMA", "9-0"), ("RSI", "9-58"))}
    assert all("T002" not in found for found in tickers.values())
    everybody = grids_of(
        [replace(ALGORITHMS[2], rule=lambda strength, period, level: ~(strength > 1000))]
    )
    sheet = compute_signals(walk(4, 60, late={1: 50, 2: 59}), n_days=1, grids=everybody)
    assert bought(sheet, "RSI", "8-30", sheet.days[0]) == {"T000", "T001", "T003"}
    assert bought(sheet, "RSI", "9-30", sheet.days[0]) == {
        "T000",
        "T003",
    }  # 9 bars before the day, and RSI(9) takes 10


def test_warnings_name_the_longest_parameter_and_count_tickers():
    prices = walk(5, 260, late={0: 250, 1: 100, 2: 59})
    sheet = compute_signals(
        prices, n_days=1, only=[("SMA", "200-0"), ("SMA", "5-0"), ("EMA", "3-16")]
    )
    day = prices.dates[-1]
    assert sheet.warnings == (
        f"prices: 2 of 5 tickers have fewer than the 200 bars before {day} that SMA 200-0 needs; "
        "variations without them do not buy these",
    )
    sheet = compute_signals(prices, n_days=1, only=[("RSI", "10-50"), ("RSI", "3-50")])
    assert sheet.warnings == (
        f"prices: 1 of 5 tickers have fewer than the 11 bars before {day} that RSI 10-50 needs; "
        "variations without them do not buy these",
        f"prices: 2 of 5 tickers have fewer than 250 bars before {day}; "
        "RSI 10-50 has not forgotten its start",
    )


def test_a_file_shorter_than_the_warm_up_is_reported():
    sheet = compute_signals(walk(2, 300), n_days=5, only=[("ADX", "15-20")])
    assert sheet.warnings == (
        "prices: ADX 15-20 takes 450 bars to forget its start; all 295 before 2024-02-19 are used",
    )
    assert compute_signals(walk(2, 455), n_days=5, only=[("ADX", "15-20")]).warnings == ()


def test_warnings_of_prices_and_grids_go_along():
    dropped = Finding(kind="no_bar", line="prices: A was dropped", done="left out")
    prices = replace(walk(2, 60), findings=(dropped,))
    grids = replace(GRIDS, warnings=("EMA: 4 combinations without fast < slow were skipped",))
    assert compute_signals(prices, grids=grids).warnings[:2] == (*prices.warnings, *grids.warnings)


UNAFFECTED = [
    ("MACD", "5-20-5"),
    ("RSI", "3-34"),
    ("ADX", "5-15"),
    ("SMA", "9-0"),
    ("Volatility", "5-0.15"),
    ("EMA", "3-16"),
]


def test_a_cut_history_gives_the_same_signals():
    prices = walk(80, 700, seed=2)
    whole = compute_signals(prices, grids=GRIDS, only=UNAFFECTED)
    cut = compute_signals(prices, grids=GRIDS, only=UNAFFECTED, history=320)
    assert same_buys(cut, whole)
    assert cut.warnings == ()


def test_a_history_shorter_than_the_warm_up_is_lengthened_and_reported(monkeypatch):
    windows = []
    evaluate = indicators.evaluate

    def spy(plan, prices, window, tickers, out):
        windows.append(window)
        evaluate(plan, prices, window, tickers, out)

    monkeypatch.setattr(indicators, "evaluate", spy)
    prices = walk(2, 700)
    lengthened = compute_signals(prices, n_days=5, only=[("ADX", "15-20")], history=100)
    assert lengthened.warnings == (
        "history: ADX 15-20 takes 450 bars to forget its start; 450 are used instead of 100",
    )
    assert {window.start for window in windows} == {695 - 450}
    windows.clear()
    compute_signals(prices, n_days=5, only=[("ADX", "15-20")], history=500)
    assert {window.start for window in windows} == {695 - 500}
    short = compute_signals(walk(2, 205), n_days=5, only=[("ADX", "15-20")], history=100)
    assert short.warnings == (
        "history: ADX 15-20 takes 450 bars to forget its start; 200 are used instead of 100",
        "prices: ADX 15-20 takes 450 bars to forget its start; all 200 before 2023-10-09 are used",
    )


# --- third parties' mistakes


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda close, n: 1 / 0, "Mine 1 failed: division by zero"),
        (
            lambda close, n: close,
            r"Mine 1 failed: the rule returned float64\[70, 5\], not bool\[70, 5\]",
        ),
        (lambda close, n: [True], "Mine 1 failed: the rule returned list, not bool"),
        (lambda close, n: close.__setitem__(0, 1.0), "Mine 1 failed: .*read-only"),
    ],
)
def test_failing_rules_are_named(rule, message):
    mine = Algorithm(
        name="Mine",
        rule=lambda close, n: close > 0,
        reads=lambda n: ("close",),
        parameters=(Parameter("n", "nothing", 1, 3, (1,)),),
    )
    grids = grids_of([mine])
    (variation,) = grids.variations
    broken = replace(grids, variations=(replace(variation, algorithm=replace(mine, rule=rule)),))
    with pytest.raises(Mp2Error, match=message):
        compute_signals(PRICES, grids=broken)


# --- panel and table


def everybody():
    """A grid with a variation that buys every ticker with a bar."""
    always = Algorithm(
        name="Always",
        rule=lambda close, n: close > 0,
        reads=lambda n: ("close",),
        parameters=(Parameter("n", "nothing", 1, 3, (1,)),),
    )
    return grids_of([*map(narrowed, ALGORITHMS), always])


@pytest.mark.parametrize("include_next", [False, True])
def test_the_long_table_reads_back_as_the_panel(include_next):
    prices = walk(70, 140)
    sheet = compute_signals(prices, grids=everybody(), include_next=include_next)
    panel = sheet.panel()
    frame = sheet.to_frame()
    if include_next:
        frame = frame.filter(pl.col("day") != pl.lit(sheet.days[-1]).str.to_date())
    read = read_signals(frame)
    some = panel.n_buys > 0
    keys = [
        (panel.algos[a], name)
        for a, name, kept in zip(panel.algo_of, panel.variations, some, strict=True)
        if kept
    ]
    assert [
        (read.algos[a], name) for a, name in zip(read.algo_of, read.variations, strict=True)
    ] == keys
    assert (read.days, read.tickers) == (panel.days, panel.tickers)
    np.testing.assert_array_equal(read.buys, panel.buys[some])
    np.testing.assert_array_equal(read.wins, panel.wins)
    np.testing.assert_allclose(read.base_win_rates, panel.base_win_rates)
    assert read.warnings == ()


def test_base_win_rates_are_over_every_ticker_with_a_bar():
    prices = bars(A=[1, 2, 3, 4], B=[1, 2, 3, 4], C=[1, 2, 3, 4])  # closes above the open every day
    fields = [getattr(prices, name).copy() for name in indicators.COLUMNS]
    fields[0][1, 2:] = [3.0, 5.0]  # B: a draw, then a loss
    for field in fields:
        field[2, :3] = np.nan  # C: listed on the last day
    prices = price_table(prices.dates, prices.tickers, fields)
    sheet = compute_signals(prices, n_days=2, include_next=True, only=[("RSI", "2-30")])
    panel = sheet.panel()
    assert panel.days == prices.dates[-2:]
    np.testing.assert_allclose(panel.base_win_rates, [50, 100 * 2 / 3])
    assert bitset.unpack(panel.wins, 3).tolist() == [[True, False, False], [True, False, True]]
    assert panel.consistent


def test_a_panel_of_some_days():
    sheet = compute_signals(PRICES, n_days=8, include_next=True, grids=GRIDS)
    panel = sheet.panel(2, 5)
    assert panel.days == sheet.days[2:7]
    np.testing.assert_array_equal(panel.buys, sheet.buys[:, 2:7])
    assert sheet.panel().days == sheet.days[:8]
    assert sheet.panel(3).days == sheet.days[3:8]
    assert sheet.panel(2, 5).fingerprint == panel.fingerprint != sheet.panel(1, 5).fingerprint
    assert not any(
        array.flags.writeable
        for array in (panel.buys, panel.wins, panel.base_win_rates, panel.algo_of)
    )
    assert panel.buys.flags.c_contiguous


@pytest.mark.parametrize("span", [(0, 9), (8, 1), (-1, 3), (0, 0), (3, -1), (8, None)])
def test_panels_of_days_without_an_outcome_are_refused(span):
    sheet = compute_signals(PRICES, n_days=8, include_next=True, grids=GRIDS)
    with pytest.raises(InputError, match="are not among the 8 days with an outcome"):
        sheet.panel(*span)


def test_the_long_table():
    sheet = compute_signals(PRICES, n_days=2, include_next=True, grids=GRIDS)
    frame = sheet.to_frame()
    assert dict(frame.schema) == {
        "algo": pl.String,
        "variation": pl.String,
        "day": pl.Date,
        "ticker": pl.String,
        "open": pl.Float64,
        "close": pl.Float64,
    }
    assert frame.height == bitset.count(sheet.buys).sum()
    assumed = pl.col("day") == pl.lit(sheet.days[-1]).str.to_date()
    assert frame.filter(assumed)["open"].is_null().all()
    assert frame.filter(~assumed)["open", "close"].null_count().sum_horizontal().item() == 0
    row = frame.row(frame.height // 2, named=True)
    day_idx, ticker = sheet.days.index(str(row["day"])), sheet.tickers.index(row["ticker"])
    assert (row["open"], row["close"]) == (
        sheet.open[day_idx, ticker],
        sheet.close[day_idx, ticker],
    )
    assert row["ticker"] in bought(sheet, row["algo"], row["variation"], str(row["day"]))
    assert frame.equals(frame.unique(["algo", "variation", "day", "ticker"], maintain_order=True))


def test_a_sheet_without_a_buy_is_an_empty_table():
    sheet = compute_signals(walk(3, 40), n_days=1, only=[("SMA", "200-0")])
    assert sheet.to_frame().height == 0
    assert sheet.panel().n_buys.tolist() == [0]


def test_arrays_are_read_only_and_contiguous():
    sheet = compute_signals(PRICES, grids=GRIDS)
    for array in (sheet.buys, sheet.open, sheet.close, sheet.algo_of):
        assert not array.flags.writeable
        assert array.flags.c_contiguous


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data is not beside the checkout")
def test_the_real_week():
    from mp2.data.prices import read_prices

    prices = read_prices(REAL_BARS)
    sheet = compute_signals(prices, end="2020-01-10", include_next=True)
    assert sheet.days == (
        "2020-01-06",
        "2020-01-07",
        "2020-01-08",
        "2020-01-09",
        "2020-01-10",
        "2020-01-13",
    )
    assert sheet.assumed_day
    assert (prices.first_idx == 0).sum() == 516
    assert len(sheet.variations) == len(load_grids().variations)
    shares = bitset.count(sheet.buys) / len(sheet.tickers)
    assert (shares.max(axis=1) > 0).all(), "no variation is without a buy all week"
    assert (shares.min(axis=1) < 0.9).all()
    assert np.mean((shares > 0.02) & (shares < 0.75)) > 0.9
    assert same_buys(compute_signals(prices, n_days=3, end="2020-01-10"), sheet, sheet.days[2:5])


def test_days_are_the_tables_own():
    assert compute_signals(PRICES, grids=GRIDS).days == tuple(weekdays(140)[-5:])


def with_holes(prices, holes):
    """The table without the bars at some (ticker, date) positions."""
    columns = [getattr(prices, name).copy() for name in indicators.COLUMNS]
    for place in holes:
        for column in columns:
            column[place] = np.nan
    return price_table(prices.dates, prices.tickers, columns)


def all_bought(sheet):
    return bitset.unpack(sheet.buys, len(sheet.tickers))


NO_RANKS = grids_of(one for one in GRIDS.algorithms if one.name != "Volatility")
"""Rules that look at each ticker alone."""


def test_a_hole_costs_its_days_and_nothing_else():
    whole = walk(6, 140)
    holed = with_holes(whole, [(1, 70), (2, slice(132, 135))])
    sheet = compute_signals(holed, n_days=12, grids=NO_RANKS, include_next=True)
    full = all_bought(compute_signals(whole, n_days=12, grids=NO_RANKS, include_next=True))
    found = all_bought(sheet)
    others = [0, 3, 4, 5]
    assert np.array_equal(found[..., others], full[..., others])
    for ticker in (1, 2):
        # The ticker alone, on its own dates: the signals of all of them are the same.
        own = np.flatnonzero(np.isfinite(holed.close[ticker]))
        alone = price_table(
            [whole.dates[idx] for idx in own],
            [whole.tickers[ticker]],
            [getattr(whole, name)[[ticker]][:, own] for name in indicators.COLUMNS],
        )
        expected = compute_signals(alone, n_days=9, grids=NO_RANKS, include_next=True)
        days = [sheet.days.index(day) for day in expected.days]
        assert np.array_equal(found[:, days, ticker], all_bought(expected)[..., 0])
    lost = slice(4, 7)
    assert not found[:, lost, 2].any()
    assert np.isnan(sheet.close[lost, 2]).all()


def test_the_universe_of_a_day_is_who_has_a_bar():
    sheet = compute_signals(with_holes(walk(4, 60), [(1, 57), (2, 57)]), n_days=5, grids=GRIDS)
    won = sheet.close[2, [0, 3]] > sheet.open[2, [0, 3]]
    assert sheet.panel().base_win_rates[2] == 100 * won.mean()


@pytest.mark.parametrize(("n_back", "is_bought"), [(5, True), (6, False)])
def test_a_ticker_that_ended_long_ago_is_not_bought_next(n_back, is_bought):
    prices = with_holes(walk(4, 60), [(1, slice(60 - n_back, None))])
    always = grids_of([everybody().algorithms[-1]])
    sheet = compute_signals(prices, n_days=1, grids=always, include_next=True)
    assert ("T001" in sheet.tickers) == is_bought
    last, following = all_bought(sheet)[0]
    assert following.all()
    assert last.sum() == 3
