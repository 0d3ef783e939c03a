"""Tickers that many posts on Reddit name.

A candidate says that at least `min_posts` of the hot posts of the `subreddits`, not older than `max_age_days`, name the
ticker: as `$TSLA`, or as a bare word in capitals when it is one of `symbols`. A post counts once per ticker. It says that
people talk, not what they think. Off by default: Reddit wants an application of one's own, which it has to approve.

Data: `n_posts`, `score` and `comments` of these posts together, `subreddits`, and `posts` (`title`, `subreddit`, `score`,
`url`), highest score first, at most 10. Priority: high from `high_posts` posts on, else medium. Most promising first: by
posts, then score.

Asking needs an access token, which is fetched at every run and never kept; so also a run whose listings are all still in the
cache makes one request. The user agent is what Reddit's rules want: `python:mp2:0.1.0 (by /u/USERNAME)`.

Source of truth: github.com/reddit-archive/reddit/wiki/OAuth2 and /API; without a token Reddit answers 403 and a web page.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypedDict

from pydantic import Field, StringConstraints, model_validator

from mp2 import __version__
from mp2.discovery.records import Candidate, counted
from mp2.discovery.scanner import Reply, ScanContext, Scanner, ScannerSettings
from mp2.discovery.sources import _fields as fields
from mp2.discovery.sources._asking import answers
from mp2.discovery.sources._mentions import Mentions
from mp2.discovery.sources._options import BaseAddress, Symbols
from mp2.errors import SourceError

TTL_S = 600.0
"""Reddit counts requests over ten minutes."""

PAGE = 100
MAX_POSTS = 10
"""In a candidate's data."""

CLIENT_ID, CLIENT_SECRET = "REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET"

_LOGIN, _LISTING = "Reddit's answer to the login", "Reddit's listing"
_MAX_TEXT = 4000
_DAY_S = 24 * 3600


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


class Listing(TypedDict):
    """A page of posts, and the name the next page begins after."""

    after: str | None
    posts: list[Post]


def parse_token(reply: Reply) -> str:
    """An access token. Raises `SourceError`."""
    _check_welcome(reply)
    values = fields.table(fields.document(reply, _LOGIN), _LOGIN)
    token = values.get("access_token")
    if isinstance(token, str) and token and token.isascii() and token.isprintable():
        return token
    if "error" in values and reply.status < 400:
        raise SourceError("unauthorized", f"Reddit does not accept {CLIENT_ID} and {CLIENT_SECRET}")
    raise SourceError("bad_payload", f"{_LOGIN} holds no access token")


def parse_listing(reply: Reply) -> Listing:
    """The posts of a page, without those pinned to its top. Raises `SourceError`."""
    _check_welcome(reply)
    data = fields.table(
        fields.table(fields.document(reply, _LISTING), _LISTING).get("data"), "data"
    )
    children = fields.rows(data.get("children"), "data.children")
    posts = fields.readable(children, _read_child, "data.children")
    after = data.get("after")
    return {
        "after": after if isinstance(after, str) else None,
        "posts": [post for post, is_pinned in posts if not is_pinned],
    }


def _check_welcome(reply: Reply) -> None:
    if reply.status == 403 and reply.body.lstrip()[:1] == b"<":
        raise SourceError("forbidden", "Reddit blocks the application; it needs Reddit's approval")


def _read_child(child: dict[str, Any]) -> tuple[Post, bool] | None:
    post = child.get("data")
    if not isinstance(post, dict):
        return None
    title, created_s = fields.line(post.get("title"), 300), fields.number(post.get("created_utc"))
    if not title or created_s is None:
        return None
    text, path = post.get("selftext"), fields.line(post.get("permalink"), 300)
    read: Post = {
        "id": fields.line(post.get("name"), 20) or path or title,
        "title": title,
        "text": text[:_MAX_TEXT] if isinstance(text, str) else "",
        "subreddit": fields.line(post.get("subreddit"), 50),
        "score": int(fields.number(post.get("score")) or 0),
        "comments": int(fields.number(post.get("num_comments")) or 0),
        "created_s": created_s,
        "url": f"https://www.reddit.com{path}" if path.startswith("/") else "",
    }
    return read, post.get("stickied") is True


class RedditTrending(Scanner):
    """Tickers that many hot posts name."""

    name = "reddit_trending"
    pipeline = "social"
    summary = "tickers that many posts on Reddit name (needs an approved application)"
    keys = (CLIENT_ID, CLIENT_SECRET)
    rates = {"oauth.reddit.com": ("100/min",), "www.reddit.com": ("100/min",)}  # noqa: RUF012 - never changed

    class Settings(ScannerSettings):
        """Where to look, and how often a ticker has to be named.

        `username`: the Reddit account of the application, needed. `symbols`: tickers that bare words may name. `n_pages`: of
        100 posts each, per subreddit. `max_age_days`: of posts. `min_posts`: that name a ticker; `high_posts`: where the
        priority becomes high. `auth_url`: where tokens come from; `base_url`: of the service.
        """

        enabled: bool = Field(default=False, strict=True)
        username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{2,30}$")] | None = None
        subreddits: tuple[
            Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{2,30}$")], ...
        ] = Field(default=("stocks", "wallstreetbets", "investing"), min_length=1, max_length=20)
        symbols: Symbols = ()
        n_pages: int = Field(default=1, ge=1, le=10, strict=True)
        max_age_days: int = Field(default=1, ge=1, le=30, strict=True)
        min_posts: int = Field(default=3, ge=1, strict=True)
        high_posts: int = Field(default=10, ge=1, strict=True)
        auth_url: BaseAddress = "https://www.reddit.com/api/v1/access_token"
        base_url: BaseAddress = "https://oauth.reddit.com"

        @model_validator(mode="after")
        def _check_username(self) -> RedditTrending.Settings:
            if self.enabled and self.username is None:
                raise ValueError(
                    "Reddit wants to know who asks; give username, the application's account"
                )
            return self

    def scan(self, context: ScanContext) -> Iterator[Candidate]:
        """Log in, read every subreddit, then count."""
        agent = {"User-Agent": f"python:mp2:{__version__} (by /u/{self.settings.username})"}
        login = (context.key(CLIENT_ID), context.key(CLIENT_SECRET))
        form = {"grant_type": "client_credentials"}
        token = context.http.post(
            self.settings.auth_url, parse=parse_token, form=form, auth=login, headers=agent
        )
        headers = {**agent, "Authorization": f"Bearer {token}"}
        read = answers(
            context,
            self.settings.subreddits,
            lambda name: list(self._posts(context, headers, name)),
        )
        posts = {post["id"]: post for _, found in read for post in found}
        by_ticker = self._named(posts.values(), context.today)
        for ticker, found in sorted(
            by_ticker.items(), key=lambda one: (-len(one[1]), -_total(one[1], "score"), one[0])
        ):
            if len(found) >= self.settings.min_posts:
                yield self._candidate(context, ticker, found)

    def _posts(
        self, context: ScanContext, headers: dict[str, str], subreddit: str
    ) -> Iterator[Post]:
        after = None
        for _ in range(self.settings.n_pages):
            params = {"limit": str(PAGE), "raw_json": "1"} | ({"after": after} if after else {})
            url = f"{self.settings.base_url}/r/{subreddit}/hot"
            listing = context.http.get(
                url, parse=parse_listing, params=params, headers=headers, ttl_s=TTL_S
            )
            yield from listing["posts"]
            after = listing["after"]
            if after is None:
                return

    def _named(self, posts: Iterable[Post], today: datetime.date) -> dict[str, list[Post]]:
        """Posts of the days that count by the tickers they name."""
        midnight_s = datetime.datetime.combine(today, datetime.time(), datetime.UTC).timestamp()
        mentions, found = Mentions(self.settings.symbols), dict[str, list[Post]]()
        for post in posts:
            if (
                midnight_s - self.settings.max_age_days * _DAY_S
                <= post["created_s"]
                < midnight_s + _LATEST_S
            ):
                for ticker in mentions.found(f"{post['title']}\n{post['text']}"):
                    found.setdefault(ticker, []).append(post)
        return found

    def _candidate(self, context: ScanContext, ticker: str, found: list[Post]) -> Candidate:
        shown = sorted(found, key=lambda post: (-post["score"], post["id"]))[:MAX_POSTS]
        subreddits = sorted({post["subreddit"] for post in found if post["subreddit"]})
        data = {
            "n_posts": len(found),
            "score": _total(found, "score"),
            "comments": _total(found, "comments"),
            "subreddits": subreddits,
            "posts": [
                {key: post[key] for key in ("title", "subreddit", "score", "url")} for post in shown
            ],
        }
        line = f"named in {counted(len(found), 'post')} on {', '.join(f'r/{name}' for name in subreddits)}: {shown[0]['title']}"
        return context.candidate(
            ticker, line, "high" if len(found) >= self.settings.high_posts else "medium", data
        )


_LATEST_S = 36 * 3600
"""A day that is `today` somewhere begins and ends up to twelve hours beside the one of UTC."""


def _total(posts: Iterable[Post], field: str) -> int:
    return sum(post[field] for post in posts)  # type: ignore[literal-required]
