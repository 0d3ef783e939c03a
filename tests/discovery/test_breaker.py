"""Breaker, retries and rates as arithmetic: clock, sleep and dice are the test's."""

from __future__ import annotations

import sys
import threading

import pytest

from mp2.discovery.breaker import (
    COUNTED_CODES,
    BreakerRules,
    Breakers,
    BreakerState,
    Phase,
    ask,
    failed,
    released,
)
from mp2.discovery.http.retry import (
    Rate,
    RetryRules,
    Transient,
    combined,
    delay_s,
    parse_rate,
    retrying,
    told_wait_s,
)
from mp2.errors import SOURCE_ERROR_CODES, InputError, SourceError

RULES = BreakerRules()
MINUTE, DAY = 60.0, 86400.0


def fail_n(n_times, state=None, *, now=1000.0):
    state = state or BreakerState()
    for _ in range(n_times):
        state = failed(state, "unavailable", now, RULES)
    return state


# --- breaker -----------------------------------------------------------------------------------------------------------


def test_five_failures_in_a_row_open_it_for_a_quarter_of_an_hour():
    assert ask(fail_n(4), 1000.0, RULES)[1] == 0
    state = fail_n(5)
    assert state.phase is Phase.OPEN
    assert ask(state, 1000.0, RULES)[1] == 15 * MINUTE
    assert ask(state, 1000.0 + 15 * MINUTE - 1, RULES)[1] == 1
    state, left_s = ask(state, 1000.0 + 15 * MINUTE, RULES)
    assert (state.phase, left_s) == (Phase.HALF_OPEN, 0)


def test_the_cool_down_doubles_per_failed_probe_up_to_a_day():
    state, now, cool_downs = fail_n(5), 1000.0, []
    for _ in range(9):
        cool_downs.append(state.cool_down_s / MINUTE)
        now += state.cool_down_s
        state, left_s = ask(state, now, RULES)
        assert left_s == 0
        state = failed(state, "timeout", now, RULES)
    assert cool_downs == [15, 30, 60, 120, 240, 480, 960, 1440, 1440]


def test_only_one_is_let_through_when_half_open_until_it_is_given_up_for_dead():
    state, _ = ask(fail_n(5), 5000.0, RULES)
    assert ask(state, 5001.0, RULES)[1] == RULES.probe_s - 1
    assert ask(state, 5000.0 + RULES.probe_s, RULES)[1] == 0


@pytest.mark.parametrize("code", [*SOURCE_ERROR_CODES, "exception"])
def test_which_failures_count(code):
    counts = code in {"rate_limited", "unavailable", "timeout", "bad_payload", "exception"}
    assert (code in COUNTED_CODES) == counts
    state = BreakerState(n_failures=4)
    assert failed(state, code, 1.0, RULES).phase is (Phase.OPEN if counts else Phase.CLOSED)


def test_a_neutral_end_frees_the_probe_at_once_and_keeps_the_cool_down():
    probing, _ = ask(fail_n(5), 5000.0, RULES)
    for state in (released(probing), failed(probing, "unauthorized", 5001.0, RULES)):
        assert (state.phase, state.cool_down_s, state.n_failures) == (Phase.OPEN, 15 * MINUTE, 5)
        again, left_s = ask(state, 5001.0, RULES)
        assert (again.phase, left_s) == (Phase.HALF_OPEN, 0)


def test_a_clock_that_was_set_back_costs_one_cool_down_at_most():
    state, left_s = ask(fail_n(5, now=1000.0 + 365 * DAY), 1000.0, RULES)
    assert left_s == 15 * MINUTE
    assert ask(state, 1000.0 + 15 * MINUTE, RULES)[1] == 0


def test_the_state_survives_a_store():
    state = fail_n(7)
    assert BreakerState.from_dict(state.to_dict()) == state


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"phase": "ajar", "n_failures": 1, "since": 0.0, "cool_down_s": 1.0},
        {"phase": "open", "n_failures": -1, "since": 0.0, "cool_down_s": 1.0},
        {"phase": "open", "n_failures": 1, "since": float("nan"), "cool_down_s": 1.0},
        {"phase": "open", "n_failures": 1, "since": 0.0, "cool_down_s": float("inf")},
        {"phase": "open", "n_failures": None, "since": 0.0, "cool_down_s": 1.0},
    ],
)
def test_a_damaged_state_is_a_closed_breaker(values):
    assert BreakerState.from_dict(values) == BreakerState()


class States(dict):
    """States of breakers in memory, and what was kept."""

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
        assert breakers.allow("news") is True
        breakers.failure("news", "unavailable")
    assert states.kept[1::2] == [("news", "closed", n) for n in range(1, 5)] + [("news", "open", 5)]
    assert breakers.allow("news") == "skipped after 5 failures in a row; next try in 15 min"
    assert breakers.allow("other") is True
    now[0] += 15 * MINUTE
    assert breakers.allow("news") is True
    assert "another run" in str(breakers.allow("news"))
    breakers.cancel("news")
    assert breakers.allow("news") is True
    breakers.success("news")
    assert states["news"] == BreakerState()


def test_breakers_of_an_earlier_process_are_still_open():
    breakers = Breakers(States(news=fail_n(5)).change, clock=lambda: 1060.0)
    assert "14 min" in str(breakers.allow("news"))


def test_one_thread_of_many_gets_the_probe():
    breakers = Breakers(States(news=fail_n(5)).change, clock=lambda: 1e6)
    ready, allowed = threading.Barrier(8), []

    def go():
        ready.wait()
        allowed.append(breakers.allow("news"))

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
    assert sorted(answer is True for answer in allowed) == [False] * 7 + [True]


# --- asking again ------------------------------------------------------------------------------------------------------


class Source:
    """Fails as told; then it answers. Its clock is moved by the sleeping alone."""

    def __init__(self, *failures, budget_s=100.0):
        self.failures, self.budget_s = list(failures), budget_s
        self.n_calls, self.slept, self.seen = 0, [], []

    def __call__(self):
        self.n_calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def ask(self, **rules):
        return retrying(
            self,
            remaining_s=lambda: self.budget_s - sum(self.slept),
            sleep=self.slept.append,
            dice=lambda: 0.0,
            rules=RetryRules(**rules),
            observe=lambda error, wait_s: self.seen.append((error.code, wait_s)),
        )


def transient(wait_s=None, code="unavailable"):
    return Transient(SourceError(code, "HTTP 503", retry_after_s=wait_s), wait_s)


def test_waits_grow():
    source = Source(transient(), transient(), transient())
    assert source.ask() == "answer"
    assert source.slept == [0.25, 0.5, 1.0]
    assert source.seen == [("unavailable", wait_s) for wait_s in source.slept]


def test_the_dice_take_at_most_half_and_the_source_is_obeyed():
    rules = RetryRules()
    assert [delay_s(n, None, 0.999999, rules) for n in (1, 2, 20)] == pytest.approx(
        [0.5, 1.0, 30.0], rel=1e-5
    )
    assert delay_s(20, None, 0.0, rules) == 15.0
    assert delay_s(1, 7.0, 0.5, rules) == 7.0
    assert delay_s(1, 0.0, 0.0, rules) == 0.25


def test_attempts_are_limited_and_the_last_error_is_the_failure():
    source = Source(*(Transient(SourceError("unavailable", f"HTTP 50{n}")) for n in range(9)))
    with pytest.raises(SourceError, match="HTTP 503") as caught:
        source.ask()
    assert source.n_calls == 4
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_wait_that_would_not_end_in_time_is_not_begun():
    source = Source(transient(30.0, "rate_limited"), budget_s=30.0)
    with pytest.raises(SourceError) as caught:
        source.ask()
    assert (source.slept, source.n_calls, caught.value.code, caught.value.retry_after_s) == (
        [],
        1,
        "rate_limited",
        30.0,
    )
    assert Source(transient(29.9), budget_s=30.0).ask() == "answer"


def test_lasting_errors_are_not_tried_again():
    source = Source(SourceError("forbidden", "no"))
    with pytest.raises(SourceError, match="no"):
        source.ask()
    assert source.n_calls == 1


def test_a_sleep_may_end_it_all():
    def sleep(seconds):
        raise SourceError("timeout", "cancelled")

    with pytest.raises(SourceError, match="cancelled"):
        retrying(
            Source(transient()),
            remaining_s=lambda: 9.0,
            sleep=sleep,
            dice=lambda: 0.0,
            rules=RetryRules(),
        )


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Sun, 99 Nov 99999 08:49:37 GMT"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"x-ratelimit-reset": "784111787"}, 784111787.0),
        ({"x-ratelimit-reset": "42.5"}, 42.5),
        ({"x-ratelimit-reset": "-1"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset": "9"}, 9.0),
        ({"retry-after": "3", "x-ratelimit-reset": "9"}, 3.0),
    ],
)
def test_what_the_source_asks_for(headers, wait_s):
    assert told_wait_s(headers, now=784111767.0) == wait_s


def test_a_reset_is_a_point_in_time_or_seconds_to_go():
    assert told_wait_s({"x-ratelimit-reset": "1790000030"}, now=1790000000.0) == 30.0
    assert told_wait_s({"x-ratelimit-reset": "1790000030"}, now=1790000099.0) == 0.0


# --- rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "interval_s", "limit"),
    [
        ("1/s", 1, 1),
        ("60/min", 60, 60),
        ("25/day", 86400, 25),
        (" 1000 / 10min ", 600, 1000),
        ("5/h", 3600, 5),
    ],
)
def test_rates_are_read_and_written(text, interval_s, limit):
    assert parse_rate(text) == Rate(interval_s, limit)
    assert parse_rate(str(parse_rate(text))) == parse_rate(text)


@pytest.mark.parametrize("text", ["", "1", "0/s", "1/0s", "-1/s", "1/week", "1.5/s", "a/s", "٣/s"])
def test_unreadable_rates_are_named(text):
    with pytest.raises(InputError, match="no rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("rates", "kept"),
    [
        (["25/day", "1/s"], ["1/s", "25/day"]),
        (["60/min", "30/s"], ["30/s", "60/min"]),
        (["1/s", "60/min"], ["1/s"]),
        (["1/s", "100/min"], ["1/s"]),
        (["5/s", "3/s"], ["3/s"]),
        (["30/s", "20/min"], ["20/min"]),
        ([], []),
    ],
)
def test_rates_combine_to_those_that_bind(rates, kept):
    assert list(map(str, combined(map(parse_rate, rates)))) == kept
