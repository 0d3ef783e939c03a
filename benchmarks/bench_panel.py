"""Measure reading and packing for each kind of signal table.

    python -m pytest benchmarks/bench_panel.py --benchmark-columns=median,iqr,rounds

Each round makes a fresh panel of one seeded table of 200,000 rows. The real week (1.3 million rows)
is read too if the market data is beside the checkout.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mp2.data import bitset
from mp2.data.signal_reader import read_signals

REAL = Path(__file__).parents[2] / "shared" / "data" / "sp500-week-signals.parquet"
N_ROWS, N_VARIATIONS, N_TICKERS, N_DAYS = 200_000, 600, 400, 5


@pytest.fixture(scope="module")
def signals() -> pl.DataFrame:
    """Distinct buys in variation order, prices in two columns of 32-bit floats."""
    rng = np.random.default_rng(2026)
    cell = np.sort(rng.choice(N_VARIATIONS * N_DAYS * N_TICKERS, N_ROWS, replace=False))
    variation, day, ticker = np.unravel_index(cell, (N_VARIATIONS, N_DAYS, N_TICKERS))
    numbers = pl.DataFrame({"variation": variation, "day": day, "ticker": ticker})
    return numbers.select(
        algo=pl.format("algo-{}", pl.col("variation") // 75),
        variation=pl.format("{}-{}", pl.col("variation") % 75, pl.lit(14)),
        day=pl.date(2026, 1, 5) + pl.duration(days=pl.col("day")),
        ticker=pl.format("T{}", pl.col("ticker")),
        open=pl.lit(10.0, pl.Float32),
        close=pl.Series(rng.normal(10, 1, N_ROWS), dtype=pl.Float32),
    )


def to_parquet(table: pl.DataFrame, folder: Path) -> Path:
    table.write_parquet(folder / "signals.parquet")
    return folder / "signals.parquet"


def to_csv(table: pl.DataFrame, folder: Path) -> Path:
    table.write_csv(folder / "signals.csv")
    return folder / "signals.csv"


def to_csv_gz(table: pl.DataFrame, folder: Path) -> Path:
    path = folder / "signals.csv.gz"
    path.write_bytes(gzip.compress(table.write_csv().encode(), compresslevel=1))
    return path


def to_sqlite(table: pl.DataFrame, folder: Path) -> Path:
    path = folder / "signals.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE signals (algo, variation, day, ticker, open, close)")
    rows = table.with_columns(pl.col("day").cast(pl.String)).iter_rows()
    connection.executemany("INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


SOURCES: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": to_parquet,
    "csv": to_csv,
    "csv.gz": to_csv_gz,
    "sqlite": to_sqlite,
    "polars": lambda table, _: table,
    "pandas": lambda table, _: table.to_pandas(),
    "pyarrow": lambda table, _: table.to_arrow(),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_reading(kind: str, signals: pl.DataFrame, tmp_path: Path, benchmark: Any) -> None:
    source = SOURCES[kind](signals, tmp_path)
    panel = benchmark.pedantic(read_signals, args=(source,), rounds=5, warmup_rounds=1)
    assert panel.n_buys.sum() == N_ROWS


def test_packing_alone(benchmark: Any) -> None:
    rng = np.random.default_rng(2026)
    n_words = bitset.n_words(N_TICKERS)
    rows, bits = (
        rng.integers(N_VARIATIONS * N_DAYS, size=N_ROWS),
        rng.integers(N_TICKERS, size=N_ROWS),
    )
    words = np.zeros(N_VARIATIONS * N_DAYS * n_words, np.uint64)
    benchmark.pedantic(
        bitset.set_bits, args=(words, rows * n_words, bits), rounds=20, warmup_rounds=1
    )
    assert words.any()


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="the market data is not beside the checkout")
def test_reading_the_real_week(benchmark: Any) -> None:
    panel = benchmark.pedantic(read_signals, args=(REAL,), rounds=5, warmup_rounds=1)
    assert panel.n_variations == 1142
