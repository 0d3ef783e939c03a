"""A download is continued: new days, split tickers whole, nothing lost; Yahoo is a stub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mp2.data import yahoo
from mp2.data.prices import to_frame
from mp2.data.yahoo_update import read_download, update
from mp2.errors import InputError

FIELDS = ("Close", "High", "Low", "Open", "Volume")
DAYS = [date(2024, 1, 1) + timedelta(days=idx) for idx in range(40)]
DAYS = [day for day in DAYS if day.weekday() < 5]


class Exchange:
    """Bars of every weekday; `scale` divides the prices of a ticker, `gone` have none."""

    def __init__(self) -> None:
        self.scale: dict[str, float] = {}
        self.gone: set[str] = set()
        self.requests: list[tuple[list[str], str]] = []

    def __call__(self, tickers: Sequence[str], start: str, end: str) -> pd.DataFrame:
        self.requests.append((list(tickers), start))
        days = [day for day in DAYS if start <= str(day) < end]
        columns = pd.MultiIndex.from_product([FIELDS, tickers])
        frame = pd.DataFrame(np.nan, pd.DatetimeIndex(days, name="Date"), columns)
        for ticker in tickers:
            if ticker in self.gone:
                continue
            close = np.array([100.0 + DAYS.index(day) for day in days]) / self.scale.get(ticker, 1)
            for field, factor in zip(FIELDS, (1.0, 1.1, 0.9, 1.0), strict=False):
                frame[field, ticker] = close * factor
            frame["Volume", ticker] = 1000.0
        return frame


def downloaded(exchange: Exchange, n_days: int = 15) -> pl.DataFrame:
    span = {"start": str(DAYS[0]), "end": str(DAYS[n_days - 1])}
    bars = to_frame(yahoo.download(["A", "B", "C"], **span, fetch=exchange))
    exchange.requests.clear()
    return bars


def whole(exchange: Exchange, *tickers: str) -> pl.DataFrame:
    span = {"start": str(DAYS[0]), "end": str(DAYS[-1])}
    return to_frame(yahoo.download(tickers, **span, fetch=exchange))


def test_an_update_is_what_a_whole_download_would_be() -> None:
    exchange = Exchange()
    bars, warnings = update(downloaded(exchange), end=str(DAYS[-1]), fetch=exchange)
    assert warnings == ()
    assert exchange.requests == [(["A", "B", "C"], str(DAYS[9]))]
    assert bars.equals(whole(exchange, "A", "B", "C"))


def test_a_bar_of_an_unfinished_day_is_replaced() -> None:
    exchange = Exchange()
    bars = downloaded(exchange)
    unfinished = pl.when(pl.col("date") == DAYS[14]).then(99.0).otherwise(pl.col("close"))
    bars, _ = update(bars.with_columns(close=unfinished), end=str(DAYS[-1]), fetch=exchange)
    assert len(exchange.requests) == 1
    assert bars.equals(whole(exchange, "A", "B", "C"))


def test_a_split_ticker_and_a_new_one_are_downloaded_whole() -> None:
    exchange = Exchange()
    bars = downloaded(exchange)
    exchange.scale["B"] = 4.0
    bars, _ = update(bars, end=str(DAYS[-1]), tickers=["d", "a"], fetch=exchange)
    assert exchange.requests == [
        (["A", "B", "C", "D"], str(DAYS[9])),
        (["B", "D"], str(DAYS[0])),
    ]
    assert bars.equals(whole(exchange, "A", "B", "C", "D"))


def test_a_ticker_that_ended_early_has_no_hole() -> None:
    exchange = Exchange()
    bars = downloaded(exchange).filter((pl.col("ticker") != "C") | (pl.col("date") < DAYS[5]))
    bars, _ = update(bars, end=str(DAYS[-1]), fetch=exchange)
    assert bars.equals(whole(exchange, "A", "B", "C"))


def test_a_ticker_without_a_response_keeps_its_bars() -> None:
    exchange = Exchange()
    before = downloaded(exchange)
    exchange.gone.add("B")
    bars, warnings = update(before, end=str(DAYS[-1]), fetch=exchange)
    assert bars.filter(pl.col("ticker") == "B").equals(before.filter(pl.col("ticker") == "B"))
    assert any("B" in line for line in warnings)


def test_a_split_ticker_that_does_not_come_again_stays_as_it_was() -> None:
    exchange = Exchange()
    before = downloaded(exchange)
    exchange.scale["B"] = 2.0

    def once(tickers: Sequence[str], start: str, end: str) -> Any:
        return exchange(tickers, start, end) if len(tickers) == 3 else None

    bars, warnings = update(before, end=str(DAYS[-1]), fetch=once)
    assert bars.filter(pl.col("ticker") == "B").equals(before.filter(pl.col("ticker") == "B"))
    assert bars.filter(pl.col("ticker") == "A")["date"].max() == DAYS[-1]
    assert any("B" in line for line in warnings)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_file_of_a_download_is_read_as_it_was(tmp_path: Path, suffix: str) -> None:
    bars = downloaded(Exchange())
    path = tmp_path / f"prices.{suffix}"
    bars.write_csv(path) if suffix == "csv" else bars.write_parquet(path)
    assert read_download(path).equals(bars)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file; name a file that 'mp2 download' wrote"),
        (
            lambda path: path.write_text("date,ticker,close\n2024-01-02,A,1\n"),
            "is no table of date,",
        ),
        (
            lambda path: path.write_text("date,ticker,open,high,low,close,volume\n"),
            "is no table of",
        ),
        (lambda path: path.write_text('"'), "name a file that 'mp2 download' wrote"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, write: Callable[[Path], Any], message: str
) -> None:
    path = tmp_path / "bars.csv"
    write(path)
    with pytest.raises(InputError) as caught:
        read_download(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
