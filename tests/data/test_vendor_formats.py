"""Files as common tools write them: `docs/how-to/own-prices.md` says which are read as they are."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vendor_formats import BARS, FORMATS, Format

from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals


def checked(prices: Any, ticker: str) -> None:
    """Assert that a table holds `BARS` under this ticker."""
    assert prices.tickers == (ticker,)
    assert prices.dates == tuple(BARS.index.strftime("%Y-%m-%d"))
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(getattr(prices, name)[0], BARS[name.title()])


def written(file: Format, folder: Path) -> Path:
    """Write a file, packed as its name says, and return its path."""
    path = folder / file.file
    content = file.content()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}.csv", content)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_read_as_the_page_says(tmp_path, name) -> None:
    file = FORMATS[name]
    path = written(file, tmp_path)
    ticker = None if file.has_ticker else file.ticker
    checked(read_prices(path, columns=file.columns, ticker=ticker), file.ticker)


NAMED = [name for name, file in FORMATS.items() if not file.has_ticker and name != "Nasdaq.com"]


@pytest.mark.parametrize("name", NAMED)
def test_a_file_in_a_folder_is_called_by_its_ticker(tmp_path, name) -> None:
    file = FORMATS[name]
    written(file, tmp_path)
    checked(read_prices(tmp_path, columns=file.columns), file.ticker)


def wide(order: tuple[str, str] = ("Price", "Ticker")) -> pd.DataFrame:
    """Return the frame that yfinance makes of one ticker."""
    frame = pd.concat({"AAPL": BARS}, axis=1, names=["Ticker", "Price"])
    return frame.reorder_levels(order, axis=1)


def alpaca() -> pd.DataFrame:
    """Return the frame of alpaca-py: its index has symbol and timestamp."""
    bars = BARS.rename(columns=str.lower)
    midnight = bars.index.tz_localize("America/New_York").tz_convert("UTC")
    bars.index = pd.MultiIndex.from_product([["AAPL"], midnight], names=["symbol", "timestamp"])
    return bars


def long_bars() -> pd.DataFrame:
    """Return a long table."""
    return BARS.reset_index().assign(Ticker="AAPL")


FRAMES = {
    "yfinance download": wide,
    "yfinance download, group_by ticker": lambda: wide(("Ticker", "Price")),
    "yfinance download, reset_index": lambda: wide().reset_index(),
    "Alpaca bars.df": alpaca,
    "Alpaca bars.df, reset_index": lambda: alpaca().reset_index(),
    "pandas, long": long_bars,
    "pandas, index of dates": lambda: long_bars().set_index("Date"),
    "pandas, index without a name": lambda: long_bars().set_index("Date").rename_axis(None),
}
WRITERS = {
    "Parquet": ("prices.parquet", pd.DataFrame.to_parquet),
    "CSV": ("prices.csv", pd.DataFrame.to_csv),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_read_in_memory_and_from_disk(tmp_path, name) -> None:
    frame = FRAMES[name]()
    checked(read_prices(frame), "AAPL")
    for file, write in WRITERS.values():
        write(frame, tmp_path / file)
        checked(read_prices(tmp_path / file), "AAPL")


def test_a_feather_file_of_freqtrade(tmp_path) -> None:
    bars = BARS.rename(columns=str.lower).rename_axis("date")
    bars.index = bars.index.tz_localize("UTC")
    path = tmp_path / "BTC_USDT-1d.feather"
    bars.reset_index().to_feather(path)
    checked(read_prices(path, ticker="BTC_USDT"), "BTC_USDT")
    checked(read_prices(tmp_path), "BTC_USDT")


def test_an_excel_sheet(tmp_path) -> None:
    pytest.importorskip("fastexcel")
    pytest.importorskip("xlsxwriter")
    path = tmp_path / "prices.xlsx"
    long_bars().to_excel(path, index=False)
    checked(read_prices(path), "AAPL")


def test_a_csv_of_excel_in_german(tmp_path) -> None:
    path = tmp_path / "prices.csv"
    long_bars().to_csv(path, index=False, sep=";", decimal=",", date_format="%d.%m.%Y")
    checked(read_prices(path), "AAPL")


def test_a_table_of_duckdb(tmp_path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "prices.duckdb"
    with duckdb.connect(path) as database:
        database.register("bars", long_bars())
        database.execute("CREATE TABLE prices AS SELECT * FROM bars")
    checked(read_prices(path), "AAPL")


FOLDERS = {
    "Stooq": "{}_us_d.csv",
    "Stooq bulk": "data/daily/us/nasdaq stocks/1/{}.us.txt",
    "Alpha Vantage": "daily_{}.csv",
    "TradingView": "NASDAQ_{}, 1D.csv",
    "Investing.com": "{} Historical Data.csv",
    "plain": "{}.csv",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_files(tmp_path, name) -> None:
    for ticker in ("aapl", "msft"):
        path = tmp_path / FOLDERS[name].format(ticker)
        path.parent.mkdir(parents=True, exist_ok=True)
        BARS.to_csv(path)
    prices = read_prices(tmp_path)
    assert [ticker.upper() for ticker in prices.tickers] == ["AAPL", "MSFT"]


def test_a_folder_of_binance_months(tmp_path) -> None:
    file = FORMATS["Binance futures klines"]
    header, *rows = file.content().decode().splitlines()
    for month, part in (("2024-01", rows[:2]), ("2024-02", rows[2:])):
        with zipfile.ZipFile(tmp_path / f"BTCUSDT-1d-{month}.zip", "w") as archive:
            archive.writestr(f"BTCUSDT-1d-{month}.csv", "\n".join([header, *part]) + "\n")
    checked(read_prices(tmp_path), "BTCUSDT")


def test_a_folder_of_polygon_days(tmp_path) -> None:
    header, *rows = FORMATS["Polygon flat file"].content().decode().splitlines()
    for day, row in zip(BARS.index, rows, strict=True):
        path = tmp_path / f"{day:%Y-%m-%d}.csv.gz"
        path.write_bytes(gzip.compress(f"{header}\n{row}\n".encode()))
    checked(read_prices(tmp_path), "AAPL")


def test_hive_partitions(tmp_path) -> None:
    long_bars().to_parquet(tmp_path / "hive", partition_cols=["Ticker"], index=False)
    checked(read_prices(tmp_path / "hive"), "AAPL")


@pytest.mark.parametrize("levels", [["ma_window", "symbol"], ["rsi_window", "rsi_below", "symbol"]])
def test_signals_of_vectorbt(levels) -> None:
    """A frame of entries: levels of parameters, then the symbol."""
    columns = pd.MultiIndex.from_product([[5, 10]] * (len(levels) - 1) + [["AAPL"]], names=levels)
    entries = pd.DataFrame(True, BARS.index, columns)
    panel = read_signals({"MA": entries, "RSI": entries}, outcomes=long_bars())
    assert panel.tickers == ("AAPL",)
    assert len(panel.variations) == 2 * 2 ** (len(levels) - 1)
