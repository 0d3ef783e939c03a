"""Requests to Alpha Vantage and its refusals.

Every response has status 200; a refusal is an object with one key and a sentence. Messages here
are in our own words because a sentence may hold the key (`We have detected your API key as ...`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from mp2.discovery.http.reply import Reply
from mp2.discovery.scanner import ScanContext
from mp2.discovery.sources._fields import Parse, Refusal, Row, raise_refusal, read_object
from mp2.errors import SourceError

T = TypeVar("T")

BASE_URL = "https://www.alphavantage.co"
KEY = "ALPHAVANTAGE_API_KEY"
# Those of a free key.
RATES = {"www.alphavantage.co": ("1/s", "25/day")}

_RESPONSE = "the response of Alpha Vantage"
_BAD_KEY = r"api ?key.{0,40}(invalid|missing|for demo)|(invalid|missing).{0,40}api ?key"
# The first match counts. The sentence about one request per second also advertises the daily
# quota and "all premium endpoints", so the order and the end of the word matter.
_REFUSALS = (
    Refusal(
        _BAD_KEY,
        "unauthorized",
        f"Alpha Vantage rejects the key {KEY}",
    ),
    Refusal(
        "^Error Message",
        "bad_request",
        "Alpha Vantage rejects the request (symbol unknown?)",
    ),
    Refusal(
        r"premium endpoint\b",
        "forbidden",
        "Alpha Vantage serves this to paid plans only",
    ),
    Refusal(
        "sparingly|per second",
        "rate_limited",
        "Alpha Vantage limits requests per second",
        burst=True,
    ),
    Refusal(
        "per minute",
        "rate_limited",
        "Alpha Vantage limits requests per minute",
    ),
    Refusal(
        "per day",
        "rate_limited",
        "the daily requests to Alpha Vantage are used up",
    ),
    Refusal("", "rate_limited", "Alpha Vantage limits requests"),
)


def get(
    context: ScanContext,
    base_url: str | None,
    parse: Parse[T],
    params: dict[str, str],
    ttl_s: float,
) -> T:
    """Send a query with the key. Raises `SourceError`."""
    return context.http.get(
        f"{base_url or BASE_URL}/query",
        parse=parse,
        params=params,
        secret_params={"apikey": context.key(KEY)},
        ttl_s=ttl_s,
    )


def unwrap(reply: Reply, keys: Sequence[str]) -> Row:
    """Return the response, which has all `keys`. Raises `SourceError` for anything else."""
    response = read_object(reply, _RESPONSE)
    missing = [key for key in keys if key not in response]
    if not missing:
        return response
    for key in ("Error Message", "Information", "Note"):
        sentence = response.line(key, 1000)
        if sentence:
            raise_refusal(f"{key}: {sentence}", _REFUSALS)
    raise SourceError(
        "bad_payload",
        f"{_RESPONSE} has no {', '.join(missing)}",
    )
