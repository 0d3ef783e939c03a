"""The main job in one call equals its parts, and a stored run resumes to the same result."""

import threading
from dataclasses import replace

import polars as pl
import pytest
from places import GOLDEN

import mp2
from mp2.data.prices import to_frame
from mp2.demo.market import make_market
from mp2.storage.inputs import last_day
from mp2.storage.request import PricesFile

WEEK = GOLDEN / "week-prices.csv"
RULES = mp2.Rules(min_daily_hits=3)
QUICK = mp2.Rules(min_daily_hits=6, max_size=3)


@pytest.fixture
def db(tmp_path):
    return tmp_path / "mp2.db"


@pytest.fixture(scope="module")
def market():
    return make_market(0, plant=False)


def lasting(result):
    """The fields of a search that an interruption must not change."""
    names = ("kept", "attempts", "tested", "eligible", "score_mean", "score_std", "picked_rank")
    return {name: getattr(result, name) for name in names}


def test_the_last_day_may_be_written_as_the_dates_of_the_prices_are():
    source = PricesFile(path="prices.csv", date_format="%d/%m/%Y")
    assert last_day(source, "03/04/2024") == "2024-04-03"
    assert last_day(source, "2024-04-03") == "2024-04-03"
    assert last_day(source, None) is None
    with pytest.raises(mp2.InputError, match="'03/04/2024' may be 2024-04-03 or 2024-03-04"):
        last_day(PricesFile(path="prices.csv"), "03/04/2024")


@pytest.mark.slow
def test_run_is_signals_search_and_picks(market):
    whole = mp2.run(
        market.prices,
        budget_s=60,
        workers=2,
        rules=QUICK,
        grids=market.grids,
        min_tickers=3,
        top_groups=7,
    )
    sheet = mp2.compute_signals(market.prices, n_days=5, include_next=True, grids=market.grids)
    result = mp2.search(
        sheet.panel(0, 5),
        budget_s=60,
        workers=1,
        rules=QUICK,
        replicates=999,
        prices=market.prices,
    )
    assert whole.result.status is mp2.Status.COMPLETE
    assert whole.result.kept == result.kept
    assert whole.result.kept[3]
    assert whole.next_day == mp2.pick_day(
        result, sheet, market.later.dates[-1], min_tickers=3, top_groups=7
    )
    assert whole.next_day.votes


@pytest.mark.slow
def test_run_counts_as_requested(market):
    rules = replace(QUICK, max_size=2, retain_sizes=())
    found = mp2.run(
        market.prices,
        workers=2,
        rules=rules,
        grids=market.grids,
        count="fast",
        without=("aliases",),
    )
    result = found.result
    assert (result.tested_exact, result.status) == (False, mp2.Status.COMPLETE)


def test_unusable_settings_are_refused_before_signals_are_computed(market, db, monkeypatch):
    monkeypatch.setattr("mp2.signals.sheet.compute_signals", lambda *_, **__: 1 / 0)
    with pytest.raises(mp2.InputError, match="special: no algorithm 'X'"):
        mp2.run(market.prices, grids=market.grids, special=("X",), store=db)
    assert not db.exists()


# --- storing --------------------------------------------------------------------------------------


def test_a_stored_search_is_read_back(db):
    result = mp2.search(WEEK, rules=RULES, store=db)
    assert (result.status, result.store_error) == (mp2.Status.COMPLETE, None)
    with mp2.Store(db, read_only=True) as store:
        assert store.find("last") == result.run_id
        stored = store.load(result.run_id)
    assert replace(stored, store_s=0.0) == replace(
        result, starters=tuple(result.starters), store_s=0.0
    )


def test_a_search_of_a_file_resumes_without_being_given_the_file(db, tmp_path, monkeypatch):
    whole = mp2.search(WEEK, rules=RULES)
    first = mp2.search(WEEK, rules=RULES, store=db, max_attempts=10)
    assert first.status is mp2.Status.WORK_LIMIT
    monkeypatch.chdir(tmp_path)
    resumed = mp2.resume(first.run_id, store=db)
    assert resumed.run_id == first.run_id
    assert lasting(resumed) == lasting(whole)
    with pytest.raises(mp2.InputError, match="cannot be resumed: it is complete"):
        mp2.resume(store=db)


def test_a_panel_that_was_read_from_a_file_is_read_again(db, tmp_path):
    panel = mp2.read_signals(WEEK)
    run_id = mp2.search(panel, rules=RULES, store=db, max_attempts=10).run_id
    assert lasting(mp2.resume(run_id, store=db)) == lasting(mp2.search(panel, rules=RULES))


def test_a_search_of_a_frame_resumes_with_the_frame_or_a_file_of_it(db):
    frame = pl.read_csv(WEEK)
    panel = mp2.read_signals(frame)
    whole = mp2.search(panel, rules=RULES)
    for source in (panel, WEEK, frame):
        run_id = mp2.search(frame, rules=RULES, store=db, max_attempts=10).run_id
        with pytest.raises(mp2.InputError, match=f"run {run_id} began with signals in memory"):
            mp2.resume(run_id, store=db)
        assert lasting(mp2.resume(run_id, store=db, source=source)) == lasting(whole)


def test_a_changed_input_is_refused(db):
    panel = mp2.read_signals(WEEK)
    run_id = mp2.search(panel, rules=RULES, store=db, max_attempts=10).run_id
    other = mp2.read_signals(WEEK, days=["2099-01-04"])
    with pytest.raises(mp2.InputError, match=f"is not what run {run_id} began with"):
        mp2.resume(run_id, store=db, source=other)
    with mp2.Store(db, read_only=True) as store:
        assert store.status(run_id) == "work_limit"


def test_prices_are_a_table_a_path_or_a_frame(market, tmp_path, db):
    frame = to_frame(market.prices).filter(pl.col("ticker").is_in(market.prices.tickers[:8]))
    path = tmp_path / "bars.parquet"
    frame.write_parquet(path)
    grids = replace(market.grids, variations=market.grids.variations[:40])
    found = mp2.run(frame, store=db, grids=grids, n_days=1, rules=RULES, max_attempts=1)
    again = mp2.resume(found.result.run_id, store=db, source=frame.to_pandas(), grids=grids)
    assert again.result.input_fingerprint == found.result.input_fingerprint
    for prices in (path, frame):
        sheet = mp2.compute_signals(prices, n_days=1, grids=grids)
        assert sheet.days == (market.prices.dates[-1],)
        assert mp2.score(found.next_day, prices).status == "pending"
        with pytest.raises(mp2.InputError, match="weeks: 500 need 2506 dates"):
            mp2.walk_forward(prices, weeks=500)


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_picks(market, db, tmp_path):
    prices = tmp_path / "bars.parquet"
    to_frame(market.prices).write_parquet(prices)
    settings = {"rules": QUICK, "grids": market.grids, "min_tickers": 3, "workers": 2}
    whole = mp2.run(mp2.read_prices(prices), **settings)
    first = mp2.run(mp2.read_prices(prices), store=db, max_attempts=5, **settings)
    run_id = first.result.run_id
    assert first.next_day.run_id == run_id
    with pytest.raises(mp2.InputError, match="the grids of this run are in memory"):
        mp2.resume(run_id, store=db)
    resumed = mp2.resume(run_id, store=db, grids=market.grids, budget_s=60)
    assert lasting(resumed.result) == lasting(whole.result)
    assert resumed.next_day == replace(whole.next_day, run_id=run_id)
    with mp2.Store(db, read_only=True) as store:
        assert store.load_picks(run_id) == (resumed.next_day,)


def test_a_stop_keeps_a_resumable_run(db):
    stop = threading.Event()
    stop.set()
    stopped = mp2.search(WEEK, rules=RULES, store=db, stop=threading.Event(), max_attempts=1)
    with pytest.raises(mp2.ReadStoppedError):
        mp2.resume(store=db, stop=stop)
    with mp2.Store(db, read_only=True) as store:
        assert store.status(stopped.run_id) == "work_limit"


def test_a_store_that_fails_costs_only_the_storing(db, monkeypatch):
    def fail(*_):
        raise mp2.StoreError("mp2.db: the disk is full")

    monkeypatch.setattr(mp2.Store, "finish", fail)
    result = mp2.search(WEEK, rules=RULES, store=db)
    assert result.kept[3]
    assert result.run_id is None
    assert "the disk is full; the whole result was written to" in result.store_error
    assert result.to_dict()["errors"] == [result.store_error]
