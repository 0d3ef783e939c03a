"""Types of settings that several scanners share."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mp2._document import Document, Names
from mp2.discovery.candidates import canonical_ticker
from mp2.discovery.scanner import ScannerSettings


def check_symbol(text: str) -> str:
    """Return the canonical ticker. Raises ValueError."""
    ticker = canonical_ticker(text)
    if ticker is None:
        raise ValueError("a symbol has 1 to 10 letters, digits, '.' and '-'")
    return ticker


def check_web_address(text: str) -> str:
    """Return an address of http or https. Raises ValueError."""
    parts = urlsplit(text)
    is_web = parts.scheme in ("http", "https") and parts.hostname
    if not is_web or parts.username or parts.password:
        raise ValueError(
            "expected an address such as https://example.com/path, without user and password"
        )
    return text


def distinct(values: Names) -> Names:
    """Drop repeated values, keeping the order."""
    return tuple(dict.fromkeys(values))


# At least one, and not a float or text that could pass for it.
Count = Annotated[int, Field(ge=1, strict=True)]

# A canonical ticker, `BRK-B`.
Symbol = Annotated[str, AfterValidator(check_symbol)]
Symbols = Annotated[
    tuple[Symbol, ...],
    Field(max_length=500),
    AfterValidator(distinct),
]

WebAddress = Annotated[str, AfterValidator(check_web_address)]
# The address of a service; paths are appended to it.
BaseAddress = Annotated[WebAddress, AfterValidator(lambda text: text.rstrip("/"))]

Text = Annotated[str, Field(min_length=1)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class SettingsWithInput(ScannerSettings):
    """Settings of a scanner that needs the setting named `needed`, and is off without it.

    Raises ValueError when the scanner is enabled without that setting.
    """

    needed: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _enabled_with_input(cls, given: Document) -> Document:
        has_input = bool(given.get(cls.needed))
        settings = {"enabled": has_input, **given}
        if settings["enabled"] is True and not has_input:
            raise ValueError(f"nothing to request; set {cls.needed}")
        return settings


def with_dot(symbol: str) -> str:
    """Return a symbol as Alpha Vantage and Finnhub write it: `BRK.B`."""
    return re.sub(r"^([A-Z]+)-([A-Z])$", r"\1.\2", symbol)
