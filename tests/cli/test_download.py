"""`mp2 download`: its tickers, its file, and what it says; Yahoo is a stub."""

import json
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

FIELDS = ("Close", "High", "Low", "Open", "Volume")


@pytest.fixture
def requests(monkeypatch):
    """Stands for yfinance; the requests it gets."""
    seen = []

    def download(tickers, *, start, end, **options):
        seen.append((tickers, start))
        days = pd.bdate_range(start, end, inclusive="left", name="Date")
        frame = pd.DataFrame(10.0, days, pd.MultiIndex.from_product([FIELDS, tickers]))
        frame["High"], frame["Low"] = 99.0, 1.0
        for ticker in tickers:
            frame["Close", ticker] = 10 + (days - pd.Timestamp("2024-01-01")).days / 10
            frame["Open", ticker] = 10 + np.arange(len(days))
        return frame

    module = ModuleType("yfinance")
    module.download = download
    monkeypatch.setitem(sys.modules, "yfinance", module)
    return seen


def test_tickers_of_a_file_and_an_update(mp2, here, requests):
    (here / "mine.txt").write_text("Ticker\nAAPL, MSFT # two\n# none\nBRK-B\n")
    args = ("download", "IBM", "--tickers-file", "mine.txt", "-o", "bars.csv")
    code, out, _ = mp2(*args, "--start", "2024-01-02", "--end", "2024-01-31")
    assert (code, out) == (0, "4 tickers, 2024-01-02 to 2024-01-31: bars.csv\n")
    assert requests == [(["IBM", "AAPL", "MSFT", "BRK-B"], "2024-01-02")]
    code, out, _ = mp2("download", "--update", "bars.csv", "--end", "2024-02-09", "--json")
    document = json.loads(out)
    assert (code, document["n_dates"], document["output"]) == (0, 29, "bars.csv")
    assert requests[1:] == [(["AAPL", "BRK-B", "IBM", "MSFT"], "2024-01-24")]
    text = (here / "bars.csv").read_text()
    assert text.count("2024-01-31,") == text.count("2024-02-09,") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("AAPL --start 2024-01-02", "output: name the file to write with --output, or one to"),
        ("AAPL -o bars.csv", "start: name the first day with --start YYYY-MM-DD, or a file to"),
        ("--tickers-file none.txt --start 2024-01-02 -o bars.csv", "none.txt: holds no ticker;"),
        ("--update bars.csv -o ./bars.csv", "--output bars.csv: is the file of --update"),
        ("--update bars.csv", "bars.csv: no such file; name a file that 'mp2 download' wrote"),
    ],
)
def test_what_cannot_be_downloaded(mp2, here, words, message):
    (here / "none.txt").write_text("# nothing\n")
    code, _, err = mp2("download", *words.split())
    assert code == 2
    assert message in err
