"""Tickers in the news: RSS and Atom feeds of the user's choice.

A candidate says that at least `min_headlines` different headlines or their summaries, not older
than `max_age_days`, name the ticker: as `$TSLA`, as `(NYSE: XYZ)`, or by a name that the setting
`names` maps to it. On by default once `feeds` are given.

Data: `n_headlines`, `n_sites`, and `headlines` (`title`, `link`, `feed`, `published`), newest
first, at most 10. Priority: high from `high_headlines` headlines, else medium. Order: most
headlines first, then most sites.

The feeds are requested concurrently, for each is another site, and one that hangs must not use up
the time of the others. When some fail and at least `min_feeds` respond, the scanner succeeds with
those; what is missing is in its log and in the tool log (`news.feed`, one entry per feed). With
fewer it fails as the first feed of the list that failed. A feed that has not responded shortly
before the scanner's deadline has failed with `timeout`.

A parameter of a feed's address that looks like a key (`token=...`) is treated as one. feedparser
gets the bytes that were fetched here; it opens no address and no file.
"""

from __future__ import annotations

import calendar
import datetime
import html
import io
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, Field

from mp2._document import Document, Fields, Texts
from mp2._intervals import POLL_S
from mp2.discovery.candidates import one_line
from mp2.discovery.config import KEY_LIKE, parameters
from mp2.discovery.http.reply import Reply, text_charset
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner
from mp2.discovery.sources._fields import Row, most_first
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import (
    Count,
    SettingsWithInput,
    Symbol,
    WebAddress,
    Words,
    distinct,
)
from mp2.errors import MissingExtraError, SourceError, counted

if TYPE_CHECKING:
    from mp2.discovery.http.client import Http

TTL_S = 600.0
MAX_BYTES = 1_500_000
# Of one feed.
MAX_ENTRIES = 300
# In a candidate's data.
MAX_HEADLINES = 10

_MAX_TEXT = 2000
_MAX_MARKUP = 8000
# What is left to rank and report after the last feed, in seconds.
_RESERVE_S = 0.5
_TAG = re.compile(r"<[^<>]{0,2000}>")
# A feed begins within these characters, after comments and style sheets.
_HEAD = 8192
_BEGIN = re.compile(r"<(?:\w+:)?(?:rss|feed|rdf)\b", re.IGNORECASE)
_END = re.compile(r"</(?:\w+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml\b[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# Feeds that declare the key are in the larger charset.
_SUPERSETS = {"gb2312": "gb18030", "iso8859-1": "cp1252"}


# `title`, `text`, `link`: without markup; `published`: an ISO time in UTC, None when unknown. In a
# candidate's data there is `feed`, the host, and no `text`.
Headline = Document


def parse_feed(reply: Reply) -> list[Headline]:
    """Return the entries in the feed's order. Raises `SourceError` unless it is a whole feed."""
    text = decode_feed(reply)
    # feedparser takes seconds to find out.
    if not _BEGIN.search(text[:_HEAD]):
        raise SourceError(
            "bad_payload",
            "the response is not an RSS or Atom feed",
        )
    parsed = import_feedparser().parse(
        # feedparser would open text or bytes as a file of that name, if there is one.
        io.BytesIO(text.encode()),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if parsed.get("bozo") and not _END.search(text[-1000:]):
        raise SourceError("bad_payload", "the feed is truncated")
    headlines = map(read_entry, parsed["entries"][:MAX_ENTRIES])
    return [headline for headline in headlines if headline["title"]]


def import_feedparser() -> Any:
    """Return the module. Raises `MissingExtraError` when it is not installed."""
    try:
        import feedparser  # type: ignore[import-untyped]
    except ImportError as missing:
        raise MissingExtraError("scanner news", "net") from missing
    return feedparser


def decode_feed(reply: Reply) -> str:
    """Decode a feed by its first bytes, its content type, its declaration, or as UTF-8.

    feedparser would use any codec that a feed names; some take the square of the size.
    """
    body = reply.body
    declared = _DECLARED.match(body[:_HEAD].lstrip())
    named = [reply.charset]
    if declared:
        named.append(text_charset(declared[1].decode()))
    # A feed in UTF-16 or UTF-32 shows it in its first bytes; one that only names it is in another.
    charsets = [name for name in named if name and not name.startswith(("utf-16", "utf-32"))]
    detected = json.detect_encoding(body)
    if detected != "utf-8":  # what is returned when the first bytes show nothing
        charsets.insert(0, detected)
    for charset in [*charsets, "utf-8"]:
        with suppress(UnicodeError):
            return body.decode(_SUPERSETS.get(charset, charset))
    return body.decode("cp1252", "replace")


def read_entry(entry: Fields) -> Headline:
    """Return an entry; its title may be empty."""
    # A plain dict: feedparser's own puts one date in the place of the other, with a warning.
    row = Row(entry)
    link = row.line("link", 500)
    published = None
    for name in ("updated_parsed", "published_parsed"):
        with suppress(KeyError, TypeError, ValueError):
            seconds = calendar.timegm(row[name])
            published = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
    return {
        "title": plain_text(row.line("title", _MAX_MARKUP))[:300],
        "text": plain_text(row.line("summary", _MAX_MARKUP)),
        "link": link if link.startswith(("https://", "http://")) else "",
        "published": published,
    }


def plain_text(markup: str) -> str:
    """Return a text without tags and entities."""
    without_tags = _TAG.sub(" ", markup)
    return one_line(html.unescape(without_tags), _MAX_TEXT)


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed's address, with the parameters that are secret kept apart."""

    url: str
    secret_params: Texts = field(repr=False)

    @classmethod
    def of(cls, address: str) -> Feed:
        """Separate the parameters that look like keys from the others."""
        parts = urlsplit(address)
        public = []
        secret = {}
        for name, value in parameters(parts.query):
            if KEY_LIKE.search(name):
                secret[name] = value
            else:
                public.append((name, value))
        return cls(urlunsplit(parts._replace(query=urlencode(public), fragment="")), secret)

    @property
    def host(self) -> str:
        """The name of the feed in logs and data."""
        return urlsplit(self.url).hostname or ""

    def read(self, http: Http) -> list[Headline]:
        """Request the feed. Raises `SourceError`."""
        return http.get(
            self.url,
            parse=parse_feed,
            secret_params=self.secret_params,
            ttl_s=TTL_S,
            max_bytes=MAX_BYTES,
        )


# The headlines of a feed, or why there are none.
FeedResult = tuple[list[Headline], SourceError | None]


def read_all(context: ScanContext, feeds: list[Feed]) -> list[FeedResult]:
    """Return the result of each feed, shortly before the deadline at the latest.

    Raises what a feed raises other than `SourceError`.
    """
    late = SourceError(
        "timeout",
        "no response before the scanner's deadline",
    )
    results: list[FeedResult] = [([], late)] * len(feeds)
    defects = []
    http = context.http

    def read(idx: int, feed: Feed) -> None:
        try:
            results[idx] = (feed.read(http), None)
        except SourceError as error:
            results[idx] = ([], error)
        except BaseException as error:
            defects.append(error)

    deadline = context.deadline.earlier(min(_RESERVE_S, context.remaining_s() / 5))
    threads = []
    for idx_and_feed in enumerate(feeds):
        # A thread of our own: at exit Python would wait for those of an executor.
        thread = threading.Thread(
            target=read,
            args=idx_and_feed,
            name="mp2-feed",
            daemon=True,
        )
        thread.start()
        threads.append(thread)
    for thread in threads:
        while thread.is_alive() and deadline.remaining_s() > 0:
            thread.join(min(POLL_S, deadline.remaining_s()))
    if defects:
        raise defects[0]
    # A copy, which late threads do not change.
    return list(results)


class News(Scanner):
    """Tickers that headlines name."""

    name = "news"
    pipeline = "news"
    summary = "tickers that headlines of your RSS and Atom feeds name"

    class Settings(SettingsWithInput):
        """Feeds, and names that stand for tickers.

        - `feeds`: addresses.
        - `names`: whole words, in any letter case, and their tickers.
        - `min_feeds`: fewer feeds that respond are a failure.
        - `max_age_days`: of headlines.
        - `min_headlines`: that name a ticker; `high_headlines`: where the priority becomes high.
        """

        needed = "feeds"
        feeds: Annotated[tuple[WebAddress, ...], AfterValidator(distinct)] = Field(
            (), max_length=30, repr=False
        )
        names: dict[Words, Symbol] = Field({}, max_length=5000)
        min_feeds: Count = 1
        max_age_days: int = Field(2, ge=0, le=365, strict=True)
        min_headlines: Count = 1
        high_headlines: Count = 3

    settings: Settings

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Read all feeds, then group by ticker."""
        import_feedparser()  # a missing extra is reported before any request
        candidates = []
        for ticker, headlines in self._by_ticker(context).items():
            n_headlines = len(headlines)
            if n_headlines < self.settings.min_headlines:
                continue
            headlines.sort(key=lambda headline: headline["published"] or "", reverse=True)
            newest = headlines[0]
            reason = f"{counted(n_headlines, 'headline')}: {newest['title']} ({newest['feed']})"
            priority = "high" if n_headlines >= self.settings.high_headlines else "medium"
            data = {
                "n_headlines": n_headlines,
                "n_sites": len({headline["feed"] for headline in headlines}),
                "headlines": headlines[:MAX_HEADLINES],
            }
            candidate = context.candidate(ticker, reason, priority, data)
            candidates.append(candidate)
        return most_first(candidates, "n_headlines", "n_sites")

    def _by_ticker(self, context: ScanContext) -> dict[str, list[Headline]]:
        """Return the headlines by the tickers they name, and log the result of each feed.

        Raises the first failure when too few feeds responded.
        """
        mentions = Mentions(names=self.settings.names)
        feeds = [Feed.of(address) for address in self.settings.feeds]
        failures = []
        for feed, (headlines, error) in zip(feeds, read_all(context, feeds), strict=True):
            status = "ok"
            if error is not None:
                status = error.code
                failures.append(error)
                context.logger.warning("feed of %s: %s", feed.host, error)
            context.log_tool("news.feed", host=feed.host, status=status, n_entries=len(headlines))
            for headline in headlines:
                if self._is_recent(context.today, headline):
                    text = headline["title"] + "\n" + headline.pop("text")
                    headline["feed"] = feed.host
                    mentions.add(text, headline["title"].casefold(), headline)
        if len(feeds) - len(failures) < min(self.settings.min_feeds, len(feeds)):
            raise failures[0]
        return mentions.by_ticker()

    def _is_recent(self, today: datetime.date, headline: Headline) -> bool:
        # Feeds hold what is new, so a headline without a date counts.
        if headline["published"] is None:
            return True
        published = datetime.datetime.fromisoformat(headline["published"])
        age_days = (today - published.date()).days
        # In New York it is still `today` when UTC has the next day.
        return -1 <= age_days <= self.settings.max_age_days
