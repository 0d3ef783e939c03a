"""The day's movers on US exchanges: `TOP_GAINERS_LOSERS` of Alpha Vantage.

A candidate says that the stock is on one of the source's lists (20 rows each) for the latest day and passes the filters. The
source gives that day only; it is real time on paid plans, the last close on free ones.

Data: `list` (gainers, losers, most_active), `price` in USD, `change_pp` in percent of the last close, `change_amount` in USD,
`volume` in shares, `last_updated` (the day in New York). Priority: high from `high_change_pp` on, up or down; medium from
`min_change_pp` on; low for a stock that is merely traded much. Most promising first: as the source ranks, list after list.

Warrants, units and rights (`ZCARW`, `FOA+`, `BNIXR`) are left out: a mark after the ticker, or Nasdaq's fifth letter.

Source of truth: www.alphavantage.co/documentation, "Top Gainers & Losers"; refusals: `mp2.discovery.sources._alpha_vantage`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, Literal, TypedDict

from pydantic import Field

from mp2.discovery.candidates import canonical_ticker
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _alpha_vantage as alpha_vantage
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources._options import BaseAddress
from mp2.errors import SourceError

TTL_S = 3600.0
"""A free key gets the last close and 25 requests a day."""

ListName = Literal["gainers", "losers", "most_active"]
LISTS: dict[ListName, str] = {
    "gainers": "top_gainers",
    "losers": "top_losers",
    "most_active": "most_actively_traded",
}

_NO_SHARE = re.compile(r".*([^A-Z0-9.-].*|[.-](WS|W|U|R|RT|WT).*)|[A-Z]{4}[WRU]")


class Mover(TypedDict):
    """A row of a list; numbers that the source leaves empty are None."""

    list: ListName
    ticker: str
    price: float | None
    change_pp: float
    change_amount: float | None
    volume: float | None


class Movers(TypedDict):
    """The lists of a day, one after the other."""

    last_updated: str
    rows: list[Mover]


def parse_movers(reply: Reply) -> Movers:
    """All lists. Raises `SourceError`."""
    values = alpha_vantage.answer(reply, tuple(LISTS.values()))
    last_updated = fields.day(values.get("last_updated"))
    if last_updated is None:
        raise SourceError("bad_payload", "the movers say not of which day they are")
    rows = [mover for name, key in LISTS.items() for mover in _read_list(name, values[key])]
    return {"last_updated": last_updated, "rows": rows}


def _read_list(name: ListName, values: Any) -> list[Mover]:
    def read(row: dict[str, Any]) -> Mover | None:
        ticker, change_pp = (
            fields.line(row.get("ticker"), 20),
            fields.number(row.get("change_percentage")),
        )
        if not ticker or change_pp is None:
            return None
        return {
            "list": name,
            "ticker": ticker,
            "price": fields.number(row.get("price")),
            "change_pp": change_pp,
            "change_amount": fields.number(row.get("change_amount")),
            "volume": fields.number(row.get("volume")),
        }

    return fields.readable(fields.rows(values, LISTS[name]), read, LISTS[name])


def is_share(ticker: str) -> bool:
    """Whether a US ticker is one of a share, not of a warrant, unit or right."""
    return canonical_ticker(ticker) is not None and not _NO_SHARE.fullmatch(ticker)


class MarketMovers(Scanner):
    """Stocks on the lists of the day's movers."""

    name = "market_movers"
    pipeline = "momentum"
    summary = "the day's largest gainers and most traded stocks (Alpha Vantage)"
    keys = (alpha_vantage.KEY,)
    rates = {alpha_vantage.HOST: alpha_vantage.RATES}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """Which lists count, and what a row has to show; a number the source leaves empty passes no filter but 0.

        `lists`: in the order in which they are named. `min_change_pp`: smallest change, up or down, in percent, of gainers and
        losers; `high_change_pp`: where the priority becomes high. `min_price_usd`, `min_volume` (shares). `shares_only`: no
        warrants, units and rights. `max_age_days`: older movers are a failure. `base_url`: of the service.
        """

        lists: tuple[ListName, ...] = Field(default=("gainers", "most_active"), min_length=1)
        min_change_pp: float = Field(default=5.0, ge=0)
        high_change_pp: float = Field(default=20.0, ge=0)
        min_price_usd: float = Field(default=1.0, ge=0)
        min_volume: float = Field(default=100_000.0, ge=0)
        shares_only: bool = Field(default=True, strict=True)
        max_age_days: int = Field(default=5, ge=1, strict=True)
        base_url: BaseAddress = alpha_vantage.BASE_URL

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Ask once, then filter."""
        movers = context.http.get(
            f"{self.settings.base_url}/query",
            parse=parse_movers,
            params={"function": "TOP_GAINERS_LOSERS"},
            secret_params={"apikey": context.key(alpha_vantage.KEY)},
            ttl_s=TTL_S,
        )
        self._check_day(movers["last_updated"], context.today)
        seen = set()
        for name in self.settings.lists:
            for row in movers["rows"]:
                if row["list"] == name and row["ticker"] not in seen and self._passes(row):
                    seen.add(row["ticker"])
                    yield self._candidate(context, row, movers["last_updated"])

    def _check_day(self, last_updated: str, today: datetime.date) -> None:
        """Movers of after `today` would be a look into the future, old ones are no news."""
        age_days = (today - datetime.date.fromisoformat(last_updated)).days
        if age_days < 0:
            raise SourceError(
                "bad_request",
                f"Alpha Vantage has the movers of {last_updated} only, not those of {today}",
            )
        if age_days > self.settings.max_age_days:
            raise SourceError(
                "unavailable", f"the movers are of {last_updated}, {age_days} days ago"
            )

    def _passes(self, row: Mover) -> bool:
        wanted = self.settings
        if wanted.shares_only and not is_share(row["ticker"]):
            return False
        if (row["price"] or 0.0) < wanted.min_price_usd or (
            row["volume"] or 0.0
        ) < wanted.min_volume:
            return False
        return row["list"] == "most_active" or abs(row["change_pp"]) >= wanted.min_change_pp

    def _candidate(self, context: ScanContext, row: Mover, last_updated: str) -> Candidate:
        change_pp = row["change_pp"]
        price = "" if row["price"] is None else f" to ${row['price']:,.2f}"
        volume = "" if row["volume"] is None else f", {row['volume']:,.0f} shares traded"
        what = {
            "gainers": "top gainer",
            "losers": "top loser",
            "most_active": "among the most traded",
        }[row["list"]]
        return context.candidate(
            row["ticker"],
            f"{what} of {last_updated}: {change_pp:+.1f}%{price}{volume}",
            self._priority(abs(change_pp)),
            {**row, "last_updated": last_updated},
        )

    def _priority(self, change_pp: float) -> str:
        if change_pp >= self.settings.high_change_pp:
            return "high"
        return "medium" if change_pp >= self.settings.min_change_pp else "low"
