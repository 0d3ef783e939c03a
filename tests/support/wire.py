"""Responses of the sources, as far as scanners read them.

Refusals have `KEY` where the real ones repeat a key.
"""

from __future__ import annotations

import json
from typing import Any

from mp2.discovery.http.reply import Reply

KEY = "pl4nted-k3y"


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """Return a reply; a body that is neither bytes nor text is sent as JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body.encode() if isinstance(body, str) else body)


# --- Alpha Vantage

AV_BURST = {
    "Information": "Thank you for using Alpha Vantage! Please consider spreading out your free API "
    "requests more sparingly (1 request per second). You may subscribe to any of the premium plans "
    "to lift the free key rate limit (25 requests per day), raise the per-second burst limit, and "
    "instantly unlock all premium endpoints."
}
AV_DAY = {
    "Information": f"We have detected your API key as {KEY} and our standard API rate limit is 25 "
    "requests per day. Please subscribe to any of the premium plans to instantly remove all daily "
    "rate limits."
}
AV_OLD_NOTE = {
    "Note": "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per "
    "minute and 500 calls per day."
}
AV_PREMIUM = {
    "Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may "
    "subscribe to any of the premium plans to instantly unlock all premium endpoints, up to 600 "
    "requests per minute and no limit per day."
}
AV_BAD_KEY = {
    "Error Message": f"the parameter apikey is invalid or missing ({KEY}). Please claim your free "
    "API key."
}
AV_BAD_KEY_INFORMATION = {
    "Information": "the parameter apikey is invalid or missing. Please claim your free API key."
}
AV_DEMO = {
    "Information": "The **demo** API key is for demo purposes only. Please claim your free API key."
}
AV_BAD_CALL = {
    "Error Message": "Invalid API call. Please retry or visit the documentation for OVERVIEW."
}


def mover(
    ticker: str, change: str = "207.0796%", price: str = "2.5", volume: str = "81562315"
) -> dict[str, str]:
    return {
        "ticker": ticker,
        "price": price,
        "change_amount": "1.72",
        "change_percentage": change,
        "volume": volume,
    }


def movers(gainers: Any = (), losers: Any = (), active: Any = ()) -> dict[str, Any]:
    return {
        "metadata": "Top gainers, losers, and most actively traded US tickers",
        "last_updated": "2026-01-05 16:15:59 US/Eastern",
        "top_gainers": list(gainers),
        "top_losers": list(losers),
        "most_actively_traded": list(active),
    }


def overview(**changed: Any) -> dict[str, Any]:
    return {
        "Symbol": "IBM",
        "MarketCapitalization": "216000000000",
        "PERatio": "9.5",
        "PriceToBookRatio": "7.9",
        "ReturnOnEquityTTM": "0.302",
        "DividendYield": "0.0289",
        "EPS": "9.07",
        "52WeekHigh": "None",
    } | changed


# --- Finnhub

FH_BAD_KEY = {"error": "Invalid API key"}
FH_FORBIDDEN = {"error": "You don't have access to this resource."}
FH_LIMIT = {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
FH_NO_KEY = "API limit reached. Please sign up for a free account at finnhub.io."
PAGE = f"<html><body>moved, {KEY}</body></html>"


def transaction(name: str = "COOK TIM", **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "share": 3_280_180,
        "change": 1000,
        "filingDate": "2026-01-05",
        "transactionDate": "2026-01-02",
        "transactionPrice": 100.0,
        "transactionCode": "P",
        "isDerivative": False,
        "currency": "USD",
        "id": "0001",
    } | changed


def transactions(*rows: Any, symbol: str = "AAPL") -> dict[str, Any]:
    return {"symbol": symbol, "data": list(rows)}


def metric(**changed: Any) -> dict[str, Any]:
    figures = {
        "peTTM": 12.5,
        "pbQuarterly": 3.1,
        "roeTTM": 28.2,
        "marketCapitalization": 2500.0,
        "52WeekHigh": 199.6,
    }
    return {"metric": figures | changed, "metricType": "all", "series": {}, "symbol": "AAPL"}


# --- SEC EDGAR

SEC_UNDECLARED = (
    "<html><title>SEC.gov | Your Request Originates from an Undeclared Automated Tool"
    "</title></html>"
)
SEC_TOO_MANY = "<html><h1>SEC.gov | Request Rate Threshold Exceeded</h1></html>"
COMPANIES = {
    "0": {"cik_str": 1067983, "ticker": "BRK-B", "title": "BERKSHIRE"},
    "1": {"cik_str": 1067983, "ticker": "BRK-A"},
}


def hit(
    adsh: str, *names: str, filed: str = "2026-01-05", file: str = "d8k.htm", **changed: Any
) -> dict[str, Any]:
    source = {
        "ciks": ["0000320193"],
        "display_names": list(names) or ["Apple Inc.  (AAPL)  (CIK 0000320193)"],
        "form": "8-K",
        "root_forms": ["8-K"],
        "adsh": adsh,
        "file_date": filed,
        "items": ["8.01", "9.01"],
    } | changed
    return {"_index": "edgar_file", "_id": f"{adsh}:{file}", "_score": 7.1, "_source": source}


def found(*hits: Any, timed_out: bool = False) -> dict[str, Any]:
    total = {"value": len(hits), "relation": "eq"}
    return {
        "took": 9,
        "timed_out": timed_out,
        "_shards": {},
        "hits": {"total": total, "max_score": 9.0, "hits": list(hits)},
    }


# --- Reddit

REDDIT_BLOCKED = "<html><body><h1>whoa there, pardner!</h1></body></html>"
REDDIT_LOGIN_REFUSED = {"message": "Unauthorized", "error": 401}
JAN_5_NOON = 1767614400.0


def login(token: str) -> dict[str, Any]:
    return {"access_token": token, "token_type": "bearer", "expires_in": 86400, "scope": "*"}


def post(number: int, title: str, text: str = "", **changed: Any) -> dict[str, Any]:
    data = {
        "id": f"p{number}",
        "name": f"t3_p{number}",
        "title": title,
        "selftext": text,
        "subreddit": "stocks",
        "score": 10 + number,
        "num_comments": 5,
        "created_utc": JAN_5_NOON,
        "permalink": f"/r/stocks/comments/p{number}/",
        "stickied": False,
    }
    return {"kind": "t3", "data": data | changed}


def listing(*posts: Any, after: str | None = None) -> dict[str, Any]:
    return {
        "kind": "Listing",
        "data": {"after": after, "before": None, "dist": len(posts), "children": list(posts)},
    }


# --- feeds


def rss(*items: tuple[str, str], date: str = "Mon, 05 Jan 2026 14:00:00 GMT") -> str:
    entries = "".join(
        f"<item><title>{title}</title><description>{text}</description>"
        f"<link>https://news.example/{number}</link>"
        f"<pubDate>{date}</pubDate></item>"
        for number, (title, text) in enumerate(items)
    )
    channel = f"<channel><title>Wire</title>{entries}</channel>"
    return f'<?xml version="1.0"?><rss version="2.0">{channel}</rss>'


def atom(title: str) -> str:
    link = '<link href="https://a.example/1"/>'
    entry = f"<entry><title>{title}</title>{link}<updated>2026-01-05T10:00:00Z</updated></entry>"
    feed = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title>{entry}</feed>'
    return f'<?xml version="1.0"?>{feed}'
