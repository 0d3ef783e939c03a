"""The day's movers on US exchanges: `TOP_GAINERS_LOSERS` of Alpha Vantage.

A candidate says that the stock is on one of the source's lists (20 rows each) for the latest day
and passes the filters. The source serves that day only: in real time on paid plans, the last close
on free ones.

Data: `list` (gainers, losers, most_active), `price` in USD, `change_pp` in percent of the last
close, `change_amount` in USD, `volume` in shares, `last_updated` (the day in New York). Priority:
high from `high_change_pp`, up or down; medium from `min_change_pp`; low for a stock that is only
traded much. Order: as the source ranks, list after list.

Warrants, units and rights (`ZCARW`, `FOA+`, `BNIXR`) are recognised by a mark after the ticker or
by Nasdaq's fifth letter.

Source: www.alphavantage.co/documentation, "Top Gainers & Losers".
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from functools import partial
from typing import Literal, TypedDict

from pydantic import Field, NonNegativeFloat, StrictBool

from mp2.discovery.candidates import canonical_ticker
from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _alpha_vantage
from mp2.discovery.sources._fields import Row
from mp2.discovery.sources._options import BaseAddress, Count
from mp2.errors import SourceError

# A free key gets the last close and 25 requests a day.
TTL_S = 3600.0

ListName = Literal["gainers", "losers", "most_active"]
LISTS: dict[ListName, str] = {
    "gainers": "top_gainers",
    "losers": "top_losers",
    "most_active": "most_actively_traded",
}
LABELS = {
    "gainers": "top gainer",
    "losers": "top loser",
    "most_active": "among the most traded",
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


def parse_movers(reply: Reply) -> tuple[str, dict[ListName, list[Mover]]]:
    """Return the day of the lists, ISO, and their rows. Raises `SourceError`."""
    response = _alpha_vantage.unwrap(reply, tuple(LISTS.values()))
    last_updated = response.day("last_updated")
    if last_updated is None:
        raise SourceError(
            "bad_payload",
            "the movers have no date (last_updated)",
        )
    movers = {}
    for name, key in LISTS.items():
        movers[name] = response.rows(key, partial(read_mover, name))
    return last_updated, movers


def read_mover(name: ListName, row: Row) -> Mover | None:
    """Return a row of the list `name`; None without a ticker or a change."""
    ticker = row.line("ticker", 20)
    change_pp = row.number("change_percentage")
    if not ticker or change_pp is None:
        return None
    return {
        "list": name,
        "ticker": ticker,
        "price": row.number("price"),
        "change_pp": change_pp,
        "change_amount": row.number("change_amount"),
        "volume": row.number("volume"),
    }


def is_share(ticker: str) -> bool:
    """Return whether a US ticker is that of a share, not of a warrant, unit or right."""
    return canonical_ticker(ticker) is not None and not _NO_SHARE.fullmatch(ticker)


class MarketMovers(Scanner):
    """Stocks on the lists of the day's movers."""

    name = "market_movers"
    pipeline = "momentum"
    summary = "the day's largest gainers and most traded stocks (Alpha Vantage)"
    keys = (_alpha_vantage.KEY,)
    rates = _alpha_vantage.RATES

    class Settings(ScannerSettings):
        """Lists and filters; a number that the source leaves empty counts as 0.

        - `lists`: in the order in which their stocks are named.
        - `min_change_pp`: smallest change, up or down, in percent, of gainers and losers.
        - `high_change_pp`: change from which the priority is high.
        - `min_price_usd`, `min_volume` (shares).
        - `shares_only`: leave out warrants, units and rights.
        - `max_age_days`: older movers are a failure.
        - `base_url`: of the service.
        """

        lists: tuple[ListName, ...] = Field(("gainers", "most_active"), min_length=1)
        min_change_pp: NonNegativeFloat = 5.0
        high_change_pp: NonNegativeFloat = 20.0
        min_price_usd: NonNegativeFloat = 1.0
        min_volume: NonNegativeFloat = 100_000.0
        shares_only: StrictBool = True
        max_age_days: Count = 5
        base_url: BaseAddress = _alpha_vantage.BASE_URL

    settings: Settings

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Send one request, then filter."""
        params = {"function": "TOP_GAINERS_LOSERS"}
        last_updated, movers = _alpha_vantage.get(
            context, self.settings.base_url, parse_movers, params, TTL_S
        )
        age_days = (context.today - datetime.date.fromisoformat(last_updated)).days
        # Movers of a day after `today` would be look-ahead.
        if age_days < 0:
            raise SourceError(
                "bad_request",
                f"Alpha Vantage has only the movers of {last_updated}, not of {context.today}",
            )
        if age_days > self.settings.max_age_days:
            raise SourceError(
                "unavailable", f"the movers are of {last_updated}, {age_days} days ago"
            )
        seen = set()
        for name in self.settings.lists:
            for row in movers[name]:
                ticker = row["ticker"]
                priority = self._priority(row)
                if priority is not None and ticker not in seen:
                    seen.add(ticker)
                    data = {**row, "last_updated": last_updated}
                    yield context.candidate(
                        ticker,
                        describe(row, last_updated),
                        priority,
                        data,
                    )

    def _priority(self, row: Mover) -> str | None:
        """Return the priority of a row, None when it does not pass the filters."""
        settings = self.settings
        if settings.shares_only and not is_share(row["ticker"]):
            return None
        if (row["price"] or 0.0) < settings.min_price_usd:
            return None
        if (row["volume"] or 0.0) < settings.min_volume:
            return None
        change_pp = abs(row["change_pp"])
        is_large = change_pp >= settings.min_change_pp
        # A stock is on this list for its volume: it needs no large change.
        if not is_large and row["list"] != "most_active":
            return None
        if change_pp >= settings.high_change_pp:
            return "high"
        return "medium" if is_large else "low"


def describe(row: Mover, last_updated: str) -> str:
    """Return the list, the change, and the numbers that are known, in one line."""
    reason = f"{LABELS[row['list']]} of {last_updated}: {row['change_pp']:+.1f}%"
    if row["price"] is not None:
        reason += f" to ${row['price']:,.2f}"
    if row["volume"] is not None:
        reason += f", {row['volume']:,.0f} shares traded"
    return reason
