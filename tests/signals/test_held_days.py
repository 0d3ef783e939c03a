"""Days judged by the rule of outcomes: wins by hand, gaps, sessions left out, the end."""

from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest
from market_bars import walk

import mp2
from mp2.data import bitset
from mp2.data.holding import HOLDS, check_same_hold, holding
from mp2.data.prices import price_table
from mp2.signals.algorithms import ALGORITHMS, Algorithm, Parameter
from mp2.signals.grids import grids_of
from mp2.signals.lookahead import differences, probes_of

ALWAYS = grids_of(
    [
        Algorithm(
            name="Always",
            rule=lambda close, n: close > 0,
            reads=lambda n: ("close",),
            parameters=(Parameter("n", "nothing", 1, 3, (1,)),),
        )
    ]
)
HELD = ("next-open", "close-close")
# A Friday is between two weeks; the last date is a Tuesday.
DATES = ("2026-01-07", "2026-01-08", "2026-01-09", "2026-01-12", "2026-01-13")
OPEN = {
    "A": (10.0, 10.0, 11.0, 12.0, 11.0),
    "B": (10.0, 20.0, 19.0, 19.0, 21.0),
    "C": (10.0, 30.0, 31.0, 32.0, 33.0),
}
CLOSE = {
    "A": (10.0, 9.0, 12.0, 11.0, 12.0),
    "B": (10.0, 21.0, 18.0, 20.0, 20.0),
    "C": (10.0, 29.0, 30.0, 34.0, 32.0),
}
# By rule and searched day, who wins; the last date has no exit by the second and third.
WINNERS = {
    "open-close": {"2026-01-08": "B", "2026-01-09": "A", "2026-01-12": "BC", "2026-01-13": "A"},
    "next-open": {"2026-01-08": "AC", "2026-01-09": "AC", "2026-01-12": "BC"},
    "close-close": {"2026-01-08": "AC", "2026-01-09": "BC", "2026-01-12": "A"},
}


def market(**holes):
    """The bars above; `holes` gives the dates on which a ticker has none."""
    opens = np.array(list(OPEN.values()))
    closes = np.array(list(CLOSE.values()))
    for ticker, days in holes.items():
        for day in days:
            opens["ABC".index(ticker), DATES.index(day)] = np.nan
            closes["ABC".index(ticker), DATES.index(day)] = np.nan
    volume = np.where(np.isnan(closes), np.nan, 1e6)
    ranges = (np.maximum(opens, closes), np.minimum(opens, closes))
    return price_table(DATES, "ABC", [opens, *ranges, closes, volume])


def computed(prices, hold, **more):
    return mp2.compute_signals(prices, **{"n_days": 4, "grids": ALWAYS, "hold": hold, **more})


def by_day(panel, sets):
    """The tickers of a set by day."""
    members = bitset.unpack(sets, len(panel.tickers))
    return {
        day: "".join(ticker for ticker, is_in in zip(panel.tickers, row, strict=True) if is_in)
        for day, row in zip(panel.days, members, strict=True)
    }


@pytest.mark.parametrize("hold", HOLDS)
def test_every_win_by_hand(hold):
    sheet = computed(market(), hold)
    panel = sheet.panel()
    assert (sheet.hold, panel.hold) == (hold, hold)
    assert by_day(panel, panel.won) == WINNERS[hold]
    assert by_day(panel, panel.wins) == WINNERS[hold]
    assert set(by_day(panel, panel.known).values()) == {"ABC"}
    assert set(by_day(panel, panel.buys[0]).values()) == {"ABC"}
    rates = [100 * len(won) / 3 for won in WINNERS[hold].values()]
    np.testing.assert_allclose(panel.base_win_rates, rates)
    assert panel.last_exit == (None if hold == "open-close" else "2026-01-13")


@pytest.mark.parametrize("hold", HOLDS)
def test_an_unchanged_price_is_no_win(hold):
    flat = np.full((1, 5), 7.0)
    prices = price_table(DATES, "A", [flat] * 4 + [flat])
    assert not computed(prices, hold).panel().won.any()


@pytest.mark.parametrize("hold", HELD)
def test_a_ticker_without_a_bar_on_the_next_session_has_no_outcome(hold):
    sheet = computed(market(B=["2026-01-12"]), hold)
    panel = sheet.panel()
    # Neither on the day without a bar nor on the one before, and it is not sold a session later.
    expected = {"2026-01-08": "ABC", "2026-01-09": "AC", "2026-01-12": "AC"}
    assert by_day(panel, panel.known) == expected
    assert by_day(panel, panel.buys[0]) == expected
    by_day_rule = computed(market(B=["2026-01-12"]), "open-close").panel()
    assert by_day(by_day_rule, by_day_rule.known)["2026-01-09"] == "ABC"


@pytest.mark.parametrize("hold", HELD)
def test_the_last_date_of_the_file_has_no_outcome(hold):
    sheet = computed(market(), hold, include_next=True)
    assert sheet.days[-2:] == ("2026-01-13", "2026-01-14")
    assert sheet.n_outcome_days == 3
    assert sheet.panel().days[-1] == "2026-01-12"
    with pytest.raises(mp2.InputError, match=r"days 0\.\.3 are not among the 3 days with an out"):
        sheet.panel(0, 4)
    # It may be bought all the same: what happens next is not known.
    assert bitset.count(sheet.buys)[0].tolist() == [3, 3, 3, 3, 3]


@pytest.mark.parametrize("hold", HELD)
def test_no_bar_after_the_end_is_used(hold):
    prices = market()
    end = "2026-01-12"
    sheet = computed(prices, hold, end=end, n_days=3, include_next=True)
    assert (sheet.days[0], sheet.days[-1], sheet.n_outcome_days) == ("2026-01-08", "2026-01-13", 2)
    panel = sheet.panel()
    assert (panel.days, panel.last_exit) == (("2026-01-08", "2026-01-09"), end)
    assert by_day(panel, panel.won) == {day: WINNERS[hold][day] for day in panel.days}

    after = np.array([False] * 4 + [True])
    changes = {
        name: np.where(after, 1.0, getattr(prices, name))
        for name in ("open", "high", "low", "close")
    }
    other = computed(replace(prices, **changes), hold, end=end, n_days=3, include_next=True)
    assert other.panel().fingerprint == panel.fingerprint
    gone = computed(market(A=DATES[4:], B=DATES[4:]), hold, end=end, n_days=3)
    assert gone.panel().fingerprint == panel.fingerprint
    assert np.array_equal(gone.buys, sheet.buys[:, :3])


def filled():
    """Long bars of five tickers whose Saturday only repeats the Friday, as vendors fill it."""
    rows = []
    for number, ticker in enumerate("ABCDE", 1):
        for idx, day in enumerate((*DATES[:3], "2026-01-10", *DATES[3:])):
            # Friday's bar again on Saturday; from Monday on it is higher.
            level = number * (10 + min(idx, 2) + max(0, idx - 3))
            opened, close = (level, level + 0.5)
            rows.append((day, ticker, opened, close + 0.1, opened - 0.1, close, 1000 + idx))
    columns = ["date", "ticker", "open", "high", "low", "close", "volume"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col("open", "high", "low", "close").cast(pl.Float64)
    )


@pytest.mark.parametrize("hold", HELD)
def test_the_next_session_is_the_next_one_of_the_market(hold):
    prices = mp2.read_prices(filled())
    assert prices.dates == DATES
    sheet = computed(prices, hold)
    friday = sheet.days.index("2026-01-09")
    # Bought on Friday at 12 times the number, or half above it, and sold on Monday at 13 times.
    for number, ticker in enumerate("ABCDE", 1):
        column = sheet.tickers.index(ticker)
        half = 0.0 if hold == "next-open" else 0.5
        assert sheet.entry[friday, column] == 12 * number + half
        assert sheet.exit[friday, column] == 13 * number + half


def test_a_stale_run_of_bars_is_no_exit():
    frame = filled().filter(pl.col("date") != "2026-01-10")
    more = []
    for idx in range(14):
        day = str(np.busday_offset(DATES[-1], idx + 1))
        for number, ticker in enumerate("ABCDE", 1):
            close = 20.0 * number + (0 if ticker == "A" else idx)
            more.append((day, ticker, close, close, close, close, 1000))
    added = pl.DataFrame(more, schema=frame.schema, orient="row")
    prices = mp2.read_prices(pl.concat([frame, added]))
    days = prices.dates[-13:]
    sheet = computed(prices, "next-open", n_days=13)
    known = by_day(sheet.panel(), sheet.panel().known)
    # A rests at one price: only the first of its bars counts, which is before these days.
    assert "A" not in "".join(known[day] for day in days[:-1])
    assert all(set("BCDE") <= set(known[day]) for day in days[:-1])


def test_a_rule_is_one_of_three():
    message = "hold: 'overnight' is unknown; choose from open-close, next-open, close-close"
    with pytest.raises(mp2.InputError, match=message):
        computed(market(), "overnight")
    with pytest.raises(mp2.InputError, match="hold: the run is by the rule next-open, not open-cl"):
        check_same_hold("open-close", "next-open", "the run")
    check_same_hold(None, "next-open", "the run")
    check_same_hold("next-open", "next-open", "the run")
    assert [holding(name).n_sessions for name in HOLDS] == [0, 1, 1]


@pytest.mark.parametrize("hold", HOLDS)
def test_no_rule_lets_a_signal_look_ahead(hold):
    prices = walk(12, 60)
    grids = grids_of(algorithm for algorithm in ALGORITHMS if algorithm.name in ("RSI", "SMA"))
    base = mp2.compute_signals(prices, n_days=8, grids=grids, hold=hold)
    # Every ticker has all bars, so the rule decides nothing about what is bought.
    by_day_rule = mp2.compute_signals(prices, n_days=8, grids=grids)
    assert np.array_equal(base.buys, by_day_rule.buys)
    for probe in probes_of(prices, base, 3, partial(mp2.compute_signals, grids=grids, hold=hold)):
        assert list(differences(base, probe)) == []
