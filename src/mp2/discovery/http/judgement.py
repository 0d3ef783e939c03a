"""What a response means: the scanner's data, a failure, or a reason to send the request again.

- `parse` sees every response, of any status. Below 400 its value is the result, and what it raises
  is the failure: a `SourceError` as it is, anything else as `bad_payload`. So a scanner recognises
  errors that come with status 200.
- From 400 on the call fails. The status makes the error: 401 unauthorized; 402 and 403 forbidden;
  429 rate_limited; 408 and from 500 on unavailable; the others bad_request. A `SourceError` raised
  by `parse` replaces it, except `bad_payload`, which a `parse` that expects data raises for any
  error page. So plain cases need no code in a scanner, and special ones (a 403 that means too many
  requests) a few lines in its `parse`.
- Sent again, after the time that the source requests, else after growing waits, is a request whose
  status is 429 or from 500 on (unless `parse` found a lasting reason), or whose `SourceError` has
  `burst`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from mp2.discovery.http.redact import Secrets
from mp2.discovery.http.reply import Reply
from mp2.discovery.http.retry import Transient, retry_after_s
from mp2.errors import TRANSIENT_CODES, SourceError, plain

MAX_TEXT = 300
"""Characters of an exception's text in a message."""

_BURST_S = 1.1
"""The wait after reaching a limit per second, unless the source asks for another."""

_CODE_OF_STATUS = {
    401: "unauthorized",
    402: "forbidden",
    403: "forbidden",
    408: "unavailable",
    429: "rate_limited",
}

T = TypeVar("T")


def judged(
    reply: Reply,
    parse: Callable[[Reply], T],
    *,
    host: str,
    secrets: Secrets,
    now: float,
) -> T:
    """Return what `parse` makes of a response without secrets.

    Raises `SourceError` and `Transient`.

    `now`: seconds since the epoch.
    """
    # Redacted before any part of it is cut, or kept.
    headers = {name: secrets.redact(value) for name, value in reply.headers.items()}
    redacted = replace(reply, headers=headers, body=secrets.redact_body(reply.body))
    try:
        value = parse(redacted)
    except SourceError as error:
        failure = error
    except Exception as error:
        problem = secrets.redact(f"{type(error).__name__}: {plain(error)}")[:MAX_TEXT]
        failure = SourceError("bad_payload", f"unexpected response ({problem})")
    else:
        if reply.status < 400:
            return value
        failure = SourceError("bad_payload", "")
    code = failure.code
    text = secrets.redact(str(failure))
    if reply.status >= 400 and code == "bad_payload":
        code = _CODE_OF_STATUS.get(reply.status, "bad_request")
        if reply.status >= 500:
            code = "unavailable"
        text = f"HTTP {reply.status} from {host}"
    wait_s = failure.retry_after_s
    if wait_s is None:
        wait_s = retry_after_s(reply.headers, now, limited=code == "rate_limited")
    # A new error, so that no other exception is attached to it.
    failure = SourceError(code, text, retry_after_s=wait_s, burst=failure.burst)
    if failure.burst:
        raise Transient(failure, wait_s or _BURST_S)
    may_pass = reply.status == 429 or reply.status >= 500
    if may_pass and code in TRANSIENT_CODES:
        raise Transient(failure, wait_s)
    raise failure
