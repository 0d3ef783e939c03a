"""Tests of the web scanners: parsing, candidates, and containment of failures."""

from __future__ import annotations

import codecs
import datetime
import json
import logging
import sys
import time
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest
import wire
from stub_scanners import make, naming
from stub_server import Json, Reset, Silence, Status, StubServer, Trickle
from web_sources import (
    ADSH,
    AGENT,
    BASIC,
    FAILURES,
    HANGING,
    KEYS,
    LARGE,
    PATHS,
    SCANNERS,
    TOKEN,
    Overview,
    expect,
    serve_everywhere,
    serve_valid,
    settings,
)
from wire import KEY, reply

import mp2
from mp2 import SourceError, __version__
from mp2.discovery.http.client import Client
from mp2.discovery.http.quota import parse_rate
from mp2.discovery.runner import scan_in_caller
from mp2.discovery.scanner import ScanContext
from mp2.discovery.sources._fields import Row, usable_from
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import with_dot
from mp2.discovery.sources._requests import responses
from mp2.discovery.sources.filings import Filings, parse_companies, parse_filings
from mp2.discovery.sources.fundamentals import Fundamentals, parse_metric, parse_overview
from mp2.discovery.sources.insider_buying import InsiderBuying, parse_transactions
from mp2.discovery.sources.market_movers import MarketMovers, is_share, parse_movers
from mp2.discovery.sources.news import Feed, News, parse_feed
from mp2.discovery.sources.reddit_trending import RedditTrending, parse_listing, parse_token

TODAY = datetime.date(2026, 1, 6)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SEC_USER_AGENT", raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server():
    with StubServer() as server:
        yield server


class Bench:
    """Runs the built-in scanners through `mp2.scan`, with a client that retries without waiting."""

    def __init__(self, server, folder):
        self.server, self.folder, self.warnings, self.later_s = server, folder, [], 0.0

    def scan(self, *scanners, timeout_s=30.0, today=TODAY, **changed):
        chosen = scanners or SCANNERS
        own = settings(self.server.url)
        config = {
            "scanners": {one.name: own[one.name] | changed.get(one.name, {}) for one in chosen}
        }
        healthy = naming("healthy", "GOOD")
        options = {
            "clock": lambda: time.time() + self.later_s,
            "sleep": lambda cancelled, seconds: None,
        }
        client = Client(self.folder, **options, jitter=lambda: 0.0, warn=self.warnings.append)
        with closing(client):
            self.result = mp2.scan(
                [*chosen, healthy],
                config=config,
                workers=16,
                timeout_s=timeout_s,
                http=client.for_scanner,
                today=today,
            )
        assert self.outcome("healthy").status == "ok"
        assert self.warnings == []
        return self.result

    def outcome(self, name):
        (found,) = [outcome for outcome in self.result.outcomes if outcome.scanner == name]
        return found

    def codes(self):
        return {
            one.scanner: one.error and one.error.code
            for one in self.result.outcomes
            if one.scanner != "healthy"
        }

    def named(self, source):
        """Return the candidates of one scanner by ticker: (priority, context, data)."""
        return {
            one.ticker: (one.priority, one.contexts[one.sources.index(source)], one.data[source])
            for one in self.result.candidates
            if source in one.sources
        }

    def traces(self):
        """Yield the traces of a scan: its result, logs, and the bytes of the client's files."""
        result = self.result
        yield json.dumps(result.to_dict())
        yield from (line for lines in result.logs.values() for line in lines)
        yield repr(result)
        yield from (file.read_bytes().decode("latin-1") for file in self.folder.iterdir())


@pytest.fixture
def bench(server, tmp_path):
    serve_valid(server)
    return Bench(server, tmp_path)


# --- values of replies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (-1.5, -1.5),
        ("2.5", 2.5),
        (" 1,234.5 ", 1234.5),
        ("207.0796%", 207.0796),
        ("-3e2", -300.0),
        (".5", 0.5),
        *[
            (none, None)
            for none in (
                "",
                "None",
                "-",
                "1_000",
                "nan",
                "inf",
                "1e999",
                "five",
                "0x1",
                "١",
                None,
                True,
                [],
                {},
                "%",
            )
        ],
        *[(none, None) for none in (float("nan"), float("inf"), 10**400)],
    ],
)
def test_numbers(value, expected):
    assert Row(field=value).number("field") == expected


def test_days_and_next_weekdays():
    assert Row(field="2026-01-05 16:15:59 US/Eastern").day("field") == "2026-01-05"
    for value in ("2026-13-05", "05.01.2026", "", None, 20260105):
        assert Row(field=value).day("field") is None
    week = [usable_from(f"2026-01-{day:02d}") for day in range(5, 12)]
    assert [day[-2:] for day in week] == ["06", "07", "08", "09", "12", "12", "12"]


def code_of(parse, response):
    with pytest.raises(SourceError) as caught:
        parse(response)
    assert KEY not in str(caught.value)
    return caught.value


NOT_AGREED = [[], [1, 2], "text", 5, None, True, {}, {"other": 1}]
PARSERS = {
    parse_movers: (wire.movers(), "top_gainers"),
    parse_transactions: (wire.transactions(), "data"),
    parse_metric: (wire.metric(), "metric"),
    parse_overview: (wire.overview(), "Symbol"),
    parse_filings: (wire.found(), "hits"),
    parse_token: (wire.login("x"), "access_token"),
    parse_listing: (wire.listing(), "data"),
}


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
def test_unexpected_formats_are_bad_payloads(parse):
    good, key = PARSERS[parse]
    parse(reply(good))
    bodies = [*map(json.dumps, NOT_AGREED), "", json.dumps(good)[:-9], b"\xff\xfe"]
    bodies += [json.dumps({name: value for name, value in good.items() if name != key})]
    bodies += [json.dumps(good | {key: 7}), json.dumps(good | {key: None})]
    if parse is parse_overview:  # `{}` is an unknown symbol, and the name of a symbol is ignored
        bodies = [body for body in bodies if body != "{}" and json.dumps(key) not in str(body)]
    assert {body: code_of(parse, reply(body)).code for body in bodies} == dict.fromkeys(
        bodies, "bad_payload"
    )


@pytest.mark.parametrize("parse", [parse_movers, parse_overview])
@pytest.mark.parametrize(
    ("body", "code", "burst"),
    [
        (wire.AV_BURST, "rate_limited", True),
        (wire.AV_DAY, "rate_limited", False),
        (wire.AV_OLD_NOTE, "rate_limited", False),
        ({"Note": "please wait"}, "rate_limited", False),
        (wire.AV_PREMIUM, "forbidden", False),
        (wire.AV_BAD_KEY, "unauthorized", False),
        (wire.AV_BAD_KEY_INFORMATION, "unauthorized", False),
        (wire.AV_DEMO, "unauthorized", False),
        (wire.AV_BAD_CALL, "bad_request", False),
        ({"Information": 5}, "bad_payload", False),
    ],
)
def test_refusals_of_alpha_vantage(parse, body, code, burst):
    error = code_of(parse, reply(body))
    assert (error.code, error.burst) == (code, burst)


@pytest.mark.parametrize("parse", [parse_transactions, parse_metric])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (wire.FH_BAD_KEY, 401, "unauthorized"),
        (wire.FH_FORBIDDEN, 403, "forbidden"),
        (wire.FH_LIMIT, 429, "rate_limited"),
        (wire.FH_LIMIT, 200, "rate_limited"),
        (wire.FH_NO_KEY, 429, "unauthorized"),
        (wire.FH_NO_KEY, 200, "unauthorized"),
        ("API limit reached.", 200, "rate_limited"),
        (wire.PAGE, 200, "rate_limited"),
        (wire.PAGE, 302, "rate_limited"),
        (wire.PAGE, 502, "bad_payload"),
        ({"error": KEY}, 200, "bad_payload"),
    ],
)
def test_refusals_of_finnhub(parse, body, status, code):
    assert code_of(parse, reply(body, status)).code == code


@pytest.mark.parametrize(
    ("parse", "body", "status", "code"),
    [
        (parse_filings, wire.SEC_UNDECLARED, 403, "forbidden"),
        (parse_companies, wire.SEC_UNDECLARED, 403, "forbidden"),
        (parse_filings, wire.SEC_TOO_MANY, 403, "rate_limited"),
        (parse_filings, wire.found(timed_out=True), 200, "unavailable"),
        (parse_companies, [1], 200, "bad_payload"),
        (parse_companies, {"0": {"cik_str": "x", "ticker": 5}}, 200, "bad_payload"),
        (parse_token, wire.REDDIT_LOGIN_REFUSED, 200, "unauthorized"),
        (parse_token, {"access_token": "", "x": 1}, 200, "bad_payload"),
        (parse_token, wire.REDDIT_BLOCKED, 403, "forbidden"),
        (parse_listing, wire.REDDIT_BLOCKED, 403, "forbidden"),
    ],
)
def test_refusals_of_other_sources(parse, body, status, code):
    assert code_of(parse, reply(body, status)).code == code


def test_unreadable_rows_are_left_out_unless_all_are():
    broken = [
        5,
        None,
        {},
        wire.mover("A", ""),
        wire.mover("", "5%"),
        wire.mover("B") | {"ticker": 7},
    ]
    _, read = parse_movers(reply(wire.movers([*broken, wire.mover("C", price="", volume="x")])))
    assert [
        (row["ticker"], row["price"], row["volume"], row["change_pp"]) for row in read["gainers"]
    ] == [("C", None, None, 207.0796)]
    assert code_of(parse_movers, reply(wire.movers(broken))).code == "bad_payload"
    undated = wire.movers() | {"last_updated": "today"}
    assert code_of(parse_movers, reply(undated)).code == "bad_payload"

    broken = [
        1,
        wire.transaction(filingDate="soon"),
        wire.transaction(change="many"),
        wire.transaction(transactionCode=None),
    ]
    texts = wire.transaction(
        change="1,000", transactionPrice="12.5", transactionDate="", isDerivative=True
    )
    (row,) = parse_transactions(reply(wire.transactions(*broken, texts)))
    assert (row["shares"], row["price"], row["traded"], row["is_derivative"]) == (
        1000.0,
        12.5,
        None,
        True,
    )
    assert code_of(parse_transactions, reply(wire.transactions(*broken))).code == "bad_payload"

    broken = [7, {"_source": 1}, wire.hit("no-number"), wire.hit(ADSH.format(1), filed="x")]
    odd = wire.hit(ADSH.format(2), items="8.01", form=None) | {"_id": 5}
    odd["_source"]["display_names"] = ["Apple Inc.  (AAPL, APLE)  (CIK 0000320193)", 7, "Somebody"]
    (filing,), n_hits = parse_filings(reply(wire.found(*broken, odd)))
    assert n_hits == 5
    assert (filing["company"], filing["ticker"], filing["ciks"]) == (
        "Apple Inc.",
        "AAPL",
        ["320193"],
    )
    assert (filing["items"], filing["form"]) == ([], "")
    assert filing["url"].endswith("/edgar/data/320193/000032019326000002/")
    assert code_of(parse_filings, reply(wire.found(*broken))).code == "bad_payload"

    broken = [0, {"kind": "t3"}, wire.post(1, ""), wire.post(2, "x", created_utc="soon")]
    texts = wire.post(3, "title", score="12", num_comments=None, selftext=None)
    rules = wire.post(4, "rules", stickied=True)
    (read,), after = parse_listing(reply(wire.listing(*broken, texts, rules)))
    assert after == ""
    assert (read["score"], read["comments"], read["text"]) == (12, 0, "")
    assert read["url"] == "https://www.reddit.com/r/stocks/comments/p3/"
    assert code_of(parse_listing, reply(wire.listing(*broken))).code == "bad_payload"


def test_key_figures():
    assert parse_metric(reply(wire.metric(peTTM=None, peNormalizedAnnual="14"))) == {
        "pe": 14.0,
        "price_to_book": 3.1,
        "return_on_equity_pct": 28.2,
        "dividend_yield_pct": None,
        "market_cap_usd": 2.5e9,
    }
    read = parse_overview(reply(wire.overview(PERatio="None", TrailingPE="-", DividendYield="")))
    assert read["pe"] is None
    assert read["dividend_yield_pct"] is None
    assert read["return_on_equity_pct"] == pytest.approx(30.2)
    unknown = dict.fromkeys(read)
    assert (
        parse_overview(reply({})) == parse_metric(reply({"metric": {}, "symbol": "X"})) == unknown
    )
    figures = (
        "PERatio",
        "PriceToBookRatio",
        "ReturnOnEquityTTM",
        "DividendYield",
        "MarketCapitalization",
    )
    assert (
        code_of(parse_overview, reply(wire.overview(**dict.fromkeys(figures, "?")))).code
        == "bad_payload"
    )


# --- feeds ----------------------------------------------------------------------------------------


def test_feeds_of_both_kinds_without_their_markup():
    first, second = parse_feed(
        reply(wire.rss(("A &amp;amp; B", "<![CDATA[<p>up <b>5%</b>&nbsp;now</p>]]>"), ("C", "")))
    )
    assert (first["title"], first["text"], first["link"]) == (
        "A & B",
        "up 5% now",
        "https://news.example/0",
    )
    assert (second["text"], second["published"]) == ("", "2026-01-05T14:00:00+00:00")
    (entry,) = parse_feed(reply(wire.atom("$ABC"), content_type="application/atom+xml"))
    assert (entry["title"], entry["link"], entry["published"]) == (
        "$ABC",
        "https://a.example/1",
        "2026-01-05T10:00:00+00:00",
    )
    assert parse_feed(reply(wire.rss())) == []
    assert parse_feed(reply(wire.rss(("$ABC", ""), date="soon")))[0]["published"] is None
    script = wire.rss(("$ABC", "")).replace("https://news.example/0", "javascript:alert(1)")
    assert parse_feed(reply(script))[0]["link"] == ""


def test_a_feed_in_another_encoding():
    text = wire.rss(("Čez $ABC", "")).replace('"1.0"', '"1.0" encoding="utf-16"')
    assert parse_feed(reply(text.encode("utf-16")))[0]["title"] == "Čez $ABC"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (wire.rss(("Čez $ABC", "")).encode(), "text/html"),
        (wire.rss(("Čez $ABC", "")).encode("utf-8-sig"), "text/xml; charset=latin-1"),
        (wire.rss(("Čez $ABC", "")).encode("utf-16-be"), "application/rss+xml"),
        (wire.rss(("Čez $ABC", "")).encode("utf-32"), "application/rss+xml; charset=utf-8"),
        (wire.rss(("Čez $ABC", "")).encode("cp1250"), "application/rss+xml; charset=windows-1250"),
        (wire.rss(("Čez $ABC", "")).encode(), "application/rss+xml; charset=punycode"),
        (
            wire.rss(("Čez $ABC", "")).replace('"1.0"', '"1.0" encoding="utf-16"', 1).encode(),
            "text/xml",
        ),
        (
            wire.rss(("Čez $ABC", ""))
            .replace('"1.0"', '"1.0" encoding="iso-8859-2"', 1)
            .encode("latin2"),
            "text/xml",
        ),
    ],
)
def test_charsets_of_feeds(body, content_type):
    assert parse_feed(reply(body, content_type=content_type))[0]["title"] == "Čez $ABC"


@pytest.fixture
def slow_codec():
    """Yield the name of a codec that is not a common charset, and the data it decoded."""
    decoded = []

    def decode(data, errors="strict"):
        decoded.append(data)
        return bytes(data).decode("latin-1"), len(data)

    def search(name):
        return (
            codecs.CodecInfo(codecs.latin_1_encode, decode, name=name)
            if name == "slow_one"
            else None
        )

    codecs.register(search)
    yield "slow_one", decoded
    codecs.unregister(search)


def test_a_reply_cannot_choose_its_codec(slow_codec):
    name, decoded = slow_codec
    feed = wire.rss(("$ABC", ""))
    declared = feed.replace('"1.0"', f'"1.0" encoding="{name}"', 1)
    for body in (feed, declared, declared.replace("?>", "?>\n")):
        for content_type in (
            "text/xml",
            f"text/xml; charset={name}",
            f"application/rss+xml; charset='{name}'",
        ):
            response = reply(body, content_type=content_type)
            assert (parse_feed(response)[0]["title"], response.text()) == ("$ABC", body)
    assert decoded == []


def test_punycode_takes_no_time():
    body = wire.rss(("$ABC", "")) + "-" + "a1" * 700_000  # decoding this takes minutes
    response = reply(body, content_type="text/xml; charset=punycode")
    assert code_of(parse_feed, response).code == "bad_payload"
    assert response.text() == body


def test_a_feed_with_a_minor_error_is_read():
    assert len(parse_feed(reply(wire.rss(("Q&A of $ABC", "&nbsp;"))))) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html><p>hello",
        "{}",
        "text",
        wire.rss(("A", ""))[:-9],
        b"\x00\x01",
        "<?xml version='1.0'?><a/>",
    ],
)
def test_incomplete_and_other_documents_are_refused(body):
    assert code_of(parse_feed, reply(body)).code == "bad_payload"


def test_feeds_open_neither_files_nor_addresses(tmp_path, server):
    file = tmp_path / "feed.xml"
    file.write_text(wire.rss(("secret", "")), encoding="utf-8")
    url = server.route("/inside", Status(200, wire.rss(("inside", ""))))
    for body in (str(file), url, f"file://{file}"):
        assert code_of(parse_feed, reply(body)).code == "bad_payload"
    entity = f'<!DOCTYPE rss [<!ENTITY x SYSTEM "file://{file}">]>'
    assert "secret" not in str(
        parse_feed(reply(wire.rss(("A &x; B", "")).replace("<rss", entity + "<rss")))
    )
    assert server.n_requests() == 0


# --- tickers in texts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$TSLA, $brk.b! ($NVDA)", {"TSLA", "BRK-B", "NVDA"}),
        ("$5k and $20 for US$ABC, a$ABC, $TOOLONG $A1", set()),
        ("$TSLA.Buy now", {"TSLA"}),
        (
            "XYZ Corp. (NYSE: XYZ) and (Nasdaq:abc), (NYSE American: NAK; TSX: NDM)",
            {"XYZ", "ABC", "NAK"},
        ),
        ("(TSX: RY) (LSE: VOD) (OTCQB: FOO)", {"RY-TO", "RY.TO", "VOD.L", "FOO"} - {"RY-TO"}),
        ("NVDA and AMD, nvda, NVDAX, A.NVDA", {"NVDA"}),
        ("Apple's plan, APPLE, pineapple; Alphabet Inc. rises", {"AAPL", "GOOGL"}),
    ],
)
def test_mentions(text, expected):
    mentions = Mentions(["NVDA"], {"Apple": "AAPL", "alphabet inc.": "GOOGL", "Alphabet": "XXX"})
    assert mentions.find(text) == expected


def test_without_lists_only_marked_tickers_count():
    assert Mentions().find("NVDA Apple $A") == {"A"}


def test_shares_and_other_securities():
    assert all(map(is_share, ["A", "AAPL", "GOOGL", "BRK.B", "BRK-B", "FOAW", "RUN", "U"]))
    assert not any(
        map(
            is_share,
            ["ZCARW", "FOA+", "VHAI+A", "IFN^", "BNIXR", "ABCDU", "ABC.WS", "ABC-U", "", "A B"],
        )
    )
    assert [with_dot(symbol) for symbol in ("BRK-B", "AAPL", "VOD.L", "ABC-WS")] == [
        "BRK.B",
        "AAPL",
        "VOD.L",
        "ABC-WS",
    ]


# --- what they name -------------------------------------------------------------------------------


def test_candidates_of_valid_responses(server, bench, caplog):
    caplog.set_level(logging.DEBUG)
    result = bench.scan()
    assert [(one.scanner, str(one.status)) for one in result.outcomes] == [
        (name, "ok") for name in (*PATHS, "healthy")
    ]
    assert bench.named("market_movers") == {
        "UPP": (
            "high",
            "top gainer of 2026-01-05: +207.1% to $2.50, 81,562,315 shares traded",
            {
                "list": "gainers",
                "ticker": "UPP",
                "price": 2.5,
                "change_pp": 207.0796,
                "change_amount": 1.72,
                "volume": 81562315.0,
                "last_updated": "2026-01-05",
            },
        ),
        "BIG": bench.named("market_movers")["BIG"],
    }
    assert bench.named("market_movers")["BIG"][0] == "low"
    (line,) = [named[1] for named in bench.named("insider_buying").values()]
    assert line == "3 insiders bought for $300,000, last filed 2026-01-05"
    filings = bench.named("filings")
    assert {ticker: named[1] for ticker, named in filings.items()} == {
        "AAPL": 'Apple Inc.: 8-K of 2026-01-05 with "share repurchase program"',
        "BRK-B": 'Berkshire: 8-K of 2026-01-05 with "share repurchase program"',
    }
    assert filings["AAPL"][2]["usable_from"] == "2026-01-06"
    assert filings["AAPL"][2]["filings"][0]["url"].endswith(
        "/edgar/data/320193/000032019326000001/d8k.htm"
    )
    assert {ticker: named[1] for ticker, named in bench.named("reddit_trending").items()} == {
        "TSLA": "named in 2 posts on r/stocks: why"
    }
    assert bench.named("news")["AAPL"][1] == "2 headlines: Apple & co (127.0.0.1)"
    assert bench.named("news")["XYZ"][2]["headlines"][0]["link"] == "https://news.example/1"
    figures = "P/E 12.5, P/B 3.1, return on equity 28.2%, market cap $2.5 bn"
    assert bench.named("fundamentals")["AAPL"][1] == figures
    assert bench.named("overview")["IBM"][2]["provider"] == "alpha_vantage"
    assert [text for text in (*bench.traces(), caplog.text) if KEY in text or BASIC in text] == []


def test_requests_received_by_the_server(server, bench):
    bench.scan()
    (movers,) = server.requests(PATHS["market_movers"])
    assert movers.query == {"function": "TOP_GAINERS_LOSERS", "apikey": f"{KEY}-av"}
    apple, berkshire = server.requests(PATHS["insider_buying"])
    assert apple.query == {"symbol": "AAPL", "from": "2025-11-30", "to": "2026-01-06"}
    assert berkshire.query["symbol"] == "BRK.B"
    assert apple.headers["x-finnhub-token"] == f"{KEY}-fh"
    (search,) = server.requests(PATHS["filings"])
    assert search.query == {
        "q": '"share repurchase program"',
        "forms": "8-K",
        "dateRange": "custom",
        "startdt": "2026-01-03",
        "enddt": "2026-01-05",
        "from": "0",
    }
    assert (
        search.headers["user-agent"]
        == server.requests("/companies.json")[0].headers["user-agent"]
        == AGENT
    )
    (login,) = server.requests("/token")
    assert (login.method, login.form) == ("POST", {"grant_type": "client_credentials"})
    assert login.headers["authorization"] == f"Basic {BASIC}"
    (posts, *_) = server.requests(PATHS["reddit_trending"])
    assert posts.query == {"limit": "100", "raw_json": "1"}
    assert (
        posts.headers["user-agent"]
        == login.headers["user-agent"]
        == f"python:mp2:{__version__} (by /u/someone)"
    )
    assert server.requests(PATHS["news"])[0].query == {"page": "1", "token": f"{KEY}-feed"}
    assert server.requests(PATHS["fundamentals"])[0].query == {"symbol": "AAPL", "metric": "all"}
    assert server.requests(PATHS["overview"])[0].query == {
        "function": "OVERVIEW",
        "symbol": "IBM",
        "apikey": f"{KEY}-av",
    }


def test_a_second_scan_requests_only_tokens_of_reddit(server, bench):
    first = bench.scan().candidates
    n_before = server.n_requests()
    assert bench.scan().candidates == first
    assert [seen.path for seen in server.requests()[n_before:]] in (
        ["/token", "/login"],
        ["/login", "/token"],
    )
    cached = {one.scanner for one in bench.result.outcomes if one.status == "cached"}
    assert cached == set(PATHS) - {"reddit_trending", "login"}


def test_lists_and_limits_of_movers(server, bench):
    rows = [
        wire.mover("CHEAP", price="0.5"),
        wire.mover("SMALL", "2%"),
        wire.mover("THIN", volume="10"),
        wire.mover("NONE", price=""),
    ]
    down = [wire.mover("DOWN", "-8.5%"), wire.mover("CRASH", "-50%")]
    server.route(PATHS["market_movers"], Json(wire.movers(rows, down)))
    assert bench.scan(MarketMovers).outcomes[0].status == "empty"
    bench.scan(MarketMovers, market_movers={"lists": ["losers"]})
    assert {ticker: named[0] for ticker, named in bench.named("market_movers").items()} == {
        "DOWN": "medium",
        "CRASH": "high",
    }
    everything = {
        "min_change_pp": 0,
        "min_price_usd": 0,
        "min_volume": 0,
        "lists": ["losers", "gainers"],
    }
    bench.scan(MarketMovers, market_movers=everything)
    assert len(bench.named("market_movers")) == 6


@pytest.mark.parametrize(
    ("today", "code"),
    [(datetime.date(2026, 1, 4), "bad_request"), (datetime.date(2026, 1, 11), "unavailable")],
)
def test_movers_of_another_day_are_a_failure(bench, today, code):
    bench.scan(MarketMovers, today=today)
    assert bench.codes() == {"market_movers": code}


def test_only_purchases_filed_before_today_count(server, bench):
    rows = [
        wire.transaction("A", filingDate="2026-01-06"),  # of today, at an unknown hour
        wire.transaction("B", filingDate="2025-12-29"),  # too old
        wire.transaction("C", transactionDate="2025-12-01", transactionPrice=60.0),
        wire.transaction(
            "C", transactionDate="2025-12-01", transactionPrice=60.0, filingDate="2026-01-02"
        ),  # the same, amended
        wire.transaction("D", transactionCode="S", change=-5000),
        wire.transaction("E", isDerivative=True),
        wire.transaction("F", transactionCode="A"),
        wire.transaction("G", change=-1000),
        wire.transaction("H", transactionPrice=None),
    ]
    server.route(PATHS["insider_buying"], Json(wire.transactions(*rows)))
    bench.scan(InsiderBuying, insider_buying={"symbols": ["AAPL"]})
    priority, _, data = bench.named("insider_buying")["AAPL"]
    assert (priority, data["value_usd"], data["n_insiders"], data["usable_from"]) == (
        "medium",
        60_000.0,
        2,
        "2026-01-06",
    )
    assert {one["name"]: one["filed"] for one in data["purchases"]} == {
        "C": "2026-01-02",
        "H": "2026-01-05",
    }
    bench.scan(InsiderBuying, insider_buying={"symbols": ["AAPL"], "min_value_usd": 60_001})
    assert bench.outcome("insider_buying").status == "empty"


@pytest.mark.parametrize(
    ("price", "n_insiders", "priority"),
    [(60, 1, "medium"), (1000, 1, "high"), (60, 3, "high"), (900, 3, "critical")],
)
def test_priority_of_purchases(server, bench, price, n_insiders, priority):
    rows = [
        wire.transaction(f"N{idx}", change=1000 + idx, transactionPrice=price)
        for idx in range(n_insiders)
    ]
    server.route(PATHS["insider_buying"], Json(wire.transactions(*rows)))
    bench.scan(InsiderBuying)
    assert bench.named("insider_buying")["AAPL"][0] == priority


def test_the_purchases_of_all_companies_need_a_plan(server, bench):
    row = wire.transaction(symbol="XYZ")
    server.route(
        PATHS["insider_buying"],
        Json(wire.transactions(row, symbol="")),
        Json(wire.FH_FORBIDDEN, 403),
    )
    bench.scan(InsiderBuying, insider_buying={"symbols": []})
    assert set(bench.named("insider_buying")) == {"XYZ"}
    bench.scan(InsiderBuying, insider_buying={"symbols": [], "days": 8})
    assert bench.outcome("insider_buying").error.code == "forbidden"
    assert "list some in `symbols`" in bench.outcome("insider_buying").error.message


def test_documents_are_grouped_by_filing_and_company(server, bench):
    hits = [wire.hit(ADSH.format(1), file=f"ex{idx}.htm") for idx in range(98)]
    hits += [
        wire.hit(ADSH.format(3), filed="2026-01-06"),
        wire.hit(ADSH.format(4), "Nobody  (CIK 0000000009)"),
    ]
    more = [
        wire.hit(ADSH.format(1)),
        wire.hit(
            ADSH.format(2), "COOK TIMOTHY  (CIK 0001214156)", "Apple Inc.  (AAPL)  (CIK 0000320193)"
        ),
    ]
    server.route(PATHS["filings"], Json(wire.found(*hits)), Json(wire.found(*more)))
    bench.scan(Filings)
    assert [seen.query["from"] for seen in server.requests(PATHS["filings"])] == ["0", "100"]
    (named,) = bench.named("filings").items()
    assert (named[0], named[1][0], named[1][2]["n_filings"]) == ("AAPL", "high", 2)
    assert "and 1 other filing with" in named[1][1]


def test_all_forms(server, bench):
    bench.scan(Filings, filings={"forms": []})
    assert "forms" not in server.requests(PATHS["filings"])[0].query


def test_without_the_list_of_companies_filings_with_tickers_are_left(server, bench):
    server.route("/companies.json", Status(500))
    bench.scan(Filings)
    assert set(bench.named("filings")) == {"AAPL"}
    assert any("left out" in line for line in bench.result.logs["filings"])


def test_user_agent_for_the_sec(bench, monkeypatch):
    bench.scan(Filings, filings={"user_agent": None})
    assert (bench.outcome("filings").status, bench.codes()) == (
        "skipped",
        {"filings": "missing_key"},
    )
    assert "SEC_USER_AGENT" in bench.outcome("filings").error.message
    monkeypatch.setenv("SEC_USER_AGENT", "curl")
    bench.scan(Filings, filings={"user_agent": None})
    assert bench.codes() == {"filings": "bad_request"}
    assert bench.server.n_requests() == 0
    monkeypatch.setenv("SEC_USER_AGENT", AGENT)
    bench.scan(Filings, filings={"user_agent": None})
    assert bench.outcome("filings").status == "ok"


def test_posts_of_other_days_and_repeated_posts_do_not_count(server, bench):
    old, later = wire.JAN_5_NOON - 2 * 86400, wire.JAN_5_NOON + 3 * 86400
    first = wire.listing(
        wire.post(1, "$ABC"),
        wire.post(2, "$ABC", created_utc=old),
        wire.post(3, "$ABC", created_utc=later),
        after="t3_p3",
    )
    second = wire.listing(wire.post(1, "$ABC"), wire.post(4, "$ABC $ABC"))
    server.route(PATHS["reddit_trending"], Json(first), Json(second))
    bench.scan(RedditTrending, reddit_trending={"n_pages": 5, "high_posts": 2})
    (priority, _, data) = bench.named("reddit_trending")["ABC"]
    assert (priority, data["n_posts"], data["score"], data["comments"]) == ("high", 2, 25, 10)
    assert [seen.query.get("after") for seen in server.requests(PATHS["reddit_trending"])] == [
        None,
        "t3_p3",
    ]


def test_one_private_subreddit_is_left_out(server, bench):
    server.route("/reddit/r/secret/hot", Json({"reason": "private", "error": 403}, 403))
    bench.scan(RedditTrending, reddit_trending={"subreddits": ["secret", "stocks"]})
    assert set(bench.named("reddit_trending")) == {"TSLA"}


def test_figures_are_filtered_and_ranked(server, bench):
    figures = [wire.metric(peTTM=pe) for pe in (18, -3, 4, None, 25)] + [
        wire.metric(peTTM=5, marketCapitalization=None)
    ]
    server.route(PATHS["fundamentals"], *map(Json, figures), Json(wire.FH_FORBIDDEN, 403))
    bench.scan(Fundamentals, fundamentals={"symbols": list("ABCDEFG")})
    assert {ticker: named[0] for ticker, named in bench.named("fundamentals").items()} == {
        "A": "medium",
        "C": "high",
    }
    assert any("G is left out" in line for line in bench.result.logs["fundamentals"])
    strict = {"symbols": list("AC"), "min_dividend_yield_pct": 1.0}
    bench.scan(Fundamentals, fundamentals=strict)
    assert bench.outcome("fundamentals").status == "empty"
    loose = {"symbols": list("ABCDEF"), "max_pe": None, "min_market_cap_usd": None, "limit": 3}
    bench.scan(Fundamentals, fundamentals=loose)
    assert set(bench.named("fundamentals")) == {"B", "C", "F"}


# --- several requests, some of which fail ---------------------------------------------------------


def request_all(context, outcomes):
    def request(name):
        if isinstance(outcomes[name], str):
            raise SourceError(outcomes[name], name)
        return outcomes[name]

    return list(responses(context, outcomes, request))


def test_one_refused_name_is_left_out():
    context = ScanContext(MarketMovers, MarketMovers.Settings())
    assert request_all(
        context, {"a": "forbidden", "b": 1, "c": "bad_payload", "d": 2, "e": "bad_request"}
    ) == [("b", 1), ("d", 2)]
    assert request_all(context, {}) == []
    for outcomes in (
        {"a": "forbidden", "b": "bad_request"},
        {"a": "forbidden", "b": "bad_payload", "c": "bad_request", "d": 1},
    ):
        with pytest.raises(SourceError, match=r"^a$"):
            request_all(context, outcomes)
    for code in ("rate_limited", "unauthorized", "unavailable", "timeout"):
        with pytest.raises(SourceError, match=r"^b$"):
            request_all(context, {"a": 1, "b": code, "c": 2})
    context.cancelled.set()
    with pytest.raises(SourceError, match="cancelled"):
        request_all(context, {"a": 1})


def feeds(server, *replies):
    return [server.route(f"/feed/{idx}", response) for idx, response in enumerate(replies)]


def test_failed_feeds_are_left_out(server, bench):
    good, also = Status(200, wire.rss(("$ABC", "up"))), Status(200, wire.atom("$ABC"))
    urls = feeds(server, Status(404), good, Json([]), also, Status(500))
    bench.scan(News, news={"feeds": urls})
    assert bench.outcome("news").status == "ok"
    assert bench.named("news")["ABC"][2]["n_headlines"] == 1  # the same headline from both
    entries = [
        (entry["host"], entry["status"], entry["n_entries"]) for entry in bench.result.tool_logs
    ]
    assert entries == [
        ("127.0.0.1", status, n)
        for status, n in (
            ("bad_request", 0),
            ("ok", 1),
            ("bad_payload", 0),
            ("ok", 1),
            ("unavailable", 0),
        )
    ]
    assert sum("feed of 127.0.0.1" in line for line in bench.result.logs["news"]) == 3
    for wanted, code in ((2, None), (3, "bad_request")):
        bench.scan(News, news={"feeds": urls, "min_feeds": wanted})
        assert bench.codes() == {"news": code}


def test_a_token_repeated_by_a_feed_is_redacted(server, bench):
    body = wire.rss(("$ABC of tok3nvalue", "up")).replace(
        "<title>$ABC", "<link>https://h.example/?t=tok3nvalue</link><title>$ABC"
    )
    (url,) = feeds(server, Status(200, body))
    result = bench.scan(News, news={"feeds": [f"{url}?token=tok3nvalue"]})
    assert bench.codes() == {"news": None}
    assert "***" in str(bench.named("news")["ABC"])
    assert "tok3nvalue" not in f"{result.to_dict()} {result.logs} {result.tool_logs}"


@pytest.mark.parametrize(
    ("typed", "repeated"),
    [
        ("ab/cd%2Bef%3Dgh12", "ab/cd%2Bef%3Dgh12"),
        ("abcd%2bef%2fgh12", "abcd%2bef%2fgh12"),
        ("abcd%2bef%2fgh12", "abcd+ef/gh12"),
        ("abcdefghijklmnopqrstuvwxyz0", f"{'x' * 269} abcdefghijklmnopqrstuvwxyz0"),
        ("abcdefghijklmnopqrstuvwxyz0", f"{'<b>x</b>' * 990} abcdefghijklmnopqrstuvwxyz0"),
    ],
)
def test_a_key_of_a_feed_is_redacted_in_every_form(server, bench, typed, repeated):
    head = "$ABC " if repeated[0] == "x" else "$ABC of "
    (url,) = feeds(server, Status(200, wire.rss((f"{head}{repeated}", repeated))))
    bench.scan(News, news={"feeds": [f"{url}?token={typed}"]})
    assert set(bench.named("news")) == {"ABC"}
    assert [
        trace
        for trace in bench.traces()
        if typed[:6] in trace.replace("\0", "") or repeated[-6:] in trace
    ] == []


def test_login_and_token_are_redacted(server, bench):
    posts = [
        wire.post(number, f"$TSLA {TOKEN} Basic {BASIC}", f"Bearer {TOKEN}") for number in (1, 2)
    ]
    server.route(PATHS["reddit_trending"], Json(wire.listing(*posts)))
    bench.scan(RedditTrending)
    assert "***" in str(bench.named("reddit_trending")["TSLA"])
    assert [trace for trace in bench.traces() if TOKEN in trace or BASIC in trace] == []


def test_a_reason_is_redacted_before_it_is_cut():
    def named(context):
        context.hide("hidden-one-that-is-long")
        yield {"ticker": "A", "context": f"{'x' * 490} hidden-one-that-is-long"}

    _, (found,), _ = scan_in_caller(make("named", named))
    assert found.context == f"{'x' * 490} ***"


def test_parameters_may_be_separated_by_semicolons():
    taken = Feed.of("https://a.example/feed?page=1;token=hidden-one&q=a;b")
    assert (taken.url, taken.secret_params) == (
        "https://a.example/feed?page=1&q=a%3Bb",
        {"token": "hidden-one"},
    )


def test_feeds_that_differ_in_their_query_are_different_feeds(server, bench):
    (url,) = feeds(server, Status(200, wire.rss(("$ABC", "up"))))
    secret = (
        "token",
        "key",
        "api_key",
        "apikey",
        "x-api-key",
        "access_token",
        "client_secret",
        "password",
        "auth",
        "sig",
    )
    secret += (
        "X-Amz-Signature",
        "X-Amz-Credential",
        "pass",
        "user_pass",
        "pwd",
        "user_credentials",
    )
    plain = (
        "keyword",
        "author",
        "signal",
        "design",
        "q",
        "authors",
        "compass",
        "passage",
        "signatures",
        "monkey",
    )
    taken = Feed.of(f"{url}?{urlencode(dict.fromkeys((*plain, *secret), 'tesla'))}")
    assert tuple(taken.secret_params) == secret
    assert taken.url == f"{url}?{urlencode(dict.fromkeys(plain, 'tesla'))}"
    bench.scan(
        News,
        news={
            "feeds": [
                f"{url}?{name}={word}"
                for name in ("keyword", "token")
                for word in ("tesla", "apple")
            ]
        },
    )
    assert server.n_requests() == 4


@pytest.mark.slow
def test_a_hanging_feed_does_not_delay_the_others(server, bench):
    urls = feeds(server, Silence(), Status(200, wire.rss(("$ABC", "up"))), Trickle())
    bench.scan(News, timeout_s=1.0, news={"feeds": urls})
    assert bench.codes() == {"news": None}
    assert [entry["status"] for entry in bench.result.tool_logs] == ["timeout", "ok", "timeout"]
    assert set(bench.named("news")) == {"ABC"}


def test_old_headlines_and_those_of_later_days_do_not_count(server, bench):
    dates = [
        "Fri, 02 Jan 2026 09:00:00 GMT",
        "Sun, 04 Jan 2026 09:00:00 GMT",
        "Wed, 07 Jan 2026 02:00:00 GMT",
        "Thu, 08 Jan 2026 09:00:00 GMT",
    ]
    urls = feeds(
        server,
        *(
            Status(200, wire.rss((f"${name}", ""), date=date))
            for name, date in zip("ABCD", dates, strict=True)
        ),
    )
    bench.scan(News, news={"feeds": urls})
    assert set(bench.named("news")) == {"B", "C"}


def test_a_defect_while_reading_feeds_is_reported(bench, monkeypatch):
    monkeypatch.setattr("mp2.discovery.sources.news.Feed.read", lambda feed, http: 1 / 0)
    bench.scan(News)
    assert bench.codes() == {"news": "exception"}


def test_without_feedparser_no_request_is_sent(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "feedparser", None)
    bench.scan(News)
    assert "mp2[net]" in bench.outcome("news").error.message
    assert bench.server.n_requests() == 0


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.name)
def test_scan_in_the_calling_thread(bench, scanner):
    own = {scanner.name: settings(bench.server.url)[scanner.name]}
    outcome, candidates, _ = scan_in_caller(scanner, config={"scanners": own}, today=TODAY)
    assert (outcome.status, outcome.n_candidates, outcome.n_dropped) == ("ok", len(candidates), 0)


# --- every failure, every scanner -----------------------------------------------------------------


def fail(bench, response, **options):
    """Run a scan in which every source sends this response."""
    serve_everywhere(bench.server, response)
    return bench.scan(**options)


def assert_contained(bench, caplog, expected):
    assert bench.codes() == expected
    assert [one.ticker for one in bench.result.candidates] == ["GOOD"]
    assert bench.result.status == "partial"
    texts = [*bench.traces(), caplog.text, *(repr(vars(record)) for record in caplog.records)]
    assert [text for text in texts if KEY in text or BASIC in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_failures_are_contained(bench, caplog, failure):
    caplog.set_level(logging.DEBUG)
    response, expected = FAILURES[failure]
    fail(bench, response)
    assert_contained(bench, caplog, expected)
    may_pass = (
        expected["news"] in ("rate_limited", "unavailable")
        and "3600" not in str(response)
        and "2099" not in str(response)
    )
    assert bench.server.n_requests(PATHS["news"]) == (4 if may_pass else 1)


@pytest.mark.slow
@pytest.mark.parametrize("failure", LARGE)
def test_large_responses_are_contained(bench, caplog, failure):
    caplog.set_level(logging.DEBUG)
    fail(bench, LARGE[failure], timeout_s=60)
    assert_contained(bench, caplog, expect("bad_payload"))


@pytest.mark.parametrize(
    "failure",
    [
        "silence",
        "trickle",
        *(pytest.param(name, marks=pytest.mark.slow) for name in list(HANGING)[2:]),
    ],
)
def test_hanging_sources_time_out(bench, caplog, failure):
    caplog.set_level(logging.DEBUG)
    fail(bench, HANGING[failure], timeout_s=0.3)
    assert_contained(bench, caplog, expect("timeout"))


@pytest.mark.slow
@pytest.mark.parametrize("failure", HANGING)
@pytest.mark.parametrize("timeout_s", [0.1, 1.0, 3.0])
def test_hanging_sources_end_within_a_second(bench, failure, timeout_s):
    begun_s = time.monotonic()
    fail(bench, HANGING[failure], timeout_s=timeout_s)
    assert time.monotonic() - begun_s < timeout_s + 2.0
    assert max(one.seconds for one in bench.result.outcomes) < timeout_s + 1.0
    assert bench.codes() == expect("timeout")


def test_transient_failures_are_retried(server, bench):
    day = wire.movers([wire.mover("UPP")])
    server.route(PATHS["market_movers"], Json(wire.AV_BURST), Json(day))
    server.route(PATHS["fundamentals"], Status(503), Reset(), Json(wire.metric()))
    bench.scan(MarketMovers, Fundamentals)
    assert [(one.status, one.attempts) for one in bench.result.outcomes[:2]] == [
        ("ok", 2),
        ("ok", 3),
    ]


def test_stale_responses_replace_failed_ones(bench):
    first = bench.scan()
    bench.later_s = 24 * 3600 + 60
    for path in set(PATHS.values()) - {"/login"}:
        bench.server.route(path, Status(503))
    bench.server.route("/companies.json", Status(503))
    assert [one.to_dict() for one in bench.scan().candidates] == [
        one.to_dict() for one in first.candidates
    ]
    assert {str(one.status) for one in bench.result.outcomes} == {"stale", "ok"}
    assert bench.codes() == expect(None)


@pytest.mark.parametrize("scanner", [one for one in SCANNERS if one.keys], ids=lambda one: one.name)
def test_without_a_key_no_request_is_sent(bench, monkeypatch, scanner):
    monkeypatch.setenv(scanner.keys[-1], "")
    bench.scan(scanner)
    assert (bench.outcome(scanner.name).status, bench.codes()) == (
        "skipped",
        {scanner.name: "missing_key"},
    )
    assert scanner.keys[-1] in bench.outcome(scanner.name).error.message
    assert bench.server.n_requests() == 0


@pytest.mark.parametrize(
    ("scanner", "key"), [(Fundamentals, "FINNHUB_API_KEY"), (Overview, "ALPHAVANTAGE_API_KEY")]
)
def test_only_the_key_of_the_chosen_provider_is_needed(bench, monkeypatch, scanner, key):
    monkeypatch.delenv(
        next(name for name in ("FINNHUB_API_KEY", "ALPHAVANTAGE_API_KEY") if name != key)
    )
    bench.scan(scanner)
    assert bench.codes() == {scanner.name: None}
    monkeypatch.delenv(key)
    bench.scan(scanner)
    assert bench.codes() == {scanner.name: "missing_key"}


# --- declarations and settings --------------------------------------------------------------------


def test_built_in_scanners_are_registered_in_order():
    names = [one.name for one in mp2.find_scanners() if one.scanner in SCANNERS]
    assert names == [
        "market_movers",
        "insider_buying",
        "filings",
        "reddit_trending",
        "news",
        "fundamentals",
    ]
    assert all(one.error is None for one in mp2.find_scanners())


@pytest.mark.parametrize(
    "scanner", [one for one in SCANNERS if one is not News], ids=lambda one: one.name
)
def test_rates_are_declared_for_the_hosts(scanner):
    given = scanner.Settings()
    urls = [
        getattr(given, name)
        for name in ("base_url", "auth_url", "tickers_url")
        if getattr(given, name, None)
    ]
    assert {urlsplit(url).hostname for url in urls} <= set(scanner.rates)
    assert all(parse_rate(rate) for rates in scanner.rates.values() for rate in rates)


@pytest.mark.parametrize(
    ("name", "setting"),
    [("news", {"feeds": ["https://a.example/rss"]}), ("fundamentals", {"symbols": ["A"]})],
)
def test_scanners_without_input_are_off(name, setting):
    model = {"news": News, "fundamentals": Fundamentals}[name].Settings
    assert not model().enabled
    assert model(**setting).enabled
    assert not model(**setting, enabled=False).enabled
    with pytest.raises(ValueError, match="nothing to request"):
        model(enabled=True)


@pytest.mark.parametrize(
    ("scanner", "given"),
    [
        (MarketMovers, {"lists": []}),
        (MarketMovers, {"lists": ["winners"]}),
        (MarketMovers, {"base_url": "ftp://x"}),
        (MarketMovers, {"base_url": f"https://me:{KEY}@example.com"}),
        (MarketMovers, {"min_price_usd": float("nan")}),
        (InsiderBuying, {"symbols": ["no symbol"]}),
        (InsiderBuying, {"days": 0}),
        (Filings, {"user_agent": "no contact"}),
        (Filings, {"user_agent": "line\nbreak a@b.example"}),
        (Filings, {"user_agent": "a\n@b.example"}),
        (Filings, {"query": "  "}),
        (RedditTrending, {"enabled": True}),
        (RedditTrending, {"subreddits": ["../x"]}),
        (News, {"feeds": ["file:///etc/passwd"]}),
        (News, {"feeds": ["https://a.example"], "names": {"Apple": "?"}}),
        (Fundamentals, {"symbols": ["A"], "max_pe": 0}),
        (Fundamentals, {"symbols": ["A"], "provider": "yahoo"}),
    ],
)
def test_invalid_settings(server, tmp_path, scanner, given):
    result = mp2.scan(
        [scanner],
        config={"scanners": {scanner.name: given}},
        http=lambda context: pytest.fail("sent a request"),
    )
    (outcome,) = result.outcomes
    assert (outcome.status, outcome.error.code) == ("error", "preparation")
    assert KEY not in outcome.error.message
