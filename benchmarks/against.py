"""Compare the kernel's core time with that of another built checkout, in interleaved pairs.

Usage: `python benchmarks/against.py /path/to/other/src [--pairs 5] [--every 8]`.

Both search the same starters of the real week (and of the generated one) on one core, each in a
process of its own; a row compares with the other's exact search. Counters and kept groups that
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
from pathlib import Path

OTHER, FAST, EXACT = "the other, exact", "this one, fast", "this one, exact"


def run_inside(panel_file: Path, count: str, every: int, min_daily_hits: int) -> None:
    """Search a sample of starters with the `mp2` of this process; print one JSON line."""
    import hashlib
    import time

    import numpy as np

    from mp2 import _recurse

    try:
        from mp2.groups.rules import Rules
    except ImportError:
        from mp2.model import Rules

    rules = Rules(min_daily_hits=min_daily_hits)
    arrays = pickle.loads(panel_file.read_bytes())
    kernel = _recurse.Kernel(*arrays, rules, count=count)
    starters = range(every // 2, len(arrays[0]), every)
    records = np.zeros(len(starters), dtype=_recurse.STARTER_DTYPE)
    records["variation_idx"] = starters
    heaps = {size: _recurse.TopGroups(size, rules.top_k) for size in rules.retain_sizes}
    never = _recurse.now_ns() + 10**15
    started = time.process_time()
    for i in range(len(starters)):
        kernel.run(records[i : i + 1], _recurse.Control(never, never), heaps)
    seconds = time.process_time() - started
    digest = hashlib.sha256(records["eligible"].tobytes() + records["attempts"].tobytes())
    for groups in heaps.values():
        for array in groups.ranked():
            digest.update(array.tobytes())
    found = {"seconds": seconds, "simd": _recurse.simd(), "results": digest.hexdigest()}
    print(json.dumps(found))


def run(
    source: Path, panel_file: Path, count: str, every: int, min_daily_hits: int = 8, simd: str = ""
) -> dict:
    """Run one search in a process that imports `mp2` from `source`; by default with its best loops.

    The file holds the buys, wins and algorithms of a panel and the weights of its days.
    """
    options = [str(panel_file), count, str(every), str(min_daily_hits)]
    command = [sys.executable, __file__, "--inside", *options]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    if simd:
        environment["MP2_SIMD"] = simd
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def compare(name: str, panel_file: Path, other: Path, pairs: int, every: int) -> None:
    """Print a panel's rows: median core seconds, and the median of the ratios to the other."""
    here = Path(__file__).parents[1] / "src"
    ways = {OTHER: (other, "exact"), EXACT: (here, "exact"), FAST: (here, "fast")}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    results = set()
    for _ in range(pairs):
        for way, (source, count) in ways.items():
            found = run(source, panel_file, count, every)
            seconds[way].append(found["seconds"])
            results.add(found["results"])
    if len(results) > 1:
        raise SystemExit(f"{name}: the results differ")
    for way, spent in seconds.items():
        ratios = [mine / its for mine, its in zip(spent, seconds[OTHER], strict=True)]
        cells = [name, found["simd"], way, f"{statistics.median(spent):.2f}"]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="the folder that holds the other's mp2")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--every", type=int, default=8, help="search every n-th starter")
    arguments = parser.parse_args()

    import generator

    from mp2.data.signal_reader import read_signals
    from mp2.groups.kept import day_weights
    from mp2.groups.rules import Rules

    panels = {"generated week": generator.make_week()}
    if generator.REAL_WEEK.exists():
        panels["real week"] = read_signals(generator.REAL_WEEK)
    print("| panel | loops | search | core seconds | of the other |")
    print("| --- | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        panel_file = Path(folder, "panel.pickle")
        for name, panel in panels.items():
            weights = day_weights(panel.base_win_rates, Rules())
            arrays = (panel.buys, panel.wins, panel.algo_of, weights)
            panel_file.write_bytes(pickle.dumps(arrays))
            compare(name, panel_file, arguments.other, arguments.pairs, arguments.every)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        run_inside(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
