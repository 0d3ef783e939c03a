"""The starters of a search: their order, one record each, coverage, and the scores' moments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mp2.data.arrays import AnyArray, IndexArray
from mp2.data.panel import SignalPanel, buys_of, never
from mp2.groups import space
from mp2.groups.checkpoint import RecordArray
from mp2.groups.result import Group, StarterRecord, StarterStatus
from mp2.groups.rules import Rules

NS_PER_S = 1_000_000_000


def running_order(
    panel: SignalPanel,
    special: Sequence[str] = (),
    late: Callable[[], bool] = never,
) -> IndexArray:
    """Variation numbers int64[V] in the order their starters run.

    Starters run by ascending number of buys, then by number; those of `special` algorithms last.
    Once `late` returns True the rest is neither counted nor sorted: the search will not begin.
    """
    n_buys = buys_of(panel, late)
    # Half a count would give a wrong order, and a sort of all variations would be late.
    if late():
        return np.arange(len(n_buys))
    is_special = np.isin(np.array(panel.algos), list(special))
    return np.lexsort((n_buys, is_special[panel.algo_of]))


class Branches:
    """The branches of V starters, a pair of a starter and a second member each, by starter.

    `n` and `n_done` int64[V]: how many there are, and how many of them are wholly visited.
    """

    def __init__(
        self,
        panel: SignalPanel,
        records: RecordArray,
    ) -> None:
        # The branches of a starter are the variations of all later algorithms.
        self._algo_sizes = np.bincount(panel.algo_of, minlength=len(panel.algos))
        self._first = np.cumsum(self._algo_sizes)[panel.algo_of]
        self.n = len(records) - self._first

        # A cursor of several levels stands inside the branch before its first position.
        depth = records["depth"]
        n_visited = records["cursor"][:, 0] - self._first - (depth > 1)
        n_done = np.where(depth > 0, n_visited, 0)
        is_exhausted = records["exhausted"] != 0
        self.n_done = np.where(is_exhausted, self.n, n_done)

    def coverage(
        self,
        max_size: int,
        *,
        complete: bool,
    ) -> float:
        """Weight of the branches done over the weight of all; 1.0 if and only if `complete`."""
        weights = space.branch_weights(self._algo_sizes.tolist(), max_size)
        # Python integers: weights go far beyond 64 bits.
        done = 0
        total = 0
        first = 0
        for weight, algo_size in zip(weights, self._algo_sizes.tolist(), strict=True):
            # Only starters before the algorithm, numbers below `first`, have branches into it.
            next_branch = self._first[:first] + self.n_done[:first]
            n_done = np.clip(next_branch - first, 0, algo_size).sum()
            done += weight * int(n_done)
            total += weight * first * algo_size
            first += algo_size
        return space.coverage(done, total, complete=complete)


class StarterTable(Sequence[StarterRecord]):
    """The records of all starters, in variation order, each built when it is read.

    `records` STARTER_DTYPE[V] and `times` TIMES_DTYPE[V] are indexed by variation. `kept` maps a
    retained size to its kept groups.
    """

    def __init__(
        self,
        panel: SignalPanel,
        rules: Rules,
        records: RecordArray,
        times: RecordArray,
        kept: dict[int, tuple[Group, ...]],
    ) -> None:
        self._panel = panel
        self._rules = rules
        self._records = records
        self._times = times
        self._n_retained = {}
        for size, groups in kept.items():
            starters = [group.members[0].variation_idx for group in groups]
            self._n_retained[size] = Counter(starters)
        self._n_buys = panel.n_buys
        self._branches = Branches(panel, records)

    def __len__(self) -> int:
        return len(self._records)

    def __eq__(self, other: object) -> bool:
        """Compare record by record, so that a copy equals the table it was made of."""
        if not isinstance(other, StarterTable):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, index: Any) -> Any:
        """Return one record, or a list of records for a slice."""
        variations = range(len(self))[index]
        if isinstance(variations, range):
            return [self._build(variation_idx) for variation_idx in variations]
        return self._build(variations)

    @property
    def n_branches(self) -> int:
        """Branches (starter, second member) of all starters."""
        return int(self._branches.n.sum())

    @property
    def n_branches_done(self) -> int:
        """Branches that are wholly visited."""
        return int(self._branches.n_done.sum())

    def coverage(self, *, complete: bool) -> float:
        """Weight of the branches done over the weight of all; 1.0 if and only if `complete`."""
        return self._branches.coverage(self._rules.max_size, complete=complete)

    def _build(self, variation_idx: int) -> StarterRecord:
        record = self._records[variation_idx]
        # `item` and `tolist` convert at once: numpy hands out single values slowly.
        used_ns, limit_start_ns, limit_end_ns, n_turns = self._times[variation_idx].item()
        tested = record["tested"].tolist()
        eligible = record["eligible"].tolist()
        cursor = record["cursor"].tolist()
        attempts = int(record["attempts"])

        status = StarterStatus.NOT_STARTED
        if record["exhausted"]:
            status = StarterStatus.EXHAUSTED
        elif attempts:
            status = StarterStatus.CUT_OFF

        return StarterRecord(
            variation_idx=variation_idx,
            algo=self._panel.algos[self._panel.algo_of[variation_idx]],
            variation=self._panel.variations[variation_idx],
            n_buys=int(self._n_buys[variation_idx]),
            status=status,
            elapsed_s=used_ns / NS_PER_S,
            limit_start_s=limit_start_ns / NS_PER_S,
            limit_end_s=limit_end_ns / NS_PER_S,
            n_turns=n_turns,
            attempts=attempts,
            tested={size: tested[size] for size in range(2, self._rules.max_size + 1)},
            eligible={size: eligible[size] for size in self._rules.retain_sizes},
            retained={size: counts[variation_idx] for size, counts in self._n_retained.items()},
            n_branches=int(self._branches.n[variation_idx]),
            n_branches_done=int(self._branches.n_done[variation_idx]),
            cursor=tuple(cursor[: int(record["depth"])]),
        )


def exact_sum(counts: AnyArray) -> Any:
    """Sum integers over the first axis without wrapping: a total may exceed 64 bits."""
    return counts.sum(axis=0, dtype=object)


def score_moments(
    records: RecordArray,
    size: int,
) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of all eligible scores of a size; None without scores.

    Pairwise update of Chan, Golub and LeVeque (1979), in the order of variation numbers: a fixed
    order gives the same bits for any number of workers. A single score has deviation 0.
    """
    # Scores vary little beside their mean, so plain sums of squares would cancel.
    counts = records["eligible"][:, size]
    means = records["score_mean"][:, size]
    squares = records["score_m2"][:, size]
    n = 0
    mean = 0.0
    m2 = 0.0
    for i in np.flatnonzero(counts).tolist():
        n_more = int(counts[i])
        delta = float(means[i]) - mean
        n_both = n + n_more
        mean += delta * (n_more / n_both)
        m2 += float(squares[i]) + delta * delta * (n * n_more / n_both)
        n = n_both

    if n == 0:
        return None, None
    if n == 1:
        return mean, 0.0
    return mean, math.sqrt(m2 / (n - 1))
