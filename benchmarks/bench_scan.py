"""What a scan takes against the ideal: `python benchmarks/bench_scan.py [--quick] [--json]`.

The ideal is a greedy list schedule: scanners in registration order, each on the first free slot,
for the shorter of its own time and its time limit. Offline scanners of 0.5 s on 8 slots; then 4 of
16 hang for ever, registered first, last or mixed, with a limit of 1 s. Every scan runs in a process
of its own, which also measures how long that process takes to exit when the scan has returned. What
the machine itself is late shows in the control: a sleep for the ideal time in the same process.

Then 8 scanners that each request a page of a web server (the tests' own, in another process) whose
responses take 0.25 to 0.5 s: sources of 5 to 10 s, scaled down 20 times. Side by side against one
after the other and against the slowest source, with the HTTP client of a scan, new for every scan;
a first request loads its packages, which takes the same time for any sources.
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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import measured

import mp2

SCANNER_S, TIMEOUT_S = 0.5, 1.0
N_SCANNERS, N_WORKERS = 16, 8


LATENCIES_S = (0.25, 0.43, 0.36, 0.5, 0.29, 0.46, 0.39, 0.32)
"""Of the sources, in registration order."""


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
    """Return the end of the greedy list schedule."""
    return greedy_s(
        [TIMEOUT_S if idx in case.hung else SCANNER_S for idx in range(N_SCANNERS)], case.workers
    )


def greedy_s(durations_s: Sequence[float], workers: int) -> float:
    """Return the end of the last scanner, each started on the first free slot, in this order."""
    free = [0.0] * workers
    for duration_s in durations_s:
        heapq.heapreplace(free, free[0] + duration_s)
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
    """Run one scan in this process; print it with the moment it returned."""
    begun_s = time.monotonic()
    time.sleep(ideal_s(case))
    control_s = time.monotonic() - begun_s
    scanners = [made(idx, case) for idx in range(N_SCANNERS)]
    begun_s = time.monotonic()
    result = mp2.scan(scanners, timeout_s=TIMEOUT_S, workers=case.workers)
    ended_s = time.monotonic()
    report = {
        "scan_s": ended_s - begun_s,
        "control_s": control_s,
        "n_delivered": len(result.candidates),
    }
    print(json.dumps({**report, "returned_at": time.time()}), flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case: the ideal, and the median and the maximum of `n_runs` scans, in seconds."""

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
    """Run all scans of one case, each in its own process."""
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
    report: dict[str, float] = _in_process("--case", case.name)
    return {**report, "exit_s": time.time() - report["returned_at"]}


def _in_process(*arguments: str) -> Any:
    """Run this program again with these arguments; return what it prints."""
    command = [sys.executable, __file__, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


# --- scanners that send requests


def serve() -> None:
    """The server: prints its address and responds until its standard input ends."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from stub_server import After, Json, StubServer

    with StubServer() as server:
        for idx, latency_s in enumerate(LATENCIES_S):
            server.route(f"/{idx}", After(latency_s, Json({"ticker": f"T{idx}"})))
        print(json.dumps(server.url), flush=True)
        sys.stdin.read()


@contextmanager
def server() -> Iterator[str]:
    """Yield the server's address while it runs in its own process."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def requesting(idx: int, url: str) -> type[mp2.Scanner]:
    """A scanner that sends one request."""

    def scan(self: mp2.Scanner, context: mp2.ScanContext) -> list[mp2.Candidate]:
        row = context.http.get(f"{url}/{idx}", parse=lambda reply: reply.json())
        return [context.candidate(row["ticker"], "named by the server")]

    return type(f"A{idx}", (mp2.Scanner,), {"name": f"a{idx}", "pipeline": "bench", "scan": scan})


def request_here(url: str, workers: int) -> None:
    """Scan all sources in this process, side by side and in turn; print the seconds."""
    scanners = [requesting(idx, url) for idx in range(len(LATENCIES_S))]
    mp2.scan(scanners[:1])
    report: dict[str, float] = {}
    for name, concurrent in (("scan_s", True), ("sequential_s", False)):
        begun_s = time.monotonic()
        result = mp2.scan(scanners, workers=workers, concurrent=concurrent)
        report[name] = time.monotonic() - begun_s
        assert len(result.candidates) == len(scanners), result.outcomes
    print(json.dumps(report))


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Medians and the maximum of `n_runs` scans of sources, in seconds."""

    workers: int
    n_runs: int
    slowest_s: float
    ideal_s: float
    scan_s: float
    worst_s: float
    sequential_s: float


def measure_requests(workers: int, n_runs: int) -> Requests:
    """Run all scans with this many workers, each in its own process."""
    with server() as url:
        runs = [_in_process("--request", url, "--workers", str(workers)) for _ in range(n_runs)]
    scans = [run["scan_s"] for run in runs]
    return Requests(
        workers=workers,
        n_runs=n_runs,
        slowest_s=max(LATENCIES_S),
        ideal_s=greedy_s(LATENCIES_S, workers),
        scan_s=median(scans),
        worst_s=max(scans),
        sequential_s=median(run["sequential_s"] for run in runs),
    )


def requests_table(rows: Sequence[Requests]) -> str:
    """Return the table, in seconds and ratios."""
    header = (
        "8 sources",
        "slowest",
        "ideal",
        "scan",
        "worst",
        "to the ideal",
        "to the slowest",
        "one at a time",
        "times as fast",
    )
    return measured.markdown(header, map(_requests_cells, rows))


def _requests_cells(row: Requests) -> list[str]:
    seconds = [f"{value:.3f}" for value in (row.slowest_s, row.ideal_s, row.scan_s, row.worst_s)]
    ratios = [f"{row.scan_s / row.ideal_s:.3f}", f"{row.scan_s / row.slowest_s:.3f}"]
    return [
        f"{row.workers} workers",
        *seconds,
        *ratios,
        f"{row.sequential_s:.3f}",
        f"{row.sequential_s / row.scan_s:.2f}",
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the table, in seconds."""
    header = (
        "16 scanners",
        "delivered",
        "ideal",
        "scan",
        "worst",
        "sleeping thread",
        "exit",
        "worst exit",
    )
    return measured.markdown(header, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    seconds = (row.ideal_s, row.scan_s, row.worst_s, row.control_s, row.exit_s, row.worst_exit_s)
    return [
        row.name,
        f"{row.n_delivered} of {row.n_expected}",
        *(f"{value:.3f}" for value in seconds),
    ]


def noted(n_runs: int) -> Iterator[Row]:
    """Yield all rows, and print each when it is complete."""
    for case in CASES:
        row = measure(case, n_runs)
        print(*_cells(row), sep="; ", file=sys.stderr)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument(
        "--sources", action="store_true", help="only the scanners that send requests"
    )
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--request", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=N_WORKERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        run_here(next(case for case in CASES if case.name == given.case))
    elif given.serve:
        serve()
    elif given.request:
        request_here(given.request, given.workers)
    else:
        report(1 if given.quick else 5, given.sources, given.json)


def report(n_runs: int, sources_alone: bool, as_json: bool) -> None:
    """Measure and print."""
    rows = [] if sources_alone else list(noted(n_runs))
    requests = [measure_requests(workers, n_runs) for workers in (N_WORKERS, 4)]
    if as_json:
        measured.print_json([asdict(row) for row in (*rows, *requests)])
        return
    print(*([table(rows), ""] if rows else []), requests_table(requests), sep="\n")


if __name__ == "__main__":
    main()
