"""Measure what panels of several sizes take: attempts, core hours, memory, and time on machines.

Usage: `python benchmarks/which_machine.py [--json]`. About four minutes on one core.

Starters spread over a generated week are searched to their end, each panel in a process of its own,
and stand for all of them. The last panel would take too long: its attempts are those of 3,000
variations by the fourth power, its speed that of some starters in their first seconds. Times are
core seconds over cores and `EFFICIENCY`, but no shorter than the longest starter seen: a starter is
searched by one core. Tables may take what a search in one thread would give them.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import generator
import measured
from bench_coordinator import duration

from mp2._recurse import Kernel
from mp2.data.panel import SignalPanel
from mp2.groups.memory import turn_bytes
from mp2.groups.rules import Rules

EFFICIENCY = 0.95
"""Of threads and of leases alike: see the tables of `bench_threads.py` and `bench_slots.py`."""
MACHINES = (4, 16, 100)
MB = 1_000_000
BEGIN_S = 60.0
"""So long that setting up a starter, ten seconds and more, counts little, as in a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A panel, and how many of its starters are searched."""

    variations: int
    tickers: int
    days: int = 5
    size: int = 4
    n_starters: int = 20


CASES = (
    Case(variations=1140, tickers=503),
    Case(variations=1140, tickers=503, size=5),
    Case(variations=1140, tickers=503, days=20),
    Case(variations=1140, tickers=3000),
    Case(variations=3000, tickers=503),
    Case(variations=3000, tickers=3000, n_starters=6),
    Case(variations=10_000, tickers=503, n_starters=6),
)
LARGE = Case(variations=10_000, tickers=3000)
"""Stretched from 3,000 variations."""


@dataclass(frozen=True, slots=True)
class Found:
    """What all starters of a case take; `memory` in bytes, of one core and the panel."""

    case: Case
    attempts: float
    core_s: float
    longest_s: float
    memory: int
    is_stretched: bool = False

    def takes_s(self, cores: int) -> float:
        """Seconds on so many cores."""
        return max(self.core_s / (cores * EFFICIENCY), self.longest_s)


@dataclass(frozen=True, slots=True)
class Begun:
    """The speed and the memory of starters that were only begun."""

    attempts_per_s: float
    memory: int


def kernel_of(panel: SignalPanel, rules: Rules) -> Kernel:
    """The kernel of a search in one thread."""
    return measured.plain_kernel(panel, rules, table_bytes=turn_bytes(panel.buys.shape, 1))


def stretched(smaller: Found, case: Case, begun: Begun) -> Found:
    """As many times the variations: the fourth power of attempts, the third of each starter's."""
    times = case.variations / smaller.case.variations
    attempts = smaller.attempts * times**4
    core_s = attempts / begun.attempts_per_s
    longest_s = smaller.longest_s / smaller.core_s * core_s / times
    return Found(case, attempts, core_s, longest_s, begun.memory, is_stretched=True)


def measure(path: Path, case: Case) -> Found:
    """Search some starters of a pickled panel in this process."""
    panel = measured.load_panel(path)
    rules = Rules(max_size=case.size)
    n = min(case.n_starters, panel.n_variations)
    starters = measured.every(panel, panel.n_variations // n)
    before = measured.start_of_memory() or 0
    kernel = kernel_of(panel, rules)
    runs = [measured.run_once(kernel, rules, [starter]) for starter in starters]
    extra = (measured.peak_memory() or 0) - before
    times = panel.n_variations / len(starters)
    return Found(
        case,
        times * sum(run.attempts for run in runs),
        times * sum(run.seconds for run in runs),
        max(run.seconds for run in runs),
        extra + panel.n_bytes,
    )


def begin(path: Path, case: Case) -> Begun:
    """Search the first seconds of some starters of a pickled panel in this process."""
    panel = measured.load_panel(path)
    before = measured.start_of_memory() or 0
    rules = Rules(max_size=case.size)
    kernel = kernel_of(panel, rules)
    # Starters of the first half make most attempts.
    starters = [panel.n_variations // 20, panel.n_variations // 4]
    run = measured.run_once(kernel, rules, starters, budget_s=BEGIN_S)
    extra = (measured.peak_memory() or 0) - before
    return Begun(run.attempts / run.seconds, extra + panel.n_bytes)


def all_found() -> Iterator[Found]:
    """Measure one case after the other."""
    by_shape = {}
    with tempfile.TemporaryDirectory() as folder, measured.fresh_processes() as pool:
        for case in (*CASES, LARGE):
            panel = generator.make_week(
                n_variations=case.variations // 10,
                n_tickers=case.tickers,
                n_days=case.days,
            )
            path = Path(folder) / "panel.pickle"
            path.write_bytes(pickle.dumps(panel))
            if case is LARGE:
                smaller = by_shape[replace(LARGE, variations=3000, n_starters=6)]
                yield stretched(smaller, case, pool.submit(begin, path, case).result())
                return
            found = pool.submit(measure, path, case).result()
            by_shape[case] = found
            print(found, file=sys.stderr, flush=True)
            yield found


def table(rows: Sequence[Found]) -> str:
    header = (
        "variations",
        "tickers",
        "days",
        "size",
        "attempts",
        "core hours",
        "memory MB",
        "4 cores",
        "16 cores",
        "100 slots",
    )
    lines = []
    for found in rows:
        case = found.case
        sign = "~" if found.is_stretched else ""
        cells = [
            f"{case.variations:,}",
            f"{case.tickers:,}",
            f"{case.days}",
            f"{case.size}",
            f"{sign}{found.attempts:.2g}",
            f"{sign}{found.core_s / 3600:.2g}",
            f"{found.memory / MB:.0f}",
        ]
        cells += [f"{sign}{duration(found.takes_s(cores))}" for cores in MACHINES]
        lines.append(cells)
    return measured.markdown(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    rows = list(all_found())
    if arguments.json:
        measured.print_json([asdict(found) for found in rows])
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
