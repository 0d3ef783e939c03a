"""Signals that know the outcome of their day, and signals that are moved to the next session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from signal_frames import LONG, OUTCOMES, contents, problems_of

from mp2.data.signal_reader import read_signals

N_DAYS = 12
DAYS = pd.bdate_range("2026-01-05", periods=N_DAYS)
TICKERS = [f"T{number:02}" for number in range(40)]


def walk(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Open and close of a random walk, day by ticker; the close moves by as much as the night."""
    steps = np.random.default_rng(seed).normal(0, 0.01, (2 * N_DAYS, len(TICKERS)))
    prices = 50 * np.exp(steps.cumsum(axis=0))
    return (
        pd.DataFrame(prices[0::2], index=DAYS, columns=TICKERS),
        pd.DataFrame(prices[1::2], index=DAYS, columns=TICKERS),
    )


def outcomes(opened: pd.DataFrame, close: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"open": opened.stack(), "close": close.stack()})
    return table.rename_axis(["day", "ticker"]).reset_index()


def at_the_close(close: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What rose, and what fell, since the closes before: known at the close."""
    change = close.pct_change(fill_method=None)
    return {"Rise": change > 0.005, "Fall": change < -0.005}


@pytest.mark.parametrize("seed", range(4))
def test_signals_of_the_close_are_doubted_until_they_are_shifted(seed: int) -> None:
    opened, close = walk(seed)
    frames = at_the_close(close)
    table = outcomes(opened, close)
    (doubt,) = read_signals(frames, outcomes=table).warnings
    assert doubt.startswith(("signals: Rise hits ", "signals: Fall hits "))
    assert "read them with shift=1" in doubt
    (left_out,) = read_signals(frames, outcomes=table, shift=1).warnings
    assert "shift: the signals of 2026-01-20 count after 2026-01-20" in left_out


def long_table(frames: dict[str, pd.DataFrame], prices: pd.DataFrame) -> pl.DataFrame:
    """The buys of some frames, with open and close of their day."""
    buys = []
    for algo, frame in frames.items():
        stacked = frame.rename_axis(index="day", columns="ticker").stack()
        buys.append(stacked[stacked].reset_index()[["day", "ticker"]].assign(algo=algo))
    table = pd.concat(buys).assign(variation="1").merge(prices, on=["day", "ticker"])
    return pl.from_pandas(table)


def test_buys_that_all_win_on_their_day_are_doubted() -> None:
    opened, close = walk(0)
    table = long_table({"Rise": close > opened * 1.002}, outcomes(opened, close))
    (doubt,) = read_signals(table).warnings
    assert doubt == (
        "signals: of the (day, ticker) bought, 100.0% win on the day itself; if they are computed "
        "at the close of that day, read them with shift=1 (--shift 1)"
    )


def test_signals_known_before_the_open_are_not_doubted() -> None:
    opened, close = walk(1)
    frames = {name: frame.shift(1, fill_value=False) for name, frame in at_the_close(close).items()}
    assert read_signals(frames, outcomes=outcomes(opened, close)).warnings == ()
    assert read_signals(long_table(frames, outcomes(opened, close))).warnings == ()


# --- shift ---------------------------------------------------------------------------------------


def test_shifted_signals_are_those_moved_by_hand() -> None:
    opened, close = walk(2)
    frames = at_the_close(close)
    table = outcomes(opened, close)
    moved = {name: frame.shift(1, fill_value=False).iloc[1:] for name, frame in frames.items()}
    shifted = read_signals(frames, outcomes=table, shift=1)
    assert shifted.fingerprint == read_signals(moved, outcomes=table).fingerprint
    twice = read_signals(frames, outcomes=table, shift=2)
    assert twice.days == shifted.days[1:]


def test_a_shifted_table_finds_its_outcomes_in_its_own_rows() -> None:
    # The buys of the 5th: ZION's outcome of the 6th is unknown, AAPL's is a loss.
    panel = read_signals(LONG, shift=1)
    assert panel.days == ("2026-01-06",)
    assert contents(panel) == {
        ("RSI", "14-30"): {},
        ("RSI", "7-20"): {("2026-01-06", "ZION"): False},
        ("EMA", "5"): {("2026-01-06", "AAPL"): False},
        ("EMA", "9"): {},
    }
    assert panel.base_win_rates.tolist() == [50.0]
    assert panel.warnings == (
        "signals: shift: the signals of 2026-01-06 count after 2026-01-06, the last session with "
        "outcomes: left out",
        "signals: buys without a row in the outcomes: 1, counted as no win",
    )


def test_sessions_are_those_of_the_outcomes() -> None:
    # Signals of a Sunday count on Monday; those of Monday on Tuesday, not on the next signal day.
    signals = LONG.with_columns(
        pl.col("day").replace({"2026-01-05": "2026-01-04", "2026-01-06": "2026-01-05"})
    ).drop("open", "close")
    panel = read_signals(signals, outcomes=OUTCOMES, shift=1)
    assert panel.fingerprint == read_signals(LONG, outcomes=OUTCOMES).fingerprint


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"shift": -1}, "shift: -1 is not a number of sessions; give 0, 1 or more"),
        (
            {"shift": 2},
            "signals: shift: the outcomes end on 2026-01-06, so there is no later session on "
            "which these signals count",
        ),
    ],
)
def test_shifts_that_are_refused(settings: dict[str, Any], problem: str) -> None:
    assert problems_of(LONG, **settings) == [problem]
