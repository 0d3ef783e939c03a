"""Measure what a second worker gives a whole search.

Usage: `python benchmarks/bench_threads.py [--pairs 5] [--json]`.

Pairs of complete searches, one with 1 and one with 2 workers, run one after the other. Two controls
around every search show what the machine gave at that moment: two processes that only spin in
registers, and two that search the same starters in separate processes and share nothing. Each
control is the throughput of two at the same time over that of one alone. Two free cores give
controls of 2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context

import generator
import measured

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.groups.rules import Rules
from mp2.searching import search

SPINS = 8_000_000
CONTROL_STEP = 24
"""The searching control takes every `CONTROL_STEP`-th starter."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of a search with 1 and with 2 workers, their ratio, and that of each control."""

    one_s: float
    two_s: float
    ratio: float
    spinning: float
    searching: float


def spin(n: int) -> float:
    """Return the seconds of a loop that touches no memory."""
    started_ns = _recurse.now_ns()
    while n:
        n -= 1
    return (_recurse.now_ns() - started_ns) / 1e9


class Control:
    """Repeats the same sample of starters in its own process."""

    kernel: _recurse.Kernel
    starters: Sequence[int]

    @classmethod
    def prepare(cls) -> None:
        """Load the panel of this process."""
        panel = the_panel()
        cls.kernel, cls.starters = (
            measured.plain_kernel(panel, Rules()),
            measured.every(panel, CONTROL_STEP),
        )

    @classmethod
    def run(cls, _: int) -> float:
        """Return the seconds of the sample."""
        started_ns = _recurse.now_ns()
        measured.run_once(cls.kernel, Rules(), cls.starters)
        return (_recurse.now_ns() - started_ns) / 1e9


def the_panel() -> SignalPanel:
    """Return the real week, or a generated one of similar shape."""
    return (
        read_signals(generator.REAL_WEEK)
        if generator.REAL_WEEK.exists()
        else generator.make_week(n_variations=60)
    )


def two_over_one(pool: Executor, work: Callable[[int], float], n: int) -> float:
    """Return how much `work` two processes do at the same time, relative to one alone."""
    alone = pool.submit(work, n).result()
    together = [job.result() for job in [pool.submit(work, n) for _ in range(2)]]
    return sum(alone / seconds for seconds in together)


def measure(panel: SignalPanel, pool: Executor) -> Pair:
    """Run one pair with its controls before, between and after."""
    spinning, searching, seconds = [], [], []
    for workers in (1, 2, None):
        spinning.append(two_over_one(pool, spin, SPINS))
        searching.append(two_over_one(pool, Control.run, 0))
        if workers:
            result = search(panel, budget_s=3600.0, workers=workers)
            assert str(result.status) == "complete"
            seconds.append(result.elapsed_s)
    one_s, two_s = seconds
    return Pair(
        one_s, two_s, one_s / two_s, statistics.median(spinning), statistics.median(searching)
    )


def pairs(n: int) -> Iterator[Pair]:
    """Run one pair after the other, and print each when it is complete."""
    panel = the_panel()
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=Control.prepare
    ) as pool:
        two_over_one(pool, Control.run, 0)
        for _ in range(n):
            pair = measure(panel, pool)
            print(pair, file=sys.stderr)
            yield pair


def table(pairs: Sequence[Pair]) -> str:
    """Return the pairs, and the median of each column."""
    header = (
        "pair",
        "1 worker, s",
        "2 workers, s",
        "ratio",
        "two spinning processes",
        "two searching processes",
    )
    columns = [
        list(column) for column in zip(*(asdict(pair).values() for pair in pairs), strict=True)
    ]
    rows = [
        [str(i), *(f"{value:.2f}" for value in asdict(pair).values())]
        for i, pair in enumerate(pairs, 1)
    ]
    return measured.markdown(
        header, [*rows, ["median", *(f"{statistics.median(column):.2f}" for column in columns)]]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    found = list(pairs(arguments.pairs))
    measured.print_json([asdict(pair) for pair in found]) if arguments.json else print(table(found))


if __name__ == "__main__":
    main()
