"""Tickers from the names of files, as websites and programs save one file for each ticker.

| saved by | name | ticker |
|---|---|---|
| Stooq | `aapl_us_d`, `aapl.us` | `AAPL` |
| Alpha Vantage | `daily_IBM`, `daily_adjusted_IBM` | `IBM` |
| Binance | `BTCUSDT-1d-2024-01` | `BTCUSDT`, one for all months |
| TradingView | `NASDAQ_AAPL, 1D` | `AAPL` |
| Investing.com | `AAPL Historical Data` | `AAPL` |
| freqtrade | `BTC_USDT-1d` | `BTC_USDT` |
| MetaTrader | `EURUSD_Daily_202001020000_202312290000`, `EURUSD1440` | `EURUSD` |
| a browser, again | `AAPL (1)` | `AAPL` |
| others | `Binance_BTCUSD_d`, `AAPL_data` | what the names of a folder do not share |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BEFORE = re.compile(r"daily_(?:adjusted_)?|[A-Z]+_(?:DLY_)?(?=.+, 1D)", re.IGNORECASE)
# Each may stand after another one.
_AFTER = re.compile(
    r"""(?: \s?\(\d+\)
    | ,\s1D.*
    | [-_\s](?:to[-_\s])?(?:19|20)\d\d(?:-?\d\d)*
    | [-_\s](?:1d|daily|day)
    | (?:_[a-z]{2})?_d
    | \.us
    | \s(?:stock\s)?(?:price\s)?(?:historical|history)(?:\s(?:data|prices))?
    | (?<=[a-z])1440
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
_SEPARATORS = "_ "
_TICKER = re.compile(r"\^?[A-Z0-9][A-Z0-9.=&-]{0,11}", re.IGNORECASE)


def tickers_of_names(names: Sequence[str]) -> dict[str, str]:
    """Return the ticker of each file name without suffixes; itself where nothing is recognised."""
    plain = {name: _without_additions(name) for name in names}
    others = set(plain.values())
    if len(others) > 1 and not any(map(looks_like_ticker, others)):
        begin = _shared(others)
        end = _shared({name[::-1] for name in others})
        own = {}
        for name, part in plain.items():
            own[name] = part[begin : len(part) - end]
        if all(map(looks_like_ticker, own.values())):
            return own
    return plain


def looks_like_ticker(name: str) -> bool:
    """Return whether a name has the shape of a ticker."""
    return _TICKER.fullmatch(name) is not None


def _without_additions(name: str) -> str:
    part = _BEFORE.sub("", name, count=1) if _BEFORE.match(name) else name
    while True:
        shorter = _AFTER.sub("", part)
        if not shorter or shorter == part:
            break
        part = shorter
    # Only a name that was recognised: the owner of the others has chosen their spelling.
    return part.upper() if part != name and part.islower() else part


def _shared(names: set[str]) -> int:
    """Return the length of what all names begin with, up to its last separator."""
    # All others lie between these two.
    first = min(names)
    last = max(names)
    length = 0
    for idx, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            break
        if one in _SEPARATORS:
            length = idx + 1
    return length
