"""Small tables of daily bars, in every layout that is read."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from mp2.data.prices import PriceTable, read_prices, to_frame
from mp2.errors import InputError

FIELDS = ("open", "high", "low", "close", "volume")


COLUMNS = ("date", "ticker", *FIELDS)


DATES = ("2024-01-02", "2024-01-03", "2024-01-04")


ROWS = [
    # LOW and OPEN are tickers too, and the latter is listed on the second date.
    *[
        (day, "LOW", 10.1 + d, 12.7 + d, 9.3 + d, 11.9 + d, 1000.0 + d)
        for d, day in enumerate(DATES)
    ],
    *[
        (day, "AAPL", 185.63999938964844 + d, 186.5 + d, 184.25 + d, 184.25 + d, 5e7)
        for d, day in enumerate(DATES)
    ],
    *[(day, "OPEN", 3.3, 3.3, 3.1, 3.2, 0.0) for day in DATES[1:]],
]


TICKERS = ("AAPL", "LOW", "OPEN")


def long_frame(rows: Any = ROWS, columns: tuple[str, ...] = COLUMNS) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(columns), orient="row")


LONG = long_frame()


def changed(at: tuple[int, str], **values: Any) -> pl.DataFrame:
    """The table with other values on the date with this index for this ticker."""
    here = (pl.col("date") == DATES[at[0]]) & (pl.col("ticker") == at[1])
    return LONG.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def without(at: tuple[int, str]) -> pl.DataFrame:
    return LONG.filter((pl.col("date") != DATES[at[0]]) | (pl.col("ticker") != at[1]))


def contents(prices: PriceTable) -> dict[tuple[str, str], tuple[float, ...]]:
    return {(row[0].isoformat(), row[1]): row[2:] for row in to_frame(prices).rows()}


def problems_of(source: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_prices(source, **kwargs)
    return list(caught.value.problems)


def yfinance_frame(table: pl.DataFrame, *, adjusted: bool = False) -> pd.DataFrame:
    """As yfinance makes it: columns (Price, Ticker), sorted; NaN where a ticker has no bar."""
    long = table.to_pandas().rename(columns=str.title)
    if adjusted:
        long.insert(2, "Adj Close", long["Close"] * 0.9)
    wide = long.assign(Date=pd.to_datetime(long["Date"])).pivot(index="Date", columns="Ticker")
    wide.columns.names = ["Price", "Ticker"]
    return wide


def saved(make: Callable[[pl.DataFrame], pd.DataFrame]) -> Callable[[pl.DataFrame, Path], Path]:
    def save(table: pl.DataFrame, folder: Path) -> Path:
        make(table).to_csv(folder / "yahoo.csv")
        return folder / "yahoo.csv"

    return save


def unnamed_levels(table: pl.DataFrame) -> pd.DataFrame:
    wide = yfinance_frame(table)
    wide.columns.names = [None, None]
    return wide


def to_parquet(table: pl.DataFrame, folder: Path) -> Path:
    table.write_parquet(folder / "prices.parquet", row_group_size=3)
    return folder / "prices.parquet"


def to_wide_parquet(table: pl.DataFrame, folder: Path) -> Path:
    yfinance_frame(table).to_parquet(folder / "yahoo.parquet")
    return folder / "yahoo.parquet"


def to_csv(table: pl.DataFrame, folder: Path) -> Path:
    table.write_csv(folder / "prices.csv")
    return folder / "prices.csv"


def to_csv_gz(table: pl.DataFrame, folder: Path) -> Path:
    (folder / "prices.csv.gz").write_bytes(gzip.compress(table.write_csv().encode()))
    return folder / "prices.csv.gz"


def to_sqlite(table: pl.DataFrame, folder: Path) -> Path:
    connection = sqlite3.connect(folder / "prices.db")
    connection.execute(f"CREATE TABLE prices ({', '.join(table.columns)})")
    connection.executemany(
        f"INSERT INTO prices VALUES ({', '.join('?' * table.width)})", table.rows()
    )
    connection.commit()
    connection.close()
    return folder / "prices.db"


def to_folder(table: pl.DataFrame, folder: Path, *, titles: bool = True) -> Path:
    folder = folder / "daily"
    folder.mkdir()
    for (ticker,), rows in table.group_by("ticker"):
        bars = rows.drop("ticker")
        bars.rename(str.title if titles else str.upper).write_csv(folder / f"{ticker}.csv")
    (folder / ".hidden.csv").write_text("not a table")
    (folder / "README.txt").write_text("not a table either")
    return folder


def to_folder_of_yfinance(table: pl.DataFrame, folder: Path) -> Path:
    folder = folder / "daily"
    folder.mkdir()
    for (ticker,), rows in table.group_by("ticker"):
        yfinance_frame(rows).to_csv(folder / f"{str(ticker).lower()}-download.csv")
    return folder


def to_folder_with_gz(table: pl.DataFrame, folder: Path) -> Path:
    folder = to_folder(table, folder)
    plain = folder / "LOW.csv"
    (folder / "LOW.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return folder


LAYOUTS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": to_parquet,
    "csv": to_csv,
    "csv.gz": to_csv_gz,
    "csv, text path": lambda table, folder: str(to_csv(table, folder)),
    "sqlite": to_sqlite,
    "polars": lambda table, _: table,
    "polars lazy": lambda table, _: table.lazy(),
    "polars dates": lambda table, _: table.with_columns(pl.col("date").str.to_date()),
    "pandas": lambda table, _: table.to_pandas(),
    "pandas with index": lambda table, _: table.to_pandas().set_index(["date", "ticker"]),
    "pandas of dates without a name": lambda table, _: (
        table.to_pandas()
        .set_index(pd.DatetimeIndex(table["date"]))
        .rename_axis(None)
        .drop(columns="date")
    ),
    "pyarrow": lambda table, _: table.to_arrow(),
    "letter case": lambda table, _: table.rename(str.upper),
    "symbol and day": lambda table, _: table.rename({"ticker": "Symbol", "date": "Day"}),
    "folder": to_folder,
    "folder, upper case": lambda table, folder: to_folder(table, folder, titles=False),
    "folder, one compressed": to_folder_with_gz,
    "folder of yfinance files": to_folder_of_yfinance,
    "yfinance": lambda table, _: yfinance_frame(table),
    "yfinance by ticker": lambda table, _: (
        yfinance_frame(table).swaplevel(axis=1).sort_index(axis=1)
    ),
    "yfinance with time zone": lambda table, _: yfinance_frame(table).tz_localize(
        "America/New_York"
    ),
    "yfinance east of Greenwich": lambda table, _: yfinance_frame(table).tz_localize("Asia/Tokyo"),
    "yfinance, levels without names": lambda table, _: unnamed_levels(table),
    "yfinance, index without name": lambda table, _: yfinance_frame(table).rename_axis(None),
    "yfinance, index as column": lambda table, _: yfinance_frame(table).reset_index(),
    "yfinance stacked": lambda table, _: yfinance_frame(table).stack(future_stack=True),
    "yfinance csv": saved(yfinance_frame),
    "yfinance csv by ticker": saved(
        lambda table: yfinance_frame(table).swaplevel(axis=1).sort_index(axis=1)
    ),
    "yfinance csv with time zone": saved(
        lambda table: yfinance_frame(table).tz_localize("America/New_York")
    ),
    "yfinance csv, levels without names": saved(unnamed_levels),
    "yfinance csv, index without name": saved(
        lambda table: yfinance_frame(table).rename_axis(None)
    ),
    "yfinance parquet": to_wide_parquet,
}
