"""Tickers are found in the names that websites and programs give to files."""

from __future__ import annotations

import pytest

from mp2.data.file_tickers import tickers_of_names


@pytest.mark.parametrize(
    ("name", "ticker"),
    [
        ("aapl_us_d", "AAPL"),
        ("brk-b_us_d", "BRK-B"),
        ("^spx_d", "^SPX"),
        ("aapl.us", "AAPL"),
        ("daily_IBM", "IBM"),
        ("daily_adjusted_IBM", "IBM"),
        ("BTCUSDT-1d-2024-01", "BTCUSDT"),
        ("BTCUSDT-1d-2024-01-05", "BTCUSDT"),
        ("NASDAQ_AAPL, 1D", "AAPL"),
        ("NASDAQ_DLY_AAPL, 1D (1)", "AAPL"),
        ("BATS_BRK.B, 1D_5c8e2", "BRK.B"),
        ("AAPL Historical Data", "AAPL"),
        ("AAPL Stock Price History (2)", "AAPL"),
        ("BTC_USDT-1d", "BTC_USDT"),
        ("EURUSD_Daily_202001020000_202312290000", "EURUSD"),
        ("EURUSD1440", "EURUSD"),
        ("AAPL1440", "AAPL"),
        ("AAPL_2006-01-01_to_2018-01-01", "AAPL"),
        ("AAPL (1)", "AAPL"),
        # As the owner has called them; ends that belong to a ticker stay.
        ("aapl", "aapl"),
        ("BRK.B", "BRK.B"),
        ("VOD.L", "VOD.L"),
        ("SAP.DE", "SAP.DE"),
        ("BTC-USD", "BTC-USD"),
        ("ES=F", "ES=F"),
        ("D", "D"),
        ("2024-01-02", "2024-01-02"),
    ],
)
def test_the_ticker_of_a_name(name: str, ticker: str) -> None:
    assert tickers_of_names([name]) == {name: ticker}


@pytest.mark.parametrize(
    ("names", "tickers"),
    [
        (["Binance_BTCUSD_d", "Binance_ETHUSD_d"], ["BTCUSD", "ETHUSD"]),
        (["AAPL_data", "MSFT_data", "A_data"], ["AAPL", "MSFT", "A"]),
        (["prices of A", "prices of AA"], ["A", "AA"]),
        (["BRK-A", "BRK-B"], ["BRK-A", "BRK-B"]),
        (["BP.L", "VOD.L"], ["BP.L", "VOD.L"]),
        (["BTC-USD", "ETH-USD"], ["BTC-USD", "ETH-USD"]),
        (["my_x_1", "other_y_2"], ["my_x_1", "other_y_2"]),
    ],
)
def test_what_all_names_share_is_no_ticker(names: list[str], tickers: list[str]) -> None:
    assert list(tickers_of_names(names).values()) == tickers
