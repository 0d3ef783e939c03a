"""Names, days, prices and wins of every type; faults are reported with their place."""

from __future__ import annotations

import datetime
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from signal_frames import (
    COLUMNS,
    LONG,
    SOURCES,
    contents,
    frame,
    problems_of,
    win_frame,
)

from mp2.data.signal_reader import read_signals

TYPICAL = ("polars", "csv", "sqlite", "pandas", "parquet")
"""Sources that hold types in different ways."""


def test_other_column_names() -> None:
    renamed = LONG.rename({"algo": "Strategy", "day": "Date", "close": "Close"})
    panel = read_signals(renamed, columns={"algo": "Strategy", "day": "Date", "close": "Close"})
    assert panel.fingerprint == read_signals(LONG).fingerprint


def test_one_column_may_serve_two_roles() -> None:
    panel = read_signals(LONG.drop("variation"), columns={"variation": "algo"})
    assert panel.variations == ("RSI", "EMA")


def test_numbers_serve_as_names() -> None:
    panel = read_signals(frame((1, 14, 20260106, 600519, 1.0, 2.0), (1, 7, 20260105, 1, 1.0, 2.0)))
    assert panel.algos == ("1",)
    assert panel.variations == ("14", "7")
    assert panel.tickers == ("1", "600519")
    assert panel.days == ("2026-01-05", "2026-01-06")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([5_000_000, -2_000_000], pl.Date), ([2**62, -(2**62)], pl.Datetime("ms"))],
    ids=["date", "datetime"],
)
def test_days_beyond_the_calendar_are_no_days(values: list[int], dtype: Any) -> None:
    days = pl.Series("day", [*values, None], dtype=pl.Int32 if dtype == pl.Date else pl.Int64).cast(
        dtype
    )
    rows = pl.DataFrame([days]).with_columns(
        algo=pl.lit("A"), variation=pl.lit("1"), ticker=pl.lit("T"), win=pl.lit(1)
    )
    assert problems_of(rows) == [
        f"signals: column 'day', row 1: {values[0]} is not a day; "
        "write YYYY-MM-DD or YYYYMMDD, or give --date-format (2 such rows)",
        "signals: column 'day', row 3: null is no day; every row needs one",
    ]


def test_columns_without_text_names_are_listed() -> None:
    assert "it has 0, 1; give" in problems_of(pd.DataFrame([[1, 2]]))[0]


@pytest.mark.parametrize(
    ("open_", "close", "won"),
    [(1.0, 2.0, True), (2.0, 2.0, False), (2.0, 1.0, False), (None, 2.0, False),
     (1.0, None, False), (1.0, nan, False),
     (1.0, inf, False), (-inf, 1.0, False), (nan, nan, False)],
)  # fmt: skip
@pytest.mark.parametrize("source", TYPICAL)
def test_a_win_needs_two_finite_prices_and_a_rise(
    open_: float | None, close: float | None, won: bool, source: str, tmp_path: Path
) -> None:
    rows = frame(
        ("A", "1", "2026-01-05", "T", open_, close), ("A", "1", "2026-01-05", "U", 1.0, 2.0)
    )
    panel = read_signals(SOURCES[source](rows, tmp_path))
    finite = None not in (open_, close) and np.isfinite([open_, close]).all()
    assert contents(panel)["A", "1"]["2026-01-05", "T"] is won
    assert panel.base_win_rates.tolist() == [100.0 * (won + 1) / (1 + finite)]
    assert len(panel.warnings) == (not finite)
    assert all(
        "rows with a missing or non-finite open or close: 1, counted as no win" in line
        for line in panel.warnings
    )


def test_prices_are_compared_in_their_own_width() -> None:
    narrow = frame(("A", "1", "2026-01-05", "T", 0.1, 0.1)).with_columns(
        pl.col("open", "close").cast(pl.Float32)
    )
    assert not read_signals(narrow).wins.any()
    above = narrow.with_columns(
        close=pl.Series(np.nextafter(np.float32(0.1), np.float32(1), dtype=np.float32)[None])
    )
    assert read_signals(above).wins.any()


@pytest.mark.parametrize(
    "dtype", [pl.Int32, pl.Int64, pl.UInt8, pl.Decimal(10, 2), pl.Float32, pl.String]
)
def test_prices_of_every_numeric_type(dtype: Any) -> None:
    rows = frame(("A", "1", "2026-01-05", "T", 9, 10), ("A", "1", "2026-01-05", "U", 10, 9))
    panel = read_signals(rows.with_columns(pl.col("open", "close").cast(dtype)))
    assert contents(panel)["A", "1"] == {("2026-01-05", "T"): True, ("2026-01-05", "U"): False}


@pytest.mark.parametrize(
    "values",
    [[True, False, None], [1, 0, None], [1.0, 0.0, nan], [1.0, 0.0, None], ["1", "0", ""],
     [" TRUE", "false", "NA"],
     ["1.0", "0.0", "nan"], ["Yes", "no", "-"], ["W", "L", ""], ["1", "-1", None],
     [1, -1, None], ["won", "lost", "N/A"]],
)  # fmt: skip
@pytest.mark.parametrize(
    "source",
    [name if name in TYPICAL else pytest.param(name, marks=pytest.mark.slow) for name in SOURCES],
)
def test_the_win_column_is_used_as_it_is_and_nulls_are_counted(
    values: list[Any], source: str, tmp_path: Path
) -> None:
    rows = win_frame(
        *(
            ("A", "1", "2026-01-05", ticker, value)
            for ticker, value in zip("TUV", values, strict=True)
        )
    )
    panel = read_signals(SOURCES[source](rows, tmp_path))
    assert list(contents(panel)["A", "1"].values()) == [True, False, False]
    assert panel.base_win_rates.tolist() == [100 / 3]
    assert len(panel.warnings) == 1
    assert "rows without a win value: 1, counted as no win" in panel.warnings[0]


def test_the_win_column_goes_before_prices_and_prices_choose_the_pairs_of_the_base_rate() -> None:
    rows = frame(
        ("A", "1", "2026-01-05", "T", 1.0, 2.0, 0),
        ("A", "1", "2026-01-05", "U", 2.0, 1.0, 1),
        ("A", "1", "2026-01-05", "V", None, 1.0, 1),
        columns=(*COLUMNS, "win"),
    )
    panel = read_signals(rows)
    assert list(contents(panel)["A", "1"].values()) == [False, True, True]
    assert panel.base_win_rates.tolist() == [50.0]
    assert "left out of the base win rates" in panel.warnings[0]


def test_a_lone_price_beside_a_win_column_is_no_price() -> None:
    rows = win_frame(("A", "1", "2026-01-05", "T", 1)).with_columns(open=pl.lit(None, pl.Float64))
    panel = read_signals(rows)
    assert panel.base_win_rates.tolist() == [100.0]
    assert panel.warnings == ()


def test_duplicates_collapse_into_a_win_if_any_wins() -> None:
    buy = ("A", "1", "2026-01-05", "T")
    panel = read_signals(
        win_frame((*buy, 0), (*buy, 1), (*buy, 0), ("B", "1", "2026-01-05", "T", 1))
    )
    assert contents(panel)["A", "1"] == {("2026-01-05", "T"): True}
    assert panel.consistent
    assert panel.base_win_rates.tolist() == [100.0]
    assert panel.warnings == (
        "signals: duplicate rows of one (variation, day, ticker): 2, collapsed",
    )


def test_inconsistent_wins_are_kept_by_variation() -> None:
    panel = read_signals(
        win_frame(("A", "1", "2026-01-05", "T", 1), ("B", "1", "2026-01-05", "T", 0))
    )
    assert not panel.consistent
    assert panel.wins.shape == panel.buys.shape
    assert contents(panel) == {
        ("A", "1"): {("2026-01-05", "T"): True},
        ("B", "1"): {("2026-01-05", "T"): False},
    }
    assert panel.base_win_rates.tolist() == [100.0]
    assert "some rows and lose in others" in panel.warnings[0]


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    "days",
    [
        pl.Series(["2026-01-05"]),
        pl.Series(["20260105"]),
        pl.Series([" 2026-01-05T23:30:00"]),
        pl.Series(["2026-01-05 23:30:00.123456"]),
        pl.Series(["2026-01-05T23:30:00Z"]),
        pl.Series([20260105]),
        pl.Series([20260105.0]),
        pl.Series([datetime.date(2026, 1, 5)]),
        pl.Series([datetime.datetime(2026, 1, 5, 23, 30)]),
        pl.Series([datetime.datetime(2026, 1, 4, 23, 30)])
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(BERLIN),
        pl.Series(["2026-01-05"], dtype=pl.Categorical),
    ],
)
def test_days_in_every_form(days: pl.Series) -> None:
    rows = win_frame(("A", "1", None, "T", 1)).with_columns(days.alias("day"))
    assert read_signals(rows).days == ("2026-01-05",)
    assert read_signals(rows.to_pandas()).days == ("2026-01-05",)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("05.01.26", "'05.01.26'"), ("2026-13-01", "'2026-13-01'"), ("2026-01", "'2026-01'"),
     (-1767571200, "-1767571200"), (45293, "45293"),
     (20260105.5, "20260105.5"), ("2026-01-05 noon", "'2026-01-05 noon'"), (True, "True"),
     ("2026-W02-1", "'2026-W02-1'"), ("202601051530", "'202601051530'"),
     ([1], "[1]"), (b"x", "b'x'"), (datetime.time(9), "datetime.time(9, 0)")],
)  # fmt: skip
def test_unparsable_days(value: Any, shown: str) -> None:
    rows = pl.DataFrame(
        {"algo": ["A"], "variation": ["1"], "day": [value], "ticker": ["T"], "win": [1]}
    )
    assert problems_of(rows) == [
        f"signals: column 'day', row 1: {shown} is not a day; "
        "write YYYY-MM-DD or YYYYMMDD, or give --date-format"
    ]


def test_days_adds_days_without_a_buy() -> None:
    panel = read_signals(LONG, days=["2026-01-07", 20260102, datetime.date(2026, 1, 5)])
    assert panel.days == ("2026-01-02", "2026-01-05", "2026-01-06", "2026-01-07")
    assert panel.base_win_rates.tolist() == [0.0, 50.0, 50.0, 0.0]
    assert panel.buys.shape == (4, 4, 1)


def test_long_values_are_cut_in_messages() -> None:
    (line,) = problems_of(LONG.with_columns(day=pl.lit("x" * 10_000)))
    assert len(line) < 250


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (
            LONG.drop("ticker", "close"),
            [
                "signals: missing columns 'ticker', 'close' (or 'win'); it has algo, variation, "
                "day, open; give other names with columns (ticker=NAME,close=NAME)",
            ],
        ),
        (LONG[:0], ["signals: the table has no rows"]),
        (
            LONG.drop("ticker").with_columns(day=pl.lit("x"), algo=pl.lit(None, pl.String)),
            [
                "signals: missing column 'ticker'; it has algo, variation, day, open, close; "
                "give another name with columns (ticker=NAME)",
                "signals: column 'algo', row 1: null is no algo; every row needs one (5 such rows)",
                "signals: column 'day', row 1: 'x' is not a day; "
                "write YYYY-MM-DD or YYYYMMDD, or give --date-format (5 such rows)",
            ],
        ),
        (
            LONG.with_columns(open=pl.Series(["1", "2", "cheap", "", " 3 "])),
            ["signals: column 'open', row 3: 'cheap' is not a number"],
        ),
        (
            LONG.with_columns(open=True),
            ["signals: column 'open', row 1: True is not a number (5 such rows)"],
        ),
        (
            LONG.with_columns(win=pl.Series([0, 1, 2, None, 3])),
            [
                "signals: column 'win', row 3: 2 is not a win; "
                "write 0 or 1, 1 or -1, yes or no, W or L (2 such rows)"
            ],
        ),
        (
            LONG.with_columns(win=pl.Series(["0", "1", "maybe", None, "n/a"])),
            [
                "signals: column 'win', row 3: 'maybe' is not a win; "
                "write 0 or 1, 1 or -1, yes or no, W or L"
            ],
        ),
        (
            LONG.with_columns(ticker=pl.Series([b"a"] * 5)),
            ["signals: column 'ticker', row 1: b'a' is not text (5 such rows)"],
        ),
        (
            pl.concat([LONG.with_columns(algo=pl.lit(f"A{number}")) for number in range(65)]),
            ["65 algorithms; at most 64 can be searched together: leave some out"],
        ),
    ],
)
def test_problems(table: pl.DataFrame, problems: list[str]) -> None:
    assert problems_of(table) == problems


def test_a_mapped_column_must_exist_even_where_another_would_do() -> None:
    rows = LONG.with_columns(win=pl.lit(1))
    assert problems_of(rows, columns={"win": "won"})[0].startswith(
        "signals: missing column 'won'; it has algo"
    )
