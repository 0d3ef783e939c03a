"""Breakers as arithmetic: the clock is the test's."""

from __future__ import annotations

import sys
import threading
from dataclasses import asdict

import pytest

from mp2.discovery.breaker import (
    COUNTED_CODES,
    PROBE_S,
    Breakers,
    BreakerState,
    Phase,
    admit,
    failed,
    released,
)
from mp2.discovery.config import ExecutionSettings
from mp2.errors import SOURCE_ERROR_CODES

RULES = ExecutionSettings()
MINUTE, DAY = 60.0, 86400.0


def fail_n(n_times, state=None, *, now=1000.0):
    state = state or BreakerState()
    for _ in range(n_times):
        state = failed(state, "unavailable", now, RULES)
    return state


# --- breaker


def test_five_failures_in_a_row_open_it_for_a_quarter_of_an_hour():
    assert admit(fail_n(4), 1000.0)[1] == 0
    state = fail_n(5)
    assert state.phase is Phase.OPEN
    assert admit(state, 1000.0)[1] == 15 * MINUTE
    assert admit(state, 1000.0 + 15 * MINUTE - 1)[1] == 1
    state, left_s = admit(state, 1000.0 + 15 * MINUTE)
    assert (state.phase, left_s) == (Phase.HALF_OPEN, 0)


def test_the_cool_down_doubles_per_failed_probe_up_to_a_day():
    state, now, cool_downs = fail_n(5), 1000.0, []
    for _ in range(9):
        cool_downs.append(state.cool_down_s / MINUTE)
        now += state.cool_down_s
        state, left_s = admit(state, now)
        assert left_s == 0
        state = failed(state, "timeout", now, RULES)
    assert cool_downs == [15, 30, 60, 120, 240, 480, 960, 1440, 1440]


def test_only_one_is_let_through_when_half_open_until_it_is_given_up_for_dead():
    state, _ = admit(fail_n(5), 5000.0)
    assert admit(state, 5001.0)[1] == PROBE_S - 1
    assert admit(state, 5000.0 + PROBE_S)[1] == 0


@pytest.mark.parametrize("code", [*SOURCE_ERROR_CODES, "exception"])
def test_which_failures_count(code):
    counts = code in {"rate_limited", "unavailable", "timeout", "bad_payload", "exception"}
    assert (code in COUNTED_CODES) == counts
    state = BreakerState(n_failures=4)
    assert failed(state, code, 1.0, RULES).phase is (Phase.OPEN if counts else Phase.CLOSED)


def test_a_neutral_end_frees_the_probe_at_once_and_keeps_the_cool_down():
    probing, _ = admit(fail_n(5), 5000.0)
    for state in (released(probing), failed(probing, "unauthorized", 5001.0, RULES)):
        assert (state.phase, state.cool_down_s, state.n_failures) == (Phase.OPEN, 15 * MINUTE, 5)
        again, left_s = admit(state, 5001.0)
        assert (again.phase, left_s) == (Phase.HALF_OPEN, 0)


def test_a_clock_that_was_set_back_costs_one_cool_down_at_most():
    state, left_s = admit(fail_n(5, now=1000.0 + 365 * DAY), 1000.0)
    assert left_s == 15 * MINUTE
    assert admit(state, 1000.0 + 15 * MINUTE)[1] == 0


def test_the_state_survives_a_store():
    state = fail_n(7)
    assert BreakerState.from_row(asdict(state)) == state


def test_an_unknown_phase_is_a_closed_breaker():
    values = {"phase": "ajar", "n_failures": 1, "since": 0.0, "cool_down_s": 1.0}
    assert BreakerState.from_row(values) == BreakerState()


class States(dict):
    """States of breakers in memory, and the stored states."""

    def __init__(self, **states):
        super().__init__(states)
        self.kept = []
        self.lock = threading.Lock()

    def change(self, scanner, change):
        with self.lock:
            self[scanner] = change(self.get(scanner, BreakerState()))
            self.kept.append((scanner, self[scanner].phase, self[scanner].n_failures))
            return self[scanner]


def test_breakers_keep_what_changes_and_give_the_reason():
    states, now = States(), [1000.0]
    breakers = Breakers(states.change, clock=lambda: now[0])
    for _ in range(5):
        assert breakers.refusal("news") is None
        breakers.failure("news", "unavailable")
    assert states.kept[1::2] == [("news", "closed", n) for n in range(1, 5)] + [("news", "open", 5)]
    assert breakers.refusal("news") == "skipped after 5 failures in a row; next try in 15 min"
    assert breakers.refusal("other") is None
    now[0] += 15 * MINUTE
    assert breakers.refusal("news") is None
    assert "another run" in str(breakers.refusal("news"))
    breakers.cancel("news")
    assert breakers.refusal("news") is None
    breakers.success("news")
    assert states["news"] == BreakerState()


def test_breakers_of_an_earlier_process_are_still_open():
    breakers = Breakers(States(news=fail_n(5)).change, clock=lambda: 1060.0)
    assert "14 min" in str(breakers.refusal("news"))


def test_one_thread_of_many_gets_the_probe():
    breakers = Breakers(States(news=fail_n(5)).change, clock=lambda: 1e6)
    ready, refusals = threading.Barrier(8), []

    def go():
        ready.wait()
        refusals.append(breakers.refusal("news"))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=go) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(one is None for one in refusals) == [False] * 7 + [True]
