"""Every layout of daily bars gives the same table; folders and wide tables are checked whole."""

from __future__ import annotations

import gzip
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from bar_frames import (
    DATES,
    FIELDS,
    LAYOUTS,
    LONG,
    ROWS,
    TICKERS,
    changed,
    contents,
    problems_of,
    saved,
    to_csv,
    to_folder,
    to_parquet,
    to_sqlite,
    yfinance_frame,
)

from mp2.data import databases, delimited, frames, parquet
from mp2.data.prices import read_prices


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_table(layout: str, tmp_path: Path) -> None:
    prices = read_prices(LAYOUTS[layout](LONG, tmp_path))
    assert prices.dates == DATES
    assert prices.tickers == TICKERS
    assert contents(prices) == {row[:2]: row[2:] for row in ROWS}
    assert prices.warnings == ()
    assert prices.fingerprint == read_prices(LONG).fingerprint


def test_volume_may_be_absent_or_unknown() -> None:
    bare = read_prices(LONG.drop("volume"))
    assert np.isnan(bare.volume).all()
    assert bare.tickers == TICKERS
    assert np.isnan(read_prices(changed((1, "LOW"), volume=nan)).volume[1, 1])
    assert np.isnan(read_prices(changed((1, "LOW"), volume=None)).volume[1, 1])


def test_float32_prices_are_taken_as_they_are(tmp_path: Path) -> None:
    table = LONG.with_columns(pl.col(*FIELDS).cast(pl.Float32), pl.col("date").str.to_date())
    prices = read_prices(to_parquet(table, tmp_path))
    assert prices.open[0, 0] == np.float32(185.63999938964844)


def test_names_can_be_given_and_win_over_the_usual_ones() -> None:
    table = LONG.rename({"close": "last"}).with_columns(pl.lit(1.0).alias("close"))
    assert contents(read_prices(table, columns={"close": "last"})) == contents(read_prices(LONG))


def test_an_exact_name_wins_over_its_other_spellings() -> None:
    table = LONG.with_columns(pl.lit(1.0).alias("Close"), pl.lit("x").alias("Symbol"))
    assert contents(read_prices(table)) == contents(read_prices(LONG))


def test_sqlite_tables_and_queries_are_chosen(tmp_path: Path) -> None:
    path = to_sqlite(LONG, tmp_path)
    assert read_prices(path, query="SELECT * FROM prices WHERE ticker <> 'LOW'").tickers == (
        "AAPL",
        "OPEN",
    )
    assert problems_of(path, table="absent") == [f"{path}: no table 'absent'; it holds prices"]


def test_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        to_csv(LONG, tmp_path),
        to_parquet(LONG, tmp_path),
        to_sqlite(LONG, tmp_path),
        saved(yfinance_frame)(LONG, tmp_path),
    ]
    whole = [read_prices(path).fingerprint for path in paths]
    for kind in (frames, parquet):
        monkeypatch.setattr(kind, "BATCH_ROWS", 1)
    monkeypatch.setattr(databases, "_SQLITE_ROWS", 1)
    monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", 7)
    assert [read_prices(path).fingerprint for path in paths] == whole


@pytest.mark.parametrize("layout", ["yfinance", "yfinance csv", "yfinance parquet"])
def test_failed_downloads_are_columns_without_values(layout: str, tmp_path: Path) -> None:
    bars = ("open", "high", "low", "close", "volume")
    table = LONG.with_columns(pl.when(pl.col("ticker") != "LOW").then(pl.col(*bars)))
    prices = read_prices(LAYOUTS[layout](table, tmp_path))
    assert prices.tickers == ("AAPL", "OPEN")
    assert [line.partition(": ")[2] for line in prices.warnings] == [
        "tickers without any bar: 1, left out: LOW"
    ]


def test_a_first_date_without_values_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "yahoo.csv"
    path.write_text(
        "Price,Open,High,Low,Close\nTicker,A,A,A,A\n2024-01-03,,,,\n2024-01-04,1,1,1,x\n"
    )
    assert problems_of(path) == [f"{path}[A]: column 'close', row 2: 'x' is not a number"]


def test_a_file_with_a_header_alone_is_a_ticker_without_bars(tmp_path: Path) -> None:
    folder = to_folder(LONG, tmp_path)
    (folder / "ZERO.csv").write_text("Date,Open,High,Low,Close,Volume\n")
    assert read_prices(folder).warnings == (
        f"{folder}: tickers without any bar: 1, left out: ZERO",
    )


def test_one_ticker_needs_its_name() -> None:
    one = yfinance_frame(LONG).xs("AAPL", axis=1, level="Ticker")
    (problem,) = problems_of(one)
    assert problem == (
        "prices: missing column 'ticker'; "
        "it has Date, Open, High, Low, Close, Volume; give another name with "
        "columns (ticker=NAME); "
        "bars of one ticker: give it with ticker (--ticker AAPL)"
    )
    assert read_prices(one.assign(ticker="AAPL")).tickers == ("AAPL",)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "absent.parquet") == [f"{tmp_path}/absent.parquet: no such file"]
    assert problems_of(tmp_path / "absent") == [f"{tmp_path}/absent: no such file"]
    assert problems_of(tmp_path) == [
        f"{tmp_path}: no file in it is a table, such as a .csv or .parquet file"
    ]
    (tmp_path / "empty.csv").touch()
    empty = f"{tmp_path}/empty.csv: the file is empty; expected a header line with the column names"
    assert problems_of(tmp_path / "empty.csv") == [empty]
    assert problems_of(tmp_path) == [empty]
    assert problems_of(42)[0].startswith("prices: cannot read this builtins.int: ")


def test_every_file_of_a_folder_is_checked(tmp_path: Path) -> None:
    folder = to_folder(LONG, tmp_path)
    (folder / "BAD.csv").write_text("Date,Open,High,Low\n2024-01-02,1,1,1\n")
    (folder / "WORSE.csv").write_text("Date,Open,High,Low,Close\n2024-01-02,1,1,1,one\n")
    (folder / "RAGGED.csv").write_text("Date,Open,High,Low,Close\n2024-01-02,1,1,1,1,1,1\n")
    (folder / "TORN.csv.gz").write_bytes(b"\x1f\x8bno archive")
    (folder / "LOW.csv.gz").write_bytes(gzip.compress((folder / "LOW.csv").read_bytes()))
    assert problems_of(folder, query="SELECT 1")[1] == (
        f"{folder / 'AAPL.csv'}: table is for databases and workbooks, query for databases; "
        "leave them out"
    )
    assert problems_of(folder) == [
        f"{folder}/LOW.csv.gz: LOW.csv is a file of ticker 'LOW' too; keep one of them",
        f"{folder}/BAD.csv: missing column 'close'; it has Date, Open, High, Low; "
        "give another name with columns (close=NAME)",
        f"{folder}/RAGGED.csv: row 1 has 7 fields for 5 columns; quote a field that holds a comma",
        f"{folder}/TORN.csv.gz: cannot be read: Unknown compression method; "
        "name a whole file of that kind",
        f"{folder}/WORSE.csv: column 'Close', row 1: 'one' is not a number",
    ]


def test_wide_tables_are_checked_ticker_by_ticker(tmp_path: Path) -> None:
    path = tmp_path / "yahoo.csv"
    path.write_text(
        "Price,Open,High,Low,Close,Close\nTicker,A,A,A,A,B\nDate,,,,,\n"
        "2024-01-02,1,1,1,x,1\n2024-01-03,1,1,1,1,1\n"
    )
    problems = problems_of(path)
    assert problems[0] == f"{path}[A]: column 'close', row 1: 'x' is not a number"
    assert problems[1:] == [
        f"{path}[B]: missing columns 'open', 'high', 'low'; it has date, close; "
        "give other names with columns (open=NAME,high=NAME,low=NAME)"
    ]
    path.write_text("Price,Close,Close\nTicker,A,B\nDate,,\n2024-01-02,1,1\n")
    assert problems_of(path) == [
        f"{path}: wide columns need the fields open, high, low, close for each ticker, as "
        "yfinance makes them"
    ]
    wide = yfinance_frame(LONG)
    pd.concat([wide, wide[[("Open", "AAPL")]]], axis=1).to_csv(path)
    assert problems_of(path) == [
        f"{path}: 2 columns are called \"('Open', 'AAPL')\"; rename all but one"
    ]
    assert problems_of(wide[:0]) == ["prices: the table has no rows"]
