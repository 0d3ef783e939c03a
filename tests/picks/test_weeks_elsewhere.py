"""Walk-forwards whose weeks are searched elsewhere: the same weeks, stored and resumed."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from engines import FakeEngine
from market_bars import walk as random_bars
from small_searches import LENIENT, SMALL_GRIDS

import mp2
from mp2.errors import InputError
from mp2.picks.weeks import WalkStatus

RULES = mp2.Rules(max_size=2, retain_sizes=(2,), **LENIENT)
N_WEEKS = 4


@pytest.fixture(scope="module")
def prices():
    return random_bars(12, 120)


@pytest.fixture(scope="module")
def grids(tmp_path_factory):
    path = tmp_path_factory.mktemp("grids") / "grids.toml"
    path.write_text(SMALL_GRIDS)
    return mp2.load_grids(path)


@pytest.fixture(scope="module")
def walked(prices, grids):
    def walked(**more):
        return mp2.walk_forward(
            prices, weeks=N_WEEKS, budget_s_per_week=60, grids=grids, rules=RULES, **more
        )

    return walked


@pytest.fixture(scope="module")
def local(walked):
    found = walked()
    assert found.status is WalkStatus.COMPLETE
    assert found.weeks[0].n_kept[2] > 0
    return found


def timeless(found):
    """A walk without what depends on the clock and the store."""
    weeks = tuple(replace(week, elapsed_s=0.0) for week in found.weeks)
    return replace(found, weeks=weeks, walk_id=None)


def test_the_same_weeks(walked, local, caplog):
    caplog.set_level("INFO", "mp2")
    counted = []
    found = walked(executor=FakeEngine(3), observe=lambda *count: counted.append(count))
    assert timeless(found) == timeless(local)
    assert counted == [(n, N_WEEKS) for n in range(N_WEEKS + 1)]
    assert "weeks: 3 slots at workers, each with one core" in caplog.messages


@pytest.mark.slow
def test_with_a_test_for_luck(walked):
    with_luck = walked(replicates=19, null="tickers")
    found = walked(replicates=19, null="tickers", executor=FakeEngine(2))
    assert timeless(found) == timeless(with_luck)
    assert found.weeks[0].p is not None


def test_a_stop_keeps_the_weeks_before_the_first_gap(walked, local):
    stop = threading.Event()

    def third_never(order, run):
        if order[-8] == 2:
            stop.wait(20)
        return run()

    found = walked(
        executor=FakeEngine(4, third_never),
        stop=stop,
        observe=lambda done, total: stop.set() if done == 2 else None,
    )
    assert found.status is WalkStatus.STOPPED
    assert timeless(found).weeks == timeless(local).weeks[:2]


@pytest.mark.slow
def test_a_lost_cluster_leaves_a_walk_that_is_resumed_here(walked, local, prices, grids, tmp_path):
    def after_two(order, run):
        if order[-8] > 1:
            raise OSError("no route")
        return run()

    store = tmp_path / "mp2.db"
    found = walked(store=store, executor=FakeEngine(1, after_two))
    assert found.status is WalkStatus.STOPPED
    assert found.warnings[-1] == (
        "the cluster was lost (OSError: no route); mp2 walkforward --resume goes on"
    )
    resumed = mp2.resume_walk_forward(store=store, prices=prices, grids=grids)
    assert timeless(resumed) == timeless(local)
    elsewhere = walked(store=store, executor=FakeEngine(2))
    assert timeless(elsewhere) == timeless(local)


def test_another_search_is_refused(walked):
    with pytest.raises(InputError, match="search: with an executor"):
        walked(executor=FakeEngine(1), search=lambda *given, **more: None)


@pytest.mark.slow
def test_processes(walked, local):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert timeless(walked(executor=pool)) == timeless(local)
