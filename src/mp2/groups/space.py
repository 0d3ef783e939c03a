"""The size of the search space: how many groups there are before any pruning, and which share of them is settled.

Counts are exact Python integers: 100,000 variations in groups of 8 go far beyond 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mp2.errors import InputError
from mp2.groups.rules import MAX_GROUP_SIZE

if TYPE_CHECKING:
    from mp2.data.panel import SignalPanel


def n_groups(algo_sizes: Sequence[int], max_size: int) -> int:
    """Number of groups of size 1..`max_size` of algorithms with `algo_sizes[a]` variations each."""
    return sum(_choices_by_size(algo_sizes, max_size)[1:])


def branch_weights(algo_sizes: Sequence[int], max_size: int) -> list[int]:
    """Weight of a branch by the algorithm of its second member.

    Entry `b` is the number of groups of size 2..`max_size` that begin with a given starter of an earlier algorithm and
    a given variation of algorithm `b`: the ways to choose 0..`max_size - 2` further members of the algorithms after `b`.
    """
    return [
        sum(_choices_by_size(algo_sizes[b + 1 :], max_size - 2)) for b in range(len(algo_sizes))
    ]


def coverage(weight_done: int, weight_total: int, *, complete: bool) -> float:
    """Share of the space that is settled, 0..1, from summed branch weights; 1.0 if and only if `complete`.

    Anything less stays below 1.0, also where the quotient would round up to it or where starters without a branch are
    all that is left.
    """
    if complete:
        return 1.0
    return min(weight_done / weight_total, math.nextafter(1.0, 0.0)) if weight_total else 0.0


def _choices_by_size(algo_sizes: Sequence[int], max_size: int) -> list[int]:
    """Entry `k`: ways to choose `k` variations of different algorithms (elementary symmetric polynomials)."""
    choices = [1] + [0] * max_size
    for n_variations in algo_sizes:
        for k in range(max_size, 0, -1):
            choices[k] += n_variations * choices[k - 1]
    return choices


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSummary:
    """What a search over a panel would face: `n_groups` counts the groups of size 1..max_size before any pruning."""

    variations_per_algo: dict[str, int]
    n_variations: int
    days: tuple[str, ...]
    n_tickers: int
    buys_per_day: tuple[int, ...]
    base_win_rates: tuple[float, ...]
    consistent: bool
    max_size: int
    n_groups: int
    panel_bytes: int


def panel_summary(panel: SignalPanel, max_size: int) -> PanelSummary:
    """Sizes of the panel and of its search space; `buys_per_day` sums over the variations, `panel_bytes` is its memory.

    `max_size` is 1..8. Counts are exact at any size.
    """
    if not 1 <= max_size <= MAX_GROUP_SIZE:
        raise InputError(f"max_size: {max_size} is outside 1..{MAX_GROUP_SIZE}")
    return PanelSummary(
        variations_per_algo=dict(zip(panel.algos, panel.variations_per_algo, strict=True)),
        n_variations=panel.n_variations,
        days=panel.days,
        n_tickers=len(panel.tickers),
        buys_per_day=panel.buys_per_day,
        base_win_rates=tuple(panel.base_win_rates.tolist()),
        consistent=panel.consistent,
        max_size=max_size,
        n_groups=n_groups(panel.variations_per_algo, max_size),
        panel_bytes=panel.n_bytes,
    )
