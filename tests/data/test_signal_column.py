"""Columns that say which rows are buys: found, read, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from signal_frames import LONG, OUTCOMES, contents, problems_of

from mp2.data.signal_reader import read_signals

# The fourth row of `LONG`, RSI 7-20, is no buy; its algorithm, day and ticker stay.
FOUR_OF_FIVE = [1, 1, 1, 0, 1]
BOUGHT = contents(read_signals(LONG.filter(pl.Series(FOUR_OF_FIVE) == 1)))


def marked(values: list[Any], name: str = "signal") -> pl.DataFrame:
    return LONG.with_columns(pl.Series(name, values, strict=False))


@pytest.mark.parametrize(
    "values",
    [
        FOUR_OF_FIVE,
        [1, 1, 1, -1, 1],
        [1.0, 1.0, 1.0, float("nan"), 1.0],
        [True, True, True, None, True],
        ["BUY", "buy ", "Strong_Buy", "HOLD", "BUY"],
        ["BUY", "BUY", "BUY", "", "BUY"],
        ["1", "+1", "1.0", "-1.00", "1"],
        ["long", "Long", "LONG", "flat", "long"],
    ],
)
def test_a_column_says_which_rows_are_buys(values: list[Any]) -> None:
    panel = read_signals(marked(values))
    held = contents(panel)
    assert held == {**BOUGHT, ("RSI", "7-20"): {}}
    assert panel.tickers == ("AAPL", "MSFT", "ZION")
    # A row that is no buy still says how its ticker did.
    assert panel.base_win_rates.tolist() == [50.0, 50.0]
    (warning,) = panel.warnings
    assert warning.startswith("signals: 4 of 5 rows are buys, by column 'signal' (")


@pytest.mark.parametrize(
    "name", ["Action", "side", "is_buy", "TradeSignal", "enter_long", " entry"]
)
def test_names_of_such_columns(name: str) -> None:
    assert contents(read_signals(marked(FOUR_OF_FIVE, name)))["RSI", "7-20"] == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        # As every row is a buy anyway; names of other things; values of other things.
        ("signal", [1] * 5),
        ("side", ["BUY"] * 5),
        ("entry_price", FOUR_OF_FIVE),
        ("exit_signal", FOUR_OF_FIVE),
        ("sector", FOUR_OF_FIVE),
        ("type", ["ETF", "ETF", "common", "common", "ETF"]),
    ],
)
def test_columns_that_change_nothing(name: str, values: list[Any]) -> None:
    panel = read_signals(marked(values, name))
    assert panel.fingerprint == read_signals(LONG).fingerprint
    assert panel.warnings == ()


def test_columns_decides_and_an_empty_name_counts_every_row(
    as_source: Callable[[pl.DataFrame], Any],
) -> None:
    table = marked(FOUR_OF_FIVE, "x").with_columns(signal=pl.Series([0, 1, 1, 1, 1]))
    source = as_source(table)
    chosen = read_signals(source, columns={"signal": "x"})
    assert contents(chosen)["RSI", "7-20"] == {}
    every = read_signals(source, columns={"signal": ""})
    assert every.fingerprint == read_signals(LONG).fingerprint


def test_columns_that_agree_are_one() -> None:
    both = marked(FOUR_OF_FIVE).with_columns(action=pl.Series(["BUY"] * 3 + ["SELL", "BUY"]))
    assert contents(read_signals(both))["RSI", "7-20"] == {}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            marked(FOUR_OF_FIVE).with_columns(action=pl.Series(["BUY", "SELL"] * 2 + ["BUY"])),
            "signals: columns 'signal' (0: 1, 1: 4) and 'action' (BUY: 3, SELL: 2) both say which "
            "rows are buys; name one with columns (signal=signal), or count every row as a buy "
            "with columns (signal=)",
        ),
        (
            marked([100, 0, 50, 25, 10], "position"),
            "signals: column 'position' (0: 1, 10: 1, 100: 1, 25: 1, 50: 1) may say which rows are "
            "buys: write 0 and 1, true and false or BUY, SELL and HOLD in it; or count every row "
            "as a buy with columns (signal=)",
        ),
        (
            marked([0] * 5),
            "signals: no row is a buy by column 'signal' (0: 5); or count every row as a buy with "
            "columns (signal=)",
        ),
    ],
)
def test_what_has_two_readings_is_refused(table: pl.DataFrame, problem: str) -> None:
    assert problems_of(table) == [problem]


def test_a_missing_column_is_reported() -> None:
    (problem,) = problems_of(LONG, columns={"signal": "x"})
    assert problem.startswith("signals: missing column 'x'; it has algo, variation")


def test_duplicates_and_unknown_outcomes_are_counted_among_buys() -> None:
    table = pl.concat([marked(FOUR_OF_FIVE), marked(FOUR_OF_FIVE)])
    panel = read_signals(table, outcomes=OUTCOMES.filter(pl.col("ticker") == "MSFT"))
    assert panel.warnings[2:] == (
        "signals: buys without a row in the outcomes: 4, counted as no win",
        "signals: duplicate rows of one (variation, day, ticker): 4, collapsed",
    )
