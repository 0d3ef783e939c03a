"""Tickers in the news: RSS and Atom feeds of the user's choice.

A candidate says that at least `min_headlines` different headlines or their texts, not older than
`max_age_days`, name the ticker: as `$TSLA`, as `(NYSE: XYZ)`, in an element of its own
(`<category>Nasdaq:ABC</category>`, `<nasdaq:tickers>`), or by a name that the setting `names` maps
to it. On by default once `feeds` are given.

Data: `n_headlines`, `n_sites`, and `headlines` (`title`, `link`, `feed`, `published`), newest
first, at most 10. Priority: high from `high_headlines` headlines, else medium. Order: most
headlines first, then most sites.

The feeds are requested concurrently, for each is another site, and one that hangs must not use up
the time of the others. When some fail and at least `min_feeds` respond, the scanner succeeds with
those; what is missing is in its log and in the tool log (`news.feed`, one entry per feed), and so
is how many headlines were too old, of a later day or without a date. With
fewer it fails as the first feed of the list that failed. A feed that has not responded shortly
before the scanner's deadline has failed with `timeout`.

A parameter of a feed's address that looks like a key (`token=...`) is treated as one.
"""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, Field

from mp2._document import Texts
from mp2._intervals import POLL_S
from mp2.discovery.config import KEY_LIKE, parameters
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner
from mp2.discovery.sources._feed_dates import has_other_year
from mp2.discovery.sources._feed_entries import Headline, import_feedparser, parse_feed
from mp2.discovery.sources._fields import most_first, pick
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import (
    Count,
    SettingsWithInput,
    Symbol,
    WebAddress,
    Words,
    distinct,
)
from mp2.errors import SourceError, counted

if TYPE_CHECKING:
    from mp2.discovery.http.client import Http

TTL_S = 600.0
MAX_BYTES = 1_500_000
# In a candidate's data.
MAX_HEADLINES = 10

# What is left to rank and report after the last feed, in seconds.
_RESERVE_S = 0.5


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
            n_by_age: Counter[str] = Counter()
            for headline in headlines:
                age = self._age(context.today, headline)
                n_by_age[age] += 1
                if age not in ("recent", "without a date"):
                    continue
                title = headline["title"]
                mentions.add(
                    f"{title}\n{headline['text']}",
                    title.casefold(),
                    {**pick(headline, ("title", "link", "published")), "feed": feed.host},
                    headline["tickers"],
                )
            context.log_tool(
                "news.feed",
                host=feed.host,
                status=status,
                n_entries=len(headlines),
                n_too_old=n_by_age["too old"],
                n_later=n_by_age["of a later day"],
                n_undated=n_by_age["without a date"],
            )
            left = [f"{n} {age}" for age, n in n_by_age.items() if age != "recent"]
            if left:
                context.logger.info(
                    "of %s from %s: %s",
                    counted(len(headlines), "headline"),
                    feed.host,
                    ", ".join(left),
                )
        if len(feeds) - len(failures) < min(self.settings.min_feeds, len(feeds)):
            raise failures[0]
        return mentions.by_ticker()

    def _age(
        self,
        today: datetime.date,
        headline: Headline,
    ) -> str:
        """Return "recent", "too old", "of a later day" or "without a date"."""
        # In New York it is still `today` when UTC has the next day.
        last = today + datetime.timedelta(days=1)
        first = today - datetime.timedelta(days=self.settings.max_age_days)
        if headline["published"] is None:
            # Feeds hold what is new, so a headline without a date counts.
            if has_other_year(headline["date"], (first.year, last.year)):
                return "too old"
            return "without a date"
        published = datetime.datetime.fromisoformat(headline["published"]).date()
        if published < first:
            return "too old"
        if published > last:
            return "of a later day"
        return "recent"
