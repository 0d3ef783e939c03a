"""When to send a request again, and how many requests a source allows.

Decisions are pure functions of numbers; clock, sleep and jitter are arguments, and no thread is started here. Durations are
in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from mp2.errors import InputError, SourceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """At most `n_attempts`; waits begin at `first_wait_s`, double up to `max_wait_s`, and lose up to half to the dice.

    After a wait at least `reserve_s` must be left, or it is not begun: an attempt needs some time too.
    """

    n_attempts: int = 4
    first_wait_s: float = 0.5
    max_wait_s: float = 30.0
    reserve_s: float = 0.05


class Transient(Exception):  # noqa: N818  # no error of its own: it carries one
    """An attempt failed with `error`, and another may work, after `wait_s` if the source said so."""

    def __init__(self, error: SourceError, wait_s: float | None = None) -> None:
        self.error, self.wait_s = error, wait_s
        super().__init__(error.code)


def delay_s(n_failed: int, told_s: float | None, dice: float, rules: RetryRules) -> float:
    """How long to wait after the `n_failed`th failure (from 1); `dice` in [0, 1). Never less than the source told."""
    backoff_s = min(rules.max_wait_s, rules.first_wait_s * 2.0 ** (n_failed - 1))
    return max(backoff_s * (0.5 + 0.5 * dice), told_s or 0.0)


def retrying(
    attempt: Callable[[], T],
    *,
    remaining_s: Callable[[], float],
    sleep: Callable[[float], object],
    dice: Callable[[], float],
    rules: RetryRules,
    observe: Callable[[SourceError, float], None] = lambda error, wait_s: None,
) -> T:
    """What `attempt` returns, asked again while it raises `Transient` and there is time.

    A wait that would not end `rules.reserve_s` before `remaining_s()` is over is not begun. `observe(error, wait_s)` is
    called before each wait. `sleep` may return early, or raise to end it all.
    Raises the last `Transient`'s error, and whatever else `attempt` raises, at once.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type

    def raised(call: RetryCallState) -> Transient:
        error = call.outcome.exception() if call.outcome else None
        assert isinstance(error, Transient)
        return error

    def wait(call: RetryCallState) -> float:
        return delay_s(call.attempt_number, raised(call).wait_s, dice(), rules)

    def stop(call: RetryCallState) -> bool:
        return (
            call.attempt_number >= rules.n_attempts
            or call.upcoming_sleep + rules.reserve_s > remaining_s()
        )

    def rest(seconds: float) -> None:
        sleep(seconds)

    policy = Retrying(
        stop=stop,
        wait=wait,
        sleep=rest,
        retry=retry_if_exception_type(Transient),
        before_sleep=lambda call: observe(raised(call).error, call.upcoming_sleep),
        reraise=True,
    )
    try:
        return policy(attempt)
    except Transient as last:
        error = last.error
    raise error  # out of the handler, so that no other error hangs on it


_SECONDS = re.compile(r"\d{1,12}(\.\d*)?", re.ASCII)
_EPOCH_S = 1e9
"""A reset time above this is a point in time (as Finnhub sends it), below it seconds to go (as Reddit does)."""


def told_wait_s(headers: Mapping[str, str], now: float, *, limited: bool = True) -> float | None:
    """How long a source asks to wait, by `retry-after` (seconds or an HTTP date) or else `x-ratelimit-reset`.

    The latter counts only for a reply that says the limit is reached (`limited`): many sources send it with every reply.
    Header names are in lower case. What makes no sense counts as not said (None); a date in the past is 0.
    """
    said = headers.get("retry-after", "").strip()
    if said and (wait_s := _seconds(said)) is None:
        wait_s = _until_date(said, now)
    if said and wait_s is not None:
        return wait_s
    reset = _seconds(headers.get("x-ratelimit-reset", "").strip()) if limited else None
    return reset if reset is None or reset < _EPOCH_S else max(0.0, reset - now)


def _seconds(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _until_date(text: str, now: float) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


# --- how often to ask --------------------------------------------------------------------------------------------------

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,4})\s*(s|min|h|day)\s*", re.ASCII)
_UNIT_S = {"s": 1, "min": 60, "h": 3600, "day": 86400}


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """At most `limit` requests in any `interval_s` seconds."""

    interval_s: int
    limit: int

    def __str__(self) -> str:
        unit, unit_s = next(
            item for item in reversed(_UNIT_S.items()) if self.interval_s % item[1] == 0
        )
        n_units = self.interval_s // unit_s
        return f"{self.limit}/{n_units if n_units > 1 else ''}{unit}"


def parse_rate(text: str) -> Rate:
    """A rate such as `1/s`, `60/min`, `25/day` or `1000/10min`. Raises `InputError` for anything else."""
    match = _RATE.fullmatch(text)
    rate = Rate(int(match[2] or 1) * _UNIT_S[match[3]], int(match[1])) if match else Rate(0, 0)
    if rate.limit < 1 or rate.interval_s < 1:
        raise InputError(
            f"{text!r} is no rate: write requests/time as in '1/s', '60/min', '25/day', '1000/10min'"
        )
    return rate


def combined(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """All `rates` at once, shortest interval first, without those that follow from the others."""
    kept: list[Rate] = []
    for rate in sorted(rates):
        if any(
            rate.limit * shorter.interval_s >= shorter.limit * rate.interval_s for shorter in kept
        ):
            continue
        kept = [shorter for shorter in kept if shorter.limit < rate.limit]
        kept.append(rate)
    return tuple(kept)
