"""Tickers named in a text that people wrote.

`$TSLA` and `(NYSE: XYZ)` name one by themselves. A bare word in capitals does so only if it is on a list, because `CEO`, `IT`
and `A` are tickers too; and a company's name if the user said which ticker it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mp2.discovery.candidates import canonical_ticker

_TICKER = r"[A-Za-z]{1,5}(?:[.-][A-Za-z]{1,2})?"
_CASHTAG = re.compile(rf"(?<![\w$&])\$({_TICKER})(?![\w$])", re.ASCII)
_EXCHANGES = r"NYSE(?:\s?(?:American|Arca|MKT))?|NASDAQ(?:[\s-]?(?:GS|GM|CM))?|AMEX|CBOE|OTC\s?(?:QX|QB|MKTS|BB)?|TSXV?|LSE"
_LISTED = re.compile(rf"\(\s*(?:{_EXCHANGES})\s*:\s*({_TICKER})\s*[;,)]", re.ASCII | re.IGNORECASE)
_CAPITALS = re.compile(r"(?<![\w$.&-])[A-Z][A-Z0-9]{0,5}(?:[.-][A-Z]{1,2})?(?!\w)", re.ASCII)
_ELSEWHERE = {"TSX": ".TO", "TSXV": ".V", "LSE": ".L"}


class Mentions:
    """Finds tickers; `symbols` are those that bare words may name, `names` (whole words, in any case) stand for tickers."""

    def __init__(self, symbols: Iterable[str] = (), names: Mapping[str, str] | None = None) -> None:
        self._symbols = frozenset(symbols)
        self._names = {name.casefold(): ticker for name, ticker in (names or {}).items()}
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None

    def found(self, text: str) -> frozenset[str]:
        """The tickers in a text, in their one form."""
        return frozenset(
            ticker for ticker in map(canonical_ticker, self._written(text)) if ticker is not None
        )

    def _written(self, text: str) -> Iterator[str]:
        yield from _CASHTAG.findall(text)
        yield from map(_with_exchange, _LISTED.finditer(text))
        if self._symbols:
            yield from (
                word for word in _CAPITALS.findall(text) if canonical_ticker(word) in self._symbols
            )
        if self._pattern is not None:
            yield from (self._names[name] for name in self._pattern.findall(text.casefold()))


def _with_exchange(match: re.Match[str]) -> str:
    exchange = re.split(r"[\s(:]+", match[0])[1].upper()
    return match[1] + _ELSEWHERE.get(exchange, "")
