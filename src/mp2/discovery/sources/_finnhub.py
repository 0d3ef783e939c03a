"""Requests to Finnhub and its refusals.

A refusal is JSON or plain text; above the rate limit it may be a redirect to a web page. Messages
here are in our own words. The key is sent in a header, so that no address contains it.
"""

from __future__ import annotations

from typing import TypeVar

from mp2.discovery.http.reply import Reply
from mp2.discovery.scanner import ScanContext
from mp2.discovery.sources._fields import Parse, Refusal, Row, raise_refusal, read_object
from mp2.errors import SourceError

T = TypeVar("T")

BASE_URL = "https://finnhub.io/api/v1"
KEY = "FINNHUB_API_KEY"
# The rate per second holds for every plan, the one per minute for a free key.
RATES = {"finnhub.io": ("30/s", "60/min")}

_RESPONSE = "the response of Finnhub"
# The first match counts: the sentence about an empty key also says that a limit is reached.
_REFUSALS = (
    Refusal(
        "sign up|invalid api key|please use an api key",
        "unauthorized",
        f"Finnhub rejects the key {KEY}",
    ),
    Refusal(
        "limit reached|too many requests", "rate_limited", "Finnhub limits requests per minute"
    ),
    Refusal(
        "do(n't| not) have access|premium", "forbidden", "Finnhub serves this to paid plans only"
    ),
)


def get(
    context: ScanContext,
    url: str,
    parse: Parse[T],
    params: dict[str, str],
    ttl_s: float,
) -> T:
    """Send a request with the key. Raises `SourceError`."""
    headers = {"X-Finnhub-Token": context.key(KEY)}
    return context.http.get(
        url,
        parse=parse,
        params=params,
        headers=headers,
        ttl_s=ttl_s,
    )


def unwrap(reply: Reply, key: str) -> Row:
    """Return the response, which has `key`. Raises `SourceError` for anything else."""
    text = reply.text().lstrip()
    if text.startswith("<") and reply.status < 400:
        raise SourceError(
            "rate_limited",
            "Finnhub sent a web page, as it does above its limit",
        )
    is_json = text.startswith(("{", "["))
    response = read_object(reply, _RESPONSE) if is_json else Row(error=text)
    if isinstance(response.get("error"), str):
        raise_refusal(response.line("error", 1000), _REFUSALS)
        raise SourceError(
            "bad_payload", f"Finnhub sent a message instead of data (HTTP {reply.status})"
        )
    if key not in response:
        raise SourceError("bad_payload", f"{_RESPONSE} has no {key}")
    return response
