"""Replies of sources as they really come: tickers in elements, mentions, amended filings."""

from __future__ import annotations

import datetime
import html
import sys

import pytest
import wire
from stub_scanners import make
from stub_server import Json, Status, StubServer
from web_sources import ADSH, AGENT
from wire import reply

import mp2
from mp2 import InputError, SourceError
from mp2.discovery.breaker import Breakers, BreakerState
from mp2.discovery.runner import scan_in_caller
from mp2.discovery.sources._mentions import Mentions, symbols_of
from mp2.discovery.sources.filings import common_share, parse_companies, parse_filings
from mp2.discovery.sources.news import News, parse_feed

TODAY = datetime.date(2026, 11, 25)
NAMESPACES = " ".join(
    (
        'xmlns:nasdaq="http://nasdaq.com/reference/feeds/1.0"',
        'xmlns:media="http://search.yahoo.com/mrss/"',
        'xmlns:content="http://purl.org/rss/1.0/modules/content/"',
        'xmlns:dc="http://purl.org/dc/elements/1.1/"',
    )
)


@pytest.fixture
def server():
    with StubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("FINNHUB_API_KEY", "key-of-finnhub")
    monkeypatch.setenv("SEC_USER_AGENT", AGENT)


def scan(name, settings, today=TODAY):
    """Return the result of one built-in scanner."""
    return mp2.scan(config={"scanners": {name: settings}}, only=[name], today=today)


def rss(*items):
    entries = "".join(items)
    return (
        f'<?xml version="1.0"?><rss version="2.0" {NAMESPACES}>'
        f"<channel><title>x</title>{entries}</channel></rss>"
    )


def item(title, date="Wed, 25 Nov 2026 10:00:00 GMT", more=""):
    title = html.escape(title, quote=False)
    return f"<item><title>{title}</title><pubDate>{date}</pubDate>{more}</item>"


def news(server, *items, today=TODAY, **settings):
    """Return the result of the scanner `news` over one feed of these items."""
    url = server.route("/feed", Status(200, rss(*items)))
    return scan("news", {"feeds": [url], **settings}, today)


def tickers_named(result):
    return [candidate.ticker for candidate in result.candidates]


# --- dates ----------------------------------------------------------------------------------------

NOON = "2026-11-25T12:00:00+00:00"
MIDNIGHT = "2026-11-25T00:00:00+00:00"


@pytest.mark.parametrize(
    ("date", "today", "published"),
    [
        ("2026/11/25 15:07:41", TODAY, "2026-11-25T15:07:41+00:00"),
        ("2026年11月25日", TODAY, MIDNIGHT),
        ("1795600000", TODAY, "2026-11-25T09:46:40+00:00"),
        ("2026-11-25 14:30:00 UTC", TODAY, "2026-11-25T14:30:00+00:00"),
        # The first days of a month: a parser of years would find them all new.
        ("2026/2/3 10:00:00", datetime.date(2026, 11, 2), "old"),
        ("2026/11/25 15:07:41", datetime.date(2026, 11, 2), "old"),
        ("2026年11月25日", datetime.date(2026, 11, 2), "old"),
        ("Feb 3, 2019 09:30 AM EST", TODAY, "old"),
        ("3 février 2019", TODAY, "old"),
        ("3 février 2026", TODAY, None),
        ("soon", TODAY, None),
    ],
)
def test_headlines_by_their_dates(server, date, today, published):
    result = news(server, item("Alpha up (NYSE: ABC)", date), today=today)
    dates = [one.data["news"]["headlines"][0]["published"] for one in result.candidates]
    assert dates == ([] if published == "old" else [published])
    assert set(result.candidates[0].data["news"]["headlines"][0] if dates else ()) <= {
        "title",
        "link",
        "published",
        "feed",
    }


def test_old_and_undated_headlines_are_counted_in_the_log(server):
    result = news(
        server,
        item("$A", "2026/11/01"),
        item("$B", "Feb 3, 2019"),
        item("$C", "2026/12/24"),
        item("$D", "soon"),
        item("$E"),
    )
    assert tickers_named(result) == ["D", "E"]
    (line,) = [line for line in result.logs["news"] if "INFO" in line]
    counts = "of 5 headlines from 127.0.0.1: 2 too old, 1 of a later day, 1 without a date"
    assert line.endswith(counts)
    (entry,) = result.tool_logs
    assert (entry["n_too_old"], entry["n_later"], entry["n_undated"]) == (2, 1, 1)


def test_the_date_that_can_be_read_counts(server):
    date = "<dc:date>2026-11-25T12:00:00Z</dc:date>"
    result = news(server, item("$A", "soon", date))
    assert result.candidates[0].data["news"]["headlines"][0]["published"] == NOON


# --- tickers in elements --------------------------------------------------------------------------

STOCK = 'domain="https://www.globenewswire.com/rss/stock"'


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (f"<category {STOCK}>Nasdaq:ABC</category>", ["ABC"]),
        (f"<category {STOCK}>ABC</category>", ["ABC"]),
        (f"<category {STOCK}>Toronto:RY</category>", ["RY.TO"]),
        (f"<category {STOCK}>Helsinki:NOKIA</category>", []),
        ("<category>NYSE:ABC</category><category>CEO</category>", ["ABC"]),
        ("<category>(NYSE: ABC)</category><category>$DEF</category>", ["ABC", "DEF"]),
        ('<category type="symbol">ABC</category>', ["ABC"]),
        ("<dc:subject>NYSE:ABC</dc:subject>", ["ABC"]),
        ("<nasdaq:tickers>ABC,DEF</nasdaq:tickers>", ["ABC", "DEF"]),
        ("<nasdaq:tickers>NASDAQ:ABC, NYSE:DEF</nasdaq:tickers>", ["ABC", "DEF"]),
        ("<nasdaq:tickers>ABC DEF</nasdaq:tickers>", ["ABC", "DEF"]),
        ("<nasdaq:tickers>BRK.B</nasdaq:tickers>", ["BRK-B"]),
        ("<nasdaq:tickers>N/A</nasdaq:tickers>", []),
        ("<ticker>ABC</ticker><ticker>DEF</ticker>", ["ABC", "DEF"]),
        ("<tickers><ticker>ABC</ticker><ticker>DEF</ticker></tickers>", ["ABC", "DEF"]),
        ('<ticker exchange="NYSE">ABC</ticker>', ["ABC"]),
        ('<ticker exchange="NYSE" symbol="ABC"/>', ["ABC"]),
        ("<media:keywords>NYSE:ABC, CEO</media:keywords>", ["ABC"]),
        ('<media:text type="html">Alpha (NYSE: ABC)</media:text>', ["ABC"]),
        ("<content>NYSE:ABC</content>", ["ABC"]),
        (
            "<description>Alpha reports</description>"
            "<content:encoded><![CDATA[<p>Alpha (NYSE: ABC) said</p>]]></content:encoded>",
            ["ABC"],
        ),
        ("<content:encoded>$ABC</content:encoded>", ["ABC"]),
    ],
)
def test_tickers_in_elements(server, elements, expected):
    result = news(server, item("Alpha reports third quarter", more=elements))
    assert tickers_named(result) == expected
    assert str(result.outcomes[0].status) == ("ok" if expected else "empty")


def test_a_text_without_a_title_is_a_headline(server):
    date = "<pubDate>Wed, 25 Nov 2026 09:00:00 GMT</pubDate>"
    result = news(
        server,
        f"<item><description>Alpha (NYSE: ABC) said</description>{date}</item>",
        f"<item><link>https://a.example/</link>{date}</item>",
    )
    (candidate,) = result.candidates
    (headline,) = candidate.data["news"]["headlines"]
    assert (candidate.ticker, headline["title"]) == ("ABC", "Alpha (NYSE: ABC) said")


def test_symbols_of_elements():
    assert symbols_of("Nasdaq: GOOG, GOOGL", bare=False) == ["GOOG", "GOOGL"]
    assert symbols_of("NASDAQ:ABC NYSE:DEF", bare=False) == ["ABC", "DEF"]
    assert symbols_of("TSX Venture Exchange:ABC", bare=False) == ["ABC.V"]
    assert symbols_of("ABC", bare=False) == []
    assert symbols_of("Tech Stocks", bare=True) == []


# --- mentions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("QVC files (OTCID: QVCAQ, QVCGQ, QVCPQ)", {"QVCAQ", "QVCGQ", "QVCPQ"}),
        ("Eve (NYSE: EVEX, EVEXW; B3: EVEB31)", {"EVEX", "EVEXW"}),
        ("TME (NYSE: TME and HKEX: 1698)", {"TME"}),
        ("TME (HKEX: 1698 and NYSE: TME)", {"TME"}),
        ("Alphabet (Nasdaq: GOOG, GOOGL)", {"GOOG", "GOOGL"}),
        ("(NYSE: BRK.A, BRK.B, and C)", {"BRK-A", "BRK-B", "C"}),
        ("(NYSE: BRK.A/BRK.B)", {"BRK-A", "BRK-B"}),
        ("Shop (NYSE, TSX: SHOP)", {"SHOP"}),
        ("Shop (NYSE and TSX: SHOP)", {"SHOP"}),
        ("Bar (Nasdaq Global Select Market: BARX)", {"BARX"}),
        (
            "Pink (OTC Pink: PNKX) (OTC Markets: PNKY) (OTCQX Best Market: PNKZ)",
            {"PNKX", "PNKY", "PNKZ"},
        ),
        ("(CSE: ABC; OTCQB: ABCD)", {"ABCD"}),
        ("(Nasdaq Stockholm: ERIC) (the NYSE: a history)", set()),
        ("(NYSE: ABC, up 5%) (NYSE: DEF and UP 5%)", {"ABC", "DEF"}),
        ("(Nasdaq: TSLA.O) (NYSE: IBM.N)", {"TSLA", "IBM"}),
        ("(TSX: RCI.B) (TSX: RY.TO) (LSE: VOD.L)", {"RCI-B.TO", "RY.TO", "VOD.L"}),
        ("(NYSE: “ABC”) [Nasdaq: DEF] （NYSE：TME）", {"ABC", "DEF", "TME"}),
        ("NASDAQ:AAPL soars, NYSE: CEO resigns", {"AAPL"}),
        ("$TSLA.It was great, $NVDA.IT $AMD.I think, $F.To the moon", {"TSLA", "NVDA", "AMD", "F"}),
        ("$BRK/B rallies", {"BRK-B"}),
        ("$BRK_B rallies", {"BRK-B"}),
        ("$BRK.B rallies", {"BRK-B"}),
        ("$brk.b $RY.TO $VOD.L $BAC-PK", {"BRK-B", "RY.TO", "VOD.L", "BAC-PK"}),
        ("$TSLA/$NVDA and $AMD/INTC", {"TSLA", "NVDA", "AMD"}),
        ("$HOME_DIR $PATH_TO $BTC.X", set()),
        ("Alpha (NYSE: A) beats Beta (NYSE: BB), $C", {"A", "BB", "C"}),
        ("cut (NYSE: AB", set()),
    ],
)
def test_what_texts_call_tickers(text, expected):
    assert Mentions().find(text) == expected


def test_bare_words_with_a_forgotten_blank():
    mentions = Mentions(["TSLA", "BRK-B", "U", "T"])
    assert mentions.find("TSLA.It was. BRK/B, BRK.B") == {"TSLA", "BRK-B"}
    assert mentions.find("TSLA.IT") == {"TSLA"}
    assert mentions.find("U.S. and T-MO") == set()


# --- insiders -------------------------------------------------------------------------------------


def bought(name="DOE J", **changed):
    row = {
        "filingDate": "2026-11-23",
        "transactionDate": "2026-11-20",
        "transactionPrice": 50.0,
        "change": 5000,
    }
    return wire.transaction(name, **(row | changed))


def insiders(server, *rows):
    """Return the priority, the reason and the data of ABC."""
    server.route("/stock/insider-transactions", Json(wire.transactions(*rows, symbol="ABC")))
    result = scan("insider_buying", {"base_url": server.url, "symbols": ["ABC"]})
    (candidate,) = result.candidates
    return candidate.priority, candidate.contexts[0], candidate.data["insider_buying"]


ONCE = "1 insider bought for $250,000, last filed 2026-11-23"


@pytest.mark.parametrize(
    ("rows", "priority", "reason"),
    [
        ([bought()], "medium", ONCE),
        ([bought(), bought(filingDate="2026-11-24")], "medium", ONCE),
        (
            [bought(), bought(transactionPrice=50.5, filingDate="2026-11-24")],
            "medium",
            "1 insider bought for $252,500, last filed 2026-11-24",
        ),
        (
            [bought(transactionPrice=50.5, filingDate="2026-11-24"), bought()],
            "medium",
            "1 insider bought for $252,500, last filed 2026-11-24",
        ),
        # A price that was missing.
        (
            [bought(transactionPrice=None), bought("Doe J", filingDate="2026-11-24")],
            "medium",
            "1 insider bought for $250,000, last filed 2026-11-24",
        ),
        # The first filing is older than the days that count, and made it public.
        (
            [bought(filingDate="2026-11-10"), bought(), bought(change=6000)],
            "medium",
            "1 insider bought for $300,000, last filed 2026-11-23",
        ),
        # Two lots of one filing, both of which its amendment corrects.
        (
            [
                bought(),
                bought(transactionPrice=51.0),
                bought(transactionPrice=60.0, filingDate="2026-11-24"),
                bought(transactionPrice=61.0, filingDate="2026-11-24"),
            ],
            "medium",
            "1 insider bought for $605,000, last filed 2026-11-24",
        ),
        # Without its day a purchase is not recognised by another price.
        (
            [bought(transactionDate=""), bought(transactionDate="", transactionPrice=51.0)],
            "medium",
            "1 insider bought for $505,000, last filed 2026-11-23",
        ),
        ([bought(), bought("DOE FAMILY TRUST"), bought("DOE CAPITAL LLC")], "medium", ONCE),
        (
            [bought(), bought("TRUST"), bought("TRUST", transactionDate="2026-11-19")],
            "medium",
            "1 insider bought for $500,000, last filed 2026-11-23",
        ),
        (
            [bought(), bought("ROE R", change=1000), bought("POE P", transactionPrice=49.0)],
            "high",
            "3 insiders bought for $545,000, last filed 2026-11-23",
        ),
    ],
)
def test_amended_and_joint_filings_count_once(server, rows, priority, reason):
    assert insiders(server, *rows)[:2] == (priority, reason)


def test_joint_filers_are_named(server):
    _, _, data = insiders(server, bought(), bought("DOE FAMILY TRUST"))
    (purchase,) = data["purchases"]
    assert (purchase["name"], purchase["joint_filers"]) == ("DOE J", ["DOE FAMILY TRUST"])
    assert data["shares"] == 5000


# --- filings --------------------------------------------------------------------------------------

OXY = "OCCIDENTAL PETROLEUM CORP /DE/  (OXY, OXY-WT)  (CIK 0000797468)"
BERKSHIRE = "BERKSHIRE HATHAWAY INC  (BRK-B, BRK-A)  (CIK 0001067983)"
COOK = "COOK TIMOTHY D  (CIK 0001214156)"
UNLISTED = "Attovia Therapeutics, Inc.  (CIK 0002058707)"


@pytest.mark.parametrize(
    ("form", "names", "expected"),
    [
        ("4", [BERKSHIRE, OXY], ("OXY", "OCCIDENTAL PETROLEUM CORP /DE/")),
        ("4/A", [COOK, BERKSHIRE, OXY], ("OXY", "OCCIDENTAL PETROLEUM CORP /DE/")),
        ("3", [BERKSHIRE, UNLISTED], ("", "Attovia Therapeutics, Inc.")),
        ("SC 13G", [OXY, BERKSHIRE], ("OXY", "OCCIDENTAL PETROLEUM CORP /DE/")),
        ("8-K", [COOK, OXY], ("OXY", "COOK TIMOTHY D")),
        ("8-K", ["B  (BAC-PL, BAC-PK, BAC)  (CIK 0000000001)"], ("BAC", "B")),
        ("8-K", ["G  (GRABW, GRAB)  (CIK 0000000001)"], ("GRAB", "G")),
        ("8-K", ["A  (ABC-PA, ABC-WT)  (CIK 0000000001)"], ("ABC-PA", "A")),
    ],
)
def test_the_issuer_of_a_filing(form, names, expected):
    (filing,), _ = parse_filings(reply(wire.found(wire.hit(ADSH.format(1), *names, form=form))))
    assert (filing["ticker"], filing["company"]) == expected


@pytest.mark.parametrize(
    ("tickers", "expected"),
    [
        (["OXY-WT", "OXY"], "OXY"),
        (["ABR-PD", "ABR-PE", "ABR"], "ABR"),
        (["BRK-B", "BRK-A"], "BRK-B"),
        (["ABC-UN", "ABC-WS", "ABC-RI", "ABC"], "ABC"),
        (["ABCDU", "ABCDW", "ABCD"], "ABCD"),
        (["GOOGL", "GOOG"], "GOOGL"),
        (["ABCDW"], "ABCDW"),
        ([], ""),
    ],
)
def test_common_shares_come_first(tickers, expected):
    assert common_share(tickers) == expected


def test_the_list_of_companies_names_common_shares():
    companies = {
        "0": {"cik_str": 1, "ticker": "ABC-PA"},
        "1": {"cik_str": 1, "ticker": "ABC"},
        "2": {"cik_str": 2, "ticker": "DEF"},
    }
    assert parse_companies(reply(companies)) == {"1": "ABC", "2": "DEF"}


def test_the_owner_of_an_unlisted_issuer_is_not_named(server):
    hits = [
        wire.hit(ADSH.format(1), BERKSHIRE, UNLISTED, form="4", filed="2026-11-24"),
        wire.hit(ADSH.format(2), BERKSHIRE, OXY, form="4", filed="2026-11-24"),
    ]
    server.route("/search-index", Json(wire.found(*hits)))
    server.route("/companies.json", Json(wire.COMPANIES))
    urls = {"base_url": server.url, "tickers_url": f"{server.url}/companies.json"}
    assert tickers_named(scan("filings", {**urls, "forms": ["4"]})) == ["OXY"]


# --- pages that are not what was asked for --------------------------------------------------------

LOGIN = "<!DOCTYPE html><html><head><title>Log in</title></head><body>{}</body></html>"


@pytest.mark.parametrize(
    "page",
    [
        LOGIN.format("<form>"),
        LOGIN.format('<svg><metadata><rdf:RDF xmlns:rdf="x"></rdf:RDF></metadata></svg>'),
        LOGIN.format("<feed-list></feed-list>"),
        LOGIN.format("<pre><rss version='2.0'></rss></pre>"),
        "<body><rss></rss></body>",
        "<feed-list></feed-list>",
        '{"error": "no key", "help": "<rss></rss>"}',
        '[{"error": "<feed></feed>"}]',
        '{"status": "error"}',
        "Forbidden",
        "",
    ],
)
def test_pages_are_no_feeds(server, page):
    url = server.route("/feed", Status(200, page))
    (outcome,) = scan("news", {"feeds": [url]}).outcomes
    assert (outcome.status, outcome.error.code) == ("error", "bad_payload")
    with pytest.raises(SourceError, match="not an RSS or Atom feed"):
        parse_feed(reply(page))


def test_a_feed_at_which_its_parser_fails_is_a_bad_payload():
    damaged = (
        "<rss><channel><item><category x;y</item></chan='z'>A</category></item></channel></rss>"
    )
    with pytest.raises(SourceError, match=r"cannot be read \(KeyError\)") as caught:
        parse_feed(reply(damaged))
    assert caught.value.code == "bad_payload"


def test_feeds_after_comments_and_other_texts_are_read():
    feed = rss(item("$ABC"))
    for before in ("<!-- made by hand -->\n", "\ufeff", "\n\n", "<?xml-stylesheet href='a'?>"):
        assert [one["title"] for one in parse_feed(reply(before + feed))] == ["$ABC"]


@pytest.mark.parametrize(
    "reference", ["&#xD800;", "&#55357;", "&#x110000;", "&#99999999;", "&#0;", "&#xdfff;"]
)
def test_a_reference_to_no_character_costs_no_feed(reference):
    feed = rss(item(f"$ABC {reference}&#233;&#x1F600;"), item("$DEF"))
    titles = [one["title"] for one in parse_feed(reply(feed))]
    assert titles == ["$ABC \ufffdé\U0001f600", "$DEF"]


# --- missing extras, keys, the day ----------------------------------------------------------------


class States:
    """Breakers in memory."""

    def __init__(self):
        self.states = {}

    def change(self, scanner, change):
        self.states[scanner] = change(self.states.get(scanner, BreakerState()))
        return self.states[scanner]


@pytest.mark.parametrize("module", ["feedparser", "httpx2"])
def test_a_missing_extra_is_skipped_like_a_missing_key(monkeypatch, module):
    for name in ("client", "connection", "request"):
        monkeypatch.delitem(sys.modules, f"mp2.discovery.http.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    states = States()
    result = mp2.scan(
        config={"scanners": {"news": {"feeds": ["https://a.example/"]}}},
        only=["news"],
        breakers=Breakers(states.change),
    )
    (outcome,) = result.outcomes
    assert (outcome.status, outcome.error.code) == ("skipped", "missing_extra")
    assert "pip install 'mp2[net]'" in outcome.error.message
    assert (outcome.failed, result.status) == (False, "complete")
    assert result.warnings == (f"news: skipped: {outcome.error.message}",)
    assert states.states["news"] == BreakerState()


def days_seen():
    days = []

    def note(context):
        days.append(context.today)
        return []

    return days, make("noting", note)


@pytest.mark.parametrize(
    "today",
    [
        "2020-01-13",
        "2020/1/13",
        "Jan 13, 2020",
        "13.01.2020",
        datetime.date(2020, 1, 13),
        datetime.datetime(2020, 1, 13, 15, 30),
    ],
)
def test_the_day_may_be_text(tmp_path, today):
    days, scanner = days_seen()
    mp2.scan([scanner], today=today)
    mp2.scan([scanner], today=today, store=tmp_path / "mp2.db")
    scan_in_caller(scanner, today=today)
    assert days == [datetime.date(2020, 1, 13)] * 3
    assert not any(isinstance(day, datetime.datetime) for day in days)


@pytest.mark.parametrize("today", ["", "2020-13-01", "tomorrow", "01/02/2020", 1.5])
def test_what_is_not_a_day_is_refused_at_once(today):
    days, scanner = days_seen()
    for run in (
        lambda: mp2.scan([scanner], today=today),
        lambda: scan_in_caller(scanner, today=today),
    ):
        with pytest.raises(InputError, match=r"today: .*; write YYYY-MM-DD"):
            run()
    assert days == []


def test_every_scanner_lists_the_variables_it_needs():
    needed = {
        one.name: one.scanner.needed_keys(one.scanner.Settings()) for one in mp2.find_scanners()
    }
    assert needed["filings"] == ("SEC_USER_AGENT",)
    assert needed["fundamentals"] == ("FINNHUB_API_KEY",)
    assert needed["insider_buying"] == ("FINNHUB_API_KEY",)
    assert needed["reddit_trending"] == ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
    assert needed["news"] == needed["sql"] == ()
    assert News.needed_keys(None) == ()
