"""Purchases of their own company's stock by insiders: `stock/insider-transactions` of Finnhub (SEC forms 3, 4 and 5).

A candidate says that insiders bought on the open market (transaction code P, no derivatives) for at least `min_value_usd`
together, and that it became known by filings of the last `days` days. What counts is the filing's date, never that of the
transaction, which nobody outside knew of; and since a filing's hour is not given, it counts from the day after: filings
of `today` itself are left out.

Data: `value_usd`, `shares`, `n_insiders`, `last_filed`, `usable_from` (next weekday after the last filing) and `purchases`
(`name`, `shares`, `price` in USD, `filed`, `traded`), at most 20. Priority: high for `cluster` different insiders or
`high_value_usd`, critical for both, else medium. Most promising first: by value.

With `symbols` one request each; without, one for the latest of all companies, which needs a paid plan.

Source of truth: finnhub.io/docs/api/insider-transactions; codes: SEC Form 4; refusals: `mp2.discovery.sources._finnhub`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypedDict

from pydantic import Field

from mp2.discovery.records import Candidate, counted
from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources import _finnhub as finnhub
from mp2.discovery.sources._asking import answers
from mp2.discovery.sources._options import BaseAddress, Symbols, with_dot
from mp2.errors import SourceError

TTL_S = 3600.0
MAX_PURCHASES = 20
"""In a candidate's data."""

_LATE_DAYS = 30
"""The source does not say by which of the two dates it selects, so it is asked for earlier transactions too."""


class Transaction(TypedDict):
    """A transaction as filed; `shares` is negative for a sale, `price` None where the source has none."""

    symbol: str
    name: str
    shares: float
    price: float | None
    filed: str
    traded: str | None
    code: str
    is_derivative: bool


def parse_transactions(reply: Reply) -> list[Transaction]:
    """All transactions; none for a symbol that the source does not know. Raises `SourceError`."""
    values = finnhub.answer(reply, "data")
    company = fields.line(values.get("symbol"), 20)

    def read(row: dict[str, Any]) -> Transaction | None:
        symbol = fields.line(row.get("symbol"), 20) or company
        shares, filed = fields.number(row.get("change")), fields.day(row.get("filingDate"))
        code = fields.line(row.get("transactionCode"), 4)
        if not symbol or not code or shares is None or filed is None:
            return None
        return {
            "symbol": symbol,
            "name": fields.line(row.get("name"), 100),
            "shares": shares,
            "price": fields.number(row.get("transactionPrice")),
            "filed": filed,
            "traded": fields.day(row.get("transactionDate")),
            "code": code,
            "is_derivative": row.get("isDerivative") not in (None, False),
        }

    return fields.readable(fields.rows(values["data"], "data"), read, "data")


def purchases(
    transactions: Iterable[Transaction], since: datetime.date, before: datetime.date
) -> dict[str, list[Transaction]]:
    """Purchases on the open market, filed from `since` up to the day before `before`, by symbol; each once."""
    found: dict[str, dict[tuple[Any, ...], Transaction]] = {}
    for one in transactions:
        is_purchase = one["code"] == "P" and not one["is_derivative"] and one["shares"] > 0
        if is_purchase and since.isoformat() <= one["filed"] < before.isoformat():
            # An amended filing repeats the transaction: the first one made it known.
            key = (one["name"], one["traded"], one["shares"], one["price"])
            known = found.setdefault(one["symbol"], {})
            if key not in known or one["filed"] < known[key]["filed"]:
                known[key] = one
    return {symbol: list(by_key.values()) for symbol, by_key in found.items()}


class InsiderBuying(Scanner):
    """Companies whose insiders bought their stock."""

    name = "insider_buying"
    pipeline = "insider"
    summary = "companies whose insiders bought on the open market (Finnhub)"
    keys = (finnhub.KEY,)
    rates = {finnhub.HOST: finnhub.RATES}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """Whose purchases count, and how large they have to be together.

        `symbols`: one request each; empty: the latest of all companies. `days`: how far back filings count. `min_value_usd`:
        of all purchases together. `high_value_usd`, `cluster` (different insiders): where the priority rises. `base_url`: of
        the service.
        """

        symbols: Symbols = ()
        days: int = Field(default=7, ge=1, le=365, strict=True)
        min_value_usd: float = Field(default=50_000.0, ge=0)
        high_value_usd: float = Field(default=1_000_000.0, ge=0)
        cluster: int = Field(default=3, ge=2, strict=True)
        base_url: BaseAddress = finnhub.BASE_URL

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Ask for every symbol, then rank."""
        transactions = [one for _, found in self._answers(context) for one in found]
        since = context.today - datetime.timedelta(days=self.settings.days)
        bought = purchases(transactions, since, context.today)
        ranked = sorted(
            ((_value_usd(found), symbol) for symbol, found in bought.items()),
            key=lambda one: (-one[0], one[1]),
        )
        for value_usd, symbol in ranked:
            if value_usd >= self.settings.min_value_usd:
                yield self._candidate(context, symbol, value_usd, bought[symbol])

    def _answers(self, context: ScanContext) -> Iterator[tuple[str, list[Transaction]]]:
        headers = finnhub.headers(context)
        since = context.today - datetime.timedelta(days=self.settings.days + _LATE_DAYS)

        def ask(symbol: str) -> list[Transaction]:
            return context.http.get(
                f"{self.settings.base_url}/stock/insider-transactions",
                parse=parse_transactions,
                params={
                    "symbol": with_dot(symbol),
                    "from": since.isoformat(),
                    "to": context.today.isoformat(),
                },
                headers=headers,
                ttl_s=TTL_S,
            )

        if self.settings.symbols:
            yield from answers(context, self.settings.symbols, ask)
        else:
            yield "", _of_all(ask)

    def _candidate(
        self, context: ScanContext, symbol: str, value_usd: float, found: list[Transaction]
    ) -> Candidate:
        n_insiders = len({one["name"] for one in found})
        last_filed = max(one["filed"] for one in found)
        shown = sorted(found, key=lambda one: one["filed"], reverse=True)[:MAX_PURCHASES]
        data = {
            "value_usd": round(value_usd, 2),
            "shares": sum(one["shares"] for one in found),
            "n_insiders": n_insiders,
            "last_filed": last_filed,
            "usable_from": fields.next_weekday(datetime.date.fromisoformat(last_filed)).isoformat(),
            "purchases": [
                {key: one[key] for key in ("name", "shares", "price", "filed", "traded")}
                for one in shown
            ],
        }
        line = f"{counted(n_insiders, 'insider')} bought for ${value_usd:,.0f}, last filed {last_filed}"
        return context.candidate(symbol, line, self._priority(value_usd, n_insiders), data)

    def _priority(self, value_usd: float, n_insiders: int) -> str:
        signs = (value_usd >= self.settings.high_value_usd) + (n_insiders >= self.settings.cluster)
        return ("medium", "high", "critical")[signs]


def _value_usd(found: Iterable[Transaction]) -> float:
    return sum(one["shares"] * (one["price"] or 0.0) for one in found)


def _of_all(ask: Callable[[str], list[Transaction]]) -> list[Transaction]:
    try:
        return ask("")
    except SourceError as error:
        if error.code != "forbidden":
            raise
    raise SourceError(
        "forbidden",
        "Finnhub gives the purchases of all companies to paid plans only; list some in `symbols`",
    )
