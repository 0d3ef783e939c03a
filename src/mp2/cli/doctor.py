"""What this machine and this build can do: the figures a bug report or a surprised user needs."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from mp2 import __version__, _recurse
from mp2._document import Document
from mp2.cli import installed
from mp2.data import bitset
from mp2.data.panel import signal_panel
from mp2.groups.rules import Rules
from mp2.groups.search import search
from mp2.groups.settings import SearchSettings

# Long enough that starting the threads does not count.
_SAMPLE_S = 0.3


def report(db_path: Path) -> Document:
    """Return version, interpreter, kernel, clock, thread speed-up, dependencies and database.

    All are plain JSON values; `warnings` is what the user should change.
    """
    missing = simd_missing()
    found = installed.dependencies()
    return {
        "version": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "wheel": installed.wheel_tag(),
        "cores": usable_cores(),
        "simd": _recurse.simd(),
        "simd_reason": "MP2_SIMD" if os.environ.get("MP2_SIMD") else "the widest of this machine",
        "simd_available": list(_recurse.simd_available()),
        "simd_missing": missing,
        "kernel_build": _recurse.build_info(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "clock_resolution_ns": clock_resolution_ns(),
        # Two threads also on one core: they must not be slower than one.
        "speed_up": {"2": speed_up(2)},
        "dependencies": found,
        "database": str(db_path),
        "database_exists": db_path.exists(),
        "warnings": [*installed.problems(found), *polars_problems(missing)],
    }


def simd_missing() -> dict[str, list[str]]:
    """Return what the processor lacks for the loops of each instruction set it does not have."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {}
    features = {name: list(_recurse.simd_missing(name)) for name in ("avx2", "avx512")}
    return {name: lacking for name, lacking in features.items() if lacking}


def polars_problems(missing: dict[str, list[str]]) -> list[str]:
    """Return what to install where polars would die of an illegal instruction."""
    if "avx2" not in missing or installed.version_of("polars-runtime-compat"):
        return []
    return ["polars needs AVX2, which this processor lacks: pip install 'polars[rtcompat]'"]


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def clock_resolution_ns() -> int:
    """Return the smallest step between two different readings of the kernel's clock."""
    readings: set[int] = set()
    while len(readings) < 200:
        readings.add(_recurse.now_ns())
    return int(np.diff(sorted(readings)).min())


def speed_up(n_threads: int) -> float:
    """Measure attempts a second of `n_threads` kernels at once over those of one."""
    # 8 algorithms with 60 variations each, 5 days, 500 tickers. Nearly every ticker is bought and
    # wins, so that every group passes the floor and a starter takes hours.
    n_variations = 8 * 60
    rng = np.random.default_rng(0)
    is_bought = rng.random((n_variations, 5, 500)) < 0.9
    wins = rng.random((5, 500)) < 0.9
    panel = signal_panel(
        algos=[str(algo) for algo in range(8)],
        variations=[str(variation) for variation in range(n_variations)],
        algo_of=np.repeat(np.arange(8, dtype=np.int32), 60),
        days=[str(day) for day in range(5)],
        tickers=[str(ticker) for ticker in range(500)],
        buys=bitset.pack(is_bought),
        wins=bitset.pack(wins),
        base_win_rates=np.full(5, 90.0),
    )
    rules = Rules(max_size=5, retain_sizes=(5,))
    settings = SearchSettings(budget_s=_SAMPLE_S, workers=1, rules=rules)
    one = search(panel, settings)
    several = search(panel, replace(settings, workers=n_threads))
    return round(several.attempts / max(1, one.attempts), 2)
