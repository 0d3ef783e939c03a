"""Stocks whose key figures pass filters: `stock/metric` of Finnhub, or `OVERVIEW` of Alpha Vantage.

A candidate says that, of the `symbols` given, this one passes every filter that is set. A figure that the source does not
know passes no filter; neither does a P/E of 0 or less, which is that of a loss. On by default once `symbols` are given.

Data: `pe`, `price_to_book`, `return_on_equity_pct`, `dividend_yield_pct`, `market_cap_usd` (None where unknown) and `provider`.
The figures are the trailing twelve months' as of the last report known to the source, not as of any day. Priority: high for a
P/E of at most half of `max_pe`, else medium. Most promising first: by P/E, unknown last.

Source of truth: finnhub.io/docs/api/company-basic-financials; www.alphavantage.co/documentation, "Company Overview". Finnhub
gives percentages and millions, Alpha Vantage fractions and units, and everything as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypedDict, cast

from pydantic import Field, model_validator

from mp2.discovery.records import Candidate
from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _alpha_vantage as alpha_vantage
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources import _finnhub as finnhub
from mp2.discovery.sources._asking import answers
from mp2.discovery.sources._options import BaseAddress, Symbols, on_with, with_dot
from mp2.errors import SourceError

TTL_S = 24 * 3600.0
"""The figures change with reports; a free key of Alpha Vantage has 25 requests a day."""


class Figures(TypedDict):
    """A company's key figures, None where unknown."""

    pe: float | None
    price_to_book: float | None
    return_on_equity_pct: float | None
    dividend_yield_pct: float | None
    market_cap_usd: float | None


_FINNHUB = {
    "pe": (("peTTM", "peBasicExclExtraTTM", "peNormalizedAnnual"), 1.0),
    "price_to_book": (("pbQuarterly", "pb", "pbAnnual"), 1.0),
    "return_on_equity_pct": (("roeTTM", "roeRfy"), 1.0),
    "dividend_yield_pct": (("currentDividendYieldTTM", "dividendYieldIndicatedAnnual"), 1.0),
    "market_cap_usd": (("marketCapitalization",), 1e6),
}
_ALPHA_VANTAGE = {
    "pe": (("PERatio", "TrailingPE"), 1.0),
    "price_to_book": (("PriceToBookRatio",), 1.0),
    "return_on_equity_pct": (("ReturnOnEquityTTM",), 100.0),
    "dividend_yield_pct": (("DividendYield",), 100.0),
    "market_cap_usd": (("MarketCapitalization",), 1.0),
}
"""Our figure -> the source's fields, the first known one counts, and what to multiply it with."""


def parse_metric(reply: Reply) -> Figures:
    """Finnhub's figures; all None for a symbol it does not know. Raises `SourceError`."""
    return _figures(fields.table(finnhub.answer(reply, "metric")["metric"], "metric"), _FINNHUB)


def parse_overview(reply: Reply) -> Figures:
    """Alpha Vantage's figures; all None for a symbol it does not know, for which it answers `{}`. Raises `SourceError`."""
    is_unknown = reply.status < 400 and fields.document(reply, "the overview") == {}
    return _figures({} if is_unknown else alpha_vantage.answer(reply, ("Symbol",)), _ALPHA_VANTAGE)


def _figures(
    values: Mapping[str, Any], names: Mapping[str, tuple[tuple[str, ...], float]]
) -> Figures:
    found = {figure: _first(values, keys, factor) for figure, (keys, factor) in names.items()}
    given = [values[key] for keys, _ in names.values() for key in keys if key in values]
    if any(value not in fields.ABSENT for value in given) and all(
        value is None for value in found.values()
    ):
        raise SourceError("bad_payload", "none of the key figures can be read")
    return cast("Figures", found)


def _first(values: Mapping[str, Any], keys: tuple[str, ...], factor: float) -> float | None:
    known = (
        value for value in (fields.number(values.get(key)) for key in keys) if value is not None
    )
    first = next(known, None)
    return None if first is None else round(first * factor, 6)


class Fundamentals(Scanner):
    """Stocks that pass filters of key figures."""

    name = "fundamentals"
    pipeline = "value"
    summary = "stocks whose key figures pass filters, such as a low P/E (Finnhub or Alpha Vantage)"
    rates = {finnhub.HOST: finnhub.RATES, alpha_vantage.HOST: alpha_vantage.RATES}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """Whom to ask about which symbols, and the filters; None: no filter.

        `symbols`: one request each. `max_pe`, `max_price_to_book`: ratios of the price to earnings and book value.
        `min_market_cap_usd`. `min_return_on_equity_pct`, `min_dividend_yield_pct`: in percent. `base_url`: of the provider.
        """

        provider: Literal["finnhub", "alpha_vantage"] = "finnhub"
        symbols: Symbols = ()
        max_pe: float | None = Field(default=20.0, gt=0)
        min_market_cap_usd: float | None = Field(default=1e9, ge=0)
        max_price_to_book: float | None = Field(default=None, gt=0)
        min_return_on_equity_pct: float | None = None
        min_dividend_yield_pct: float | None = Field(default=None, ge=0)
        base_url: BaseAddress | None = None

        @model_validator(mode="before")
        @classmethod
        def _on_with_symbols(cls, given: Any) -> Any:
            return on_with("symbols", given)

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Ask for every symbol, then filter and rank."""
        asked = self._finnhub if self.settings.provider == "finnhub" else self._alpha_vantage
        passed = [(symbol, found) for symbol, found in asked(context) if self._passes(found)]
        for symbol, found in sorted(
            passed, key=lambda one: (one[1]["pe"] is None, one[1]["pe"] or 0.0, one[0])
        ):
            priority = "high" if self._is_cheap(found["pe"]) else "medium"
            yield context.candidate(
                symbol, _line(found), priority, {**found, "provider": self.settings.provider}
            )

    def _finnhub(self, context: ScanContext) -> Iterator[tuple[str, Figures]]:
        headers, url = (
            finnhub.headers(context),
            f"{self.settings.base_url or finnhub.BASE_URL}/stock/metric",
        )

        def ask(symbol: str) -> Figures:
            params = {"symbol": with_dot(symbol), "metric": "all"}
            return context.http.get(
                url, parse=parse_metric, params=params, headers=headers, ttl_s=TTL_S
            )

        return answers(context, self.settings.symbols, ask)

    def _alpha_vantage(self, context: ScanContext) -> Iterator[tuple[str, Figures]]:
        key, url = (
            {"apikey": context.key(alpha_vantage.KEY)},
            f"{self.settings.base_url or alpha_vantage.BASE_URL}/query",
        )

        def ask(symbol: str) -> Figures:
            params = {"function": "OVERVIEW", "symbol": with_dot(symbol)}
            return context.http.get(
                url, parse=parse_overview, params=params, secret_params=key, ttl_s=TTL_S
            )

        return answers(context, self.settings.symbols, ask)

    def _passes(self, found: Figures) -> bool:
        wanted = self.settings
        pe = found["pe"] if found["pe"] is None or found["pe"] > 0 else None
        return (
            _at_most(pe, wanted.max_pe)
            and _at_most(found["price_to_book"], wanted.max_price_to_book)
            and _at_least(found["market_cap_usd"], wanted.min_market_cap_usd)
            and _at_least(found["return_on_equity_pct"], wanted.min_return_on_equity_pct)
            and _at_least(found["dividend_yield_pct"], wanted.min_dividend_yield_pct)
        )

    def _is_cheap(self, pe: float | None) -> bool:
        return (
            pe is not None and self.settings.max_pe is not None and pe <= self.settings.max_pe / 2
        )


def _at_most(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value <= limit)


def _at_least(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value >= limit)


def _line(found: Figures) -> str:
    cap = found["market_cap_usd"]
    parts = [
        ("P/E {:.1f}", found["pe"]),
        ("P/B {:.1f}", found["price_to_book"]),
        ("return on equity {:.1f}%", found["return_on_equity_pct"]),
        ("dividend yield {:.1f}%", found["dividend_yield_pct"]),
        ("market cap ${:,.1f} bn", None if cap is None else cap / 1e9),
    ]
    return (
        ", ".join(text.format(value) for text, value in parts if value is not None)
        or "passes without known figures"
    )
