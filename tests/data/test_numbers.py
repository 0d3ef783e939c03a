"""Numbers are read as people write them; what has two readings is not guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import signal_frames
from bar_frames import LONG, problems_of

from mp2.data.numbers import numbers_of
from mp2.data.prices import read_prices
from mp2.data.signal_reader import read_signals

PRICES = ("open", "high", "low", "close")
# Of thousands, with cents.
DEAR = LONG.with_columns((pl.col(*PRICES) * 100).round(2), pl.col("volume") * 3000)
EXPECTED = read_prices(DEAR).fingerprint


def german(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def written(
    price: Callable[[float], str] = str, volume: Callable[[float], str] | None = None
) -> pl.DataFrame:
    return DEAR.with_columns(
        pl.col(*PRICES).map_elements(price, pl.String),
        pl.col("volume").map_elements(volume or price, pl.String),
    )


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1,234.50", ".", 1234.5),
        ("12,34,567", ".", 1234567.0),
        ("$101.20", ".", 101.2),
        ("101.20 €", ".", 101.2),
        ("USD 1,000", ".", 1000.0),
        ("5.81M", ".", 5810000.0),
        ("1.05 B", ".", 1.05e9),
        ("12k", ".", 12000.0),
        ("1 234.5", ".", 1234.5),
        ("1\u202f234,5", ",", 1234.5),
        ("1'234.5", ".", 1234.5),
        ("1.234,50", ",", 1234.5),
        ("1.234", ",", 1234.0),
        ("0,123", ",", 0.123),
        ("1,5e-05", ",", 1.5e-5),
        ("1,23M", ",", 1230000.0),
        (" 7 ", ",", 7.0),
        ("0,123", ".", None),
        ("12,34", ".", None),
        ("1,2345", ".", None),
        ("157.12", ",", None),
        ("1.5x", ".", None),
        ("12 34", ".", None),
        ("$", ".", None),
    ],
)
def test_a_number_as_it_is_written(text: str, mark: str, value: float | None) -> None:
    assert numbers_of(pl.Series([text]), mark).to_list() == [value]


@pytest.mark.parametrize(
    "table",
    [
        written("{:,.2f}".format),
        written("${:.2f}".format),
        written(str, "{:,.0f}".format),
        written(str, lambda volume: f"{volume / 1e6:.6f}M"),
        written("{:,.2f} €".format, "{:.0f}".format),
    ],
)
def test_a_table_of_such_numbers(table: pl.DataFrame) -> None:
    prices = read_prices(table)
    assert prices.fingerprint == EXPECTED
    assert prices.warnings == ()


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("volume", [german, str, lambda volume: f"{volume:,.0f}".replace(",", ".")])
def test_decimal_commas_are_said(
    separator: str, volume: Callable[[float], str], tmp_path: Path
) -> None:
    path = tmp_path / "prices.csv"
    table = written(german, lambda value: volume(value).removesuffix(".0"))
    table.write_csv(path, separator=separator)
    prices = read_prices(path)
    assert prices.fingerprint == EXPECTED
    assert prices.warnings == (f"{path}: numbers are read with decimal commas",)


def test_decimal_commas_of_a_wide_table(tmp_path: Path) -> None:
    wide = written(german).to_pandas().pivot(index="date", columns="ticker")
    wide.columns.names = ["Price", "Ticker"]
    wide.to_csv(tmp_path / "wide.csv", sep=";")
    prices = read_prices(tmp_path / "wide.csv")
    assert prices.fingerprint == EXPECTED
    assert "numbers are read with decimal commas (and 2 more like it)" in prices.warnings[0]


def test_two_readings_are_an_error_that_names_the_option(tmp_path: Path) -> None:
    table = LONG.with_columns(pl.lit("5,809").alias(name) for name in (*PRICES, "volume"))
    line = "'5,809' may be 5809.0 or 5.809; give the mark of decimals with decimal ('.' or ',')"
    assert problems_of(table) == [f"prices: {line}"]
    assert read_prices(table, decimal=".").open[0, 0] == 5809
    assert read_prices(table, decimal=",").open[0, 0] == 5.809
    path = tmp_path / "prices.csv"
    table.write_csv(path)
    assert problems_of(path) == [f"{path}: {line}"]
    # Who separates fields by semicolons writes decimal commas.
    table.write_csv(path, separator=";")
    assert read_prices(path).open[0, 0] == 5.809


def test_the_mark_of_one_column_counts_for_all() -> None:
    table = LONG.with_columns(pl.lit("5,809.5").alias(name) for name in PRICES)
    prices = read_prices(table.with_columns(volume=pl.lit("5,809")))
    assert prices.volume[0, 0] == 5809


@pytest.mark.parametrize("text", ["-", "--", "N/A", "n.a.", "null", "#N/A", "<NA>", ""])
def test_texts_that_stand_for_no_number(text: str) -> None:
    table = LONG.with_columns(pl.col("volume").cast(pl.String))
    prices = read_prices(table.with_columns(volume=pl.Series([text, *table["volume"][1:]])))
    assert prices.warnings == ()
    assert read_prices(LONG).fingerprint != prices.fingerprint


def test_a_volume_that_is_no_number_is_unknown_with_a_warning() -> None:
    volume = pl.Series(["many", *LONG["volume"].cast(pl.String)[1:]])
    table = LONG.with_columns(volume=volume)
    line = "prices: column 'volume', row 1: 'many' is not a number"
    (warning,) = read_prices(table).warnings
    assert warning == f"{line}; such volumes are taken as unknown"
    assert problems_of(table, strict=True) == [line]


def test_decimal_commas_of_signals() -> None:
    long = signal_frames.LONG
    prices = pl.col("open", "close").cast(pl.String).str.replace(".", ",", literal=True)
    panel = read_signals(long.with_columns(prices))
    assert panel.fingerprint == read_signals(long).fingerprint
    assert panel.warnings == ("signals: numbers are read with decimal commas",)
