"""Compare the kernel with what one core can do: `python benchmarks/roofline.py [--json]`.

One run measures the throughput of the two operations of its inner loops (`roofline.c`, compiled on
the spot), the words those loops have to touch on a sample of the week, and the time that takes. A
word is 64 bits.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measured
import numpy as np

from mp2 import _recurse
from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.groups.rules import Rules

BUFFERS = {"L1": 16 << 10, "L2": 256 << 10}
"""Bytes of all arrays of a loop, small enough for the cache of that name on common machines."""

OPERATIONS = {"and_count": "and, popcount", "add_bits": "carry-save adder"}
SOURCE = Path(__file__).with_suffix(".c")
_MOMENT_S = 0.02
_N_REPEATS = 15


# ---- the machine


def compiled(folder: Path) -> ctypes.CDLL:
    """Compile `roofline.c` as a library in `folder`. SystemExit without a working C compiler."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(command) is None:
        raise SystemExit(f"C compiler {command!r} is not installed; set CC to another one")
    target = folder / "roofline.so"
    build = [command, "-O3", "-shared", "-fPIC", "-o", target, SOURCE]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{command} could not compile {SOURCE.name}, which needs gcc or clang:\n{done.stderr}"
        )
    return ctypes.CDLL(str(target))


def aligned_words(n_words: int, seed: int) -> np.ndarray:
    """Return random words that start on a cache line."""
    room = np.random.default_rng(seed).integers(0, 2**64, n_words + 8, dtype=np.uint64)
    start = -room.ctypes.data % 64 // 8
    return room[start : start + n_words]


def words_per_s(library: ctypes.CDLL, loops: str, operation: str, n_bytes: int) -> float:
    """Return words of results (`and_count`) or rows (`add_bits`) a second, best of some repeats."""
    function = getattr(library, f"{loops}_{operation}")
    function.restype, function.argtypes = (
        ctypes.c_uint64,
        [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64],
    )
    n_arrays = 2 if operation == "and_count" else 1
    a, b = (aligned_words(n_bytes // 8 // n_arrays, seed) for seed in (1, 2))

    def seconds(n_repeats: int) -> float:
        started_ns = time.process_time_ns()
        function(a.ctypes.data, b.ctypes.data, len(a), n_repeats)
        return (time.process_time_ns() - started_ns) / 1e9

    n_repeats = 1
    while seconds(n_repeats) < _MOMENT_S:
        n_repeats *= 2
    return len(a) * n_repeats / min(seconds(n_repeats) for _ in range(_N_REPEATS))


def speeds_of(library: ctypes.CDLL, loops: str) -> dict[str, float]:
    """Return the words a second of one instruction set, by operation and cache."""
    return {
        f"{operation} {cache}": words_per_s(library, loops, operation, n_bytes)
        for operation in OPERATIONS
        for cache, n_bytes in BUFFERS.items()
    }


# ---- the words of the search


@dataclass(frozen=True, slots=True)
class Words:
    """Words the last level of the search touches, by the model in `docs/explanation/speed.md`."""

    bounds: int
    rows: int
    whole: int


def model_of(panel: SignalPanel, rules: Rules, run: measured.Run) -> Words:
    """Model the starters of a run of groups up to 4.

    - `bounds`: for every triple that passes, one byte for each of 64 candidates, day and kind of
      count (hits, buys), for all blocks of 64 that still contain a candidate that passed with both
      pairs below the starter;
    - `rows`: for every candidate that was counted, the winners' words below its starter, on all
      days;
    - `whole`: the same for every attempt, which a search without any bound would touch.
    """
    winners = bitset.unpack(panel.buys & panel.wins, len(panel.tickers)).astype(np.float32)
    bounds = rows = whole = 0
    for record in run.records:
        v = int(record["variation_idx"])
        row_words = len(panel.days) * bitset.n_words(int(winners[v].sum(axis=1).max()))
        bounds += _n_open_blocks(panel, rules, winners, v) * 2 * len(panel.days) * 8
        rows += int(record["n_rows_scanned"]) * row_words
        whole += int(record["attempts"]) * row_words
    return Words(bounds, rows, whole)


def _n_open_blocks(panel: SignalPanel, rules: Rules, winners: np.ndarray, starter: int) -> int:
    """Count the non-empty blocks of candidates over all passing triples of a starter."""
    later = np.flatnonzero(panel.algo_of > panel.algo_of[starter])
    below = winners[later] * winners[starter]
    kept = (below.sum(axis=2) >= rules.min_daily_hits).all(axis=1)
    candidates, below = later[kept], below[kept]
    passing = np.ones((len(candidates),) * 2, dtype=bool)
    for day in range(len(panel.days)):
        passing &= below[:, day] @ below[:, day].T >= rules.min_daily_hits
    algo_of = panel.algo_of[candidates]
    passing &= algo_of[:, np.newaxis] < algo_of
    masks = bitset.pack(passing)
    return sum(int(np.count_nonzero(masks[passing[i]] & masks[i])) for i in range(len(candidates)))


# ---- the search


@dataclass(frozen=True, slots=True)
class Roof:
    """Words a second by loops, operation and cache; seconds and words of the sample's search."""

    machine: dict[str, dict[str, float]]
    loops: str
    attempts: int
    seconds: dict[str, float]
    words: Words

    @property
    def parts(self) -> dict[str, dict[str, float]]:
        """Return the seconds of the parts of an exact search, and of one for results alone."""
        nothing_kept, above = self.seconds["nothing kept"], self.seconds["nothing kept, undecided"]
        return {
            "decide which groups of 4 pass": {"exact": nothing_kept - above, "fast": 0.0},
            "find those within the cap, score them": {
                "exact": self.seconds["exact"] - nothing_kept,
                "fast": self.seconds["fast"] - above,
            },
            "everything above: pairs, triples, their tables": {"exact": above, "fast": above},
        }


SEARCHES: dict[str, dict[str, Any]] = {
    "exact": {},
    "fast": {"count": "fast"},
    "nothing kept": {"retain_sizes": (2,)},
    "nothing kept, undecided": {"retain_sizes": (2,), "count": "fast"},
}
"""The timed searches."""


def measure(path: Path, step: int = 16) -> Roof:
    """Measure machine and search in one process, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
    names = [
        "scalar",
        *(name for name in _recurse.simd_available() if hasattr(library, f"{name}_and_count")),
    ]
    machine = {loops: speeds_of(library, loops) for loops in names}
    panel = measured.load_panel(path)
    runs = {
        name: _best_run(panel, measured.every(panel, step), **options)
        for name, options in SEARCHES.items()
    }
    seconds = {name: run.seconds for name, run in runs.items()}
    return Roof(
        machine,
        _recurse.simd(),
        runs["exact"].attempts,
        seconds,
        model_of(panel, Rules(), runs["exact"]),
    )


def _best_run(
    panel: SignalPanel, starters: list[int], retain_sizes: tuple[int, ...] = (), **options: Any
) -> measured.Run:
    rules = Rules(retain_sizes=retain_sizes)
    kernel = measured.plain_kernel(panel, rules, **options)
    return measured.fastest(measured.run_once(kernel, rules, starters) for _ in range(3))


# ---- tables


def table(roof: Roof) -> str:
    """Return three tables: the machine, the search, and the parts of the search's time."""
    return "\n\n".join((_machine_table(roof), _search_table(roof), _parts_table(roof)))


def _machine_table(roof: Roof) -> str:
    columns = [f"{name} {cache}" for name in OPERATIONS for cache in BUFFERS]
    header = [f"{OPERATIONS[name]}, {cache}" for name in OPERATIONS for cache in BUFFERS]
    rows = (
        [loops, *(f"{speeds[column] / 1e9:.1f}" for column in columns)]
        for loops, speeds in roof.machine.items()
    )
    return measured.markdown(["one core, thousand million words/s", *header], rows)


def _search_table(roof: Roof) -> str:
    limit, seconds = (
        roof.machine.get(roof.loops, roof.machine["scalar"])["and_count L2"],
        roof.seconds["exact"],
    )
    touched = {
        "bytes of counts compared": roof.words.bounds,
        "rows of candidates counted": roof.words.rows,
        "both": roof.words.bounds + roof.words.rows,
        "if every attempt were counted": roof.words.whole,
    }
    header = [
        f"{roof.attempts:,} attempts, {roof.loops}",
        "words an attempt",
        "thousand million words/s",
        "share of the roof",
    ]
    rows = (
        [name, f"{n / roof.attempts:.2f}", f"{n / seconds / 1e9:.1f}", f"{n / seconds / limit:.0%}"]
        for name, n in touched.items()
    )
    return measured.markdown(header, rows)


def _parts_table(roof: Roof) -> str:
    header = ["part of the search", "exact, core seconds", "share", "fast, core seconds", "share"]
    rows = []
    for name, seconds in roof.parts.items():
        cells = [name]
        for count, spent in seconds.items():
            cells += [f"{spent:.3f}", f"{spent / roof.seconds[count]:.0%}"]
        rows.append(cells)
    return measured.markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from growth import Panels

        with measured.fresh_processes() as pool:
            panels = Panels(pool, Path(folder))
            roof = pool.submit(measure, panels.path(None)).result()
    measured.print_json({**asdict(roof), "parts": roof.parts}) if arguments.json else print(
        table(roof)
    )


if __name__ == "__main__":
    main()
