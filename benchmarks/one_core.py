"""Run the same search twice on one core: with plain Python sets, and with the kernel.

The kernel is called directly, without scheduler and threads. `oracle`, the brute force of the
tests, must be importable: `tests/` has to be on the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import generator
import numpy as np
import oracle

from mp2 import _recurse
from mp2.data.panel import SignalPanel
from mp2.groups.kept import day_weights
from mp2.groups.rules import Rules


@dataclass
class PlainSearch:
    """The recursion of the specification on Python sets; each level passes its consensus down."""

    rules: Rules
    buys: list[list[frozenset[int]]]
    wins: list[frozenset[int]]
    first_after: list[int]
    weights: list[float]
    attempts: int = 0
    tested: list[int] = field(default_factory=list)
    eligible: list[int] = field(default_factory=list)
    best_score: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, panel: SignalPanel, rules: Rules) -> PlainSearch:
        """Make a search of a consistent panel, not yet started."""
        n_tickers = len(panel.tickers)
        return cls(
            rules=rules,
            buys=[generator.sets_by_day(rows, n_tickers) for rows in panel.buys],
            wins=generator.sets_by_day(panel.wins, n_tickers),
            first_after=np.searchsorted(panel.algo_of, panel.algo_of, side="right").tolist(),
            weights=day_weights(panel.base_win_rates, rules).tolist(),
            tested=[0] * (rules.max_size + 1),
            eligible=[0] * (rules.max_size + 1),
        )

    def run(self, starters: Iterable[int]) -> PlainSearch:
        """Search `starters`; return self."""
        for v in starters:
            self.visit(1, v, self.buys[v])
        return self

    def visit(self, size, last, consensus):
        self.attempts += 1
        if not any(consensus):
            return
        if size >= 2:
            hits = [
                len(tickers & winners)
                for tickers, winners in zip(consensus, self.wins, strict=True)
            ]
            if min(hits) < self.rules.min_daily_hits:
                return
            self.tested[size] += 1
            self.offer(size, consensus, hits)
        if size == self.rules.max_size:
            return
        for v in range(self.first_after[last], len(self.buys)):
            self.visit(
                size + 1,
                v,
                [tickers & more for tickers, more in zip(consensus, self.buys[v], strict=True)],
            )

    def offer(self, size, consensus, hits):
        if size not in self.rules.retain_sizes:
            return
        buys = [len(tickers) for tickers in consensus]
        found = oracle.statistics(
            buys, hits, len(frozenset().union(*consensus)), self.weights, self.rules
        )
        if oracle.is_eligible(found, self.rules):
            self.eligible[size] += 1
            self.best_score[size] = max(found["score"], self.best_score.get(size, found["score"]))


def make_kernel(
    panel: SignalPanel,
    rules: Rules,
    count: str = "exact",
) -> _recurse.Kernel:
    """Make the kernel for a panel as the scheduler does."""
    return _recurse.Kernel(
        panel.buys,
        panel.wins,
        panel.algo_of,
        day_weights(panel.base_win_rates, rules),
        rules,
        count=count,
    )


def run_kernel(kernel: _recurse.Kernel, starters: Iterable[int], rules: Rules):
    """Search starters to completion on this thread; return records and heaps of kept groups."""
    records = np.zeros(len(starters), dtype=_recurse.STARTER_DTYPE)
    records["variation_idx"] = starters
    heaps = {size: _recurse.TopGroups(size, rules.top_k) for size in rules.retain_sizes}
    never = _recurse.now_ns() + 10**15
    for i in range(len(starters)):
        assert (
            kernel.run(records[i : i + 1], _recurse.Control(never, never), heaps)
            == _recurse.EXHAUSTED
        )
    return records, heaps
