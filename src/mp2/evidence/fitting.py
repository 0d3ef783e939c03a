"""How many replicates fit what is left up to the wall, by the time that the first starters took."""

from __future__ import annotations

from dataclasses import dataclass

from mp2._recurse import now_ns
from mp2.evidence.nulls import n_blocks

FEWER = (9999, 4999, 1999, 999, 499)
"""Numbers of replicates to fall to when those asked for do not fit the wall."""

# The time of the rest is measured between these shares of the weight. It is the time of the clock:
# where threads wait for a core, all of them take longer.
_MEASURED_FROM = 0.01
_MEASURED_TO = 0.02


@dataclass(frozen=True, slots=True)
class Effort:
    """The weight of the starters tested so far, and the time of all kernels."""

    weight: int
    enumeration_ns: int
    scoring_ns: int


class Fitting:
    """The number of replicates of one test, which falls at most once; the caller holds a lock.

    `weight`: of all starters to be tested. `n_kernels` run at once.
    """

    def __init__(self, n_replicates: int, weight: int, n_kernels: int, wall_ns: int) -> None:
        self.n_replicates = n_replicates
        self._weight = weight
        self._n_kernels = n_kernels
        self._wall_ns = wall_ns
        self._measured_from: Effort | None = None
        self._is_measured = False

    def n_replicates_after(self, effort: Effort) -> int:
        """Return how many replicates to search from now on, after so much effort."""
        if self._measured_from is None:
            if effort.weight >= _MEASURED_FROM * self._weight:
                self._measured_from = effort
        elif not self._is_measured and effort.weight >= _MEASURED_TO * self._weight:
            self._is_measured = True
            self.n_replicates = self._that_fit(self._measured_from, effort)
        return self.n_replicates

    def _that_fit(self, since: Effort, until: Effort) -> int:
        """Return how many replicates fit what is left up to the wall, by the time measured."""
        n_parts_left = (self._weight - until.weight) / (until.weight - since.weight)
        enumeration_ns = n_parts_left * (until.enumeration_ns - since.enumeration_ns)
        scoring_ns = n_parts_left * (until.scoring_ns - since.scoring_ns)
        left_ns = self._n_kernels * (self._wall_ns - now_ns())

        asked = self.n_replicates
        fewer = [n for n in FEWER if n < asked]
        for n_replicates in (asked, *fewer):
            share = n_blocks(n_replicates) / n_blocks(asked)
            if enumeration_ns + share * scoring_ns <= left_ns:
                return n_replicates
        return fewer[-1] if fewer else asked
