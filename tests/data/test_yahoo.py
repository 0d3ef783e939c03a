"""Downloading: batches become one table, failures are warnings, nothing hangs; Yahoo is a stub."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mp2.data import yahoo
from mp2.data.prices import PriceTable, read_prices, to_frame
from mp2.errors import InputError, MissingExtraError, Mp2Error, ReadStoppedError

FIELDS = ("Adj Close", "Close", "High", "Low", "Open", "Volume")
SPAN = {"start": "2024-01-02", "end": "2024-01-04"}


def first_price(ticker: str) -> float:
    return float(1 + sum(map(ord, ticker)) % 90)


class Exchange:
    """Responds as `yfinance.download` does: tickers that failed have columns without values."""

    def __init__(self, *, failed: Sequence[str] = (), omitted: Sequence[str] = ()) -> None:
        self.failed, self.omitted = failed, omitted
        self.requests: list[tuple[tuple[str, ...], str, str]] = []

    def __call__(self, tickers: Sequence[str], start: str, end: str) -> pd.DataFrame:
        self.requests.append((tuple(tickers), start, end))
        n_days = (date.fromisoformat(end) - date.fromisoformat(start)).days
        index = pd.DatetimeIndex(
            [date.fromisoformat(start) + timedelta(days=idx) for idx in range(n_days)], name="Date"
        )
        succeeded = [ticker for ticker in tickers if ticker not in self.omitted]
        columns = pd.MultiIndex.from_product([FIELDS, succeeded], names=["Price", "Ticker"])
        frame = pd.DataFrame(np.full((n_days, len(columns)), 10.0), index, columns)
        for ticker in succeeded:
            frame["Open", ticker], frame["High", ticker] = first_price(ticker), 100.0
            # Days of equal bars are no trading days.
            frame["Low", ticker] = np.linspace(0.5, 1.0, n_days)
        frame.loc[:, [column for column in columns if column[1] in self.failed]] = np.nan
        return frame


def test_batches_become_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo, "BATCH_TICKERS", 2)
    exchange, seen = Exchange(), []
    prices = yahoo.download(
        ["MSFT", "aapl ", "LOW", "MSFT", ""],
        **SPAN,
        fetch=exchange,
        observe=lambda *at: seen.append(at),
    )
    assert exchange.requests == [
        (("MSFT", "AAPL"), "2024-01-02", "2024-01-05"),
        (("LOW",), "2024-01-02", "2024-01-05"),
    ]
    assert prices.tickers == ("AAPL", "LOW", "MSFT")
    assert prices.dates == ("2024-01-02", "2024-01-03", "2024-01-04")
    assert prices.open[:, 0].tolist() == list(map(first_price, prices.tickers))
    assert prices.warnings == ()
    assert seen == [(0, 3), (2, 3), (3, 3)]


def test_a_download_can_be_stored_and_read_again(tmp_path: Any) -> None:
    prices = yahoo.download("AAPL", **SPAN, fetch=Exchange())
    to_frame(prices).write_parquet(tmp_path / "prices.parquet")
    assert read_prices(tmp_path / "prices.parquet").fingerprint == prices.fingerprint


def test_batches_of_different_dates_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo, "BATCH_TICKERS", 1)
    exchange = Exchange()

    def fetch(tickers: Sequence[str], start: str, end: str) -> pd.DataFrame:
        frame = exchange(tickers, start, end)
        return frame[1:] if "NEW" in tickers else frame

    prices = yahoo.download(["NEW", "OLD"], **SPAN, fetch=fetch)
    assert prices.first_idx.tolist() == [1, 0]


def test_failed_tickers_are_a_warning() -> None:
    prices = yahoo.download(
        ["AAPL", "GONE", "LOST"], **SPAN, fetch=Exchange(failed=["GONE"], omitted=["LOST"])
    )
    assert prices.tickers == ("AAPL",)
    assert prices.warnings == (
        "yahoo: tickers without bars: 1, left out: LOST (not in the response); try again later",
        "prices: tickers without any bar: 1, left out: GONE",
    )


def failing(*tickers: str, error: Exception | None = None, reply: Any = None) -> yahoo.Fetch:
    """Raises `error` or returns `reply` for a request of any of `tickers`."""
    exchange = Exchange()

    def fetch(requested: Sequence[str], start: str, end: str) -> Any:
        if not set(requested) & set(tickers):
            return exchange(requested, start, end)
        if error is not None:
            raise error
        return reply

    return fetch


@pytest.mark.parametrize(
    ("fetch", "reason"),
    [
        (failing("B0", error=OSError("no route\nto host")), "OSError: no route"),
        (failing("B0", reply=None), "not in the response"),
        (failing("B0", reply=pd.DataFrame()), "not in the response"),
    ],
)
def test_a_lost_batch_does_not_stop_the_others(
    fetch: yahoo.Fetch, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yahoo, "BATCH_TICKERS", 6)
    prices = yahoo.download(
        [f"{batch}{idx}" for batch in "ABC" for idx in range(6)], **SPAN, fetch=fetch
    )
    assert prices.n_tickers == 12
    assert prices.warnings == (
        f"yahoo: tickers without bars: 6, left out: B0, B1, B2, B3, B4, ... ({reason}); "
        "try again later",
    )


def test_a_batch_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo, "BATCH_TICKERS", 1)
    monkeypatch.setattr(yahoo, "BATCH_WALL_S", 0.2)
    exchange, released = Exchange(), threading.Event()

    def fetch(tickers: Sequence[str], start: str, end: str) -> Any:
        if "HANG" in tickers:
            released.wait(30)
        return exchange(tickers, start, end)

    prices = yahoo.download(["HANG", "AAPL"], **SPAN, fetch=fetch)
    released.set()
    assert prices.tickers == ("AAPL",)
    assert prices.warnings == (
        "yahoo: tickers without bars: 1, left out: HANG (TimeoutError: no response within "
        "0.2 s); try again later",
    )


def test_a_stop_ends_the_download_at_once() -> None:
    stop, released = threading.Event(), threading.Event()

    def fetch(*_: Any) -> Any:
        stop.set()
        released.wait(30)

    with pytest.raises(ReadStoppedError, match="stopped while reading"):
        yahoo.download(["AAPL"], **SPAN, fetch=fetch, stop=stop)
    released.set()


def test_no_response_at_all_is_not_an_input_error() -> None:
    with pytest.raises(Mp2Error) as caught:
        yahoo.download(["AAPL"], **SPAN, fetch=failing("AAPL", error=OSError("offline")))
    assert caught.value.exit_code == 1
    assert str(caught.value).splitlines() == [
        "yahoo: no bars in any response; check the names, the dates and the connection",
        "yahoo: tickers without bars: 1, left out: AAPL (OSError: offline); try again later",
    ]


@pytest.mark.parametrize(
    ("tickers", "span", "problems"),
    [
        ([], SPAN, ["tickers: none given; name at least one"]),
        (
            [" "],
            {"start": "x", "end": "2024-01-02"},
            [
                "tickers: none given; name at least one",
                "start: 'x' is not a date; write YYYY-MM-DD",
            ],
        ),
        (
            ["A"],
            {"start": "2024-01-03", "end": "2024-01-02"},
            ["start: 2024-01-03 is after end 2024-01-02"],
        ),
        (
            ["A"],
            {"start": None, "end": "2024-01-02"},
            ["start and end: both are needed, as YYYY-MM-DD"],
        ),
    ],
)
def test_unusable_arguments(tickers: list[str], span: Any, problems: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        yahoo.download(tickers, **span, fetch=Exchange())
    assert list(caught.value.problems) == problems


def test_without_yfinance_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mp2\[yahoo\]'"):
        yahoo.download(["AAPL"], **SPAN)


def test_yfinance_is_called_for_unadjusted_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, options = Exchange(), {}

    def download(tickers: list[str], *, start: str, end: str, **given: Any) -> pd.DataFrame:
        options.update(given)
        return exchange(tickers, start, end)

    module = ModuleType("yfinance")
    module.download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yfinance", module)
    assert isinstance(yahoo.download(["AAPL"], **SPAN), PriceTable)
    assert options == {"auto_adjust": False, "progress": False, "threads": 8, "timeout": 20.0}
