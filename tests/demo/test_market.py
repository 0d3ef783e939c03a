"""The synthetic market: its edge exists, is the only one, and is found by a search."""

import numpy as np
import pytest

from mp2.data import bitset
from mp2.demo.market import N_PLANTED_DAYS, make_market, recovered, sentence
from mp2.errors import InputError
from mp2.picks.outcome import score
from mp2.picks.pick import pick_day
from mp2.searching import search
from mp2.signals.sheet import compute_signals


def found_in(market):
    sheet = compute_signals(market.prices, n_days=5, include_next=True, grids=market.grids)
    return sheet, search(sheet.panel(0, 5), budget_s=60, workers=2)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_market_and_another_another():
    first, again, other = make_market(1), make_market(1), make_market(2)
    assert (first.prices.fingerprint, first.planted) == (again.prices.fingerprint, again.planted)
    assert first.prices.fingerprint != other.prices.fingerprint
    assert first.planted != other.planted


@pytest.mark.slow
def test_bars_are_valid_and_later_adds_one_day():
    market = make_market(0)
    prices, later = market.prices, market.later
    assert later.dates[:-1] == prices.dates
    np.testing.assert_array_equal(later.close[:, :-1], prices.close)
    for field in (prices.open, prices.close):
        assert np.all(field > 0)
        assert np.all((prices.low <= field) & (field <= prices.high))


@pytest.mark.slow
def test_members_agree_on_winners_and_on_little_else():
    market = make_market(0)
    sheet = compute_signals(
        market.later, n_days=N_PLANTED_DAYS, grids=market.grids, only=market.planted
    )
    consensus = bitset.unpack(np.bitwise_and.reduce(sheet.buys, axis=0), len(sheet.tickers))
    wins = sheet.close > sheet.open
    assert len(market.planted) == len({algo for algo, _ in market.planted}) == 3
    assert np.all((consensus.sum(axis=1) >= 10) & (consensus.sum(axis=1) <= 17))
    assert wins[consensus].mean() > 0.85
    assert 0.35 < wins[~consensus].mean() < 0.65


@pytest.mark.slow
def test_nothing_planted_nothing_claimed():
    market = make_market(0, plant=False)
    _, result = found_in(market)
    assert (market.planted, market.edge) == ((), frozenset())
    assert sentence(result, market).startswith(
        "nothing was planted: the best group is the luckiest of"
    )


@pytest.mark.slow  # the default run sees it in the demo of the command line
@pytest.mark.parametrize("seed", range(20))
def test_the_edge_is_found(seed):
    market = make_market(seed)
    _, result = found_in(market)
    best = max((groups[0] for groups in result.kept.values()), key=lambda group: group.score)
    n_shared, n_signals = recovered(best, market)
    assert 2 * n_shared > n_signals
    assert sentence(result, market).startswith("found it: ")


@pytest.mark.slow
def test_the_edge_holds_the_day_after():
    market = make_market(0)
    sheet, result = found_in(market)
    outcome = score(pick_day(result, sheet, sheet.days[-1]), market.later)
    assert all(of_size.hit_difference_pp > 10 for of_size in outcome.sizes.values())


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed: -1 is negative"):
        make_market(-1)
