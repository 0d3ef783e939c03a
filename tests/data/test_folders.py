"""A table for each ticker: in folders, hive folders and databases; few bad ones are left out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from bar_frames import (
    DATES,
    LONG,
    TICKERS,
    changed,
    problems_of,
    to_csv,
    to_folder,
    to_sqlite,
    without,
)

from mp2.data import delimited
from mp2.data.prices import read_prices

HEADER = "date,open,high,low,close,volume\n"


def by_path(name: str) -> Callable[[Path], Path]:
    """Make a maker of a folder of Parquet files; columns are in the name or in the file."""

    def make(folder: Path) -> Path:
        for (ticker, day), bars in LONG.group_by("ticker", "date"):
            path = folder / name.format(ticker=ticker, day=day)
            path.parent.mkdir(parents=True, exist_ok=True)
            # In a file, a date may also stand where the path has it.
            bars.drop("ticker", *["date"] * ("date=" in name)).write_parquet(path)
        return folder

    return make


def a_table_each(folder: Path) -> Path:
    path = folder / "bars.db"
    with closing(sqlite3.connect(path)) as connection:
        for (ticker,), bars in LONG.group_by("ticker"):
            bars.drop("ticker").to_pandas().to_sql(str(ticker), connection, index=False)
        connection.execute("CREATE TABLE symbols (symbol, name)")
    return path


def a_sheet_each(folder: Path) -> Path:
    pytest.importorskip("fastexcel")
    xlsxwriter = pytest.importorskip("xlsxwriter")
    path = folder / "bars.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for (ticker,), bars in LONG.group_by("ticker"):
            bars.drop("ticker").write_excel(book, str(ticker))
    return path


def pattern(folder: Path) -> Path:
    by_path("{ticker}-{day}.pq")(folder)
    return folder / "*.pq"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "files of one day": by_path("{ticker}-1d-{day}.parquet"),
    "folders of folders": by_path("stocks/{day}/{ticker}.parquet"),
    "a folder each": by_path("{ticker}/{day}.parquet"),
    "hive": by_path("ticker={ticker}/{day}-0.parquet"),
    "hive by date": by_path("date={day}/ticker={ticker}/part-0.parquet"),
    "pattern": pattern,
    "database": a_table_each,
    "workbook": a_sheet_each,
}


@pytest.mark.parametrize("layout", MAKERS)
def test_every_layout_gives_the_same_bars(layout: str, tmp_path: Path) -> None:
    prices = read_prices(MAKERS[layout](tmp_path))
    assert (prices.dates, prices.tickers) == (DATES, TICKERS)
    assert prices.close[1].tolist() == [11.9, 12.9, 13.9]


def test_parts_of_file_names_are_reported(tmp_path: Path) -> None:
    folder = by_path("{ticker}_us_d {day}.parquet")(tmp_path)
    (line,) = read_prices(folder).warnings
    assert line.startswith(
        f"{folder}: tickers that are a part of the name of their file: 8, taken from the name: "
        "AAPL of AAPL_us_d 2024-"
    )


def test_files_that_are_called_like_no_ticker_are_reported(tmp_path: Path) -> None:
    for (ticker,), bars in LONG.group_by("ticker"):
        bars.drop("ticker").write_parquet(tmp_path / f"{ticker} and {ticker} of the bank.pq")
    prices = read_prices(tmp_path)
    assert prices.warnings[0].startswith(
        f"{tmp_path}: files that are not called like a ticker: 3, kept: AAPL and AAPL"
    )


def test_a_ticker_is_given_to_bars_without_one(tmp_path: Path) -> None:
    bars = LONG.filter(ticker="LOW")
    path = to_csv(bars.drop("ticker"), tmp_path)
    assert read_prices(path, ticker="LOW").tickers == ("LOW",)
    assert read_prices(bars.drop("ticker"), ticker="LOW").tickers == ("LOW",)
    assert problems_of(bars, ticker="HIGH") == [
        "prices: has a column of tickers, 'ticker'; leave ticker out"
    ]


BAD_FILES = {
    "EMPTY.csv": ("", "the file is empty"),
    "META.csv": (
        "symbol,name\nAAPL,Apple\n",
        "missing columns 'date', 'open', 'high', 'low', 'close'",
    ),
    "LIMIT.csv": (
        '{\n "Note": "Thanks"\n}\n',
        'is a JSON document, not a table: { "Note": "Thanks" }',
    ),
    "PAGE.csv": ("<!doctype html>", "is a web page, not a table"),
    "WORD.csv": (
        f"{HEADER}2024-01-02,1,1,1,1,1\n2024-01-03,1,1,1,one,1\n",
        "column 'close', row 2: 'one' is not a number",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_one_bad_file_is_left_out(name: str, tmp_path: Path) -> None:
    folder = to_folder(LONG, tmp_path)
    text, reason = BAD_FILES[name]
    (folder / name).write_text(text)
    prices = read_prices(folder)
    assert prices.tickers == TICKERS
    assert prices.warnings == (
        f"{folder}: files that cannot be read: 1, left out: {name} ({reason})",
    )
    assert problems_of(folder, strict=True)[0].startswith(f"{folder / name}: {reason}")


def test_most_files_are_not_left_out(tmp_path: Path) -> None:
    folder = to_folder(LONG, tmp_path)
    for number in range(4):
        (folder / f"BAD{number}.csv").touch()
    assert len(problems_of(folder)) == 4


def test_files_of_another_kind_are_left_out(tmp_path: Path) -> None:
    folder = to_folder(LONG, tmp_path)
    LONG.write_parquet(folder / "all.parquet")
    line = f"{folder}: files of another kind than most: 1, left out: all.parquet"
    assert read_prices(folder).warnings == (line,)
    assert problems_of(folder, strict=True) == [line]


@pytest.mark.parametrize(
    ("kind", "make"),
    {
        "bad_bar": lambda: changed((1, "LOW"), low=-1.0),
        "doubled_day": lambda: pl.concat([LONG, LONG.tail(1).with_columns(close=pl.col("open"))]),
        "doubled_volume": lambda: pl.concat([LONG, LONG.tail(1).with_columns(volume=7.0)]),
        "duplicate": lambda: pl.concat([LONG, LONG.tail(1)]),
        "unsorted": LONG.reverse,
        "hole": lambda: without((1, "LOW")),
        "outside_range": lambda: changed((1, "LOW"), open=1000.0),
    }.items(),
)
def test_everything_tolerated_is_an_error_when_strict(
    kind: str, make: Callable[[], pl.DataFrame]
) -> None:
    odd = make()
    findings = read_prices(odd).findings
    assert kind in [finding.kind for finding in findings]
    assert problems_of(odd, strict=True) == [finding.line for finding in findings]


def test_how_a_source_is_read_is_no_error_when_strict(tmp_path: Path) -> None:
    assert read_prices(LONG, strict=True).tickers == TICKERS
    guessed = LONG.rename({"date": "t"}).with_columns(adj_close=pl.col("close"))
    named = by_path("{ticker}_us_d {day}.parquet")(tmp_path)
    for source in (guessed, named):
        prices = read_prices(source, strict=True)
        assert prices.warnings
        assert prices.tickers == TICKERS


def test_tables_that_are_no_tickers_are_named(tmp_path: Path) -> None:
    path = to_sqlite(LONG, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE symbols (symbol, name)")
    assert problems_of(path) == [f"{path}: several tables; choose one with table: prices, symbols"]
    assert read_prices(path, table="prices").tickers == TICKERS


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        # Binance (with more columns behind), MetaTrader 4, LEAN, a table with tickers.
        (
            "1704153600000,1,1,1,1,5,1704239999999,0.0,1,0.0,0.0,0",
            "1=date,2=open,3=high,4=low,5=close,6=volume",
        ),
        ("2024.01.02,00:00,1.10,1.11,1.09,1.1,5", "1=date,3=open,4=high,5=low,6=close,7=volume"),
        (
            "20240102 00:00,1850000,1860000,1840000,1850000,5",
            "1=date,2=open,3=high,4=low,5=close,6=volume",
        ),
        ("AAPL,20240102,1,1,1,1", "1=ticker,2=date,3=open,4=high,5=low,6=close"),
        ("1,2", "1=ROLE,2=ROLE,..."),
    ],
)
def test_text_without_a_header_is_recognised(line: str, columns: str, tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text(f"{line}\n{line}\n")
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: the first line holds values, not column names (")
    assert problem.endswith(f"; name the columns by number: columns {columns}")


def test_columns_are_named_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_CSV_BLOCK_BYTES", 7)
    path = tmp_path / "prices.csv"
    LONG.write_csv(path, include_header=False)
    columns = {str(number): role for number, role in enumerate(LONG.columns, 1)}
    prices = read_prices(path, columns=columns)
    assert prices.fingerprint == read_prices(LONG).fingerprint
    assert prices.origin is not None
    assert prices.origin.options["columns"] == columns
    assert problems_of(path, columns={"1": "time"})[0].startswith("columns: 'time' is unknown")


def test_a_folder_without_headers_is_one_problem(tmp_path: Path) -> None:
    for name in "ABC":
        (tmp_path / f"{name}.csv").write_text("20240102,1,1,1,1\n")
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"{tmp_path / 'A.csv'}: the first line holds values")
    assert problem.endswith("(and so for 2 other files)")


def test_a_pattern_without_files(tmp_path: Path) -> None:
    path = tmp_path / "*.csv"
    assert problems_of(path) == [f"{path}: no file matches this pattern"]
