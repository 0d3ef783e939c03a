"""The best score of every replicate: all starters through the kernel of replicates, in threads.

A test runs on what the search exhausted, up to the wall. Each worker thread has a kernel with
maxima of its own, which are merged at the end. A starter counts as tested once all groups that
begin with it met every replicate; what a wall cuts off can only have raised the maxima.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mp2._recurse import EXHAUSTED, Control, now_ns
from mp2._replicates import SEEN_BYTES, ReplicateSearch, ReplicateWorker
from mp2.data import bitset
from mp2.data.arrays import BoolArray, FloatArray, IndexArray, WordArray
from mp2.data.panel import SignalPanel
from mp2.evidence.fitting import Effort, Fitting
from mp2.evidence.nulls import BLOCK, n_blocks
from mp2.groups.ledger import Ledger
from mp2.groups.pool import PoolOutcome, run_pool
from mp2.groups.result import Status
from mp2.groups.rules import Rules

# Of one kernel, beside what grows with the variations: more than panels of months take.
_SCRATCH_BYTES = 1 << 20


def memory_needed(panel: SignalPanel, rules: Rules, n_replicates: int, workers: int) -> int:
    """Estimate the bytes that the labels of a test and the tables of all its kernels take."""
    n_variations, n_days = panel.n_variations, len(panel.days)
    n_labels = n_days * (len(panel.tickers) + 1) * BLOCK * n_blocks(n_replicates)
    # What a candidate buys takes vectors of 8 days.
    n_vectors = (n_days + 7) // 8 * bitset.n_words(int(bitset.count(panel.buys).max()))
    # Every candidate of a level has a mask of all later ones.
    n_masks = n_variations * max(0, rules.max_size - 3)
    mask_bytes = 8 * bitset.n_words(n_variations)
    lists = n_variations * (64 * n_vectors + 16 * rules.max_size + n_days)
    of_worker = lists + n_masks * mask_bytes + _SCRATCH_BYTES
    return n_labels // 8 + SEEN_BYTES + panel.n_bytes + workers * of_worker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replicated:
    """What the kernels found. S retained sizes, B drawn replicates, V variations.

    `maxima` float64[S, B + 1]: the best score of each replicate, -inf without an eligible group.
    `is_tested` bool[V]: starters whose groups met every replicate. `n_groups` int64[S].
    """

    maxima: FloatArray
    is_tested: BoolArray
    n_groups: IndexArray
    n_groups_exact: bool
    status: Status
    ended_ns: int


def run_replicates(
    panel: SignalPanel,
    rules: Rules,
    labels: WordArray,
    n_replicates: int,
    weights: Sequence[int],
    *,
    workers: int,
    started_ns: int,
    budget_ns: int,
    stop: threading.Event,
) -> Replicated:
    """Search all replicates of the labels uint64[D, T + 1, words] up to the wall.

    `weights`: the share of the space that begins with each variation; starters of weight 0 are not
    searched. When the wall turns out too near, fewer replicates are searched.
    """
    run = _Run(
        ReplicateSearch(panel, rules, labels, n_replicates + 1, n_workers=workers),
        len(rules.retain_sizes),
        weights,
        n_replicates,
        workers,
        wall_ns=started_ns + budget_ns,
    )
    ledger = Ledger(len(run.order), workers, budget_ns, work_limited=True)
    outcome = run_pool(
        ledger,
        run.turn,
        started_ns=started_ns,
        clock_ns=now_ns,
        new_control=Control,
        stop=stop,
    )
    return run.result(outcome)


class _Run:
    """The starters of one test, the kernels of its threads, and the number of replicates."""

    def __init__(
        self,
        search: ReplicateSearch,
        n_sizes: int,
        weights: Sequence[int],
        n_replicates: int,
        workers: int,
        wall_ns: int,
    ) -> None:
        self._search = search
        self._n_sizes = n_sizes
        self._weights = weights
        # The heaviest first: they cover the most, and the light ones even out the threads.
        begins_a_group = [idx for idx, weight in enumerate(weights) if weight]
        self.order = sorted(begins_a_group, key=lambda idx: -weights[idx])
        n_threads = min(workers, len(self.order))
        self._fitting = Fitting(n_replicates, sum(weights), n_threads, wall_ns)

        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._workers: list[ReplicateWorker] = []
        self._tested: list[int] = []
        self._weight_done = 0

    def turn(
        self,
        starter_idx: int,
        control: Control,
    ) -> int:
        """Search the starter at `starter_idx` in running order; return how its turn ended."""
        variation_idx = self.order[starter_idx]
        how = self._worker().run(variation_idx, control)
        if how == EXHAUSTED:
            with self._lock:
                self._book(variation_idx)
        return how

    def _worker(self) -> ReplicateWorker:
        """Return the kernel of this thread."""
        worker: ReplicateWorker | None = getattr(self._of_thread, "worker", None)
        if worker is None:
            worker = self._search.worker()
            self._of_thread.worker = worker
            with self._lock:
                self._workers.append(worker)
        return worker

    def _book(self, variation_idx: int) -> None:
        self._tested.append(variation_idx)
        self._weight_done += self._weights[variation_idx]
        effort = Effort(
            weight=self._weight_done,
            enumeration_ns=sum(worker.enumeration_ns for worker in self._workers),
            scoring_ns=sum(worker.scoring_ns for worker in self._workers),
        )
        self._search.lower(self._fitting.n_replicates_after(effort) + 1)

    def result(self, outcome: PoolOutcome) -> Replicated:
        """Merge what the threads found."""
        n_drawn = self._fitting.n_replicates + 1
        maxima = np.full((self._n_sizes, n_drawn), -np.inf)
        n_groups = np.zeros(self._n_sizes, np.int64)
        for worker in self._workers:
            np.maximum(maxima, worker.maxima[:, :n_drawn], out=maxima)
            n_groups += worker.n_groups
        is_tested = np.zeros(len(self._weights), np.bool_)
        is_tested[self._tested] = True
        return Replicated(
            maxima=maxima,
            is_tested=is_tested,
            n_groups=n_groups,
            n_groups_exact=all(worker.n_groups_exact for worker in self._workers),
            status=outcome.status,
            ended_ns=outcome.ended_ns,
        )
