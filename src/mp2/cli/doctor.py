"""What this machine and this build can do: the figures a bug report or a surprised user needs."""

from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from mp2 import _recurse
from mp2.data import bitset
from mp2.groups.rules import Rules

_SAMPLE_NS = 300_000_000
_RULES = Rules(max_size=5, retain_sizes=(5,))


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def report(db_path: Path) -> dict[str, Any]:
    """Version, interpreter, cores, kernel build, clock, thread speed-up and database, as plain JSON values."""
    from mp2 import __version__

    cores = usable_cores()
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
        "speed_up": {str(n): round(speed_up(n), 2) for n in sorted({2, min(4, cores)} - {1})},
        "database": str(db_path),
        "database_exists": db_path.exists(),
    }


def clock_resolution_ns() -> int:
    """Smallest step seen between two different readings of the kernel's clock."""
    steps = []
    for _ in range(200):
        first = _recurse.now_ns()
        while (later := _recurse.now_ns()) == first:
            pass
        steps.append(later - first)
    return min(steps)


def speed_up(n_threads: int) -> float:
    """Attempts a second of `n_threads` kernels at once over those of one, measured now."""
    kernel = _endless_kernel()
    return _attempts(kernel, n_threads) / max(1, _attempts(kernel, 1))


def _endless_kernel() -> _recurse.Kernel:
    """A kernel whose starters take hours: nearly every ticker is bought and won, so that every group passes the floor."""
    rng = np.random.default_rng(0)
    n_algos, n_variations, n_days, n_tickers = 8, 60, 5, 500
    buys = bitset.pack(rng.random((n_algos * n_variations, n_days, n_tickers)) < 0.9)
    wins = bitset.pack(rng.random((n_days, n_tickers)) < 0.9)
    algo_of = np.repeat(np.arange(n_algos, dtype=np.int32), n_variations)
    return _recurse.Kernel(buys, wins, algo_of, np.ones(n_days), _RULES)


def _attempts(kernel: _recurse.Kernel, n_threads: int) -> int:
    """Attempts that `n_threads` threads make together in a fixed time, each on a starter of its own."""
    wall_ns = _recurse.now_ns() + _SAMPLE_NS
    records = np.zeros(n_threads, dtype=_recurse.STARTER_DTYPE)
    records["variation_idx"] = np.arange(n_threads)
    threads = [
        threading.Thread(target=_spin, args=(kernel, records[i : i + 1], wall_ns))
        for i in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(records["attempts"].sum())


def _spin(kernel: _recurse.Kernel, record: Any, wall_ns: int) -> None:
    heaps = {size: _recurse.TopGroups(size, 1) for size in _RULES.retain_sizes}
    kernel.run(record, _recurse.Control(wall_ns, wall_ns), heaps)
