"""Tickers that many posts on Reddit name.

A candidate says that at least `min_posts` of the hot posts of the `subreddits`, not older than
`max_age_days`, name the ticker: as `$TSLA`, or as a bare word in capitals when it is one of
`symbols`. A post counts once per ticker. It says that people talk, not what they think. Off by
default: Reddit requires an application of the user's own, which it has to approve.

Data: `n_posts`, `score` and `comments` of these posts together, `subreddits`, and `posts` (`title`,
`subreddit`, `score`, `url`), highest score first, at most 10. Priority: high from `high_posts`
posts, else medium. Order: most posts first, then highest score.

Requests need an access token, which is fetched in every run and never stored; so a run whose
listings are all cached still sends one request. The user agent has the form that Reddit's rules
require: `python:mp2:0.1.0 (by /u/USERNAME)`.

Source: github.com/reddit-archive/reddit/wiki/OAuth2 and /API.
"""

from __future__ import annotations

import datetime
from functools import partial
from operator import itemgetter
from typing import Annotated, TypedDict

from pydantic import Field, StringConstraints, model_validator

from mp2 import __version__
from mp2.discovery.http.reply import Reply
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources._fields import Row, most_first, pick, read_object
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import BaseAddress, Count, Symbols
from mp2.discovery.sources._requests import responses
from mp2.errors import SourceError, counted

# Reddit counts requests over ten minutes.
TTL_S = 600.0
# Posts of one response, the most that Reddit sends.
PAGE = 100
# In a candidate's data.
MAX_POSTS = 10

CLIENT_ID = "REDDIT_CLIENT_ID"
CLIENT_SECRET = "REDDIT_CLIENT_SECRET"

_LOGIN = "Reddit's response to the login"
_MAX_TEXT = 4000
_DAY_S = 24 * 3600
# A day that is `today` somewhere begins and ends up to twelve hours beside the one of UTC.
_LATEST_S = 36 * 3600


class Post(TypedDict):
    """A post; `created_s` in seconds since the epoch, `text` cut."""

    id: str
    title: str
    text: str
    subreddit: str
    score: int
    comments: int
    created_s: float
    url: str
    is_pinned: bool


def parse_token(reply: Reply) -> str:
    """Return an access token. Raises `SourceError`."""
    check_access(reply)
    response = read_object(reply, _LOGIN)
    token = response.line("access_token", 5000)
    if token:
        return token
    if "error" in response and reply.status < 400:
        raise SourceError(
            "unauthorized",
            f"Reddit rejects {CLIENT_ID} and {CLIENT_SECRET}",
        )
    raise SourceError("bad_payload", f"{_LOGIN} has no access token")


def parse_listing(reply: Reply) -> tuple[list[Post], str]:
    """Return the posts of a page, without those pinned to its top, and the name of the last one.

    The next page begins after that name, which is empty for the last page. Raises `SourceError`.
    """
    check_access(reply)
    data = read_object(reply, "Reddit's listing").part("data")
    posts = data.rows("children", read_post)
    return [post for post in posts if not post["is_pinned"]], data.line("after")


def check_access(reply: Reply) -> None:
    """Raise `SourceError` for the page that Reddit sends to applications it does not know."""
    if reply.status == 403 and reply.body.lstrip().startswith(b"<"):
        raise SourceError(
            "forbidden",
            "Reddit blocks the application; it needs Reddit's approval",
        )


def read_post(child: Row) -> Post | None:
    """Return a post; None without title or time."""
    row = child.part("data")
    title = row.line("title", 300)
    created_s = row.number("created_utc")
    if not title or created_s is None:
        return None
    path = row.line("permalink", 300)
    return {
        "id": row.line("name", 20) or path or title,
        "title": title,
        "text": row.line("selftext", _MAX_TEXT),
        "subreddit": row.line("subreddit", 50),
        "score": int(row.number("score") or 0),
        "comments": int(row.number("num_comments") or 0),
        "created_s": created_s,
        "url": f"https://www.reddit.com{path}",
        "is_pinned": row.get("stickied") is True,
    }


class RedditTrending(Scanner):
    """Tickers that many hot posts name."""

    name = "reddit_trending"
    pipeline = "social"
    summary = "tickers that many posts on Reddit name (needs an approved application)"
    keys = (CLIENT_ID, CLIENT_SECRET)
    # Never changed.
    rates = {"oauth.reddit.com": ("100/min",), "www.reddit.com": ("100/min",)}  # noqa: RUF012

    class Settings(ScannerSettings):
        """Subreddits, and how often a ticker has to be named.

        - `username`: the Reddit account of the application; required.
        - `symbols`: tickers that bare words may name.
        - `n_pages`: of 100 posts each, per subreddit.
        - `max_age_days`: of posts.
        - `min_posts`: that name a ticker; `high_posts`: where the priority becomes high.
        - `auth_url`: where tokens come from; `base_url`: of the service.
        """

        enabled: bool = Field(False, strict=True)
        username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{2,30}$")] | None = None
        subreddits: tuple[
            Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{2,30}$")], ...
        ] = Field(("stocks", "wallstreetbets", "investing"), min_length=1, max_length=20)
        symbols: Symbols = ()
        n_pages: int = Field(1, ge=1, le=10, strict=True)
        max_age_days: int = Field(1, ge=1, le=30, strict=True)
        min_posts: Count = 3
        high_posts: Count = 10
        auth_url: BaseAddress = "https://www.reddit.com/api/v1/access_token"
        base_url: BaseAddress = "https://oauth.reddit.com"

        @model_validator(mode="after")
        def _check_username(self) -> RedditTrending.Settings:
            if self.enabled and self.username is None:
                raise ValueError("Reddit requires the application's account; set username")
            return self

    settings: Settings

    def scan(self, context: ScanContext) -> list[Candidate]:
        """Log in, read every subreddit, then count."""
        agent = {"User-Agent": f"python:mp2:{__version__} (by /u/{self.settings.username})"}
        token = context.http.post(
            self.settings.auth_url,
            parse=parse_token,
            form={"grant_type": "client_credentials"},
            auth=(context.key(CLIENT_ID), context.key(CLIENT_SECRET)),
            headers=agent,
        )
        headers = {**agent, "Authorization": f"Bearer {token}"}
        request = partial(self._posts, context, headers)
        posts = []
        for _, hot in responses(context, self.settings.subreddits, request):
            posts += hot
        candidates = []
        for ticker, named in self._by_ticker(posts, context.today).items():
            if len(named) >= self.settings.min_posts:
                candidate = self._candidate(context, ticker, named)
                candidates.append(candidate)
        return most_first(candidates, "n_posts", "score")

    def _posts(
        self,
        context: ScanContext,
        headers: dict[str, str],
        subreddit: str,
    ) -> list[Post]:
        posts = []
        params = {"limit": str(PAGE), "raw_json": "1"}
        for _ in range(self.settings.n_pages):
            page, after = context.http.get(
                f"{self.settings.base_url}/r/{subreddit}/hot",
                parse=parse_listing,
                params=params,
                headers=headers,
                ttl_s=TTL_S,
            )
            posts += page
            if not after:
                break
            params["after"] = after
        return posts

    def _by_ticker(
        self,
        posts: list[Post],
        today: datetime.date,
    ) -> dict[str, list[Post]]:
        """Return the posts of the days that count by the tickers they name."""
        midnight = datetime.datetime.combine(today, datetime.time(), datetime.UTC)
        midnight_s = midnight.timestamp()
        since_s = midnight_s - self.settings.max_age_days * _DAY_S
        mentions = Mentions(self.settings.symbols)
        for post in posts:
            if since_s <= post["created_s"] < midnight_s + _LATEST_S:
                # By id: a post that moves to the next page meanwhile is listed twice.
                mentions.add(f"{post['title']}\n{post['text']}", post["id"], post)
        return mentions.by_ticker()

    def _candidate(
        self,
        context: ScanContext,
        ticker: str,
        posts: list[Post],
    ) -> Candidate:
        ranked = sorted(posts, key=itemgetter("score"), reverse=True)
        best = ranked[:MAX_POSTS]
        subreddits = sorted({post["subreddit"] for post in posts} - {""})
        fields = ("title", "subreddit", "score", "url")
        data = {
            "n_posts": len(posts),
            "score": sum(post["score"] for post in posts),
            "comments": sum(post["comments"] for post in posts),
            "subreddits": subreddits,
            "posts": [pick(post, fields) for post in best],
        }
        places = ", ".join(f"r/{name}" for name in subreddits)
        reason = f"named in {counted(len(posts), 'post')} on {places}: {best[0]['title']}"
        priority = "high" if len(posts) >= self.settings.high_posts else "medium"
        return context.candidate(ticker, reason, priority, data)
