"""Read RSS and Atom feeds: their headlines, and the tickers that elements of their own hold.

feedparser gets the bytes that were fetched, and opens no address and no file.
"""

from __future__ import annotations

import html
import io
import json
import re
import sys
from contextlib import suppress
from typing import Any

from mp2._document import Document, Fields
from mp2.discovery.candidates import one_line
from mp2.discovery.http.reply import Reply, text_charset
from mp2.discovery.sources._feed_dates import read_instant
from mp2.discovery.sources._fields import Row
from mp2.discovery.sources._mentions import Mentions, symbols_of
from mp2.errors import MissingExtraError, SourceError

# Of one feed.
MAX_ENTRIES = 300
_MAX_TEXT = 2000
_MAX_MARKUP = 8000
_TAG = re.compile(r"<[^<>]{0,2000}>")
# A feed begins within these characters, after comments and style sheets.
_HEAD = 8192
_BEGIN = re.compile(r"<(?:\w+:)?(?:rss|feed|rdf)(?=[\s>])", re.IGNORECASE)
# Pages may hold such elements too, as the licence of a picture.
_OTHER_BEGIN = re.compile(
    r"\s*[{\[]|.*?<(?:html|body)[\s>]|.*?<!doctype\s+html", re.IGNORECASE | re.DOTALL
)
_END = re.compile(r"</(?:\w+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml\b[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# Feeds that declare the key are in the larger charset.
_SUPERSETS = {"gb2312": "gb18030", "iso8859-1": "cp1252"}

# Elements that hold tickers and nothing else: by feedparser's names, or a category's scheme.
_TICKERS = re.compile(r"(?:^|_)(?:stock_?)?(?:tickers?|symbols?)$")
_STOCK_SCHEME = re.compile("stock|ticker|symbol", re.IGNORECASE)
_TICKER_TAG = r"(?:\w+:)?(?:stock)?(?:ticker|symbol)s?"
_REPEATED = re.compile(
    rf"</({_TICKER_TAG})>\s*<\1(?:\s[^<>]{{0,200}})?>",
    re.IGNORECASE,
)
_WITH_ATTRIBUTES = re.compile(
    rf"<({_TICKER_TAG}|media:text)(\s[^<>]{{0,300}}(?<!/))>(?=[^<>])",
    re.IGNORECASE,
)
_EXCHANGE = re.compile(r"\s(?:exchange|market)\s*=\s*[\"']([^\"'<>]{1,40})", re.IGNORECASE)
_REFERENCE = re.compile(r"&#(x[0-9a-f]{1,9}|[0-9]{1,9});", re.IGNORECASE)
_CATEGORY_TYPE = re.compile(r"(<category\s)type(?=\s*=)", re.IGNORECASE)

# By feedparser's names.
_TEXTS = ("summary", "media_description", "media_text")

# Without lists: finds what is marked as a ticker.
_MARKED = Mentions()

# `title`, `text`, `link`: without markup; `published`: an ISO time in UTC, None when unknown;
# `date`: the text of a date that cannot be read, else empty; `tickers`: of elements of their own.
# In a candidate's data there is `feed`, the host, and neither `text`, `date` nor `tickers`.
Headline = Document


def parse_feed(reply: Reply) -> list[Headline]:
    """Return the entries in the feed's order. Raises `SourceError` unless it is a whole feed."""
    text = decode_feed(reply)
    # feedparser takes seconds to find out, and reads a page as a feed without entries.
    begin = _BEGIN.search(text[:_HEAD])
    if begin is None or _OTHER_BEGIN.match(text[: begin.start()]):
        raise SourceError(
            "bad_payload",
            "the response is not an RSS or Atom feed",
        )
    text = readable_elements(_REFERENCE.sub(_character, text))
    feedparser = import_feedparser()
    try:
        parsed = feedparser.parse(
            # feedparser would open text or bytes as a file of that name, if there is one.
            io.BytesIO(text.encode()),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except Exception as error:  # of its own, such as the KeyError of a category without a beginning
        raise SourceError(
            "bad_payload",
            f"the feed cannot be read ({type(error).__name__})",
        ) from error
    if parsed.get("bozo") and not _END.search(text[-1000:]):
        raise SourceError("bad_payload", "the feed is truncated")
    headlines = map(read_entry, parsed["entries"][:MAX_ENTRIES])
    return [headline for headline in headlines if headline["title"]]


def _character(reference: re.Match[str]) -> str:
    """Return a numeric reference that means a character as it is, others as the replacement."""
    digits = reference[1].lower()
    base = 16 if digits.startswith("x") else 10
    number = int(digits.lstrip("x") or "0", base)
    # Surrogates, and what lies behind the last code point: no encoding has them.
    is_character = 0 < number < 0xD800 or 0xDFFF < number <= sys.maxunicode
    return reference[0] if is_character else "\ufffd"


def readable_elements(feed: str) -> str:
    """Return a feed whose elements of tickers are in the forms that feedparser keeps.

    Of several elements of one name it keeps the last; of an element with attributes, which it does
    not know, it drops the text; of a category it drops the type.
    """

    def without_attributes(tag: re.Match[str]) -> str:
        if "xmlns" in tag[2]:
            return tag[0]
        exchange = _EXCHANGE.search(tag[2])
        if exchange is None:
            return f"<{tag[1]}>"
        return f"<{tag[1]}>{exchange[1]}:"

    feed = _WITH_ATTRIBUTES.sub(without_attributes, feed)
    feed = _REPEATED.sub(",", feed)
    return _CATEGORY_TYPE.sub(r"\1domain", feed)


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
    """Return an entry; its title is empty when it has neither title nor text."""
    # A plain dict: feedparser's own puts one date in the place of the other, with a warning.
    row = Row(entry)
    link = row.line("link", 500)
    if not link.startswith(("https://", "http://")):
        link = ""
    published = None
    unread = ""
    for name in ("published", "updated", "created"):
        date = row.line(name, 100)
        instant = read_instant(date)
        if instant is not None:
            published = instant.isoformat()
            unread = ""
            break
        unread = unread or date
    text = text_of(row)
    title = plain_text(row.line("title", _MAX_MARKUP))
    return {
        "title": (title or text)[:300],
        "text": text,
        "link": link,
        "published": published,
        "date": unread,
        "tickers": tickers_of(row),
    }


def text_of(row: Row) -> str:
    """Return the texts of an entry, the summary first, each once."""
    texts = [row.line(name, _MAX_MARKUP) for name in _TEXTS]
    texts += [content.line("value", _MAX_MARKUP) for content in parts(row, "content")]
    # A feed without a summary has its content there.
    unique = dict.fromkeys(map(plain_text, texts))
    return "\n".join(filter(None, unique))


def tickers_of(row: Row) -> list[str]:
    """Return the tickers that elements of an entry hold, in canonical form."""
    tickers = []
    for tag in parts(row, "tags"):
        term = tag.line("term")
        is_stock = bool(_STOCK_SCHEME.search(tag.line("scheme")))
        tickers += symbols_of(term, bare=is_stock)
        tickers += sorted(_MARKED.find(term))
    for name in filter(_TICKERS.search, row):
        text = row.line(name)
        # `<ticker exchange="NYSE" symbol="ABC"/>`
        attributes = row.part(name)
        if attributes:
            symbol = attributes.line("symbol") or attributes.line("ticker")
            exchange = attributes.line("exchange") or attributes.line("market")
            text = f"{exchange}:{symbol}".removeprefix(":")
        tickers += symbols_of(text, bare=True)
    return list(dict.fromkeys(tickers))


def parts(row: Row, name: str) -> list[Row]:
    """Return the nested objects of an array; empty when there is none."""
    values = row.get(name)
    if not isinstance(values, list):
        return []
    return [Row(value) for value in values if isinstance(value, dict)]


def plain_text(markup: str) -> str:
    """Return a text without tags and entities."""
    without_tags = _TAG.sub(" ", markup)
    return one_line(html.unescape(without_tags), _MAX_TEXT)
