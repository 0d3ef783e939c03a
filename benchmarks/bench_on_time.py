"""Measure how late searches end.

Usage: `python benchmarks/bench_on_time.py [--minutes 8] [--quick] [--json]`.

Short runs with random panels (tiny to 100,000 variations, wide consensus, deep groups), budgets of
50 ms to 5 s and 1 to 8 workers, on idle cores and with every core also loaded by two processes that
only spin. Just before every run a thread of the same process sleeps for the same time: its lateness
is the control. Three figures:

- kernels: `overrun_s`, from the wall to the last kernel's return, of runs that reached their wall;
  the clock starts on entry to `search`, so validation and tables count.
- result: from the last kernel's return until `search` has returned and the kept groups are
  described.
- process: a separate command (`mp2 search`, 1,140 variations) that keeps and prints 2,000 groups:
  from the end of its search until the process has exited, with store and output, and without
  either.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import generator
import measured
import numpy as np
import polars as pl

import mp2
from mp2._recurse import now_ns
from mp2.data.panel import SignalPanel
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.searching import search

N_SPINNING = 4
N_RUNS, N_RUNS_QUICK, N_EXITS, N_EXITS_QUICK = 1000, 80, 10, 3
N_PER_PANEL = 10
N_KEPT = 2000

SHAPES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tiny", {"n_algos": 4, "n_variations": 4, "n_tickers": 40, "n_days": 2}),
    ("a week", {}),
    ("wide consensus", {"density": 0.9}),
    ("sparse", {"density": 0.1}),
    ("inconsistent", {"n_variations": 60, "n_flipped": 0.01}),
    ("60 days", {"n_variations": 40, "n_days": 60}),
    ("30,000 tickers", {"n_variations": 20, "n_tickers": 30_000}),
    ("10,000 variations", {"n_variations": 1000, "n_tickers": 1000}),
    ("100,000 variations", {"n_variations": 10_000, "n_tickers": 1000}),
)
BUDGETS_S = (0.05, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.5)
LONG_BUDGETS_S = (1.0, 2.0, 5.0)
LONG_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Late:
    """One run, in milliseconds. `kernels_ms` is None when the search completed before its wall."""

    shape: str
    budget_s: float
    workers: int
    max_size: int
    kernels_ms: float | None
    result_ms: float
    sleeping_ms: float


def late(panel: SignalPanel, shape: str, rng: random.Random) -> Late:
    """Search with random settings, after a sleep as long as the budget (at most 0.1 s)."""
    budget_s = rng.choice(LONG_BUDGETS_S if rng.random() < LONG_SHARE else BUDGETS_S)
    workers, max_size = rng.randint(1, 8), rng.randint(3, 8)
    rules = Rules(
        max_size=max_size, min_daily_hits=rng.choice((0, 3, 8)), top_k=rng.choice((10, 1000))
    )
    sleeping_ms = slept_ms(min(budget_s, 0.1))
    entered_ns = now_ns()
    result = search(panel, budget_s=budget_s, workers=workers, rules=rules)
    returned_ns = now_ns()
    walled = result.status is not Status.COMPLETE
    kernels_ms = 1e3 * result.overrun_s if walled else None
    result_ms = (returned_ns - entered_ns) / 1e6 - 1e3 * result.elapsed_s
    return Late(shape, budget_s, workers, max_size, kernels_ms, result_ms, sleeping_ms)


def slept_ms(seconds: float) -> float:
    """The control: return how late a thread wakes up, in milliseconds."""
    due_ns = now_ns() + round(seconds * 1e9)
    time.sleep(seconds)
    return (now_ns() - due_ns) / 1e6


def batch(shape_idx: int, seed: int, n_runs: int) -> list[Late]:
    """Run `n_runs` searches on one random panel."""
    (shape, week), rng = SHAPES[shape_idx], random.Random(seed)
    panel = generator.make_week(seed, **week)
    return [late(panel, shape, rng) for _ in range(n_runs)]


def runs(n_runs: int, minutes: float, first_seed: int) -> list[Late]:
    """Return `n_runs` runs, or fewer when time is up, with each panel in its own process."""
    end_ns, done, seed = now_ns() + round(minutes * 6e10), list[Late](), first_seed
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        while len(done) < n_runs and now_ns() < end_ns:
            n = 2 * N_PER_PANEL if seed % len(SHAPES) == len(SHAPES) - 1 else N_PER_PANEL
            done += pool.submit(batch, seed % len(SHAPES), seed, n).result()
            seed += 1
    return done


# ---- the whole process


def write_table(path: Path) -> None:
    """Write the signals of a week as a long table."""
    panel = generator.make_week()
    n_words = panel.buys.shape[2]
    bought = np.unpackbits(
        panel.buys.view(np.uint8).reshape(-1, len(panel.days), 8 * n_words),
        axis=2,
        bitorder="little",
    )
    won = np.unpackbits(
        panel.wins.view(np.uint8).reshape(len(panel.days), 8 * n_words), axis=1, bitorder="little"
    )
    v, day, ticker = np.nonzero(bought)
    pl.DataFrame(
        {
            "algo": np.array(panel.algos)[panel.algo_of[v]],
            "variation": np.array(panel.variations)[v],
            "day": np.array(panel.days)[day],
            "ticker": np.array(panel.tickers)[ticker],
            "win": won[day, ticker],
        }
    ).write_parquet(path)


_REPORTING = """
import sys
from mp2.groups import search as group_search
from mp2._recurse import now_ns
pool = group_search.run_pool
def reported(*args, **settings):
    done = pool(*args, **settings)
    print(done.ended_ns, file=sys.stderr, flush=True)
    return done
group_search.run_pool = reported
from mp2.__main__ import script
script()
"""


def exit_ms(table: Path, folder: Path, *options: str) -> tuple[float, int]:
    """Run the command; return the milliseconds after its last kernel, and the groups printed."""
    size = [
        "--max-size=4",
        "--min-daily-hits=1",
        "--max-mad-pp=100",
        "--max-iqr-pp=100",
        "--max-cv-buys=9",
        f"--top={N_KEPT // 2}",
        "--budget=10m",
        "--max-attempts=5000",
        "--workers=2",
        "--no-progress",
    ]
    command = [
        sys.executable,
        "-c",
        _REPORTING,
        "search",
        str(table),
        *size,
        "--db",
        str(folder / "exit.db"),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ended_ns = now_ns()
    (returned_ns,) = [int(line) for line in done.stderr.splitlines() if line.isdigit()]
    n_groups = (
        sum(map(len, json.loads(done.stdout)["groups"].values())) if "--json" in options else 0
    )
    return (ended_ns - returned_ns) / 1e6, n_groups


def exits(n_runs: int) -> dict[str, list[float]]:
    """Measure whole processes: with store and output of all groups, and with neither."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "week.parquet")
        times_ms: dict[str, list[float]] = {"with store and output": [], "without": []}
        for _ in range(n_runs):
            took_ms, n_groups = exit_ms(
                folder / "week.parquet", folder, "--json", f"--json-groups={N_KEPT}"
            )
            assert n_groups == N_KEPT, n_groups
            times_ms["with store and output"].append(took_ms)
            times_ms["without"].append(
                exit_ms(folder / "week.parquet", folder, "--no-store", "--json", "--json-groups=0")[
                    0
                ]
            )
    return times_ms


# ---- loads and tables


@contextmanager
def loaded(n_processes: int) -> Iterator[None]:
    """Run processes that only spin inside the block."""
    with ExitStack() as spinning:
        for _ in range(n_processes):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            spinning.callback(process.wait)
            spinning.callback(process.kill)
        yield


@dataclass(frozen=True, slots=True)
class Row:
    """Lateness of one kind on idle or loaded cores, in milliseconds."""

    load: str
    name: str
    n: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, load: str, name: str, values: Sequence[float]) -> Row:
        """Summarize single values."""
        return cls(
            load,
            name,
            len(values),
            *(round(float(np.quantile(values, q)), 2) for q in (0.5, 0.99, 1.0)),
        )


def rows(load: str, done: Sequence[Late], ended: dict[str, list[float]]) -> Iterator[Row]:
    """Yield all figures of one load."""
    walled = [run for run in done if run.kernels_ms is not None]
    yield Row.of(load, "sleeping thread", [run.sleeping_ms for run in done])
    yield Row.of(load, "kernels, all", _kernels(walled))
    for shape in dict.fromkeys(run.shape for run in walled):
        yield Row.of(
            load, f"kernels, {shape}", _kernels([run for run in walled if run.shape == shape])
        )
    for shape in dict.fromkeys(run.shape for run in done):
        yield Row.of(
            load, f"result, {shape}", [run.result_ms for run in done if run.shape == shape]
        )
    for name, values in ended.items():
        yield Row.of(load, f"process, {name}", values)


def _kernels(done: Sequence[Late]) -> list[float]:
    return [run.kernels_ms for run in done if run.kernels_ms is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="time limit of all short runs together"
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    n_runs, n_exits = (N_RUNS_QUICK, N_EXITS_QUICK) if arguments.quick else (N_RUNS, N_EXITS)
    all_rows: list[Row] = []
    for load_idx, (load, n_spinning) in enumerate((("idle", 0), ("loaded", N_SPINNING))):
        with loaded(n_spinning):
            done = runs(n_runs // 2, arguments.minutes / 2, 10_000 * load_idx)
            all_rows += rows(load, done, exits(n_exits))
        print(*(row for row in all_rows if row.load == load), sep="\n", file=sys.stderr, flush=True)
    if arguments.json:
        measured.print_json({"mp2": mp2.__version__, "rows": list(map(asdict, all_rows))})
        return
    cells = (
        [
            row.load,
            row.name,
            str(row.n),
            *(f"{ms:.2f}" for ms in (row.p50_ms, row.p99_ms, row.max_ms)),
        ]
        for row in all_rows
    )
    print(measured.markdown(("cores", "late, ms", "runs", "p50", "p99", "max"), cells))


if __name__ == "__main__":
    main()
