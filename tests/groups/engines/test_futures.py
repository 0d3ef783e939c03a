"""Executors of PEP 3148 as engines: threads, processes, loky, and those that fail."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import strategies
from comparison import lasting
from engines import panel_of

import mp2
from mp2.errors import InputError
from mp2.groups.engines import pace, remote
from mp2.groups.engines.choice import engine_of
from mp2.groups.result import Status
from mp2.groups.rules import Rules

RULES = Rules(min_daily_hits=1, top_k=40, retain_sizes=(2, 3, 4), **strategies.LOOSE)
ENDLESS_RULES = Rules(max_size=8, min_daily_hits=0, retain_sizes=(2, 8), **strategies.LOOSE)


@pytest.fixture(autouse=True)
def nothing_runs_here(monkeypatch):
    monkeypatch.setattr(remote, "SMALL_WEIGHT", -1)


@pytest.fixture(scope="module")
def panel():
    return panel_of((4, 3, 5, 4, 3))


@pytest.fixture(scope="module")
def whole(panel):
    return lasting(mp2.search(panel, workers=2, rules=RULES))


def processes(start):
    return ProcessPoolExecutor(2, multiprocessing.get_context(start))


def test_threads(panel, whole):
    with ThreadPoolExecutor(2) as pool:
        result = mp2.search(panel, rules=RULES, executor=pool)
        assert lasting(result) == whole
        assert result.workers == 2
        # More slots than threads: orders wait in the executor.
        more = mp2.search(panel, rules=RULES, executor=pool, slots=5)
        assert lasting(more) == whole
        assert more.workers == 5
        # It is still the caller's.
        assert pool.submit(int, "3").result() == 3


def test_a_stop_reaches_threads():
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        result = mp2.search(
            panel_of((60,) * 10, n_tickers=64, density=0.95),
            rules=ENDLESS_RULES,
            executor=pool,
            stop=stop,
            observe=lambda progress: stop.set(),
        )
        assert result.status is Status.STOPPED


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_processes(start, monkeypatch):
    """Complete in many leases on two processes, which share no memory with this one."""
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 20 * pace.MS)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 20 * pace.MS)
    panel = panel_of((12,) * 6, n_tickers=600, density=0.5)
    rules = Rules(min_daily_hits=2, retain_sizes=(3, 4), **strategies.LOOSE)
    local = mp2.search(panel, budget_s=600, workers=2, rules=rules)
    assert local.status is Status.COMPLETE
    with processes(start) as pool:
        assert lasting(mp2.search(panel, budget_s=600, rules=rules, executor=pool)) == lasting(
            local
        )


@pytest.mark.slow
def test_a_wall_with_processes():
    with processes("spawn") as pool:
        result = mp2.search(
            panel_of((60,) * 10, n_tickers=64, density=0.95),
            budget_s=12,
            rules=ENDLESS_RULES,
            executor=pool,
        )
    assert result.status is Status.WALL
    assert result.elapsed_s < 12.252 + 0.2
    assert result.kept[2]


@pytest.mark.slow
def test_a_pool_that_breaks_ends_the_search_and_another_resumes_it(tmp_path, monkeypatch):
    """A process that is killed breaks its pool for good; what was finished is kept."""
    panel = panel_of((12,) * 6, n_tickers=600, density=0.5)
    rules = Rules(min_daily_hits=2, retain_sizes=(3, 4), **strategies.LOOSE)
    local = mp2.search(panel, budget_s=600, workers=2, rules=rules)
    store = tmp_path / "mp2.db"
    killed = []
    with processes("spawn") as pool:

        def kill_one(progress):
            if progress.pool.n_exhausted > 20 and not killed:
                killed.append(next(iter(pool._processes)))
                os.kill(killed[0], signal.SIGKILL)

        broken = mp2.search(
            panel, store=store, budget_s=600, rules=rules, executor=pool, observe=kill_one
        )
    assert broken.status is Status.STOPPED
    assert broken.n_exhausted > 20
    assert "the cluster was lost (BrokenProcessPool" in broken.warnings[0]
    with processes("spawn") as pool:
        resumed = mp2.resume(store=store, source=panel, executor=pool)
    values, starters = lasting(resumed)
    expected, expected_starters = lasting(local)
    assert values | {"run_id": None} == expected
    assert starters == expected_starters


@pytest.mark.slow
def test_loky(panel, whole):
    loky = pytest.importorskip("loky", reason="pip install loky")
    with loky.get_reusable_executor(2) as pool:
        assert lasting(mp2.search(panel, rules=RULES, executor=pool)) == whole


@pytest.mark.slow
def test_mpi(panel, whole):
    mpi = pytest.importorskip("mpi4py.futures", reason="pip install mpi4py, under mpiexec")
    with mpi.MPIPoolExecutor(2) as pool:
        assert lasting(mp2.search(panel, rules=RULES, executor=pool, slots=2)) == whole


class Failing(Executor):
    """Every call fails, at once or as it runs."""

    def __init__(self, at_once):
        self.at_once = at_once

    def submit(self, call, /, *args, **kwargs):
        error = ModuleNotFoundError("No module named 'mp2'")
        if self.at_once:
            raise error
        future = Future()
        future.set_exception(error)
        return future


@pytest.mark.parametrize("at_once", [True, False])
def test_an_executor_that_fails_is_an_input_error(panel, at_once):
    with pytest.raises(InputError, match=r"no worker could begin .*No module named 'mp2'"):
        mp2.search(panel, executor=Failing(at_once), slots=2)


def test_an_executor_without_a_size_needs_slots():
    with pytest.raises(InputError, match="slots: a Failing does not say how many"):
        engine_of(Failing(True))
    assert engine_of(Failing(True), 7).n_slots == 7


def test_workers_of_an_executor_cannot_be_left_out():
    from engines import other_version

    engine = engine_of(Failing(True), 7)
    with pytest.raises(InputError, match=r"elsewhere .* has another build"):
        engine.leave_out([other_version(version="0.1")])
