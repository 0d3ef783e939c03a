"""Leases over an engine that is late, wrong, lost and stopped: results and walls stay."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import strategies
from comparison import lasting
from engines import FakeEngine, NeverError, after, other_version, panel_of

from mp2._recurse import STARTER_DTYPE
from mp2.errors import InputError
from mp2.groups.engines import lease, pace, remote
from mp2.groups.engines.handshake import n_processors
from mp2.groups.engines.messages import Answer, How, Order
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.groups.search import search
from mp2.groups.settings import SearchSettings

RULES = Rules(min_daily_hits=1, top_k=40, retain_sizes=(2, 3, 4), **strategies.LOOSE)
ENDLESS_RULES = Rules(
    max_size=8, min_daily_hits=0, retain_sizes=(2, 8), top_k=10, **strategies.LOOSE
)
GUARD_S = 60.0


@pytest.fixture(scope="module")
def small():
    return panel_of((4, 3, 5, 4, 3))


@pytest.fixture(scope="module")
def whole(small):
    return lasting(search(small, SearchSettings(budget_s=GUARD_S, workers=2, rules=RULES)))


@pytest.fixture(scope="module")
def endless():
    """A panel of billions of groups, none pruned: its search ends by a stop or the wall."""
    return panel_of((60,) * 10, n_tickers=64, density=0.95)


@pytest.fixture(autouse=True)
def nothing_runs_here(monkeypatch):
    """Lease small starters too; pauses and deadlines of seconds become short."""
    monkeypatch.setattr(remote, "SMALL_WEIGHT", -1)
    monkeypatch.setattr(remote, "RETRY_S", 0.001)


@pytest.fixture
def hasty(monkeypatch):
    """Answers are late after 50 ms."""
    monkeypatch.setattr(pace, "FIRST_LATENESS_NS", 50 * pace.MS)
    monkeypatch.setattr(pace, "LEAST_LATENESS_NS", 50 * pace.MS)
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 20 * pace.MS)


def leased(panel, engine, rules=RULES, budget_s=GUARD_S, **more):
    settings = SearchSettings(budget_s=budget_s, rules=rules, **more.pop("settings", {}))
    return search(panel, settings, executor=engine, **more)


# ---- equal results


@pytest.mark.parametrize("n_slots", [1, 2, 4])
def test_slots_change_nothing(small, whole, n_slots):
    engine = FakeEngine(n_slots)
    result = leased(small, engine)
    assert lasting(result) == whole
    assert result.workers == n_slots
    assert len(engine.orders) == 19
    assert engine.told == ["end"]
    assert lease.HOMES == {}


@pytest.mark.parametrize("max_attempts", [1, 50])
def test_a_work_limit_is_exact(small, max_attempts):
    settings = SearchSettings(budget_s=GUARD_S, rules=RULES, max_attempts=max_attempts)
    result = leased(small, FakeEngine(3), settings={"max_attempts": max_attempts})
    assert result.status is Status.WORK_LIMIT
    assert lasting(result) == lasting(search(small, settings))


@pytest.mark.parametrize("copies", [False, True])
def test_slices_change_nothing(monkeypatch, copies):
    """Every lease ends at the kernel's first check, so a turn takes several."""
    panel = panel_of((2, 2, 2, 2), n_tickers=4_000, density=0.7, copies=copies)
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 1)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 1)
    local = search(panel, SearchSettings(budget_s=GUARD_S, workers=1, rules=RULES))
    engine = FakeEngine(1)
    result = leased(panel, engine, budget_s=600)
    assert lasting(result) == lasting(local)
    assert len(engine.orders) > 8
    if copies:
        # A representative leaves what it found though it took several leases.
        searched = {int(order.record["variation_idx"][0]) for order in engine.orders}
        assert len(searched) == 4


def test_ideas_are_kept_elsewhere_too(monkeypatch):
    # Few tickers, so that many groups say the same; a turn takes several leases.
    panel = panel_of((3, 3, 3, 3), n_tickers=70, density=0.96, copies=True)
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 1)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 1)
    rules = dataclasses.replace(RULES, top_k=5)
    ideas = {"keep": "ideas"}
    local = search(panel, SearchSettings(budget_s=GUARD_S, workers=1, rules=rules, **ideas))
    assert lasting(leased(panel, FakeEngine(2), rules, settings=ideas)) == lasting(local)
    assert any((one.n_groups or 0) > 1 for one in local.ideas[3])


def test_thresholds_go_with_orders():
    """What cannot be kept any more does not come home; the result is that without them."""
    panel = panel_of((5,) * 5, n_tickers=64, density=0.8)
    rules = dataclasses.replace(RULES, top_k=3)
    local = search(panel, SearchSettings(budget_s=GUARD_S, workers=1, rules=rules))
    n_home = []

    def counting(order, run):
        answer = run()
        kept = Answer.from_bytes(answer).kept
        n_home.append(sum(len(scores) for scores, _ in kept.values()))
        return answer

    engine = FakeEngine(1, counting)
    assert lasting(leased(panel, engine, rules)) == lasting(local)
    first, *later = engine.orders
    assert set(first.thresholds.values()) == {-np.inf}
    best = {size: groups[-1].score for size, groups in local.kept.items()}
    assert later[-1].thresholds == best
    # Without them each starter's three best groups of each size come home.
    assert sum(n_home) < 9 * 15


def test_ideas_have_no_thresholds(small):
    engine = FakeEngine(1)
    leased(small, engine, settings={"keep": "ideas"})
    assert {len(order.thresholds) for order in engine.orders} == {0}


def test_an_answer_without_ideas_is_refused(small):
    def other(order, run):
        answer = Answer.from_bytes(run())
        n_groups = {size: np.zeros(0, np.int64) for size in answer.kept}
        return dataclasses.replace(answer, n_groups=n_groups).to_bytes()

    result = leased(small, FakeEngine(1, other), settings={"keep": "ideas"})
    assert result.status is Status.STOPPED
    assert "it does not keep ideas" in result.warnings[0]


def test_small_starters_run_here(small, whole, monkeypatch):
    monkeypatch.setattr(remote, "SMALL_WEIGHT", 2_000_000)
    engine = FakeEngine(1)
    assert lasting(leased(small, engine)) == whole
    assert engine.orders == []


def test_a_worker_that_lacks_the_panel_gets_it(small, whole):
    engine = FakeEngine(2, homes=False)
    assert lasting(leased(small, engine)) == whole
    assert 1 <= engine.n_contents <= 2


def test_lost_leases_change_nothing(small, whole):
    def every_second_lost(order, run):
        if order.number % 2:
            raise OSError("the worker died")
        return run()

    engine = FakeEngine(2, every_second_lost)
    assert lasting(leased(small, engine)) == whole
    assert len(engine.orders) > 19


NO_SCORES = {size: np.zeros(64, np.int64) for size in range(9)}
WRONG = (
    ("it belongs to another lease", lambda answer: {"number": 99}),
    ("it belongs to another lease", lambda answer: {"key": bytes(16)}),
    ("it is of another starter", lambda answer: {"record": changed(answer, variation_idx=0)}),
    ("attempts were lost", lambda answer: {"record": changed(answer, attempts=-1)}),
    ("a cursor points nowhere", lambda answer: {"record": changed(answer, depth=3)}),
    ("its groups are not those", lambda answer: groups([np.nan], [[15, 16, 17]])),
    ("its groups are not those", lambda answer: groups([1.0], [[18, 18, 18]])),
    ("a group does not begin with", lambda answer: groups([1.0], [[0, 4, 7]])),
)


def changed(answer, **fields):
    record = answer.record.copy()
    for name, value in fields.items():
        record[name] = value
    return record


def groups(scores, members):
    kept = {3: (np.array(scores), np.array(members, np.int32))}
    return {"kept": kept, "n_scores": NO_SCORES}


@pytest.mark.parametrize(("message", "changes"), WRONG)
def test_wrong_answers_are_left_out_and_named(small, whole, message, changes):
    n_wrong = []

    def wrong(order, run):
        answer = Answer.from_bytes(run())
        # Of the starters that run first, no group of the wrong ones begins with its number.
        if n_wrong or not order.record["variation_idx"][0]:
            return answer.to_bytes()
        n_wrong.append(order)
        return dataclasses.replace(answer, **changes(answer)).to_bytes()

    engine = FakeEngine(1, wrong)
    result = leased(small, engine)
    (warning,) = result.warnings
    assert warning.startswith(f"an answer of worker-7 was left out: {message}")
    assert engine.n_suspected == 1
    assert lasting(dataclasses.replace(result, warnings=())) == whole


def test_bytes_that_are_no_answer_are_left_out(small, whole):
    def wrong(order, run):
        return run() if order.number > 1 else b"nonsense" * 20

    result = leased(small, FakeEngine(1, wrong))
    assert "was left out: not a message" in result.warnings[0]
    assert lasting(dataclasses.replace(result, warnings=())) == whole


def test_late_answers_change_nothing(small, whole, hasty):
    """What comes home after it was given up is not looked at."""
    seen = set()

    def first_one_late(order, run):
        answer = run()
        starter = int(order.record["variation_idx"][0])
        if starter % 3 == 0 and starter not in seen:
            seen.add(starter)
            # What counts as late follows from what leases cost, so from the machine's load.
            n_given_up = engine.n_suspected
            while engine.n_suspected == n_given_up:
                time.sleep(0.01)
        return answer

    engine = FakeEngine(2, first_one_late)
    assert lasting(leased(small, engine)) == whole
    assert engine.n_suspected > 0


def test_answers_that_never_come_do_not_end_a_work_limited_search(small, hasty):
    lost = []

    def first_one_never(order, run):
        if len(lost) < 3:
            lost.append(order)
            raise NeverError
        return run()

    settings = SearchSettings(budget_s=GUARD_S, rules=RULES, max_attempts=30)
    result = leased(small, FakeEngine(1, first_one_never), settings={"max_attempts": 30})
    assert lasting(result) == lasting(search(small, settings))


# ---- endings


def test_the_wall_is_kept_though_nothing_comes_home(endless):
    def never(order, run):
        raise NeverError

    started_s = time.monotonic()
    result = leased(endless, FakeEngine(8, never), ENDLESS_RULES, budget_s=0.5)
    took_s = time.monotonic() - started_s
    assert result.status is Status.WALL
    assert result.attempts == 0
    # 0.25 s and half a millisecond a slot, and what a loaded machine takes to build the result.
    assert result.elapsed_s < 0.5 + 0.254 + 1
    assert took_s < 5


def test_a_search_to_the_wall_brings_home_what_was_found(endless):
    result = leased(endless, FakeEngine(2), ENDLESS_RULES, budget_s=1.0)
    assert result.status is Status.WALL
    assert result.kept[2]
    assert result.attempts > 0
    assert result.elapsed_s < 1.5


def test_a_stop_reaches_the_workers(endless):
    stop = threading.Event()
    engine = FakeEngine(2)

    def stop_soon(progress):
        if engine.orders:
            stop.set()

    result = leased(endless, engine, ENDLESS_RULES, stop=stop, observe=stop_soon)
    assert result.status is Status.STOPPED
    assert result.kept[2]
    assert engine.told == ["stop", "end"]


def test_a_stop_is_not_awaited_for_long(endless):
    stop = threading.Event()

    def never(order, run):
        stop.set()
        raise NeverError

    started_s = time.monotonic()
    result = leased(endless, FakeEngine(2, never), ENDLESS_RULES, stop=stop)
    assert result.status is Status.STOPPED
    assert 0.9 < time.monotonic() - started_s < 10


def test_a_lost_cluster_ends_the_search(small):
    def broken(order, run):
        raise OSError("no route")

    engine = FakeEngine(2, broken)
    result = leased(small, engine)
    assert result.status is Status.STOPPED
    assert result.warnings[0] == ("the cluster was lost (OSError: no route); mp2 resume goes on")
    assert len(engine.orders) >= 7


def test_a_disconnected_cluster_ends_the_search(small, monkeypatch):
    monkeypatch.setattr(remote, "TICK_NS", pace.MS)
    monkeypatch.setattr(remote, "MOST_DISCONNECTED_NS", 20 * pace.MS)

    def never(order, run):
        raise NeverError

    engine = FakeEngine(2, never, connected=False)
    result = leased(small, engine)
    assert result.status is Status.STOPPED
    assert "the cluster was lost (disconnected)" in result.warnings[0]


def test_workers_that_stop_by_themselves_are_lost(small):
    def closed(order, run):
        lease.stop(order.key)
        return run()

    result = leased(small, FakeEngine(1, closed))
    assert result.status is Status.STOPPED
    assert "stopped by itself" in result.warnings[0]


def test_no_memory_is_tried_once_more(small, whole):
    answers = []

    def full(order, run):
        answers.append(order)
        if len(answers) == 1 or (always and order.number):
            return Answer(
                key=order.key, number=order.number, how=How.NO_MEMORY, record=order.record
            ).to_bytes()
        return run()

    always = False
    assert lasting(leased(small, FakeEngine(1, full))) == whole
    always = True
    with pytest.raises(MemoryError, match="on a worker"):
        leased(small, FakeEngine(1, full))


def test_resumed_elsewhere_and_here(small, whole):
    """A state of a leased search is that of a search in threads."""

    class Keeping:
        resume_from = None

        def watch(self, run):
            self.run = run

    kept = Keeping()

    def some(order, run):
        if order.number > 9:
            raise OSError("gone")
        return run()

    assert leased(small, FakeEngine(2, some), recorder=kept).status is Status.STOPPED
    state = kept.run.take()
    assert 5 < len(state.records) < 19
    for executor in (None, FakeEngine(2)):
        kept = Keeping()
        kept.resume_from = state
        settings = SearchSettings(budget_s=GUARD_S, rules=RULES)
        assert lasting(search(small, settings, executor=executor, recorder=kept)) == whole


# ---- who may work


def test_other_versions_are_left_out(small, whole):
    engine = FakeEngine(3)
    engine.workers = [other_version(version="0.0.1"), *engine.workers]
    result = leased(small, engine)
    assert result.workers == 2
    (warning,) = result.warnings
    assert warning.startswith("elsewhere (process ")
    assert "has mp2 version 0.0.1, here it is " in warning
    assert lasting(dataclasses.replace(result, warnings=())) == whole


def test_a_worker_refuses_the_home_of_another_build(small):
    engine = FakeEngine(1, homes=False)
    build = lease.build_digest
    try:
        lease.build_digest = lambda: "0123"
        result = leased(small, engine)
    finally:
        lease.build_digest = build
    assert result.status is Status.STOPPED
    assert "install the same version on both" in result.warnings[0]


@pytest.mark.parametrize(
    ("executor", "slots", "message"),
    [
        ("text", None, "executor: a str is no executor"),
        (FakeEngine(1), 0, "slots: 0 is not a whole number between 1 and 1024"),
        (FakeEngine(1), True, "slots: True"),
    ],
)
def test_unusable_executors(small, executor, slots, message):
    with pytest.raises(InputError, match=message):
        search(small, executor=executor, slots=slots)


# ---- the worker's side


def test_workers_size_their_tables_by_the_time_of_a_starter(small, monkeypatch):
    asked = []
    monkeypatch.setattr(lease, "turn_bytes", lambda *known: asked.append(known) or 1 << 20)
    settings = SearchSettings(budget_s=57.0, rules=RULES, table_memory=1 << 22)
    turns = remote.LeasedTurns(FakeEngine(3), small, settings, lambda: False)
    # Three slots, whatever the settings say of workers here.
    assert asked == [(small.buys.shape, n_processors(), 1 << 22, 57.0 * 3 / small.n_variations)]
    turns.end()


def test_homes_that_are_idle_are_dropped(small, monkeypatch):
    engine = FakeEngine(1)
    turns = remote.LeasedTurns(engine, small, SearchSettings(rules=RULES), lambda: False)
    now_ns = lease.now_ns()
    monkeypatch.setattr(lease, "now_ns", lambda: now_ns + lease.IDLE_NS + 1)
    assert turns.key in lease.HOMES
    lease.greet(bytes(16), turns.content)
    assert set(lease.HOMES) == {bytes(16)}
    lease.forget(bytes(16))
    record = np.zeros(1, STARTER_DTYPE)
    order = Order(key=turns.key, number=1, record=record, lease_ns=1, to_wall_ns=1)
    assert Answer.from_bytes(lease.lease(order.to_bytes())).how is How.NEED_HOME


@pytest.mark.slow
def test_a_thousand_slots(endless):
    """Proxies wait without work; the wall is kept within the bound of the specification."""
    engine = FakeEngine(1000, after(0.2))

    def idle(order, run):
        time.sleep(order.lease_ns / 1e9)
        return Answer(
            key=order.key, number=order.number, how=How.LIMIT, record=order.record
        ).to_bytes()

    engine.script = idle
    result = leased(endless, engine, ENDLESS_RULES, budget_s=6.0)
    assert result.status is Status.WALL
    # As above, and a thousand threads of a loaded machine.
    assert result.elapsed_s < 6.0 + 0.25 + 0.5 + 3
