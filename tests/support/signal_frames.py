"""Small tables of signals and outcomes, as every kind of source that is read."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError

COLUMNS = ("algo", "variation", "day", "ticker", "open", "close")


ROWS = [
    ("RSI", "14-30", "2026-01-06", "MSFT", 10.0, 11.0),
    ("RSI", "14-30", "2026-01-06", "AAPL", 10.0, 9.0),
    ("EMA", "5", "2026-01-05", "AAPL", 7.0, 7.0),
    ("RSI", "7-20", "2026-01-05", "ZION", 3.0, 3.5),
    ("EMA", "9", "2026-01-06", "MSFT", 10.0, 11.0),
]


LONG = pl.DataFrame(ROWS, schema=list(COLUMNS), orient="row")


def frame(*rows: tuple[Any, ...], columns: tuple[str, ...] = COLUMNS) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(columns), orient="row")


def win_frame(*rows: tuple[Any, ...], **types: Any) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows),
        schema=["algo", "variation", "day", "ticker", "win"],
        schema_overrides=types,
        orient="row",
    )


def contents(panel: SignalPanel) -> dict[tuple[str, str], dict[tuple[str, str], bool]]:
    """(algo, variation) -> (day, ticker) -> won, in variation order."""
    buys = bitset.unpack(panel.buys, len(panel.tickers))
    wins = bitset.unpack(np.broadcast_to(panel.wins, panel.buys.shape), len(panel.tickers))
    keys = [(panel.algos[a], name) for a, name in zip(panel.algo_of, panel.variations, strict=True)]
    return {
        key: {
            (panel.days[d], panel.tickers[t]): bool(wins[v, d, t])
            for d, t in np.argwhere(buys[v]).tolist()
        }
        for v, key in enumerate(keys)
    }


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_signals(*args, **kwargs)
    return list(caught.value.problems)


def to_parquet(table: pl.DataFrame, folder: Path) -> Path:
    table.write_parquet(folder / "signals.parquet", row_group_size=2)
    return folder / "signals.parquet"


def to_csv(table: pl.DataFrame, folder: Path) -> Path:
    table.write_csv(folder / "signals.csv")
    return folder / "signals.csv"


def to_csv_gz(table: pl.DataFrame, folder: Path) -> Path:
    path = folder / "signals.csv.gz"
    path.write_bytes(gzip.compress(table.write_csv().encode()))
    return path


def to_sqlite(table: pl.DataFrame, folder: Path, name: str = "signals") -> Path:
    path = folder / "signals.db"
    connection = sqlite3.connect(path)
    quoted = '"' + name.replace('"', '""') + '"'
    connection.execute(f"CREATE TABLE {quoted} ({', '.join(table.columns)})")
    connection.executemany(
        f"INSERT INTO {quoted} VALUES ({', '.join('?' * table.width)})", table.rows()
    )
    connection.commit()
    connection.close()
    return path


def to_categories(table: pl.DataFrame, _: Path) -> pl.DataFrame:
    return table.with_columns(pl.col("algo", "ticker").cast(pl.Categorical))


SOURCES: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": to_parquet,
    "parquet as text": lambda table, folder: str(to_parquet(table, folder)),
    "csv": to_csv,
    "csv.gz": to_csv_gz,
    "sqlite": to_sqlite,
    "polars": lambda table, _: table,
    "polars lazy": lambda table, _: table.lazy(),
    "polars scan": lambda table, folder: pl.scan_parquet(to_parquet(table, folder)),
    "polars categories": to_categories,
    "pandas": lambda table, _: table.to_pandas(),
    "pandas categories": lambda table, _: table.to_pandas().astype(
        {"algo": "category", "ticker": "category"}
    ),
    "pandas with index": lambda table, _: table.to_pandas().set_index(["day", "algo"]),
    "pandas of objects": lambda table, _: table.to_pandas().astype(object),
    "pyarrow": lambda table, _: table.to_arrow(),
}


OUTCOMES = pl.DataFrame(
    [("2026-01-05", "AAPL", 7.0, 7.0), ("2026-01-05", "ZION", 3.0, 3.5),
     ("2026-01-06", "AAPL", 10.0, 9.0),
     ("2026-01-06", "MSFT", 10.0, 11.0)],
    schema=["day", "ticker", "open", "close"], orient="row",
)  # fmt: skip


def wide(
    values: Any = None, names: tuple[str, ...] = ("algo", "window", "limit", "symbol")
) -> pd.DataFrame:
    """The buys of `LONG`, EMA's limit left null, plus a variation and a day without a buy."""
    columns = pd.MultiIndex.from_tuples(
        [("RSI", 14, 30, "MSFT"), ("RSI", 14, 30, "AAPL"), ("RSI", 7, 20, "ZION"),
         ("EMA", 5, None, "AAPL"),
         ("EMA", 9, None, "MSFT"), ("EMA", 99, None, "MSFT")],
        names=names,
    )  # fmt: skip
    columns = columns.set_levels(
        columns.levels[2].astype(object).map(lambda limit: str(int(limit))), level=2
    )
    cells = [[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [0] * 6] if values is None else values
    return pd.DataFrame(
        np.array(cells, bool),
        index=pd.DatetimeIndex(["2026-01-05", "2026-01-06", "2026-01-07"]),
        columns=columns,
    )
