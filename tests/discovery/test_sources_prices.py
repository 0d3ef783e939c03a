"""Tests of the scanners over daily bars: rules, look-ahead, reading and unusable prices."""

import copy
import datetime
import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from market_bars import bars, walk, weekdays
from places import REAL_BARS

import mp2
from mp2.data import prices as prices_module
from mp2.data.prices import price_table, to_frame
from mp2.discovery.runner import scan_in_caller
from mp2.discovery.scanner import ScanContext
from mp2.discovery.sources import _daily_bars
from mp2.discovery.sources.breakout_52w import Breakout52w
from mp2.discovery.sources.oversold_in_uptrend import OversoldInUptrend
from mp2.discovery.sources.volatility_contraction import VolatilityContraction
from mp2.discovery.sources.volume_accumulation import VolumeAccumulation

SCANNERS = (VolumeAccumulation, Breakout52w, OversoldInUptrend, VolatilityContraction)
SHORT = {
    "volume_accumulation": {
        "days": 4,
        "base_days": 20,
        "min_ratio": 1.0,
        "min_net_share": 0.1,
        "max_move_pp": 8.0,
    },
    "breakout_52w": {"sessions": 20, "volume_days": 10},
    "oversold_in_uptrend": {"sma_period": 30, "rsi_below": 40.0},
    "volatility_contraction": {
        "lookback": 30,
        "max_percentile": 30.0,
        "max_atr_ratio": 1.2,
        "trend_period": 20,
    },
}
"""Settings under which random walks have some matches of each kind."""


def day_after(table, n_dates=None):
    """Return the first day on which `n_dates` (default: all) dates of the table are complete."""
    last = table.dates[(n_dates or table.n_dates) - 1]
    return datetime.date.fromisoformat(last) + datetime.timedelta(days=1)


def run(scanner, table=None, today=None, **settings):
    """Return the outcome, and the candidates by ticker, in order."""
    found = mp2.scan(
        [scanner],
        config={"scanners": {scanner.name: {"limit": 1000, **settings}}},
        state={} if table is None else {"prices": table},
        today=today or (day_after(table) if isinstance(table, mp2.PriceTable) else None),
    )
    return found.outcomes[0], {one.ticker: one for one in found.candidates}


def in_order(scanner, table, **settings):
    """Return the candidates in the order in which they are named."""
    given = {"scanners": {scanner.name: {"limit": 1000, **settings}}}
    return scan_in_caller(scanner, config=given, state={"prices": table}, today=day_after(table))[1]


def fails(code, message, scanner=Breakout52w, table=None, **settings):
    """Assert that the scanner fails with this code and message."""
    outcome, found = run(scanner, table, **settings)
    assert found == {}
    assert outcome.error.code == code
    assert outcome.error.message.startswith(message)
    return outcome


def with_volume(table, volume):
    values = [getattr(table, name) for name in ("open", "high", "low", "close")]
    return price_table(table.dates, table.tickers, [*values, volume])


# --- each rule on bars made for it ----------------------------------------------------------------


def test_volume_accumulation():
    close = np.tile(100.0 + np.arange(30) % 2, (4, 1))
    close[:, -6:] = [100, 101, 100.5, 101, 101.5, 101]
    volume = np.full((4, 30), 1000.0)
    volume[0, -5:] = [6000, 1000, 6000, 6000, 1000]  # up, down, up, up, down
    volume[1, -5:] = [1000, 9000, 1000, 1000, 9000]  # falls on high volume
    volume[2] *= 5  # always high
    volume[3, -5:] = [2000, 500, 2000, 2000, 1100]
    table = price_table(weekdays(30), ["BUY", "SELL", "SAME", "SOME"], [*[close] * 4, volume])
    outcome, found = run(VolumeAccumulation, table, base_days=20)
    assert outcome.status == "ok"
    assert list(found) == ["BUY", "SOME"]
    assert [one.priority for one in found.values()] == ["high", "medium"]
    assert found["BUY"].contexts == (
        "volume of 5 sessions is 4.0 times the usual, "
        "80% of it net buying, at a close of 101.00 (+1.0%)",
    )
    assert found["BUY"].data == {
        "volume_accumulation": {
            "date": table.dates[-1],
            "close": 101,
            "move_pp": 1,
            "volume_ratio": 4,
            "net_share": 0.8,
        }
    }
    _, still = run(VolumeAccumulation, table, base_days=20, max_move_pp=0.5)
    assert still == {}


def test_breakout_52w():
    flat = [44.9, *[40.0] * 29]
    table = bars(NEW=[*flat, 45.2], SAME=[*flat, 44.9], FAR=[*flat, 60.0], OLD=[*flat, 41.0])
    volume = np.full((4, 31), 100.0)
    volume[:, -1] = 180
    outcome, found = run(Breakout52w, with_volume(table, volume), sessions=30, volume_days=20)
    assert outcome.status == "ok"
    assert list(found) == ["NEW"]
    assert found["NEW"].contexts == (
        "close 45.20 is above the highest close of 30 sessions (44.90), volume 1.8 times the usual",
    )
    assert found["NEW"].priority == "high"
    later = in_order(Breakout52w, table, sessions=29, volume_days=20, max_above_pp=100.0)
    priorities = [(one.ticker, one.priority) for one in later]
    assert priorities == [
        ("FAR", "medium"),
        ("NEW", "medium"),
        ("SAME", "medium"),
        ("OLD", "medium"),
    ], "the old high is outside the window"


def test_breakout_52w_without_volume():
    table = bars(NEW=[*[40.0] * 30, 45.2 - 2.0])
    table = with_volume(table, np.full((1, 31), np.nan))
    _, found = run(Breakout52w, table, sessions=30, volume_days=20)
    assert found["NEW"].contexts == (
        "close 43.20 is above the highest close of 30 sessions (40.00)",
    )
    assert found["NEW"].data["breakout_52w"]["volume_ratio"] is None
    fails(
        "bad_payload",
        "state['prices']: no bar has a volume",
        table=table,
        sessions=30,
        min_volume_ratio=1.0,
    )


def test_oversold_in_uptrend():
    rise = [*np.linspace(20, 60, 40)]
    table = bars(FELL=[*rise, 56.0, 53.0], ROSE=[*rise, 61.0, 62.0], BROKE=[*rise, 40.0, 20.0])
    outcome, found = run(OversoldInUptrend, table, sma_period=40)
    assert outcome.status == "ok"
    assert list(found) == ["FELL"]
    assert found["FELL"].priority == "medium"
    data = found["FELL"].data["oversold_in_uptrend"]
    mean = np.mean([*rise[2:], 56, 53])
    assert data["mean"] == pytest.approx(mean)
    assert (
        found["FELL"]
        .contexts[0]
        .startswith(f"RSI(2) is {data['rsi']:.1f} while the close 53.00 is")
    )
    assert found["FELL"].contexts[0].endswith(f"above its mean of 40 sessions ({mean:.2f})")


def test_an_unchanged_price_is_not_oversold():
    """Its RSI stays where the last move left it."""
    fallen = [*np.linspace(20, 60, 40), 56.0, 53.0]
    table = bars(FELL=[*[20.0] * 19, *fallen, 53.0], HALTED=[*fallen, *[53.0] * 20])
    _, found = run(OversoldInUptrend, table, sma_period=60)
    assert list(found) == ["FELL"], "one unchanged day is not enough"


def test_volatility_contraction():
    swing = np.tile([1.0, -1.0], 80)
    steps = np.array([swing * np.linspace(1, 0.05, 160), swing, swing * np.linspace(1, 0.05, 160)])
    close = 100 + np.cumsum(steps + np.array([[0.02], [0.02], [-0.02]]), axis=1)
    columns = [close, close + abs(steps), close - abs(steps), close, np.full_like(close, 1000)]
    table = price_table(weekdays(160), ["QUIET", "LOUD", "FALLS"], columns)
    outcome, found = run(VolatilityContraction, table, lookback=60, trend_period=100)
    assert outcome.status == "ok"
    assert list(found) == ["QUIET"]
    assert found["QUIET"].priority == "high"
    data = found["QUIET"].data["volatility_contraction"]
    assert data["bandwidth_pp"] == pytest.approx(
        100 * 4 * close[0, -20:].std() / close[0, -20:].mean()
    )
    assert data["percentile"] == 0
    start = (
        f"bandwidth {data['bandwidth_pp']:.1f}% was lower in 0% of 60 sessions, "
        f"range {data['atr_pp']:.1f}% is"
    )
    assert found["QUIET"].contexts[0].startswith(start)
    _, louder = run(VolatilityContraction, table, lookback=60, trend_period=100, max_atr_ratio=1.0)
    assert set(louder) == {"QUIET", "LOUD"}


def test_halted_trading_is_not_a_contraction():
    close = np.r_[100 + np.arange(160) * 0.1 + np.tile([1, -1], 80), np.full(40, 115.0)]
    columns = [
        close,
        np.r_[close[:160] + 2, close[160:]],
        np.r_[close[:160] - 2, close[160:]],
        close,
        np.full(200, 1000.0),
    ]
    table = price_table(weekdays(200), ["HALTED"], [column[np.newaxis] for column in columns])
    _, found = run(VolatilityContraction, table, lookback=60, trend_period=100)
    assert found == {}
    _, found = run(
        VolatilityContraction, table, day_after(table, 178), lookback=60, trend_period=100
    )
    assert list(found) == ["HALTED"], "until then it contracts"


# --- against plain numpy --------------------------------------------------------------------------


def wilder(values, period):
    """Return the last value of Wilder's smoothing, which begins with a mean of `period`."""
    smooth = values[:, :period].mean(axis=1)
    for idx in range(period, values.shape[1]):
        smooth = (smooth * (period - 1) + values[:, idx]) / period
    return smooth


def numpy_volume(
    high,
    low,
    close,
    volume,
    days=5,
    base_days=60,
    min_ratio=1.5,
    min_net_share=0.3,
    max_move_pp=5.0,
):
    last = volume[:, -days:].sum(axis=1)
    ratio = last / days / volume[:, -days - base_days : -days].mean(axis=1)
    net = (np.sign(np.diff(close))[:, -days:] * volume[:, -days:]).sum(axis=1) / last
    move = abs(close[:, -1] / close[:, -1 - days] - 1) * 100
    return (ratio >= min_ratio) & (net >= min_net_share) & (move <= max_move_pp)


def numpy_breakout(high, low, close, volume, sessions=252, volume_days=50, max_above_pp=10.0):
    before = close[:, -1 - sessions : -1].max(axis=1)
    return (close[:, -1] > before) & ((close[:, -1] / before - 1) * 100 <= max_above_pp)


def numpy_oversold(high, low, close, volume, rsi_period=2, rsi_below=10.0, sma_period=200):
    moves = np.diff(close)
    up, down = wilder(np.maximum(moves, 0), rsi_period), wilder(np.maximum(-moves, 0), rsi_period)
    return (100 * up / (up + down) < rsi_below) & (
        close[:, -1] > close[:, -sma_period:].mean(axis=1)
    )


def numpy_contraction(
    high,
    low,
    close,
    volume,
    lookback=126,
    max_percentile=5.0,
    max_atr_ratio=0.8,
    trend_period=200,
    band_period=20,
    period=14,
):
    windows = np.lib.stride_tricks.sliding_window_view(close, band_period, axis=1)[:, -lookback:]
    bandwidth = windows.std(axis=2) / windows.mean(axis=2)
    percentile = (bandwidth < bandwidth[:, -1:]).mean(axis=1) * 100
    previous = close[:, :-1]
    ranges = np.maximum(high[:, 1:], previous) - np.minimum(low[:, 1:], previous)
    n = close.shape[1]
    atr = [
        wilder(ranges[:, :stop], period) / close[:, stop] * 100 for stop in range(n - lookback, n)
    ]
    quiet = atr[-1] / np.mean(atr, axis=0) <= max_atr_ratio
    return (
        (percentile <= max_percentile)
        & quiet
        & (close[:, -1] > close[:, -trend_period:].mean(axis=1))
    )


IN_NUMPY = {
    "volume_accumulation": numpy_volume,
    "breakout_52w": numpy_breakout,
    "oversold_in_uptrend": numpy_oversold,
    "volatility_contraction": numpy_contraction,
}


def expected(scanner, table, n_dates, **settings):
    """Return the tickers with bars on every date for which the rule holds, by plain numpy."""
    whole = np.flatnonzero(np.isfinite(table.close).all(axis=1))
    columns = [getattr(table, name)[whole, :n_dates] for name in ("high", "low", "close", "volume")]
    return {table.tickers[idx] for idx in whole[IN_NUMPY[scanner.name](*columns, **settings)]}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_rule_equals_plain_numpy(scanner):
    table = walk(60, 500, seed=3)
    n_found = 0
    for n_dates in (450, 470, 500):
        _, found = run(scanner, table, day_after(table, n_dates), **SHORT[scanner.name])
        wanted = expected(scanner, table, n_dates, **SHORT[scanner.name])
        assert set(found) == wanted
        n_found += len(wanted)
    assert 5 < n_found < 120, "a rule that always or never holds tests nothing"


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data is not beside the checkout")
def test_the_real_market():
    table = mp2.read_prices(REAL_BARS)
    n_found = dict.fromkeys(IN_NUMPY, 0)
    for day in ("2018-03-01", "2019-11-05", "2020-01-06"):
        n_dates = sum(date < day for date in table.dates)
        for scanner in SCANNERS:
            _, found = run(scanner, table, datetime.date.fromisoformat(day))
            wanted = expected(scanner, table, n_dates)
            is_whole = np.isfinite(table.close).all(axis=1)
            whole = {table.tickers[idx] for idx in np.flatnonzero(is_whole)}
            canonical = {ticker.replace(".", "-") for ticker in wanted}
            assert {
                ticker for ticker in found if ticker in whole or ticker.replace("-", ".") in whole
            } == canonical
            n_found[scanner.name] += len(wanted)
    assert min(n_found.values()) > 2
    # Lockheed and Raytheon on 2020-01-03, from the file by hand: the close, and the highest close
    # of the 252 sessions before.
    _, found = run(Breakout52w, table, datetime.date(2020, 1, 6))
    assert found["LMT"].priority == "high"
    assert (
        found["LMT"]
        .contexts[0]
        .startswith("close 413.74 is above the highest close of 252 sessions (399.37)")
    )
    assert (
        found["RTN"]
        .contexts[0]
        .startswith("close 227.81 is above the highest close of 252 sessions (224.48)")
    )


# --- look-ahead -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scanner", SCANNERS)
def test_later_bars_make_no_difference(scanner):
    table = walk(60, 300, seed=7)
    today = datetime.date.fromisoformat(table.dates[280])  # that day has a bar, too
    columns = [getattr(table, name).copy() for name in ("open", "high", "low", "close", "volume")]
    for column in columns:
        column[:, 280:] *= np.random.default_rng(0).uniform(0.5, 2)
    changed = price_table(table.dates, table.tickers, columns)
    cut = table.until(table.dates[279])
    results = [run(scanner, one, today, **SHORT[scanner.name])[1] for one in (table, changed, cut)]
    assert results[0]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("scanner", SCANNERS)
def test_later_bars_in_a_file_make_no_difference(scanner, tmp_path):
    """Not even a later bad bar, which would exclude its ticker."""
    table = walk(40, 300, seed=7)
    today = datetime.date.fromisoformat(table.dates[280])
    frame = to_frame(table)
    frame.write_parquet(tmp_path / "good.parquet")
    import polars as pl

    bad = frame.with_columns(
        pl.when(pl.col("date") >= today).then(-1.0).otherwise(pl.col("close")).alias("close")
    )
    bad.write_csv(tmp_path / "bad.csv")
    _, good = run(
        scanner, today=today, prices=str(tmp_path / "good.parquet"), **SHORT[scanner.name]
    )
    _, later = run(scanner, today=today, prices=str(tmp_path / "bad.csv"), **SHORT[scanner.name])
    assert good == later == run(scanner, table, today, **SHORT[scanner.name])[1]
    assert good


@pytest.mark.parametrize("scanner", SCANNERS)
def test_a_late_listing_counts_once_it_has_the_bars(scanner):
    needed = {
        "volume_accumulation": 24,
        "breakout_52w": 21,
        "oversold_in_uptrend": 30,
        "volatility_contraction": 49,
    }[scanner.name]
    table = walk(60, 200, seed=7, late={ticker: 200 - needed + ticker % 2 for ticker in range(30)})
    _, found = run(scanner, table, **SHORT[scanner.name])
    late = {ticker for ticker in found if ticker < "T030"}
    assert late, "tickers with just enough bars count"
    assert all(int(ticker[1:]) % 2 == 0 for ticker in late), "tickers that lack one do not"


def test_no_rule_holds_for_unknown_values():
    table = walk(40, 100, seed=2)
    settings = SHORT["volume_accumulation"]
    _, before = run(VolumeAccumulation, table, **settings)
    assert len(before) > 2
    hit, missed, early = list(before)[:3]
    volume = table.volume.copy()
    volume[table.tickers.index(hit), -2] = np.nan
    volume[table.tickers.index(missed), -20] = np.nan
    volume[table.tickers.index(early), -50] = np.nan
    outcome, found = run(VolumeAccumulation, with_volume(table, volume), **settings)
    assert outcome.status == "ok"
    assert set(found) == set(before) - {hit, missed}


def test_a_base_volume_of_zero_matches_nothing():
    table = walk(10, 60)
    volume = np.zeros((10, 60))
    volume[:5, -4:] = 1000
    outcome, found = run(
        VolumeAccumulation, with_volume(table, volume), **SHORT["volume_accumulation"]
    )
    assert (outcome.status, found) == ("empty", {})


def test_most_urgent_first_and_low_closes_left_out():
    table = walk(200, 100, seed=4)
    found = in_order(OversoldInUptrend, table, **SHORT["oversold_in_uptrend"])
    data = [one.data for one in found]
    assert [one["rsi"] for one in data] == sorted(one["rsi"] for one in data)
    assert [one.priority for one in found] == [
        "high" if one["rsi"] < 20 else "medium" for one in data
    ]
    assert {one.priority for one in found} == {"high", "medium"}
    first = in_order(OversoldInUptrend, table, **SHORT["oversold_in_uptrend"], limit=3)
    assert first == found[:3]
    close = float(np.median([one["close"] for one in data]))
    dear = in_order(OversoldInUptrend, table, min_close=close, **SHORT["oversold_in_uptrend"])
    assert dear == tuple(one for one in found if one.data["close"] >= close)


def test_data_is_plain_json():
    for scanner in SCANNERS:
        _, found = run(scanner, walk(40, 300, seed=7), **SHORT[scanner.name])
        for one in found.values():
            assert (
                json.loads(json.dumps(one.data[scanner.name], allow_nan=False))
                == one.data[scanner.name]
            )


# --- reading prices -------------------------------------------------------------------------------


def test_a_price_table_is_not_copied():
    table = walk()
    assert copy.deepcopy({"prices": table})["prices"] is table
    with pytest.raises(ValueError, match="read-only"):
        table.close[0, 0] = 1
    assert copy.deepcopy(table.close).flags.writeable, "an array by itself is"


def config(**settings):
    return {"scanners": {scanner.name: {**SHORT[scanner.name], **settings} for scanner in SCANNERS}}


@pytest.fixture
def n_reads(monkeypatch):
    """The number of times that prices were read."""
    monkeypatch.setattr(_daily_bars, "price_cache", _daily_bars.PriceCache())
    reads = []
    read_prices = prices_module.read_prices

    def counted(*args, **options):
        reads.append(args)
        return read_prices(*args, **options)

    monkeypatch.setattr(prices_module, "read_prices", counted)
    return reads


@pytest.mark.parametrize("concurrent", [True, False])
def test_a_file_is_read_once(concurrent, tmp_path, n_reads):
    table = walk(20, 300)
    path = tmp_path / "prices.csv"
    to_frame(table).write_csv(path)
    today = day_after(table)
    found = mp2.scan(SCANNERS, config=config(prices=str(path)), today=today, concurrent=concurrent)
    assert found.status == "complete"
    assert len(n_reads) == 1
    again = mp2.scan(SCANNERS, config=config(prices=str(path)), today=today, concurrent=concurrent)
    assert len(n_reads) == 1
    assert again.candidates == found.candidates
    to_frame(table.until(table.dates[298])).write_csv(path)
    mp2.scan(SCANNERS, config=config(prices=str(path)), today=today, concurrent=concurrent)
    assert len(n_reads) == 2, "a changed file is read again"


def test_a_folder_and_an_sqlite_file_are_read_again_when_they_change(tmp_path, n_reads):
    folder = tmp_path / "bars"
    folder.mkdir()
    frame = to_frame(walk(2, 60))
    for ticker in ("T000", "T001"):
        frame.filter(frame["ticker"] == ticker).drop("ticker").write_csv(folder / f"{ticker}.csv")
    settings = {"prices": str(folder), "today": datetime.date(2023, 3, 26), **SHORT["breakout_52w"]}
    assert run(Breakout52w, **settings)[0].error is None
    assert run(Breakout52w, **settings)[0].error is None
    assert len(n_reads) == 1
    os.utime(folder / "T001.csv", (1, 1))
    run(Breakout52w, **settings)
    assert len(n_reads) == 2


def test_few_tables_are_kept(tmp_path, n_reads):
    for n_dates in (40, 41, 42):
        to_frame(walk(2, n_dates)).write_parquet(tmp_path / f"{n_dates}.parquet")
        run(
            Breakout52w,
            prices=str(tmp_path / f"{n_dates}.parquet"),
            today=datetime.date(2023, 3, 1),
            **SHORT["breakout_52w"],
        )
    assert len(_daily_bars.price_cache.tables) == 2


def context(timeout_s=None):
    return ScanContext(Breakout52w, Breakout52w.Settings(), timeout_s=timeout_s)


def test_the_next_thread_reads_after_a_cancelled_read():
    reads, began, go_on, table = (
        _daily_bars.PriceCache(),
        threading.Event(),
        threading.Event(),
        walk(),
    )

    def given_up():
        began.set()
        assert go_on.wait(30)
        raise mp2.ReadStoppedError("stopped")

    first, results = context(), []

    def reader():
        with pytest.raises(mp2.SourceError, match="cancelled"):
            reads.get("key", given_up, first)

    threads = [
        threading.Thread(target=reader),
        threading.Thread(target=lambda: results.append(reads.get("key", lambda: table, context()))),
    ]
    threads[0].start()
    assert began.wait(30)
    threads[1].start()
    first.cancelled.set()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert results == [table]


def test_waiting_for_a_read_ends_at_the_deadline():
    reads, began, go_on = _daily_bars.PriceCache(), threading.Event(), threading.Event()

    def slow():
        began.set()
        assert go_on.wait(30)
        return walk()

    reader = threading.Thread(target=reads.get, args=("key", slow, context()))
    reader.start()
    assert began.wait(30)
    with pytest.raises(mp2.SourceError, match="timeout after"):
        reads.get("key", slow, context(timeout_s=0.01))
    go_on.set()
    reader.join(30)


def test_a_failed_read_is_reported_and_not_cached():
    reads = _daily_bars.PriceCache()

    def fails():
        raise mp2.InputError(["one", "two"])

    for _ in range(2):
        with pytest.raises(mp2.SourceError, match="one; two") as caught:
            reads.get("key", fails, context())
        assert caught.value.code == "bad_payload"
    assert reads.get("key", walk, context()).n_tickers == 6


# --- unusable prices ------------------------------------------------------------------------------


def test_without_prices_it_is_skipped():
    for scanner in SCANNERS:
        table = f"[discovery.scanners.{scanner.name}]"
        message = f"no prices; name them with --prices, set prices in {table}"
        outcome = fails("missing_key", message, scanner)
        assert outcome.status == "skipped"
        assert not outcome.failed


def test_missing_prices(tmp_path):
    path = tmp_path / "none.parquet"
    assert fails("bad_request", f"prices: {path}: ", prices=str(path)).status == "error"
    fails("bad_request", "prices: ~nosuch/p.csv: ", prices="~nosuch/p.csv")
    fails("bad_request", "state['prices'] is a list; pass what mp2.read_prices returns", table=[1])


def test_prices_that_cannot_be_read(tmp_path):
    path = tmp_path / "prices.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    fails("bad_payload", f"{path}: cannot be read as a Parquet file", prices=str(path))
    path = tmp_path / "prices.csv"
    path.write_text("date,ticker,open,high,low\n2020-01-02,A,1,1,1\n")
    fails(
        "bad_payload",
        f"{path}: missing column 'close'; it has date, ticker, open, high, low",
        prices=str(path),
    )


def test_too_few_bars():
    table = walk(3, 100, late={0: 50})
    last = table.dates[-1]
    message = f"state['prices']: no ticker has the 253 bars needed up to {last}; the most are 100"
    fails("bad_payload", message, table=table)
    message = f"state['prices']: no bars before 2023-01-02; the first are of {table.dates[0]}"
    fails("bad_payload", message, table=table, today=datetime.date(2023, 1, 2))


def test_outdated_prices_are_refused():
    table = walk(3, 100)
    late = datetime.date.fromisoformat(table.dates[-1]) + datetime.timedelta(days=11)
    fails(
        "bad_payload",
        f"state['prices']: the last bars are of {table.dates[-1]}, 11 days before {late}",
        table=table,
        today=late,
    )
    assert run(Breakout52w, table, late, sessions=20, max_age_days=11)[0].error is None


def test_no_volume_at_all(tmp_path):
    table = walk(3, 100)
    path = tmp_path / "prices.csv"
    to_frame(table).drop("volume").write_csv(path)
    fails(
        "bad_payload",
        f"{path}: no bar has a volume",
        VolumeAccumulation,
        prices=str(path),
        today=day_after(table),
    )


def test_left_out_tickers_are_logged(tmp_path):
    table = walk(5, 60)
    frame = to_frame(table)
    path = tmp_path / "prices.csv"
    frame.filter(
        ~((frame["ticker"] == "T001") & (frame["date"] == datetime.date(2023, 2, 1)))
    ).write_csv(path)
    found = mp2.scan(
        [Breakout52w],
        config={"scanners": {"breakout_52w": {"prices": str(path), "sessions": 20}}},
        today=day_after(table),
    )
    assert any("WARNING" in line and "T001" in line for line in found.logs["breakout_52w"])
    assert any("5 of 5 tickers have 51 bars" in line for line in found.logs["breakout_52w"])


def test_a_scan_stops_at_its_deadline():
    table = walk(50, 60)
    own = ScanContext(
        Breakout52w,
        Breakout52w.Settings(sessions=20),
        state={"prices": table},
        today=day_after(table),
        timeout_s=60,
    )
    looks = iter([60.0] * 10)
    own.deadline.remaining_s = lambda: next(looks, 0.0)
    with pytest.raises(mp2.SourceError, match="timeout"):
        list(Breakout52w(own.settings).scan(own))


@pytest.mark.parametrize(
    ("scanner", "setting", "value"),
    [
        (VolumeAccumulation, "min_net_share", 1.5),
        (Breakout52w, "sessions", 19),
        (OversoldInUptrend, "rsi_below", 60),
        (VolatilityContraction, "lookback", 2.5),
        (Breakout52w, "prices", 5),
        (Breakout52w, "colour", "red"),
    ],
)
def test_settings_out_of_range_are_named(scanner, setting, value):
    outcome, _ = run(scanner, **{setting: value})
    assert outcome.error.code == "preparation"
    assert setting in outcome.error.message


def test_the_setting_takes_precedence_over_the_state(tmp_path):
    path = tmp_path / "none.csv"
    fails("bad_request", f"prices: {path}", table=replace(walk()), prices=str(path))
