"""What to do about sources that fail: when to leave them alone, when to ask again, how often to ask at all.

Decisions are pure functions of numbers; clock, sleep and dice are arguments, and no thread is started here. Durations are
in seconds. Points in time are seconds since the epoch, because a breaker and a quota outlive the process: the wall clock is
the only one that processes share, so every rule says what it does when that clock was set back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

from mp2.errors import InputError, SourceError

T = TypeVar("T")

PASSING_CODES = frozenset({"rate_limited", "unavailable", "timeout", "bad_payload"})
"""Codes of failures that are the source's and may pass. The others are mended by the user: a key, a permission, a request."""

COUNTED_CODES = PASSING_CODES | {"exception"}
"""Codes that bring a breaker nearer to opening; `exception` is whatever a scanner did not handle."""


# --- breaker -----------------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """Closed: the scanner runs. Open: it is skipped. Half open: one run tries whether it works again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_FAR_S = 1e11
"""Since the epoch: a thousand years beyond any date that is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens and for how long.

    After `n_failures` failed runs in a row it opens for `cool_down_s`, doubled per failed probe up to `max_cool_down_s`. A
    probe of which nothing was heard for `probe_s` is taken for dead, and another run may try.
    """

    n_failures: int = 5
    cool_down_s: float = 15 * 60.0
    max_cool_down_s: float = 24 * 3600.0
    probe_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """One scanner's breaker; `since` is when it opened, or when its probe was let through (seconds since the epoch)."""

    phase: Phase = Phase.CLOSED
    n_failures: int = 0
    since: float = 0.0
    cool_down_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For a store; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The state that `to_dict` wrote; a closed breaker when the values make no sense."""
        try:
            state = cls(
                phase=Phase(values["phase"]),
                n_failures=int(values["n_failures"]),
                since=float(values["since"]),
                cool_down_s=float(values["cool_down_s"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return cls()
        sound = state.n_failures >= 0 and abs(state.since) < _FAR_S and 0.0 <= state.cool_down_s < float("inf")
        return state if sound else cls()


def ask(state: BreakerState, now: float, rules: BreakerRules) -> tuple[BreakerState, float]:
    """May the scanner run? Returns the state after asking and the seconds left to wait; 0 lets it run.

    Of an open breaker whose time is over one caller is let through, the probe. A clock that was set back starts the
    cool-down anew instead of prolonging it by the jump.
    """
    if state.phase is Phase.CLOSED:
        return state, 0.0
    state = replace(state, since=min(state.since, now))
    limit_s = state.cool_down_s if state.phase is Phase.OPEN else rules.probe_s
    left_s = state.since + limit_s - now
    return (state, left_s) if left_s > 0 else (replace(state, phase=Phase.HALF_OPEN, since=now), 0.0)


def failed(state: BreakerState, code: str, now: float, rules: BreakerRules) -> BreakerState:
    """The state after a run that failed with `code`, a `SourceError` code or `exception`."""
    if code not in COUNTED_CODES:
        return released(state)
    counted = replace(state, n_failures=state.n_failures + 1)
    if state.phase is Phase.HALF_OPEN:
        return _opened(counted, min(2 * state.cool_down_s, rules.max_cool_down_s), now)
    if state.phase is Phase.CLOSED and counted.n_failures >= rules.n_failures:
        return _opened(counted, min(rules.cool_down_s, rules.max_cool_down_s), now)
    return counted


def released(state: BreakerState) -> BreakerState:
    """The state after a run that says nothing about the source: a probe is given back, and the next caller may try."""
    if state.phase is not Phase.HALF_OPEN:
        return state
    return replace(state, phase=Phase.OPEN, since=state.since - state.cool_down_s)


def _opened(state: BreakerState, cool_down_s: float, now: float) -> BreakerState:
    return replace(state, phase=Phase.OPEN, since=now, cool_down_s=cool_down_s)


class Breakers:
    """The breakers of many scanners, shared by threads; the lock is held for arithmetic, never while a scanner runs.

    `states` are those of earlier processes. `save(scanner, state)` is called after every change, in the thread that made it.
    """

    def __init__(
        self,
        states: Mapping[str, BreakerState] | None = None,
        *,
        rules: BreakerRules | None = None,
        clock: Callable[[], float] = time.time,
        save: Callable[[str, BreakerState], None] | None = None,
    ) -> None:
        self._states = dict(states or {})
        self._rules, self._clock, self._save = rules or BreakerRules(), clock, save
        self._lock = threading.Lock()

    def allow(self, scanner: str) -> bool | str:
        """True when it may run (of a half-open breaker: for one caller), otherwise why not, as a sentence for a person."""
        left_s = 0.0

        def change(state: BreakerState) -> BreakerState:
            nonlocal left_s
            state, left_s = ask(state, self._clock(), self._rules)
            return state

        state = self._change(scanner, change)
        return True if left_s <= 0 else _why(state, left_s)

    def success(self, scanner: str) -> None:
        """A run worked: the breaker closes and forgets."""
        self._change(scanner, lambda state: BreakerState())

    def failure(self, scanner: str, code: str) -> None:
        """A run failed; codes outside of `COUNTED_CODES` only give back a probe."""
        self._change(scanner, lambda state: failed(state, code, self._clock(), self._rules))

    def cancel(self, scanner: str) -> None:
        """A run was stopped by the user: as if it had not been asked for."""
        self._change(scanner, released)

    def state(self, scanner: str) -> BreakerState:
        """The breaker as it is now."""
        with self._lock:
            return self._states.get(scanner, BreakerState())

    def _change(self, scanner: str, change: Callable[[BreakerState], BreakerState]) -> BreakerState:
        with self._lock:
            before = self._states.get(scanner, BreakerState())
            after = self._states[scanner] = change(before)
        if self._save is not None and after != before:
            self._save(scanner, after)
        return after


def _why(state: BreakerState, left_s: float) -> str:
    if state.phase is Phase.HALF_OPEN:
        return "another run is trying whether it works again"
    minutes = max(1, round(left_s / 60))
    return f"skipped after {state.n_failures} failures in a row; next try in {minutes} min"


# --- asking again ------------------------------------------------------------------------------------------------------


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
        return call.attempt_number >= rules.n_attempts or call.upcoming_sleep + rules.reserve_s > remaining_s()

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
        unit, unit_s = next(item for item in reversed(_UNIT_S.items()) if self.interval_s % item[1] == 0)
        n_units = self.interval_s // unit_s
        return f"{self.limit}/{n_units if n_units > 1 else ''}{unit}"


def parse_rate(text: str) -> Rate:
    """A rate such as `1/s`, `60/min`, `25/day` or `1000/10min`. Raises `InputError` for anything else."""
    match = _RATE.fullmatch(text)
    rate = Rate(int(match[2] or 1) * _UNIT_S[match[3]], int(match[1])) if match else Rate(0, 0)
    if rate.limit < 1 or rate.interval_s < 1:
        raise InputError(f"{text!r} is no rate: write requests/time as in '1/s', '60/min', '25/day', '1000/10min'")
    return rate


def combined(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """All `rates` at once, shortest interval first, without those that follow from the others."""
    kept: list[Rate] = []
    for rate in sorted(rates):
        if any(rate.limit * shorter.interval_s >= shorter.limit * rate.interval_s for shorter in kept):
            continue
        kept = [shorter for shorter in kept if shorter.limit < rate.limit]
        kept.append(rate)
    return tuple(kept)
