"""The size of the search space: how many groups there are before any pruning, and which share of them is settled.

Counts are exact Python integers: 100,000 variations in groups of 8 go far beyond 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def n_groups(algo_sizes: Sequence[int], max_size: int) -> int:
    """Number of groups of size 1..`max_size` of algorithms with `algo_sizes[a]` variations each."""
    return sum(_choices_by_size(algo_sizes, max_size)[1:])


def branch_weights(algo_sizes: Sequence[int], max_size: int) -> list[int]:
    """Weight of a branch by the algorithm of its second member.

    Entry `b` is the number of groups of size 2..`max_size` that begin with a given starter of an earlier algorithm and
    a given variation of algorithm `b`: the ways to choose 0..`max_size - 2` further members of the algorithms after `b`.
    """
    return [sum(_choices_by_size(algo_sizes[b + 1 :], max_size - 2)) for b in range(len(algo_sizes))]


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
