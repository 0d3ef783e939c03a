"""A run by a rule that sells on the next session: stored, resumed, tested and scored by it."""

from dataclasses import replace

import numpy as np
import pytest
from market_bars import walk

import mp2
from mp2.data.prices import to_frame
from mp2.evidence.settings import LuckSettings
from mp2.pipeline import RunControl, luck_request
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of
from mp2.storage.recorder import Storing
from mp2.storage.request import LuckRequest, PricesFile

RULES = mp2.Rules(max_size=2, retain_sizes=(2,), min_daily_hits=0, min_wilson_lb=0)
PRICES = walk(24, 150)
END = PRICES.dates[-3]


def few_grids():
    grids = grids_of(algorithm for algorithm in ALGORITHMS if algorithm.name in ("RSI", "SMA"))
    return replace(grids, variations=grids.variations[:: len(grids.variations) // 12])


SETTINGS = {"grids": few_grids(), "rules": RULES, "replicates": 19, "end": END, "workers": 1}


@pytest.fixture
def db(tmp_path):
    return tmp_path / "mp2.db"


@pytest.mark.parametrize("hold", ["next-open", "close-close"])
def test_a_run_searches_what_is_sold_by_the_end_and_picks_for_the_day_after(db, hold):
    found = mp2.run(PRICES, store=db, hold=hold, cost_bps=7.5, **SETTINGS)
    result = found.result
    assert result.days == PRICES.dates[-8:-3]
    assert (result.hold, result.last_exit, result.seen_until) == (hold, END, END)
    assert found.next_day.day == PRICES.dates[-2]
    assert (found.next_day.hold, found.next_day.cost_bps) == (hold, 7.5)
    assert result.significance.null_model == "days"
    sheet = mp2.compute_signals(PRICES, n_days=6, end=END, grids=few_grids(), hold=hold)
    assert result.input_fingerprint == sheet.panel().fingerprint
    assert result.kept == mp2.search(sheet.panel(), rules=RULES, replicates=19, prices=PRICES).kept
    assert result.kept[2]

    outcome = mp2.score(found.next_day, PRICES)
    bought = PRICES.open if hold == "next-open" else PRICES.close
    returns = 100 * (bought[:, -1] / bought[:, -2] - 1)
    assert outcome.universe_return_pp == pytest.approx(returns.mean())
    assert outcome.votes.cost_bps == 7.5
    with mp2.Store(db) as store:
        store.save_outcome(result.run_id, outcome)
        assert store.load_outcomes(result.run_id) == (outcome,)
        assert store.load_picks(result.run_id) == (found.next_day,)
        stored = store.load(result.run_id)
        request = store.load_request(result.run_id)
    assert (stored.hold, stored.last_exit) == (hold, END)
    assert (request.hold, request.cost_bps) == (hold, 7.5)


def test_bars_after_the_end_change_nothing():
    found = mp2.run(PRICES, hold="next-open", **SETTINGS)
    is_past = np.arange(PRICES.n_dates) <= PRICES.date_idx(END)
    changes = {
        name: np.where(is_past, getattr(PRICES, name), 1.0)
        for name in ("open", "high", "low", "close")
    }
    other = mp2.run(replace(PRICES, **changes), hold="next-open", **SETTINGS)
    assert other.result.input_fingerprint == found.result.input_fingerprint
    assert other.result.kept == found.result.kept
    assert other.next_day == found.next_day


def test_another_rule_does_not_resume_a_run(db, tmp_path):
    path = tmp_path / "bars.parquet"
    to_frame(PRICES).write_parquet(path)
    whole = mp2.run(mp2.read_prices(path), hold="next-open", **SETTINGS)
    first = mp2.run(mp2.read_prices(path), hold="next-open", store=db, max_attempts=1, **SETTINGS)
    run_id = first.result.run_id
    message = f"hold: run {run_id} is by the rule next-open, not open-close; leave the rule out"
    with pytest.raises(mp2.InputError, match=message):
        mp2.resume(store=db, grids=few_grids(), hold="open-close")
    with pytest.raises(mp2.InputError, match="hold: 'overnight' is unknown; choose from"):
        mp2.resume(store=db, grids=few_grids(), hold="overnight")
    resumed = mp2.resume(store=db, grids=few_grids(), hold="next-open")
    assert resumed.result.status is mp2.Status.COMPLETE
    assert resumed.result.kept == whole.result.kept
    assert replace(resumed.next_day, run_id=None) == whole.next_day


def test_a_table_of_signals_is_read_again_by_its_rule(db, tmp_path):
    table = tmp_path / "signals.parquet"
    bars = tmp_path / "bars.parquet"
    sheet = mp2.compute_signals(PRICES, n_days=5, grids=few_grids())
    sheet.to_frame().write_parquet(table)
    to_frame(PRICES).write_parquet(bars)
    panel = mp2.read_signals(table, outcomes=bars, hold="close-close")
    assert panel.days == PRICES.dates[-5:-1]
    run_id = mp2.search(panel, rules=RULES, store=db, max_attempts=1).run_id
    with pytest.raises(mp2.InputError, match=f"hold: run {run_id} is by the rule close-close"):
        mp2.resume(store=db, source=mp2.read_signals(table))
    resumed = mp2.resume(store=db)
    assert resumed.kept == mp2.search(panel, rules=RULES).kept
    assert (resumed.hold, resumed.last_exit) == ("close-close", PRICES.dates[-1])


def test_a_stored_run_is_tested_for_luck_by_its_rule(db, tmp_path):
    table = tmp_path / "signals.parquet"
    bars = tmp_path / "bars.parquet"
    mp2.compute_signals(PRICES, n_days=5, grids=few_grids()).to_frame().write_parquet(table)
    to_frame(PRICES).write_parquet(bars)
    panel = mp2.read_signals(table, outcomes=bars, hold="next-open")
    result = mp2.search(panel, rules=RULES, store=db)
    control = RunControl(storing=Storing(db=db))
    luck = LuckRequest(settings=LuckSettings(replicates=99), prices=PricesFile(path=bars))
    with pytest.raises(mp2.InputError, match=f"hold: run {result.run_id} is by the rule next-open"):
        luck_request("last", control, luck=luck, hold="close-close")
    tested = luck_request("last", control, luck=luck, hold="next-open").significance
    expected = mp2.significance(result, PRICES, replicates=99)
    assert (tested.null_model, tested.p, tested.null) == ("days", expected.p, expected.null)
    by_day = mp2.significance(mp2.read_signals(table), PRICES, replicates=99, rules=RULES)
    assert by_day.null != tested.null


def test_a_cost_and_a_rule_are_checked_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("mp2.signals.sheet.compute_signals", lambda *_, **__: 1 / 0)
    with pytest.raises(mp2.InputError, match="cost_bps: -1 is not between 0 and 1000"):
        mp2.run(PRICES, cost_bps=-1)
    with pytest.raises(mp2.InputError, match="hold: 'overnight' is unknown; choose from"):
        mp2.run(PRICES, hold="overnight")
    with pytest.raises(mp2.InputError, match="hold: 'overnight' is unknown; choose from"):
        mp2.walk_forward(PRICES, hold="overnight")
