"""Compare mp2's kernel with other programs that can do its search.

Usage: `python benchmarks/bench_peers.py [--real] [--json]`.

Each program gets the largest cut of one panel that it finishes in the given time: every k-th
variation of each algorithm. Its result for that cut must equal mp2's, or the exit code is 1. One
thread each; the time is the median of as many repeats as fit into a second; converting the panel
into a program's own form is not timed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial

import generator
import numpy as np
from peers import PEERS, Answer, Cut, Peer

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals

NOT_INSTALLED = "not installed: pip install 'mp2[bench]'"
_MOMENT_S = 1.0
_MAX_REPEATS = 25
_MAX_GROWTH = 4
_OPTIMISM = 1.25


@dataclass(frozen=True, slots=True)
class Timed:
    """A result and the median time it took."""

    answer: Answer
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One program on its cut; `groups` are the attempts of the recursion on it.

    `times_mp2` and `times_fast` are its time over that of mp2's widest variant on the same cut, in
    an exact search and in one for results alone.
    """

    peer: str
    version: str
    variations: int
    groups: int
    compared: str
    seconds: float
    million_groups_per_s: float
    times_mp2: float
    times_fast: float
    disagreements: list[str]


def thinned(panel: SignalPanel, every: int) -> SignalPanel:
    """Keep every `every`-th variation of each algorithm, at least one of each."""
    of_algo = [np.flatnonzero(panel.algo_of == algo_idx) for algo_idx in range(len(panel.algos))]
    kept = np.concatenate(
        [numbers[min(every // 2, len(numbers) - 1) :: every] for numbers in of_algo]
    )
    names = tuple(panel.variations[v] for v in kept)
    return replace(
        panel,
        variations=names,
        algo_of=panel.algo_of[kept],
        buys=np.ascontiguousarray(panel.buys[kept]),
    )


class Ladder:
    """The cuts of one panel and their timings; each cut and each timing is made only once."""

    def __init__(self, panel: SignalPanel):
        self.coarsest = max(1, max(panel.variations_per_algo) // 3)
        self.cut = cache(lambda every: Cut(thinned(panel, every)))
        self.timed = cache(lambda peer, every: timed(peer, self.cut(every)))

    def reference(self, every: int) -> Timed:
        """Return the result and the time of mp2's widest variant on a cut."""
        return self.timed(kernels()[-1], every)

    def largest(self, peer: Peer, seconds: float) -> tuple[int, Timed]:
        """Return the finest cut the peer finishes in about `seconds`, and its timing.

        Each step estimates by a coarser cut, on which fixed costs weigh more: so it allows slightly
        more than the estimate.
        """
        every = self.coarsest
        done = self.timed(peer, every)
        while (finer := self.affordable(every, _OPTIMISM * seconds / done.seconds)) < every:
            every, done = finer, self.timed(peer, finer)
        return every, done

    def affordable(self, every: int, growth: float) -> int:
        """Return the finest cut with at most `growth` times as many groups as this one.

        `growth` is limited to `_MAX_GROWTH`.
        """
        n_groups = min(growth, _MAX_GROWTH) * self.cut(every).n_groups
        return next(
            (finer for finer in range(1, every) if self.cut(finer).n_groups <= n_groups), every
        )


def kernels() -> tuple[Peer, ...]:
    """Return mp2 once per variant of the machine, the widest last."""
    return tuple(
        Peer(f"mp2, {simd}", "mp2_kernel", "mp2", (simd, "exact"))
        for simd in _recurse.simd_available()
    )


def results_alone() -> Peer:
    """Return mp2's widest variant in a search that counts `fast`."""
    simd = _recurse.simd_available()[-1]
    return Peer(f"mp2, {simd}, --count fast", "mp2_kernel", "mp2", (simd, "fast"))


def timed(peer: Peer, cut: Cut) -> Timed:
    """Return one result, and the median time over repeats until `_MOMENT_S` have passed."""
    module, spent = peer.load(), []
    while not spent or (sum(spent) < _MOMENT_S and len(spent) < _MAX_REPEATS):
        prepared = module.prepare(cut, *peer.options)
        started = time.perf_counter()
        answer = module.run(prepared)
        spent.append(time.perf_counter() - started)
    return Timed(answer, statistics.median(spent))


def measure(peer: Peer, ladder: Ladder, seconds: float) -> Row:
    """Return the row of one peer."""
    every, done = ladder.largest(peer, seconds)
    reference = ladder.reference(every)
    return Row(
        peer=peer.name,
        version=peer.version,
        variations=ladder.cut(every).panel.n_variations,
        groups=reference.answer.attempts,
        compared=done.answer.stated,
        seconds=done.seconds,
        million_groups_per_s=reference.answer.attempts / done.seconds / 1e6,
        times_mp2=done.seconds / reference.seconds,
        times_fast=done.seconds / ladder.timed(results_alone(), every).seconds,
        disagreements=done.answer.differences(reference.answer),
    )


# ---- the table

HEADER = (
    "peer", "version", "variations", "groups", "compared with mp2", "seconds", "million groups/s",
    "mp2 is faster by", "mp2 fast by", "faster than plain sets by",
)  # fmt: skip


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cells(row: Row, plain: Row) -> list[str]:
    """Format a row; disagreements replace the comparison."""
    return [
        row.peer,
        row.version,
        f"{row.variations:,}",
        f"{row.groups:,}",
        "; ".join(f"DISAGREES: {text}" for text in row.disagreements) or row.compared,
        digits(row.seconds),
        digits(row.million_groups_per_s),
        digits(row.times_mp2),
        digits(row.times_fast),
        digits(row.million_groups_per_s / plain.million_groups_per_s),
    ]


def digits(value: float) -> str:
    """Format three significant digits, without an exponent."""
    decimals = max(0, 2 - math.floor(math.log10(value))) if value else 0
    return f"{value:,.{decimals}f}"


def run(panel: SignalPanel, seconds: float, show: Callable[[str], None]) -> list[Row]:
    """Measure every peer, and show the table line by line."""
    ladder, rows = Ladder(panel), []
    show(line(HEADER))
    show(line(["---"] * len(HEADER)))
    for peer in (*PEERS, *kernels(), results_alone()):
        if peer.version is None:
            show(line([peer.name, NOT_INSTALLED, *[""] * (len(HEADER) - 2)]))
            continue
        rows.append(measure(peer, ladder, seconds))
        show(line(cells(rows[-1], plain=rows[0])))
    return rows


def main() -> int:
    """Run the command line; return 1 when a peer disagrees, 2 when there is no real week."""
    parser = argparse.ArgumentParser(
        description="mp2's kernel beside other programs that can do its search, one thread each"
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help=f"the real week, {generator.REAL_WEEK.name}, instead of a generated one",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="approximate time limit of one run of a peer (default: 5)",
    )
    parser.add_argument("--json", action="store_true", help="the rows as JSON on standard output")
    arguments = parser.parse_args()
    if arguments.real and not generator.REAL_WEEK.exists():
        parser.error(
            f"{generator.REAL_WEEK} does not exist; leave --real out to use a generated week"
        )
    panel = read_signals(generator.REAL_WEEK) if arguments.real else generator.make_week()
    rows = run(
        panel,
        arguments.seconds,
        (lambda text: None) if arguments.json else partial(print, flush=True),
    )
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    wrong = [f"{row.peer}: {text}" for row in rows for text in row.disagreements]
    for text in wrong:
        print(f"disagreement: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
