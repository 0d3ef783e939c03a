"""Measure what workers elsewhere make of two processors, beside two threads of one search.

Usage: `python benchmarks/bench_slots.py [--engine dask|processes] [--pairs 5] [--weeks N]`.

Pairs of complete searches of about 100 core-seconds, one in two threads and one at two worker
processes with leases of a second at most, one after the other; their order changes every pair.
With `--weeks` the pairs are walk-forwards: weeks one after the other in two threads, or two at once
as whole jobs. The efficiency is the time in threads over the time elsewhere. Results have to be
equal. The scheduler of dask runs in the client's process. Needs `psutil`, which
`pip install 'mp2[dask]'` brings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import generator
import measured
import numpy as np
import psutil

import mp2
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable, price_table
from mp2.groups.engines import pace

N_SLOTS = 2
LONG_S = 3600.0
WIDE_GROUPS = mp2.Rules(max_size=7)
"""Of few variations: a starter then lasts longer than a lease, as on the panels that clusters are
for."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: seconds of the clock, and CPU seconds of its processes."""

    seconds: float
    client_s: float
    workers_s: float
    result: Any


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work in two threads and at two workers; `*_cpu_s` are CPU seconds."""

    threads_s: float
    workers_s: float
    efficiency: float
    threads_cpu_s: float
    workers_cpu_s: float
    client_cpu_s: float


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An executor, and the processes of its workers."""

    executor: Any
    pids: Sequence[int]

    def cpu_s(self) -> float:
        """CPU seconds of the workers since they began."""
        seconds = 0.0
        for pid in self.pids:
            used = psutil.Process(pid).cpu_times()
            seconds += used.user + used.system
        return seconds


Work = Callable[[Any], Any]
"""Does the work at an executor, or in two threads for None; returns seconds and the result."""


def cpu_seconds(_: int) -> int:
    """Occupy a worker until the other one has started too; return its process."""
    time.sleep(1.0)
    # Imported before anything is timed, as on a cluster that is used every day.
    import_module("mp2.picks.walkforward")
    from mp2.groups.engines import lease

    lease.introduce()
    return os.getpid()


@contextmanager
def two_processes() -> Iterator[Elsewhere]:
    """Start two processes of an executor of the standard library."""
    with ProcessPoolExecutor(N_SLOTS, get_context("spawn")) as pool:
        yield Elsewhere(pool, sorted(set(pool.map(cpu_seconds, range(N_SLOTS)))))


@contextmanager
def two_of_dask() -> Iterator[Elsewhere]:
    """Start a cluster of dask with two workers of a thread each."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=N_SLOTS,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(N_SLOTS)
        yield Elsewhere(client, list(client.run(cpu_seconds, 0).values()))


ENGINES = {"processes": two_processes, "dask": two_of_dask}


def search_work(panel: SignalPanel) -> Work:
    """Return a complete search of a panel."""

    def work(executor: Any) -> tuple[float, Any]:
        result = mp2.search(
            panel,
            budget_s=LONG_S,
            workers=N_SLOTS,
            rules=WIDE_GROUPS,
            executor=executor,
        )
        assert str(result.status) == "complete"
        return result.elapsed_s, (result.attempts, result.kept)

    return work


def random_prices(n_tickers: int, n_dates: int) -> PriceTable:
    """Make random walks with a common part, so that signals of tickers agree now and then."""
    rng = np.random.default_rng(0)
    market = rng.normal(0, 0.01, n_dates)
    close = 50 * np.exp(np.cumsum(market + rng.normal(0, 0.02, (n_tickers, n_dates)), axis=1))
    open = close * np.exp(rng.normal(0, 0.01, close.shape))
    high = np.maximum(open, close) * 1.005
    low = np.minimum(open, close) * 0.995
    dates = np.busday_offset("2024-01-01", np.arange(n_dates), roll="forward")
    return price_table(
        [str(date) for date in dates],
        [f"T{ticker:04d}" for ticker in range(n_tickers)],
        [open, high, low, close, np.full_like(close, 1e6)],
    )


def weeks_work(n_weeks: int, n_tickers: int) -> Work:
    """Return a walk-forward over random prices; its time begins when the signals are there."""
    prices = random_prices(n_tickers, 300)

    def work(executor: Any) -> tuple[float, Any]:
        began: list[float] = []
        walk = mp2.walk_forward(
            prices,
            weeks=n_weeks,
            budget_s_per_week=LONG_S,
            workers=N_SLOTS,
            observe=lambda done, total: began.append(time.monotonic()),
            executor=executor,
        )
        seconds = time.monotonic() - began[0]
        assert [str(week.status) for week in walk.weeks] == ["complete"] * n_weeks
        return seconds, [(week.n_kept, week.days) for week in walk.weeks]

    return work


def run(work: Work, elsewhere: Elsewhere | None, workers: Elsewhere) -> Run:
    """Do the work once, and read the clocks around it."""
    executor = None if elsewhere is None else elsewhere.executor
    client_s = time.process_time()
    workers_s = workers.cpu_s()
    seconds, result = work(executor)
    return Run(
        seconds,
        time.process_time() - client_s,
        workers.cpu_s() - workers_s,
        result,
    )


def pairs(work: Work, workers: Elsewhere, n: int) -> Iterator[Pair]:
    """Run one pair after the other, and print each when it is complete."""
    for pair_no in range(n):
        # Whatever the machine does in the meantime falls on both.
        if pair_no % 2:
            there = run(work, workers, workers)
            here = run(work, None, workers)
        else:
            here = run(work, None, workers)
            there = run(work, workers, workers)
        assert here.result == there.result
        pair = Pair(
            here.seconds,
            there.seconds,
            here.seconds / there.seconds,
            here.client_s,
            there.workers_s,
            there.client_s,
        )
        print(pair, file=sys.stderr, flush=True)
        yield pair


def table(found: Sequence[Pair]) -> str:
    """Return the pairs, and the median of each column."""
    header = (
        "pair",
        "2 threads, s",
        "2 workers, s",
        "efficiency",
        "CPU of threads, s",
        "CPU of workers, s",
        "CPU of client, s",
    )
    rows = []
    values = [list(asdict(pair).values()) for pair in found]
    medians = [statistics.median(column) for column in zip(*values, strict=True)]
    names = [*map(str, range(1, len(found) + 1)), "median"]
    for name, numbers in zip(names, [*values, medians], strict=True):
        cells = [f"{number:.2f}" for number in numbers]
        # Hundredths are what it is about.
        cells[2] = f"{numbers[2]:.3f}"
        rows.append([name, *cells])
    return measured.markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=list(ENGINES), default="dask")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--variations", type=int, default=140, help="of the panel")
    parser.add_argument("--tickers", type=int, default=3000, help="of the panel or the weeks")
    parser.add_argument("--weeks", type=int, default=0, help="of walk-forwards, in place of it")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    # As long as a cluster's leases are at first; a quiet one grows to longer ones.
    pace.MOST_LEASE_NS = pace.LEAST_LEASE_NS
    if arguments.weeks:
        work = weeks_work(arguments.weeks, arguments.tickers)
    else:
        work = search_work(
            generator.make_week(
                n_variations=arguments.variations // 10,
                n_tickers=arguments.tickers,
            )
        )
    with ENGINES[arguments.engine]() as workers:
        found = list(pairs(work, workers, arguments.pairs))
    if arguments.json:
        measured.print_json([asdict(pair) for pair in found])
    else:
        print(table(found))


if __name__ == "__main__":
    main()
