"""Insiders' purchases of their own company's stock: `stock/insider-transactions` of Finnhub.

A candidate says that insiders bought on the open market (transaction code P of SEC forms 3, 4 and
5, no derivatives) for at least `min_value_usd` together, as known by filings of the last `days`
days. What counts is the date of the filing, not of the transaction, which was not public. A filing
has no hour, so it counts from the next day: filings of `today` are left out.

Data: `value_usd`, `shares`, `n_insiders`, `last_filed`, `usable_from` (next weekday after the last
filing) and `purchases` (`name`, `shares`, `price` in USD, `filed`, `traded`), at most 20. Priority:
high for `cluster` different insiders or `high_value_usd`, critical for both, else medium. Order:
largest value first.

With `symbols` it sends one request each; without, one for the latest of all companies, which needs
a paid plan.

Source: finnhub.io/docs/api/insider-transactions.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from functools import partial
from operator import itemgetter
from typing import TypedDict

from pydantic import Field, NonNegativeFloat

from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _finnhub
from mp2.discovery.sources._fields import Row, most_first, pick, usable_from
from mp2.discovery.sources._options import BaseAddress, Symbols, with_dot
from mp2.discovery.sources._requests import responses
from mp2.errors import SourceError, counted

TTL_S = 3600.0

# In a candidate's data.
MAX_PURCHASES = 20

# The source does not document which of the two dates it selects by, so the request covers
# earlier transactions too.
_LATE_DAYS = 30


class Transaction(TypedDict):
    """A transaction as filed; `shares` is negative for a sale, `price` None when not known."""

    symbol: str
    name: str
    shares: float
    price: float | None
    filed: str
    traded: str | None
    code: str
    is_derivative: bool


def parse_transactions(reply: Reply) -> list[Transaction]:
    """Return all transactions; empty for a symbol that is not known. Raises `SourceError`."""
    response = _finnhub.unwrap(reply, "data")
    symbol = response.line("symbol", 20)
    return response.rows("data", partial(read_transaction, symbol))


def read_transaction(company: str, row: Row) -> Transaction | None:
    """Return a row, of `company` unless it names a symbol itself; None when incomplete."""
    symbol = row.line("symbol", 20) or company
    code = row.line("transactionCode", 4)
    shares = row.number("change")
    filed = row.day("filingDate")
    if not symbol or not code or shares is None or filed is None:
        return None
    return {
        "symbol": symbol,
        "name": row.line("name", 100),
        "shares": shares,
        "price": row.number("transactionPrice"),
        "filed": filed,
        "traded": row.day("transactionDate"),
        "code": code,
        "is_derivative": bool(row.get("isDerivative")),
    }


def purchases(
    transactions: Iterable[Transaction], since: datetime.date, before: datetime.date
) -> dict[str, list[Transaction]]:
    """Return the purchases on the open market, filed in these days, by symbol and each once."""
    by_symbol: dict[str, list[Transaction]] = {}
    seen = set()
    # An amended filing repeats the transaction: the first filing made it public.
    for bought in sorted(transactions, key=itemgetter("filed")):
        if bought["code"] != "P" or bought["is_derivative"] or bought["shares"] <= 0:
            continue
        if not since.isoformat() <= bought["filed"] < before.isoformat():
            continue
        symbol = bought["symbol"]
        key = (
            symbol,
            bought["name"],
            bought["traded"],
            bought["shares"],
            bought["price"],
        )
        if key not in seen:
            seen.add(key)
            by_symbol.setdefault(symbol, []).append(bought)
    return by_symbol


class InsiderBuying(Scanner):
    """Companies whose insiders bought their stock."""

    name = "insider_buying"
    pipeline = "insider"
    summary = "companies whose insiders bought on the open market (Finnhub)"
    keys = (_finnhub.KEY,)
    rates = _finnhub.RATES

    class Settings(ScannerSettings):
        """Companies, and how large their insiders' purchases have to be.

        - `symbols`: one request each; empty: the latest of all companies.
        - `days`: how far back filings count.
        - `min_value_usd`: of all purchases together.
        - `high_value_usd`, `cluster` (different insiders): where the priority rises.
        - `base_url`: of the service.
        """

        symbols: Symbols = ()
        days: int = Field(7, ge=1, le=365, strict=True)
        min_value_usd: NonNegativeFloat = 50_000.0
        high_value_usd: NonNegativeFloat = 1_000_000.0
        cluster: int = Field(3, ge=2, strict=True)
        base_url: BaseAddress = _finnhub.BASE_URL

    settings: Settings

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Request the transactions of every symbol, then rank by value."""
        since = context.today - datetime.timedelta(days=self.settings.days)
        transactions = self._transactions(context)
        candidates = []
        for symbol, bought in purchases(transactions, since, context.today).items():
            value_usd = sum(purchase["shares"] * (purchase["price"] or 0.0) for purchase in bought)
            if value_usd >= self.settings.min_value_usd:
                candidates.append(self._candidate(context, symbol, value_usd, bought))
        return most_first(candidates, "value_usd")

    def _transactions(self, context: ScanContext) -> Iterator[Transaction]:
        request = partial(self._request, context)
        if self.settings.symbols:
            for _, transactions in responses(context, self.settings.symbols, request):
                yield from transactions
            return
        try:
            yield from request("")
        except SourceError as error:
            if error.code != "forbidden":
                raise
            raise SourceError(
                "forbidden",
                "Finnhub serves the purchases of all companies to paid plans only; "
                "list some in `symbols`",
            ) from error

    def _request(self, context: ScanContext, symbol: str) -> list[Transaction]:
        since = context.today - datetime.timedelta(days=self.settings.days + _LATE_DAYS)
        url = f"{self.settings.base_url}/stock/insider-transactions"
        params = {
            "symbol": with_dot(symbol),
            "from": since.isoformat(),
            "to": context.today.isoformat(),
        }
        return _finnhub.get(
            context,
            url,
            parse_transactions,
            params,
            TTL_S,
        )

    def _candidate(
        self, context: ScanContext, symbol: str, value_usd: float, bought: list[Transaction]
    ) -> Candidate:
        n_insiders = len({purchase["name"] for purchase in bought})
        last_filed = bought[-1]["filed"]
        newest = reversed(bought[-MAX_PURCHASES:])
        fields = ("name", "shares", "price", "filed", "traded")
        data = {
            "value_usd": round(value_usd, 2),
            "shares": sum(purchase["shares"] for purchase in bought),
            "n_insiders": n_insiders,
            "last_filed": last_filed,
            "usable_from": usable_from(last_filed),
            "purchases": [pick(purchase, fields) for purchase in newest],
        }
        buyers = counted(n_insiders, "insider")
        reason = f"{buyers} bought for ${value_usd:,.0f}, last filed {last_filed}"
        is_large = value_usd >= self.settings.high_value_usd
        is_cluster = n_insiders >= self.settings.cluster
        priority = ("medium", "high", "critical")[is_large + is_cluster]
        return context.candidate(symbol, reason, priority, data)
