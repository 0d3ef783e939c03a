"""What a scan takes against the ideal: `python benchmarks/bench_scan.py [--quick] [--json]`.

The ideal is a greedy list schedule: scanners in registration order, each on the first free slot, for the shorter of its own
time and its time limit. Offline scanners of 0.5 s on 8 slots; then 4 of 16 hang for ever, registered first, last or mixed,
with a limit of 1 s. Every scan runs in a process of its own, which also tells how long that process takes to exit when the
scan has returned. What the machine itself is late shows in the control: a sleep for the ideal time in the same process.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import measured

import mp2

SCANNER_S, TIMEOUT_S = 0.5, 1.0
N_SCANNERS, N_WORKERS = 16, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Which of the scanners hang: waiting, or `busy` in pure Python."""

    name: str
    hung: tuple[int, ...] = ()
    workers: int = N_WORKERS
    busy: bool = False


CASES = (
    Case(name="none hangs"),
    Case(name="none hangs, one at a time", workers=1),
    Case(name="4 hang, first", hung=(0, 1, 2, 3)),
    Case(name="4 hang, last", hung=(12, 13, 14, 15)),
    Case(name="4 hang, mixed", hung=(0, 5, 10, 15)),
    Case(name="4 hang in pure Python", hung=(0, 1, 2, 3), busy=True),
)


def ideal_s(case: Case) -> float:
    """The end of the greedy list schedule."""
    free = [0.0] * case.workers
    for idx in range(N_SCANNERS):
        heapq.heapreplace(free, free[0] + (TIMEOUT_S if idx in case.hung else SCANNER_S))
    return max(free)


def made(idx: int, case: Case) -> type[mp2.Scanner]:
    """One scanner of a case."""

    def scan(self: mp2.Scanner, context: mp2.ScanContext) -> list[mp2.Candidate]:
        while idx in case.hung and case.busy:
            pass
        if idx in case.hung:
            threading.Event().wait()
        time.sleep(SCANNER_S)
        return [context.candidate(f"T{idx}", "slept well")]

    return type(f"S{idx}", (mp2.Scanner,), {"name": f"s{idx}", "pipeline": "bench", "scan": scan})


def run_here(case: Case) -> None:
    """One scan in this process, told on standard output with the moment it returned."""
    begun_s = time.monotonic()
    time.sleep(ideal_s(case))
    control_s = time.monotonic() - begun_s
    scanners = [made(idx, case) for idx in range(N_SCANNERS)]
    begun_s = time.monotonic()
    result = mp2.scan(scanners, timeout_s=TIMEOUT_S, workers=case.workers)
    ended_s = time.monotonic()
    told = {"scan_s": ended_s - begun_s, "control_s": control_s, "n_delivered": len(result.candidates)}
    print(json.dumps({**told, "returned_at": time.time()}), flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case: the ideal, and the median and the worst of `n_runs` scans; seconds."""

    name: str
    n_runs: int
    n_delivered: int
    n_expected: int
    ideal_s: float
    scan_s: float
    worst_s: float
    control_s: float
    exit_s: float
    worst_exit_s: float


def measure(case: Case, n_runs: int) -> Row:
    """All runs of one case, each in a process of its own."""
    runs = [_run(case) for _ in range(n_runs)]
    scans, exits = [run["scan_s"] for run in runs], [run["exit_s"] for run in runs]
    return Row(
        name=case.name,
        n_runs=n_runs,
        n_delivered=min(int(run["n_delivered"]) for run in runs),
        n_expected=N_SCANNERS - len(case.hung),
        ideal_s=ideal_s(case),
        scan_s=median(scans),
        worst_s=max(scans),
        control_s=median(run["control_s"] for run in runs),
        exit_s=median(exits),
        worst_exit_s=max(exits),
    )


def _run(case: Case) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", case.name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return {**told, "exit_s": time.time() - told["returned_at"]}


def table(rows: Sequence[Row]) -> str:
    """The table, in seconds."""
    header = ("16 scanners", "delivered", "ideal", "scan", "worst", "sleeping thread", "exit", "worst exit")
    return measured.markdown(header, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    seconds = (row.ideal_s, row.scan_s, row.worst_s, row.control_s, row.exit_s, row.worst_exit_s)
    return [row.name, f"{row.n_delivered} of {row.n_expected}", *(f"{value:.3f}" for value in seconds)]


def noted(n_runs: int) -> Iterator[Row]:
    """All rows, each told as it comes."""
    for case in CASES:
        row = measure(case, n_runs)
        print(*_cells(row), sep="; ", file=sys.stderr)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        run_here(next(case for case in CASES if case.name == asked.case))
        return
    rows = list(noted(1 if asked.quick else 5))
    measured.print_json([asdict(row) for row in rows]) if asked.json else print(table(rows))


if __name__ == "__main__":
    main()
