"""The price of the test for luck, beside as many searches.

Usage: `python benchmarks/bench_replicates.py [--replicates 999] [--prices FILE] [--weeks 10]
[--against ../earlier/src]`.
Prints a Markdown table: CPU seconds of one kernel on one thread over all starters, sets scored,
memory beside the panel, and how many times longer as many searches (`count="fast"`) would take, by
the time of one with the same instruction set.

Rows: the first variations of each algorithm of the real week and all of them, where that is there,
with every instruction set; a generated panel whose signals agree by chance alone; many tickers;
many days. With `--prices`, daily bars over some years, also the dearest of so many of their weeks,
which every 50th starter shows. With `--against` the searches are those of another built checkout,
as in `against.py`.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import against
import generator
import measured
import numpy as np

import mp2
from mp2 import _recurse
from mp2._replicates import ReplicateSearch
from mp2.data.panel import SignalPanel
from mp2.evidence.nulls import TickersNull, label_rows, universes
from mp2.groups.rules import Rules

CUTS = (12, 20, 40)
SAMPLE = 50
NO_WALL = 2**62


@dataclass(frozen=True, slots=True)
class Measured:
    """One test of a panel on one thread, and one search of it."""

    seconds: float
    n_sets: int
    n_groups: int
    n_bytes: int
    search_s: float


def measure(
    path: Path, n_replicates: int, rules: Rules, simd: str, step: int, with_search: bool
) -> Measured:
    """Test every step-th starter of a pickled panel, with labels shuffled over all tickers."""
    _recurse.use_simd(simd)
    panel = measured.load_panel(path)
    labels = label_rows(TickersNull(universes(panel)), len(panel.tickers), n_replicates)
    starters = range(step // 2, panel.n_variations, step)
    search_s = 0.0
    if with_search:
        kernel = measured.plain_kernel(panel, rules, count="fast")
        search_s = measured.run_once(kernel, rules, starters).seconds
    before = measured.start_of_memory() or 0
    started = time.process_time()
    search = ReplicateSearch(panel, rules, labels, n_replicates + 1, n_workers=1)
    worker = search.worker()
    for starter in starters:
        worker.run(starter, _recurse.Control(NO_WALL, NO_WALL))
    return Measured(
        seconds=time.process_time() - started,
        n_sets=worker.counts["sets"],
        n_groups=int(worker.n_groups.sum()),
        n_bytes=(measured.peak_memory() or 0) - before + labels.nbytes,
        search_s=search_s,
    )


def first_of_each(panel: SignalPanel, n: int) -> SignalPanel:
    """The first `n` variations of every algorithm."""
    rank = np.arange(panel.n_variations) - np.searchsorted(panel.algo_of, panel.algo_of)
    chosen = np.flatnonzero(rank < n)
    return replace(
        panel,
        variations=tuple(panel.variations[i] for i in chosen),
        algo_of=np.ascontiguousarray(panel.algo_of[chosen]),
        buys=np.ascontiguousarray(panel.buys[chosen]),
    )


def panels() -> Iterator[tuple[str, SignalPanel, Rules, str]]:
    """The rows of the table, with the rules and the instruction set of each."""
    rules = Rules()
    best = _recurse.simd()
    if generator.REAL_WEEK.exists():
        week = mp2.read_signals(generator.REAL_WEEK)
        for n in CUTS:
            yield f"real week, first {n} variations", first_of_each(week, n), rules, best
        yield "real week", week, rules, best
        for simd in _recurse.simd_available():
            if simd != best:
                yield f"real week, {simd}", week, rules, simd
    by_chance = generator.make_panel(n_algos=10, n_variations=24, n_tickers=400, density=0.4)
    yield "signals that agree by chance, 240 variations", by_chance, rules, best
    yield "3,000 tickers", generator.make_week(n_variations=40, n_tickers=3000), rules, best
    month = generator.make_week(n_variations=40, n_days=20)
    yield "20 days", month, Rules(min_daily_hits=4), best


def weeks_of(path: str, n: int) -> list[SignalPanel]:
    """The signals of `n` weeks of the bars, evenly spread."""
    prices = mp2.read_prices(path)
    n_days = prices.n_dates - 260
    sheet = mp2.compute_signals(prices, n_days=n_days)
    return [sheet.panel((n_days - 5) * i // max(1, n - 1), 5) for i in range(n)]


def row(name: str, found: Measured, n_replicates: int) -> str:
    """One line of the table."""
    ratio = found.search_s * (n_replicates + 1) / found.seconds
    return (
        f"| {name} | {found.n_groups:,} | {found.n_sets:,} | {found.seconds:.2f} | "
        f"{found.n_bytes / 2**20:.0f} | {found.search_s:.2f} | {ratio:,.0f} |"
    )


def main() -> None:
    """Measure every row in a process of its own and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=999)
    parser.add_argument("--prices")
    parser.add_argument("--weeks", type=int, default=10)
    parser.add_argument("--against", type=Path, help="the folder that holds the mp2 that searches")
    args = parser.parse_args()
    print(f"{args.replicates:,} replicates, {_recurse.simd()} unless stated\n")
    headings = (
        "panel",
        "groups in reach",
        "sets scored",
        "CPU s",
        "MB",
        "one search s",
        "ratio",
    )
    print("| " + " | ".join(headings) + " |")
    print("| --- |" + " ---: |" * 6)
    with measured.fresh_processes() as pool, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel"

        def test(panel: SignalPanel, rules: Rules, simd: str, step: int = 1) -> Measured:
            path.write_bytes(pickle.dumps(panel))
            options = (args.replicates, rules, simd, step, not args.against)
            found = pool.submit(measure, path, *options).result()
            if not args.against:
                return found
            search = against.Search(
                against.saved(panel, path),
                count="fast",
                every=step,
                rules={"min_daily_hits": rules.min_daily_hits},
            )
            other = search.in_process(args.against, simd)
            return replace(found, search_s=other["seconds"])

        for name, panel, rules, simd in panels():
            print(row(name, test(panel, rules, simd), args.replicates), flush=True)
        if args.prices:
            best = _recurse.simd()
            weeks = weeks_of(args.prices, args.weeks)
            dearest = max(weeks, key=lambda week: test(week, Rules(), best, SAMPLE).seconds)
            name = f"the dearest of {args.weeks} weeks, to {dearest.days[-1]}"
            print(row(name, test(dearest, Rules(), best), args.replicates), flush=True)


if __name__ == "__main__":
    main()
