"""One search: every starter of a panel through the kernel, under a budget, into one result."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from mp2 import _recurse
from mp2._recurse import EXHAUSTED, STARTER_DTYPE, Control, Kernel, TopGroups
from mp2.data import bitset
from mp2.data.panel import SignalPanel, buys_of, first_alike, never
from mp2.errors import InputError
from mp2.groups import aliases, space, synergy
from mp2.groups.aliases import Found, Legacies
from mp2.groups.checkpoint import TIMES_DTYPE, Recorder, SearchState
from mp2.groups.pool import PoolOutcome, Progress, run_pool
from mp2.groups.result import (
    DayConsensus,
    DayStats,
    Group,
    Member,
    SearchResult,
    StarterRecord,
    StarterStatus,
    Status,
)
from mp2.groups.rules import Rules
from mp2.groups.settings import MAX_BUDGET_S, SearchSettings, check_settings

NS_PER_S = 1_000_000_000
_TABLE_BYTES = 200 << 20
# Finding identical variations saves time, so it must not take all of it.
_SHARE_FOR_ALIASES = 0.5
# A thread that waits for a core is late by that; so much of a budget may be given up to be on time.
_MAX_EARLY_NS, _MAX_EARLY_SHARE = 25_000_000, 0.25
# Windows counts the time of a thread in steps of 15.6 ms.
_CPU_TIME_IS_FINE = sys.platform != "win32"
# Consensus sets of kept groups are formed this many bytes at a time; the numbers of their tickers take up to 64 times as many.
_CHUNK_BYTES = 1 << 20

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """A running search: the pool's state, attempts so far and the best score kept per retained size."""

    pool: Progress
    n_starters: int
    attempts: int
    best_score: dict[int, float | None]


def search(
    panel: SignalPanel,
    settings: SearchSettings | None = None,
    *,
    stop: threading.Event | None = None,
    observe: Callable[[SearchProgress], None] | None = None,
    observe_every_s: float = 0.1,
    recorder: Recorder | None = None,
) -> SearchResult:
    """Search a panel for the best consensus groups within `settings.budget_s` seconds.

    Setting `stop` (from any thread, or a signal handler) ends the search and keeps all groups found so far. `observe` is
    called in the calling thread about every `observe_every_s` seconds.

    A `recorder` provides the state to resume from, if any, and gets the search before it begins. A resumed search needs
    the same panel, rules and `count` as the earlier one. It has a budget of its own, its result is that of a search that
    was never interrupted, and its times and budgets are sums.

    Raises `InputError` for an unusable setting or state; `MemoryError` when a starter's working memory cannot be had.
    """
    started_ns, cpu_ns = _recurse.now_ns(), time.thread_time_ns()
    settings = settings or SearchSettings()
    check_settings(panel, settings)
    workers, max_attempts = settings.workers, settings.max_attempts
    budget = _Budget(max(1, round(settings.budget_s * NS_PER_S)), started_ns, cpu_ns, stop)
    run = _Run(
        panel,
        settings.rules,
        settings.special,
        max_attempts,
        settings.count,
        frozenset(settings.without),
        workers,
        budget,
    )
    if recorder is not None:
        if recorder.resume_from is not None:
            run.restore(recorder.resume_from)
        recorder.watch(run)
    outcome = run_pool(
        len(run.order),
        run.turn,
        budget_ns=budget.budget_ns,
        workers=workers,
        started_ns=started_ns,
        clock_ns=_recurse.now_ns,
        new_control=Control,
        stop=stop,
        work_limited=max_attempts is not None,
        observe=None if observe is None else lambda pool: observe(run.progress(pool)),
        observe_every_s=observe_every_s,
    )
    run.close()
    run.account(outcome, elapsed_ns=outcome.ended_ns - started_ns, budget_ns=budget.budget_ns)
    return run.result(outcome, workers=workers)


def running_order(
    panel: SignalPanel, special: Sequence[str] = (), late: Callable[[], bool] = never
) -> npt.NDArray[np.int64]:
    """Variation numbers in the order starters run: by ascending ticker count, then number; special algorithms last.

    Once `late` says so nothing is counted or sorted any more: an order for a search that will not begin.
    """
    is_special = np.isin(np.array(panel.algos), list(special))[panel.algo_of]
    n_buys = buys_of(panel, late)
    return np.arange(len(n_buys)) if late() else np.lexsort((n_buys, is_special))


def memory_needed(panel: SignalPanel, rules: Rules, workers: int) -> int:
    """Bytes a search of this panel takes at most, beside the interpreter: an estimate for people, rounded up.

    The panel, the starters' records, what identical starters leave to each other, and per worker the kernel's lists,
    consensus sets and tables.
    """
    n_variations, row_bytes = len(panel.variations), panel.buys[:1].nbytes
    n_workers = min(workers, n_variations)
    lists = rules.max_size * 8 * n_variations + (2 * rules.max_size + 16) * row_bytes
    one_kept = len(rules.retain_sizes) * rules.top_k * _recurse.ENTRY_BYTES
    n_classes = int(np.count_nonzero(np.bincount(panel.alias_of) > 1))
    kept = (n_workers + 1) * one_kept + min(aliases.MAX_BYTES, 2 * n_classes * one_kept)
    return (
        panel.n_bytes
        + n_variations * STARTER_DTYPE.itemsize
        + n_workers * (lists + turn_bytes(n_workers))
        + kept
    )


def turn_bytes(n_workers: int) -> int:
    """What the tables of one running starter may take, so that all workers' together stay under 200 MB."""
    return min(_recurse.TURN_BYTES, _TABLE_BYTES // max(1, n_workers))


class _Budget:
    """The time of a search that gets ready, in the thread that entered it at `started_ns`, having used `cpu_ns` of CPU time.

    `longest_pause_ns`: the longest the thread was seen to be put aside for between two looks at `spent`.
    """

    def __init__(
        self, budget_ns: int, started_ns: int, cpu_ns: int, stop: threading.Event | None = None
    ) -> None:
        self.budget_ns, self.started_ns, self.longest_pause_ns = budget_ns, started_ns, 0
        self._looked_ns, self._looked_cpu_ns, self._stop = started_ns, cpu_ns, stop

    @classmethod
    def unlimited(cls) -> _Budget:
        """Of a search that nobody waits for."""
        return cls(round(MAX_BUDGET_S * NS_PER_S), _recurse.now_ns(), time.thread_time_ns())

    @property
    def max_early_ns(self) -> int:
        """How long before the wall a search may end that has to wait for a core."""
        return min(_MAX_EARLY_NS, round(_MAX_EARLY_SHARE * self.budget_ns))

    def spent(self) -> float:
        """Which share of the budget is over; 1 or more once the search is to stop."""
        now_ns, cpu_ns = _recurse.now_ns(), time.thread_time_ns()
        if _CPU_TIME_IS_FINE:
            pause_ns = (now_ns - self._looked_ns) - (cpu_ns - self._looked_cpu_ns)
            self.longest_pause_ns = max(self.longest_pause_ns, pause_ns)
        self._looked_ns, self._looked_cpu_ns = now_ns, cpu_ns
        if self._stop is not None and self._stop.is_set():
            return 1.0
        return (now_ns - self.started_ns) / self.budget_ns

    def is_over(self) -> bool:
        """Whether there is no time left to begin a search."""
        spent_ns = self.spent() * self.budget_ns
        return spent_ns + min(self.longest_pause_ns, self.max_early_ns) >= self.budget_ns


class _Run:
    """The state of one search: one record per starter, the kept groups, and what is shared under one lock.

    Getting ready heeds `budget`. A record that is all zero is that of a starter that has not begun: so their memory is taken
    when they do.
    """

    def __init__(
        self,
        panel: SignalPanel,
        rules: Rules,
        special: Sequence[str],
        max_attempts: int | None,
        count: str,
        without: frozenset[str],
        workers: int = 1,
        budget: _Budget | None = None,
    ) -> None:
        # This budget and the time since its start count in states taken while it lasts.
        self._session = (budget.started_ns, budget.budget_ns) if budget else None
        budget = budget or _Budget.unlimited()
        self.panel, self.rules, self.special, self.max_attempts = (
            panel,
            rules,
            tuple(special),
            max_attempts,
        )
        self.tested_exact = count == "exact"
        self.day_weights = synergy.day_weights(panel.base_win_rates, rules)
        self.order = running_order(panel, special, budget.is_over)
        self.records = np.zeros(len(self.order), dtype=STARTER_DTYPE)
        self.times = np.zeros(len(self.order), dtype=TIMES_DTYPE)
        self.elapsed_ns = self.budget_ns = 0
        self.overrun_s = 0.0
        self._times_before = self.times.copy()
        self._changed: set[int] = set()
        self._taken: set[int] = set()
        self.kernel = Kernel(
            panel.buys,
            panel.wins,
            panel.algo_of,
            self.day_weights,
            rules,
            count=count,
            without=without,
            turn_bytes=turn_bytes(min(workers, len(self.order))),
            max_early_ns=budget.max_early_ns,
        )
        self.kept = self._empty_heaps()
        self._shared = None if "threshold" in without else self.kept
        self.alias_of = first_alike(panel, lambda: budget.spent() >= _SHARE_FOR_ALIASES)
        self._all_looked_at = budget.spent() < _SHARE_FOR_ALIASES
        self.kernel.note_pause(budget.longest_pause_ns)
        self._legacies = Legacies(
            self.alias_of, max_bytes=0 if "aliases" in without else aliases.MAX_BYTES
        )
        self._n_taken_over = 0
        self._lock = threading.Lock()
        self._running: dict[int, Control] = {}
        self._attempts = 0
        self._closed = False

    def turn(self, starter_idx: int, control: Control) -> int:
        """One turn of the starter that is `starter_idx`-th in running order; returns the kernel's status.

        A starter identical to one that is done takes over what that one found. The kernel works on a copy of the starter's
        record, so that a turn that was abandoned leaves no trace.
        """
        variation_idx = int(self.order[starter_idx])
        if self._take_over(variation_idx, control):
            return EXHAUSTED
        record, started_ns = (
            self.records[variation_idx : variation_idx + 1].copy(),
            _recurse.now_ns(),
        )
        record["variation_idx"] = variation_idx
        found = Found(record, self._empty_heaps(self._shared))
        with self._lock:
            self._running[starter_idx] = control
        try:
            return self.kernel.run(record, control, found.groups, self.max_attempts or 0)
        finally:
            with self._lock:
                del self._running[starter_idx]
                self._settle(
                    variation_idx,
                    found,
                    _recurse.now_ns() - started_ns,
                    control.deadline_ns - started_ns,
                )

    def _take_over(self, variation_idx: int, control: Control) -> bool:
        """Whether the starter, at its first turn, got what an identical one found; heeds stop and wall as the kernel does."""
        if self.records["attempts"][variation_idx]:
            return False
        with self._lock:
            legacy = self._legacies.begin(variation_idx)
        if legacy is None or self.kernel.would_end(control):
            return False
        found = legacy.by(variation_idx)
        with self._lock:
            self._n_taken_over += not self._closed
            self._settle(variation_idx, found)
        return True

    def _settle(
        self, variation_idx: int, found: Found, used_ns: int = 0, granted_ns: int = 0
    ) -> None:
        """Take in what a turn brought; called with the lock, and without effect once the run is closed."""
        if self._closed:
            return
        self._changed.add(variation_idx)
        self._note_times(
            self.times[variation_idx : variation_idx + 1], used_ns, max(used_ns, granted_ns)
        )
        attempts_before, attempts = (
            int(self.records["attempts"][variation_idx]),
            int(found.record["attempts"][0]),
        )
        self.records[variation_idx] = found.record[0]
        self._attempts += attempts - attempts_before
        for size, groups in found.groups.items():
            self.kept[size].merge(groups)
        if not attempts_before and found.record["exhausted"][0]:
            self._legacies.keep(variation_idx, found)

    def _note_times(self, times: npt.NDArray[np.void], used_ns: int, granted_ns: int) -> None:
        """What a turn took, for states taken meanwhile; at the end the pool's own books count."""
        if not times["n_turns"][0]:
            times["limit_start_ns"] = granted_ns
        times["used_ns"] += used_ns
        times["limit_end_ns"] += granted_ns
        times["n_turns"] += 1

    def _empty_heaps(self, shared: dict[int, TopGroups] | None = None) -> dict[int, TopGroups]:
        return {
            size: TopGroups(size, self.rules.top_k, shared[size] if shared else None)
            for size in self.rules.retain_sizes
        }

    def progress(self, pool: Progress) -> SearchProgress:
        with self._lock:
            attempts = self._attempts + sum(control.attempts for control in self._running.values())
            best = {size: groups.best() for size, groups in self.kept.items()}
        return SearchProgress(pool, len(self.order), attempts, best)

    def restore(self, state: SearchState) -> None:
        """Go on from `state`: exhausted starters do not run again."""
        problems = list(state.problems(self.panel.algo_of, self.rules))
        if problems:
            raise InputError(
                [f"the state cannot be used to go on: {problem}" for problem in problems]
            )
        n_made = int(state.records["attempts"].max(initial=0))
        if self.max_attempts is not None and self.max_attempts < n_made:
            raise InputError(
                f"max_attempts: {self.max_attempts} is less than the {n_made} already made; give more, or leave it out"
            )
        self._n_taken_over = state.n_taken_over
        begun = state.records["variation_idx"]
        self.records[begun], self.times[begun] = state.records, state.times
        for size, (scores, members) in state.kept.items():
            self.kept[size].restore(scores, members)
        self.elapsed_ns, self.budget_ns = state.elapsed_ns, state.budget_ns
        self._attempts = _total(state.records["attempts"])
        self.order = self.order[self.records["exhausted"][self.order] == 0]
        self._times_before = self.times.copy()

    def take(self) -> SearchState:
        """See `Resumable`."""
        with self._lock:
            self._taken |= self._changed
            self._changed = set()
            changed = np.array(sorted(self._taken), np.int64)
            kept = {size: groups.ranked() for size, groups in self.kept.items()}
            started_ns, budget_ns = self._session or (0, 0)
            spent_ns = _recurse.now_ns() - started_ns if self._session else 0
            times = self.elapsed_ns + spent_ns, self.budget_ns + budget_ns
            return SearchState(
                self.records[changed], self.times[changed], kept, *times, self._n_taken_over
            )

    def confirm(self) -> None:
        """See `Resumable`."""
        self._taken = set()

    def close(self) -> None:
        """Take no more results: a turn that was abandoned may still be running."""
        with self._lock:
            self._closed = True

    def account(self, outcome: PoolOutcome, *, elapsed_ns: int, budget_ns: int) -> None:
        """Add up the times of a closed run as the pool booked them."""
        with self._lock:
            self.elapsed_ns, self.budget_ns, self._session = (
                self.elapsed_ns + elapsed_ns,
                self.budget_ns + budget_ns,
                None,
            )
            self.overrun_s = max(0.0, elapsed_ns / NS_PER_S - budget_ns / NS_PER_S)
            before, self.times = self._times_before, self._times_before.copy()
            granted = before["limit_end_ns"][self.order]
            first = before["n_turns"][self.order] == 0
            self.times["used_ns"][self.order] += np.array(outcome.used_ns, np.int64)
            self.times["n_turns"][self.order] += np.array(outcome.n_turns, np.int64)
            self.times["limit_start_ns"][self.order[first]] = np.array(
                outcome.limit_start_ns, np.int64
            )[first]
            self.times["limit_end_ns"][self.order] = granted + np.array(
                outcome.limit_end_ns, np.int64
            )
            ran = self.order[np.array(outcome.n_turns, np.int64) > 0]
            self._changed.update(
                ran[self.records["attempts"][ran] > 0].tolist()
            )  # an abandoned first turn left no record

    def result(self, outcome: PoolOutcome, *, workers: int) -> SearchResult:
        ranked = {size: groups.ranked() for size, groups in self.kept.items()}
        kept, picked = {}, {}
        for size, (scores, members) in ranked.items():
            kept[size], picked[size] = _describe_groups(
                self.panel, self.rules, self.day_weights, scores, members
            )
        starters = StarterTable(self.panel, self.rules, self.records, self.times, ranked)
        moments = {size: _merge_moments(self.records, size) for size in self.rules.retain_sizes}
        return SearchResult(
            status=outcome.status,
            rules=self.rules,
            budget_s=self.budget_ns / NS_PER_S,
            elapsed_s=self.elapsed_ns / NS_PER_S,
            overrun_s=self.overrun_s,
            workers=workers,
            n_starters=len(self.records),
            n_exhausted=int(self.records["exhausted"].sum()),
            coverage=starters.coverage(complete=outcome.status is Status.COMPLETE),
            n_branches=starters.n_branches,
            n_branches_done=starters.n_branches_done,
            tested_exact=self.tested_exact,
            attempts=_total(self.records["attempts"]),
            tested={
                size: _total(self.records["tested"][:, size])
                for size in range(2, self.rules.max_size + 1)
            },
            eligible={
                size: _total(self.records["eligible"][:, size]) for size in self.rules.retain_sizes
            },
            score_mean={size: mean for size, (mean, _) in moments.items()},
            score_std={size: std for size, (_, std) in moments.items()},
            kept=kept,
            picked_rank=picked,
            days=self.panel.days,
            day_weights=tuple(self.day_weights.tolist()),
            base_win_rates=tuple(self.panel.base_win_rates.tolist()),
            special=self.special,
            max_attempts=self.max_attempts,
            input_fingerprint=self.panel.fingerprint,
            warnings=(*self.panel.warnings, *self._warnings(outcome)),
            starters=starters,
            n_visited=self._n_visited(),
            aliases=_alias_classes(self.panel, self.alias_of),
        )

    def _warnings(self, outcome: PoolOutcome) -> Iterator[str]:
        if not self._all_looked_at:
            yield "not all variations were compared for being identical: the budget was too short for it"
        yield from _abandoned_warning(self.panel, self.order, outcome)

    def _n_visited(self) -> int:
        """Starters that were visited themselves, and the candidates counted below them."""
        n_begun = int(np.count_nonzero(self.records["attempts"]))
        return n_begun - self._n_taken_over + _total(self.records["n_rows_scanned"])


class StarterTable(Sequence[StarterRecord]):
    """What became of every starter, in variation order; a record is made when it is asked for."""

    def __init__(
        self,
        panel: SignalPanel,
        rules: Rules,
        records: npt.NDArray[np.void],
        times: npt.NDArray[np.void],
        ranked: dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]],
    ) -> None:
        self._panel, self._rules, self._records, self._times = panel, rules, records, times
        self._retained = {
            size: np.bincount(members[:, 0], minlength=len(records))
            for size, (_, members) in ranked.items()
        }
        self._sizes = np.bincount(panel.algo_of, minlength=len(panel.algos))
        self._first_branch = np.cumsum(self._sizes)[panel.algo_of]
        self._n_buys = panel.n_buys
        self._n_done = self._branches_done()

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> StarterRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StarterRecord]: ...
    def __getitem__(self, index: int | slice) -> StarterRecord | Sequence[StarterRecord]:
        numbers = range(len(self))[index]
        return (
            list(self._made(numbers))
            if isinstance(numbers, range)
            else next(self._made(range(numbers, numbers + 1)))
        )

    def __iter__(self) -> Iterator[StarterRecord]:
        for at in range(0, len(self), _N_RECORDS_AT_ONCE):
            yield from self._made(range(len(self))[at : at + _N_RECORDS_AT_ONCE])

    @property
    def n_branches(self) -> int:
        """Branches (starter, second member) of all starters."""
        return len(self) * len(self) - int(self._first_branch.sum())

    @property
    def n_branches_done(self) -> int:
        """Branches with no visit left."""
        return int(self._n_done.sum())

    def coverage(self, *, complete: bool) -> float:
        """Weight of the branches done over the weight of all, 1.0 if and only if `complete`."""
        weights = space.branch_weights(self._sizes.tolist(), self._rules.max_size)
        ends = np.concatenate([[0], np.cumsum(self._sizes)])
        done = total = 0
        for algo_idx, weight in enumerate(weights):
            n_earlier = int(ends[algo_idx])
            reached = self._first_branch[:n_earlier] + self._n_done[:n_earlier] - n_earlier
            done += weight * int(np.clip(reached, 0, self._sizes[algo_idx]).sum())
            total += weight * n_earlier * int(self._sizes[algo_idx])
        return space.coverage(done, total, complete=complete)

    def _branches_done(self) -> IntArray:
        """Second members wholly visited: those before the cursor, less the one a deeper cursor is still in."""
        depth, cursor = self._records["depth"], self._records["cursor"][:, 0]
        cut_off = np.where(depth > 0, cursor - self._first_branch - (depth > 1), 0)
        done: IntArray = np.where(
            self._records["exhausted"] != 0, len(self) - self._first_branch, cut_off
        )
        return done

    def _made(self, numbers: range) -> Iterator[StarterRecord]:
        """Records of these variations; a column at a time, because single values out of an array are slow."""
        own = np.array(numbers, dtype=np.intp)
        rows = {name: self._records[name][own].tolist() for name in _STARTER_COLUMNS}
        times = {name: self._times[name][own].tolist() for name in TIMES_DTYPE.names or ()}
        retained = {size: counts[own].tolist() for size, counts in self._retained.items()}
        algo_of, n_buys, n_done = (
            column[own].tolist() for column in (self._panel.algo_of, self._n_buys, self._n_done)
        )
        n_branches = (len(self) - self._first_branch[own]).tolist()
        for i, v in enumerate(numbers):
            attempts, tested, eligible = rows["attempts"][i], rows["tested"][i], rows["eligible"][i]
            yield StarterRecord(
                variation_idx=v,
                algo=self._panel.algos[algo_of[i]],
                variation=self._panel.variations[v],
                n_buys=n_buys[i],
                status=_starter_status(rows["exhausted"][i], attempts),
                elapsed_s=times["used_ns"][i] / NS_PER_S,
                limit_start_s=times["limit_start_ns"][i] / NS_PER_S,
                limit_end_s=times["limit_end_ns"][i] / NS_PER_S,
                n_turns=times["n_turns"][i],
                attempts=attempts,
                tested={size: tested[size] for size in range(2, self._rules.max_size + 1)},
                eligible={size: eligible[size] for size in self._rules.retain_sizes},
                retained={size: counts[i] for size, counts in retained.items()},
                n_branches=n_branches[i],
                n_branches_done=n_done[i],
                cursor=tuple(rows["cursor"][i][: rows["depth"][i]]),
            )


_STARTER_COLUMNS = ("attempts", "tested", "eligible", "depth", "cursor", "exhausted")
_N_RECORDS_AT_ONCE = 1000


def _alias_classes(
    panel: SignalPanel, alias_of: npt.NDArray[np.int32]
) -> tuple[tuple[Member, ...], ...]:
    """Classes of two or more identical variations, each in order."""
    classes: dict[int, list[Member]] = {}
    for v in np.flatnonzero(np.bincount(alias_of)[alias_of] > 1).tolist():
        classes.setdefault(int(alias_of[v]), []).append(_member(panel, v))
    return tuple(map(tuple, classes.values()))


def _abandoned_warning(panel: SignalPanel, order: IntArray, outcome: PoolOutcome) -> Iterator[str]:
    for starter_idx in outcome.abandoned:
        v = int(order[starter_idx])
        yield (
            f"starter {panel.algos[panel.algo_of[v]]} {panel.variations[v]} did not return in time and was abandoned; "
            "its last turn is not part of the result"
        )


def _starter_status(exhausted: int, attempts: int) -> StarterStatus:
    if exhausted:
        return StarterStatus.EXHAUSTED
    return StarterStatus.CUT_OFF if attempts else StarterStatus.NOT_STARTED


def _total(counts: npt.NDArray[Any]) -> int:
    """An exact sum: totals may leave the 64-bit range the counters of one starter stay in."""
    return sum(counts.tolist())


def _merge_moments(records: npt.NDArray[np.void], size: int) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of all eligible scores of a size, merged in starter-number order.

    Pairwise update of Chan, Golub and LeVeque (1979); the fixed order makes the result the same for any worker count.
    """
    counts, means, squares = (
        records[name][:, size] for name in ("eligible", "score_mean", "score_m2")
    )
    n, mean, m2 = 0, 0.0, 0.0
    for i in np.flatnonzero(counts).tolist():
        n_more, delta = int(counts[i]), float(means[i]) - mean
        total = n + n_more
        mean += delta * (n_more / total)
        m2 += float(squares[i]) + delta * delta * (n * n_more / total)
        n = total
    if n == 0:
        return None, None
    return mean, math.sqrt(m2 / (n - 1)) if n > 1 else 0.0


def _describe_groups(
    panel: SignalPanel,
    rules: Rules,
    day_weights: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    members: npt.NDArray[np.int32],
) -> tuple[tuple[Group, ...], int | None]:
    """The records of kept groups, best first, and the rank of the picked one."""
    groups: list[Group] = []
    daily_pp: list[npt.NDArray[np.float64]] = []
    n_chunk = max(1, _CHUNK_BYTES // max(1, panel.buys[:1].nbytes))
    for at in range(0, len(scores), n_chunk):
        chunk = members[at : at + n_chunk]
        consensus, hits = consensus_of(panel, chunk)
        statistics = synergy.describe(
            bitset.count(consensus),
            hits,
            bitset.count(np.bitwise_or.reduce(consensus, axis=1)),
            day_weights,
            rules,
        )
        daily_pp.append(statistics.pp)
        groups += _groups(
            panel,
            day_weights,
            at + 1,
            scores[at : at + n_chunk],
            chunk,
            consensus,
            hits,
            statistics,
        )
    picked = synergy.pick(scores, np.concatenate(daily_pp), rules) if groups else None
    return tuple(groups), None if picked is None else picked + 1


def consensus_of(
    panel: SignalPanel, members: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.uint64], IntArray]:
    """Consensus uint64[n, D, W] and hits int64[n, D] of n groups given as variation numbers int32[n, size]."""
    consensus = panel.buys[members[:, 0]]
    for column in members.T[1:]:
        consensus &= panel.buys[column]
    if panel.consistent:
        return consensus, bitset.count(consensus & panel.wins)
    won = panel.wins[members[:, 0]]
    for column in members.T[1:]:
        won |= panel.wins[column]
    return consensus, bitset.count(consensus & won)


_PER_GROUP = (
    "pooled_pp", "weighted_pp", "median_pp", "second_worst_pp", "mad_pp", "iqr_pp", "cv_buys", "wilson_lb", "pp_slope",
    "repeat_factor",
)  # fmt: skip


def _groups(
    panel: SignalPanel,
    day_weights: npt.NDArray[np.float64],
    first_rank: int,
    scores: npt.NDArray[np.float64],
    members: npt.NDArray[np.int32],
    consensus: npt.NDArray[np.uint64],
    hits: IntArray,
    statistics: synergy.Statistics,
) -> Iterator[Group]:
    buys, weights = bitset.count(consensus), day_weights.tolist()
    columns = [getattr(statistics, name).tolist() for name in _PER_GROUP]
    daily = zip(buys.tolist(), hits.tolist(), statistics.pp.tolist(), strict=True)
    names = {v: _member(panel, v) for v in np.unique(members).tolist()}
    agreed = iter([panel.tickers[t] for t in bitset.members(consensus).tolist()])
    for i, (score, numbers, values, (n_buys, n_hits, pp)) in enumerate(
        zip(scores.tolist(), members.tolist(), zip(*columns, strict=True), daily, strict=True)
    ):
        yield Group(
            rank=first_rank + i,
            score=score,
            members=tuple(names[v] for v in numbers),
            days=tuple(map(DayStats, panel.days, n_buys, n_hits, pp, weights)),
            **dict(zip(_PER_GROUP, values, strict=True)),
            consensus=tuple(
                DayConsensus(day, tuple(islice(agreed, n)))
                for day, n in zip(panel.days, n_buys, strict=True)
            ),
        )


def _member(panel: SignalPanel, v: int) -> Member:
    return Member(panel.algos[panel.algo_of[v]], panel.variations[v], v)
