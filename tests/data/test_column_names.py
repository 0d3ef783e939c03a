"""Columns are found by their usual names in every table; a guess is said, a doubt is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import signal_frames
from bar_frames import LONG, problems_of, to_folder

from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals

DATED = LONG.with_columns(pl.col("date").str.to_date())
ONE = LONG.filter(pl.col("ticker") == "LOW").drop("ticker")


def same(source: Any, **kwargs: Any) -> tuple[str, ...]:
    """Read what must be the table of all tests; return what was said about it."""
    prices = read_prices(source, **kwargs)
    assert prices.fingerprint == read_prices(LONG).fingerprint
    return prices.warnings


@pytest.mark.parametrize(
    "names",
    [
        ["Date", "Symbol", "Open", "High", "Low", "Close", "Volume"],
        [" DATE ", "Ticker ", " Open", "HIGH", "low", "Close", "volume"],
        ["<DATE>", "<TICKER>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOLUME>"],
        ["timestamp", "symbol", "1. open", "2. high", "3. low", "4. close", "5. volume"],
        ["Trade Date", "$symbol", "$open", "$high", "$low", "$close", "$volume"],
    ],
)
def test_sure_names_need_no_word(names: list[str]) -> None:
    assert same(LONG.rename(dict(zip(LONG.columns, names, strict=True)))) == ()


@pytest.mark.parametrize(
    "names",
    [
        ["t", "S", "o", "h", "l", "c", "v"],
        ["trade_date", "ts_code", "open", "high", "low", "close", "vol"],
        ["time", "tic", "open", "high", "low", "Close/Last", "Volume"],
        ["Date", "Name", "Open", "High", "Low", "Price", "Vol."],
        ["open_time", "code", "Open Price", "High Price", "Low Price", "Close Price", "volume"],
    ],
)
def test_likely_names_are_taken_and_said(names: list[str]) -> None:
    (line,) = same(LONG.rename(dict(zip(LONG.columns, names, strict=True))))
    assert line.startswith("prices: columns read as ")
    assert line.endswith("; give other ones with columns (ROLE=NAME)")
    assert all(f"={name}" in line for name in names if len(name) == 1)


@pytest.mark.parametrize("extra", ["Change %", "Last Price", "prev_close", "name", "Time", "pair"])
def test_a_better_name_goes_before_a_likely_one(extra: str) -> None:
    assert same(LONG.with_columns(pl.lit("x").alias(extra))) == ()


@pytest.mark.parametrize(("role", "names"), [("close", ["Last", "Price"]), ("date", ["time", "t"])])
def test_two_likely_names_are_an_error(role: str, names: list[str]) -> None:
    table = LONG.rename({role: names[0]}).with_columns(pl.col(names[0]).alias(names[1]))
    (line,) = problems_of(table)
    assert line == (
        f"prices: columns {names[0]!r} and {names[1]!r} could both be {role}; "
        f"choose with columns ({role}=NAME)"
    )
    assert same(table, columns={role: names[1]}) == ()


def test_an_adjusted_close_alone_is_no_close() -> None:
    (line,) = problems_of(LONG.rename({"close": "Adj Close"}))
    assert "missing column 'close'" in line


def test_a_given_name_counts_in_any_letter_case() -> None:
    table = LONG.rename({"ticker": " Wertpapier"})
    assert same(table, columns={"ticker": "wertpapier"}) == ()


@pytest.mark.parametrize("name", [None, "index", "level_0", "when"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_index_of_a_pandas_file_is_its_date(
    name: str | None, kind: str, tmp_path: Path
) -> None:
    frame = DATED.to_pandas().set_index("date").rename_axis(name)
    path = tmp_path / f"index.{kind}"
    getattr(frame, f"to_{kind}")(path)
    (line,) = same(path)
    shown = name or {"parquet": "__index_level_0__", "csv": "Unnamed: 0"}[kind]
    assert f"columns read as date={shown};" in line


def test_pandas_metadata_decide_between_two_columns_of_dates(tmp_path: Path) -> None:
    frame = DATED.with_columns(updated=pl.col("date")).to_pandas()
    frame.set_index("date").rename_axis("when").to_parquet(tmp_path / "index.parquet")
    assert "date=when;" in same(tmp_path / "index.parquet")[0]
    (line,) = problems_of(frame.rename(columns={"date": "when"}))
    assert "columns 'when' and 'updated' could both be date" in line


def test_row_numbers_are_no_dates(tmp_path: Path) -> None:
    LONG.drop("date").to_pandas().to_csv(tmp_path / "numbered.csv")
    (line,) = problems_of(tmp_path / "numbered.csv")
    assert "missing column 'date'; it has Unnamed: 0, ticker" in line
    LONG.to_pandas().to_csv(tmp_path / "numbered.csv")
    assert same(tmp_path / "numbered.csv") == ()


def test_a_guess_about_the_files_of_a_folder_is_said_once(tmp_path: Path) -> None:
    folder = to_folder(LONG.rename({"date": "time"}), tmp_path)
    (line,) = same(folder)
    assert line == (
        f"{folder / 'AAPL.csv'}: columns read as date=Time; "
        "give other ones with columns (ROLE=NAME) (and 2 more like it)"
    )


@pytest.mark.parametrize(
    "names",
    [
        ["Algo", " Variation", "Day", "Ticker", "Open", "Close"],
        ["strategy", "variant", "date", "symbol", "OPEN", "CLOSE"],
        ["Indicator", "params", "Timestamp", "tic", "o", "c"],
    ],
)
def test_signals_have_usual_names_too(names: list[str]) -> None:
    long = signal_frames.LONG
    table = long.rename(dict(zip(long.columns, names, strict=True)))
    assert read_signals(table).fingerprint == read_signals(long).fingerprint


def test_a_price_file_serves_as_outcomes(tmp_path: Path) -> None:
    outcomes = signal_frames.OUTCOMES
    bars = outcomes.rename({"day": "date"}).with_columns(high=12.0, low=1.0, volume=9)
    bars.write_csv(tmp_path / "prices.csv")
    expected = read_signals(signal_frames.LONG, outcomes=outcomes)
    panel = read_signals(signal_frames.LONG, outcomes=tmp_path / "prices.csv")
    assert panel.fingerprint == expected.fingerprint
    assert panel.warnings == expected.warnings


def test_beside_prices_only_a_sure_column_of_wins_counts() -> None:
    long = signal_frames.LONG
    expected = read_signals(long).fingerprint
    assert read_signals(long.with_columns(hit=pl.lit("maybe"))).fingerprint == expected
    wins = long.drop("open", "close").with_columns(hit=pl.lit(1))
    assert read_signals(wins).warnings == (
        "signals: columns read as win=hit; give other ones with columns (ROLE=NAME)",
    )


WIDE = LONG.to_pandas().pivot(index="date", columns="ticker")


@pytest.mark.parametrize("joint", ["_", ".", " ", "-", "/"])
@pytest.mark.parametrize("is_field_first", [True, False])
def test_joined_names_are_field_and_ticker(
    joint: str, is_field_first: bool, tmp_path: Path
) -> None:
    flat = WIDE.copy()
    extra = {("Dividends", ticker): 1.0 for ticker in ("AAPL", "LOW", "OPEN")}
    flat = pd.concat([flat, pd.DataFrame(extra, index=flat.index)], axis=1)
    flat.columns = [joint.join(pair if is_field_first else pair[::-1]) for pair in flat.columns]
    flat.to_csv(tmp_path / "flat.csv")
    (line,) = same(tmp_path / "flat.csv")
    assert "columns read as field and ticker" in line


@pytest.mark.parametrize("names", [["Price", "Ticker"], ["a", "b"], [None, None]])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("swap", [True, False])
def test_two_header_lines_after_reset_index(
    names: list[str | None], index: bool, swap: bool, tmp_path: Path
) -> None:
    wide = WIDE.swaplevel(axis=1) if swap else WIDE
    wide.columns.names = names
    path = tmp_path / "wide.csv"
    wide.reset_index().to_csv(path, index=index)
    assert same(path) == ()


def test_the_index_of_a_wide_parquet_file_is_its_date(tmp_path: Path) -> None:
    wide = WIDE.rename_axis(None)
    wide.index = pd.to_datetime(wide.index)
    wide.to_parquet(tmp_path / "wide.parquet")
    assert same(tmp_path / "wide.parquet") == ()


def test_a_row_of_equal_prices_is_no_second_header(tmp_path: Path) -> None:
    path = tmp_path / "LOW.csv"
    row = pl.when(pl.col("date") == "2024-01-02").then(7)
    names = ("open", "high", "low", "close", "volume")
    ONE.with_columns(row.otherwise(pl.col(name)).alias(name) for name in names).write_csv(path)
    assert read_prices(tmp_path).dates == ("2024-01-02", "2024-01-03", "2024-01-04")


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet"])
@pytest.mark.parametrize("dates", ["text", "dates", "periods", "numbers"])
def test_an_index_of_dates_and_tickers_needs_no_names(
    kind: str, dates: str, tmp_path: Path
) -> None:
    frame = DATED.to_pandas()
    if dates == "text":
        frame["date"] = frame["date"].astype(str)
    elif dates == "periods":
        frame["date"] = pd.PeriodIndex(frame["date"], freq="D")
    elif dates == "numbers":
        frame["date"] = frame["date"].astype(str).str.replace("-", "")
    frame = frame.set_index(["date", "ticker"]).rename_axis([None, None])
    source: Any = frame
    if kind != "frame":
        source = tmp_path / f"index.{kind}"
        getattr(frame, f"to_{kind}")(source)
    (line,) = same(source)
    assert ": columns read as date=" in line
    assert ", ticker=" in line


def test_periods_of_a_parquet_file_are_days(tmp_path: Path) -> None:
    frame = DATED.to_pandas()
    frame["date"] = pd.PeriodIndex(frame["date"], freq="D")
    frame.to_parquet(tmp_path / "periods.parquet")
    assert same(tmp_path / "periods.parquet") == ()
    frame["date"] = frame["date"].dt.asfreq("M")
    frame.to_parquet(tmp_path / "periods.parquet")
    assert "is not a date" in problems_of(tmp_path / "periods.parquet")[0]


def test_names_that_are_tuples_are_field_and_ticker() -> None:
    wide = WIDE.copy()
    wide.columns = wide.columns.to_flat_index()
    assert same(wide) == ()


def test_a_wide_file_of_closes_alone_says_what_is_missing(tmp_path: Path) -> None:
    WIDE[["close"]].to_csv(tmp_path / "closes.csv")
    (line,) = problems_of(tmp_path / "closes.csv")
    assert "wide columns need the fields open, high, low, close for each ticker" in line
