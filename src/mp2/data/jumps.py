"""Overnight jumps that look like an unadjusted split or another unit of the currency.

A jump is an overnight ratio (an open over the close of the bar before) near a round factor and far
above the usual overnight moves of its ticker. A true gap may be both, so the bars are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mp2.data.arrays import FloatArray
from mp2.data.price_grid import Grid

# Splits, and 100 pence to the pound.
_UPWARD = (1.5, 2, 3, 4, 5, 10, 20, 100)
_FACTORS = [Fraction(factor) ** sign for sign in (1, -1) for factor in _UPWARD]
# Relative to the factor: the price moves overnight as well.
_TOLERANCE = 0.03
# A jump is above this many median absolute overnight log moves of its ticker.
_N_USUAL_MOVES = 8
# Ratios between these are near no factor: nearly all need no closer look.
_LEAST_FALL = 0.7
_LEAST_RISE = 1.4


@dataclass(frozen=True, slots=True)
class Jump:
    """The open of a bar is `ratio`, about `factor`, times the close of the ticker's bar before."""

    ticker_idx: int
    date_idx: int
    ratio: float
    factor: Fraction


def find_jumps(
    opened: FloatArray,
    close: FloatArray,
) -> list[Jump]:
    """Return the jumps of all tickers; prices are float64[T, N], NaN where there is no bar."""
    jumps = []
    has_bar = ~np.isnan(close)
    for ticker_idx, is_bar in enumerate(has_bar):
        dates = np.flatnonzero(is_bar)
        before = close[ticker_idx, dates[:-1]]
        overnight = opened[ticker_idx, dates[1:]] / before
        is_far = (overnight < _LEAST_FALL) | (overnight > _LEAST_RISE)
        if not is_far.any():
            continue
        moves = np.abs(np.log(overnight))
        is_far &= moves > _N_USUAL_MOVES * np.median(moves)
        for idx in np.flatnonzero(is_far).tolist():
            ratio = float(overnight[idx])
            off = [abs(ratio / factor - 1) for factor in _FACTORS]
            if min(off) <= _TOLERANCE:
                factor = _FACTORS[off.index(min(off))]
                jumps.append(Jump(ticker_idx, int(dates[idx + 1]), ratio, factor))
    return jumps


def report_jumps(grid: Grid) -> None:
    """Add a finding about the jumps of a grid whose bars are valid."""
    opened, _, _, close, _ = grid.values
    jumps = find_jumps(opened, close)
    if not jumps:
        return
    n_dates = len(grid.dates)
    cells = []
    places = []
    for jump in jumps:
        cells.append(jump.ticker_idx * n_dates + jump.date_idx)
        bar = f"{grid.tickers[jump.ticker_idx]} {grid.dates[jump.date_idx]}"
        places.append(f"{bar} x {jump.ratio:.4g} (about {jump.factor})")
    grid.report_bars(
        "jump",
        "overnight jumps like a split or another currency unit",
        "kept",
        np.array(cells),
        places,
        more="; unless they are moves, give adjusted prices "
        "(columns such as adj_open .. adj_close or Adj Close, see --adjusted)",
        places=tuple(places),
    )
