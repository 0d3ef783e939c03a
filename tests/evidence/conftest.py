"""The worked example of an independent program: signals, and bars that begin long before them."""

from pathlib import Path

import polars as pl
import pytest

import mp2

EXAMPLE = Path(__file__).parents[1] / "oracle" / "golden" / "significance"


@pytest.fixture(scope="module")
def panel():
    return mp2.read_signals(EXAMPLE / "signals.csv")


@pytest.fixture(scope="module")
def prices():
    bars = pl.read_csv(EXAMPLE / "prices.csv")
    high = pl.max_horizontal("open", "close").alias("high")
    low = pl.min_horizontal("open", "close").alias("low")
    return mp2.read_prices(bars.with_columns(high, low))
