"""Search a panel: every starter through the kernel, under a budget, into one result."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mp2._intervals import check_interval
from mp2._recurse import EXHAUSTED, STARTER_DTYPE, TopGroups, now_ns
from mp2.data.arrays import IndexArray
from mp2.data.panel import SignalPanel, first_alike
from mp2.errors import InputError
from mp2.groups import aliases
from mp2.groups.aliases import AliasCache, SearchedStarter, alias_classes
from mp2.groups.checkpoint import TIMES_DTYPE, Kept, RecordArray, Recorder, SearchState
from mp2.groups.engines.choice import turns_of
from mp2.groups.exclusions import exclusions, why_impossible
from mp2.groups.ideas import with_ideas
from mp2.groups.kept import day_weights, describe_groups, member_of, pick_rank
from mp2.groups.ledger import Ledger
from mp2.groups.pool import PoolOutcome, Progress, run_pool
from mp2.groups.result import ProgressSample, SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.samples import ProgressSamples
from mp2.groups.settings import SearchSettings, check_settings
from mp2.groups.starters import (
    NS_PER_S,
    Branches,
    StarterTable,
    exact_sum,
    running_order,
    score_moments,
)
from mp2.groups.turns import ClusterProgress, TurnControl, Turns

# Comparing variations saves time later, so it must not use up all of it.
_ALIAS_SHARE = 0.5
# To find out why nothing was kept.
_REASONS_S = 0.5


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """A running search: the pool's state, all attempts and the best score by retained size.

    `coverage`: the share of the space that is exhausted, 0..1; turns count when they end.
    `cluster`: the workers of an executor; None for threads.
    """

    pool: Progress
    n_starters: int
    attempts: int
    best_score: dict[int, float | None]
    coverage: float
    cluster: ClusterProgress | None = None


SearchObserver = Callable[[SearchProgress], None]


def search(
    panel: SignalPanel,
    settings: SearchSettings | None = None,
    *,
    stop: threading.Event | None = None,
    observe: SearchObserver | None = None,
    observe_every_s: float = 0.1,
    recorder: Recorder | None = None,
    executor: Any = None,
    slots: int | None = None,
) -> SearchResult:
    """Search a panel for the best consensus groups within `settings.budget_s` seconds.

    Setting `stop` (from any thread, or a signal handler) ends the search and keeps all groups
    found so far. `observe` is called in the calling thread about every `observe_every_s` seconds.

    With an `executor` the kernels run at its workers, in so many `slots` (`engines.choice`), which
    replace `settings.workers`. A complete search has the same result as in threads.

    A `recorder` provides the state to resume from, if any, and gets the search before it begins.
    A resumed search needs the same panel, rules and `count` as the earlier one. It has a budget of
    its own, its result is that of a search that was never interrupted, and its times and budgets
    are sums.

    Raises `InputError` for an unusable setting or state, `MemoryError` when a starter's working
    memory cannot be had.
    """
    # The budget covers all that follows, so the clock is read before anything else.
    started_ns = now_ns()
    settings = settings or SearchSettings()
    check_settings(settings, panel.algos)
    check_interval("observe_every_s", observe_every_s)
    budget_ns = max(1, round(settings.budget_s * NS_PER_S))
    session = Session(started_ns, budget_ns, stop or threading.Event())

    resume_from = None if recorder is None else recorder.resume_from
    with turns_of(panel, settings, session.is_over, executor, slots) as turns:
        run = SearchRun(
            panel,
            replace(settings, workers=turns.workers),
            session,
            turns,
            resume_from,
        )
        if recorder is not None:
            recorder.watch(run)

        samples = ProgressSamples(run.elapsed_ns)

        def report(pool: Progress) -> None:
            samples.add(pool)
            if observe is not None:
                observe(run.progress(pool))

        outcome = run_pool(
            run.ledger,
            run.turn,
            started_ns=started_ns,
            clock_ns=now_ns,
            new_control=turns.new_control,
            stop=session.stop,
            observe=report,
            observe_every_s=observe_every_s,
        )
    run.close(outcome)
    result = run.result(outcome, samples)
    if any(result.kept.values()) or session.is_over():
        return result

    def search_without_limits(rules: Rules) -> SearchResult:
        left_ns = started_ns + budget_ns - now_ns()
        left_s = max(1, left_ns) / NS_PER_S
        other = replace(
            settings,
            rules=rules,
            max_attempts=None,
            # It counts groups.
            keep="groups",
            budget_s=min(left_s, _REASONS_S),
            # It runs here, however many workers there are elsewhere.
            workers=min(settings.workers, os.cpu_count() or 1),
        )
        return search(panel, other, stop=session.stop)

    why = tuple(exclusions(panel, result, search_without_limits))
    return replace(result, exclusions=why)


@dataclass(frozen=True, slots=True)
class Session:
    """The time of one call of `search`, which `stop` may end early."""

    started_ns: int
    budget_ns: int
    stop: threading.Event

    def is_over(self, share: float = 1.0) -> bool:
        """Whether this share of the budget is used, all of it by default, or `stop` is set."""
        return self.stop.is_set() or now_ns() - self.started_ns >= share * self.budget_ns


class SearchRun:
    """The state of one search: a record per starter, the kept groups, and the lock around both.

    A turn works on copies and changes the state when it ends, so a turn that fails or is abandoned
    leaves no trace, and what a recorder takes belongs together. Setup stops when the session is
    over. Records start zeroed, so pages are allocated as starters begin.

    With a `state` the search resumes from it: exhausted starters do not run again.
    """

    def __init__(
        self,
        panel: SignalPanel,
        settings: SearchSettings,
        session: Session,
        turns: Turns,
        state: SearchState | None = None,
    ) -> None:
        rules = settings.rules
        n_starters = panel.n_variations
        self.panel = panel
        self.settings = settings
        self.day_weights = day_weights(panel.base_win_rates, rules)
        self.order = running_order(panel, settings.special, session.is_over)
        self.records = np.zeros(n_starters, STARTER_DTYPE)
        self._turns = turns
        self.heaps = self._new_heaps()
        self.alias_of = first_alike(panel, lambda: session.is_over(_ALIAS_SHARE))
        self._all_compared = not session.is_over(_ALIAS_SHARE)
        cache_bytes = 0 if "aliases" in settings.without else aliases.MAX_BYTES
        self._alias_cache = AliasCache(self.alias_of, cache_bytes)
        self._n_taken_over = 0

        self._session = session
        # Of earlier sessions. `close` adds the time of this one.
        self.elapsed_ns = 0
        self.budget_ns = 0
        self._times_before = np.zeros(n_starters, TIMES_DTYPE)

        self._lock = threading.Lock()
        self._running: set[TurnControl] = set()
        self._closed = False
        # Variations that changed since the last part was taken, and those in unconfirmed parts.
        self._changed: set[int] = set()
        self._taken: set[int] = set()

        if state is not None:
            self._restore(state)
        self.ledger = Ledger(
            len(self.order),
            settings.workers,
            session.budget_ns,
            work_limited=settings.max_attempts is not None,
            min_grant_ns=turns.min_grant_ns,
        )

    # ---- turns, in the worker threads

    def turn(
        self,
        starter_idx: int,
        control: TurnControl,
    ) -> int:
        """Run one turn of the starter at `starter_idx` in running order; return how it ended."""
        variation_idx = int(self.order[starter_idx])
        if self._copy_alias(variation_idx, control):
            return EXHAUSTED

        # A copy: the kernel updates it in place, and the turn may be abandoned.
        record = self.records[variation_idx : variation_idx + 1].copy()
        record["variation_idx"] = variation_idx
        heaps = self._new_heaps()
        with self._lock:
            self._running.add(control)
            # Ideas count all groups they stand for, also those that are not kept.
            if self.settings.keep == "groups":
                for size, heap in heaps.items():
                    heap.raise_threshold(self.heaps[size].threshold)
        how = self._turns.run(
            record,
            control,
            heaps,
            self.settings.max_attempts or 0,
        )
        with self._lock:
            self._running.remove(control)
            self._book(variation_idx, SearchedStarter(record, heaps))
        return how

    def _new_heaps(self) -> dict[int, TopGroups]:
        rules = self.settings.rules
        ideas_of = self._turns.kernel if self.settings.keep == "ideas" else None
        return {size: TopGroups(size, rules.top_k, ideas_of) for size in rules.retain_sizes}

    def _copy_alias(
        self,
        variation_idx: int,
        control: TurnControl,
    ) -> bool:
        """Book what an alias found, at a starter's first turn; False if there is nothing to copy.

        Checks stop and wall as the kernel does.
        """
        if self.records["attempts"][variation_idx]:
            return False
        # At the first turn only: the cache counts how many aliases have yet to begin.
        with self._lock:
            searched = self._alias_cache.begin(variation_idx)
        if searched is None or control.is_over():
            return False
        copied = searched.for_alias(variation_idx)
        with self._lock:
            if not self._closed:
                self._n_taken_over += 1
            self._book(variation_idx, copied)
        return True

    def _book(
        self,
        variation_idx: int,
        searched: SearchedStarter,
    ) -> None:
        """Merge what a turn found, with the lock held; a closed run stays as it is."""
        if self._closed:
            return
        is_first_turn = not self.records["attempts"][variation_idx]
        self.records[variation_idx] = searched.record[0]
        for size, heap in searched.heaps.items():
            self.heaps[size].merge(heap)
        # A starter that took several turns handed part of its groups over before.
        if is_first_turn and searched.record["exhausted"][0]:
            self._alias_cache.add(variation_idx, searched)
        self._changed.add(variation_idx)

    # ---- the caller's thread and the recorder's

    def progress(self, pool: Progress) -> SearchProgress:
        """The search as it is now."""
        with self._lock:
            attempts = int(self.records["attempts"].sum())
            for control in self._running:
                attempts += control.attempts
            best_score = {size: heap.best() for size, heap in self.heaps.items()}
            branches = Branches(self.panel, self.records)
        return SearchProgress(
            pool,
            len(self.order),
            attempts,
            best_score,
            branches.coverage(self.settings.rules.max_size, complete=False),
            self._turns.cluster(),
        )

    def _restore(self, state: SearchState) -> None:
        problem = state.problem(self.panel.algo_of, self.settings.rules)
        if not state.keeps(self.settings.keep):
            problem = f"it does not keep {self.settings.keep}"
        if problem is not None:
            raise InputError(f"cannot resume from this state: {problem}")
        max_attempts = self.settings.max_attempts
        n_made = int(state.records["attempts"].max(initial=0))
        if max_attempts is not None and max_attempts < n_made:
            raise InputError(
                f"max_attempts: {max_attempts} is less than the {n_made} already made; "
                "give more, or leave it out"
            )

        begun = state.records["variation_idx"]
        self.records[begun] = state.records
        self._times_before[begun] = state.times
        for size, (scores, members) in state.kept.items():
            self.heaps[size].restore(scores, members, state.n_groups.get(size, ()))
        for size, counts in state.n_scores.items():
            self.heaps[size].add_scores(counts)
        self.elapsed_ns = state.elapsed_ns
        self.budget_ns = state.budget_ns
        self._n_taken_over = state.n_taken_over
        # The pool numbers starters by their place in the order: done ones have none.
        self.order = self.order[self.records["exhausted"][self.order] == 0]

    def take(self) -> SearchState:
        """Return the part of the state that is not yet confirmed; see `Resumable`."""
        with self._lock:
            # Kept until confirmed: a part that could not be stored is part of the next one.
            self._taken |= self._changed
            self._changed.clear()
            variations = np.array(sorted(self._taken), np.int64)
            elapsed_ns = self.elapsed_ns
            budget_ns = self.budget_ns
            # `close` adds the session's times, so they are not added twice.
            if not self._closed:
                elapsed_ns += now_ns() - self._session.started_ns
                budget_ns += self._session.budget_ns
            return SearchState(
                records=self.records[variations],
                times=self._times()[variations],
                kept=self._ranked(),
                elapsed_ns=elapsed_ns,
                budget_ns=budget_ns,
                n_taken_over=self._n_taken_over,
                n_scores={size: heap.n_scores() for size, heap in self.heaps.items()},
                n_groups=self._n_groups(),
            )

    def confirm(self) -> None:
        """Confirm that the part taken last is stored; see `Resumable`."""
        self._taken.clear()

    def close(self, outcome: PoolOutcome) -> None:
        """Refuse later results, as an abandoned turn may still run, and add up the times."""
        with self._lock:
            self._closed = True
            self.elapsed_ns += outcome.ended_ns - self._session.started_ns
            self.budget_ns += self._session.budget_ns
            # The ledger books a turn after its record. An abandoned first turn has no record.
            has_run = np.array(self.ledger.n_turns, np.int64) > 0
            has_record = self.records["attempts"][self.order] > 0
            changed = self.order[has_run & has_record]
            self._changed.update(changed.tolist())

    def _times(self) -> RecordArray:
        """Times TIMES_DTYPE[V] of all sessions, this one as the ledger has booked it."""
        times = self._times_before.copy()
        is_new = times["n_turns"][self.order] == 0
        limit_start_ns = np.array(self.ledger.limit_start_ns, np.int64)
        times["limit_start_ns"][self.order[is_new]] = limit_start_ns[is_new]
        for name in ("used_ns", "limit_end_ns", "n_turns"):
            booked = np.array(getattr(self.ledger, name), np.int64)
            times[name][self.order] += booked
        return times

    # ---- the result

    def result(
        self,
        outcome: PoolOutcome,
        progress: Iterable[ProgressSample] = (),
    ) -> SearchResult:
        """Build the result of a closed run, whose progress was sampled."""
        panel = self.panel
        rules = self.settings.rules
        records = self.records
        kept = {}
        picked_rank = {}
        score_mean = {}
        score_std = {}
        for size, (scores, members) in self._ranked().items():
            kept[size] = describe_groups(panel, rules, self.day_weights, scores, members)
            daily_pp = [[day.pp for day in group.days] for group in kept[size]]
            picked_rank[size] = pick_rank(scores, np.array(daily_pp), rules)
            score_mean[size], score_std[size] = score_moments(records, size)
        starters = StarterTable(panel, rules, records, self._times(), kept)
        session_s = (outcome.ended_ns - self._session.started_ns) / NS_PER_S
        # A starter is visited itself, beside the rows scanned below it.
        n_begun = int(np.count_nonzero(records["attempts"]))
        n_scanned = exact_sum(records["n_rows_scanned"])
        tested = exact_sum(records["tested"])
        eligible = exact_sum(records["eligible"])
        result = SearchResult(
            status=outcome.status,
            rules=rules,
            budget_s=self.budget_ns / NS_PER_S,
            elapsed_s=self.elapsed_ns / NS_PER_S,
            overrun_s=max(0.0, session_s - self._session.budget_ns / NS_PER_S),
            workers=self.settings.workers,
            n_starters=len(records),
            n_exhausted=int(records["exhausted"].sum()),
            coverage=starters.coverage(complete=outcome.status is Status.COMPLETE),
            n_branches=starters.n_branches,
            n_branches_done=starters.n_branches_done,
            tested_exact=self.settings.count == "exact",
            attempts=exact_sum(records["attempts"]),
            tested={size: tested[size] for size in range(2, rules.max_size + 1)},
            eligible={size: eligible[size] for size in kept},
            score_mean=score_mean,
            score_std=score_std,
            kept=kept,
            n_kept={size: len(groups) for size, groups in kept.items()},
            picked_rank=picked_rank,
            days=panel.days,
            day_weights=tuple(self.day_weights.tolist()),
            base_win_rates=tuple(panel.base_win_rates.tolist()),
            special=tuple(self.settings.special),
            max_attempts=self.settings.max_attempts,
            input_fingerprint=panel.fingerprint,
            warnings=(*panel.warnings, *self._warnings(outcome)),
            starters=starters,
            n_visited=n_begun - self._n_taken_over + n_scanned,
            aliases=alias_classes(panel, self.alias_of),
            hold=panel.hold,
            last_exit=panel.last_exit,
            n_scores=self._score_counts(eligible),
            keep=self.settings.keep,
            progress=tuple(progress),
            panel=panel,
        )
        overlap = self.settings.family_overlap
        if self.settings.keep == "ideas":
            return with_ideas(result, overlap, self._n_groups())
        return with_ideas(result, overlap)

    def _score_counts(self, eligible: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Counts of the scores, of the sizes of which all `eligible` groups were counted."""
        n_scores: dict[int, tuple[int, ...]] = {}
        for size, heap in self.heaps.items():
            counts = tuple(heap.n_scores().tolist())
            # A state of an earlier version had no counts to continue.
            if sum(counts) == eligible[size]:
                n_scores[size] = counts
        return n_scores

    def _ranked(self) -> dict[int, Kept]:
        return {size: heap.ranked() for size, heap in self.heaps.items()}

    def _n_groups(self) -> dict[int, IndexArray]:
        return {size: heap.n_groups() for size, heap in self.heaps.items()}

    def _warnings(self, outcome: PoolOutcome) -> list[str]:
        warnings = list(self._turns.warnings())
        # A group that was kept shows that it was possible; the check passes over the whole panel.
        if not any(len(heap) for heap in self.heaps.values()):
            warnings += why_impossible(self.panel, self.settings.rules)
        if not self._all_compared:
            warnings.append(
                "not all variations were compared for being identical: the budget was too short"
            )
        for starter_idx in outcome.abandoned:
            member = member_of(self.panel, int(self.order[starter_idx]))
            warnings.append(
                f"starter {member.name} did not return in time and was abandoned; its last turn "
                "is not part of the result"
            )
        return warnings
