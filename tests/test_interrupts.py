"""Ctrl-C in a call from Python returns what was found; a second one raises."""

import os
import signal
import threading

import pytest
from market_bars import walk

import mp2
from mp2._interrupts import stopped_by_interrupt
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of

RULES = mp2.Rules(min_daily_hits=0, min_pooled_pp=0.0)
SHORT = mp2.Rules(max_size=2)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def interrupting_once():
    """An observer that is a user's first and only Ctrl-C."""
    interrupts = iter([interrupt])

    def observe(*progress):
        for call in interrupts:
            call()

    return observe


@pytest.fixture(autouse=True)
def handler_of_python():
    """The handler of Python, before and after each test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_search_returns_what_was_found(endless_table):
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))

    def start(progress):
        # Not before: while the table is read there is nothing to return.
        if timer.ident is None:
            timer.start()

    result = mp2.search(endless_table, budget_s=60, workers=1, rules=RULES, observe=start)
    timer.join()
    assert result.status is mp2.Status.STOPPED
    assert result.elapsed_s < 30
    assert result.groups(3)


def test_a_run_and_its_resumption_return_what_was_found(tmp_path):
    db = tmp_path / "mp2.db"
    grids = grids_of(ALGORITHMS[:6])
    run = mp2.run(
        walk(40, 60),
        store=db,
        budget_s=60,
        workers=1,
        rules=RULES,
        grids=grids,
        observe=interrupting_once(),
    )
    assert run.result.status is mp2.Status.STOPPED
    assert run.next_day.day
    again = mp2.resume(store=db, source=walk(40, 60), grids=grids, observe=interrupting_once())
    assert again.result.status is mp2.Status.STOPPED


def test_a_walk_returns_the_weeks_before():
    once = interrupting_once()

    def second_week(done, total):
        if done == 1:
            once()

    walked = mp2.walk_forward(
        walk(20, 40),
        weeks=3,
        budget_s_per_week=2,
        workers=1,
        rules=SHORT,
        grids=grids_of(ALGORITHMS[:2]),
        observe=second_week,
    )
    assert walked.status == "stopped"
    assert len(walked.weeks) == 1


@pytest.mark.parametrize("on_interrupt", ["stop", "raise"])
def test_a_second_one_raises_or_the_first_if_wanted(endless_table, on_interrupt):
    n_calls = 0

    def twice(progress):
        nonlocal n_calls
        n_calls += 1
        interrupt()
        if on_interrupt == "stop":
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        mp2.search(
            endless_table, budget_s=60, rules=RULES, observe=twice, on_interrupt=on_interrupt
        )
    assert n_calls == 1


def test_before_there_is_a_result_it_raises():
    def read(is_interrupted):
        with stopped_by_interrupt(None, "stop") as stop:
            if is_interrupted:
                interrupt()
            assert stop.is_set() == is_interrupted
            raise mp2.ReadStoppedError("stopped")

    with pytest.raises(KeyboardInterrupt):
        read(is_interrupted=True)
    with pytest.raises(mp2.ReadStoppedError):
        read(is_interrupted=False)


def test_the_event_of_the_caller_is_set():
    own = threading.Event()
    with stopped_by_interrupt(own, "stop") as stop:
        interrupt()
    assert stop is own
    assert own.is_set()


def test_a_handler_of_the_program_stays():
    calls = []
    signal.signal(signal.SIGINT, lambda *_: calls.append("own"))
    with stopped_by_interrupt(None, "stop") as stop:
        interrupt()
    assert calls == ["own"]
    assert not stop.is_set()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_set_no_handler():
    errors = []

    def block():
        try:
            with stopped_by_interrupt(None, "stop"):
                assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert errors == []


def test_an_unknown_choice_is_an_error(endless_table):
    with pytest.raises(mp2.InputError, match="on_interrupt: 'ignore' is unknown; choose 'stop' or"):
        mp2.search(endless_table, on_interrupt="ignore")
