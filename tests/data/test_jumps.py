"""Overnight jumps by a round factor, far above a ticker's usual moves, are named and kept."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from market_bars import bars

from mp2.data.jumps import find_jumps
from mp2.data.prices import read_prices, to_frame
from mp2.errors import InputError


def walk_with(ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Ten bars, usual overnight moves of 1%; the last open is by `ratio` away from the close."""
    close = np.full((2, 10), 50.0)
    opened = close * 1.01
    opened[1, -1] = 50 * ratio
    return opened, close


@pytest.mark.parametrize("factor", [Fraction(3, 2), 2, 3, 4, 5, 10, 20, 100])
def test_round_factors_and_their_inverses_are_jumps(factor: Fraction | int) -> None:
    for expected in (Fraction(factor), 1 / Fraction(factor)):
        for off in (0.971, 1, 1.029):
            ratio = float(expected) * off
            (jump,) = find_jumps(*walk_with(ratio))
            assert (jump.ticker_idx, jump.date_idx, jump.factor) == (1, 9, expected)
            assert jump.ratio == pytest.approx(ratio)
        for off in (0.969, 1.031):
            assert find_jumps(*walk_with(float(expected) * off)) == []


@pytest.mark.parametrize("ratio", [0.6, 0.75, 1.25, 1.4, 2.5, 7, 50, 1000])
def test_other_gaps_are_none(ratio: float) -> None:
    assert find_jumps(*walk_with(ratio)) == []


def test_a_ticker_that_often_jumps_moves() -> None:
    opened, close = walk_with(2.0)
    # Its median move is now a ninth of log 2, then a seventh.
    opened[1, :-1] = 50 * np.exp(np.log(2) / 9)
    assert len(find_jumps(opened, close)) == 1
    opened[1, :-1] = 50 * np.exp(np.log(2) / 7)
    assert find_jumps(opened, close) == []


def test_the_bar_before_a_hole_is_the_bar_before() -> None:
    opened, close = walk_with(1)
    for prices in (opened, close):
        prices[1, 6:] *= 0.25
        prices[:, 6] = np.nan
        # Listed late, and at another price than the ticker before it.
        prices[1, :2] = np.nan
    (jump,) = find_jumps(opened, close)
    assert (jump.ticker_idx, jump.date_idx, jump.factor) == (1, 7, Fraction(1, 4))


def test_jumps_are_named_and_kept() -> None:
    calm = [100 * 1.001**idx for idx in range(40)]
    split = [*calm[:30], *(close / 4 for close in calm[30:])]
    prices = bars(CALM=calm, **{f"T{number}": split for number in range(7)})
    read = read_prices(to_frame(prices))
    (finding,) = read.findings
    assert read.tickers == prices.tickers
    assert (finding.kind, finding.n, finding.done) == ("jump", 7, "kept")
    assert finding.tickers == prices.tickers[1:]
    assert finding.first == finding.last == prices.dates[30]
    places = [f"{ticker} {prices.dates[30]} x 0.2477 (about 1/4)" for ticker in finding.tickers]
    assert finding.places == tuple(places)
    assert finding.line == (
        "prices: overnight jumps like a split or another currency unit: 7, kept: "
        f"{', '.join(places[:5])}, ...; unless they are moves, give adjusted prices "
        "(columns such as adj_open .. adj_close or Adj Close, see --adjusted)"
    )
    with pytest.raises(InputError) as refused:
        read_prices(to_frame(prices), strict=True)
    assert refused.value.problems == (finding.line,)
