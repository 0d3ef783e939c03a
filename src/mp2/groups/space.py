"""The size of the search space: all groups before pruning, and the share that is decided.

Counts are exact Python integers: 100,000 variations in groups of 8 go far beyond 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2.errors import InputError
from mp2.groups.rules import MAX_GROUP_SIZE

if TYPE_CHECKING:
    from mp2.data.panel import SignalPanel


def n_groups(
    algo_sizes: Sequence[int],
    max_size: int,
) -> int:
    """Count the groups of size 1..`max_size`; algorithm `a` has `algo_sizes[a]` variations."""
    return sum(_choices_by_size(algo_sizes, max_size)[1:])


def branch_weights(
    algo_sizes: Sequence[int],
    max_size: int,
) -> list[int]:
    """Weight of a branch by the algorithm of its second member.

    Entry `b` is the number of groups of size 2..`max_size` that begin with a given starter of an
    earlier algorithm and a given variation of algorithm `b`: the ways to choose 0..`max_size - 2`
    further members of the algorithms after `b`.
    """
    weights = []
    for algo in range(len(algo_sizes)):
        later_sizes = algo_sizes[algo + 1 :]
        weights.append(sum(_choices_by_size(later_sizes, max_size - 2)))
    return weights


def starter_weights(
    algo_sizes: Sequence[int],
    max_size: int,
) -> list[int]:
    """Weight of a starter by its algorithm: the groups of size 2..`max_size` that begin with it."""
    weights = []
    for algo in range(len(algo_sizes)):
        later_sizes = algo_sizes[algo + 1 :]
        weights.append(sum(_choices_by_size(later_sizes, max_size - 1)[1:]))
    return weights


def coverage(
    weight_done: int,
    weight_total: int,
    *,
    complete: bool,
) -> float:
    """Share of the space that is decided, 0..1, from summed branch weights.

    1.0 if and only if `complete`: other values stay below it, also where the quotient would round
    up, or where only starters without a branch are left.
    """
    if complete:
        return 1.0
    if weight_total == 0:
        return 0.0
    return min(weight_done / weight_total, math.nextafter(1.0, 0.0))


def _choices_by_size(
    algo_sizes: Sequence[int],
    max_size: int,
) -> list[int]:
    """Ways to choose `k` variations of different algorithms, for k = 0..`max_size`.

    They are the elementary symmetric polynomials of the sizes.
    """
    choices = [1] + [0] * max_size
    for n_variations in algo_sizes:
        for k in range(max_size, 0, -1):
            # From the largest k down, so that an algorithm contributes at most one member.
            choices[k] += n_variations * choices[k - 1]
    return choices


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSummary:
    """What a search over a panel faces.

    `n_groups` counts the groups of size 1..max_size before pruning, `buys_per_day` sums over the
    variations, `base_win_rates` are percent.
    """

    variations_per_algo: dict[str, int]
    n_variations: int
    days: Names
    n_tickers: int
    buys_per_day: tuple[int, ...]
    base_win_rates: tuple[float, ...]
    consistent: bool
    max_size: int
    n_groups: int
    panel_bytes: int


def panel_summary(
    panel: SignalPanel,
    max_size: int,
) -> PanelSummary:
    """Summarise a panel and the space of its groups of up to `max_size` members.

    Raises `InputError` when `max_size` is outside 1..8.
    """
    if not 1 <= max_size <= MAX_GROUP_SIZE:
        raise InputError(f"max_size: {max_size} is outside 1..{MAX_GROUP_SIZE}")
    algo_sizes = panel.variations_per_algo
    return PanelSummary(
        variations_per_algo=dict(zip(panel.algos, algo_sizes, strict=True)),
        n_variations=panel.n_variations,
        days=panel.days,
        n_tickers=len(panel.tickers),
        buys_per_day=panel.buys_per_day,
        base_win_rates=tuple(panel.base_win_rates.tolist()),
        consistent=panel.consistent,
        max_size=max_size,
        n_groups=n_groups(algo_sizes, max_size),
        panel_bytes=panel.n_bytes,
    )
