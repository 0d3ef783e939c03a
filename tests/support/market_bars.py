"""Price tables for tests: seeded walks, late listings, and bars written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mp2.data.prices import PriceTable, price_table


def weekdays(n: int, first: str = "2023-01-02") -> list[str]:
    """`n` Mondays to Fridays."""
    return [str(day) for day in np.busday_offset(first, np.arange(n), roll="forward")]


def walk(
    n_tickers: int = 6, n_dates: int = 120, *, seed: int = 0, late: Mapping[int, int] | None = None
) -> PriceTable:
    """Random walks; `late` maps a ticker's position to the index of its first bar."""
    rng = np.random.default_rng(seed)
    shape = n_tickers, n_dates
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    open = close * np.exp(rng.normal(0, 0.01, shape))
    high = np.maximum(open, close) * np.exp(np.abs(rng.normal(0, 0.005, shape)))
    low = np.minimum(open, close) * np.exp(-np.abs(rng.normal(0, 0.005, shape)))
    columns = [open, high, low, close, rng.integers(1_000, 9_000, shape).astype(float)]
    for ticker, first_idx in (late or {}).items():
        for column in columns:
            column[ticker, :first_idx] = np.nan
    return price_table(
        weekdays(n_dates), [f"T{ticker:03d}" for ticker in range(n_tickers)], columns
    )


def bars(**closes: Sequence[float]) -> PriceTable:
    """Tickers with the given closes; bars open at 99% and range from 98% to 100.5% of the close."""
    close = np.array([closes[ticker] for ticker in sorted(closes)], float)
    columns = [close * 0.99, close * 1.005, close * 0.98, close, np.full_like(close, 1e6)]
    return price_table(weekdays(close.shape[1]), sorted(closes), columns)
