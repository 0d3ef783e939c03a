"""Picks that are sold on the next session: outcomes by hand, and walk-forwards by bars."""

import io
from dataclasses import replace

import numpy as np
import pytest
from market_bars import walk as bars_of
from rich.console import Console
from sheets import MONDAY, TUESDAY, WEEK, result_of, sheet_of
from test_walkforward import DATES, PRICES, constant_script

from mp2.cli.pick_view import outcome_view
from mp2.data.prices import price_table, to_frame
from mp2.errors import InputError
from mp2.groups.rules import Rules
from mp2.picks.outcome import score
from mp2.picks.pick import pick_day
from mp2.picks.records import PickStatus
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of
from mp2.walking import walk_forward

HELD = ("next-open", "close-close")
# Bought on Monday, sold on Tuesday: opens of 100 rise by 3, fall by 1, stay and rise by 2; closes
# of 101 and so on fall by 1, rise by 2, fall by 3 and stay, all in percent.
OPEN = {"A": (100.0, 103.0), "B": (100.0, 99.0), "C": (100.0, 100.0), "D": (100.0, 102.0)}
CLOSE = {"A": (101.0, 99.99), "B": (100.0, 102.0), "C": (100.0, 97.0), "D": (100.0, 100.0)}
RETURNS = {
    "next-open": {"A": 3.0, "B": -1.0, "C": 0.0, "D": 2.0},
    "close-close": {"A": -1.0, "B": 2.0, "C": -3.0, "D": 0.0},
}


def prices_of(*, until=TUESDAY, without=""):
    """Bars of a flat week, then those above; `without` names tickers that have none on Tuesday."""
    dates = [*WEEK, MONDAY, TUESDAY]
    opens = np.array([[100.0] * 5 + list(OPEN[ticker]) for ticker in "ABCD"])
    closes = np.array([[100.0] * 5 + list(CLOSE[ticker]) for ticker in "ABCD"])
    # So that no bar of the week repeats the one before.
    closes[:, :5] += np.arange(5)
    for ticker in without:
        opens[ord(ticker) - ord("A"), -1] = np.nan
        closes[ord(ticker) - ord("A"), -1] = np.nan
    columns = [opens, np.fmax(opens, closes), np.fmin(opens, closes), closes, closes * 1e4]
    n_dates = dates.index(until) + 1
    return price_table(dates[:n_dates], "ABCD", [column[:, :n_dates] for column in columns])


def picked(hold, **changes):
    result = result_of({2: ["A 1 + B 1"]}, hold=hold, last_exit=WEEK[-1], days=WEEK[:-1])
    return pick_day(
        result, sheet_of({"A 1": ["ABC"], "B 1": ["ABCD"]}, tickers="ABCD"), MONDAY, **changes
    )


@pytest.mark.parametrize("hold", HELD)
def test_an_outcome_by_hand(hold):
    picks = picked(hold, cost_bps=10.0)
    assert (picks.hold, picks.cost_bps) == (hold, 10.0)
    outcome = score(picks, prices_of())
    returns = RETURNS[hold]
    assert (outcome.status, outcome.session, outcome.hold) == ("scored", MONDAY, hold)
    assert outcome.universe_hit_rate_pp == {"next-open": 50.0, "close-close": 25.0}[hold]
    assert outcome.universe_return_pp == pytest.approx(np.mean(list(returns.values())))
    (one,) = outcome.sizes.values()
    assert (one.n_picks, one.n_hits) == (3, 1)
    mean = np.mean([returns[ticker] for ticker in "ABC"])
    assert one.mean_return_pp == pytest.approx(mean)
    assert one.net_return_pp == pytest.approx((100 + mean) * 0.999 / 1.001 - 100)
    assert score(picks, prices_of(), cost_bps=0.0) == outcome.gross()


@pytest.mark.parametrize("hold", HELD)
def test_picks_are_pending_until_they_are_sold(hold):
    outcome = score(picked(hold), prices_of(until=MONDAY))
    assert outcome.status is PickStatus.PENDING
    assert (outcome.session, outcome.hold) == (None, hold)
    what = hold.rpartition("-")[2]
    bought = {"next-open": "open", "close-close": "close"}[hold]
    assert outcome.note == (
        f"{MONDAY} is the last day of the prices; buy at the {bought}, sell at the next {what}"
    )


@pytest.mark.parametrize("hold", HELD)
def test_a_pick_without_a_bar_to_sell_it_on_is_no_hit(hold):
    outcome = score(picked(hold), prices_of(without="B"))
    (one,) = outcome.sizes.values()
    assert (one.n_tickers, one.n_picks, one.unpriced, outcome.n_universe) == (3, 2, ("B",), 3)
    gains = [RETURNS[hold][ticker] for ticker in "AC"]
    assert one.mean_return_pp == pytest.approx(sum(gains) / 3)
    assert one.hit_rate_pp == pytest.approx(100 * sum(gain > 0 for gain in gains) / 3)
    assert outcome.note == (
        "no bar on 2026-01-12, or on the session after it, for 1 of 3 tickers (33.3%): B; "
        "they count as no hit"
    )


@pytest.mark.parametrize("hold", HELD)
def test_bars_after_the_sale_do_not_count(hold, tmp_path):
    prices = prices_of()
    longer = to_frame(prices).vstack(
        to_frame(prices).filter(ticker="D").tail(1).with_columns(date=np.datetime64("2026-01-14"))
    )
    assert score(picked(hold), longer) == score(picked(hold), prices)


def test_picks_are_scored_by_their_own_rule():
    picks = picked("next-open")
    message = f"hold: the pick for {MONDAY} is by the rule next-open, not close-close; leave"
    with pytest.raises(InputError, match=message):
        score(picks, prices_of(), hold="close-close")
    assert score(picks, prices_of(), hold="next-open") == score(picks, prices_of())


def test_a_day_that_chose_the_groups_is_not_picked():
    result = result_of({2: ["A 1 + B 1"]}, hold="next-open", last_exit=MONDAY)
    sheet = sheet_of({"A 1": ["AB"], "B 1": ["AB"]}, tickers="AB")
    with pytest.raises(InputError, match=f"day {MONDAY}: not after the run's last day {MONDAY}"):
        pick_day(result, sheet, MONDAY)


def test_the_console_says_what_a_hit_is():
    screen = Console(file=io.StringIO(), width=120)
    screen.print(outcome_view(score(picked("next-open"), prices_of())))
    title = screen.file.getvalue().splitlines()[1]
    assert title == "Outcome of 2026-01-12: 4 tickers, 50.0% gained, mean 1.00%"


# --- walk-forward ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [None, DATES[-2]])
def test_a_week_is_judged_after_the_searched_one_was_sold(end):
    script = constant_script()
    script.signals = held(script.signals)
    walk = walk_forward(
        PRICES,
        weeks=2,
        end=end,
        hold="next-open",
        signals=script.signals,
        search=script.search,
        rules=Rules(retain_sizes=(2,)),
    )
    dates = DATES[: DATES.index(end or DATES[-1]) + 1][-17:]
    assert script.searched == [dates[:5], dates[5:10]]
    # The day between is the one on which the last searched day is sold, the last one of all the
    # one on which the last judged day is.
    judged = [tuple(day.day for day in week.days) for week in walk.weeks]
    assert judged == [dates[6:11], dates[11:16]]
    assert walk.hold == "next-open"


def held(signals):
    """The same sheet by the second rule, with the next day's open as its exit."""

    def with_exits(prices, **settings):
        sheet = signals(prices, **settings)
        sold = np.full(sheet.open.shape, np.nan)
        sold[:-1] = sheet.open[1:] * 1.01
        return replace(sheet, hold="next-open", sold=sold)

    return with_exits


def test_too_short_a_history_says_what_a_rule_that_holds_needs():
    with pytest.raises(InputError, match=r"weeks: 5 need 33 dates; the prices have 31; .* 4 weeks"):
        constant_script().walk(weeks=5, hold="close-close")


@pytest.mark.parametrize("hold", HELD)
def test_every_day_of_a_walk_by_bars(hold):
    prices = bars_of(10, 80)
    grids = grids_of(algorithm for algorithm in ALGORITHMS if algorithm.name in ("RSI", "SMA"))
    grids = replace(grids, variations=grids.variations[:: len(grids.variations) // 12])
    rules = Rules(max_size=2, retain_sizes=(2,), min_daily_hits=0)
    end = prices.dates[-3]
    walk = walk_forward(prices, weeks=2, end=end, grids=grids, rules=rules, hold=hold)
    bought = prices.open if hold == "next-open" else prices.close
    days = [day for week in walk.weeks for day in week.days]
    assert days[-1].day == prices.dates[-4]
    for day in days:
        idx = prices.dates.index(day.day)
        returns = 100 * (bought[:, idx + 1] / bought[:, idx] - 1)
        assert day.universe_return_pp == pytest.approx(returns.mean())
        assert day.universe_hit_rate_pp == pytest.approx(100 * (returns > 0).mean())
        rows = [prices.tickers.index(ticker) for ticker in day.tickers["2"]]
        if rows:
            assert day.scores["2"].mean_return_pp == pytest.approx(returns[rows].mean())
            assert day.scores["2"].n_hits == (returns[rows] > 0).sum()
    assert any(day.tickers["2"] for day in days)
    # Whatever happens after the end changes nothing.
    is_past = np.arange(prices.n_dates) <= prices.dates.index(end)
    changes = {
        name: np.where(is_past, getattr(prices, name), 1.0)
        for name in ("open", "high", "low", "close")
    }
    other = walk_forward(
        replace(prices, **changes), weeks=2, end=end, grids=grids, rules=rules, hold=hold
    )
    assert [week.days for week in other.weeks] == [week.days for week in walk.weeks]
