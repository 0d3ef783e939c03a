"""The ledger against the worked bank traces, and its laws under random starters and lateness."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLDEN

from mp2.groups.ledger import (
    MIN_GRANT_NS,
    Ledger,
    Turn,
    TurnEnd,
    base_limit_ns,
    round_grant_ns,
    round_pot_ns,
    spread_bank_ns,
)
from mp2.groups.result import StarterStatus

TRACES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "bank-traces.json").read_text())
MS = 1_000_000


@dataclass
class Running:
    """A turn of a simulated starter; `seen`: how and when its kernel returns, once decided."""

    turn: Turn
    early_ns: int | None
    seen: tuple[TurnEnd, int] | None = None


@dataclass
class Simulation:
    """Discrete events over a ledger: starter i needs `work[i]`.

    `late_ns()` is how long after the deciding moment a kernel returns; a raise in between is
    missed. `early_share()` in (0, 1] is the share of its allowance after which a kernel returns
    LIMIT by itself (1: never early).
    """

    work: list[int]
    workers: int
    budget: int
    late_ns: Callable[[], int] = lambda: 0
    early_share: Callable[[], float] = lambda: 1.0
    check: Callable[[Simulation], None] = lambda _: None
    min_grant: int = 0
    ledger: Ledger = field(init=False)
    running: dict[int, Running] = field(init=False, default_factory=dict)
    left: list[int] = field(init=False)
    events: list[dict[str, Any]] = field(init=False, default_factory=list)
    t: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(len(self.work), self.workers, self.budget, min_grant_ns=self.min_grant)
        self.left = list(self.work)

    def run(self) -> Simulation:
        for _ in range(self.workers):
            self.refill()
        while self.running:
            when, idx = min((self.next_event(run)[1], idx) for idx, run in self.running.items())
            assert when >= self.t
            self.t = when
            self.step(self.running[idx])
        return self

    def next_event(self, run: Running) -> tuple[TurnEnd, int]:
        """How and when the kernel returns if no raise comes before."""
        if run.seen:
            return run.seen
        turn, deadline = run.turn, self.ledger.deadline_ns(run.turn)
        done = turn.start_ns + self.left[turn.starter_idx]
        if run.early_ns is not None and turn.start_ns + run.early_ns < min(deadline, done):
            return TurnEnd.LIMIT, turn.start_ns + run.early_ns
        if done <= deadline:
            return TurnEnd.EXHAUSTED, done
        return (TurnEnd.WALL if deadline == self.budget else TurnEnd.LIMIT), deadline

    def step(self, run: Running) -> None:
        how, when = self.next_event(run)
        if run.seen is None and (late := self.late_ns()):
            run.seen = (how, when + late)
            return
        self.end(run, how)
        self.refill()

    def end(self, run: Running, how: TurnEnd) -> None:
        idx, ran = run.turn.starter_idx, self.t - run.turn.start_ns
        del self.running[idx]
        self.left[idx] = 0 if how is TurnEnd.EXHAUSTED else max(1, self.left[idx] - ran)
        used_before = self.ledger.used_ns[idx]
        donated = max(0, run.turn.allowance_ns - ran)
        raise_each = self.ledger.end(run.turn, how, self.t)
        assert self.ledger.used_ns[idx] == used_before + ran
        if how is TurnEnd.EXHAUSTED:
            bank = self.ledger.bank_ns
            self.note("exhausted", starter=idx, donated=donated, raise_each=raise_each, bank=bank)
        else:
            assert raise_each == 0
            self.note("wall" if how is TurnEnd.WALL else "cut_off", starter=idx, ran=ran)

    def refill(self) -> None:
        before = self.ledger.round_no
        turn = self.ledger.start(self.t)
        if turn is None:
            return
        if self.ledger.round_no > before:
            starters = list(self.ledger.round_starters)
            self.note("round", starters=starters, grant=turn.allowance_ns)
        share = self.early_share()
        self.running[turn.starter_idx] = Running(
            turn, max(1, int(turn.allowance_ns * share)) if share < 1 else None
        )
        self.note("start", starter=turn.starter_idx, allowance=turn.allowance_ns)

    def note(self, event: str, **detail: Any) -> None:
        self.events.append({"t": self.t, "event": event, **detail})
        self.check(self)


@pytest.mark.parametrize("name", TRACES)
def test_traces(name: str) -> None:
    trace = TRACES[name]
    n_starters, workers, budget = len(trace["work"]), trace["workers"], trace["budget"]
    assert base_limit_ns(n_starters, workers, budget) == trace["base"]
    done = Simulation(trace["work"], workers, budget).run()
    assert done.events == trace["events"]
    assert done.ledger.used_ns == trace["used"]
    assert [state is StarterStatus.EXHAUSTED for state in done.ledger.state] == trace["exhausted"]


@pytest.mark.parametrize(
    ("n_starters", "workers", "budget", "base"),
    [
        (0, 4, 100, 100),
        (1, 4, 100, 100),
        (4, 4, 100, 100),
        (5, 4, 100, 50),
        (9, 2, 20, 4),
        (9, 2, 19, 3),
        (100, 4, 1, 0),
    ],
)
def test_base_limit(n_starters: int, workers: int, budget: int, base: int) -> None:
    assert base_limit_ns(n_starters, workers, budget) == base


@pytest.mark.parametrize(
    ("bank", "remaining", "expected"),
    [(10, 3, (3, 1)), (2, 3, (0, 2)), (9, 3, (3, 0)), (7, 0, (0, 7))],
)
def test_spread(bank: int, remaining: int, expected: tuple[int, int]) -> None:
    assert spread_bank_ns(bank, remaining) == expected


def test_pot_counts_running_allowances_to_the_wall_only() -> None:
    assert round_pot_ns(3, 100, [40, 500]) == 300 - 40 - 100


@pytest.mark.parametrize(
    ("pot", "n_cut_off", "left", "grant"),
    [
        (30 * MS, 3, 40 * MS, 10 * MS),
        (30 * MS + 2, 3, 40 * MS, 10 * MS),
        (90 * MS, 1, 30 * MS, 30 * MS),
        (3 * MS, 30, 2 * MS, 1 * MS),
        (3, 30, 2, 2),
    ],
)
def test_round_grant(pot: int, n_cut_off: int, left: int, grant: int) -> None:
    assert round_grant_ns(pot, n_cut_off, left) == grant


def test_missed_raise_is_not_lost() -> None:
    """LIMIT despite a raise: the unused part is not booked, and the next round grants it."""
    ledger = Ledger(2, 2, 100 * MS)
    missed, donor = ledger.start(0), ledger.start(0)
    assert missed is not None
    assert donor is not None
    missed.allowance_ns = donor.allowance_ns = 40 * MS
    assert ledger.end(donor, TurnEnd.EXHAUSTED, 10 * MS) == 30 * MS
    assert missed.allowance_ns == 70 * MS
    assert ledger.end(missed, TurnEnd.LIMIT, 41 * MS) == 0
    assert ledger.used_ns == [41 * MS, 10 * MS]
    assert (ledger.booked_ns, ledger.bank_ns) == (51 * MS, 0)
    again = ledger.start(41 * MS)
    assert again is not None
    assert again.allowance_ns == 59 * MS
    assert ledger.limit_end_ns == [70 * MS, 40 * MS]


def test_lateness_is_used_but_never_booked() -> None:
    ledger = Ledger(2, 1, 20 * MS)
    turn = ledger.start(0)
    assert turn is not None
    assert ledger.end(turn, TurnEnd.EXHAUSTED, 13 * MS) == 0
    assert ledger.bank_ns == 0
    assert ledger.booked_ns == 10 * MS
    assert ledger.used_ns[0] == 13 * MS
    assert ledger.limit_end_ns[0] == 10 * MS


def test_a_late_turn_holds_nothing() -> None:
    turn = Turn(starter_idx=0, round_no=0, start_ns=10, allowance_ns=5)
    assert [turn.left_ns(t) for t in (10, 12, 15, 40)] == [5, 3, 0, 0]


def test_work_limit_ends_a_starter_without_donation_or_second_turn() -> None:
    ledger = Ledger(3, 1, 50, work_limited=True)
    for t, how in enumerate([TurnEnd.WORK_LIMIT, TurnEnd.EXHAUSTED, TurnEnd.LIMIT]):
        turn = ledger.start(t)
        assert turn is not None
        assert turn.allowance_ns == 50
        assert ledger.end(turn, how, t + 1) == 0
    assert ledger.start(10) is None
    assert ledger.bank_ns == 0
    assert ledger.n_turns == [1, 1, 1]
    assert ledger.state == [StarterStatus.CUT_OFF, StarterStatus.EXHAUSTED, StarterStatus.CUT_OFF]
    assert (ledger.n_exhausted, ledger.n_work_limited) == (1, 1)


@pytest.mark.parametrize("how", [TurnEnd.WALL, TurnEnd.STOPPED])
def test_nothing_starts_after_wall_or_stop_at_any_time(how: TurnEnd) -> None:
    ledger = Ledger(2, 1, 100)
    turn = ledger.start(0)
    assert turn is not None
    ledger.end(turn, how, 1)
    assert ledger.start(1) is None
    assert ledger.state == [StarterStatus.CUT_OFF, StarterStatus.NOT_STARTED]
    assert ledger.limit_start_ns[1] == ledger.limit_end_ns[1] == ledger.used_ns[1] == 0


def test_nothing_starts_at_the_wall() -> None:
    assert Ledger(2, 1, 100).start(100) is None


@pytest.mark.slow
def test_memory_per_starter_is_under_one_kilobyte() -> None:
    n_starters = 10_000
    tracemalloc.start()
    try:
        Simulation(
            [40_000] * n_starters, 4, 10**8, check=lambda simulation: simulation.events.clear()
        ).run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / n_starters < 1000


class Laws:
    """Checked after every event of a simulation."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def __call__(self, simulation: Simulation) -> None:
        ledger = simulation.ledger
        running_ns = sum(turn.allowance_ns for turn in ledger.running.values())
        granted_ns = ledger.booked_ns + running_ns + ledger.n_waiting * ledger.limit_ns
        total_ns = ledger.workers * ledger.budget_ns + ledger.lent_ns
        assert granted_ns + ledger.bank_ns <= total_ns
        assert ledger.booked_ns <= ledger.workers * min(simulation.t, ledger.budget_ns)
        assert ledger.lent_ns == 0 or ledger.round_no > 0 or ledger.min_grant_ns > 0
        assert len(ledger.running) <= min(ledger.workers, ledger.n_starters)
        for turn in ledger.running.values():
            assert turn.allowance_ns >= self.seen.get(id(turn), 0)
            assert turn.allowance_ns == ledger.limit_ns or turn.round_no < ledger.round_no
        self.seen = {id(turn): turn.allowance_ns for turn in ledger.running.values()}
        self.limits(ledger, simulation.events[-1])

    def limits(self, ledger: Ledger, event: dict[str, Any]) -> None:
        numbers = [
            ledger.limit_ns,
            ledger.bank_ns,
            ledger.booked_ns,
            ledger.lent_ns,
            *ledger.used_ns,
            *ledger.limit_end_ns,
        ]
        assert all(type(number) is int and number >= 0 for number in numbers)
        if event["event"] == "round":
            self.round(ledger, event)

    def round(self, ledger: Ledger, event: dict[str, Any]) -> None:
        unfinished = [
            idx
            for idx, state in enumerate(ledger.state)
            if state is StarterStatus.CUT_OFF
            and (idx not in ledger.running or idx == event["starters"][0])
        ]
        assert event["starters"] == unfinished
        assert ledger.n_started == ledger.n_starters
        assert (
            min(max(MIN_GRANT_NS, ledger.min_grant_ns), ledger.budget_ns - event["t"])
            <= event["grant"]
            <= ledger.budget_ns - event["t"]
        )


@dataclass(frozen=True)
class Case:
    work: list[int]
    workers: int
    budget: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    budget = draw(
        st.one_of(st.integers(1, 50), st.integers(1, 30 * MS), st.integers(1, 20_000 * MS))
    )
    most = draw(st.sampled_from([budget // 20, budget // 3, budget, 3 * budget]))
    work = draw(st.lists(st.integers(1, max(1, most)), max_size=25))
    return Case(work, draw(st.integers(1, 8)), budget)


def lateness(rng: random.Random, most: int) -> Callable[[], int]:
    return lambda: rng.choice([0, 0, rng.randint(0, most)])


@settings(max_examples=150, deadline=None)
@given(cases())
def test_punctual_kernels(case: Case) -> None:
    done = Simulation(case.work, case.workers, case.budget, check=Laws()).run()
    ledger = done.ledger
    assert done.t <= case.budget
    assert ledger.booked_ns == sum(ledger.used_ns)
    if base_limit_ns(len(case.work), case.workers, case.budget):
        assert ledger.n_started == ledger.n_starters, (
            "with a base limit every starter gets a first turn before the wall"
        )
    if case.work and sum(case.work) + case.workers * max(case.work) <= case.workers * case.budget:
        assert ledger.n_exhausted == ledger.n_starters, (
            "no slot idles while a starter could run, so small work always ends"
        )
    if ledger.n_exhausted < ledger.n_starters:
        assert done.t == case.budget, "time is left only when nothing is left to do"


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**32), st.sampled_from([1, 1000, 10 * MS]))
def test_late_early_and_unresponsive_kernels(case: Case, seed: int, most_late: int) -> None:
    rng = random.Random(seed)
    early = rng.choice([lambda: 1.0, lambda: rng.uniform(0.2, 1.2)])
    done = Simulation(
        case.work, case.workers, case.budget, lateness(rng, most_late), early, Laws()
    ).run()
    assert done.t <= case.budget + most_late
    if done.ledger.n_exhausted < len(case.work):
        assert done.t >= case.budget


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**32), st.sampled_from([1, MS, 250 * MS]))
def test_turns_that_are_dear_to_begin(case: Case, seed: int, min_grant: int) -> None:
    rng = random.Random(seed)
    # What is on its way counts as time of the turn.
    transit = lateness(rng, 5 * MS)
    done = Simulation(
        case.work, case.workers, case.budget, transit, check=Laws(), min_grant=min_grant
    ).run()
    least = min(min_grant, case.budget)
    granted = done.ledger.limit_start_ns[: done.ledger.n_started]
    assert all(limit >= least for limit in granted)


def test_the_least_grant_raises_the_base_limit_and_lends() -> None:
    ledger = Ledger(10, 2, 100, min_grant_ns=50)
    assert ledger.limit_ns == 50
    assert ledger.lent_ns == 10 * 50 - 2 * 100
    assert Ledger(10, 2, 100, min_grant_ns=500).limit_ns == 100
    assert Ledger(4, 2, 100, min_grant_ns=50).lent_ns == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_exhausted_set_does_not_depend_on_workers(work: list[int]) -> None:
    for workers in range(1, 9):
        done = Simulation(work, workers, 2 * sum(work), check=Laws()).run()
        assert done.ledger.n_exhausted == len(work)
        assert done.ledger.used_ns == work


def test_turns_that_return_at_once_do_not_outlive_the_wall() -> None:
    done = Simulation([10**12] * 3, 2, 5 * MS, early_share=ticks(), check=Laws()).run()
    assert done.t == 5 * MS
    assert min(done.ledger.n_turns) > 5
    assert 2 * min(done.ledger.n_turns) >= max(done.ledger.n_turns) - 2, (
        "a starter that runs when a round begins is in the next one"
    )


def ticks() -> Callable[[], float]:
    shares: Iterator[float] = iter(lambda: 0.01, None)
    return lambda: next(shares)
