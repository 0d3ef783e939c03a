"""Adjusted prices beside those as traded are found under many names and used; a note says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bar_frames import LONG, contents, problems_of, yfinance_frame
from market_bars import walk

from mp2.data.prices import read_prices, to_frame
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of
from mp2.signals.sheet import compute_signals

PRICES = ("open", "high", "low", "close")
REMEDY = "--adjusted no takes prices as traded"
# As traded, before a split of 4 to 1 on the last date.
SPLIT = pl.when(pl.col("date") < LONG["date"].max()).then(4).otherwise(1)
RAW = LONG.with_columns(pl.col(*PRICES) * SPLIT)
CLOSE = LONG["close"]


def beside(names: dict[str, str]) -> pl.DataFrame:
    """The prices as traded, and some of the adjusted ones under other names."""
    columns = [LONG[field].alias(name) for field, name in names.items()]
    return RAW.with_columns(columns)


@pytest.mark.parametrize(
    "spelling",
    [
        "adj_{}",
        "ADJ_{}",
        "adj{}",
        "Adj {}",
        "Adj. {}",
        "Adj_{}",
        "adjusted_{}",
        "{}_adj",
        "{}_adjusted",
        "{}adj",
        "adj_{}_price",
        "2. adjusted {}",
    ],
)
def test_four_adjusted_prices_are_read_as_they_are(spelling: str) -> None:
    names = {field: spelling.format(field) for field in PRICES}
    prices = read_prices(beside(names))
    assert contents(prices) == contents(read_prices(LONG))
    used = ", ".join(names.values())
    assert prices.warnings == (f"prices: adjusted prices are used: {used}; {REMEDY}",)
    (note,) = prices.findings
    assert (note.kind, note.done) == ("adjusted", "used")


def test_names_in_camel_case_and_the_volume_along() -> None:
    names = {field: f"adj{field.title()}" for field in PRICES}
    table = beside(names).with_columns(adjVolume=pl.lit(7))
    prices = read_prices(table)
    assert np.array_equal(prices.close, read_prices(LONG).close, equal_nan=True)
    assert set(prices.volume[0]) == {7.0}


@pytest.mark.parametrize(
    "name",
    [
        "Adj Close",
        "adjclose",
        "AdjClose",
        "adj_close",
        "adjusted_close",
        "5. adjusted close",
        "Adj Close**",
        "closeadj",
        "Adjusted",
        "Adj. Closing Price",
    ],
)
def test_an_adjusted_close_alone_scales_all_four_prices(name: str) -> None:
    prices = read_prices(beside({"close": name}))
    assert contents(prices) == contents(read_prices(LONG))
    assert prices.warnings == (f"prices: adjusted prices are used: {name} / close; {REMEDY}",)


def test_scaled_prices_keep_their_order() -> None:
    # 0.1 of a price is rounded: each price for itself, equal ones would differ.
    flat = LONG.with_columns(pl.col("open", "high", "low").map_batches(lambda _: CLOSE))
    prices = read_prices(flat.with_columns((CLOSE * 0.1).alias("Adj Close")))
    for field in PRICES:
        assert np.array_equal(getattr(prices, field), prices.close, equal_nan=True)


def test_adjusted_prices_give_the_signals_of_an_adjusted_file() -> None:
    adjusted = to_frame(walk(4, 90))
    factor = pl.when(pl.col("date") < adjusted["date"].max()).then(3).otherwise(1)
    traded = adjusted.with_columns(pl.col(*PRICES) * factor)
    four = traded.with_columns(adjusted[field].alias(f"adj_{field}") for field in PRICES)
    alone = traded.with_columns(adjusted["close"].alias("Adj Close"))
    grids = grids_of(list(ALGORITHMS)[:2])
    expected = compute_signals(read_prices(adjusted), n_days=3, grids=grids)
    for table in (four, alone):
        sheet = compute_signals(read_prices(table), n_days=3, grids=grids)
        assert np.array_equal(sheet.buys, expected.buys)


def test_no_takes_prices_as_traded_and_yes_needs_adjusted_ones() -> None:
    table = beside({"close": "Adj Close"})
    assert contents(read_prices(table, adjusted="no")) == contents(read_prices(RAW))
    assert contents(read_prices(table, adjusted="yes")) == contents(read_prices(LONG))
    assert problems_of(LONG, adjusted="yes") == [
        "prices: no adjusted prices: it has date, ticker, open, high, low, close, volume; "
        "expected adj_open, adj_high, adj_low and adj_close, or Adj Close; "
        "leave out --adjusted yes"
    ]
    assert problems_of(LONG, adjusted="maybe") == [
        "adjusted: 'maybe' is unknown; choose from auto, yes, no"
    ]


@pytest.mark.parametrize(
    "column",
    [
        pl.lit(True).alias("adjusted"),
        pl.lit(1).alias("Adjusted"),
        pl.lit("true").alias("adjusted"),
        pl.lit(9.0).alias("unadjusted_close"),
        pl.lit(9.0).alias("closeunadj"),
        pl.lit(9.0).alias("adj_factor"),
        # Without the close there is no ratio.
        pl.lit(9.0).alias("adj_open"),
    ],
)
def test_other_columns_are_no_adjusted_prices(column: pl.Expr) -> None:
    prices = read_prices(LONG.with_columns(column))
    assert contents(prices) == contents(read_prices(LONG))
    assert prices.warnings == ()


def test_adjusted_prices_alone_are_prices() -> None:
    table = beside({field: f"adj_{field}" for field in PRICES}).drop(PRICES)
    assert contents(read_prices(table)) == contents(read_prices(LONG))


def test_columns_that_are_given_have_that_role() -> None:
    table = beside({field: f"adj_{field}" for field in PRICES})
    given = {field: f"adj_{field}" for field in PRICES}
    prices = read_prices(table, columns=given)
    assert contents(prices) == contents(read_prices(LONG))
    assert prices.warnings == ()
    # Another close is scaled: three of four adjusted prices would not fit it.
    renamed = table.rename({"close": "last"})
    prices = read_prices(renamed, columns={"close": "last"})
    assert contents(prices) == contents(read_prices(LONG))


def test_two_adjusted_closes_are_refused() -> None:
    table = beside({"close": "Adj Close"}).with_columns(closeadj=1.0)
    assert problems_of(table) == [
        "prices: columns 'Adj Close' and 'closeadj' could both be the adjusted close; "
        "leave one out, or take prices as traded with --adjusted no"
    ]
    assert contents(read_prices(table, adjusted="no")) == contents(read_prices(RAW))


@pytest.mark.parametrize("roles", [("close",), PRICES])
def test_rows_without_an_adjusted_price_are_counted(roles: tuple[str, ...]) -> None:
    is_last = pl.col("date") == LONG["date"].max()
    adjusted = beside({field: f"adj_{field}" for field in roles})
    names = [f"adj_{field}" for field in roles]
    table = adjusted.with_columns(pl.when(~is_last).then(pl.col(*names)))
    prices = read_prices(table)
    assert prices.dates[-1] < LONG["date"].max()
    line = f"prices: 3 rows with a price as traded and none adjusted, left out; {REMEDY}"
    assert line in prices.warnings
    problems = problems_of(table.with_columns(pl.lit(None).alias(name) for name in names))
    assert problems[0] == "prices: none of 8 rows has a price"
    assert problems[-1] == line.replace("3 rows", "8 rows")


def test_a_wide_table_and_a_folder_say_it_once(tmp_path: Path) -> None:
    wide = yfinance_frame(LONG, adjusted=True)
    prices = read_prices(wide)
    assert prices.close[0, 0] == pytest.approx(184.25 * 0.9)
    assert prices.warnings == (f"prices: adjusted prices are used: adj close / close; {REMEDY}",)
    for ticker in ("AAPL", "LOW"):
        bars = beside({"close": "Adj Close"}).filter(ticker=ticker).drop("ticker")
        if ticker == "LOW":
            bars = bars.drop("Adj Close")
        bars.write_csv(tmp_path / f"{ticker}.csv")
    note = read_prices(tmp_path).warnings[0]
    assert note == (
        f"{tmp_path}: adjusted prices are used: Adj Close / close, in 1 of 2 tables; "
        f"as traded: {tmp_path}/LOW.csv; {REMEDY}"
    )
