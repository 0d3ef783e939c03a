"""Compare the kernel's core time with that of another built checkout, in interleaved pairs.

Usage: `python benchmarks/against.py /path/to/other/src [--pairs 5] [--every 8] [--growth]`.

Both search the same starters of the real week (and of the generated one) on one core, each in a
process of its own; a row compares with the other's exact search. With `--growth` they search the
panels of `growth.py`, each starter to the same number of attempts. Counters and kept groups that
differ are an error. The other checkout may be as old as commit 49af4ef.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1] / "src"
OTHER = "the other, exact"
LEAST_S = 0.3
"""Shorter searches are repeated: a process settles first."""


@dataclass(frozen=True, slots=True)
class Search:
    """Every `every`-th starter of a panel, to at most so many attempts each, 0 for all.

    The file holds the buys, wins and algorithms of a panel, and the weights of its days.
    """

    panel_file: str
    count: str = "exact"
    every: int = 8
    rules: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 0

    def in_process(self, source: Path, simd: str = "") -> dict[str, Any]:
        """Search in a process that imports `mp2` from `source`; by default with its best loops."""
        command = [sys.executable, __file__, "--inside", json.dumps(asdict(self))]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        if simd:
            environment["MP2_SIMD"] = simd
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        if not Path(found["file"]).is_relative_to(source.resolve()):
            raise SystemExit(f"{source} holds no mp2; give the folder that does")
        return found


def run_inside(search: Search) -> None:
    """Search with the `mp2` of this process; print the fastest run as one JSON line."""
    import hashlib
    import time

    import numpy as np

    from mp2 import _recurse

    # Imports of both layouts.
    try:
        from mp2.groups.rules import Rules
    except ImportError:
        from mp2.model import Rules

    rules = Rules(**search.rules)
    arrays = pickle.loads(Path(search.panel_file).read_bytes())
    kernel = _recurse.Kernel(*arrays, rules, count=search.count)
    starters = range(search.every // 2, len(arrays[0]), search.every)
    never = _recurse.now_ns() + 10**15
    runs: list[float] = []
    while sum(runs) < LEAST_S:
        records = np.zeros(len(starters), dtype=_recurse.STARTER_DTYPE)
        records["variation_idx"] = starters
        heaps = {size: _recurse.TopGroups(size, rules.top_k) for size in rules.retain_sizes}
        started = time.process_time()
        for i in range(len(starters)):
            control = _recurse.Control(never, never)
            kernel.run(records[i : i + 1], control, heaps, search.max_attempts)
        runs.append(time.process_time() - started)
    digest = hashlib.sha256(records["eligible"].tobytes() + records["attempts"].tobytes())
    for groups in heaps.values():
        for array in groups.ranked():
            digest.update(array.tobytes())
    found = {
        "seconds": min(runs),
        "attempts": int(records["attempts"].sum()),
        "simd": _recurse.simd(),
        "file": _recurse.__file__,
        "results": digest.hexdigest(),
    }
    print(json.dumps(found))


def rows(
    name: str,
    search: Search,
    other: Path,
    n_pairs: int,
    counts: tuple[str, ...] = ("exact", "fast"),
) -> Iterator[list[str]]:
    """Yield a panel's rows: median core seconds, and the median of the ratios to the other."""
    import measured

    ways = {OTHER: (other, "exact")}
    ways |= {f"this one, {count}": (HERE, count) for count in counts}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    results = set()
    for _ in range(n_pairs):
        for way, (source, count) in ways.items():
            found = replace(search, count=count).in_process(source)
            seconds[way].append(found["seconds"])
            results.add(found["results"])
    if len(results) > 1:
        raise SystemExit(f"{name}: the results differ")
    for way, spent in seconds.items():
        yield [
            name,
            found["simd"],
            way,
            f"{found['attempts']:,}",
            f"{statistics.median(spent):.2f}",
            measured.ratios_text(spent, seconds[OTHER]),
        ]


def weeks() -> Iterator[tuple[str, Any]]:
    """Yield the generated week, and the real one where it is."""
    import generator

    from mp2.data.signal_reader import read_signals

    yield "generated week", generator.make_week()
    if generator.REAL_WEEK.exists():
        yield "real week", read_signals(generator.REAL_WEEK)


def saved(panel: Any, path: Path) -> str:
    """Write what a kernel takes of a panel to a file; return its path."""
    from mp2.groups.kept import day_weights
    from mp2.groups.rules import Rules

    weights = day_weights(panel.base_win_rates, Rules())
    path.write_bytes(pickle.dumps((panel.buys, panel.wins, panel.algo_of, weights)))
    return str(path)


def growth(path: Path) -> Iterator[tuple[str, Search]]:
    """Yield the rows of `growth.py` that need no large tables, one after the other in one file."""
    import generator
    import growth as grown
    import measured

    from mp2.groups.rules import Rules

    for case in grown.GROWTH:
        if case.starter is not None:
            continue
        panel = generator.make_week(**(case.week or {}))
        attempts = 0
        # Those that search every starter complete them.
        if not case.step:
            # As many as this kernel makes in the time of the row.
            rules = Rules(**case.rules)
            kernel = measured.plain_kernel(panel, rules)
            starters = case.starters(panel)
            made = measured.run_once(kernel, rules, starters, case.budget_s).attempts
            attempts = made // len(starters)
        every = case.every(panel)
        search = Search(saved(panel, path), every=every, rules=case.rules, max_attempts=attempts)
        yield case.name, search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="the folder that holds the other's mp2")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--every", type=int, default=8, help="search every n-th starter")
    parser.add_argument("--growth", action="store_true", help="the panels of growth.py, exact")
    arguments = parser.parse_args()

    header = ["panel", "loops", "search", "attempts", "core seconds", "of the other"]
    print(f"| {' | '.join(header)} |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "panel.pickle")
        if arguments.growth:
            searches = growth(path)
            counts: tuple[str, ...] = ("exact",)
        else:
            searches = (
                (name, Search(saved(panel, path), every=arguments.every)) for name, panel in weeks()
            )
            counts = ("exact", "fast")
        for name, search in searches:
            for cells in rows(name, search, arguments.other, arguments.pairs, counts):
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        run_inside(Search(**json.loads(sys.argv[2])))
    else:
        main()
