"""Find the tickers that a text names.

`$TSLA` and `(NYSE: XYZ)` are tickers by themselves. A bare word in capitals counts only if it is
listed, because `CEO`, `IT` and `A` are tickers too; a company's name only if it is mapped to one.

What stands behind a ticker belongs to it only when it is known: the class of a share (`BRK.B`,
`BRK/B`, `BRK_B`) or an exchange (`VOD.L`). `$TSLA.It was` lacks the blank after a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mp2._document import Document, Texts
from mp2.discovery.candidates import canonical_ticker

# How Reuters and others mark the usual listing; price files do not.
_HOME_CODES = frozenset({"N", "O", "OB", "OQ", "PK", "US"})
_EXCHANGE_CODES = "AX|CN|DE|HK|NE|PA|TO"

_SUFFIX = rf"(?:[./_-](?:[ABCKU]|WS)|\.(?:[FLTVNO]|OQ|US|{_EXCHANGE_CODES})|-P[A-Z])"
# `$BTC.X` is a currency at StockTwits, and not the share BTC.
_CASHTAG = re.compile(
    rf"(?<![\w$&])\$([A-Z]{{1,5}}{_SUFFIX}|[a-z]{{1,5}}[./_-][abck]|[A-Za-z]{{1,5}})"
    r"(?![\w$]|\.X\b)",
    re.ASCII,
)
_CAPITALS = re.compile(
    r"(?<![\w$.&/-])[A-Z][A-Z0-9]{0,5}"
    rf"(?:[./-][A-Z]|-[A-Z]{{2}}|\.(?:{_EXCHANGE_CODES}))?(?!\w)",
    re.ASCII,
)

# Exchanges by the suffix of their listings in price files; those of the US have none.
_EXCHANGES = {
    "": (
        r"NYSE(?:[\s-]?(?:American|Arca|MKT|Amex|National|Texas))?"
        r"|New\sYork\sStock\sExchange"
        r"|NASDAQ(?:[\s-]?(?:GS|GM|CM|(?:Global\sSelect|Global|Capital|Stock)(?:\sMarket)?))?"
        r"|AMEX|BATS|CBOE(?:\s?BZX)?"
        r"|(?:Other\s)?OTC[\s-]?(?:QX|QB|ID|BB|PK|MKTS|Markets?|Pink|Bulletin\sBoard)?"
        r"(?:\s(?:Best|Venture|Basic|Limited|Sheets?|Current|Market))*|Pink\sSheets?"
    ),
    ".TO": r"TSX|Toronto(?:\sStock\sExchange)?",
    ".V": r"TSX[\s-]?V|TSX\sVenture(?:\sExchange)?",
    ".L": r"LSE|London(?:\sStock\sExchange)?",
}
_EXCHANGE = "|".join(_EXCHANGES.values())
_BY_SUFFIX = {
    suffix: re.compile(names, re.ASCII | re.IGNORECASE) for suffix, names in _EXCHANGES.items()
}

# `NYSE: A`, `NYSE, TSX: A`, `HKEX: 1698 and NYSE: A` inside parentheses.
_LISTING = re.compile(
    rf"(?:^|[;,/|]|\band\b)\s*({_EXCHANGE})(?:\s?(?:[,/&]|and)\s?(?:{_EXCHANGE}))*\s?:\s?",
    re.ASCII | re.IGNORECASE,
)
_PARENTHESIS = re.compile(r"[(\[]([^()\[\]]{1,300}[)\]]?)")
_WRITTEN = r"\$?([A-Za-z]{1,5}(?:[.-][A-Za-z]{1,2}|[/_][A-Za-z])?)"
_LISTED = re.compile(rf"\s?{_WRITTEN}\s?(,\s?and\b|[,&/]|and\b|[;)\]])", re.ASCII)
_UNPARENTHESISED = re.compile(
    rf"(?<![\w(\[])(NYSE|NASDAQ|AMEX|TSXV?|LSE|OTC(?:QX|QB)?):([A-Z]{{1,5}}{_SUFFIX}?)(?![\w:])",
    re.ASCII | re.IGNORECASE,
)
# Quotes around a ticker are dropped; the others are those of Chinese texts.
_PLAIN = str.maketrans("（）［］：，；", "()[]:,;", "\"“”„'‘’")

_ELEMENT = re.compile(rf"(?:([^:]{{1,40}}):)?\s?{_WRITTEN}", re.ASCII)
_NO_SYMBOL = frozenset({"N/A", "NONE", "NULL"})


def symbols_of(text: str, *, bare: bool) -> list[str]:
    """Return the tickers of an element of its own: `Nasdaq:ABC`, `NYSE: BRK.A, BRK.B`.

    Without an exchange they count when `bare`: `ABC, DEF`. Other texts have none.
    """
    # `NASDAQ:ABC NYSE:DEF`
    plain = re.sub(rf"(:\s?{_WRITTEN})\s", r"\1,", text.translate(_PLAIN))
    separators = r"[,;|]"
    suffix = None
    if bare:
        suffix = ""
        if ":" not in plain:
            separators = r"[,;|\s]"
    tickers = []
    for part in re.split(separators, plain):
        element = _ELEMENT.fullmatch(part.strip())
        if element is None or part.strip().upper() in _NO_SYMBOL:
            continue
        exchange, written = element.groups()
        if exchange:
            suffix = suffix_of(exchange.strip())
        # `Tech Stocks` are words.
        elif written != written.upper():
            continue
        if suffix is None:
            continue
        ticker = ticker_of(written, suffix)
        if ticker:
            tickers.append(ticker)
    return tickers


def suffix_of(exchange: str) -> str | None:
    """Return the suffix of an exchange's listings in price files, None when it is not known."""
    for suffix, names in _BY_SUFFIX.items():
        if names.fullmatch(exchange):
            return suffix
    return None


def ticker_of(written: str, suffix: str = "") -> str | None:
    """Return the canonical ticker of what a text writes; `suffix` is that of its exchange."""
    ticker = re.sub("[/_]", "-", written.upper())
    symbol, _, code = ticker.partition(".")
    if code in _HOME_CODES:
        ticker = symbol
    if suffix and not ticker.endswith(suffix):
        # `RCI.B` of Toronto is `RCI-B.TO`.
        ticker = ticker.replace(".", "-") + suffix
    return canonical_ticker(ticker)


def listed_in(parenthesis: str) -> list[str | None]:
    """Return the tickers of the first known exchange that the text of a parenthesis names.

    Those of other exchanges are mostly other listings of the same company.
    """
    listing = _LISTING.search(parenthesis)
    if listing is None:
        return []
    suffix = suffix_of(listing[1]) or ""
    tickers: list[str | None] = []
    position = listing.end()
    while symbol := _LISTED.match(parenthesis, position):
        # Behind the first, a word in lower case is no ticker: `(NYSE: ABC, up)`.
        if tickers and symbol[1] != symbol[1].upper():
            break
        tickers.append(ticker_of(symbol[1], suffix))
        if symbol[2] in (";", ")", "]"):
            break
        position = symbol.end()
    return tickers


class Mentions:
    """Finds tickers in texts, and groups what the texts belong to by them.

    `symbols`: canonical tickers that bare words may name. `names`: names (whole words, in any
    letter case) and the tickers they stand for.
    """

    def __init__(
        self,
        symbols: Iterable[str] = (),
        names: Texts | None = None,
    ) -> None:
        self._symbols = frozenset(symbols)
        self._names: dict[str, str] = {}
        for name, ticker in (names or {}).items():
            self._names[name.casefold()] = ticker
        # The longest first: `Alphabet Inc.` before `Alphabet`.
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        self._found: dict[str, Document] = {}
        # Without names a pattern that matches nothing.
        any_name = "|".join(words) or "(?!)"
        self._named = re.compile(rf"(?<!\w)(?:{any_name})(?!\w)")

    def find(self, text: str) -> set[str]:
        """Return the tickers that the text names, in canonical form."""
        tickers = {ticker_of(written) for written in _CASHTAG.findall(text)}
        plain = text.translate(_PLAIN)
        for parenthesis in _PARENTHESIS.findall(plain):
            tickers.update(listed_in(parenthesis))
        for exchange, written in _UNPARENTHESISED.findall(plain):
            if written == written.upper():
                suffix = suffix_of(exchange)
                tickers.add(ticker_of(written, suffix or ""))
        bare = map(ticker_of, _CAPITALS.findall(text))
        tickers |= self._symbols.intersection(bare)
        for name in self._named.findall(text.casefold()):
            tickers.add(self._names[name])
        return {ticker for ticker in tickers if ticker}

    def add(
        self,
        text: str,
        key: str,
        item: Any,
        tickers: Iterable[str] = (),
    ) -> None:
        """Note `item` for each ticker that its text names, and for `tickers`.

        The first item with a key counts.
        """
        for ticker in self.find(text).union(tickers):
            self._found.setdefault(ticker, {}).setdefault(key, item)

    def by_ticker(self) -> dict[str, list[Any]]:
        """Return the items that were added, by ticker."""
        return {ticker: list(items.values()) for ticker, items in self._found.items()}
