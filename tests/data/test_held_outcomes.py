"""Signals judged by a rule that sells on the next session, from a table of outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from market_bars import walk as walked
from signal_frames import contents, problems_of
from test_look_ahead import DAYS, TICKERS, at_the_close, outcomes, walk

import mp2
from mp2.data.signal_reader import read_signals
from mp2.signals.algorithms import ALGORITHMS

HELD = ("next-open", "close-close")
PRICES = pl.DataFrame(
    [
        ("2026-01-08", "A", 10.0, 9.0),
        ("2026-01-08", "B", 20.0, 21.0),
        ("2026-01-09", "A", 11.0, 12.0),
        ("2026-01-09", "B", 19.0, 18.0),
        ("2026-01-12", "A", 12.0, 11.0),
        ("2026-01-13", "A", 11.0, 12.0),
        ("2026-01-13", "B", 21.0, 20.0),
    ],
    schema=["day", "ticker", "open", "close"],
    orient="row",
)
SIGNALS = PRICES.select("day", "ticker", algo=pl.lit("X"), variation=pl.lit("1"))
# B has no bar on Monday: bought on Friday, its outcome is not known.
WON = {
    "next-open": {
        ("2026-01-08", "A"): True,
        ("2026-01-08", "B"): False,
        ("2026-01-09", "A"): True,
        ("2026-01-09", "B"): False,
        ("2026-01-12", "A"): False,
    },
    "close-close": {
        ("2026-01-08", "A"): True,
        ("2026-01-08", "B"): False,
        ("2026-01-09", "A"): False,
        ("2026-01-09", "B"): False,
        ("2026-01-12", "A"): True,
    },
}
LEFT_OUT = (
    "signals: hold: what the signals of 2026-01-13 buy is sold after 2026-01-13, "
    "the last session with outcomes: left out"
)


@pytest.mark.parametrize("hold", HELD)
def test_every_outcome_by_hand(hold: str) -> None:
    panel = read_signals(SIGNALS, outcomes=PRICES, hold=hold)
    assert contents(panel) == {("X", "1"): WON[hold]}
    assert (panel.hold, panel.last_exit) == (hold, "2026-01-13")
    rates = {"next-open": [50, 100, 0], "close-close": [50, 0, 100]}
    assert panel.base_win_rates.tolist() == rates[hold]
    sold = "open" if hold == "next-open" else "close"
    assert panel.warnings == (
        LEFT_OUT,
        f"outcomes: (day, ticker) without the {sold} of the next session: 1, counted as no win",
    )


def test_a_day_that_is_no_session_is_sold_on_the_one_after_it() -> None:
    saturday = SIGNALS.head(1).with_columns(day=pl.lit("2026-01-10"))
    panel = read_signals(pl.concat([SIGNALS, saturday]), outcomes=PRICES, hold="next-open")
    assert panel.days == ("2026-01-08", "2026-01-09", "2026-01-10", "2026-01-12")
    # It was not bought: a table without the day has no price of it.
    assert contents(panel)["X", "1"] == {**WON["next-open"], ("2026-01-10", "A"): False}


def test_a_shift_counts_before_the_rule_does() -> None:
    panel = read_signals(SIGNALS, outcomes=PRICES, shift=1, hold="next-open")
    assert contents(panel)["X", "1"] == {
        ("2026-01-09", "A"): True,
        ("2026-01-09", "B"): False,
        ("2026-01-12", "A"): False,
        ("2026-01-12", "B"): False,
    }
    assert any("shift: the signals of 2026-01-13 count after" in line for line in panel.warnings)
    assert any("hold: what the signals of 2026-01-12 buy" in line for line in panel.warnings)


@pytest.mark.parametrize("hold", HELD)
def test_a_table_of_computed_signals_is_judged_as_they_are(hold: str) -> None:
    prices = walked(12, 90)
    grids = mp2.Grids.of(*(algorithm for algorithm in ALGORITHMS if algorithm.name == "RSI"))
    sheet = mp2.compute_signals(prices, n_days=6, hold=hold, grids=grids)
    panel = sheet.panel()
    read = read_signals(sheet.to_frame(), outcomes=prices, hold=hold)
    assert (read.hold, read.last_exit, read.days) == (panel.hold, panel.last_exit, panel.days)
    np.testing.assert_allclose(read.base_win_rates, panel.base_win_rates)
    computed = {key: won for key, won in contents(panel).items() if won}
    assert contents(read) == computed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"outcomes": None}, "hold: next-open needs prices of the next session; give outcomes"),
        (
            {"outcomes": PRICES.select("day", "ticker", win=pl.lit(1))},
            "outcomes: hold: next-open needs open and close; a column of wins says itself what "
            "wins, so leave hold out",
        ),
        (
            {"outcomes": PRICES.filter(day="2026-01-08")},
            "signals: hold: the outcomes end on 2026-01-08, so there is no later session to sell "
            "on what these signals buy",
        ),
        (
            {"days": ["2026-01-13"]},
            "days: 2026-01-13 has no later session in outcomes to sell on; leave it out",
        ),
    ],
)
def test_what_has_no_exit_is_refused(changes: dict, expected: str) -> None:
    table = (
        SIGNALS
        if changes.get("outcomes", 1) is not None
        else SIGNALS.join(PRICES, on=["day", "ticker"])
    )
    problems = problems_of(table, **{"outcomes": PRICES, "hold": "next-open", **changes})
    assert expected in problems


# --- signals that know their outcome --------------------------------------------------------------


def knowing(hold: str, opened: pd.DataFrame, close: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What gains and what loses by a rule, on the day it is bought."""
    later = opened.shift(-1) if hold == "next-open" else close.shift(-1)
    gain = later / (opened if hold == "next-open" else close) - 1
    return {"Rise": gain > 0.005, "Fall": gain < -0.005}


@pytest.mark.parametrize("hold", HELD)
def test_signals_that_know_their_outcome_are_doubted(hold: str) -> None:
    opened, close = walk(1)
    table = outcomes(opened, close)
    frames = knowing(hold, opened, close)
    doubts = read_signals(frames, outcomes=table, hold=hold).warnings
    known_on = "that day" if hold == "next-open" else "the session after it"
    assert any(f"computed at the close of {known_on}, read them with shift=1" in d for d in doubts)
    later = {name: frame.shift(2, fill_value=False) for name, frame in frames.items()}
    rest = read_signals(later, outcomes=table, hold=hold).warnings
    assert not any("computed at the close" in line for line in rest)


def test_signals_of_the_close_are_known_when_they_are_bought_at_it() -> None:
    opened, close = walk(1)
    table = outcomes(opened, close)
    frames = at_the_close(close)
    bought_at_the_close = read_signals(frames, outcomes=table, hold="close-close").warnings
    assert not any("computed at the close" in line for line in bought_at_the_close)
    bought_before_it = read_signals(frames, outcomes=table, hold="next-open").warnings
    assert any("computed at the close of that day" in line for line in bought_before_it)
    assert len(DAYS) * len(TICKERS) == len(table)
