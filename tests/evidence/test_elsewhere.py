"""The test for luck at workers elsewhere: equal to threads, whatever jobs and workers do."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import strategies
from engines import FakeEngine, NeverError, panel_of

import mp2
from mp2.evidence import elsewhere
from mp2.evidence.elsewhere import RangeAnswer, ranges_of
from mp2.groups.engines import jobs
from mp2.groups.engines.jobs import JobHome, is_job

RULES = mp2.Rules(min_daily_hits=2, retain_sizes=(2, 3), **strategies.LOOSE)
N_REPLICATES = 600
LONG_S = 60


@pytest.fixture(autouse=True)
def many_jobs(monkeypatch):
    monkeypatch.setattr(elsewhere, "SMALL_WEIGHT", 1)


@pytest.fixture(scope="module")
def panel():
    """Variations of which some are alike, on few tickers."""
    return panel_of((4, 4, 4, 4, 4), n_tickers=40, density=0.4, copies=True)


@pytest.fixture(scope="module")
def searched(panel):
    return mp2.search(panel, rules=RULES)


@pytest.fixture(scope="module")
def local(searched):
    found = mp2.significance(searched, replicates=N_REPLICATES, workers=2)
    assert found.status == "complete"
    assert found.n_groups_exact
    return timeless(found)


def timeless(found):
    """A test without its times; the maxima, which are not compared, as bytes."""
    maxima = {size: scores.tobytes() for size, scores in found.maxima.items()}
    return replace(found, elapsed_s=0.0, overrun_s=0.0), maxima


def elsewhere_tested(searched, engine, budget_s=LONG_S, replicates=N_REPLICATES, **more):
    return mp2.significance(
        searched,
        replicates=replicates,
        budget_s=budget_s,
        executor=engine,
        **more,
    )


def scripted(act):
    """Run all orders but those of jobs by chance: `act` gets their count and what runs them."""
    lock = threading.Lock()
    n_jobs = []

    def script(order, run):
        if not isinstance(order, bytes):
            return run()
        with lock:
            n_jobs.append(order)
            count = len(n_jobs)
        return act(count, run)

    return script


def changed(message, **fields):
    """An answer with other fields."""
    head = jobs._HEAD.size + 1
    answer = RangeAnswer.from_bytes(message[head:], len(RULES.retain_sizes))
    return message[:head] + replace(answer, **fields).to_bytes()


# ---- equal results


@pytest.mark.parametrize("n_slots", [1, 3])
def test_slots_change_nothing(searched, local, n_slots):
    engine = FakeEngine(n_slots)
    assert timeless(elsewhere_tested(searched, engine)) == local
    # Aliases are one job.
    assert 5 < len(engine.orders) <= 10


def test_a_search_and_its_test_run_elsewhere(panel, local):
    engine = FakeEngine(2)
    result = mp2.search(panel, rules=RULES, replicates=N_REPLICATES, executor=engine)
    assert timeless(result.significance) == local
    assert any(is_job(order) for order in engine.orders if isinstance(order, bytes))


def test_lost_jobs_and_workers_without_the_panel_change_nothing(searched, local):
    def every_third_lost(count, run):
        answer = run()
        if count % 3 == 0:
            raise OSError("the worker died")
        return answer

    # The job is done again by another kernel of the same process, or by the same one.
    engine = FakeEngine(2, scripted(every_third_lost), homes=False)
    assert timeless(elsewhere_tested(searched, engine)) == local


WRONG = (
    {"tested": np.array([0, 19])},
    {"maxima": np.full((2, N_REPLICATES + 1), np.nan)},
    {"maxima": np.zeros((2, N_REPLICATES + 2))},
    {"maxima": np.zeros((2, 3))},
    {"n_groups": np.zeros(3, np.int64)},
)


@pytest.mark.parametrize("fields", WRONG)
def test_wrong_answers_are_left_out(searched, local, fields):
    def first_wrong(count, run):
        answer = run()
        return changed(answer, **fields) if count == 1 else answer

    engine = FakeEngine(1, scripted(first_wrong))
    assert timeless(elsewhere_tested(searched, engine)) == local
    assert engine.n_suspected == 1


def test_a_worker_that_contradicts_the_search_gives_no_p(searched):
    def higher(count, run):
        answer = run()
        n_drawn = N_REPLICATES + 1
        return changed(answer, maxima=np.full((2, n_drawn), 1e6))

    with pytest.raises(RuntimeError, match="the test contradicts the search"):
        elsewhere_tested(searched, FakeEngine(2, scripted(higher)))


def test_fewer_replicates_when_the_wall_is_near(searched):
    def slow(count, run):
        return changed(run(), scoring_ns=count * 10**15)

    found = elsewhere_tested(searched, FakeEngine(2, scripted(slow)), replicates=1500)
    assert (found.replicates, found.replicates_asked) == (499, 1500)
    fewer = mp2.significance(searched, replicates=499)
    assert (found.p, found.null) == (fewer.p, fewer.null)


@pytest.mark.slow
def test_processes(searched, local):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert timeless(elsewhere_tested(searched, pool)) == local


# ---- endings


def test_the_wall_is_kept_though_little_comes_home(searched):
    def few(count, run):
        if count > 3:
            raise NeverError
        return run()

    started_s = time.monotonic()
    found = elsewhere_tested(searched, FakeEngine(2, scripted(few)), budget_s=1.0)
    assert time.monotonic() - started_s < 10
    assert found.status == "partial"
    assert 0 < found.covered < 1
    # A look every 50 ms, and what a loaded machine takes to judge.
    assert found.overrun_s < 0.25 + 1


def test_jobs_end_before_the_wall_with_what_they_have(panel, monkeypatch):
    """What a worker has tested comes home, though its job was not done."""
    given = []

    def slow(self, job):
        given.append(jobs.struct.unpack_from("<q", job.given)[0])
        return run(self, job)

    run = elsewhere.RangeWork.run
    monkeypatch.setattr(elsewhere.RangeWork, "run", slow)
    result = mp2.search(panel, rules=RULES)
    elsewhere_tested(result, FakeEngine(1), budget_s=20)
    # A fifth of a second and half a millisecond of its slot before the wall.
    assert 0 < given[-1] < 20e9 - 200.5e6


def test_a_stop_ends_the_test(searched):
    stop = threading.Event()

    def stopping(count, run):
        if count == 4:
            stop.set()
        return run()

    engine = FakeEngine(1, scripted(stopping))
    found = elsewhere_tested(searched, engine, stop=stop)
    assert found.status in ("partial", "stopped")
    assert found.covered < 1
    assert engine.told[-2:] == ["stop", "end"]


def test_a_lost_cluster_leaves_what_came_home(searched):
    def broken(count, run):
        if count > 4:
            raise OSError("no route")
        return run()

    found = elsewhere_tested(searched, FakeEngine(1, scripted(broken)))
    assert found.status == "partial"
    assert found.warnings[-1] == "the cluster was lost (OSError: no route)"


def test_a_job_stops_at_its_worker(panel):
    """A stop reaches the kernel within a starter."""
    labels = np.zeros((5, 41, 16), np.uint64)
    home = JobHome(elsewhere.RangeWork(panel, RULES, labels, N_REPLICATES))
    home.stop()
    given = elsewhere._GIVEN.pack(10**12, N_REPLICATES) + np.arange(20, dtype=np.int32).tobytes()
    answer = home.work.run(jobs.Job(0, given, home.stopped))
    assert not len(RangeAnswer.from_bytes(answer, 2).tested)


# ---- the cut


def test_ranges_have_every_starter_once_and_keep_aliases_together():
    weights = [5, 0, 7, 7, 5, 1, 1]
    alias_of = [0, 1, 2, 2, 0, 5, 6]
    assert ranges_of(weights, alias_of, 2) == ((2, 3), (0, 4), (5,), (6,))


def test_ranges_are_small_at_first_and_at_last(monkeypatch):
    monkeypatch.setattr(elsewhere, "SMALL_WEIGHT", 3)
    sizes = [len(one) for one in ranges_of([1] * 4000, range(4000), 2)]
    assert sum(sizes) == 4000
    assert sizes[:16] == [10] * 16
    assert max(sizes) == sizes[16] == 480
    assert sizes[17:] == sorted(sizes[17:], reverse=True)
    assert min(sizes[:-1]) == 3


def test_small_tests_are_few_jobs(monkeypatch):
    monkeypatch.setattr(elsewhere, "SMALL_WEIGHT", 100)
    assert len(ranges_of([7] * 30, range(30), 50)) == 2
