"""Measure how late scanners end when sources hang or fail.

Usage: `python benchmarks/bench_sources.py [--quick] [--json]`.

Every built-in web scanner runs with a timeout of 1 s against the stub server of the tests, with
real waits between retries: responses that never come, that come byte by byte, and every other
failure of `tests/support/web_sources.py`. Each scanner has its own worker. Lateness is the time
beyond the timeout, of a scanner and of the whole scan; the aim is at most 0.25 s.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import measured

import mp2
from mp2.discovery.http.client import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import web_sources
from stub_server import StubServer

TIMEOUT_S = 1.0
TODAY = date(2026, 1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A failure: the scanners' codes and the longest times of `n_runs` scans, in seconds."""

    failure: str
    n_runs: int
    codes: str
    scanner_s: float
    scan_s: float
    exceeded_s: float


def run_scan(response: object) -> tuple[mp2.ScanResult, float]:
    """Return a scan in which every source sends this response, and its duration in seconds."""
    with (
        StubServer() as server,
        tempfile.TemporaryDirectory() as folder,
        closing(Client(folder)) as client,
    ):
        web_sources.serve_valid(server)
        web_sources.serve_everywhere(server, response)
        own = {
            scanner.name: web_sources.settings(server.url)[scanner.name]
            for scanner in web_sources.SCANNERS
        }
        begun_s = time.monotonic()
        result = mp2.scan(
            web_sources.SCANNERS,
            config={"scanners": own},
            workers=len(own),
            timeout_s=TIMEOUT_S,
            http=client.for_scanner,
            today=TODAY,
        )
        return result, time.monotonic() - begun_s


def measure(failure: str, response: object, n_runs: int) -> Row:
    """Run the scans of one failure."""
    runs = [run_scan(response) for _ in range(n_runs)]
    codes = {
        outcome.error.code if outcome.error else "none"
        for result, _ in runs
        for outcome in result.outcomes
    }
    scanner_s = max(outcome.seconds for result, _ in runs for outcome in result.outcomes)
    scan_s = max(seconds for _, seconds in runs)
    late_s = max(0.0, max(scanner_s, scan_s) - TIMEOUT_S)
    return Row(
        failure=failure,
        n_runs=n_runs,
        codes=", ".join(sorted(codes)),
        scanner_s=scanner_s,
        scan_s=scan_s,
        exceeded_s=late_s,
    )


def measure_all(n_runs: int) -> Iterator[Row]:
    """Yield the row of each failure, and print it to stderr."""
    failures = {name: response for name, (response, _) in web_sources.FAILURES.items()}
    for failure, response in {**web_sources.HANGING, **failures, **web_sources.LARGE}.items():
        row = measure(failure, response, n_runs)
        print(*_cells(row), sep="; ", file=sys.stderr)
        yield row


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table, in seconds."""
    header = (
        "response of the sources",
        "codes",
        "slowest scanner",
        "slowest scan",
        "beyond the timeout",
    )
    return measured.markdown(header, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    return [
        row.failure,
        row.codes,
        f"{row.scanner_s:.3f}",
        f"{row.scan_s:.3f}",
        f"{row.exceeded_s:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    os.environ.update(web_sources.KEYS)
    rows = list(measure_all(1 if options.quick else 5))
    measured.print_json([asdict(row) for row in rows]) if options.json else print(table(rows))


if __name__ == "__main__":
    main()
