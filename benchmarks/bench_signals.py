"""Prices to signals: all default grids on 503 tickers, 300 bars of history and 5 days.

The goal is under 10 s on 2 cores.

    python -m pytest benchmarks/bench_signals.py --benchmark-only -q
    python -m pytest benchmarks/bench_signals.py -m realdata -q

`extra_info` has the variations and distinct indicators, and, because one run of two threads proves
little on a busy machine, `two_threads_over_one`: the median speed-up of 5 interleaved pairs. Bars
of the real market are used where it is kept beside the checkout, on its whole history.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mp2.data.prices import PriceTable, price_table, read_prices
from mp2.signals.grids import Grids, load_grids
from mp2.signals.indicators import plan
from mp2.signals.sheet import compute_signals

REAL = Path(__file__).parents[2] / "shared" / "data" / "sp500-daily-2015-2020.parquet"
N_TICKERS, N_HISTORY, N_DAYS = 503, 300, 5
GOAL_S = 10.0


@pytest.fixture(scope="module")
def prices() -> PriceTable:
    """Random walks with a range that fits; the work does not depend on the values."""
    rng = np.random.default_rng(2026)
    shape = N_TICKERS, N_HISTORY + N_DAYS
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    open = close * np.exp(rng.normal(0, 0.01, shape))
    columns = [
        open,
        np.maximum(open, close) * 1.005,
        np.minimum(open, close) * 0.995,
        close,
        np.full(shape, 1e6),
    ]
    dates = [str(day) for day in np.busday_offset("2023-01-02", np.arange(shape[1]))]
    return price_table(dates, [f"T{ticker:03d}" for ticker in range(N_TICKERS)], columns)


@pytest.fixture(scope="module")
def grids() -> Grids:
    return load_grids()


@pytest.mark.parametrize("threads", [1, 2])
def test_all_grids(prices: PriceTable, grids: Grids, threads: int, benchmark: Any) -> None:
    settings = {"n_days": N_DAYS, "grids": grids, "threads": threads}
    sheet = benchmark.pedantic(compute_signals, (prices,), settings, rounds=5, warmup_rounds=1)
    benchmark.extra_info["n_variations"] = len(sheet.variations)
    benchmark.extra_info["n_indicators"] = len(
        plan(s for variation in grids.variations for s in variation.reads).steps
    )
    assert len(sheet.variations) > 1000
    assert benchmark.stats.stats.median < GOAL_S


def test_two_threads_beside_one(prices: PriceTable, grids: Grids, benchmark: Any) -> None:
    pairs: list[float] = []

    def pair() -> None:
        seconds = []
        for threads in (1, 2):
            began = time.perf_counter()
            compute_signals(prices, n_days=N_DAYS, grids=grids, threads=threads)
            seconds.append(time.perf_counter() - began)
        pairs.append(seconds[0] / seconds[1])

    benchmark.pedantic(pair, rounds=5, warmup_rounds=1)
    benchmark.extra_info["two_threads_over_one"] = round(statistics.median(pairs), 2)
    assert statistics.median(pairs) > 0.3


def test_the_next_day_alone(prices: PriceTable, grids: Grids, benchmark: Any) -> None:
    settings = {"n_days": 0, "include_next": True, "grids": grids}
    sheet = benchmark.pedantic(compute_signals, (prices,), settings, rounds=5, warmup_rounds=1)
    assert sheet.assumed_day


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="the market data is not beside the checkout")
@pytest.mark.parametrize("n_days", [5, 155])
def test_the_real_market(n_days: int, grids: Grids, benchmark: Any) -> None:
    prices = read_prices(REAL)
    sheet = benchmark.pedantic(
        compute_signals, (prices,), {"n_days": n_days, "grids": grids}, rounds=3, warmup_rounds=1
    )
    assert len(sheet.days) == n_days
    assert benchmark.stats.stats.median < GOAL_S
