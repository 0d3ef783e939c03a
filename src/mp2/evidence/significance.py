"""Is the best group better than luck? The same exhaustive search with outcomes that are luck.

The outcomes of each replicate are drawn by a null model (`mp2.evidence.nulls`), and the kernel of
replicates gives the best score that its own search would have found. The share of replicates with a
best as good as a group's score is the group's p-value, adjusted for all groups searched: the
single-step max-T of Westfall and Young (1993), which is White's Reality Check (2000) with drawn
labels in place of a bootstrap. Over several sizes the smallest p-value of a replicate is compared
instead of its best score, so that no size drowns another.

Ties count against the group, and the observed outcomes are replicate 0, so that no p is 0.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np

from mp2._durations import Duration, seconds
from mp2._recurse import now_ns
from mp2.data.arrays import FloatArray, WordArray
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable, as_prices
from mp2.data.sectors import read_sectors
from mp2.data.signal_reader import as_panel
from mp2.data.tables import Stop
from mp2.errors import InputError
from mp2.evidence.nulls import DaysNull, NullModel, choose_null, label_rows
from mp2.evidence.replicates import Replicated, run_replicates
from mp2.evidence.settings import (
    GAP_DAYS,
    N_DONORS,
    N_REPLICATES,
    LuckSettings,
)
from mp2.groups import space
from mp2.groups.histogram import counted_scores
from mp2.groups.luck import NullSummary, Significance, TestStatus
from mp2.groups.result import Group, SearchResult, StarterStatus, Status
from mp2.groups.rules import Rules
from mp2.groups.search import search as search_groups
from mp2.groups.settings import SearchSettings

_INCONSISTENT = "wins differ between variations of the same day and ticker"


# --- the public function --------------------------------------------------------------------------


def significance(
    result_or_panel: Any,
    prices: Any = None,
    *,
    replicates: int = N_REPLICATES,
    null: str = "auto",
    seed: int = 0,
    sectors: Any = None,
    budget_s: Duration = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    n_donors: int = N_DONORS,
    gap_days: int = GAP_DAYS,
    stop: Stop = None,
    executor: Any = None,
    slots: int | None = None,
) -> Significance:
    """Test whether the best groups of a search are better than luck.

    `result_or_panel`: what `mp2.search` or `mp2.run` returned, or a panel, or what `read_signals`
    reads; a panel is searched first, by `rules`. `prices`: daily bars, or what `read_prices` reads,
    that begin long before the searched days, for the null model "days". `sectors`: a mapping from
    ticker to sector, or a table of both, for "sectors". The call takes at most `budget_s`;
    at the wall the test covers the starters that are done. Setting `stop` ends it likewise. With an
    `executor` the starters are tested at its workers, in as many `slots`, as in `mp2.search`.

    Raises `InputError` for unusable settings, and for a null model that is asked for by name and
    not possible.
    """
    started_ns = now_ns()
    settings = LuckSettings(
        replicates=replicates, null=null, seed=seed, n_donors=n_donors, gap_days=gap_days
    )
    settings.check_is_on()
    budget_s = seconds("budget_s", budget_s)
    stop = stop or threading.Event()
    result = getattr(result_or_panel, "result", result_or_panel)
    if not isinstance(result, SearchResult):
        panel = as_panel(result, stop=stop)
        search = SearchSettings(budget_s=budget_s, workers=workers, rules=rules or Rules())
        result = search_groups(panel, search, stop=stop, executor=executor, slots=slots)
    if result.panel is None:
        raise InputError(
            "this result was loaded without its signals; pass the panel, or use mp2 test RUN"
        )
    if prices is not None:
        prices = as_prices(prices, stop=stop)
    if sectors is not None:
        sectors = read_sectors(sectors)
    test = SignificanceTest(result.panel, settings, prices=prices, sectors=sectors)
    tested = test.run(
        result,
        workers=workers,
        started_ns=started_ns,
        budget_ns=max(1, round(budget_s * 1e9)),
        stop=stop,
        executor=executor,
        slots=slots,
    )
    if tested.significance is None:
        raise RuntimeError("a test has to give a significance")
    return tested.significance


# --- the test -------------------------------------------------------------------------------------


class SignificanceTest:
    """The test of one panel: its null model, chosen before anything is searched.

    Raises `InputError` for a null model that is asked for by name and not possible.
    """

    def __init__(
        self,
        panel: SignalPanel,
        settings: LuckSettings,
        *,
        prices: PriceTable | None = None,
        sectors: Mapping[str, str] | None = None,
    ) -> None:
        self._panel = panel
        self._settings = settings
        self._null: NullModel | None = None
        self._warnings: tuple[str, ...] = ()
        if panel.consistent:
            self._null, self._warnings = choose_null(
                panel,
                settings.null,
                prices,
                sectors,
                n_donors=settings.n_donors,
                gap_days=settings.gap_days,
            )

    def after_search(
        self,
        result: SearchResult,
        settings: SearchSettings,
        started_ns: int,
        stop: Stop,
        executor: Any = None,
        slots: int | None = None,
    ) -> SearchResult:
        """Test what a search found, in what it left of the budget since `started_ns`.

        Nothing is reserved for the test: after a search that its wall or a stop has ended it is not
        begun.
        """
        remedy = "mp2 test RUN --budget 2m tests what was exhausted"
        if result.status is Status.WALL:
            reason = f"the search used the whole budget; {remedy}"
            return self._without(result, TestStatus.STOPPED, reason)
        if result.status is Status.STOPPED:
            reason = f"the search was stopped; {remedy}"
            return self._without(result, TestStatus.STOPPED, reason)
        return self.run(
            result,
            workers=settings.workers,
            started_ns=started_ns,
            budget_ns=round(settings.budget_s * 1e9),
            stop=stop or threading.Event(),
            executor=executor,
            slots=slots,
        )

    def _without(
        self,
        result: SearchResult,
        status: TestStatus,
        reason: str,
    ) -> SearchResult:
        """Return the result with the reason why it has no p-values."""
        return replace(result, significance=self._untested(status, reason, 0.0))

    def run(
        self,
        result: SearchResult,
        *,
        workers: int,
        started_ns: int,
        budget_ns: int,
        stop: threading.Event,
        executor: Any = None,
        slots: int | None = None,
    ) -> SearchResult:
        """Test the groups of the starters that the search exhausted; return the result with p.

        With an `executor` the starters are tested at its workers, in so many `slots`, which replace
        `workers`. `RuntimeError` when the test contradicts the search.
        """
        began_ns = now_ns()
        if self._null is None:
            return self._without(result, TestStatus.UNAVAILABLE, _INCONSISTENT)

        def is_over() -> bool:
            return stop.is_set() or now_ns() >= started_ns + budget_ns

        n_replicates = self._settings.replicates
        labels = label_rows(
            self._null, len(self._panel.tickers), n_replicates, self._settings.seed, is_over
        )
        weights = self._weights(result)
        replicated = None
        if labels is not None and any(weights):
            replicated = self._replicated(
                result.rules,
                labels,
                weights,
                executor,
                slots,
                workers=workers,
                started_ns=started_ns,
                budget_ns=budget_ns,
                stop=stop,
            )
        if replicated is None or not replicated.is_tested.any():
            reason = "no starter could be tested in the time; mp2 test RUN --budget 2m tests again"
            if not any(weights):
                reason = "the search exhausted no starter"
            return self._without(result, TestStatus.STOPPED, reason)
        return self._judged(result, replicated, began_ns, started_ns + budget_ns)

    def _replicated(
        self,
        rules: Rules,
        labels: WordArray,
        weights: list[int],
        executor: Any,
        slots: int | None,
        *,
        workers: int,
        **limits: Any,
    ) -> Replicated:
        """Run the replicates, in threads or at the workers of an executor."""
        given = (self._panel, rules, labels, self._settings.replicates, weights)
        if executor is None:
            return run_replicates(*given, workers=workers, **limits)
        # Engines are of no use for a test in threads.
        from mp2.evidence.elsewhere import run_replicates_elsewhere
        from mp2.groups.engines.choice import engine_of

        engine = engine_of(executor, slots)
        return run_replicates_elsewhere(*given, engine=engine, warn=self._warn, **limits)

    def _warn(self, warning: str) -> None:
        self._warnings = (*self._warnings, warning)

    def _weights_of_all(self, result: SearchResult) -> list[int]:
        """Weight of each starter's groups in the space."""
        by_algo = space.starter_weights(self._panel.variations_per_algo, result.rules.max_size)
        return [by_algo[algo_idx] for algo_idx in self._panel.algo_of.tolist()]

    def _weights(self, result: SearchResult) -> list[int]:
        """These weights; 0 for the starters that the search did not exhaust."""
        weights = self._weights_of_all(result)
        if result.status is Status.COMPLETE:
            return weights
        for starter in result.starters:
            if starter.status is not StarterStatus.EXHAUSTED:
                weights[starter.variation_idx] = 0
        return weights

    def _judged(
        self,
        result: SearchResult,
        replicated: Replicated,
        began_ns: int,
        wall_ns: int,
    ) -> SearchResult:
        """Return the result with p-values for the groups of the starters that were tested."""
        is_complete = result.status is Status.COMPLETE and replicated.status is Status.COMPLETE
        sizes = result.rules.retain_sizes
        maxima = dict(zip(sizes, replicated.maxima, strict=True))

        # A group was found by the starter that is its first member.
        def is_tested(group: Group) -> bool:
            return bool(replicated.is_tested[group.variation_idx[0]])

        best = {}
        for size in sizes:
            scores = [group.score for group in result.kept[size] if is_tested(group)]
            best[size] = max(scores, default=-math.inf)
        _check_observed(maxima, best, is_complete=is_complete)

        p_values = PValues(maxima)
        kept = {}
        for size, groups in result.kept.items():
            tested = []
            for group in groups:
                if is_tested(group):
                    tested.append(p_values.given_to(group, size))
                else:
                    tested.append(group)
            kept[size] = tuple(tested)

        p_size = {size: p_values.of_score(size, best[size]) for size in sizes}
        observed = {}
        null = {}
        for size, scores in maxima.items():
            observed[size] = _shown(scores[0])
            null[size] = null_summary(scores[1:])

        status = TestStatus.PARTIAL
        if is_complete:
            status = TestStatus.COMPLETE
        # Without the observed outcomes, which are replicate 0.
        n_replicates = replicated.maxima.shape[1] - 1
        asked = self._settings.replicates
        reason = None
        if n_replicates < asked:
            reason = f"{n_replicates:,} replicates instead of {asked:,}, to end within the budget"
        weights = self._weights_of_all(result)
        weight_done = sum(compress(weights, replicated.is_tested))
        elapsed_s = (now_ns() - began_ns) / 1e9
        found = replace(
            self._untested(status, reason, elapsed_s),
            replicates=n_replicates,
            p_min=1 / (n_replicates + 1),
            covered=space.coverage(weight_done, sum(weights), complete=is_complete),
            p=p_values.of_smallest(min(p_size.values())),
            p_size=p_size,
            observed=observed,
            null=null,
            n_groups=dict(zip(sizes, replicated.n_groups.tolist(), strict=True)),
            n_groups_exact=replicated.n_groups_exact,
            overrun_s=max(0.0, (replicated.ended_ns - wall_ns) / 1e9),
            maxima=maxima,
        )
        return replace(result, significance=found, kept=kept)

    def _untested(
        self,
        status: TestStatus,
        reason: str | None,
        elapsed_s: float,
    ) -> Significance:
        """Return the record of a test without p-values."""
        null_model = self._settings.null
        if self._null is not None:
            null_model = self._null.name
        donors = None
        if isinstance(self._null, DaysNull):
            donors = {}
            for day_idx, day in enumerate(self._panel.days):
                donors[day] = self._null.summary(day_idx)
        asked = self._settings.replicates
        return Significance(
            status=status,
            reason=reason,
            null_model=null_model,
            seed=int(self._settings.seed),
            replicates=asked,
            replicates_asked=asked,
            p_min=1 / (asked + 1),
            covered=0.0,
            p=None,
            p_size={},
            observed={},
            null={},
            n_groups={},
            n_groups_exact=False,
            donors=donors,
            elapsed_s=elapsed_s,
            overrun_s=0.0,
            warnings=self._warnings,
        )


def _check_observed(
    maxima: Mapping[int, FloatArray],
    best: Mapping[int, float],
    *,
    is_complete: bool,
) -> None:
    """Compare replicate 0 with the groups kept: two programs have to find the same best score."""
    for size, scores in maxima.items():
        observed = float(scores[0])
        agrees = observed == best[size]
        # What a wall cut off may have scored groups that do not count.
        if not is_complete:
            agrees = observed >= best[size]
        if not agrees:
            raise RuntimeError(
                f"the test contradicts the search: best score of size {size} is {observed!r} in "
                f"the test and {best[size]!r} in the search; no p-value is given"
            )


# --- p-values -------------------------------------------------------------------------------------


class PValues:
    """p-values from the maxima of all replicates, by size float64[B + 1], the observed one first.

    Shares of the B + 1 replicates, so none is 0. A replicate without an eligible group has -inf.
    """

    def __init__(self, maxima: Mapping[int, FloatArray]) -> None:
        self._ascending = {size: np.sort(scores) for size, scores in maxima.items()}
        shares = [self._share_as_good(size, scores) for size, scores in maxima.items()]
        self._smallest = np.sort(np.min(shares, axis=0))

    def of_score(
        self,
        size: int,
        score: float,
    ) -> float:
        """Return the p of a score among groups of its size; 1 for -inf."""
        return float(self._share_as_good(size, np.array([score]))[0])

    def of_smallest(self, p_size: float) -> float:
        """Return the p over all sizes of a group with this p among those of its size."""
        n_as_small = np.searchsorted(self._smallest, p_size, side="right")
        return float(n_as_small / len(self._smallest))

    def given_to(
        self,
        group: Group,
        size: int,
    ) -> Group:
        """Return the group with its p-values."""
        p_size = self.of_score(size, group.score)
        return replace(group, p=self.of_smallest(p_size), p_size=p_size)

    def _share_as_good(
        self,
        size: int,
        scores: FloatArray,
    ) -> FloatArray:
        """Return the share of replicates with a best of this size as good; 1 for -inf."""
        ascending = self._ascending[size]
        n_below = np.searchsorted(ascending, scores, side="left")
        shares: FloatArray = (len(ascending) - n_below) / len(ascending)
        return shares


def null_summary(scores: FloatArray) -> NullSummary:
    """Summarise the best scores float64[B] of the drawn replicates, -inf without a group."""
    ascending = np.sort(scores)
    has_group = np.isfinite(ascending)

    def order_statistic(q: float) -> float | None:
        return _shown(ascending[math.ceil(q * len(ascending)) - 1])

    mean = None
    if has_group.any():
        mean = float(ascending[has_group].mean())
    return NullSummary(
        median=order_statistic(0.5),
        mean=mean,
        q95=order_statistic(0.95),
        max=_shown(ascending[-1]),
        none=float((~has_group).mean()),
        n_scores=counted_scores(scores),
    )


def _shown(score: float) -> float | None:
    """Return a score as results show it: None for none."""
    return float(score) if math.isfinite(score) else None
