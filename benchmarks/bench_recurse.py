"""The kernel: against plain Python sets on the same starters, on two threads, and on the real week.

Every benchmark puts `attempts_per_s` into its extra information.
"""

import os
import statistics
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import generator
import numpy as np
import pytest
from one_core import PlainSearch, make_kernel, run_kernel

from mp2 import _recurse
from mp2.data.signal_reader import read_signals
from mp2.groups.rules import Rules
from mp2.searching import search

RULES = Rules()
SHAPE = {"n_algos": 7, "n_variations": 40, "n_tickers": 400, "density": 0.34, "seed": 1}
STARTERS = (0, 50, 100)
"""Some 150,000 attempts together: seconds in plain Python, a millisecond in the kernel."""

WINDOW_NS = 300_000_000
N_PAIRS = 5


# ---- one core


@cache
def generated():
    return generator.make_panel(**SHAPE)


def plain_search():
    return PlainSearch.of(generated(), RULES)


@pytest.fixture(scope="module")
def reference():
    """Counters and speed of plain Python in this run."""
    plain = plain_search()
    started_ns = _recurse.now_ns()
    plain.run(STARTERS)
    return plain, plain.attempts / (_recurse.now_ns() - started_ns) * 1e9


@pytest.fixture(params=_recurse.simd_available())
def simd(request):
    before = _recurse.simd()
    _recurse.use_simd(request.param)
    yield request.param
    _recurse.use_simd(before)


def note_speed(benchmark, attempts):
    """Return the attempts per second of the median round; None when benchmarks are switched off."""
    if benchmark.stats is None:
        return None
    speed = attempts / benchmark.stats.stats.median
    benchmark.extra_info["attempts_per_s"] = round(speed)
    return speed


@pytest.mark.benchmark(group="one core, generated panel")
def test_plain_sets(benchmark):
    plain = benchmark.pedantic(
        PlainSearch.run, setup=lambda: ((plain_search(), STARTERS), {}), rounds=1
    )
    note_speed(benchmark, plain.attempts)


@pytest.mark.benchmark(group="one core, generated panel")
def test_kernel(benchmark, simd, reference):
    plain, plain_speed = reference
    kernel = make_kernel(generated(), RULES)
    records, heaps = benchmark.pedantic(
        run_kernel, args=(kernel, STARTERS, RULES), rounds=20, warmup_rounds=2
    )
    assert records["attempts"].sum() == plain.attempts
    assert records["tested"].sum(axis=0)[: RULES.max_size + 1].tolist() == plain.tested
    assert records["eligible"].sum(axis=0)[: RULES.max_size + 1].tolist() == plain.eligible
    assert {size: groups.best() for size, groups in heaps.items() if len(groups)} == pytest.approx(
        plain.best_score, rel=1e-9
    )
    speed = note_speed(benchmark, plain.attempts)
    if speed is not None:
        benchmark.extra_info["times_plain_python"] = round(speed / plain_speed)


@cache
def week():
    return generator.make_week(seed=3)


@pytest.mark.benchmark(group="one core, generated week")
def test_kernel_week(benchmark, simd):
    """The reference for changes of the kernel: long enough for steady ratios."""
    panel = week()
    starters = range(32, panel.n_variations, 256)
    records, _ = benchmark.pedantic(
        run_kernel, args=(make_kernel(panel, RULES), starters, RULES), rounds=7, warmup_rounds=1
    )
    assert records["exhausted"].all()
    note_speed(benchmark, int(records["attempts"].sum()))


# ---- two cores


@cache
def endless():
    """A kernel whose first starter is far from complete after `WINDOW_NS`."""
    return make_kernel(
        generator.make_panel(n_algos=8, n_variations=100, n_tickers=500, density=0.42, seed=2),
        RULES,
    )


def spin(window_ns=WINDOW_NS):
    """Return the attempts per second of one kernel that runs for `window_ns`."""
    kernel = endless()
    record = np.zeros(1, dtype=_recurse.STARTER_DTYPE)
    heaps = {size: _recurse.TopGroups(size, RULES.top_k) for size in RULES.retain_sizes}
    started_ns = _recurse.now_ns()
    status = kernel.run(
        record, _recurse.Control(started_ns + window_ns, started_ns + window_ns), heaps
    )
    assert status == _recurse.WALL
    return int(record["attempts"][0]) / (_recurse.now_ns() - started_ns) * 1e9


def spin_threads(n_threads):
    """Return the attempts per second of `n_threads` threads together."""
    speeds = []
    threads = [threading.Thread(target=lambda: speeds.append(spin())) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(speeds) == n_threads
    return sum(speeds)


def spin_processes(pool, n_processes):
    """The control: the same work in separate processes, which share only the machine."""
    return sum(job.result() for job in [pool.submit(spin) for _ in range(n_processes)])


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        spin_processes(pool, 2)
        yield pool


@pytest.mark.benchmark(group="two cores, interleaved pairs")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_two_threads(benchmark, processes):
    """Time a pair and its control; the useful figures are in `extra_info`."""
    rows = []

    def run_pair():
        rows.append(
            (
                spin_threads(1),
                spin_threads(2),
                spin_processes(processes, 1),
                spin_processes(processes, 2),
            )
        )

    endless()
    benchmark.pedantic(run_pair, rounds=N_PAIRS, warmup_rounds=1)
    one, two, one_process, two_processes = zip(*rows[-N_PAIRS:], strict=True)
    assert min(min(row) for row in rows) > 0
    benchmark.extra_info["attempts_per_s"] = round(statistics.median(two))
    benchmark.extra_info["attempts_per_s_one_thread"] = round(statistics.median(one))
    benchmark.extra_info["two_threads_over_one"] = median_ratio(two, one)
    benchmark.extra_info["two_processes_over_one"] = median_ratio(two_processes, one_process)


def median_ratio(more, fewer):
    return round(statistics.median(a / b for a, b in zip(more, fewer, strict=True)), 3)


# ---- the real week


@pytest.mark.benchmark(group="real week, 3 s")
@pytest.mark.skipif(
    not generator.REAL_WEEK.exists(), reason="the real week is not beside the checkout"
)
@pytest.mark.parametrize("workers", [1, 2])
def test_real_week(benchmark, workers):
    panel = read_signals(generator.REAL_WEEK)
    result = benchmark.pedantic(
        search, args=(panel,), kwargs={"budget_s": 3.0, "workers": workers}, rounds=1
    )
    assert result.attempts > 0
    benchmark.extra_info["attempts_per_s"] = round(result.attempts / result.elapsed_s)
    benchmark.extra_info["overrun_s"] = round(result.overrun_s, 4)
