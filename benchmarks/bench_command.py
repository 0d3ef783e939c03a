"""Time `mp2 search` of the real week as a whole command, beside that of another environment.

Usage: `python benchmarks/bench_command.py /path/to/other/bin/mp2 [--pairs 5] [--workers 2]`.

From the start of the process to its end: imports, reading, search, storing, printing. Pairs run one
after the other, each in a new folder; a row compares with the other's exact search.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import generator
import measured

HERE = Path(sys.executable).with_name("mp2")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of the clock and CPU seconds of one command."""

    wall_s: float
    cpu_s: float


def run(command: list[str]) -> Took:
    """Run a command in an empty folder."""
    # Else an environment that was never compiled would be compiled by every run.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        before = os.times()
        started_s = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        wall_s = time.perf_counter() - started_s
        after = os.times()
    user_s = after.children_user - before.children_user
    return Took(wall_s, user_s + after.children_system - before.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="the mp2 of another environment")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if not generator.REAL_WEEK.exists() or shutil.which(arguments.other) is None:
        raise SystemExit(f"needs {generator.REAL_WEEK} and {arguments.other}")

    options = ["--workers", str(arguments.workers), "--budget", "10m"]
    ways = {}
    for count in ("exact", "fast"):
        search = ["search", str(generator.REAL_WEEK.resolve()), *options, "--count", count]
        ways[f"the other, {count}"] = [str(arguments.other), *search]
        ways[f"this one, {count}"] = [str(HERE), *search, "--replicates", "0"]
    took: dict[str, list[Took]] = {way: [] for way in ways}
    for _ in range(arguments.pairs):
        for way, command in ways.items():
            took[way].append(run(command))

    rows = []
    for way, times in took.items():
        counterpart = took[way.replace("this one", "the other")]
        walls_s = [one.wall_s for one in times]
        rows.append(
            [
                way,
                f"{statistics.median(walls_s):.2f}",
                f"{statistics.median(one.cpu_s for one in times):.2f}",
                measured.ratios_text(walls_s, [one.wall_s for one in counterpart]),
            ]
        )
    print(measured.markdown(["command", "seconds", "CPU seconds", "of its counterpart"], rows))


if __name__ == "__main__":
    main()
