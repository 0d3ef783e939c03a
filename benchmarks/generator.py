"""The data of the benchmarks: seeded panels of any shape, and the real week if it is available."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mp2.data import bitset
from mp2.data.panel import SignalPanel

REAL_WEEK = Path(__file__).parents[2] / "shared" / "data" / "sp500-week-signals.parquet"


def make_panel(
    *,
    n_algos: int,
    n_variations: int,
    n_tickers: int,
    n_days: int = 5,
    density: float = 0.3,
    seed: int = 0,
) -> SignalPanel:
    """Make a consistent panel of `n_algos` algorithms with `n_variations` variations each.

    Every variation buys each ticker of a day with probability `density`; half of the tickers of a
    day win.
    """
    rng = np.random.default_rng(seed)
    buys = rng.random((n_algos * n_variations, n_days, n_tickers)) < density
    wins = rng.permuted(np.tile(np.arange(n_tickers) < n_tickers // 2, (n_days, 1)), axis=1)
    return _panel(
        buys,
        wins,
        n_algos,
        f"generated {n_algos} {n_variations} {n_tickers} {n_days} {density} {seed}",
    )


@dataclass(frozen=True, slots=True)
class Family:
    """How the variations of one algorithm behave, as observed in the real week.

    The rarest variation buys the share `low` of the tickers and the most frequent one `high`.
    `market` is the correlation of the algorithm's indicator with the market factor, `settings` the
    correlation between its variations, and of every `alike` neighbouring thresholds the last one
    changes no buy (0: all thresholds differ).
    """

    low: float
    high: float
    market: float
    settings: float
    alike: int = 0


FAMILIES = (
    Family(0.29, 0.50, 0.70, 0.98),
    Family(0.59, 0.80, 0.95, 0.98),
    Family(0.00, 0.76, -0.95, 0.95),
    Family(0.00, 0.99, 0.60, 0.95, alike=12),
    Family(0.00, 0.60, 0.10, 0.90),
    Family(0.20, 0.90, 0.00, 0.97),
    Family(0.00, 0.80, 0.95, 0.93),
    Family(0.06, 0.58, -0.95, 0.98, alike=3),
    Family(0.39, 0.71, 0.95, 0.98),
    Family(0.07, 0.73, -0.97, 0.98, alike=4),
)
WIN_RATES = (0.74, 0.51, 0.64, 0.55, 0.29)
"""Share of the tickers that won, for each day of the real week."""

_MEAN_DENSITY = sum(family.low + family.high for family in FAMILIES) / (2 * len(FAMILIES))


def make_week(
    seed: int = 0,
    *,
    n_algos: int = 10,
    n_variations: int = 114,
    n_tickers: int = 503,
    n_days: int = 5,
    density: float = _MEAN_DENSITY,
    n_flipped: float = 0.0,
) -> SignalPanel:
    """Make a panel shaped like the real week, with `n_variations` variations of each algorithm.

    An algorithm assigns every ticker of a day a value, slightly different for each of its settings,
    and buys the tickers above a threshold. So variations of one setting are nested, those of one
    algorithm are similar, and algorithms are related or opposed through the market factor.
    `density` is the mean share of the tickers bought. With `n_flipped` above 0 that share of a
    variation's buys ends differently than for the others, and the panel is inconsistent.
    """
    rng = np.random.default_rng(seed)
    market = _values((n_days, n_tickers), rng)
    wins = _winners(market, rng)
    families = [FAMILIES[k % len(FAMILIES)] for k in range(n_algos)]
    buys = np.concatenate(
        [_buys_of(family, market, n_variations, density, rng) for family in families]
    )
    won = bitset.pack(wins)
    if n_flipped:
        won = np.concatenate(
            [
                bitset.pack(wins ^ (rng.random(wins.shape) < n_flipped))[np.newaxis] & row
                for row in buys
            ]
        )
    return _packed(
        buys,
        won,
        wins,
        n_algos,
        f"week {n_algos} {n_variations} {market.shape} {density} {n_flipped} {seed}",
    )


def _winners(market: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return bool[D, T] with each day's share of winners.

    Tickers that are already high fall on the worst days and rise slightly on others.
    """
    rates = np.resize(WIN_RATES, len(market))
    rising = _mix(market, rng, 0.2) * np.where(rates < 0.3, -1, 1)[:, np.newaxis]
    return np.stack(
        [values > np.quantile(values, 1 - rate) for values, rate in zip(rising, rates, strict=True)]
    )


def _buys_of(
    family: Family, market: np.ndarray, n_variations: int, density: float, rng: np.random.Generator
) -> np.ndarray:
    """Return uint64[n_variations, D, W]: by setting, then by threshold from rare to frequent."""
    n_settings = round(n_variations**0.5)
    own = _mix(market, rng, family.market)
    shares = [_scaled(share, density) for share in _shares(family, -(-n_variations // n_settings))]
    return np.concatenate(
        [_above(_mix(own, rng, family.settings), shares) for _ in range(n_settings)]
    )[:n_variations]


def _shares(family: Family, n_levels: int) -> list[float]:
    """Return the share of the tickers above each threshold of a setting, ascending."""
    levels = np.arange(n_levels)
    if family.alike:
        levels -= levels % family.alike == family.alike - 1
    return (family.low + (family.high - family.low) * levels / max(1, n_levels - 1)).tolist()


def _scaled(share: float, density: float) -> float:
    """Scale a share of the real week to a week whose mean share is `density`."""
    if density <= _MEAN_DENSITY:
        return share * density / _MEAN_DENSITY
    return 1 - (1 - share) * (1 - density) / (1 - _MEAN_DENSITY)


def _values(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return float32[D, T] of about unit variance.

    The sum of a part that persists over the days, a part common to all tickers of a day, and noise.
    """
    lasting = rng.standard_normal(shape[1], dtype=np.float32)
    day = rng.standard_normal((shape[0], 1), dtype=np.float32)
    return 0.7 * lasting + 0.15 * day + 0.7 * rng.standard_normal(shape, dtype=np.float32)


def _mix(seen: np.ndarray, rng: np.random.Generator, correlation: float) -> np.ndarray:
    """Return values that correlate with `seen`."""
    return np.float32(correlation) * seen + np.float32((1 - correlation**2) ** 0.5) * _values(
        seen.shape, rng
    )


def _above(values: np.ndarray, shares: list[float]) -> np.ndarray:
    """Return uint64[len(shares), D, W]: for each share the cells with the highest values."""
    thresholds = np.quantile(values, [1 - share for share in shares])
    return np.concatenate([bitset.pack(values > threshold)[np.newaxis] for threshold in thresholds])


def _panel(buys: np.ndarray, wins: np.ndarray, n_algos: int, fingerprint: str) -> SignalPanel:
    """Pack bool[V, D, T] and bool[D, T] as a panel of `n_algos` algorithms of equal size."""
    return _packed(bitset.pack(buys), bitset.pack(wins), wins, n_algos, fingerprint)


def _packed(
    packed_buys: np.ndarray,
    packed_wins: np.ndarray,
    wins: np.ndarray,
    n_algos: int,
    fingerprint: str,
) -> SignalPanel:
    """Make a panel of uint64[V, D, W], uint64[D, W] or uint64[V, D, W], and bool[D, T]."""
    (n_all, n_days, _), n_tickers = packed_buys.shape, wins.shape[1]
    n_variations = n_all // n_algos
    algo_of = np.repeat(np.arange(n_algos, dtype=np.int32), n_variations)
    base_win_rates = 100.0 * wins.mean(axis=1)
    for array in (algo_of, packed_buys, packed_wins, base_win_rates):
        array.flags.writeable = False
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
    """Return the sets of uint64[D, W] as plain Python sets of ticker numbers."""
    return [frozenset(np.flatnonzero(row).tolist()) for row in bitset.unpack(words, n_tickers)]
