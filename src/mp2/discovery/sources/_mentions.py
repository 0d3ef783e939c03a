"""Find the tickers that a text names.

`$TSLA` and `(NYSE: XYZ)` are tickers by themselves. A bare word in capitals counts only if it is
listed, because `CEO`, `IT` and `A` are tickers too; a company's name only if it is mapped to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mp2._document import Document, Texts
from mp2.discovery.candidates import canonical_ticker

_TICKER = r"([A-Za-z]{1,5}(?:[.-][A-Za-z]{1,2})?)"
_CASHTAG = re.compile(rf"(?<![\w$&])\${_TICKER}(?![\w$])", re.ASCII)
_EXCHANGES = (
    r"(TSXV?|LSE)|NYSE(?:\s?(?:American|Arca|MKT))?|NASDAQ(?:[\s-]?(?:GS|GM|CM))?"
    r"|AMEX|CBOE|OTC\s?(?:QX|QB|MKTS|BB)?"
)
_LISTED = re.compile(
    rf"\(\s*(?:{_EXCHANGES})\s*:\s*{_TICKER}\s*[;,)]",
    re.ASCII | re.IGNORECASE,
)
_CAPITALS = re.compile(r"(?<![\w$.&-])[A-Z][A-Z0-9]{0,5}(?:[.-][A-Z]{1,2})?(?!\w)", re.ASCII)
# Price files name listings outside the US by a suffix.
_SUFFIXES = {"": "", "TSX": ".TO", "TSXV": ".V", "LSE": ".L"}


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
        self._names = {name.casefold(): ticker for name, ticker in (names or {}).items()}
        # The longest first: `Alphabet Inc.` before `Alphabet`.
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        self._found: dict[str, Document] = {}
        # Without names a pattern that matches nothing.
        self._named = re.compile(rf"(?<!\w)(?:{'|'.join(words) or '(?!)'})(?!\w)")

    def find(self, text: str) -> set[str]:
        """Return the tickers that the text names, in canonical form."""
        written = _CASHTAG.findall(text)
        for exchange, ticker in _LISTED.findall(text):
            written.append(ticker + _SUFFIXES[exchange.upper()])
        written += self._symbols.intersection(map(canonical_ticker, _CAPITALS.findall(text)))
        written += map(self._names.get, self._named.findall(text.casefold()))
        tickers = map(canonical_ticker, written)
        return set(filter(None, tickers))

    def add(self, text: str, key: str, item: Any) -> None:
        """Note `item` for each ticker that its text names; the first one with a key counts."""
        for ticker in self.find(text):
            self._found.setdefault(ticker, {}).setdefault(key, item)

    def by_ticker(self) -> dict[str, list[Any]]:
        """Return the items that were added, by ticker."""
        return {ticker: list(items.values()) for ticker, items in self._found.items()}
