"""Outcomes and walk-forwards as frames."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from market_bars import walk
from sheets import MONDAY, TUESDAY, prices_of

import mp2
from mp2.picks.records import SizePick
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of


@pytest.fixture(scope="module")
def walked():
    return mp2.walk_forward(
        walk(20, 40),
        weeks=2,
        budget_s_per_week=5,
        workers=1,
        rules=mp2.Rules(max_size=3, retain_sizes=(2, 3), min_daily_hits=0, min_pooled_pp=0.0),
        grids=grids_of(ALGORITHMS[:2]),
    )


def outcome():
    pick = SizePick(rank=1, members=(), tickers=("A", "B"))
    picks = mp2.DayPicks(
        run_id=None, day=MONDAY, assumed=False, picks={3: pick, 4: None}, votes=(), warnings=()
    )
    return mp2.score(picks, prices_of([MONDAY, TUESDAY], {"A": [2.0, 0.0], "B": [-1.0, 0.0]}))


def test_an_outcome_has_a_row_per_size_and_one_for_the_votes():
    frame = outcome().to_frame()
    first, second, votes = frame.to_dicts()
    assert first["day"] == first["session"] == date.fromisoformat(MONDAY)
    assert (first["picks"], first["n_picks"], first["n_hits"]) == ("3", 2, 1)
    assert first["hit_rate_pp"] == first["universe_hit_rate_pp"] == 50.0
    assert first["mean_return_pp"] == pytest.approx(0.5)
    assert (second["picks"], second["n_picks"], second["hit_rate_pp"]) == ("4", 0, None)
    assert votes["picks"] == "votes"
    pending = replace(outcome(), session=None, universe_hit_rate_pp=None).to_frame()
    assert pending.schema == frame.schema


def test_a_walk_has_a_row_per_week_and_series(walked):
    frame = walked.to_frame()
    assert frame.height == 2 * 4
    assert frame["picks"].to_list()[:4] == ["2", "3", "all", "votes"]
    row = frame.row(2, named=True)
    judged = walked.weeks[0].judged["all"]
    assert row["first_searched"] == date.fromisoformat(walked.weeks[0].searched[0])
    assert row["last_judged"] == date.fromisoformat(walked.weeks[0].days[-1].day)
    assert row["n_picks"] == judged.n_picks
    assert row["hit_difference"] == judged.hit_difference.mean
    assert row["verdict"] == judged.verdict


def test_a_walk_has_the_return_of_each_day(walked):
    frame = walked.daily_frame()
    days = [day for week in walked.weeks for day in week.days]
    assert frame["day"].cast(pl.String).to_list() == [day.day for day in days]
    for row, day in zip(frame.to_dicts(), days, strict=True):
        score = day.scores["all"]
        assert row["return_pp all"] == (score.mean_return_pp if score else None)
        assert row["universe_return_pp"] == day.universe_return_pp
    assert frame["n_picks all"].sum() == walked.total["all"].n_picks


def test_a_walk_stopped_before_its_first_week_has_the_same_columns(walked):
    nothing = replace(walked, weeks=())
    assert nothing.to_frame().schema == walked.to_frame().schema
    assert nothing.daily_frame().schema == walked.daily_frame().schema


def test_daily_returns_go_into_pandas(walked):
    returns = walked.daily_frame("pandas").set_index("day")["return_pp all"]
    assert returns.index.dtype.kind == "M"
    assert len(returns) == 10
