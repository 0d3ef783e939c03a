"""Null models against the worked example of an independent program, and by what they keep."""

import json
from pathlib import Path

import numpy as np
import pytest
from market_bars import walk

import mp2
from mp2.data import bitset
from mp2.data.sectors import read_sectors
from mp2.evidence.nulls import DaysNull, choose_null, label_rows, universes
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of

EXAMPLE = Path(__file__).parents[1] / "oracle" / "golden" / "significance"
EXPECTED = json.loads((EXAMPLE / "significance.json").read_text())
DAYS_NULL = {name: EXPECTED["days_null"][name] for name in ("n_donors", "gap_days")}


@pytest.fixture(scope="module")
def sectors():
    return read_sectors(EXAMPLE / "sectors.csv")


def winners(panel, rows, replicate):
    word, bit = divmod(replicate, 64)
    wins = (rows[:, :, word] >> np.uint64(bit)) & np.uint64(1)
    return [[panel.tickers[i] for i in np.flatnonzero(day)] for day in wins]


@pytest.mark.parametrize("name", ["tickers", "sectors", "days"])
def test_labels_are_those_of_the_worked_example(panel, prices, sectors, name):
    null, warnings = choose_null(panel, name, prices, sectors, **DAYS_NULL)
    rows = label_rows(null, len(panel.tickers), EXPECTED["replicates"], EXPECTED["seed"])
    assert winners(panel, rows, 1) == EXPECTED["nulls"][name]["labels_replicate_1"]
    assert warnings == ()


def test_donors_are_those_of_the_worked_example(panel, prices):
    null, _ = choose_null(panel, "days", prices, **DAYS_NULL)
    assert isinstance(null, DaysNull)
    for day, donors in zip(panel.days, null.donors, strict=True):
        dates = [prices.dates[idx] for idx in donors.date_idx]
        assert dates == EXPECTED["days_null"]["donors"][day]


@pytest.mark.parametrize("name", ["tickers", "sectors", "days"])
def test_every_replicate_keeps_what_its_model_says(panel, prices, sectors, name):
    null, _ = choose_null(panel, name, prices, sectors, **DAYS_NULL)
    rows = label_rows(null, len(panel.tickers), 70, seed=3)
    sector = np.array([sectors.get(ticker, "") for ticker in panel.tickers])
    for day_idx, universe in enumerate(universes(panel)):
        labels = bitset.unpack(rows[day_idx], 71)
        # The last row is empty in every replicate.
        outside = np.setdiff1d(np.arange(len(panel.tickers) + 1), universe.tickers)
        assert not labels[outside].any()
        assert np.array_equal(labels[universe.tickers, 0], universe.wins)
        assert (labels.sum(axis=0) == universe.wins.sum()).all()
        if name == "sectors":
            for one in np.unique(sector):
                n_winners = labels[:-1][sector == one].sum(axis=0)
                assert (n_winners == n_winners[0]).all()
    assert not np.array_equal(rows, label_rows(null, len(panel.tickers), 70, seed=4))


def test_a_replicate_does_not_depend_on_how_many_there_are(panel):
    null, _ = choose_null(panel, "tickers")
    few = label_rows(null, len(panel.tickers), 19)
    many = label_rows(null, len(panel.tickers), 600)
    assert few.shape[2] == 8
    assert many.shape[2] == 16
    assert np.array_equal(few[..., 0] & np.uint64(2**20 - 1), many[..., 0] & np.uint64(2**20 - 1))


def test_labels_that_are_late_are_none(panel):
    null, _ = choose_null(panel, "tickers")
    assert label_rows(null, len(panel.tickers), 19, late=lambda: True) is None


def test_auto_takes_the_best_possible_model(panel, prices, sectors):
    assert choose_null(panel, "auto", prices, sectors, **DAYS_NULL)[0].name == "days"
    assert choose_null(panel, "auto", None, sectors)[0].name == "sectors"
    assert choose_null(panel, "auto")[0].name == "tickers"
    short = prices.until(prices.dates[60])
    null, warnings = choose_null(panel, "auto", short, sectors, gap_days=200)
    assert null.name == "sectors"
    assert "40 more days of history" in warnings[0]


def test_a_model_asked_for_by_name_names_what_it_lacks(panel, prices):
    with pytest.raises(mp2.InputError, match="days needs daily bars from before"):
        choose_null(panel, "days")
    with pytest.raises(mp2.InputError, match="needs 40 more days of history: 0 of 40 days before"):
        choose_null(panel, "days", prices, gap_days=200)
    with pytest.raises(mp2.InputError, match="columns ticker and sector; give --sectors FILE"):
        choose_null(panel, "sectors")
    with pytest.raises(mp2.InputError, match="null: 'weeks' is unknown"):
        choose_null(panel, "weeks")
    with pytest.raises(mp2.InputError, match="none of the tickers"):
        choose_null(panel, "sectors", sectors={"nobody": "A"})


def test_tickers_are_joined_by_their_keys(panel, prices, sectors):
    lower = {ticker.lower(): name for ticker, name in sectors.items()}
    null, _ = choose_null(panel, "sectors", sectors=lower)
    usual, _ = choose_null(panel, "sectors", sectors=sectors)
    assert np.array_equal(null.sector_idx, usual.sector_idx)


@pytest.mark.parametrize("hold", ["open-close", "next-open", "close-close"])
def test_winners_of_other_days_won_by_the_rule_of_the_panel(hold):
    market = walk(30, 120)
    grids = grids_of(algorithm for algorithm in ALGORITHMS if algorithm.name == "RSI")
    panel = mp2.compute_signals(market, n_days=4, grids=grids, hold=hold).panel()
    null, _ = choose_null(panel, "days", market, n_donors=500, gap_days=20)
    bought = market.close if hold == "close-close" else market.open
    sold = market.open if hold == "next-open" else market.close
    if hold != "open-close":
        bought, sold = bought[:, :-1], sold[:, 1:]
    first_idx = market.date_idx(panel.days[0])
    n_held = 0 if hold == "open-close" else 1
    for donors in null.donors:
        # Nothing of the last 20 sessions before the searched days is used, not even to sell on.
        assert sorted(donors.date_idx.tolist()) == list(range(first_idx - 20 - n_held))
        for returns, rate, date_idx in zip(
            donors.returns, donors.base_rates, donors.date_idx, strict=True
        ):
            expected = sold[:, date_idx] / bought[:, date_idx] - 1
            np.testing.assert_allclose(returns, expected)
            assert rate == (expected > 0).mean()
