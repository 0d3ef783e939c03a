"""What Alpha Vantage answers: everything comes with status 200, refusals too, as an object with one key and a sentence.

The sentences may hold the key (`We have detected your API key as ...`), so messages here are in our own words. The sentence
about one request per second also advertises the daily quota and "all premium endpoints"; it is a refusal of neither kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from mp2.discovery.scanner import Reply
from mp2.discovery.sources import _fields as fields
from mp2.errors import SourceError

BASE_URL = "https://www.alphavantage.co"
HOST = "www.alphavantage.co"
RATES = ("1/s", "25/day")
"""Of a free key."""

KEY = "ALPHAVANTAGE_API_KEY"

_ANSWER = "the answer of Alpha Vantage"
_REFUSALS = ("Error Message", "Information", "Note")
_BAD_KEY = re.compile(
    r"api ?key.{0,40}(invalid|missing|for demo)|(invalid|missing).{0,40}api ?key", re.IGNORECASE
)
_PREMIUM = re.compile(r"\bpremium endpoint\b", re.IGNORECASE)
_BURST = re.compile(r"sparingly|per second", re.IGNORECASE)
_PER_DAY = re.compile(r"per day", re.IGNORECASE)
_PER_MINUTE = re.compile(r"per minute", re.IGNORECASE)
_EASTERN = timezone(timedelta(hours=-5))
"""Standard time; in summer the wait until midnight is an hour too long."""


def answer(reply: Reply, wanted: Sequence[str]) -> dict[str, Any]:
    """The object that was asked for, which has all keys `wanted`. Raises `SourceError` for refusals and anything else."""
    values = fields.table(fields.document(reply, _ANSWER), _ANSWER)
    if all(key in values for key in wanted):
        return values
    for key in _REFUSALS:
        if isinstance(sentence := values.get(key), str):
            raise _refusal(key, sentence, reply)
    missing = ", ".join(key for key in wanted if key not in values)
    raise SourceError("bad_payload", f"{_ANSWER} has no {missing}")


def _refusal(key: str, sentence: str, reply: Reply) -> SourceError:
    if _BAD_KEY.search(sentence):
        return SourceError("unauthorized", f"Alpha Vantage does not accept the key {KEY}")
    if key == "Error Message":
        return SourceError(
            "bad_request",
            "Alpha Vantage does not understand the request (an unknown symbol, perhaps)",
        )
    if _PREMIUM.search(sentence):
        return SourceError("forbidden", "Alpha Vantage gives this to paid plans only")
    return _too_many(sentence, reply)


def _too_many(sentence: str, reply: Reply) -> SourceError:
    if _BURST.search(sentence):
        return SourceError(
            "rate_limited", "Alpha Vantage wants fewer requests per second", burst=True
        )
    if _PER_MINUTE.search(sentence):
        return SourceError(
            "rate_limited", "Alpha Vantage wants fewer requests per minute", retry_after_s=60.0
        )
    daily = bool(_PER_DAY.search(sentence))
    message = (
        "the day's requests to Alpha Vantage are used up"
        if daily
        else "Alpha Vantage wants fewer requests"
    )
    return SourceError(
        "rate_limited", message, retry_after_s=_until_midnight_s(reply) if daily else None
    )


def _until_midnight_s(reply: Reply) -> float | None:
    """Seconds from the reply's own date to midnight in New York, where the quota's day ends."""
    try:
        sent = parsedate_to_datetime(reply.headers.get("date", ""))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    now = (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).astimezone(_EASTERN)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), _EASTERN)
    return (midnight - now).total_seconds()
