"""The data of the benchmarks: seeded panels of any shape, and the real week where it is kept beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mp2 import bitset
from mp2.panel import SignalPanel

REAL_WEEK = Path(__file__).parents[2] / "shared" / "data" / "sp500-week-signals.parquet"


def make_panel(
    *, n_algos: int, n_variations: int, n_tickers: int, n_days: int = 5, density: float = 0.3, seed: int = 0
) -> SignalPanel:
    """A consistent panel of `n_algos` algorithms with `n_variations` variations each.

    Every variation buys each ticker of a day with probability `density`; half of the tickers of a day win.
    """
    rng = np.random.default_rng(seed)
    buys = rng.random((n_algos * n_variations, n_days, n_tickers)) < density
    wins = rng.permuted(np.tile(np.arange(n_tickers) < n_tickers // 2, (n_days, 1)), axis=1)
    return _panel(buys, wins, n_algos, f"generated {n_algos} {n_variations} {n_tickers} {n_days} {density} {seed}")


def make_week(seed: int = 0, *, n_algos: int = 10, n_variations: int = 114, n_tickers: int = 503) -> SignalPanel:
    """A consistent panel shaped like a market week.

    Algorithms buy between 20% and 70% of the tickers, their variations anything from hardly one to nearly all; variations of
    an algorithm half follow one ranking of the tickers, others know nothing of each other; days win from 30% to 75%.
    """
    rng = np.random.default_rng(seed)
    typical = rng.permutation(np.linspace(0.2, 0.7, n_algos)).repeat(n_variations)
    density = rng.beta(4 * typical, 4 * (1 - typical))[:, np.newaxis, np.newaxis]
    ranking = rng.random((n_algos, 5, n_tickers)).repeat(n_variations, axis=0)
    follows = rng.random(ranking.shape) < 0.5
    buys = np.where(follows, ranking, rng.random(ranking.shape)) < density
    wins = rng.random((5, n_tickers)) < rng.permutation(np.linspace(0.3, 0.75, 5))[:, np.newaxis]
    return _panel(buys, wins, n_algos, f"week {n_algos} {n_variations} {n_tickers} {seed}")


def _panel(buys: np.ndarray, wins: np.ndarray, n_algos: int, fingerprint: str) -> SignalPanel:
    """bool[V, D, T] and bool[D, T] as a panel of `n_algos` algorithms of equally many variations."""
    n_all, n_days, n_tickers = buys.shape
    n_variations = n_all // n_algos
    arrays = (
        np.repeat(np.arange(n_algos, dtype=np.int32), n_variations),
        bitset.pack(buys),
        bitset.pack(wins),
        100.0 * wins.mean(axis=1),
    )
    for array in arrays:
        array.flags.writeable = False
    algo_of, packed_buys, packed_wins, base_win_rates = arrays
    return SignalPanel(
        algos=tuple(f"A{algo_idx}" for algo_idx in range(n_algos)),
        variations=tuple(str(v % n_variations) for v in range(n_all)),
        algo_of=algo_of,
        days=tuple(f"2024-01-{day:02d}" for day in range(1, n_days + 1)),
        tickers=tuple(f"T{ticker:05d}" for ticker in range(n_tickers)),
        buys=packed_buys,
        wins=packed_wins,
        base_win_rates=base_win_rates,
        warnings=(),
        fingerprint=fingerprint,
    )


def sets_by_day(words: np.ndarray, n_tickers: int) -> list[frozenset[int]]:
    """The sets of uint64[D, W] as plain Python sets of ticker numbers."""
    return [frozenset(np.flatnonzero(row).tolist()) for row in bitset.unpack(words, n_tickers)]
