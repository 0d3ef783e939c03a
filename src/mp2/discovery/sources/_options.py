"""Types of settings that several scanners have: symbols, web addresses, who asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from mp2.discovery.candidates import canonical_ticker

MAX_SYMBOLS = 500


def _symbol(text: str) -> str:
    ticker = canonical_ticker(text)
    if ticker is None:
        raise ValueError("a symbol has 1 to 10 letters, digits, '.' and '-'")
    return ticker


def _address(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.password
    ):
        raise ValueError(
            "has to be an address such as https://example.com/path, without user and password"
        )
    return text


def different(given: tuple[str, ...]) -> tuple[str, ...]:
    """Each of them once, in the order given."""
    return tuple(dict.fromkeys(given))


Symbol = Annotated[str, AfterValidator(_symbol)]
"""A ticker in its one form, `BRK-B`."""

Symbols = Annotated[tuple[Symbol, ...], Field(max_length=MAX_SYMBOLS), AfterValidator(different)]
"""Different tickers, in the order given."""

WebAddress = Annotated[str, AfterValidator(_address)]
"""Of http or https."""

BaseAddress = Annotated[WebAddress, AfterValidator(lambda text: text.rstrip("/"))]
"""Of a service; paths are added to it."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

_SHARE_CLASS = re.compile(r"([A-Z]+)-([A-Z])")


def with_dot(symbol: str) -> str:
    """A symbol as Alpha Vantage and Finnhub write it: `BRK.B`."""
    return _SHARE_CLASS.sub(r"\1.\2", symbol) if _SHARE_CLASS.fullmatch(symbol) else symbol


def on_with(setting: str, given: Any) -> Any:
    """Settings of a scanner that has nothing to do without `setting`: on by default once it is given, off before.

    Raises ValueError when it is switched on without.
    """
    if not isinstance(given, Mapping):
        return given
    settings = {"enabled": bool(given.get(setting)), **given}
    if settings["enabled"] is True and not settings.get(setting):
        raise ValueError(f"there is nothing to ask for; give {setting}")
    return settings
