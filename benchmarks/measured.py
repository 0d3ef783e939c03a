"""Run the kernel on one core and measure it: core seconds, counters, peak memory.

For the scripts in this folder.
"""

from __future__ import annotations

import json
import pickle
import statistics
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.groups.kept import day_weights
from mp2.groups.rules import Rules

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Run:
    """Starters searched once on this thread.

    `seconds` is core time; `kept` has scores and members by size.
    """

    seconds: float
    records: np.ndarray
    kept: dict[int, tuple[np.ndarray, np.ndarray]]

    @property
    def attempts(self) -> int:
        """Attempts of all starters; like the other sums a Python integer."""
        return int(self.records["attempts"].sum())

    @property
    def visited(self) -> float:
        """Candidate rows counted one by one, by attempts."""
        return int(self.records["n_rows_scanned"].sum()) / self.attempts

    def counters(self) -> dict[str, Any]:
        """Every counter that does not depend on how the search is done."""
        sums = {
            name: self.records[name].sum(axis=0, dtype=np.int64).tolist()
            for name in ("tested", "eligible")
        }
        return {"attempts": self.attempts, **sums}

    def same_as(self, other: Run) -> bool:
        """Whether counters and kept groups are equal, to the last bit."""
        groups = all(
            np.array_equal(mine, its)
            for size in self.kept
            for mine, its in zip(self.kept[size], other.kept[size], strict=True)
        )
        return groups and self.counters() == other.counters()


def plain_kernel(
    panel: SignalPanel,
    rules: Rules,
    count: str = "exact",
    without: Collection[str] = (),
    table_bytes: int = _recurse.TURN_BYTES,
) -> _recurse.Kernel:
    """The kernel for a panel, with the choices the benchmarks vary."""
    weights = day_weights(panel.base_win_rates, rules)
    return _recurse.Kernel(
        panel.buys,
        panel.wins,
        panel.algo_of,
        weights,
        rules,
        count=count,
        without=frozenset(without),
        turn_bytes=table_bytes,
    )


def run_once(
    kernel: _recurse.Kernel,
    rules: Rules,
    starters: Sequence[int],
    budget_s: float | None = None,
) -> Run:
    """Search `starters` one after the other, each to completion or for at most `budget_s`."""
    kept = {size: _recurse.TopGroups(size, rules.top_k) for size in rules.retain_sizes}
    records = np.zeros(len(starters), dtype=_recurse.STARTER_DTYPE)
    records["variation_idx"] = starters
    started_ns = time.process_time_ns()
    for i in range(len(starters)):
        heaps = {size: _recurse.TopGroups(size, rules.top_k) for size in kept}
        wall_ns = _recurse.now_ns() + int(1e9 * (1e6 if budget_s is None else budget_s))
        kernel.run(records[i : i + 1], _recurse.Control(wall_ns, wall_ns), heaps)
        for size, groups in heaps.items():
            kept[size].merge(groups)
    seconds = (time.process_time_ns() - started_ns) / 1e9
    return Run(seconds, records, {size: groups.ranked() for size, groups in kept.items()})


def fastest(runs: Iterable[Run]) -> Run:
    """Return the fastest run by attempts a second: disturbances only slow a run down."""
    return max(runs, key=lambda run: run.attempts / run.seconds)


def every(panel: SignalPanel, step: int) -> list[int]:
    """A sample of starters: every `step`-th."""
    return list(range(step // 2, panel.n_variations, step))


# ---- separate processes


def fresh_processes() -> ProcessPoolExecutor:
    """Runs one call at a time, each in a new process, so that memory is measured per call."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)


def load_panel(path: Path) -> SignalPanel:
    """Load a pickled panel from a file; its arrays belong to this process."""
    panel = pickle.loads(path.read_bytes())
    assert isinstance(panel, SignalPanel)
    return panel


def start_of_memory() -> int | None:
    """Return the bytes this process uses now, and reset its peak; None where that is not known."""
    try:
        _RESET_PEAK.write_text("5")
        return _status_bytes("VmRSS")
    except OSError:
        return peak_memory()


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes.

    The peak is since `start_of_memory` where the system can reset it, else since the process
    started.
    """
    try:
        return _status_bytes("VmHWM")
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _status_bytes(name: str) -> int:
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) * 1024


# ---- tables


def ratios_text(mine: Sequence[float], others: Sequence[float]) -> str:
    """Return the median of the ratios of pairs, and their range."""
    ratios = [one / other for one, other in zip(mine, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is aligned to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1))
