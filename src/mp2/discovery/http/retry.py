"""When to send a request again.

Decisions are pure functions of numbers; clock, sleep and jitter are arguments. Durations are in
seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from mp2._document import Texts
from mp2.errors import SourceError

T = TypeVar("T")

N_ATTEMPTS = 4

FIRST_WAIT_S = 0.5
"""Waits double from this one on, minus jitter of up to half."""

MAX_WAIT_S = 30.0

_RESERVE_S = 0.05
"""What has to be left after a wait, because an attempt takes time too."""


class Transient(Exception):  # noqa: N818 - it carries an error and is none itself
    """An attempt failed with `error`; another may succeed, after `wait_s` if the source said so."""

    def __init__(
        self,
        error: SourceError,
        wait_s: float | None = None,
    ) -> None:
        self.error = error
        self.wait_s = wait_s
        super().__init__(error.code)


def delay_s(
    n_failed: int,
    retry_after_s: float | None,
    jitter: float,
) -> float:
    """Return how long to wait after the `n_failed`th failure (from 1), at least `retry_after_s`.

    `jitter` is in [0, 1).
    """
    backoff_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** (n_failed - 1))
    return max(backoff_s * (0.5 + 0.5 * jitter), retry_after_s or 0.0)


def retrying(
    attempt: Callable[[], T],
    *,
    remaining_s: Callable[[], float],
    sleep: Callable[[float], object],
    jitter: Callable[[], float],
    observe: Callable[[SourceError, float], None],
) -> T:
    """Return what `attempt` returns, called again while it raises `Transient` and time is left.

    `observe(error, wait_s)` is called before each wait. `sleep` may return early, or raise to end
    the call. Raises the error of the last `Transient`, and at once what else `attempt` raises.
    """
    n_failed = 0
    while True:
        try:
            return attempt()
        except Transient as failure:
            error = failure.error
            retry_after_s = failure.wait_s
        n_failed += 1
        wait_s = delay_s(n_failed, retry_after_s, jitter())
        ends_too_late = wait_s + _RESERVE_S > remaining_s()
        if n_failed >= N_ATTEMPTS or ends_too_late:
            # Outside of the handler, so that no other exception is attached to it.
            raise error
        observe(error, wait_s)
        sleep(wait_s)


_SECONDS = re.compile(r"\d{1,12}(\.\d*)?", re.ASCII)

_EPOCH_S = 1e9
"""A reset time above this is a point in time (Finnhub), below it a duration (Reddit)."""


def retry_after_s(
    headers: Texts,
    now: float,
    *,
    limited: bool = True,
) -> float | None:
    """Return the seconds to wait that a response asks for.

    By `retry-after` (a number or an HTTP date), else by `x-ratelimit-reset`.

    The latter counts only for a reply that reports the limit as reached (`limited`): many sources
    send it with every reply. Header names are in lower case. Unreadable values count as absent
    (None); a date in the past is 0.
    """
    value = headers.get("retry-after", "").strip()
    wait_s = _seconds(value)
    if wait_s is None:
        with suppress(TypeError, ValueError, IndexError, OverflowError):
            date = parsedate_to_datetime(value)
            if date.tzinfo is None:
                date = date.replace(tzinfo=UTC)
            wait_s = max(0.0, date.timestamp() - now)
    if wait_s is not None or not limited:
        return wait_s
    reset = _seconds(headers.get("x-ratelimit-reset", "").strip())
    if reset is None or reset < _EPOCH_S:
        return reset
    return max(0.0, reset - now)


def _seconds(text: str) -> float | None:
    if _SECONDS.fullmatch(text) is None:
        return None
    return float(text)
