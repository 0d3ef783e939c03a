"""The test for luck at workers elsewhere: ranges of starters as jobs, each with all replicates.

A job's answer is the starters that met every replicate, how many groups they have, and the best
score of each replicate that its worker knows. The maximum of maxima is the same in whatever order
they come, and whether one comes twice, so the whole is that of threads to the last bit.

Kernels stay at their worker from job to job: what they know of the maxima spares them scores. So
their maxima may be those of jobs whose answers were lost, as in threads those of starters that a
wall cut off: they count as done when another answer has them.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mp2._recurse import EXHAUSTED, Control, now_ns
from mp2._replicates import ReplicateSearch, ReplicateWorker
from mp2.data.arrays import FloatArray, IndexArray, WordArray
from mp2.data.panel import SignalPanel, first_alike
from mp2.errors import InputError
from mp2.evidence.fitting import Effort, Fitting
from mp2.evidence.replicates import Replicated
from mp2.groups.engines.engine import Engine
from mp2.groups.engines.handshake import n_processors
from mp2.groups.engines.jobs import Job, Jobs, LostClusterError, work_at
from mp2.groups.engines.messages import MessageError
from mp2.groups.ledger import Ledger
from mp2.groups.pool import run_pool
from mp2.groups.result import Status
from mp2.groups.rules import Rules

SMALL_WEIGHT = 2_000_000
"""The least weight of a range: a job costs its way there and back."""
_FIRST_SHARE = 1 / 400
_FIRST_RANGES = 16
"""Small ranges, by which the time of the rest is measured."""
_RANGES_OF_SLOT = 4
"""A later range is a part of what is left for each slot, so that all end at about the same time."""

_MARGIN_NS = 200_000_000
_MARGIN_OF_SLOT_NS = 500_000
"""How long before the wall jobs end, so that their answers are home in time."""

# What a job is given, before its starters: its time, and the number of replicates.
_GIVEN = struct.Struct("<qq")
# Of an answer: number of replicates and of tested starters, whether groups are exact, times.
_HEAD = struct.Struct("<qqqqq")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """What one job found; arrays as in `Replicated`, `tested` int64[n]."""

    tested: IndexArray
    n_groups: IndexArray
    n_groups_exact: bool
    maxima: FloatArray
    enumeration_ns: int
    scoring_ns: int

    def to_bytes(self) -> bytes:
        """Return the message."""
        head = _HEAD.pack(
            self.maxima.shape[1],
            len(self.tested),
            self.n_groups_exact,
            self.enumeration_ns,
            self.scoring_ns,
        )
        arrays = (self.tested, self.n_groups, self.maxima)
        return head + b"".join(array.tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, message: bytes, n_sizes: int) -> RangeAnswer:
        """Read the message; raises `MessageError`."""
        if len(message) < _HEAD.size:
            raise MessageError("an answer ends too early")
        n_drawn, n_tested, is_exact, enumeration_ns, scoring_ns = _HEAD.unpack_from(message)
        n_items = n_tested + n_sizes + n_sizes * n_drawn
        if min(n_drawn, n_tested) < 0 or len(message) != _HEAD.size + 8 * n_items:
            raise MessageError("an answer has another length than it says")
        numbers = np.frombuffer(message, np.int64, n_tested + n_sizes, _HEAD.size)
        maxima = np.frombuffer(message, np.float64, offset=_HEAD.size + numbers.nbytes)
        return cls(
            tested=numbers[:n_tested],
            n_groups=numbers[n_tested:],
            n_groups_exact=bool(is_exact),
            maxima=maxima.reshape(n_sizes, n_drawn),
            enumeration_ns=enumeration_ns,
            scoring_ns=scoring_ns,
        )


# ---- the worker's side


@dataclass(frozen=True)
class RangeWork:
    """What all jobs of a test need. The labels are drawn once, so no worker can draw others."""

    panel: SignalPanel
    rules: Rules
    labels: WordArray
    n_replicates: int

    def run(self, job: Job) -> bytes:
        """Test a range of starters until the time that is given."""
        began_ns = now_ns()
        left_ns, n_replicates = _GIVEN.unpack_from(job.given)
        starters = np.frombuffer(job.given, np.int32, offset=_GIVEN.size).tolist()
        tested: list[int] = []
        with self._kernels.one(n_replicates + 1) as kernel:
            n_groups = kernel.n_groups.copy()
            enumeration_ns = kernel.enumeration_ns
            scoring_ns = kernel.scoring_ns

            def turn(starter_idx: int, control: Control) -> int:
                how = kernel.run(starters[starter_idx], control)
                if how == EXHAUSTED:
                    tested.append(starters[starter_idx])
                return how

            # One thread; it is the pool that looks after stop and wall.
            run_pool(
                Ledger(len(starters), 1, max(1, left_ns), work_limited=True),
                turn,
                started_ns=began_ns,
                clock_ns=now_ns,
                new_control=Control,
                stop=job.stop,
            )
            answer = RangeAnswer(
                tested=np.array(tested, np.int64),
                n_groups=kernel.n_groups - n_groups,
                n_groups_exact=kernel.n_groups_exact,
                maxima=kernel.maxima,
                enumeration_ns=kernel.enumeration_ns - enumeration_ns,
                scoring_ns=kernel.scoring_ns - scoring_ns,
            )
        return answer.to_bytes()

    @cached_property
    def _kernels(self) -> _Kernels:
        # Made at the worker: it is not part of the pickle.
        return _Kernels(self)

    def new_search(self) -> ReplicateSearch:
        """Return what a kernel searches."""
        return ReplicateSearch(
            self.panel,
            self.rules,
            self.labels,
            self.n_replicates + 1,
            # As many slots as processors are assumed: a worker does not know of its neighbours.
            n_workers=n_processors(),
        )


class _Kernels:
    """The kernels of one process, each used by one job at a time.

    Each has a search of its own, which knows the starters it has exhausted: the best scores of a
    job that is done again are in the same kernel, never in another one.
    """

    def __init__(self, work: RangeWork) -> None:
        self._work = work
        self._idle: list[tuple[ReplicateSearch, ReplicateWorker]] = []
        self._lock = threading.Lock()

    @contextmanager
    def one(self, n_drawn: int) -> Iterator[ReplicateWorker]:
        """Yield a kernel that no other job uses, for the first `n_drawn` replicates.

        One that fails is not used again.
        """
        with self._lock:
            known = self._idle.pop() if self._idle else None
        if known is None:
            search = self._work.new_search()
            kernel = search.worker()
        else:
            search, kernel = known
        # A job may come late that was sent before the number fell.
        search.lower(min(n_drawn, search.n_replicates))
        yield kernel
        with self._lock:
            self._idle.append((search, kernel))


# ---- the caller's side


def run_replicates_elsewhere(
    panel: SignalPanel,
    rules: Rules,
    labels: WordArray,
    n_replicates: int,
    weights: Sequence[int],
    *,
    engine: Engine,
    started_ns: int,
    budget_ns: int,
    stop: threading.Event,
    warn: Callable[[str], None],
) -> Replicated:
    """Do as `run_replicates` does at the workers of an engine.

    When the workers are lost, or none can be used, what has come home is returned with the status
    of a stop, and `warn` gets the reason.
    """
    wall_ns = started_ns + budget_ns
    test = _RangeTest(len(rules.retain_sizes), n_replicates, weights, wall_ns)

    def is_over() -> bool:
        return stop.is_set() or now_ns() >= wall_ns

    is_lost = False
    work = RangeWork(panel, rules, labels, n_replicates)
    try:
        with work_at(engine, work, is_over=is_over, warn=warn) as queue:
            # How many there are is known now.
            test.plan(first_alike(panel).tolist(), queue.n_slots, budget_ns)
            for _, answer in queue.answers(test.jobs()):
                test.add(answer)
    except (LostClusterError, InputError) as error:
        warn(str(error))
        is_lost = True
    status = Status.WALL
    if test.is_complete():
        status = Status.COMPLETE
    elif stop.is_set() or is_lost:
        status = Status.STOPPED
    return test.result(status)


def ranges_of(
    weights: Sequence[int],
    alias_of: Sequence[int],
    n_slots: int,
) -> tuple[tuple[int, ...], ...]:
    """Cut the starters that have a weight into jobs, the heaviest first.

    Aliases stay together: their kernel searches one of them.
    """
    classes: dict[int, list[int]] = {}
    for starter, weight in enumerate(weights):
        if weight:
            classes.setdefault(alias_of[starter], []).append(starter)
    heaviest_first = sorted(classes.values(), key=lambda alike: -weights[alike[0]])
    total = sum(weights[alike[0]] for alike in heaviest_first)
    left = total
    ranges: list[tuple[int, ...]] = []
    current: list[int] = []
    weight = 0
    for alike in heaviest_first:
        current += alike
        weight += weights[alike[0]]
        wanted = left / (_RANGES_OF_SLOT * n_slots)
        if len(ranges) < _FIRST_RANGES:
            wanted = min(wanted, _FIRST_SHARE * total)
        if weight >= max(wanted, SMALL_WEIGHT):
            ranges.append(tuple(current))
            left -= weight
            current = []
            weight = 0
    if current:
        ranges.append(tuple(current))
    return tuple(ranges)


class _RangeTest:
    """The jobs of a test, and what has come home of them."""

    def __init__(
        self,
        n_sizes: int,
        n_replicates: int,
        weights: Sequence[int],
        wall_ns: int,
    ) -> None:
        self._most_replicates = n_replicates
        self._weights = weights
        self._wall_ns = wall_ns
        self._maxima = np.full((n_sizes, n_replicates + 1), -np.inf)
        self._is_tested = np.zeros(len(weights), np.bool_)
        self._n_groups = np.zeros(n_sizes, np.int64)
        self._n_groups_exact = True
        self._weight_done = 0
        self._enumeration_ns = 0
        self._scoring_ns = 0
        self.plan(range(len(weights)), 1, 0)

    def plan(
        self,
        alias_of: Sequence[int],
        n_slots: int,
        budget_ns: int,
    ) -> None:
        """Cut the test into jobs for so many slots."""
        self._ranges = ranges_of(self._weights, alias_of, n_slots)
        n_kernels = min(n_slots, len(self._ranges))
        self._fitting = Fitting(self._most_replicates, sum(self._weights), n_kernels, self._wall_ns)
        self._margin_ns = min(_MARGIN_NS + n_slots * _MARGIN_OF_SLOT_NS, budget_ns // 4)

    def jobs(self) -> Jobs[RangeAnswer]:
        """Return the jobs."""
        return Jobs(
            numbers=range(len(self._ranges)),
            read=self._read,
            job_s=max(0.0, (self._wall_ns - now_ns()) / 1e9),
            give=self._give,
        )

    def _give(self, number: int) -> bytes:
        """Return what a job is given: a duration, as clocks of other machines differ."""
        left_ns = self._wall_ns - self._margin_ns - now_ns()
        starters = np.array(self._ranges[number], np.int32)
        return _GIVEN.pack(left_ns, self._fitting.n_replicates) + starters.tobytes()

    def _read(self, number: int, message: bytes) -> RangeAnswer:
        """Read an answer and check it; raises `MessageError`."""
        answer = RangeAnswer.from_bytes(message, len(self._n_groups))
        n_drawn = answer.maxima.shape[1]
        # One that was sent before the number fell has more.
        if not self._fitting.n_replicates < n_drawn <= self._most_replicates + 1:
            raise MessageError(f"it has {n_drawn - 1} replicates")
        if not set(answer.tested.tolist()) <= set(self._ranges[number]):
            raise MessageError("it has starters that were not asked for")
        if np.isnan(answer.maxima).any():
            raise MessageError("a best score is no number")
        return answer

    def add(self, answer: RangeAnswer) -> None:
        """Add what a job found, once."""
        n_drawn = answer.maxima.shape[1]
        best = self._maxima[:, :n_drawn]
        np.maximum(best, answer.maxima, out=best)
        self._is_tested[answer.tested] = True
        self._n_groups += answer.n_groups
        self._n_groups_exact &= answer.n_groups_exact
        self._weight_done += sum(self._weights[starter] for starter in answer.tested.tolist())
        self._enumeration_ns += answer.enumeration_ns
        self._scoring_ns += answer.scoring_ns
        effort = Effort(self._weight_done, self._enumeration_ns, self._scoring_ns)
        self._fitting.n_replicates_after(effort)

    def is_complete(self) -> bool:
        """Whether all starters with a weight met every replicate."""
        return bool(self._is_tested[np.flatnonzero(self._weights)].all())

    def result(self, status: Status) -> Replicated:
        """Return all that has come home."""
        return Replicated(
            maxima=self._maxima[:, : self._fitting.n_replicates + 1].copy(),
            is_tested=self._is_tested,
            n_groups=self._n_groups,
            n_groups_exact=self._n_groups_exact,
            status=status,
            ended_ns=now_ns(),
        )
