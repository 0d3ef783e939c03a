"""What Finnhub answers: JSON; refusals as JSON, as plain text, and, when too much was asked, by leading to a web page.

The key goes in a header, so that it is in no address. Messages are in our own words.
"""

from __future__ import annotations

import re
from typing import Any

from mp2.discovery.scanner import Reply, ScanContext
from mp2.discovery.sources import _fields as fields
from mp2.errors import SourceError

BASE_URL = "https://finnhub.io/api/v1"
HOST = "finnhub.io"
RATES = ("30/s", "60/min")
"""Of a free key; the rate per second holds for every plan."""

KEY = "FINNHUB_API_KEY"

_ANSWER = "the answer of Finnhub"
_REFUSALS = (
    (
        "sign up|invalid api key|please use an api key",
        "unauthorized",
        f"Finnhub does not accept the key {KEY}",
    ),
    ("limit reached|too many requests", "rate_limited", "Finnhub wants fewer requests per minute"),
    ("do(n't| not) have access|premium", "forbidden", "Finnhub gives this to paid plans only"),
)
"""What its sentences say, first match first: the one about an empty key also says that a limit is reached."""


def headers(context: ScanContext) -> dict[str, str]:
    """The header with the key. Raises `SourceError("missing_key")`."""
    return {"X-Finnhub-Token": context.key(KEY)}


def answer(reply: Reply, wanted: str) -> dict[str, Any]:
    """The object that was asked for, which has the key `wanted`. Raises `SourceError` for refusals and anything else."""
    if _is_page(reply) and reply.status < 400:
        raise SourceError(
            "rate_limited", "Finnhub leads to a web page, as it does when too much was asked"
        )
    text = reply.text()
    values = fields.document(reply, _ANSWER) if text.lstrip()[:1] in ("{", "[") else text
    said = values.get("error") if isinstance(values, dict) else values
    if isinstance(said, str):
        raise _refusal(said, reply.status)
    found = fields.table(values, _ANSWER)
    if wanted not in found:
        raise SourceError("bad_payload", f"{_ANSWER} has no {wanted}")
    return found


def _is_page(reply: Reply) -> bool:
    return reply.body.lstrip()[:1] == b"<"


def _refusal(said: str, status: int) -> SourceError:
    for pattern, code, message in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            return SourceError(code, message)
    return SourceError("bad_payload", f"Finnhub answers no data but a message (HTTP {status})")
