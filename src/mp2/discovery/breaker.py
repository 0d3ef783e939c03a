"""When to stop calling a scanner whose source keeps failing, and when to try it again.

Decisions are pure functions of numbers and the clock is an argument. Points in time are seconds since the epoch, because a
breaker outlives the process and the wall clock is the only one that processes share: every rule says what it does when that
clock was set back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from mp2.errors import TRANSIENT_CODES

COUNTED_CODES = TRANSIENT_CODES | {"exception"}
"""Failures that count towards opening a breaker; `exception` is an error that the scanner did not handle."""


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
        sound = (
            state.n_failures >= 0
            and abs(state.since) < _FAR_S
            and 0.0 <= state.cool_down_s < float("inf")
        )
        return state if sound else cls()


Change = Callable[[BreakerState], BreakerState]
ChangeState = Callable[[str, Change], BreakerState]


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
    return (
        (state, left_s) if left_s > 0 else (replace(state, phase=Phase.HALF_OPEN, since=now), 0.0)
    )


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
    """The breakers of many scanners, whose states are kept elsewhere (`ScanStore.change_breaker`).

    `change_state(scanner, change)` reads a scanner's state, applies `change` to it, keeps the state
    after it and returns that, all in one step: so of several callers at once one gets the probe.
    """

    def __init__(
        self,
        change_state: ChangeState,
        *,
        rules: BreakerRules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._change = change_state
        self._rules = rules or BreakerRules()
        self._clock = clock

    def allow(self, scanner: str) -> bool | str:
        """Return True when the scanner may run, otherwise the reason as a sentence.

        A half-open breaker allows one caller.
        """
        left_s = 0.0

        def change(state: BreakerState) -> BreakerState:
            nonlocal left_s
            state, left_s = ask(state, self._clock(), self._rules)
            return state

        state = self._change(scanner, change)
        return True if left_s <= 0 else _why(state, left_s)

    def success(self, scanner: str) -> None:
        """Close the breaker after a run that worked."""
        self._change(scanner, lambda state: BreakerState())

    def failure(self, scanner: str, code: str) -> None:
        """Count a failed run; codes outside of `COUNTED_CODES` only give back a probe."""
        self._change(scanner, lambda state: failed(state, code, self._clock(), self._rules))

    def cancel(self, scanner: str) -> None:
        """Give back a probe: the run was stopped by the user."""
        self._change(scanner, released)


def _why(state: BreakerState, left_s: float) -> str:
    if state.phase is Phase.HALF_OPEN:
        return "another run is trying whether it works again"
    minutes = max(1, round(left_s / 60))
    return f"skipped after {state.n_failures} failures in a row; next try in {minutes} min"
