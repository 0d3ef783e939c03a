"""Stocks whose key figures pass filters: `stock/metric` of Finnhub or `OVERVIEW` of Alpha Vantage.

A candidate says that, of the `symbols` given, this one passes every filter that is set. An unknown
figure passes no filter; nor does a P/E of 0 or less, which is that of a loss. On by default once
`symbols` are given.

Data: `pe`, `price_to_book`, `return_on_equity_pct`, `dividend_yield_pct`, `market_cap_usd` (None
when unknown) and `provider`. The figures are those of the trailing twelve months as of the last
report known to the source, not as of `today`. Priority: high for a P/E of at most half of `max_pe`,
else medium. Order: lowest P/E first, unknown last.

Sources: finnhub.io/docs/api/company-basic-financials; www.alphavantage.co/documentation, "Company
Overview". Finnhub sends percentages and millions, Alpha Vantage fractions and units, all as text.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from mp2._document import Names
from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner
from mp2.discovery.sources import _alpha_vantage, _finnhub
from mp2.discovery.sources._fields import ABSENT, Row, as_row
from mp2.discovery.sources._options import BaseAddress, SettingsWithInput, Symbols, with_dot
from mp2.discovery.sources._requests import responses
from mp2.errors import SourceError

# The figures change with reports, and a free key of Alpha Vantage has 25 requests a day.
TTL_S = 24 * 3600.0


# Key figures by the names in the module's head, None when unknown.
Figures = dict[str, float | None]

# The source's fields for each figure, the first known one counts, and the factor to our unit.
FieldNames = dict[str, tuple[float, Names]]

_FINNHUB: FieldNames = {
    "pe": (1, ("peTTM", "peBasicExclExtraTTM", "peNormalizedAnnual")),
    "price_to_book": (1, ("pbQuarterly", "pb", "pbAnnual")),
    "return_on_equity_pct": (1, ("roeTTM", "roeRfy")),
    "dividend_yield_pct": (1, ("currentDividendYieldTTM", "dividendYieldIndicatedAnnual")),
    "market_cap_usd": (1e6, ("marketCapitalization",)),
}
_ALPHA_VANTAGE: FieldNames = {
    "pe": (1, ("PERatio", "TrailingPE")),
    "price_to_book": (1, ("PriceToBookRatio",)),
    "return_on_equity_pct": (100, ("ReturnOnEquityTTM",)),
    "dividend_yield_pct": (100, ("DividendYield",)),
    "market_cap_usd": (1, ("MarketCapitalization",)),
}


_TEXTS = {
    "pe": "P/E {:.1f}",
    "price_to_book": "P/B {:.1f}",
    "return_on_equity_pct": "return on equity {:.1f}%",
    "dividend_yield_pct": "dividend yield {:.1f}%",
}


def parse_metric(reply: Reply) -> Figures:
    """Return Finnhub's figures, all None for a symbol it does not know. Raises `SourceError`."""
    response = _finnhub.unwrap(reply, "metric")
    return read_figures(as_row(response["metric"], "metric"), _FINNHUB)


def parse_overview(reply: Reply) -> Figures:
    """Return Alpha Vantage's figures, all None for an unknown symbol. Raises `SourceError`."""
    if reply.status < 400 and reply.json() == {}:  # sent for an unknown symbol
        return read_figures(Row(), _ALPHA_VANTAGE)
    return read_figures(_alpha_vantage.unwrap(reply, ("Symbol",)), _ALPHA_VANTAGE)


def read_figures(row: Row, field_names: FieldNames) -> Figures:
    """Return the figures. Raises `SourceError` when some are there and none can be read."""
    figures: Figures = {}
    has_values = False
    for figure, (factor, names) in field_names.items():
        figures[figure] = None
        for name in reversed(names):
            number = row.number(name)
            has_values |= row.get(name) not in ABSENT
            if number is not None:
                figures[figure] = round(number * factor, 6)
    if has_values and set(figures.values()) == {None}:
        raise SourceError(
            "bad_payload",
            "cannot read any of the key figures",
        )
    return figures


class Fundamentals(Scanner):
    """Stocks that pass filters of key figures."""

    name = "fundamentals"
    pipeline = "value"
    summary = "stocks whose key figures pass filters, such as a low P/E (Finnhub or Alpha Vantage)"
    rates = _finnhub.RATES | _alpha_vantage.RATES

    class Settings(SettingsWithInput):
        """Provider, symbols, and the filters; None: no filter.

        - `symbols`: one request each.
        - `max_pe`, `max_price_to_book`: ratios of the price to earnings and to book value.
        - `min_market_cap_usd`; `min_return_on_equity_pct`, `min_dividend_yield_pct` in percent.
        - `base_url`: of the provider.
        """

        needed = "symbols"
        provider: Literal["finnhub", "alpha_vantage"] = "finnhub"
        symbols: Symbols = ()
        max_pe: PositiveFloat | None = 20.0
        min_market_cap_usd: NonNegativeFloat | None = 1e9
        max_price_to_book: PositiveFloat | None = None
        min_return_on_equity_pct: float | None = None
        min_dividend_yield_pct: NonNegativeFloat | None = None
        base_url: BaseAddress | None = None

    settings: Settings

    @classmethod
    def needed_keys(cls, settings: Settings) -> tuple[str, ...]:
        """Return the key of the provider."""
        if settings.provider == "finnhub":
            return (_finnhub.KEY,)
        return (_alpha_vantage.KEY,)

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Request the figures of every symbol, then filter and rank."""
        settings = self.settings
        ranked = []
        received = responses(context, settings.symbols, partial(self._request, context))
        for symbol, figures in received:
            if not self._passes(figures):
                continue
            pe = figures["pe"]
            priority = "medium"
            if pe is not None and settings.max_pe is not None and pe <= settings.max_pe / 2:
                priority = "high"
            data = {**figures, "provider": settings.provider}
            candidate = context.candidate(
                symbol,
                describe(figures),
                priority,
                data,
            )
            ranked.append(((pe is None, pe or 0.0, symbol), candidate))
        return [candidate for _, candidate in sorted(ranked)]

    def _request(
        self,
        context: ScanContext,
        symbol: str,
    ) -> Figures:
        base_url = self.settings.base_url
        symbol = with_dot(symbol)
        if self.settings.provider == "finnhub":
            url = f"{base_url or _finnhub.BASE_URL}/stock/metric"
            params = {"symbol": symbol, "metric": "all"}
            return _finnhub.get(context, url, parse_metric, params, TTL_S)
        params = {"function": "OVERVIEW", "symbol": symbol}
        return _alpha_vantage.get(
            context,
            base_url,
            parse_overview,
            params,
            TTL_S,
        )

    def _passes(self, figures: Figures) -> bool:
        if self.settings.max_pe is not None and (figures["pe"] or 0.0) <= 0:
            return False
        for name, limit in self.settings:
            kind, _, figure = name.partition("_")
            if kind not in ("min", "max") or limit is None:
                continue
            value = figures[figure]
            if value is None:
                return False
            if value < limit if kind == "min" else value > limit:
                return False
        return True


def describe(figures: Figures) -> str:
    """Return the known figures in one line."""
    known = []
    for name, text in _TEXTS.items():
        value = figures[name]
        if value is not None:
            known.append(text.format(value))
    market_cap_usd = figures["market_cap_usd"]
    if market_cap_usd is not None:
        known.append(f"market cap ${market_cap_usd / 1e9:,.1f} bn")
    return ", ".join(known) or "passes without known figures"
