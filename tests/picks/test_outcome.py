"""Outcomes: hit rates and returns by hand, days without a bar, holidays."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from sheets import MONDAY, TUESDAY, WEEK, prices_of, result_of, sheet_of

from mp2.cli.pick_view import outcome_view
from mp2.data.prices import read_prices, to_frame
from mp2.errors import InputError
from mp2.picks.outcome import Universe, score
from mp2.picks.pick import pick_day
from mp2.picks.records import PickStatus, Score

DATES = (*WEEK, MONDAY, TUESDAY)
NONE = Score(
    n_tickers=0,
    n_picks=0,
    n_unpriced=0,
    unpriced=(),
    n_hits=0,
    hit_rate_pp=None,
    mean_return_pp=None,
    hit_difference_pp=None,
    return_difference_pp=None,
)


def moves(**monday):
    """Percent on Monday; all other days lose 5."""
    return {ticker: [-5.0] * 5 + [move, -5.0] for ticker, move in monday.items()}


PRICES = prices_of(DATES, moves(A=2.0, B=-1.0, C=0.0, D=1.0, E=-2.0))
RESULT = result_of({2: ["A 1 + B 1", "A 1 + C 1"], 3: ["A 1 + B 1 + C 1"]})
PICKS = pick_day(
    RESULT, sheet_of({"A 1": ["ABCDZ"], "B 1": ["ABC"], "C 1": ["DEZ"]}, tickers="ABCDEZ"), MONDAY
)


def test_every_number_by_hand():
    outcome = score(PICKS, PRICES)
    assert (outcome.day, outcome.session, outcome.status, outcome.note) == (
        MONDAY,
        MONDAY,
        "scored",
        "no bar on 2026-01-12 for 1 of 5 tickers (20.0%): Z; they count as no hit",
    )
    assert outcome.run_id == RESULT.run_id
    assert (outcome.n_universe, outcome.universe_hit_rate_pp, outcome.universe_return_pp) == (
        5,
        40.0,
        pytest.approx(0.0),
    )
    third = 100 / 3
    assert outcome.sizes == {
        2: Score(
            n_tickers=3,
            n_picks=3,
            n_unpriced=0,
            n_hits=1,
            hit_rate_pp=pytest.approx(third),
            mean_return_pp=pytest.approx(1 / 3),
            hit_difference_pp=pytest.approx(third - 40),
            return_difference_pp=pytest.approx(1 / 3),
        ),
        3: None,
    }
    assert {vote.ticker for vote in PICKS.votes} == set("ABCDZ")
    # Z has no bar: it is one of five, no hit, and gains nothing.
    assert outcome.votes == Score(
        n_tickers=5,
        n_picks=4,
        n_unpriced=1,
        unpriced=("Z",),
        n_hits=2,
        hit_rate_pp=40.0,
        mean_return_pp=pytest.approx(0.4),
        hit_difference_pp=0.0,
        return_difference_pp=pytest.approx(0.4),
    )


def test_a_ticker_whose_bars_begin_later_is_not_in_the_universe():
    late = {**moves(A=2.0, B=-1.0, C=0.0), "D": [math.nan] * 6 + [9.0]}
    outcome = score(PICKS, prices_of(DATES, late))
    assert (outcome.n_universe, outcome.universe_hit_rate_pp) == (3, pytest.approx(100 / 3))
    assert (outcome.votes.n_picks, outcome.votes.n_unpriced) == (3, 2)


def test_an_unchanged_price_is_no_hit_and_the_smallest_rise_is_one():
    open = np.array([10.0, 10.0, 1.0])
    universe = Universe("ABC", open, np.nextafter(open, [np.inf, 10.0, -np.inf]))
    assert [universe.score(ticker).n_hits for ticker in "ABC"] == [1, 0, 0]


def test_nothing_picked_or_nothing_priced_has_no_rate():
    universe = Universe("AB", np.array([np.nan, 1.0]), np.array([2.0, np.nan]))
    assert (universe.n, universe.hit_rate_pp, universe.mean_return_pp) == (0, None, None)
    assert universe.score([]) == NONE
    assert universe.score("BA") == replace(NONE, n_tickers=2, n_unpriced=2, unpriced=("A", "B"))


@pytest.mark.parametrize(
    ("spelled", "unpriced"),
    [
        ("BRK-B aaa bbb", ()),
        ("brk/b AAA BBB", ()),
        ("BRK.B BRK-B AAA bbb", ()),
        ("BRK-B Brk/B AAA BBB", ("BRK.B",)),
        ("BRK.B AAA BBB.L", ("BBB",)),
        ("BRK.B AAA.F AAA BBB", ()),
    ],
)
def test_names_of_another_vendor_are_scored_alike(spelled, unpriced):
    sheet = sheet_of({"A 1": ["ABC"], "B 1": ["ABC"]}, tickers="ABC")
    sheet = replace(sheet, tickers=("AAA", "BBB", "BRK.B"))
    picks = pick_day(result_of({2: ["A 1 + B 1"]}), sheet, MONDAY)
    outcome = score(picks, prices_of(DATES, moves(**dict.fromkeys(spelled.split(), 1.0))))
    assert outcome.votes.unpriced == unpriced
    assert outcome.votes.n_tickers == 3
    assert outcome.votes.n_hits == 3 - len(unpriced)
    assert (outcome.note is None) == (not unpriced)


@pytest.mark.parametrize("move", [1.0, math.nan])
def test_picks_of_which_none_has_a_bar_are_refused(move):
    names = "AB" if math.isnan(move) else ("A.US", "B.US")
    prices = prices_of(DATES, {**moves(**dict.fromkeys(names, move)), "Y": [1.0] * 7})
    message = (
        r"no bar on 2026-01-12 for 5 of 5 tickers \(100.0%\): A, B, C, ...; the prices are of "
    )
    with pytest.raises(InputError, match=message):
        score(PICKS, prices)


@pytest.mark.parametrize("assumed", [False, True])
def test_a_day_to_come_is_pending_and_says_where_the_prices_end(assumed):
    outcome = score(replace(PICKS, assumed=assumed), prices_of(WEEK, {"A": [1.0] * 5}))
    assert outcome.status is PickStatus.PENDING
    assert outcome.note == "2026-01-12 has no bar yet; the prices end at 2026-01-09"
    assert (outcome.session, outcome.sizes, outcome.votes) == (None, {2: None, 3: None}, None)


def test_an_assumed_day_that_was_a_holiday_is_scored_on_the_next_session():
    dates = (*WEEK, TUESDAY, "2026-01-14")
    outcome = score(
        replace(PICKS, assumed=True), prices_of(dates, moves(A=2.0, B=-1.0, C=0.0, D=1.0, E=-2.0))
    )
    assert (outcome.day, outcome.session) == (MONDAY, TUESDAY)
    assert outcome.note == (
        "2026-01-12 was not a trading day; scored on 2026-01-13, the next one; "
        "no bar on 2026-01-13 for 1 of 5 tickers (20.0%): Z; they count as no hit"
    )
    assert outcome.sizes == score(PICKS, PRICES).sizes


@pytest.mark.parametrize(
    ("assumed", "dates"),
    [(False, (*WEEK, TUESDAY)), (True, (TUESDAY, "2026-01-14")), (False, (TUESDAY, "2026-01-14"))],
)
def test_prices_that_do_not_have_the_day_are_refused(assumed, dates):
    span = f"though they cover {dates[0]} to {dates[-1]}"
    message = f"the prices have no bar on {MONDAY}, {span}; use the file the picks"
    with pytest.raises(InputError, match=message):
        score(replace(PICKS, assumed=assumed), prices_of(dates, {"A": [1.0] * len(dates)}))


def test_outcomes_are_plain_json():
    document = json.loads(json.dumps(score(PICKS, PRICES).to_dict(), allow_nan=False))
    assert document["status"] == "scored"
    assert document["sizes"]["3"] is None
    assert document["sizes"]["2"]["n_hits"] == 1
    assert document["votes"]["hit_rate_pp"] == 40.0
    assert document["votes"]["unpriced"] == ["Z"]
    pending = score(PICKS, prices_of(WEEK, {"A": [1.0] * 5})).to_dict()
    assert (json.loads(json.dumps(pending))["status"], pending["votes"]) == ("pending", None)


def test_the_console_counts_and_names_picks_without_a_bar():
    screen = Console(file=io.StringIO(), width=120)
    screen.print(outcome_view(score(PICKS, PRICES)))
    lines = screen.file.getvalue().splitlines()
    assert lines[2].split()[:6] == ["picks", "of", "tickers", "no", "bar", "hit"]
    assert lines[4].split()[:4] == ["votes", "5", "1", "40.0%"]
    assert lines[5].startswith("no bar on 2026-01-12 for 1 of 5 tickers (20.0%): Z;")


def test_later_bars_do_not_decide_who_counts(tmp_path):
    tickers = [f"T{number}" for number in range(8)]
    moves = {
        ticker: [-5.0] * 5 + [3.0 * (-1) ** number] + [1.0] * 30
        for number, ticker in enumerate(tickers)
    }
    days = np.busday_offset("2026-01-05", np.arange(36), roll="forward").astype(str).tolist()
    frame = to_frame(prices_of(days, moves))
    day = pl.col("date").cast(pl.String)
    # One ends the day after, one is flat to the end from then on.
    ended = (pl.col("ticker") == "T0") & (day > days[6])
    flat = (pl.col("ticker") == "T1") & (day >= days[5])
    later = frame.filter(~ended).with_columns(
        pl.when(flat & (day > days[5])).then(1.0).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    sheet = sheet_of({"A 1": [tickers], "B 1": [tickers]}, tickers=tickers)
    picks = replace(pick_day(result_of({2: ["A 1 + B 1"]}), sheet, MONDAY), day=days[5])
    known = later.filter(day <= days[5])
    later.write_parquet(tmp_path / "later.parquet")
    expected = score(picks, known)
    assert expected.sizes[2].n_picks == 8
    for prices in (later, tmp_path / "later.parquet", read_prices(tmp_path / "later.parquet")):
        assert score(picks, prices) == expected
