"""Find growth: search, scan and pick in a loop in one process.

Usage: `python benchmarks/soak.py --hours 2 [--json]`.

A round has: signals of synthetic prices; a search that ends by its budget or completes, stored by
the store's own thread while it runs, and read back; picks; and a scan of an offline scanner, one
that fails, one past its time limit, one in its own process, and eight that send requests to a web
server on this machine. All but the first two runs and scans are deleted again, so that the store
keeps its size. Memory, threads, file handles and children are sampled after every round; the trend
is that of the second half, when all caches are full. Exit code 1 when something grows: memory by
more than 2 MB an hour and 4 times its standard error, anything else by more than 2 in that half.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import bench_scan
import measured
import numpy as np

import mp2
from mp2._recurse import now_ns
from mp2.demo.market import make_market
from mp2.discovery.breaker import BreakerState
from mp2.groups.settings import SearchSettings
from mp2.pipeline import RunControl, run_request
from mp2.storage.recorder import Storing
from mp2.storage.request import InMemory, Request, SignalSettings

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from stub_scanners import Alone, make, naming

MB = 2**20
N_DAYS = 5
LEAST_MB_PER_HOUR, STANDARD_ERRORS, MOST_MORE = 2.0, 4.0, 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of the process after a round; hours and MB."""

    hours: float
    rss_mb: float
    n_threads: int
    n_handles: int
    n_children: int
    store_mb: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through the second half of the samples.

    `grows`: the slope exceeds 4 standard errors and the smallest growth that counts.
    """

    name: str
    first: float
    last: float
    highest: float
    per_hour: float
    error_per_hour: float
    grows: bool


def sampled(begun_ns: int, store: Path) -> Sample:
    """Sample this process, by the system's own figures."""
    own = Path("/proc/self")
    (resident,) = [
        line for line in (own / "status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    children = [_text(entry).split() for entry in own.glob("task/*/children")]
    return Sample(
        hours=(now_ns() - begun_ns) / 3.6e12,
        rss_mb=int(resident.split()[1]) / 1024,
        n_threads=len(list((own / "task").iterdir())),
        n_handles=len(list((own / "fd").iterdir())),
        n_children=sum(map(len, children)),
        store_mb=sum(path.stat().st_size for path in store.parent.glob(f"{store.name}*")) / MB,
    )


def _text(path: Path) -> str:
    """Return the text of a thread's file; empty if the thread has ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def trend(name: str, samples: Sequence[Sample]) -> Trend:
    """Return the trend of one figure."""
    late = samples[len(samples) // 2 :]
    hours, values = (
        np.array([getattr(sample, field) for sample in late]) for field in ("hours", name)
    )
    slope, error = fitted(hours, values)
    most = LEAST_MB_PER_HOUR if name == "rss_mb" else MOST_MORE / max(hours[-1] - hours[0], 1e-9)
    grows = slope > most and slope > STANDARD_ERRORS * error
    return Trend(
        name,
        getattr(samples[0], name),
        float(values[-1]),
        float(values.max()),
        slope,
        error,
        bool(grows),
    )


def fitted(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of the least-squares line, and its standard error."""
    offset = x - x.mean()
    spread = float((offset**2).sum())
    slope = float((offset * y).sum()) / spread
    residual = y - y.mean() - slope * offset
    return slope, float(np.sqrt((residual**2).sum() / max(1, len(x) - 2) / spread))


class Rounds:
    """The work of a round, repeated in one folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.store, self.http = folder / "soak.db", {"folder": str(folder)}
        self.market = make_market(5)
        self.scanners = [
            naming("quick", "A", "B"),
            make("failing", _fail),
            make("late", _wait),
            Alone,
        ]
        self.scanners += [
            bench_scan.requesting(idx, url) for idx in range(len(bench_scan.LATENCIES_S))
        ]
        self.n_groups = self.n_candidates = self.n_timeouts = 0

    def run(self, idx: int) -> None:
        """One round."""
        run_id = self._search(idx)
        scan_id = self._scan()
        with mp2.Store(self.store) as store:
            self.n_groups += sum(map(len, store.load(run_id).kept.values()))
            for scanner in store.breakers():
                # Every scanner runs in every round.
                store.change_breaker(scanner, lambda _: BreakerState())
            if idx >= 2:
                store.delete(run_id)
                store.delete_scan(scan_id)

    def _search(self, idx: int) -> str:
        rules = mp2.Rules(min_daily_hits=3, top_k=200)
        budget_s = 0.4 + 0.4 * (idx % 3)
        request = Request(
            source=InMemory(holds="prices"),
            search=SearchSettings(budget_s=budget_s, workers=2, rules=rules),
            signals=SignalSettings(n_days=N_DAYS, grids_in_memory=True),
        )
        control = RunControl(storing=Storing(db=self.store, every_s=0.05))
        found = run_request(request, control, self.market.prices, self.market.grids)
        assert found.result.store_error is None
        return str(found.result.run_id)

    def _scan(self) -> str:
        result = mp2.scan(self.scanners, store=self.store, timeout_s=3.0, http_options=self.http)
        assert result.store_error is None
        self.n_candidates += len(result.candidates)
        self.n_timeouts += sum(str(outcome.status) == "timeout" for outcome in result.outcomes)
        return result.scan_id


def _fail(context: mp2.ScanContext) -> list[mp2.Candidate]:
    raise mp2.SourceError("unavailable", "as always")


def _wait(context: mp2.ScanContext) -> list[mp2.Candidate]:
    context.cancelled.wait(60)
    return []


def noted(hours: float, rounds: Rounds) -> Iterator[Sample]:
    """Yield a sample per round for `hours`; print one every 30 s."""
    begun_ns, idx = now_ns(), 0
    printed_ns = begun_ns
    while now_ns() < begun_ns + hours * 3.6e12:
        rounds.run(idx)
        idx += 1
        sample = sampled(begun_ns, rounds.store)
        if now_ns() - printed_ns > 30e9:
            printed_ns = now_ns()
            print(f"round {idx}", sample, sep="; ", file=sys.stderr)
        yield sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0, help="duration")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, bench_scan.server() as url:
        rounds = Rounds(Path(folder), url)
        samples = list(noted(arguments.hours, rounds))
    if len(samples) < 8:
        raise SystemExit("fewer than 8 rounds show no trend: give more --hours")
    trends = [trend(spec.name, samples) for spec in fields(Sample)[1:]]
    done = {
        "n_rounds": len(samples),
        "n_groups": rounds.n_groups,
        "n_candidates": rounds.n_candidates,
    }
    done |= {"n_timeouts": rounds.n_timeouts, "hours": samples[-1].hours}
    if arguments.json:
        measured.print_json(
            {**done, "trends": list(map(asdict, trends)), "samples": list(map(asdict, samples))}
        )
    else:
        print(
            ", ".join(f"{name} {value:,.4g}" for name, value in done.items()),
            "",
            table(trends),
            sep="\n",
        )
    raise SystemExit(
        1 if any(one.grows for one in trends) or threading.active_count() > MOST_MORE else 0
    )


def table(trends: Sequence[Trend]) -> str:
    """Return a table: first, last and highest value, and the trend with its standard error."""
    header = ("", "first round", "last", "highest", "per hour", "standard error", "grows")
    return measured.markdown(header, map(_cells, trends))


def _cells(one: Trend) -> list[str]:
    values = (one.first, one.last, one.highest, one.per_hour, one.error_per_hour)
    return [one.name, *(f"{value:,.2f}" for value in values), "yes" if one.grows else "no"]


if __name__ == "__main__":
    main()
