"""Tickers in the news: RSS and Atom feeds of one's choice.

A candidate says that at least `min_headlines` different headlines or their summaries, not older than `max_age_days`, name the
ticker: as `$TSLA`, as `(NYSE: XYZ)`, or by a name that the setting `names` has a ticker for. On by default once `feeds` are
given.

Data: `n_headlines`, `n_sites`, and `headlines` (`title`, `link`, `feed`, `published`), newest first, at most 10. Priority: high
from `high_headlines` headlines on, else medium. Most promising first: by headlines, then sites.

The feeds are asked side by side, for each is another site, and one that hangs must not take the others' time. When some
fail and at least `min_feeds` answer, the scanner has done its work with those: what is missing is in its log and in the
tool log (`news.feed`, one entry per feed), because a site that is down is no reason to throw away what the others
reported. With fewer it fails as the first feed of the list that failed. A feed that has not answered shortly before the
scanner's deadline has failed with `timeout`. Whoever must not miss a feed sets `min_feeds` to their number.

A query of a feed's address that looks like a key (`token=...`) is treated as one. Feeds are read by feedparser, from bytes
that were fetched here; it opens no address and no file.
"""

from __future__ import annotations

import datetime
import html
import io
import json
import queue
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator

from mp2.discovery.config import KEY_LIKE, parameters
from mp2.discovery.records import Candidate, counted
from mp2.discovery.scanner import Http, Reply, ScanContext, Scanner, ScannerSettings, text_charset
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import Symbol, WebAddress, Words, different, on_with
from mp2.errors import MissingExtraError, SourceError

TTL_S = 600.0
MAX_BYTES = 1_500_000
MAX_ENTRIES = 300
"""Of one feed."""

MAX_HEADLINES = 10
"""In a candidate's data."""

_MAX_TEXT = 2000
_TAG = re.compile(r"<[^<>]{0,2000}>")
_BEGINS = re.compile(rb"<(?:\w+:)?(?:rss|feed|rdf)\b", re.IGNORECASE)
_HEAD = 8192
"""Bytes within which a feed begins, behind comments and style sheets."""

_ENDS = re.compile(rb"</(?:\w+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)
_RESERVE_S = 0.5
_LOOK_S = 0.05


class Headline(TypedDict):
    """An entry of a feed; `published` is an ISO time in UTC, None where the feed has none. Texts are without markup."""

    title: str
    text: str
    link: str
    published: str | None


def parse_feed(reply: Reply) -> list[Headline]:
    """The entries of a feed, in its order. Raises `SourceError` for what is no feed, and for one that ends too early."""
    feed = _in_utf_8(reply)
    if not _BEGINS.search(feed[:_HEAD]):  # feedparser takes seconds to find that out
        raise SourceError("bad_payload", "answered no RSS or Atom feed")
    # Bytes alone would first be tried as the name of a file.
    body = io.BytesIO(feed)
    found = _feedparser().parse(
        body, response_headers=_UTF_8, sanitize_html=False, resolve_relative_uris=False
    )
    if not found.get("version"):
        raise SourceError("bad_payload", "answered no RSS or Atom feed")
    if found.get("bozo") and not _ENDS.search(feed[-1000:]):
        raise SourceError("bad_payload", "the feed ends too early")
    return [headline for entry in found["entries"][:MAX_ENTRIES] if (headline := _headline(entry))]


def _feedparser() -> Any:
    try:
        import feedparser  # type: ignore[import-untyped]
    except ImportError as missing:
        raise MissingExtraError("scanner news", "net") from missing
    return feedparser


_UTF_8 = {"content-type": "application/xml; charset=utf-8"}
_DECLARED = re.compile(rb"<\?xml\b[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")


def _in_utf_8(reply: Reply) -> bytes:
    """The feed in UTF-8, from the first charset that fits: by its first bytes, its content type, its declaration.

    feedparser would take any codec that a feed names, also those that decode in the square of the size.
    """
    declared = _DECLARED.match(reply.body[:_HEAD].lstrip())
    named = (reply.charset, text_charset(declared[1].decode()) if declared else None)
    for charset in (
        _begins_as(reply.body),
        *(name for name in named if name not in _SEEN),
        "utf-8",
    ):
        with suppress(UnicodeError):
            if charset is not None:
                return reply.body.decode(_MEANT.get(charset, charset)).encode()
    return reply.body.decode("cp1252", "replace").encode()


def _begins_as(body: bytes) -> str | None:
    """The charset that the first bytes tell, by a mark or by zeros between characters."""
    charset = json.detect_encoding(body)
    return None if charset == "utf-8" else charset


_SEEN = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})
"""They show in the first bytes; a feed that names one and does not begin so is in another."""

_MEANT = {"gb2312": "gb18030", "iso8859-1": "cp1252"}
"""The larger charset that is meant where a part of it is named."""


def _headline(entry: Mapping[str, Any]) -> Headline | None:
    title, link = _words(entry.get("title")), fields.line(entry.get("link"), 500)
    if not title:
        return None
    return {
        "title": title[:300],
        "text": _words(entry.get("summary")),
        "link": link if link.startswith(("https://", "http://")) else "",
        "published": _published(entry),
    }


def _words(value: Any) -> str:
    """A text without tags and entities."""
    marked = value[: 4 * _MAX_TEXT] if isinstance(value, str) else ""
    return fields.line(html.unescape(_TAG.sub(" ", marked)), _MAX_TEXT)


def _published(entry: Mapping[str, Any]) -> str | None:
    for name in ("published_parsed", "updated_parsed"):
        time = dict(entry).get(
            name
        )  # feedparser's own look-up puts one in the other's place, with a warning
        try:
            year, month, day, hour, minute, second = time[:6]  # type: ignore[index]
            return datetime.datetime(
                year, month, day, hour, minute, second, tzinfo=datetime.UTC
            ).isoformat()
        except (TypeError, ValueError):
            continue
    return None


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed's address, without what is secret in it, which is apart."""

    url: str
    secret_params: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, address: str) -> Feed:
        """Take the address apart."""
        parts = urlsplit(address)
        query = parameters(parts.query)
        public = [(name, value) for name, value in query if not KEY_LIKE.search(name)]
        url = urlunsplit(parts._replace(query=urlencode(public), fragment=""))
        return cls(url, {name: value for name, value in query if KEY_LIKE.search(name)})

    @property
    def host(self) -> str:
        """What it is called in logs and data."""
        return urlsplit(self.url).hostname or ""

    def read(self, http: Http) -> list[Headline]:
        """Ask for it. Raises `SourceError`."""
        return http.get(
            self.url,
            parse=parse_feed,
            secret_params=self.secret_params,
            ttl_s=TTL_S,
            max_bytes=MAX_BYTES,
        )


Answer = list[Headline] | SourceError


def read_all(context: ScanContext, feeds: list[Feed]) -> list[Answer]:
    """What each feed answered, or how it failed, shortly before the deadline at the latest. Raises what is no `SourceError`."""
    http, ended = context.http, queue.SimpleQueue[tuple[int, list[Headline] | BaseException]]()

    def read(idx: int) -> None:
        try:
            ended.put((idx, feeds[idx].read(http)))
        except BaseException as error:
            ended.put((idx, error))

    until_s = min(_RESERVE_S, context.remaining_s() / 5)
    for idx in range(len(feeds)):
        threading.Thread(target=read, args=(idx,), name=f"mp2-feed-{idx}", daemon=True).start()
    late = SourceError("timeout", "no answer before the scanner's time was over")
    answers: list[Answer] = [late] * len(feeds)
    for idx, answer in _until(context, until_s, ended, len(feeds)):
        if isinstance(answer, BaseException) and not isinstance(answer, SourceError):
            raise answer
        answers[idx] = answer
    return answers


def _until(
    context: ScanContext, until_s: float, ended: queue.SimpleQueue[Any], n_wanted: int
) -> Iterator[tuple[int, Any]]:
    """What arrives, until all is there or no more than `until_s` are left."""
    while n_wanted and (left_s := context.remaining_s() - until_s) > 0:
        try:
            yield ended.get(timeout=min(left_s, _LOOK_S))
        except queue.Empty:
            continue
        n_wanted -= 1


class News(Scanner):
    """Tickers that headlines name."""

    name = "news"
    pipeline = "news"
    summary = "tickers that headlines of your RSS and Atom feeds name"

    class Settings(ScannerSettings):
        """Which feeds, and which names stand for which tickers.

        `feeds`: addresses. `names`: whole words, in any case, and their tickers. `min_feeds`: fewer that answer are a failure.
        `max_age_days`: of headlines. `min_headlines`: that name a ticker; `high_headlines`: where the priority becomes high.
        """

        feeds: Annotated[tuple[WebAddress, ...], AfterValidator(different)] = Field(
            default=(), max_length=30, repr=False
        )
        names: dict[Words, Symbol] = Field(default_factory=dict, max_length=5000)
        min_feeds: int = Field(default=1, ge=1, strict=True)
        max_age_days: int = Field(default=2, ge=0, le=365, strict=True)
        min_headlines: int = Field(default=1, ge=1, strict=True)
        high_headlines: int = Field(default=3, ge=1, strict=True)

        @model_validator(mode="before")
        @classmethod
        def _on_with_feeds(cls, given: Any) -> Any:
            return on_with("feeds", given)

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Read all feeds, then gather by ticker."""
        _feedparser()  # before anything is asked
        feeds = list(map(Feed.of, self.settings.feeds))
        read = list(zip(feeds, read_all(context, feeds), strict=True))
        self._report(context, read)
        by_ticker = self._named(context.today, read)
        order = sorted(by_ticker.items(), key=lambda one: (-len(one[1]), -_n_sites(one[1]), one[0]))
        for ticker, found in order:
            if len(found) >= self.settings.min_headlines:
                yield self._candidate(context, ticker, found)

    def _report(self, context: ScanContext, read: list[tuple[Feed, Answer]]) -> None:
        """Say what each feed gave. Raises the first failure when too few answered."""
        failures = [answer for _, answer in read if isinstance(answer, SourceError)]
        for feed, answer in read:
            if isinstance(answer, SourceError):
                context.logger.warning("feed of %s: %s", feed.host, answer)
                context.log_tool("news.feed", host=feed.host, status=answer.code, n_entries=0)
            else:
                context.log_tool("news.feed", host=feed.host, status="ok", n_entries=len(answer))
        if failures and len(read) - len(failures) < min(self.settings.min_feeds, len(read)):
            raise failures[0]

    def _named(
        self, today: datetime.date, read: list[tuple[Feed, Answer]]
    ) -> dict[str, list[tuple[str, Headline]]]:
        """Headlines, with the hosts of their feeds, by the tickers they name; the same headline counts once per ticker."""
        mentions = Mentions(names=self.settings.names)
        found: dict[str, dict[str, tuple[str, Headline]]] = {}
        for feed, answer in read:
            for headline in answer if isinstance(answer, list) else ():
                if self._is_of(today, headline):
                    for ticker in mentions.found(f"{headline['title']}\n{headline['text']}"):
                        found.setdefault(ticker, {}).setdefault(
                            headline["title"].casefold(), (feed.host, headline)
                        )
        return {ticker: list(by_title.values()) for ticker, by_title in found.items()}

    def _is_of(self, today: datetime.date, headline: Headline) -> bool:
        """Whether it is of the days that count. Without a date it is: feeds hold what is new."""
        if headline["published"] is None:
            return True
        published = datetime.datetime.fromisoformat(headline["published"]).date()
        # In New York it is still `today` when UTC has the next day.
        return bool(-1 <= (today - published).days <= self.settings.max_age_days)

    def _candidate(
        self, context: ScanContext, ticker: str, found: list[tuple[str, Headline]]
    ) -> Candidate:
        newest = sorted(found, key=lambda one: one[1]["published"] or "", reverse=True)[
            :MAX_HEADLINES
        ]
        shown = [
            {
                "title": one["title"],
                "link": one["link"],
                "feed": host,
                "published": one["published"],
            }
            for host, one in newest
        ]
        data = {"n_headlines": len(found), "n_sites": _n_sites(found), "headlines": shown}
        line = f"{counted(len(found), 'headline')}: {newest[0][1]['title']} ({newest[0][0]})"
        return context.candidate(
            ticker, line, "high" if len(found) >= self.settings.high_headlines else "medium", data
        )


def _n_sites(found: list[tuple[str, Headline]]) -> int:
    return len({host for host, _ in found})
