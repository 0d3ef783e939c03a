"""Measure speed and memory as the work grows.

Usage: `python benchmarks/growth.py [--quick] [--json] [--write docs/explanation/speed.md]`.

One core and one process per row. The space of most rows would take days: for these, starters spread
over all variations run for a fixed time each, and the speed is that of the attempts they made.
`--prunings` measures the gain of each short cut instead. `--write` replaces the tables of both, and
those of the roofline and of the reaction, in a document. Exit code 1 when a row exceeds its memory
limit, or when counters differ from the expected ones.
"""

from __future__ import annotations

import argparse
import pickle
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import generator
import measured

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.groups.rules import PRUNINGS, Rules

MIB = 1 << 20
REAL = generator.REAL_WEEK.exists()
BASE = "real week" if REAL else "generated week"
GOLDEN = {
    "attempts": 13_737_368_738,
    "tested": [0, 0, 392_718, 61_789_665, 5_078_945_817],
    "eligible": [0, 0, 0, 7_647, 611_787],
}
"""Counters of the whole real week."""

_ENOUGH_S = 6.0
"""Repeats end when they have taken this long together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row: a panel, the starters searched in it, and how often.

    `week` are arguments of `generator.make_week`, None for the base panel. Every `step`-th starter
    is searched, with step 0 `n_starters` of them, or the one that is named; each for at most
    `budget_s`, or to completion. `table_bytes` is what `--table-memory` gives to a kernel.
    """

    name: str
    week: dict[str, Any] | None = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    count: str = "exact"
    simd: str = _recurse.simd_available()[-1]
    step: int = 0
    n_starters: int = 24
    starter: int | None = None
    table_bytes: int = _recurse.TURN_BYTES
    budget_s: float | None = 0.15
    n_repeats: int = 2

    def every(self, panel: SignalPanel) -> int:
        """Return the distance between two starters that are searched."""
        return self.step or max(1, panel.n_variations // self.n_starters)

    def starters(self, panel: SignalPanel) -> list[int]:
        """Return the starters to search."""
        if self.starter is not None:
            return [self.starter]
        return measured.every(panel, self.every(panel))


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured; memory in bytes, None where the system does not report it."""

    what: str
    n_variations: int
    n_days: int
    n_tickers: int
    count: str
    simd: str
    counters: dict[str, Any]
    seconds: float
    million_per_s: float
    panel_bytes: int
    extra_bytes: int | None
    table_bytes: int
    visited: float

    @property
    def limit_bytes(self) -> int:
        """Return the memory limit of panel and search together."""
        more_tables = max(0, self.table_bytes - _recurse.TURN_BYTES)
        return 3 * self.panel_bytes + 256 * MIB + more_tables

    @property
    def exceeds(self) -> bool:
        """Return whether panel and search exceed the limit."""
        return self.panel_bytes + (self.extra_bytes or 0) > self.limit_bytes


def cases(quick: bool) -> list[Case]:
    """Return all rows; the quick ones do the same on fewer starters."""
    variants = [
        Case(
            name=f"{BASE}, a sample of its starters",
            week=None,
            count=count,
            simd=simd,
            step=step,
            budget_s=None,
            n_repeats=3,
        )
        for count in ("exact", "fast")
        for simd in reversed(_recurse.simd_available())
        for step in [64 if quick else 8]
    ]
    whole = [
        Case(name=f"{BASE}, whole", week=None, count=count, step=1, budget_s=None, n_repeats=1)
        for count in (() if quick else ("exact", "fast"))
    ]
    timing: dict[str, Any] = {"budget_s": 0.04, "n_repeats": 1} if quick else {}
    # Those of a single starter say nothing before its tables are filled.
    grown = [case for case in GROWTH if not quick or case.starter is None]
    return [*whole, *variants, *(replace(case, **timing) for case in grown)]


GROWTH = (
    Case(name="generated week"),
    Case(name="3,000 tickers", week={"n_tickers": 3000}),
    Case(name="10,000 variations of 10 algorithms", week={"n_variations": 1000}),
    Case(name="30 algorithms", week={"n_algos": 30, "n_variations": 38}),
    Case(name="20 days", week={"n_days": 20}),
    Case(name="groups up to 3", rules={"max_size": 3}, step=1),
    Case(name="groups up to 5", rules={"max_size": 5}),
    Case(name="groups up to 6", rules={"max_size": 6}),
    Case(name="narrow: 20 buys a day", week={"density": 20 / 503}, step=1),
    Case(name="wide: 300 buys a day", week={"density": 300 / 503}),
    Case(name="no floor", rules={"min_daily_hits": 0}),
    Case(name="inconsistent", week={"n_flipped": 0.01}),
    # One that buys as much as most do: with a GB its tables take seconds, and then pay for minutes.
    *(
        Case(
            name=f"10,000 variations, 3,000 tickers, tables of {table_bytes // MIB:,} MB",
            week={"n_variations": 1000, "n_tickers": 3000},
            starter=500,
            table_bytes=table_bytes,
            budget_s=30.0,
            n_repeats=1,
        )
        for table_bytes in (_recurse.TURN_BYTES, 1024 * MIB)
    ),
)


# ---- in a separate process


def measure(path: Path, case: Case) -> Row:
    """Run one case on the panel in `path`."""
    panel, rules = measured.load_panel(path), Rules(**case.rules)
    _recurse.use_simd(case.simd)
    before = measured.start_of_memory()
    kernel = measured.plain_kernel(panel, rules, case.count, table_bytes=case.table_bytes)
    runs: list[measured.Run] = []
    while len(runs) < case.n_repeats and sum(run.seconds for run in runs) < _ENOUGH_S:
        runs.append(measured.run_once(kernel, rules, case.starters(panel), case.budget_s))
    peak, best = measured.peak_memory(), measured.fastest(runs)
    return Row(
        what=case.name,
        n_variations=panel.n_variations,
        n_days=len(panel.days),
        n_tickers=len(panel.tickers),
        count=case.count,
        simd=case.simd,
        counters=best.counters(),
        seconds=best.seconds,
        million_per_s=best.attempts / best.seconds / 1e6,
        panel_bytes=panel.n_bytes,
        extra_bytes=None if before is None or peak is None else peak - before,
        table_bytes=case.table_bytes,
        visited=best.visited,
    )


@dataclass(frozen=True, slots=True)
class Pruned:
    """The sample without some short cuts; `times` is its time over that with all of them."""

    without: str
    seconds: float
    times: float
    visited: float
    equal: bool


def measure_prunings(path: Path, step: int, n_repeats: int) -> list[Pruned]:
    """Measure the sample with all short cuts, without each, and without all.

    The runs alternate, so that all meet the same disturbances.
    """
    panel, rules = measured.load_panel(path), Rules()
    chosen = {"none": (), **{name: (name,) for name in PRUNINGS}, "all": PRUNINGS}
    kernels = {
        name: measured.plain_kernel(panel, rules, without=without)
        for name, without in chosen.items()
    }
    starters = measured.every(panel, step)
    runs: dict[str, list[measured.Run]] = {name: [] for name in chosen}
    for _ in range(n_repeats):
        for name, kernel in kernels.items():
            if sum(run.seconds for run in runs[name]) < _ENOUGH_S:
                runs[name].append(measured.run_once(kernel, rules, starters))
    best = {name: measured.fastest(of) for name, of in runs.items()}
    full = best["none"]
    return [
        Pruned(name, run.seconds, run.seconds / full.seconds, run.visited, run.same_as(full))
        for name, run in best.items()
    ]


# ---- tables

_HEADER = (
    "what", "variations", "days", "tickers", "count", "loops", "attempts made", "core seconds",
    "million attempts/s", "panel MB", "extra memory MB", "limit MB", "visited",
)  # fmt: skip


def growth_table(rows: Sequence[Row]) -> str:
    """Return the growth table.

    Memory is in MiB; `visited` is the share of the attempts whose candidates were counted one by
    one.
    """
    return measured.markdown(_HEADER, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    extra = "?" if row.extra_bytes is None else f"{row.extra_bytes / MIB:,.0f}"
    return [
        row.what, f"{row.n_variations:,}", str(row.n_days), f"{row.n_tickers:,}",
        row.count, row.simd, f"{row.counters['attempts']:,}",
        f"{row.seconds:.2f}", f"{row.million_per_s:,.0f}",
        f"{row.panel_bytes / MIB:,.1f}", extra, f"{row.limit_bytes / MIB:,.0f}",
        f"{row.visited:.2%}",
    ]  # fmt: skip


def prunings_table(rows: Sequence[Pruned]) -> str:
    """Return the gains table."""
    header = ("without", "core seconds", "times the time with all", "visited", "results")
    cells = (
        [
            row.without,
            f"{row.seconds:.2f}",
            f"{row.times:.2f}",
            f"{row.visited:.2%}",
            "equal" if row.equal else "DIFFER",
        ]
        for row in rows
    )
    return measured.markdown(header, cells)


def problems(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the violations: too much memory, or unexpected counters."""
    for row in rows:
        if row.exceeds:
            used_bytes = row.panel_bytes + (row.extra_bytes or 0)
            yield f"{row.what}: {used_bytes:,} bytes are above the limit of {row.limit_bytes:,}"
        if row.what == "real week, whole" and _known(row) != GOLDEN | (
            {"tested": None} if row.count == "fast" else {}
        ):
            yield f"{row.what}, {row.count}: {row.counters} instead of {GOLDEN}"


def _known(row: Row) -> dict[str, Any]:
    """Return the counters up to the largest size; fast counts may be below `tested`."""
    cut = {
        name: value[:5] if isinstance(value, list) else value
        for name, value in row.counters.items()
    }
    return cut | ({"tested": None} if row.count == "fast" else {})


# ---- the command


def save_panel(path: Path, week: dict[str, Any] | None) -> Path:
    """Write the real week (None) or a generated one to a file, for `measured.load_panel`."""
    panel = read_signals(generator.REAL_WEEK) if week is None else generator.make_week(**week)
    path.write_bytes(pickle.dumps(panel, protocol=5))
    return path


class Panels:
    """Panels in a folder, each made once, in its own process."""

    def __init__(self, pool: Executor, folder: Path):
        self.pool, self.folder = pool, folder
        self.made: dict[str, Path] = {}

    def path(self, week: dict[str, Any] | None) -> Path:
        """Return the path of a panel; None is the real week, or a generated one without it."""
        key = "real" if week is None and REAL else str(week or {})
        if key not in self.made:
            target = self.folder / f"{len(self.made)}.pickle"
            self.made[key] = self.pool.submit(
                save_panel, target, None if key == "real" else week or {}
            ).result()
        return self.made[key]


def grow(panels: Panels, quick: bool) -> Iterator[Row]:
    """Yield all rows as they complete."""
    for case in cases(quick):
        yield panels.pool.submit(measure, panels.path(case.week), case).result()


def prune(panels: Panels, quick: bool) -> list[Pruned]:
    """Yield the gains of the short cuts on the base panel."""
    return panels.pool.submit(
        measure_prunings, panels.path(None), 64 if quick else 16, 1 if quick else 3
    ).result()


def noted(rows: Iterator[Row]) -> list[Row]:
    """Yield the rows, and report each on standard error when it is complete."""
    done = []
    started_ns = time.monotonic_ns()
    for row in rows:
        done.append(row)
        seconds = (time.monotonic_ns() - started_ns) / 1e9
        speed = f"{row.million_per_s:,.0f} million/s"
        print(f"{seconds:6.1f} s  {row.what}, {row.count}, {row.simd}: {speed}", file=sys.stderr)
    return done


def replace_table(path: Path, name: str, table: str) -> None:
    """Put `table` between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    text = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if start not in text or end not in text:
        raise SystemExit(
            f"{path}: no lines {start.strip()} and {end}; put them where the table belongs"
        )
    head, tail = text.split(start)[0], text.split(end)[1]
    path.write_text(f"{head}{start}{table}\n{end}{tail}", encoding="utf-8")


def machine() -> str:
    """Describe the machine of the run."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    return f"{processor}, {platform.system()}, Python {platform.python_version()}"


def write_all(path: Path, quick: bool) -> list[str]:
    """Measure everything and replace the tables in `path`; return the violations."""
    import bench_reaction
    import bench_threads
    import roofline

    with measured.fresh_processes() as pool, tempfile.TemporaryDirectory() as folder:
        panels = Panels(pool, Path(folder))
        rows, pruned = noted(grow(panels, quick)), prune(panels, quick)
        base = panels.path(None)
        roof = pool.submit(roofline.measure, base).result()
        late = [
            pool.submit(bench_reaction.measure, case).result()
            for case in bench_reaction.cases(quick)
        ]
    tables = {
        "machine": f"Measured on: {machine()}.",
        "growth": growth_table(rows),
        "prunings": prunings_table(pruned),
        "roofline": roofline.table(roof),
        "reaction": bench_reaction.table(late),
        "threads": bench_threads.table(list(bench_threads.pairs(1 if quick else 5))),
    }
    for name, table in tables.items():
        replace_table(path, name, table)
    return [*problems(rows), *_unequal(pruned)]


def _unequal(pruned: Sequence[Pruned]) -> list[str]:
    return [f"without {row.without}: other counters or groups" for row in pruned if not row.equal]


def show(arguments: argparse.Namespace) -> list[str]:
    """Measure and print one table; return the violations."""
    with measured.fresh_processes() as pool, tempfile.TemporaryDirectory() as folder:
        panels = Panels(pool, Path(folder))
        if arguments.prunings:
            pruned = prune(panels, arguments.quick)
            measured.print_json([asdict(row) for row in pruned]) if arguments.json else print(
                prunings_table(pruned)
            )
            return _unequal(pruned)
        rows = noted(grow(panels, arguments.quick))
    with_limits = [{**asdict(row), "limit_bytes": row.limit_bytes} for row in rows]
    measured.print_json({"machine": machine(), "rows": with_limits}) if arguments.json else print(
        growth_table(rows)
    )
    return list(problems(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer starters, in under a minute")
    parser.add_argument("--prunings", action="store_true", help="the gain of each short cut")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="replace all tables of the document FILE"
    )
    arguments = parser.parse_args()
    violations = write_all(arguments.write, arguments.quick) if arguments.write else show(arguments)
    if violations:
        raise SystemExit("\n".join(["FAILED", *violations]))


if __name__ == "__main__":
    main()
