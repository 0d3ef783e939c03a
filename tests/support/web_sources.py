"""All sources of the web scanners on one stub server, and every failure they can show."""

from __future__ import annotations

import base64

import wire
from stub_server import (
    Gzip,
    GzipBomb,
    Huge,
    Json,
    Redirect,
    Reset,
    Silence,
    SlowHeaders,
    Status,
    Trickle,
    Truncated,
    bearer,
    token,
    user_agent,
)
from wire import KEY

from mp2.discovery.sources.filings import Filings
from mp2.discovery.sources.fundamentals import Fundamentals
from mp2.discovery.sources.insider_buying import InsiderBuying
from mp2.discovery.sources.market_movers import MarketMovers
from mp2.discovery.sources.news import News
from mp2.discovery.sources.reddit_trending import RedditTrending

KEYS = {
    "ALPHAVANTAGE_API_KEY": f"{KEY}-av",
    "FINNHUB_API_KEY": f"{KEY}-fh",
    "REDDIT_CLIENT_ID": f"{KEY}-id",
    "REDDIT_CLIENT_SECRET": f"{KEY}-secret",
}
TOKEN = f"{KEY}-token"
BASIC = base64.b64encode(f"{KEY}-id:{KEY}-secret".encode()).decode()
AGENT = "Example Firm ops@example.com"
ADSH = "0000320193-26-00000{}"


class Overview(Fundamentals):
    """The same scanner with its other provider."""

    name = "overview"


class Login(RedditTrending):
    """The same scanner, whose login fails."""

    name = "login"


SCANNERS = (
    MarketMovers,
    InsiderBuying,
    Filings,
    RedditTrending,
    Login,
    News,
    Fundamentals,
    Overview,
)
PATHS = {
    "market_movers": "/av/query",
    "insider_buying": "/fh/stock/insider-transactions",
    "filings": "/sec/search-index",
    "reddit_trending": "/reddit/r/stocks/hot",
    "login": "/login",
    "news": "/feed",
    "fundamentals": "/fh/stock/metric",
    "overview": "/av2/query",
}
"""The path whose responses a test changes."""


def settings(url):
    """Return the settings that point every scanner at the stub server."""
    reddit = {
        "enabled": True,
        "username": "someone",
        "subreddits": ["stocks"],
        "base_url": f"{url}/reddit",
        "min_posts": 2,
    }
    companies = {"base_url": f"{url}/sec", "tickers_url": f"{url}/companies.json"}
    return {
        "market_movers": {"base_url": f"{url}/av"},
        "insider_buying": {"base_url": f"{url}/fh/", "symbols": ["aapl", "BRK.B"]},
        "filings": {**companies, "user_agent": AGENT},
        "reddit_trending": {**reddit, "auth_url": f"{url}/token", "symbols": ["NVDA"]},
        "login": {**reddit, "auth_url": f"{url}/login"},
        "news": {"feeds": [f"{url}/feed?page=1&token={KEY}-feed"], "names": {"Apple": "AAPL"}},
        "fundamentals": {"base_url": f"{url}/fh", "symbols": ["AAPL"]},
        "overview": {"provider": "alpha_vantage", "base_url": f"{url}/av2", "symbols": ["IBM"]},
    }


def serve_valid(server):
    """Serve a valid response on every route."""
    av, fh = token(f"{KEY}-av", param="apikey"), token(f"{KEY}-fh")
    day = wire.movers(
        [wire.mover("UPP"), wire.mover("ZCARW")],
        active=[wire.mover("BIG", "1.0%"), wire.mover("UPP")],
    )
    server.route(PATHS["market_movers"], Json(day), needs=av)
    # Different numbers of shares, or they were one purchase filed by three.
    buys = [
        wire.transaction(name, change=shares)
        for name, shares in (("A", 1000), ("B", 900), ("C", 1100))
    ]
    server.route(
        PATHS["insider_buying"],
        Json(wire.transactions(*buys)),
        Json(wire.transactions(symbol="BRK.B")),
        needs=fh,
    )
    page = wire.found(
        wire.hit(ADSH.format(1)), wire.hit(ADSH.format(2), "Berkshire  (CIK 0001067983)")
    )
    server.route(PATHS["filings"], Json(page), needs=user_agent(AGENT))
    server.route("/companies.json", Json(wire.COMPANIES), needs=user_agent(AGENT))
    for path in ("/token", "/login"):
        server.route(path, Json(wire.login(TOKEN)))
    posts = [wire.post(1, "$tsla up"), wire.post(2, "why", "TSLA? no, $TSLA and NVDA")]
    server.route(
        PATHS["reddit_trending"],
        Json(wire.listing(*posts)),
        needs=(bearer(TOKEN), user_agent("(by /u/someone)")),
    )
    feed = wire.rss(("Apple &amp;amp; co", "<p>up"), ("Deal of XYZ Corp. (NYSE: XYZ)", "and Apple"))
    server.route(
        PATHS["news"],
        Status(200, feed, content_type="application/rss+xml"),
        needs=token(f"{KEY}-feed"),
    )
    server.route(PATHS["fundamentals"], Json(wire.metric()), needs=fh)
    server.route(PATHS["overview"], Json(wire.overview()), needs=av)


ECHO = f"no {KEY}-av {KEY}-fh {KEY}-id {KEY}-secret {TOKEN} {KEY}-feed {BASIC}"
LOOPING = "/loop"


def expect(code, **others):
    return dict.fromkeys(PATHS, code) | others


FINNHUB_LIMITED = {"insider_buying": "rate_limited", "fundamentals": "rate_limited"}
FAILURES = {
    "429": (Status(429, ECHO), expect("rate_limited")),
    "429, retry after seconds": (Status(429, ECHO, {"Retry-After": "2"}), expect("rate_limited")),
    "429, retry after an hour": (
        Status(429, ECHO, {"Retry-After": "3600"}),
        expect("rate_limited"),
    ),
    "429, retry at a date": (
        Status(429, ECHO, {"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT"}),
        expect("rate_limited"),
    ),
    "401": (Json({"error": ECHO}, 401), expect("unauthorized")),
    "403": (Json({"error": ECHO}, 403), expect("forbidden")),
    "403, a page": (Status(403, f"<html>{ECHO}</html>"), expect("forbidden")),
    "400": (Json({"error": ECHO}, 400), expect("bad_request")),
    "404": (Status(404, ECHO), expect("bad_request")),
    "500": (Status(500, ECHO), expect("unavailable")),
    "502": (Status(502, f"<html>{ECHO}</html>"), expect("unavailable")),
    "503": (Status(503, ECHO), expect("unavailable")),
    "302 without a place": (
        Status(302, f"<html>{ECHO}</html>"),
        expect("bad_payload", **FINNHUB_LIMITED),
    ),
    "302 in a circle": (Redirect(LOOPING), expect("bad_payload")),
    "200, a page": (Status(200, f"<html>{ECHO}</html>"), expect("bad_payload", **FINNHUB_LIMITED)),
    "200, text": (Status(200, ECHO, content_type="text/plain"), expect("bad_payload")),
    "200, nothing": (Status(200), expect("bad_payload")),
    "200, an error in JSON": (Json({"error": ECHO}), expect("bad_payload", login="unauthorized")),
    "200, Alpha Vantage's quota": (
        Json(wire.AV_DAY),
        expect("bad_payload", market_movers="rate_limited", overview="rate_limited"),
    ),
    "200, Finnhub's limit": (
        Json(wire.FH_LIMIT),
        expect("bad_payload", login="unauthorized", **FINNHUB_LIMITED),
    ),
    "truncated": (Truncated({"metric": ECHO, "data": [ECHO] * 50}), expect("bad_payload")),
    "wrong type": (Json([ECHO, 1, None]), expect("bad_payload")),
    "wrong types inside": (
        Json(
            {
                "data": 1,
                "metric": 1,
                "hits": 1,
                "access_token": 1,
                "Symbol": "X",
                "PERatio": {},
                "top_gainers": 1,
            }
        ),
        expect("bad_payload"),
    ),
    "wrong content type": (
        Status(200, b"\x89PNG\r\n", content_type="image/png"),
        expect("bad_payload"),
    ),
    "damaged gzip": (
        Status(200, b"\x1f\x8bjunk", {"Content-Encoding": "gzip"}),
        expect("bad_payload"),
    ),
    "unknown encoding": (Status(200, ECHO, {"Content-Encoding": "br"}), expect("bad_payload")),
    "gzip, of the wrong type": (Gzip([ECHO]), expect("bad_payload")),
    "50 MB": (Huge(), expect("bad_payload")),
    "reset in the body": (Reset(), expect("unavailable")),
    "reset before it": (Reset(after_headers=False), expect("unavailable")),
}
LARGE = {"50 MB of unknown length": Huge(says_length=False), "gzip bomb": GzipBomb()}
HANGING = {
    "silence": Silence(),
    "trickle": Trickle(),
    "headers that trickle": SlowHeaders(),
    "an error that trickles": Trickle(status=500),
}


def serve_everywhere(server, response):
    """Serve this response to every scanner, except to the login of `reddit_trending`."""
    for path in PATHS.values():
        server.route(path, response)
    server.route(LOOPING, Redirect(LOOPING))
