"""The pool with a fake clock and fake starters in real threads; steps wait for events."""

from __future__ import annotations

import ast
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mp2.groups import pool as pool_module
from mp2.groups.ledger import Ledger
from mp2.groups.pool import GRACE_NS, PoolOutcome, Progress, TurnEnd, run_pool
from mp2.groups.result import StarterStatus, Status

S = 1_000_000_000
STARTED = 7 * S
GUARD_S = 20.0
EXHAUSTED = StarterStatus.EXHAUSTED
CUT_OFF = StarterStatus.CUT_OFF
NOT_STARTED = StarterStatus.NOT_STARTED


class Clock:
    """Nanoseconds that move only by `set` and `add`; `tick_ns` is added at every reading."""

    def __init__(self, tick_ns: int = 0) -> None:
        self.now_ns = STARTED
        self.tick_ns = tick_ns
        self.n_reads = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.now_ns += self.tick_ns
            self.n_reads += 1
            return self.now_ns

    def set(self, t_ns: int) -> None:
        with self._lock:
            self.now_ns = max(self.now_ns, STARTED + t_ns)

    def add(self, ns: int) -> None:
        with self._lock:
            self.now_ns += ns


class FakeControl:
    """Records what the pool does to a turn; `changed` notifies waiting tests."""

    def __init__(self, deadline_ns: int, wall_ns: int) -> None:
        self.deadlines = [deadline_ns]
        self.wall_ns = wall_ns
        self.stopped = False
        self.changed = threading.Condition()

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()

    def raise_deadline(self, deadline_ns: int) -> None:
        with self.changed:
            self.deadlines.append(max(deadline_ns, self.deadlines[-1]))
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, GUARD_S)

    def wait_for_stop(self) -> None:
        self.wait(lambda: self.stopped)


@dataclass
class Turn:
    """One turn on the stage: it lasts until the test lets it return."""

    starter_idx: int
    control: FakeControl
    thread: threading.Thread
    outcome: queue.SimpleQueue[int | BaseException] = field(default_factory=queue.SimpleQueue)
    followed: threading.Event = field(default_factory=threading.Event)

    def wait_until_booked(self) -> None:
        """Wait until its thread has another turn or has ended: the pool has booked this one."""
        while self.thread.is_alive() and not self.followed.wait(0.001):
            pass


@dataclass
class Finished:
    """How a pool ended, with its ledger."""

    outcome: PoolOutcome
    ledger: Ledger

    @property
    def status(self) -> Status:
        return self.outcome.status

    @property
    def ended_ns(self) -> int:
        return self.outcome.ended_ns


class Stage:
    """Runs a pool in a thread of its own, so that the test can play the kernels."""

    def __init__(
        self,
        n_starters: int,
        workers: int,
        budget_ns: int,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.stop = threading.Event()
        self.turns: queue.SimpleQueue[Turn] = queue.SimpleQueue()
        self.playing: dict[int, Turn] = {}
        self.latest: dict[threading.Thread, Turn] = {}
        self.result: PoolOutcome | BaseException | None = None
        self.ledger = Ledger(
            n_starters, workers, budget_ns, work_limited=options.pop("work_limited", False)
        )
        fixed = {"started_ns": STARTED, "clock_ns": self.clock}
        options = {"stop": self.stop, "new_control": FakeControl, **fixed, **options}
        self.caller = threading.Thread(target=self._run, args=(options,), daemon=True)
        self.caller.start()

    def _run(self, options: dict[str, Any]) -> None:
        try:
            self.result = run_pool(self.ledger, self._turn, **options)
        except BaseException as error:
            self.result = error

    def _turn(self, starter_idx: int, control: FakeControl) -> int:
        turn = Turn(starter_idx, control, threading.current_thread())
        if previous := self.latest.get(turn.thread):
            previous.followed.set()
        self.latest[turn.thread] = turn
        self.turns.put(turn)
        outcome = turn.outcome.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def expect(self, *starters: int) -> None:
        """These starters begin, in any order."""
        begun = [self.turns.get(timeout=GUARD_S) for _ in starters]
        assert sorted(turn.starter_idx for turn in begun) == sorted(starters)
        self.playing.update({turn.starter_idx: turn for turn in begun})

    def end(self, starter_idx: int, outcome: int | BaseException, t_ns: int | None = None) -> None:
        """Let a turn return, at a time, and wait until the pool has booked it."""
        if t_ns is not None:
            self.clock.set(t_ns)
        turn = self.playing.pop(starter_idx)
        turn.outcome.put(outcome)
        turn.wait_until_booked()

    def control(self, starter_idx: int) -> FakeControl:
        return self.playing[starter_idx].control

    def deadline_ns(self, starter_idx: int) -> int:
        return self.control(starter_idx).deadlines[-1] - STARTED

    def finished(self) -> Finished:
        self.caller.join(GUARD_S)
        assert isinstance(self.result, PoolOutcome), self.result
        assert self.turns.empty()
        return Finished(self.result, self.ledger)

    def failed(self) -> BaseException:
        self.caller.join(GUARD_S)
        assert isinstance(self.result, BaseException), self.result
        return self.result


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(*args: Any, **options: Any) -> Stage:
        stages.append(Stage(*args, **options))
        return stages[-1]

    yield make
    for made in stages:
        for turn in made.playing.values():
            turn.outcome.put(TurnEnd.STOPPED)
        made.caller.join(GUARD_S)
        assert not made.caller.is_alive()


def alone(
    n_starters: int,
    run_turn: Callable[[int, FakeControl], int],
    clock: Clock,
    *,
    workers: int = 2,
    budget_ns: int = 10 * S,
    **options: Any,
) -> Finished:
    """A pool in the calling thread whose starters play themselves."""
    ledger = Ledger(n_starters, workers, budget_ns)
    outcome = run_pool(
        ledger, run_turn, started_ns=STARTED, clock_ns=clock, new_control=FakeControl, **options
    )
    return Finished(outcome, ledger)


def test_knows_nothing_of_kernel_and_panel() -> None:
    tree = ast.parse(Path(pool_module.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert {name for name in imported if name and name.startswith("mp2")} == {
        "mp2.errors",
        "mp2.groups.ledger",
        "mp2.groups.result",
    }


def test_turn_ends_are_the_kernels_ints() -> None:
    assert {end.name: int(end) for end in TurnEnd} == {
        "EXHAUSTED": 0,
        "LIMIT": 1,
        "WALL": 2,
        "STOPPED": 3,
        "WORK_LIMIT": 4,
    }


def test_backfill_raise_and_round(stage: Callable[..., Stage]) -> None:
    """Trace n5-w4 of the budget's examples, in threads: base 5 s, three donations, one cut-off."""
    show = stage(5, 4, 10 * S)
    show.expect(0, 1, 2, 3)
    assert [show.deadline_ns(idx) for idx in range(4)] == [5 * S] * 4
    assert all(show.control(idx).wall_ns == STARTED + 10 * S for idx in range(4))
    show.end(0, TurnEnd.EXHAUSTED, 1 * S)
    show.expect(4)
    assert [show.deadline_ns(idx) for idx in (1, 2, 3, 4)] == [6 * S, 6 * S, 6 * S, 7 * S]
    show.end(1, TurnEnd.EXHAUSTED, 2 * S)
    show.control(4).wait(lambda: show.deadline_ns(4) == 8_333_333_333)
    show.end(4, TurnEnd.EXHAUSTED, 5 * S)
    show.control(3).wait(lambda: show.deadline_ns(3) == 9 * S)
    show.end(2, TurnEnd.EXHAUSTED, 9 * S)
    show.end(3, TurnEnd.LIMIT, 9 * S)
    show.expect(3)
    assert show.deadline_ns(3) == 10 * S
    show.end(3, TurnEnd.WALL, 10 * S)
    done = show.finished()
    assert (done.status, done.ended_ns) == (Status.WALL, STARTED + 10 * S)
    assert done.outcome.abandoned == ()
    assert list(done.ledger.used_ns) == [1 * S, 2 * S, 9 * S, 10 * S, 4 * S]
    assert list(done.ledger.limit_start_ns) == [5 * S, 5 * S, 5 * S, 5 * S, 6 * S]
    assert list(done.ledger.limit_end_ns) == [5 * S, 6 * S, 9 * S, 10 * S, 7_333_333_333]
    assert list(done.ledger.n_turns) == [1, 1, 1, 2, 1]
    assert list(done.ledger.state) == [EXHAUSTED, EXHAUSTED, EXHAUSTED, CUT_OFF, EXHAUSTED]


def test_a_raised_deadline_stays_before_the_wall(stage: Callable[..., Stage]) -> None:
    show = stage(2, 1, 10 * S)
    show.expect(0)
    show.end(0, TurnEnd.EXHAUSTED, 1 * S)
    show.expect(1)
    assert show.deadline_ns(1) == 10 * S
    show.end(1, TurnEnd.EXHAUSTED, 2 * S)
    assert list(show.finished().ledger.limit_end_ns) == [5 * S, 9 * S]
    again = stage(2, 2, 10 * S)
    again.expect(0, 1)
    again.end(0, TurnEnd.EXHAUSTED, 1 * S)
    again.control(1).wait(lambda: len(again.control(1).deadlines) == 2)
    assert again.deadline_ns(1) == 10 * S
    again.end(1, TurnEnd.EXHAUSTED)
    assert again.finished().status is Status.COMPLETE


def test_status_is_believed_not_the_clock(stage: Callable[..., Stage]) -> None:
    """LIMIT before the deadline cuts off, EXHAUSTED after it exhausts, WALL early ends the run."""
    show = stage(3, 1, 9 * S)
    show.expect(0)
    show.end(0, TurnEnd.LIMIT, 1)
    show.expect(1)
    show.end(1, TurnEnd.EXHAUSTED, 8 * S)
    show.expect(2)
    show.end(2, TurnEnd.WALL, 8 * S + 1)
    done = show.finished()
    assert list(done.ledger.state) == [CUT_OFF, EXHAUSTED, CUT_OFF]
    assert list(done.ledger.n_turns) == [1, 1, 1]
    assert done.status is Status.WALL


def test_missed_raise_returns_in_the_next_round(stage: Callable[..., Stage]) -> None:
    show = stage(
        2,
        2,
        10 * S,
        new_control=lambda deadline, wall: FakeControl(min(deadline, STARTED + 4 * S), wall),
    )
    show.expect(0, 1)
    show.end(0, TurnEnd.EXHAUSTED, 2 * S)
    show.control(1).wait(lambda: len(show.control(1).deadlines) == 2)
    show.end(1, TurnEnd.LIMIT, 4 * S)
    show.expect(1)
    show.end(1, TurnEnd.EXHAUSTED, 9 * S)
    done = show.finished()
    assert list(done.ledger.used_ns) == [2 * S, 9 * S]
    assert list(done.ledger.limit_end_ns) == [10 * S, 18 * S + 6 * S]


def test_wall_leaves_waiting_starters_not_started(stage: Callable[..., Stage]) -> None:
    show = stage(6, 2, 3 * S)
    show.expect(0, 1)
    show.end(0, TurnEnd.LIMIT, 1 * S)
    show.expect(2)
    show.end(2, TurnEnd.LIMIT, 4 * S)
    show.end(1, TurnEnd.WALL)
    done = show.finished()
    assert list(done.ledger.state) == [CUT_OFF] * 3 + [NOT_STARTED] * 3
    assert list(done.ledger.limit_start_ns[3:]) == list(done.ledger.n_turns[3:]) == [0, 0, 0]
    assert (done.status, done.ended_ns) == (Status.WALL, STARTED + 4 * S)


@pytest.mark.parametrize(("n_starters", "workers"), [(30, 3), (3, 8), (1, 1), (5, 5), (0, 4)])
def test_in_flight_is_bounded_and_reached(
    n_starters: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched, start = list[threading.Thread](), threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: (launched.append(thread), start(thread))
    )
    clock, lock, bound = Clock(), threading.Lock(), min(workers, n_starters)
    all_inside = threading.Barrier(max(bound, 1))
    inside, peak, threads = set[int](), [0], set[threading.Thread]()

    def run_turn(starter_idx: int, _: FakeControl) -> int:
        with lock:
            assert starter_idx not in inside
            inside.add(starter_idx)
            threads.add(threading.current_thread())
            peak[0] = max(peak[0], len(inside))
        if starter_idx < bound:
            all_inside.wait(GUARD_S)
        clock.add(1000)
        with lock:
            inside.remove(starter_idx)
        return TurnEnd.EXHAUSTED

    done = alone(n_starters, run_turn, clock, workers=workers)
    assert peak[0] == bound
    assert (done.status, list(done.ledger.state)) == (Status.COMPLETE, [EXHAUSTED] * n_starters)
    assert len(threads) <= len(launched) == bound
    assert all(thread.daemon and thread is not threading.main_thread() for thread in threads)
    assert not any(thread.is_alive() for thread in threads)


def test_one_worker_keeps_the_order_within_rounds() -> None:
    clock, order = Clock(), list[int]()

    def run_turn(starter_idx: int, control: FakeControl) -> int:
        order.append(starter_idx)
        clock.set(control.deadlines[-1] - STARTED)
        return TurnEnd.WALL if control.deadlines[-1] == control.wall_ns else TurnEnd.LIMIT

    done = alone(4, run_turn, clock, workers=1)
    assert order[:4] == [0, 1, 2, 3]
    assert done.status is Status.WALL
    assert done.ended_ns == STARTED + 10 * S


def test_cut_off_starters_continue_until_exhausted() -> None:
    """Needs of 9, 8, .. 0 s, base limit 5 s: the first are cut off and end in later rounds."""
    clock, turns = Clock(), list[int]()
    left_ns = [(9 - idx) * S for idx in range(10)]

    def run_turn(starter_idx: int, control: FakeControl) -> int:
        turns.append(starter_idx)
        ran_ns = min(left_ns[starter_idx], control.deadlines[-1] - clock())
        left_ns[starter_idx] -= ran_ns
        clock.add(ran_ns)
        return TurnEnd.LIMIT if left_ns[starter_idx] else TurnEnd.EXHAUSTED

    done = alone(10, run_turn, clock, workers=1, budget_ns=50 * S)
    assert done.status is Status.COMPLETE
    assert list(done.ledger.used_ns) == [(9 - idx) * S for idx in range(10)]
    assert turns[:12] == [*range(10), 0, 1]
    assert list(done.ledger.n_turns) == [turns.count(idx) for idx in range(10)]


def test_stop_flags_come_before_joins(stage: Callable[..., Stage]) -> None:
    """No turn returns before every running control has its flag: a join before it would hang."""
    show = stage(9, 3, 10 * S)
    show.expect(0, 1, 2)
    show.stop.set()
    for idx in (2, 1, 0):
        show.control(idx).wait_for_stop()
    for idx in (0, 1, 2):
        show.end(idx, TurnEnd.STOPPED, 2 * S)
    done = show.finished()
    assert (done.status, done.ended_ns) == (Status.STOPPED, STARTED + 2 * S)
    assert list(done.ledger.state) == [CUT_OFF] * 3 + [NOT_STARTED] * 6


def test_stop_before_the_start_runs_nothing(stage: Callable[..., Stage]) -> None:
    stop = threading.Event()
    stop.set()
    done = stage(5, 2, 10 * S, stop=stop).finished()
    assert done.status is Status.STOPPED
    assert list(done.ledger.state) == [NOT_STARTED] * 5


def test_nothing_starts_between_the_stop_and_the_callers_next_look() -> None:
    stop, begun = threading.Event(), list[int]()

    def run_turn(starter_idx: int, _: FakeControl) -> int:
        begun.append(starter_idx)
        stop.set()
        return TurnEnd.EXHAUSTED

    done = alone(50, run_turn, Clock(), workers=1, stop=stop)
    assert begun == [0]
    assert done.status is Status.STOPPED
    assert done.ledger.state[:2] == [EXHAUSTED, NOT_STARTED]


@pytest.mark.parametrize(
    ("last", "status"), [(TurnEnd.EXHAUSTED, Status.COMPLETE), (TurnEnd.WALL, Status.WALL)]
)
def test_a_stop_after_the_last_return_changes_nothing(last: TurnEnd, status: Status) -> None:
    stop = threading.Event()

    class StoppingClock(Clock):
        """Sets the stop event when the last turn is booked, right after its return."""

        def __call__(self) -> int:
            if returned.is_set() and threading.current_thread() is not threading.main_thread():
                stop.set()
            return super().__call__()

    returned = threading.Event()

    def run_turn(_: int, __: FakeControl) -> int:
        returned.set()
        return last

    done = alone(1, run_turn, StoppingClock(), workers=1, stop=stop)
    assert stop.is_set()
    assert done.status is status
    assert list(done.ledger.n_turns) == [1]


def test_a_turn_stopped_by_others_stops_the_run(stage: Callable[..., Stage]) -> None:
    show = stage(4, 2, 10 * S)
    show.expect(0, 1)
    show.end(0, TurnEnd.STOPPED, 1 * S)
    show.control(1).wait_for_stop()
    show.end(1, TurnEnd.STOPPED)
    assert show.finished().status is Status.STOPPED


@pytest.mark.parametrize("outcome", [RuntimeError("kernel broke"), 17])
def test_failing_turn_stops_the_others_and_reaches_the_caller(
    stage: Callable[..., Stage], outcome: Any
) -> None:
    show = stage(9, 3, 10 * S)
    show.expect(0, 1, 2)
    show.end(1, outcome)
    for idx in (0, 2):
        show.control(idx).wait_for_stop()
    show.end(0, TurnEnd.STOPPED)
    assert show.caller.is_alive(), "the error waits for the last turn"
    show.end(2, TurnEnd.STOPPED)
    error = show.failed()
    assert error is outcome or (isinstance(error, ValueError) and "17" in str(error))
    assert show.turns.empty()


def test_the_first_of_two_errors_is_raised(stage: Callable[..., Stage]) -> None:
    show = stage(2, 2, 10 * S)
    show.expect(0, 1)
    show.end(1, KeyError("first"))
    show.control(0).wait_for_stop()
    show.end(0, KeyError("second"))
    assert show.failed().args == ("first",)


def test_failing_control_reaches_the_caller() -> None:
    def no_control(_: int, __: int) -> FakeControl:
        raise MemoryError

    with pytest.raises(MemoryError):
        run_pool(
            Ledger(3, 2, S),
            lambda _, __: 0,
            started_ns=STARTED,
            clock_ns=Clock(),
            new_control=no_control,
        )


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_error_in_the_callers_thread_stops_every_turn(error: type[BaseException]) -> None:
    clock, flags = Clock(), list[bool]()

    def run_turn(_: int, control: FakeControl) -> int:
        clock.add(S)
        control.wait_for_stop()
        flags.append(control.stopped)
        return TurnEnd.STOPPED

    def observe(_: Progress) -> None:
        raise error

    with pytest.raises(error):
        alone(5, run_turn, clock, observe=observe)
    assert 1 <= len(flags) <= 2


def test_zero_starters_are_complete() -> None:
    seen = list[Progress]()
    clock = Clock()
    clock.set(3 * S)
    done = alone(0, lambda _, __: 0, clock, observe=seen.append)
    assert (done.status, done.ended_ns, list(done.ledger.state)) == (
        Status.COMPLETE,
        STARTED + 3 * S,
        [],
    )
    assert [record.elapsed_ns for record in seen] == [3 * S]


def test_progress_in_the_callers_thread_every_so_often_and_at_the_end(
    stage: Callable[..., Stage],
) -> None:
    seen: queue.SimpleQueue[tuple[Progress, threading.Thread]] = queue.SimpleQueue()
    show = stage(
        5,
        2,
        30 * S,
        observe=lambda record: seen.put((record, threading.current_thread())),
        observe_every_s=2.0,
    )
    show.expect(0, 1)
    show.end(0, TurnEnd.EXHAUSTED, 1 * S)
    show.expect(2)
    show.end(1, TurnEnd.LIMIT, 1 * S)
    show.expect(3)
    assert seen.empty(), "nothing is due before 2 s"
    show.clock.set(2 * S)
    record, thread = seen.get(timeout=GUARD_S)
    assert thread is show.caller
    assert record == Progress(
        elapsed_ns=2 * S,
        wall_ns=30 * S,
        n_waiting=1,
        n_running=2,
        n_cut_off=1,
        n_exhausted=1,
        limit_ns=10 * S + 9 * S // 4,
        bank_ns=0,
        n_turns=record.n_turns,
    )
    # Either worker may have ended both.
    assert len(record.n_turns) == 2
    assert sum(record.n_turns) == 2
    for idx in (2, 3):
        show.end(idx, TurnEnd.EXHAUSTED)
        show.expect(4 if idx == 2 else 1)
    for idx in (4, 1):
        show.end(idx, TurnEnd.EXHAUSTED)
    show.finished()
    last, _ = seen.get(timeout=GUARD_S)
    assert (last.n_waiting, last.n_running, last.n_cut_off, last.n_exhausted) == (0, 0, 0, 5)
    assert sum(last.n_turns) == 6
    assert seen.empty(), "the clock stood still, so nothing was due but the last one"


def test_work_limit_replaces_time_limits(stage: Callable[..., Stage]) -> None:
    show = stage(3, 1, 30 * S, work_limited=True)
    show.expect(0)
    assert show.deadline_ns(0) == 30 * S
    show.end(0, TurnEnd.WORK_LIMIT, 20 * S)
    show.expect(1)
    assert show.deadline_ns(1) == 30 * S
    show.end(1, TurnEnd.EXHAUSTED, 25 * S)
    show.expect(2)
    show.end(2, TurnEnd.WORK_LIMIT, 26 * S)
    done = show.finished()
    assert (done.status, list(done.ledger.n_turns)) == (Status.WORK_LIMIT, [1, 1, 1])
    assert list(done.ledger.state) == [CUT_OFF, EXHAUSTED, CUT_OFF]
    assert list(done.ledger.limit_end_ns) == [30 * S] * 3


def test_wall_holds_under_a_work_limit(stage: Callable[..., Stage]) -> None:
    show = stage(3, 1, 30 * S, work_limited=True)
    show.expect(0)
    show.end(0, TurnEnd.WORK_LIMIT, 20 * S)
    show.expect(1)
    show.end(1, TurnEnd.WALL, 30 * S)
    done = show.finished()
    assert (done.status, list(done.ledger.state)) == (Status.WALL, [CUT_OFF, CUT_OFF, NOT_STARTED])


@pytest.mark.parametrize("stopped", [True, False])
def test_a_turn_that_never_returns_is_abandoned(stage: Callable[..., Stage], stopped: bool) -> None:
    show = stage(3, 2, 10 * S)
    show.expect(0, 1)
    if stopped:
        show.stop.set()
        show.control(1).wait_for_stop()
        show.end(0, TurnEnd.STOPPED)
        give_up_ns = GRACE_NS
    else:
        show.end(0, TurnEnd.WALL, 10 * S)
        give_up_ns = 10 * S + GRACE_NS
    show.clock.set(give_up_ns - 1)
    show.caller.join(0.05)
    assert show.caller.is_alive(), "the grace is not over"
    show.clock.set(give_up_ns)
    done = show.finished()
    assert (done.outcome.abandoned, done.ended_ns) == ((1,), STARTED + give_up_ns)
    assert done.status is (Status.STOPPED if stopped else Status.WALL)
    assert show.control(1).stopped, "it may see the flag after all"
    before = (
        list(done.ledger.used_ns),
        list(done.ledger.state),
        list(done.ledger.limit_end_ns),
        list(done.ledger.n_turns),
        show.clock.n_reads,
    )
    show.end(1, TurnEnd.EXHAUSTED)
    after = (
        list(done.ledger.used_ns),
        list(done.ledger.state),
        list(done.ledger.limit_end_ns),
        list(done.ledger.n_turns),
        show.clock.n_reads,
    )
    assert after == before
    assert before[1] == [CUT_OFF, CUT_OFF, NOT_STARTED]


def test_turns_that_return_limit_at_once_end_at_the_wall() -> None:
    """A livelock is impossible as long as the clock moves, here by 10 us at every reading."""
    done = alone(3, lambda _, __: TurnEnd.LIMIT, Clock(tick_ns=10_000), budget_ns=20_000_000)
    assert done.status is Status.WALL
    assert list(done.ledger.state) == [CUT_OFF] * 3
    assert sum(done.ledger.n_turns) > 100


@pytest.mark.parametrize("workers", range(1, 9))
def test_exhausted_result_does_not_depend_on_workers(workers: int) -> None:
    clock = Clock(tick_ns=1000)
    done = alone(200, lambda _, __: TurnEnd.EXHAUSTED, clock, workers=workers)
    assert (done.status, list(done.ledger.n_turns)) == (Status.COMPLETE, [1] * 200)


def test_outcome_and_progress_are_frozen() -> None:
    seen = list[Progress]()
    done = alone(1, lambda _, __: TurnEnd.EXHAUSTED, Clock(), observe=seen.append)
    for record, name in ((done.outcome, "status"), (seen[0], "n_running")):
        with pytest.raises(AttributeError):
            setattr(record, name, 1)
