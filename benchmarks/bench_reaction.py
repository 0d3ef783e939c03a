"""Measure how late the kernel returns after its deadline or its stop flag.

Usage: `python benchmarks/bench_reaction.py [--quick] [--json]`.

Every panel gets some hundred turns of random starters, each to be ended at a random moment in one
of four ways: by the deadline of a fresh turn; by the deadline of a resumed turn, which must make
progress however near the deadline is; and, fresh or resumed, by the wall and by the stop flag. The
control is a thread that sleeps until such a moment, in the same process and in turns with the
kernel: it shows the lateness of the machine itself. A turn is undisturbed when the system did not
preempt its thread.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import generator
import measured
import numpy as np

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.groups.rules import Rules

try:
    import resource
except ImportError:
    resource = None

LONGEST_NS = 6_000_000
"""Moments are up to this far in the future."""

_FAR_NS = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A panel, the rules of its search, and the number of turns for each way to end."""

    name: str
    week: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    n_turns: int = 150


def cases(quick: bool) -> list[Case]:
    """Return the cases: tiny to huge, narrow to wide, flat to deep."""
    n_turns = 40 if quick else 150
    return [
        Case(name=name, week=week, rules=rules, n_turns=n_turns) for name, week, rules in PANELS
    ]


PANELS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    (
        "tiny, deep",
        {"n_algos": 10, "n_variations": 10, "n_tickers": 60, "n_days": 2},
        {"max_size": 8, "min_daily_hits": 1},
    ),
    ("a week", {}, {}),
    ("a week, groups up to 3", {}, {"max_size": 3}),
    ("a week, deep", {}, {"max_size": 8}),
    ("a week, no floor", {}, {"min_daily_hits": 0}),
    (
        "a week, all within the cap",
        {},
        {"max_daily_buys": 500, "max_mad_pp": 100.0, "max_iqr_pp": 100.0, "max_cv_buys": 9.0},
    ),
    ("a week, inconsistent", {"n_flipped": 0.01}, {}),
    ("60 days", {"n_days": 60}, {"min_daily_hits": 2}),
    ("300 days", {"n_days": 300, "n_variations": 30}, {"min_daily_hits": 1}),
    ("30,000 tickers", {"n_tickers": 30_000, "n_variations": 50}, {}),
    (
        "10,000 variations, inconsistent",
        {"n_variations": 1000, "n_tickers": 2000, "n_flipped": 0.01},
        {},
    ),
    ("100,000 variations", {"n_variations": 10_000, "n_tickers": 2000}, {}),
    ("100,000 variations, deep", {"n_variations": 10_000, "n_tickers": 2000}, {"max_size": 8}),
)


@dataclass(frozen=True, slots=True)
class Lateness:
    """Milliseconds late; `max_undisturbed_ms` is the maximum of turns known to be undisturbed."""

    n: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    n_undisturbed: int
    max_undisturbed_ms: float | None

    @classmethod
    def of(cls, samples: list[tuple[int, bool]]) -> Lateness:
        """Summarize pairs (nanoseconds late, undisturbed)."""
        late = np.array([late_ns for late_ns, _ in samples]) / 1e6
        undisturbed = late[[calm for _, calm in samples]]
        most = round(float(undisturbed.max()), 4) if len(undisturbed) else None
        p50, p99, highest = (round(float(np.quantile(late, q)), 4) for q in (0.5, 0.99, 1.0))
        return cls(len(late), p50, p99, highest, len(undisturbed), most)

    def __str__(self) -> str:
        undisturbed = "" if self.max_undisturbed_ms is None else f" ({self.max_undisturbed_ms:.2f})"
        return f"{self.p50_ms:.2f} / {self.p99_ms:.2f} / {self.max_ms:.2f}{undisturbed}"


WAYS = ("deadline", "deadline, taken up again", "wall", "stop flag")
CONTROL = "sleeping thread"


@dataclass(frozen=True, slots=True)
class Row:
    """One panel: lateness by way, and that of the sleeping thread."""

    name: str
    n_variations: int
    n_tickers: int
    n_days: int
    max_size: int
    late: dict[str, Lateness]


class Turns:
    """Turns of one kernel that end at given moments."""

    def __init__(self, panel: SignalPanel, rules: Rules, seed: int):
        self.kernel, self.rules = measured.plain_kernel(panel, rules), rules
        self.random = random.Random(seed)
        self.n_starters = int(
            np.searchsorted(panel.algo_of, max(1, len(panel.algos) - rules.max_size + 1))
        )
        self.interrupted: np.ndarray | None = None

    def late(self, way: str) -> tuple[int, bool]:
        """Return the nanoseconds late, and whether the turn is known to be undisturbed."""
        for _ in range(1000):
            fresh = way == "deadline" or (
                way != "deadline, taken up again" and self.random.random() < 0.5
            )
            if (
                late := self._turn(self._fresh() if fresh else self._interrupted(), way)
            ) is not None:
                return late
        raise SystemExit("the starters of this panel end too soon to be stopped")

    def _turn(self, record: np.ndarray, way: str) -> tuple[int, bool] | None:
        """Run one turn; return None if the search finished before the moment."""
        heaps = {
            size: _recurse.TopGroups(size, self.rules.top_k) for size in self.rules.retain_sizes
        }
        before, moment_ns = n_preempted(), _recurse.now_ns() + self.random.randrange(LONGEST_NS)
        deadline_ns, wall_ns = (
            moment_ns if way.startswith(kind) else _FAR_NS for kind in ("deadline", "wall")
        )
        control = _recurse.Control(deadline_ns, wall_ns)
        flag = Flag(control, moment_ns) if way == "stop flag" else None
        status, returned_ns = self.kernel.run(record, control, heaps), _recurse.now_ns()
        calm = flag is None and before is not None and n_preempted() == before
        due_ns = moment_ns if flag is None else flag.raised_ns()
        self.interrupted = None if status == _recurse.EXHAUSTED else record
        return None if status == _recurse.EXHAUSTED else (returned_ns - due_ns, calm)

    def _fresh(self) -> np.ndarray:
        """Return a starter that has not started, with much work."""
        record = np.zeros(1, dtype=_recurse.STARTER_DTYPE)
        record["variation_idx"] = self.random.randrange(self.n_starters)
        return record

    def _interrupted(self) -> np.ndarray:
        """Return the starter of the previous turn, or a new one that was interrupted early."""
        while self.interrupted is None:
            self._turn(self._fresh(), "deadline")
        return self.interrupted


class Flag:
    """A second thread that raises the stop flag of `control` at a given moment."""

    def __init__(self, control: _recurse.Control, moment_ns: int):
        self._control, self._moment_ns, self._raised_ns = control, moment_ns, 0
        self._thread = threading.Thread(target=self._raise)
        self._thread.start()

    def _raise(self):
        time.sleep(max(0, self._moment_ns - _recurse.now_ns()) / 1e9)
        self._raised_ns = _recurse.now_ns()
        self._control.stop()

    def raised_ns(self) -> int:
        """Return when the flag was raised."""
        self._thread.join()
        return self._raised_ns


def n_preempted() -> int | None:
    """Return how often this thread was preempted; None if the system does not report it."""
    who = getattr(resource, "RUSAGE_THREAD", None)
    return None if who is None else resource.getrusage(who).ru_nivcsw


def slept(moments: random.Random) -> tuple[int, bool]:
    """The control: nanoseconds late after sleeping."""
    moment_ns = _recurse.now_ns() + moments.randrange(LONGEST_NS)
    time.sleep(max(0, moment_ns - _recurse.now_ns()) / 1e9)
    return _recurse.now_ns() - moment_ns, False


def measure(case: Case) -> Row:
    """Run all turns of one panel."""
    panel, rules = generator.make_week(**case.week), Rules(**case.rules)
    turns = Turns(panel, rules, seed=1)
    samples: dict[str, list[tuple[int, bool]]] = {way: [] for way in (*WAYS, CONTROL)}
    for _ in range(case.n_turns):
        for way in WAYS:
            samples[way].append(turns.late(way))
        samples[CONTROL].append(slept(turns.random))
    late = {way: Lateness.of(of) for way, of in samples.items()}
    return Row(
        case.name, panel.n_variations, len(panel.tickers), len(panel.days), rules.max_size, late
    )


def table(rows: list[Row]) -> str:
    """Return the table, in milliseconds."""
    header = (
        "p50 / p99 / max (max undisturbed), ms",
        "variations",
        "tickers",
        "days",
        "up to",
        *WAYS,
        CONTROL,
    )
    return measured.markdown(header, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    shape = (f"{n:,}" for n in (row.n_variations, row.n_tickers, row.n_days, row.max_size))
    return [row.name, *shape, *map(str, row.late.values())]


def noted(quick: bool) -> Iterator[Row]:
    """Yield all rows, each measured in its own process."""
    with measured.fresh_processes() as pool:
        for case in cases(quick):
            row = pool.submit(measure, case).result()
            print(
                row.name,
                *(f"{way} {late}" for way, late in row.late.items()),
                sep="; ",
                file=sys.stderr,
            )
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    rows = list(noted(arguments.quick))
    measured.print_json([asdict(row) for row in rows]) if arguments.json else print(table(rows))


if __name__ == "__main__":
    main()
