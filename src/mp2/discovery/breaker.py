"""When to stop running a scanner whose source keeps failing, and when to try it again.

Decisions are pure functions of numbers and the clock is an argument. Points in time are seconds
since the epoch, because a breaker outlives the process and the wall clock is the only one that
processes share: every rule says what it does when that clock was set back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from mp2._document import Fields
from mp2.discovery.config import ExecutionSettings
from mp2.errors import TRANSIENT_CODES

COUNTED_CODES = TRANSIENT_CODES | {"exception"}
"""Failures that count; `exception` is one that the scanner did not handle."""

PROBE_S = 600.0
"""A probe that has not ended after this time counts as dead, and another run may try."""


class Phase(StrEnum):
    """Closed: the scanner runs.

    Open: it is skipped. Half open: one run, the probe, tries whether it works again.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """One scanner's breaker.

    `since`: when it opened, or when its probe started (seconds since the epoch).
    """

    phase: Phase = Phase.CLOSED
    n_failures: int = 0
    since: float = 0.0
    cool_down_s: float = 0.0

    @classmethod
    def from_row(cls, row: Fields) -> Self:
        """Return the state with these fields; a closed breaker where they make no sense."""
        # No clock shows a time that far away, and no calendar has it.
        farthest_s = max(abs(row["since"]), row["cool_down_s"])
        if row["phase"] not in list(Phase) or farthest_s > 1e11:
            return cls()
        return cls(
            phase=Phase(row["phase"]),
            n_failures=row["n_failures"],
            since=row["since"],
            cool_down_s=row["cool_down_s"],
        )


def admit(state: BreakerState, now: float) -> tuple[BreakerState, float]:
    """Return the state after a request to run, and the seconds to wait; 0 admits it.

    Of an open breaker whose time is over one caller is admitted, the probe. A clock that was set
    back starts the cool-down again instead of prolonging it by the jump.
    """
    if state.phase is Phase.CLOSED:
        return state, 0.0
    # A start in the future would prolong the cool-down by the jump of the clock.
    state = replace(state, since=min(state.since, now))
    limit_s = state.cool_down_s
    if state.phase is Phase.HALF_OPEN:
        limit_s = PROBE_S
    left_s = state.since + limit_s - now
    if left_s > 0:
        return state, left_s
    return replace(state, phase=Phase.HALF_OPEN, since=now), 0.0


def failed(
    state: BreakerState,
    code: str,
    now: float,
    rules: ExecutionSettings,
) -> BreakerState:
    """Return the state after a run that failed with `code`, a `SourceError` code or `exception`."""
    if code not in COUNTED_CODES:
        return released(state)
    counted = replace(state, n_failures=state.n_failures + 1)
    if state.phase is Phase.HALF_OPEN:
        cool_down_s = 2 * state.cool_down_s
    elif state.phase is Phase.CLOSED and counted.n_failures >= rules.breaker_failures:
        cool_down_s = rules.breaker_cool_down_seconds
    else:
        return counted
    cool_down_s = min(cool_down_s, rules.breaker_longest_seconds)
    return replace(counted, phase=Phase.OPEN, since=now, cool_down_s=cool_down_s)


def released(state: BreakerState) -> BreakerState:
    """Return the state after a run that says nothing about the source."""
    if state.phase is not Phase.HALF_OPEN:
        return state
    # As if the cool-down were over, so that the next caller is the probe.
    return replace(state, phase=Phase.OPEN, since=state.since - state.cool_down_s)


Change = Callable[[BreakerState], BreakerState]


ChangeState = Callable[[str, Change], BreakerState]
"""Applies a change to a scanner's state in one step and returns the state afterwards.

It belongs to the place where states are kept (`ScanStore.change_breaker`).
"""


class Breakers:
    """The breakers of many scanners.

    Reading, changing and keeping a state is one step of `change_state`, so of several processes one
    gets the probe. Every `refusal` that is None is followed by one of the other calls.
    """

    def __init__(
        self,
        change_state: ChangeState,
        *,
        rules: ExecutionSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._change = change_state
        self._rules = rules or ExecutionSettings()
        self._clock = clock

    def refusal(self, scanner: str) -> str | None:
        """Return why the scanner must not run, as a sentence; None when it may."""
        left_s = 0.0

        def change(state: BreakerState) -> BreakerState:
            nonlocal left_s
            state, left_s = admit(state, self._clock())
            return state

        state = self._change(scanner, change)
        if left_s <= 0:
            return None
        if state.phase is Phase.HALF_OPEN:
            return "another run is trying whether it works again"
        minutes = max(1, round(left_s / 60))
        return f"skipped after {state.n_failures} failures in a row; next try in {minutes} min"

    def success(self, scanner: str) -> None:
        """Close the breaker: the source responded."""
        self._change(scanner, lambda state: BreakerState())

    def failure(
        self,
        scanner: str,
        code: str,
    ) -> None:
        """Count a failure; codes outside of `COUNTED_CODES` only give back a probe."""
        self._change(scanner, lambda state: failed(state, code, self._clock(), self._rules))

    def cancel(self, scanner: str) -> None:
        """Give back a probe: nothing is known about the source."""
        self._change(scanner, released)
