"""Why a search finds nothing: what is known before it, and which rule excluded how many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mp2.data import bitset
from mp2.data.panel import SignalPanel, blocks
from mp2.errors import counted
from mp2.groups.result import Exclusion, Group, SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.space import n_groups

# No group fails these limits.
_NO_LIMITS: dict[str, Any] = {
    "min_pooled_pp": -1.0,
    "max_daily_buys": 2**31 - 1,
    "max_mad_pp": 1e9,
    "max_iqr_pp": 1e9,
    "max_cv_buys": 1e9,
    "min_wilson_lb": -1.0,
}


def why_impossible(panel: SignalPanel, rules: Rules) -> list[str]:
    """Return why no search of a panel can find a group under these rules, as far as it is known."""
    floor = rules.min_daily_hits
    lower = "lower it (0: no floor)"
    # Of each reason what is wrong, and the remedy.
    reasons = []
    smallest = min(rules.retain_sizes)
    n_algos = len(panel.algos)
    if n_algos < smallest:
        remedy = "add algorithms"
        if n_algos > 1:
            remedy += f", or keep groups of {n_algos}"
        algorithms = counted(n_algos, "algorithm")
        wrong = (
            f"{algorithms}, but the smallest group kept has {smallest} members of different ones "
            "(retain_sizes)"
        )
        reasons.append((wrong, remedy))
    if rules.max_daily_buys < floor:
        most = counted(rules.max_daily_buys, "ticker")
        wrong = (
            f"a group needs {floor} winners a day (min_daily_hits), but may have no more than "
            f"{most} (max_daily_buys)"
        )
        reasons.append((wrong, "change one"))
    wins = panel.wins
    if not panel.consistent:
        wins = np.bitwise_or.reduce(wins, axis=0)
    n_winners = bitset.count(wins)
    fewest = int(n_winners.min())
    if len(panel.tickers) < floor:
        tickers = counted(len(panel.tickers), "ticker")
        wrong = f"{tickers}, but a group needs {floor} winners a day (min_daily_hits)"
        reasons.append((wrong, lower))
    elif fewest < floor:
        day = panel.days[n_winners.argmin()]
        n_poor = np.count_nonzero(n_winners < floor)
        winners = counted(fewest, "winner") if fewest else "no winner"
        wrong = (
            f"{day} has {winners}, but a group needs {floor} every day "
            f"(min_daily_hits; {n_poor} of {len(panel.days)} days have fewer)"
        )
        reasons.append((wrong, lower))
    return [f"{wrong}: nothing can be found; {remedy}" for wrong, remedy in reasons]


def why_nothing(
    result: SearchResult,
    panel: SignalPanel,
) -> str:
    """Return the reason in one line why a search kept no group."""
    reasons = why_impossible(panel, result.rules)
    if reasons:
        return reasons[0]
    if result.exclusions:
        # The last one excluded those that came the furthest.
        last = result.exclusions[-1]
        n_excluded = f"{last.n_excluded:,} of {last.n:,} {last.kind}"
        return f"{last.rule} {last.limit:g} excludes {n_excluded}"
    return f"the search ended early ({result.status})"


def exclusions(
    panel: SignalPanel,
    result: SearchResult,
    search_without_limits: Callable[[Rules], SearchResult],
) -> Iterator[Exclusion]:
    """Yield which rule excluded how many variations and groups of a search that kept none.

    `search_without_limits` searches with other rules for a moment: the limits of eligible groups
    are counted on the best groups of each size that only these exclude.
    """
    rules = result.rules
    floor = rules.min_daily_hits
    n_poor = 0
    wins = np.broadcast_to(panel.wins, panel.buys.shape)
    for block in blocks(panel.buys):
        hits = bitset.count(panel.buys[block] & wins[block])
        n_poor += int(np.count_nonzero((hits < floor).any(axis=1)))
    if n_poor:
        yield Exclusion("min_daily_hits", floor, n_poor, panel.n_variations, "variations")
    if result.status is not Status.COMPLETE:
        return
    sizes = panel.variations_per_algo
    short_of = "min_daily_hits"
    if not floor:
        # Then a group needs some ticker all the same.
        short_of = "no ticker in common"
    for size in rules.retain_sizes:
        n_all = n_groups(sizes, size) - n_groups(sizes, size - 1)
        n_failed = n_all - result.tested[size]
        if result.tested_exact and n_failed:
            yield Exclusion(short_of, floor, n_failed, n_all, f"groups of size {size}")
    if not any(result.tested[size] for size in rules.retain_sizes):
        return
    best = search_without_limits(replace(rules, **_NO_LIMITS))
    for size, groups in best.kept.items():
        what = f"groups of size {size}"
        if len(groups) < result.tested[size]:
            what = f"best {what} that reach the floor"
        for rule in _NO_LIMITS:
            n_failed = sum(fails(group, rule, rules) for group in groups)
            if n_failed:
                limit = getattr(rules, rule)
                yield Exclusion(rule, limit, n_failed, len(groups), what)


def fails(
    group: Group,
    rule: str,
    rules: Rules,
) -> bool:
    """Return whether a group fails one of the limits of eligible groups."""
    # The rules are called by the statistic that they limit.
    kind, _, name = rule.partition("_")
    if name == "daily_buys":
        value: float = max(day.buys for day in group.days)
    else:
        value = getattr(group, name)
    limit = getattr(rules, rule)
    if kind == "min":
        return bool(value < limit)
    return bool(value > limit)
