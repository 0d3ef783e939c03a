"""Scanners side by side: none affects another, the result or the caller."""

import datetime
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
import stub_scanners
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_scanners import make, naming

import mp2
from mp2.discovery import runner as source_scan

GUARD_S = 20
"""How long a test waits for what has to happen."""

SOON_S = 0.05


@pytest.fixture
def never():
    """An event that is set after the test, so that threads that wait for it end."""
    event = threading.Event()
    yield event
    event.set()


def statuses(result):
    return {outcome.scanner: str(outcome.status) for outcome in result.outcomes}


def outcome(result, name):
    (found,) = [outcome for outcome in result.outcomes if outcome.scanner == name]
    return found


def soon(*names):
    """Return a configuration in which these scanners time out soon, and no other does."""
    return {"scanners": {name: {"timeout_seconds": SOON_S} for name in names}}


def until(condition):
    """Wait until another thread or process has made a condition true."""
    end_s = time.monotonic() + GUARD_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def raising(error):
    def work(context):
        yield context.candidate("LOST", "named before")
        raise error

    return work


# --- results


def test_one_of_each_kind(never):
    scanners = [
        naming("good", "A", "B"),
        naming("empty"),
        make("hung", lambda context: never.wait()),
        make("broken", raising(ValueError("no such thing"))),
        make("limited", raising(mp2.SourceError("rate_limited", "come back later"))),
        make("refused", raising(mp2.SourceError("unauthorized", "unknown key"))),
        make("slow_source", raising(mp2.SourceError("timeout", "source.example did not respond"))),
        make("keyless", raising(mp2.SourceError("missing_key", "no key X"))),
        make("down", raising(mp2.SourceError("unavailable", "HTTP 500 error"))),
        make("exiting", raising(SystemExit(3))),
        make("interrupting", raising(KeyboardInterrupt())),
        make("nothing", lambda context: None),
        make("word", lambda context: "ABC"),
        make(
            "half",
            lambda context: [
                {"ticker": "B", "context": "again", "priority": "high"},
                {"ticker": ""},
            ],
        ),
    ]
    result = mp2.scan(scanners, config=soon("hung"))
    assert statuses(result) == {
        "good": "ok",
        "empty": "empty",
        "hung": "timeout",
        "broken": "error",
        "limited": "rate_limited",
        "refused": "unauthorized",
        "slow_source": "timeout",
        "keyless": "skipped",
        "down": "error",
        "exiting": "error",
        "interrupting": "error",
        "nothing": "error",
        "word": "error",
        "half": "ok",
    }
    assert result.status == "partial"
    assert [one.ticker for one in result.candidates] == ["B", "A"]
    assert result.candidates[0].sources == ("good", "half")
    assert outcome(result, "broken").error.message == "ValueError: no such thing"
    assert outcome(result, "broken").n_candidates == 1
    assert any("Traceback" in line for line in result.logs["broken"])
    assert outcome(result, "hung").error.message == "timeout after 0.05s"
    assert outcome(result, "down").error == mp2.ScanError("unavailable", "HTTP 500 error")
    assert outcome(result, "interrupting").error.message == "KeyboardInterrupt"
    assert outcome(result, "nothing").error.message.startswith(
        "TypeError: scan() has to return an iterable"
    )
    assert outcome(result, "half").n_dropped == 1
    assert result.warnings == ("keyless: skipped: no key X",)


ITEMS = st.one_of(
    st.builds(
        lambda ticker, priority: {"ticker": ticker, "context": "x", "priority": priority},
        st.sampled_from(["A", "b ", "BRK.B", "BRK-B", "?", ""]),
        st.sampled_from(["critical", "high", "low", "none"]),
    ),
    st.none(),
)
PLANS = st.lists(
    st.tuples(st.lists(ITEMS, max_size=6), st.booleans(), st.integers(1, 4)), max_size=6
)


def planned(name, plan):
    items, fails, limit = plan

    def work(context):
        context.log_tool("plan", n=len(items))
        yield from items
        if fails:
            raise ValueError(name)

    return make(name, work, f"p{len(items) % 2}"), limit


@settings(max_examples=40, deadline=None)
@given(PLANS, st.integers(1, 8))
def test_both_modes_give_the_same(plans, workers):
    made = {f"s{n}": planned(f"s{n}", plan) for n, plan in enumerate(plans)}
    config = {"scanners": {name: {"limit": limit} for name, (_, limit) in made.items()}}
    scanners, states = [scanner for scanner, _ in made.values()], ({}, {})
    one, other = (
        mp2.scan(scanners, config=config, state=state, concurrent=concurrent, workers=workers)
        for state, concurrent in zip(states, (False, True), strict=True)
    )
    assert one.candidates == other.candidates
    assert states[0] == states[1]
    assert [untimed(each) for each in one.outcomes] == [untimed(each) for each in other.outcomes]
    assert (one.mode, one.workers, other.mode, other.workers) == (
        "sequential",
        1,
        "concurrent",
        workers,
    )


def untimed(outcome):
    return {**outcome.to_dict(), "seconds": None, "ended_s": None}


def test_the_result_does_not_depend_on_who_is_first():
    first, second = threading.Event(), threading.Event()

    def last(context):
        first.wait(GUARD_S)
        return [context.candidate("A", "of one")]

    def early(context):
        return [context.candidate("A", "of two")]

    seen = []

    def observe(event):
        if event.kind == "finished":
            seen.append(event.scanner)
            first.set()

    result = mp2.scan([make("one", last), make("two", early)], observe=observe)
    assert seen == ["two", "one"]
    assert [each.scanner for each in result.outcomes] == ["one", "two"]
    assert result.candidates[0].contexts == ("of one", "of two")
    assert not second.is_set()


def test_the_limit_cuts_valid_candidates_and_closes_the_generator():
    closed = []

    def endless(context):
        try:
            while True:
                yield {"ticker": "", "context": "invalid"}
                yield context.candidate("A", "x")
                yield context.candidate("B", "x")
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    result = mp2.scan([make("endless", endless)], config={"scanners": {"endless": {"limit": 3}}})
    assert (result.outcomes[0].n_candidates, result.outcomes[0].n_dropped) == (3, 2)
    assert closed == [True]


def test_an_endless_generator_of_nothing_valid_ends_by_itself():
    ended = threading.Event()

    def endless(context):
        try:
            while True:
                yield None
        finally:
            ended.set()

    result = mp2.scan([make("endless", endless)], timeout_s=SOON_S)
    assert statuses(result) == {"endless": "timeout"}
    assert ended.wait(GUARD_S)
    assert len(result.logs["endless"]) <= 25


def test_statuses_of_replies():
    def replying(*kinds):
        def work(context):
            for kind in kinds:
                context.attempts += 1
                context.replies.add(kind)
            return [context.candidate("A", "x")]

        return work

    plans = {
        "fresh": ["fresh", "cached"],
        "cached": ["cached", "cached"],
        "stale": ["fresh", "stale"],
    }
    breakers = RecordedBreakers()
    result = mp2.scan(
        [make(name, replying(*kinds)) for name, kinds in plans.items()], breakers=breakers
    )
    assert statuses(result) == {"fresh": "ok", "cached": "cached", "stale": "stale"}
    assert [each.attempts for each in result.outcomes] == [2, 2, 2]
    assert result.status == "complete"
    assert result.warnings == (
        "stale: its source failed; the candidates are of an earlier response",
    )
    assert sorted(breakers.calls) == [
        ("cancel", "cached"),
        ("success", "fresh"),
        ("unavailable", "stale"),
    ]


# --- time


def test_time_counts_from_the_start_and_a_slot_comes_back_at_once(never, monkeypatch):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(source_scan, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    n_running, most, begins = Counter(), Counter(), {}

    def observe(event):
        if event.kind == "started":
            n_running["now"] += 1
            begins[event.scanner] = event.elapsed_s
            most["running"] = max(most["running"], n_running["now"])
        if event.kind == "finished":
            n_running["now"] -= 1
        if event.kind == "running" and event.scanner != "good":
            clock.now_s += 15

    hung = [make(f"hung{n}", lambda context: never.wait()) for n in range(3)]
    result = mp2.scan(
        [*hung, naming("good", "A")], timeout_s=30, workers=1, observe=observe, observe_every_s=0.0
    )
    assert statuses(result) == {
        "hung0": "timeout",
        "hung1": "timeout",
        "hung2": "timeout",
        "good": "ok",
    }
    assert begins == {"hung0": 0, "hung1": 30, "hung2": 60, "good": 90}
    assert most["running"] == 1
    assert [each.seconds for each in result.outcomes] == [30, 30, 30, 0]
    assert result.elapsed_s == 90


def test_own_times_come_before_the_runs(never):
    slow = make("slow", lambda context: never.wait())
    config = {
        "scanner_execution": {"timeout_seconds": 300},
        "scanners": {"slow": {"timeout_seconds": SOON_S}},
    }
    result = mp2.scan([slow], config=config, timeout_s=200)
    assert result.outcomes[0].error.message == "timeout after 0.05s"


def test_a_late_result_goes_nowhere(never):
    go, late = threading.Event(), threading.Event()

    def slow(context):
        context.cancelled.wait(GUARD_S)
        go.wait(GUARD_S)
        context.logger.info("late")
        context.log_tool("late")
        late.set()
        return [context.candidate("LATE", "x")]

    events, state = [], {}
    result = mp2.scan([make("slow", slow)], timeout_s=SOON_S, observe=events.append, state=state)
    before = result.to_dict()
    go.set()
    assert late.wait(GUARD_S)
    until(lambda: not any(thread.name == "mp2-scanner-slow" for thread in threading.enumerate()))
    assert result.to_dict() == before
    assert result.candidates == ()
    assert not any("late" in line for line in result.logs["slow"])
    assert state == {}
    assert Counter(event.kind for event in events) == {"begun": 1, "started": 1, "finished": 1}


def test_a_result_delivered_past_its_time_does_not_count(monkeypatch):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(source_scan, "time", SimpleNamespace(monotonic=lambda: clock.now_s))

    def slow(context):
        clock.now_s += 31
        return [context.candidate("LATE", "x")]

    result = mp2.scan([make("slow", slow)], timeout_s=30)
    assert statuses(result) == {"slow": "timeout"}
    assert result.candidates == ()


def test_many_hung_threads_are_the_last_ones(never, monkeypatch):
    monkeypatch.setattr(source_scan, "_hung", source_scan.HungThreads())
    monkeypatch.setattr(source_scan, "MAX_HUNG", 3)
    scanners = [make(f"hung{n}", lambda context: never.wait()) for n in range(4)] + [
        naming("good", "A")
    ]
    result = mp2.scan(scanners, timeout_s=SOON_S, workers=2)
    assert [str(each.status) for each in result.outcomes] == ["timeout"] * 3 + ["skipped"] * 2
    assert (
        mp2.discovery.records.console_line(result.outcomes[-1]) == "⏭️ good: skipped: too many hung"
    )
    assert result.status == "partial"
    assert statuses(mp2.scan([naming("good", "A")])) == {"good": "skipped"}
    never.set()
    until(lambda: source_scan._hung.count() == 0)
    assert statuses(mp2.scan([naming("good", "A")])) == {"good": "ok"}


# --- isolation


def test_state_and_settings_are_its_own():
    barrier = threading.Barrier(2, timeout=GUARD_S)

    def vandal(context):
        barrier.wait()
        seen = json.dumps(context.state, sort_keys=True)
        context.state["list"].append(context.scanner)
        context.state.pop("other")
        barrier.wait()
        return [context.candidate("A", seen)]

    state = {"list": [1], "other": {}}
    result = mp2.scan([make("one", vandal), make("two", vandal)], state=state)
    assert result.candidates[0].contexts == ('{"list": [1], "other": {}}',) * 2
    assert state == {"list": [1], "other": {}}


def test_what_it_yielded_can_be_changed_no_more():
    data, ended = {"n": 1}, threading.Event()

    def later(context):
        yield context.candidate("A", "x", data=data)
        data["n"] = 2
        ended.set()

    result = mp2.scan([make("later", later)])
    assert ended.wait(GUARD_S)
    assert result.candidates[0].data == {"later": {"n": 1}}


def test_state_that_cannot_be_copied():
    result = mp2.scan([naming("good", "A")], state={"fine": 1, "lock": threading.Lock()})
    assert result.outcomes[0].error.code == "preparation"
    assert "state['lock'] cannot be copied" in result.outcomes[0].error.message


def test_tool_logs_in_registration_order():
    second = threading.Event()

    def one(context):
        second.wait(GUARD_S)
        context.log_tool("a", n=1)
        return []

    def two(context):
        context.log_tool("b", n=2)
        second.set()
        return []

    state = {"tool_logs": ["earlier"]}
    result = mp2.scan([make("one", one), make("two", two)], state=state)
    assert [entry["tool"] for entry in result.tool_logs] == ["a", "b"]
    assert state["tool_logs"] == ["earlier", *result.tool_logs]


def test_a_log_line_that_hangs_holds_up_nothing(never):
    class Endless:
        def __str__(self):
            never.wait()
            return "at last"

    hung = make("hung", lambda context: context.logger.info("%s", Endless()))
    assert statuses(mp2.scan([hung, naming("good", "A")], config=soon("hung"))) == {
        "hung": "timeout",
        "good": "ok",
    }
    logging.shutdown()


def test_a_state_whose_tool_logs_are_no_list():
    with pytest.raises(mp2.InputError, match="tool_logs"):
        mp2.scan([naming("good", "A")], state={"tool_logs": ()})


def test_a_scan_creates_one_client_on_request_and_closes_it(monkeypatch):
    calls = []

    class Client:
        def __init__(self, **options):
            calls.append(("made", options))

        def for_scanner(self, context):
            calls.append(("for", context.scanner))
            return "client"

        def close(self):
            calls.append("closed")

    monkeypatch.setitem(sys.modules, "mp2.discovery.http.client", SimpleNamespace(Client=Client))
    mp2.scan([naming("offline", "A")], http_options={"a": 1})
    assert calls == []
    requesting = [
        make(name, lambda context: [context.candidate("A", context.http)])
        for name in ("one", "two")
    ]
    result = mp2.scan(requesting, http_options={"a": 1}, workers=1)
    assert calls == [
        ("made", {"a": 1, "warn": ANY}),
        ("for", "one"),
        ("for", "two"),
        "closed",
    ]
    assert result.candidates[0].contexts == ("client", "client")


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    for name in ("client", "connection", "request"):
        monkeypatch.delitem(sys.modules, f"mp2.discovery.http.{name}", raising=False)
    result = mp2.scan([make("requesting", lambda context: context.http)])
    assert "pip install 'mp2[net]'" in result.outcomes[0].error.message


def test_a_constructor_that_hangs_is_a_scanner_that_hangs(never):
    class Stuck(mp2.Scanner):
        name, pipeline = "stuck", "test"

        def __init__(self, settings):
            never.wait()

    assert statuses(mp2.scan([Stuck, naming("good", "A")], config=soon("stuck"))) == {
        "stuck": "timeout",
        "good": "ok",
    }


class UnspeakableError(Exception):
    def __str__(self):
        raise SystemExit


def test_an_exception_without_a_message():
    result = mp2.scan([make("bad", raising(UnspeakableError())), naming("good", "A")])
    assert statuses(result) == {"bad": "error", "good": "ok"}


def test_secrets_stay_out_of_candidates():
    def work(context):
        context.hide("s3cret/x")
        yield context.candidate("A", "see ?key=s3cret/x", data={"s3cret/x": ["?key=s3cret%2Fx", 1]})

    (found,) = mp2.scan([make("one", work)]).candidates
    assert found.contexts == ("see ?key=***",)
    assert found.data == {"one": {"***": ["?key=***", 1]}}


def test_keys_stay_out_of_messages(monkeypatch):
    monkeypatch.setenv("STUB_KEY", "s3cret!")

    def leaking(context):
        raise RuntimeError(f"GET ?key={context.key('STUB_KEY')} and s3cret%21")

    result = mp2.scan([make("leaking", leaking)])
    assert result.outcomes[0].error.message == "RuntimeError: GET ?key=*** and ***"
    assert "s3cret" not in str(result)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_thread_left(monkeypatch, workers):
    real = threading.Thread.start
    n_alive = threading.active_count()

    def start(thread):
        # Room for one more thread, and never for that of the second scanner.
        if thread.name == "mp2-scanner-two" or threading.active_count() > n_alive:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    scanners = [naming("one", "A"), naming("two", "B"), naming("three", "C")]
    result = mp2.scan(scanners, workers=workers)
    # No scanner has failed, so no breaker counts it.
    assert statuses(result) == {"one": "ok", "two": "skipped", "three": "ok"}
    assert result.outcomes[1].error.code == "no_thread"
    assert "can't start new thread" in result.outcomes[1].error.message


def test_the_switch_interval_is_given_back():
    before, inside = sys.getswitchinterval(), []

    def nested(context):
        mp2.scan([naming("inner", "A")])
        inside.append(sys.getswitchinterval())
        return []

    mp2.scan([make("outer", nested)])
    assert inside == [pytest.approx(source_scan.SWITCH_INTERVAL_S)]
    assert sys.getswitchinterval() == pytest.approx(before)


# --- stop, and what the caller's own code raises


def test_a_stop_keeps_what_has_completed(never):
    stop = threading.Event()

    def observe(event):
        if event.outcome:
            stop.set()

    scanners = [
        make("hung", lambda context: never.wait()),
        naming("good", "A"),
        naming("behind", "B"),
    ]
    breakers, events = RecordedBreakers(), []
    result = mp2.scan(
        scanners,
        workers=2,
        stop=stop,
        observe=lambda event: (events.append(event), observe(event)),
        breakers=breakers,
    )
    assert statuses(result)["good"] == "ok"
    assert (outcome(result, "hung").status, outcome(result, "hung").error.code) == (
        "skipped",
        "stopped",
    )
    assert result.status == "stopped"
    assert "A" in [one.ticker for one in result.candidates]
    assert ("cancel", "hung") in breakers.calls
    assert {event.scanner for event in events if event.kind == "finished"} == {
        "hung",
        "good",
        "behind",
    }


def test_stopped_before_it_began():
    stop, ran = threading.Event(), []
    stop.set()
    result = mp2.scan([make("one", lambda context: ran.append(1) or [])], stop=stop)
    assert (result.status, statuses(result), ran) == ("stopped", {"one": "skipped"}, [])


def test_a_stop_after_the_last_has_no_effect():
    stop = threading.Event()
    result = mp2.scan(
        [naming("one", "A")], stop=stop, observe=lambda event: event.outcome and stop.set()
    )
    assert result.status == "complete"


@pytest.mark.parametrize("kind", ["begun", "started", "finished"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_observer_that_raises_ends_the_scan(never, kind, error):
    contexts = []

    def hung(context):
        contexts.append(context)
        never.wait()

    def observe(event):
        if event.kind == kind:
            raise error

    breakers, before = RecordedBreakers(), sys.getswitchinterval()
    with pytest.raises(type(error)):
        mp2.scan([make("hung", hung), naming("good", "A")], observe=observe, breakers=breakers)
    until(lambda: all(context.cancelled.is_set() for context in contexts))
    assert sorted(name for _, name in breakers.calls) == ["good", "hung"]
    assert sys.getswitchinterval() == before


class RecordedBreakers:
    """Breakers that record their calls."""

    def __init__(self, *closed):
        self.closed, self.calls, self.threads = closed, [], set()

    def refusal(self, scanner):
        self.threads.add(threading.current_thread())
        return "open until 12:00" if scanner in self.closed else None

    def success(self, scanner):
        self.calls.append(("success", scanner))

    def failure(self, scanner, code):
        self.calls.append((code, scanner))

    def cancel(self, scanner):
        self.calls.append(("cancel", scanner))


def test_breakers_are_notified_once(never):
    breakers = RecordedBreakers("open")
    scanners = [
        naming("open", "A"),
        naming("good", "A"),
        make("hung", lambda context: never.wait()),
        make("broken", raising(ValueError("x"))),
        make("down", raising(mp2.SourceError("unavailable", "x"))),
        make("keyless", raising(mp2.SourceError("missing_key", "x"))),
    ]
    result = mp2.scan(scanners, config=soon("hung"), breakers=breakers)
    assert (outcome(result, "open").status, outcome(result, "open").error.message) == (
        "open_circuit",
        "open until 12:00",
    )
    assert sorted(breakers.calls) == [
        ("cancel", "keyless"),
        ("exception", "broken"),
        ("success", "good"),
        ("timeout", "hung"),
        ("unavailable", "down"),
    ]
    assert breakers.threads == {threading.current_thread()}
    assert result.warnings[0] == "open: skipped: open until 12:00"


# --- configuration


def test_switched_off():
    config = {
        "scanners": {"one": {"enabled": False, "nonsense": 1}},
        "pipelines": {"quiet": {"enabled": False}},
    }
    off = type(
        "Off", (mp2.ScannerSettings,), {"__annotations__": {"enabled": bool}, "enabled": False}
    )
    scanners = [
        naming("one", "A"),
        naming("two", "B", pipeline="quiet"),
        naming("three", "C", Settings=off),
        naming("four", "D"),
    ]
    events = []
    result = mp2.scan(scanners, config=config, observe=events.append)
    assert statuses(result) == {
        "one": "disabled",
        "two": "disabled",
        "three": "disabled",
        "four": "ok",
    }
    assert (result.status, events[0].n_scanners) == ("complete", 1)
    assert "[discovery.scanners.three]" in result.outcomes[2].error.message


def test_only_some():
    scanners = [naming("one", "A"), naming("two", "B"), naming("three", "C")]
    assert list(statuses(mp2.scan(scanners, only=("three", "one")))) == ["one", "three"]
    assert list(statuses(mp2.scan(scanners, only="two"))) == ["two"]
    with pytest.raises(mp2.InputError, match="unknown scanner 'four'; known are one, two, three"):
        mp2.scan(scanners, only=["four"])


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"scanner": {}},
            r"\[discovery\] unknown key 'scanner'; known are scanner_execution, scanners, ",
        ),
        (
            {"scanners": {"other": {}}},
            r"\[discovery.scanners\] unknown scanner 'other'; known are one",
        ),
        ({"pipelines": {"other": {}}}, "unknown pipeline 'other'; known are test"),
        (
            {"pipelines": {"test": {"on": True}}},
            r"\[discovery.pipelines.test\] unknown key 'on'; known are enabled",
        ),
        (
            {"scanner_execution": {"workers": 3}},
            "unknown key 'workers'; known are concurrent, max_workers, timeout_seconds",
        ),
        (
            {"scanner_execution": {"max_workers": 0}},
            "max_workers: Input should be greater than or equal to 1",
        ),
        ({"scanner_execution": {"max_workers": 65}}, "max_workers"),
        ({"scanner_execution": {"concurrent": "yes"}}, "concurrent"),
        ({"scanner_execution": {"timeout_seconds": float("inf")}}, "timeout_seconds"),
        (
            {"scanner_execution": {"breaker_failures": 0}},
            "breaker_failures: Input should be greater",
        ),
        (
            {"scanner_execution": {"breaker_longest_seconds": 60}},
            "breaker_longest_seconds is less than breaker_cool_down",
        ),
        ({"scanner_execution": 3}, r"\[discovery.scanner_execution\] has to be a table"),
        ({"scanners": {"one": 3}}, r"\[discovery.scanners.one\] has to be a table"),
        ([], r"\[discovery\] has to be a table"),
    ],
)
def test_configurations_that_are_refused(config, problem):
    with pytest.raises(mp2.InputError, match=problem):
        mp2.scan([naming("one", "A")], config=config)


def test_calls_that_are_refused():
    for wrong in ({"workers": 0}, {"timeout_s": -1.0}, {"timeout_s": float("nan")}):
        with pytest.raises(mp2.InputError):
            mp2.scan([naming("one", "A")], **wrong)
    with pytest.raises(mp2.InputError, match="two scanners"):
        mp2.scan([naming("one", "A"), naming("one", "B")])


def test_bad_settings_are_that_scanners_error():
    result = mp2.scan(
        [naming("one", "A"), naming("two", "B")],
        config={"scanners": {"one": {"limit": 0, "colour": "red"}}},
    )
    assert statuses(result) == {"one": "error", "two": "ok"}
    assert result.outcomes[0].error.code == "preparation"
    assert "limit: Input should be greater than or equal to 1" in result.outcomes[0].error.message
    assert (
        "unknown key 'colour'; known are enabled, limit, timeout_seconds"
        in result.outcomes[0].error.message
    )


def test_a_plug_in_that_failed_to_load_is_reported():
    broken = mp2.discovery.registry.Registered(
        "broken", "plug-in", None, "plug-in broken cannot be loaded: ImportError: no"
    )
    result = mp2.scan([broken, naming("good", "A")])
    assert statuses(result) == {"broken": "error", "good": "ok"}
    assert "ImportError" in result.outcomes[0].error.message


def test_a_missing_key_is_found_before_it_starts(monkeypatch):
    monkeypatch.delenv("MP2_STUB_KEY", raising=False)
    monkeypatch.delenv("STUB_KEY", raising=False)
    result = mp2.scan([naming("keyed", "A", keys=("STUB_KEY",))])
    assert (statuses(result), result.status) == ({"keyed": "skipped"}, "complete")
    assert mp2.discovery.records.console_line(result.outcomes[0]).startswith(
        "⏭️ keyed: skipped: no key STUB_KEY"
    )


def test_nothing_to_run():
    result = mp2.scan([])
    assert (result.status, result.outcomes, result.candidates) == ("complete", (), ())


def test_in_the_callers_thread():
    threads = []

    def work(context):
        threads.append(threading.current_thread())
        assert context.timeout_s is None
        context.logger.info("here")
        return [context.candidate("A", "x"), None]

    ended, candidates, logs = source_scan.scan_in_caller(make("one", work))
    assert (str(ended.status), ended.n_dropped, [one.ticker for one in candidates]) == (
        "ok",
        1,
        ["A"],
    )
    assert threads == [threading.current_thread()]
    assert "here" in logs[0]
    with pytest.raises(ZeroDivisionError):
        source_scan.scan_in_caller(make("two", lambda context: 1 / 0))


# --- processes


@pytest.mark.slow
def test_a_process_of_its_own(monkeypatch):
    monkeypatch.setenv("STUB_KEY", "s3cret")
    config = {"scanners": {"alone": {"word": "hush"}}}
    scanners = [
        stub_scanners.Alone,
        stub_scanners.Dying,
        stub_scanners.Talkative,
        stub_scanners.Failing,
    ]
    config["scanners"]["talkative"] = {"limit": 200}
    result = mp2.scan(scanners, config=config, state={"n": [1, 2]}, timeout_s=GUARD_S)
    assert statuses(result) == {
        "alone": "ok",
        "dying": "error",
        "talkative": "error",
        "failing": "error",
    }
    (found,) = result.candidates
    data = found.data["alone"]
    assert (found.ticker, found.priority, data["state"], data["word"]) == (
        "BRK-B",
        "high",
        {"n": [1, 2]},
        "hush",
    )
    assert data["pid"] != os.getpid()
    assert not any("hush" in argument for argument in data["argv"])
    assert outcome(result, "alone").n_dropped == 1
    assert result.tool_logs == ({"scanner": "alone", "tool": "probe", "pid": data["pid"]},)
    log = "\n".join(result.logs["alone"])
    assert "in the log" in log
    assert "stderr: on standard output" in log
    assert (
        outcome(result, "dying").error.message
        == "ChildError: the child process ended without a response (exit code 7)"
    )
    assert any("aborting" in line for line in result.logs["dying"])
    assert "more than 10,000,000" in "\n".join(result.logs["talkative"])
    assert outcome(result, "failing").error == mp2.ScanError("forbidden", "no access with ***")
    assert "s3cret" not in str(result.logs)


PRINTS_AND_IS_KILLED = """
import os
from mp2.discovery import child

def printed(request):
    print("before the response")
    return b"the response"

def end_at_once(output, response):
    os.write(output, response)
    os._exit(0)

child.scanned = printed
child._write_all = end_at_once
child.main()
"""


def test_what_a_process_prints_is_there_before_its_response(monkeypatch):
    # The requester kills a process that has responded, and a buffer with it.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = [sys.executable, "-c", PRINTS_AND_IS_KILLED]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        # Its end would be that of the requester.
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        assert process.stdout.read() == b"the response"
        assert process.stderr.read() == b"before the response\n"


def test_a_key_that_a_process_prints_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("STUB_KEY", "s3cret")
    file = tmp_path / "stderr"
    result = mp2.scan([stub_scanners.Leaking], state={"file": str(file)}, timeout_s=GUARD_S)
    assert statuses(result) == {"leaking": "error"}
    lines = [line.partition("stderr: ")[2] for line in result.logs["leaking"] if "stderr: " in line]
    assert lines == ["sending", "with ***"]
    assert "s3cret" not in file.read_text()


def test_settings_of_a_process_mean_what_they_mean_in_a_thread():
    day = datetime.date(2024, 1, 2)
    config = {"scanners": {"strict": {"since": day, "words": ("a", "b")}, "picky": {"since": day}}}
    result = mp2.scan([stub_scanners.Strict, stub_scanners.Picky], config=config, timeout_s=GUARD_S)
    assert result.candidates[0].contexts == ("datetime.date(2024, 1, 2) ('a', 'b')",)
    assert outcome(result, "picky").error.code == "preparation"
    assert "since: Assertion failed, is no date" in outcome(result, "picky").error.message


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return zombie(pid)


def zombie(pid):
    """Whether the process has ended but its parent, another process, has not reaped it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="looks for processes as POSIX has them")
def test_a_stop_kills_the_process_and_what_it_started(tmp_path):
    file, stop = tmp_path / "pids", threading.Event()

    def observe(event):
        if file.exists():
            stop.set()

    result = mp2.scan(
        [stub_scanners.Sleeping],
        state={"file": str(file)},
        stop=stop,
        observe=observe,
        observe_every_s=0.0,
    )
    assert statuses(result) == {"sleeping": "skipped"}
    for pid in file.read_text().split():
        until(lambda pid=int(pid): gone(pid))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="looks for processes as POSIX has them")
def test_a_child_dies_with_its_requester(tmp_path):
    file = tmp_path / "pids"
    state = {"file": str(file)}
    code = f"import mp2, stub_scanners; mp2.scan([stub_scanners.Sleeping], state={state!r})"
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}
    ) as requester:
        until(file.exists)
        requester.kill()
    for pid in file.read_text().split():
        until(lambda pid=int(pid): gone(pid))


def test_classes_a_process_cannot_import():
    local = naming("local", "A", isolation="process")
    inside = type("Inside", (stub_scanners.Alone,), {"__module__": "__main__", "name": "inside"})
    moved = type("Alone", (stub_scanners.Alone,), {"__module__": "stub_scanners", "name": "moved"})
    result = mp2.scan([local, inside, moved])
    for each in result.outcomes:
        assert each.error.code == "preparation"
        assert "needs a class that can be imported" in each.error.message


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"set": {1}}, "state['set'] is not JSON"),
        ({"nan": float("nan")}, "state['nan'] is not JSON"),
        ({1: 1}, "state[1]: isolation = 'process' needs text as keys"),
        ({"long": "x" * 10_000_000}, "more than 10,000,000; leave some out"),
    ],
)
def test_state_a_process_cannot_be_given(state, problem):
    result = mp2.scan([stub_scanners.Alone], state=state)
    assert result.outcomes[0].error.code == "preparation"
    assert problem in result.outcomes[0].error.message


# --- the whole, slowly

HANGING = """
import sys, threading, time
import mp2
from stub_scanners import make, naming

def slow(context):
    time.sleep(0.5)
    return [context.candidate(context.scanner.upper(), "x")]

hung = set(map(int, sys.argv[1].split(",")))
def hang(context):
    threading.Event().wait()

scanners = [make(f"s{n}", hang if n in hung else slow) for n in range(16)]
result = mp2.scan(scanners, timeout_s=3)
n_timeouts = sum(str(each.status) == "timeout" for each in result.outcomes)
print(len(result.candidates), n_timeouts, result.elapsed_s)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hung", ["0,1,2,3", "12,13,14,15", "0,5,10,15"])
def test_four_that_hang_for_ever_cost_their_time_and_no_more(hung):
    done = subprocess.run(
        [sys.executable, "-c", HANGING, hung],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    n_candidates, n_timeouts, elapsed_s = done.stdout.split()
    assert (int(n_candidates), int(n_timeouts)) == (12, 4)
    assert float(elapsed_s) < GUARD_S


class Requesting(mp2.Scanner):
    """Makes the client of its own process."""

    name, pipeline, isolation = "requesting", "test", "process"

    def scan(self, context):
        return [context.candidate("A", type(context.http).__name__)]


@pytest.mark.slow
def test_the_clients_of_both_kinds_use_one_folder_and_their_warnings_are_reported(tmp_path):
    threaded = make(
        "threaded", lambda context: [context.candidate("A", type(context.http).__name__)]
    )
    folder = {"folder": tmp_path}
    result = mp2.scan([Requesting, threaded], http_options=folder)
    assert statuses(result) == {"requesting": "ok", "threaded": "ok"}
    assert (tmp_path / "sources.db").exists()
    (tmp_path / "sources.db").unlink()
    (tmp_path / "sources.db").mkdir()
    result = mp2.scan([Requesting, threaded], http_options=folder)
    assert statuses(result) == {"requesting": "ok", "threaded": "ok"}
    assert [line.split(": ")[1] for line in result.warnings] == [
        "responses and requests are not kept"
    ]
    assert "responses and requests are not kept" in " ".join(result.logs["requesting"])


def test_an_old_entry_counts_against_its_source_even_without_candidates():
    breakers = RecordedBreakers()
    result = mp2.scan(
        [make("stale", lambda context: context.replies.add("stale") or [])], breakers=breakers
    )
    assert statuses(result) == {"stale": "stale"}
    assert result.warnings == (
        "stale: its source failed; there were no candidates in an earlier response",
    )
    assert breakers.calls == [("unavailable", "stale")]
