"""What this machine and this build can do: the figures a bug report or a surprised user needs."""

from __future__ import annotations

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mp2 import __version__, _recurse
from mp2.data import bitset
from mp2.groups.rules import Rules

# Long enough that starting the threads does not count.
_SAMPLE_NS = 300_000_000
_SIZE = 5


def report(db_path: Path) -> dict[str, Any]:
    """Return version, interpreter, cores, kernel build, clock, thread speed-up and database.

    All are plain JSON values.
    """
    cores = usable_cores()
    # Two threads also on one core: they must not be slower than one.
    numbers = sorted({2, min(4, cores)} - {1})
    return {
        "version": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cores": cores,
        "simd": _recurse.simd(),
        "simd_available": list(_recurse.simd_available()),
        "kernel_build": _recurse.build_info(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "clock_resolution_ns": clock_resolution_ns(),
        "speed_up": {str(n_threads): speed_up(n_threads) for n_threads in numbers},
        "database": str(db_path),
        "database_exists": db_path.exists(),
    }


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def clock_resolution_ns() -> int:
    """Return the smallest step between two different readings of the kernel's clock."""
    readings = [_recurse.now_ns()]
    while len(readings) < 200:
        now_ns = _recurse.now_ns()
        if now_ns != readings[-1]:
            readings.append(now_ns)
    return int(np.diff(readings).min())


def speed_up(n_threads: int) -> float:
    """Measure attempts a second of `n_threads` kernels at once over those of one."""
    # 8 algorithms with 60 variations each, 5 days, 500 tickers. Nearly every ticker is bought and
    # wins, so that every group passes the floor and a starter takes hours.
    rng = np.random.default_rng(0)
    buys = rng.random((8 * 60, 5, 500)) < 0.9
    wins = rng.random((5, 500)) < 0.9
    kernel = _recurse.Kernel(
        bitset.pack(buys),
        bitset.pack(wins),
        algo_of=np.repeat(np.arange(8, dtype=np.int32), 60),
        day_weights=np.ones(5),
        rules=Rules(max_size=_SIZE, retain_sizes=(_SIZE,)),
    )
    ratio = _attempts(kernel, n_threads) / max(1, _attempts(kernel, 1))
    return round(ratio, 2)


def _attempts(kernel: _recurse.Kernel, n_threads: int) -> int:
    """Count the attempts of threads in a fixed time, each on a starter of its own."""
    wall_ns = _recurse.now_ns() + _SAMPLE_NS
    records = np.zeros(n_threads, dtype=_recurse.STARTER_DTYPE)
    records["variation_idx"] = np.arange(n_threads)

    def run_starter(idx: int) -> None:
        heaps = {_SIZE: _recurse.TopGroups(_SIZE, 1)}
        kernel.run(records[idx : idx + 1], _recurse.Control(wall_ns, wall_ns), heaps)

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(run_starter, range(n_threads)))
    return int(records["attempts"].sum())
