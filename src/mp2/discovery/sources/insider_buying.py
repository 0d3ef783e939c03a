"""Insiders' purchases of their own company's stock: `stock/insider-transactions` of Finnhub.

A candidate says that insiders bought on the open market (transaction code P of SEC forms 3, 4 and
5, no derivatives) for at least `min_value_usd` together, as known by filings of the last `days`
days. What counts is the date of the filing, not of the transaction, which was not public. A filing
has no hour, so it counts from the next day: filings of `today` are left out.

A transaction that was filed again, with the same name, day and number of shares, counts once, as
the latest filing has it; when that repeats its price, it counts from the first filing. Equal
purchases (day, shares, price) of several names are one: a fund, its manager and its owner file
together. They count as one insider.

Data: `value_usd`, `shares`, `n_insiders`, `last_filed`, `usable_from` (next weekday after the last
filing) and `purchases` (`name`, `joint_filers`, `shares`, `price` in USD, `filed`, `traded`), at
most 20. Priority: high for `cluster` different insiders or `high_value_usd`, critical for both,
else medium. Order: largest value first.

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


class Purchase(Transaction):
    """A purchase; `joint_filers`: the other names that filed it."""

    joint_filers: list[str]


def purchases(
    transactions: Iterable[Transaction],
    since: datetime.date,
    before: datetime.date,
) -> dict[str, list[Purchase]]:
    """Return the purchases on the open market, filed in these days, by symbol and each once."""
    versions: dict[tuple[object, ...], list[Transaction]] = {}
    for bought in sorted(transactions, key=itemgetter("filed")):
        if bought["code"] != "P" or bought["is_derivative"] or bought["shares"] <= 0:
            continue
        if bought["filed"] >= before.isoformat():
            continue
        key = (
            bought["symbol"],
            bought["name"].casefold(),
            bought["traded"],
            bought["shares"],
            # Without the day, another price is another purchase.
            bought["traded"] or bought["price"],
        )
        versions.setdefault(key, []).append(bought)
    in_force = []
    for filed in versions.values():
        in_force += latest(filed)
    by_symbol: dict[str, list[Purchase]] = {}
    for purchase in joint(in_force):
        # Older filings were needed to recognise what repeats them.
        if purchase["filed"] >= since.isoformat():
            by_symbol.setdefault(purchase["symbol"], []).append(purchase)
    return by_symbol


def latest(versions: list[Transaction]) -> list[Transaction]:
    """Return the rows of the latest filing of a transaction, oldest filing first in `versions`.

    A row that an earlier filing has too is that of the earlier one, which made it public.
    """
    last_filed = versions[-1]["filed"]
    first_by_price: dict[float | None, Transaction] = {}
    rows = []
    for version in versions:
        first = first_by_price.setdefault(version["price"], version)
        if version["filed"] == last_filed and first not in rows:
            rows.append(first)
    return rows


def joint(transactions: Iterable[Transaction]) -> list[Purchase]:
    """Return each purchase once, under the name that filed it first; oldest filing first."""
    joined: dict[tuple[object, ...], Purchase] = {}
    for bought in sorted(transactions, key=itemgetter("filed")):
        day = bought["traded"] or bought["filed"]
        key = (bought["symbol"], day, bought["shares"], bought["price"])
        first = joined.get(key)
        if first is None:
            joined[key] = {**bought, "joint_filers": []}
        else:
            first["joint_filers"].append(bought["name"])
    return list(joined.values())


def count_insiders(bought: Iterable[Purchase]) -> int:
    """Return the number of insiders; those who filed a purchase together are one."""
    n_insiders = 0
    counted_names: set[str] = set()
    for purchase in bought:
        names = {purchase["name"], *purchase["joint_filers"]}
        n_insiders += counted_names.isdisjoint(names)
        counted_names |= names
    return n_insiders


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

    def _request(
        self,
        context: ScanContext,
        symbol: str,
    ) -> list[Transaction]:
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
        self,
        context: ScanContext,
        symbol: str,
        value_usd: float,
        bought: list[Purchase],
    ) -> Candidate:
        n_insiders = count_insiders(bought)
        last_filed = bought[-1]["filed"]
        newest = reversed(bought[-MAX_PURCHASES:])
        fields = ("name", "joint_filers", "shares", "price", "filed", "traded")
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
