"""Walk-forwards in the store: each week as it ends, resumed where they stopped, read back."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import polars as pl
import pytest
from market_bars import walk
from small_searches import LENIENT, SMALL_GRIDS

import mp2
from mp2.data.prices import to_frame
from mp2.picks.weeks import WalkStatus

SETTINGS = {
    "weeks": 3,
    "budget_s_per_week": 20,
    "workers": 1,
    "rules": mp2.Rules(max_size=3, retain_sizes=(2, 3), **LENIENT),
    "cost_bps": 5.0,
}
PRICES = walk(8, 90, seed=5)


def filled(folder):
    to_frame(PRICES).write_csv(folder / "bars.csv")
    (folder / "grids.toml").write_text(SMALL_GRIDS)
    return folder


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path)


def walk_there(folder, **more):
    settings = {**SETTINGS, "grids": folder / "grids.toml", **more}
    return mp2.walk_forward(folder / "bars.csv", store=folder / "mp2.db", **settings)


def stopped_after(folder, n_weeks, **more):
    """Walk until so many weeks are finished, then stop."""
    stop = threading.Event()

    def observe(done, total):
        if done == n_weeks:
            stop.set()

    return walk_there(folder, stop=stop, observe=observe, **more)


def without_times(walk):
    """The walk without what differs between two equal ones."""
    weeks = tuple(replace(week, elapsed_s=0.0) for week in walk.weeks)
    return replace(walk, weeks=weeks, walk_id=None)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A folder with a stored walk, and the walk."""
    folder = filled(tmp_path_factory.mktemp("walked"))
    walk = walk_there(folder)
    assert walk.status is WalkStatus.COMPLETE
    assert walk.walk_id is not None
    return folder, walk


@pytest.fixture
def undisturbed(walked):
    return walked[1]


def test_a_walk_is_stored_listed_and_read_back(walked):
    folder, undisturbed = walked
    with mp2.Store(folder / "mp2.db", read_only=True) as store:
        (summary,) = store.walks()
        assert store.count("walk") == 1
        loaded = store.load_walk(store.find_walk("last"))
    assert loaded == undisturbed
    assert loaded.to_dict() == undisturbed.to_dict()
    assert (summary.walk_id, summary.status) == (undisturbed.walk_id, "complete")
    assert (summary.n_done, summary.n_weeks) == (3, 3)
    days = [day.day for week in undisturbed.weeks for day in week.days]
    assert (summary.first_day, summary.last_day) == (days[0], days[-1])
    assert summary.judged == undisturbed.total["all"]


@pytest.mark.parametrize("n_weeks", [0, 1, 2])
def test_a_stopped_walk_continues_and_ends_as_an_undisturbed_one(folder, undisturbed, n_weeks):
    part = stopped_after(folder, n_weeks)
    assert (part.status, len(part.weeks)) == (WalkStatus.STOPPED, n_weeks)
    with mp2.Store(folder / "mp2.db", read_only=True) as store:
        assert store.load_walk(part.walk_id) == part
    searched = []
    whole = mp2.resume_walk_forward(
        store=folder / "mp2.db", observe=lambda done, total: searched.append(done)
    )
    assert searched == list(range(n_weeks, 4))
    assert whole.walk_id == part.walk_id
    assert without_times(whole) == without_times(undisturbed)
    # The weeks that were finished are not done again.
    assert whole.weeks[:n_weeks] == part.weeks


def test_a_walk_whose_process_died_continues(folder, undisturbed):
    stopped_after(folder, 2)
    with closing(sqlite3.connect(folder / "mp2.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE walk SET status = 'running', pid = 2000000000, process_start = '1'"
        )
    with mp2.Store(folder / "mp2.db", read_only=True) as store:
        (latest,) = store.walks()
        assert latest.status == "interrupted"
        assert "ended before it did" in store.load_walk(latest.walk_id).warnings[-1]
    whole = mp2.resume_walk_forward(latest.walk_id[:-1], store=folder / "mp2.db")
    assert without_times(whole) == without_times(undisturbed)


def test_a_longer_file_does_not_move_the_weeks(folder):
    end = PRICES.dates[-8]
    part = stopped_after(folder, 1, end=end)
    assert part.weeks[0].days[-1].day < end
    to_frame(PRICES.until(PRICES.dates[-4])).write_csv(folder / "bars.csv")
    whole = mp2.resume_walk_forward(store=folder / "mp2.db")
    assert whole.weeks[-1].days[-1].day == end


def test_a_walk_to_the_end_of_a_file_keeps_its_last_day_when_the_file_grows(folder):
    to_frame(PRICES.until(PRICES.dates[-8])).write_csv(folder / "bars.csv")
    stopped_after(folder, 1)
    to_frame(PRICES).write_csv(folder / "bars.csv")
    whole = mp2.resume_walk_forward(store=folder / "mp2.db")
    assert whole.weeks[-1].days[-1].day == PRICES.dates[-8]


def test_a_walk_whose_rule_sells_on_the_next_session_is_resumed(folder):
    last = PRICES.dates[-2]
    to_frame(PRICES.until(last)).write_csv(folder / "bars.csv")
    part = stopped_after(folder, 1, hold="next-open")
    to_frame(PRICES).write_csv(folder / "bars.csv")
    whole = mp2.resume_walk_forward(store=folder / "mp2.db")
    assert (whole.hold, whole.weeks[0]) == ("next-open", part.weeks[0])
    # What is bought on the last day judged is sold at the last open.
    assert whole.weeks[-1].days[-1].day == PRICES.dates[-3]


def test_another_file_is_refused_and_a_moved_one_is_not(folder):
    walk_id = stopped_after(folder, 1).walk_id
    moved = folder / "moved.csv"
    (folder / "bars.csv").rename(moved)
    frame = pl.read_csv(moved)
    changed = frame.with_columns(pl.col("close", "high") + 0.5)
    changed.write_csv(folder / "bars.csv")
    with pytest.raises(mp2.InputError) as caught:
        mp2.resume_walk_forward(store=folder / "mp2.db")
    assert str(caught.value) == (
        f"{folder / 'bars.csv'}: is not what walk {walk_id} began with; begin a new one, or resume "
        "with the input as it was"
    )
    assert mp2.resume_walk_forward(store=folder / "mp2.db", prices=moved).walk_id == walk_id


def test_other_grids_are_other_input(folder):
    stopped_after(folder, 1)
    (folder / "grids.toml").write_text(SMALL_GRIDS.replace("13, 25", "14, 25"))
    with pytest.raises(mp2.InputError, match="is not what walk"):
        mp2.resume_walk_forward(store=folder / "mp2.db")


def test_what_was_in_memory_is_passed_again(folder):
    grids = mp2.load_grids(folder / "grids.toml")
    stop = threading.Event()
    sectors = dict.fromkeys(PRICES.tickers, "one")
    settings = {**SETTINGS, "replicates": 19, "sectors": sectors, "grids": grids}
    mp2.walk_forward(
        PRICES,
        store=folder / "mp2.db",
        stop=stop,
        observe=lambda done, total: done and stop.set(),
        **settings,
    )
    given = {}
    for name, value in (("prices", PRICES), ("grids", grids), ("sectors", sectors)):
        with pytest.raises(mp2.InputError, match=f"{name} .*in memory; pass .* again"):
            mp2.resume_walk_forward(store=folder / "mp2.db", **given)
        given[name] = value
    whole = mp2.resume_walk_forward(store=folder / "mp2.db", **given)
    assert [week.p is not None for week in whole.weeks] == [True] * 3


@pytest.mark.parametrize("name", ["last", "2"])
def test_a_complete_walk_is_not_resumed(walked, name):
    folder, _ = walked
    with pytest.raises(mp2.InputError, match=r"cannot be resumed: it is complete"):
        mp2.resume_walk_forward(name, store=folder / "mp2.db")


def test_a_walk_that_fails_keeps_its_weeks(folder):
    def failing(done, total):
        if done == 2:
            raise RuntimeError("as a plug-in may")

    with pytest.raises(RuntimeError):
        walk_there(folder, observe=failing)
    with mp2.Store(folder / "mp2.db", read_only=True) as store:
        (summary,) = store.walks()
    assert (summary.status, summary.n_done) == ("failed", 2)
    assert len(mp2.resume_walk_forward(store=folder / "mp2.db").weeks) == 3


def test_a_store_that_fails_costs_only_the_storing(folder):
    def gone(done, total):
        if done == 1:
            (folder / "mp2.db").rename(folder / "elsewhere.db")

    walked = walk_there(folder, observe=gone)
    assert (walked.status, walked.walk_id, len(walked.weeks)) == (WalkStatus.COMPLETE, None, 3)
    assert "was deleted, moved or replaced meanwhile" in walked.store_error


def test_a_walk_is_deleted_with_its_weeks(folder):
    part = stopped_after(folder, 1)
    with mp2.Store(folder / "mp2.db") as store:
        store.delete_walk(part.walk_id)
        assert store.walks() == []
    with closing(sqlite3.connect(folder / "mp2.db")) as connection:
        assert connection.execute("SELECT count(*) FROM walk_week").fetchone() == (0,)


def test_the_daily_picks_are_a_table(undisturbed):
    frame = undisturbed.daily_frame()
    assert frame.height == 15
    day = undisturbed.weeks[1].days[2]
    row = frame.row(7, named=True)
    assert row["tickers 2"].split() == list(day.tickers["2"])
    assert row["return_pp 2"] == day.scores["2"].mean_return_pp
    assert row["net_return_pp 2"] == day.scores["2"].net_return_pp


def test_a_walk_by_another_rule_resumes_by_it(folder):
    whole = walk_there(folder, hold="close-close")
    begun = stopped_after(folder, 1, hold="close-close")
    resumed = mp2.resume_walk_forward(begun.walk_id, store=folder / "mp2.db")
    assert resumed.hold == "close-close"
    assert without_times(resumed) == without_times(whole)
    assert resumed.total["all"].performance is not None
    with mp2.Store(folder / "mp2.db", read_only=True) as store:
        assert store.load_walk(resumed.walk_id) == resumed
