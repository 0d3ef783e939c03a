"""The state of a search, from which another process can resume it without changing its result.

Starters are the unit: a turn changes the state when it ends, never before, so all that a state
holds belongs together. What a turn had found when its process died is found again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mp2._recurse import STARTER_DTYPE
from mp2.data.arrays import AnyArray, FloatArray, IndexArray, NumberArray
from mp2.groups.histogram import N_BINS
from mp2.groups.rules import Rules

TIMES_DTYPE = np.dtype(
    [
        ("used_ns", "i8"),
        ("limit_start_ns", "i8"),
        ("limit_end_ns", "i8"),
        ("n_turns", "i8"),
    ]
)
"""Times of a starter: running time, time granted at its start and in all, turns."""

RecordArray = npt.NDArray[np.void]

Kept = tuple[FloatArray, NumberArray]
"""Scores float64[k] and variation numbers int32[k, size] of groups of one size, best first."""


@dataclass(frozen=True, slots=True)
class SearchState:
    """The starters that have begun and the kept groups.

    A *part* of a state holds only the starters that changed, but all groups.

    - `records` STARTER_DTYPE[n] with distinct variations, `times` TIMES_DTYPE[n] beside them.
    - `kept`: groups by size.
    - `elapsed_ns`, `budget_ns`: spent and given so far.
    - `n_taken_over`: starters that were not searched, because an alias of them was.
    - `n_scores`: by size, counts of the scores of all eligible groups by `mp2.groups.histogram`;
      empty in a state of an earlier version.
    - `n_groups`: by size, how many groups each kept idea has, int64[k], 0 where not known; empty
      arrays where groups are kept.
    """

    records: RecordArray = field(default_factory=lambda: np.zeros(0, STARTER_DTYPE))
    times: RecordArray = field(default_factory=lambda: np.zeros(0, TIMES_DTYPE))
    kept: dict[int, Kept] = field(default_factory=dict)
    elapsed_ns: int = 0
    budget_ns: int = 0
    n_taken_over: int = 0
    n_scores: dict[int, IndexArray] = field(default_factory=dict)
    n_groups: dict[int, IndexArray] = field(default_factory=dict)

    def problem(
        self,
        algo_of: NumberArray,
        rules: Rules,
    ) -> str | None:
        """Why a search of these variations, int32[V] never falling, cannot resume; None if it can.

        The kernel trusts what it resumes from, and the state comes from a file.
        """
        # The columns are looked up by name below, so their layout comes first.
        if self.records.dtype != STARTER_DTYPE or len(self.times) != len(self.records):
            return "its starters are of another build"
        variations = self.records["variation_idx"]
        n_distinct = len(np.unique(variations))
        is_known = _all_within(variations, 0, len(algo_of) - 1)
        if n_distinct < len(variations) or not is_known:
            return "its starters are not those of this panel"
        if not cursors_fit(self.records, algo_of, rules.max_size):
            return "a cursor points nowhere"
        for size, (scores, members) in self.kept.items():
            if not groups_fit(scores, members, size, algo_of, rules):
                return "its groups are not those of this panel"
        if any(len(counts) != N_BINS for counts in self.n_scores.values()):
            return "its scores are counted by other bins"
        return None

    def keeps(self, keep: str) -> bool:
        """Whether it is the state of a search that keeps groups, or ideas."""
        for size, (scores, _) in self.kept.items():
            n_counted = len(self.n_groups.get(size, ()))
            if n_counted != (len(scores) if keep == "ideas" else 0):
                return False
        return True


class Resumable(Protocol):
    """A search whose state can be recorded, while it runs and after, by one thread at a time."""

    def take(self) -> SearchState:
        """Return what changed since the last confirmed part; the first time, the whole state."""

    def confirm(self) -> None:
        """Confirm that the part taken last is stored; until then `take` returns it again."""


class Recorder(Protocol):
    """Provides the state a search resumes from, and records the state of the running search."""

    @property
    def resume_from(self) -> SearchState | None:
        """The state to resume from; None for a new search."""

    def watch(self, search: Resumable) -> None:
        """Receive the search before it begins; from then on its state can be taken in parts."""


def _all_within(
    values: AnyArray,
    low: int,
    high: int,
) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def cursors_fit(
    records: RecordArray,
    algo_of: NumberArray,
    max_size: int,
) -> bool:
    """Whether the kernel could have left every cursor.

    A cursor of depth k holds k next positions. All but the last are one past a member, members are
    of rising algorithms, and the last is before the end.
    """
    n_variations = len(algo_of)
    depth = records["depth"]
    attempts = records["attempts"]
    if not _all_within(depth, 0, max_size - 1):
        return False
    if not _all_within(attempts, 0, 2**62):
        return False
    # A starter has a cursor between its first attempt and its last.
    has_cursor = (attempts > 0) & (records["exhausted"] != 1)
    if (has_cursor != (depth > 0)).any():
        return False

    next_algo = np.searchsorted(algo_of, algo_of, side="right")
    member = records["variation_idx"].astype(np.int64)
    for level in range(max_size - 1):
        cursor = records["cursor"][:, level]
        is_used = depth > level
        is_above = depth > level + 1
        first = next_algo[member] + is_above
        last = n_variations - 1 + is_above
        is_outside = (cursor < first) | (cursor > last)
        if (is_used & is_outside).any():
            return False
        member = np.where(is_above, cursor - 1, member)
    return True


def groups_fit(
    scores: FloatArray,
    members: NumberArray,
    size: int,
    algo_of: NumberArray,
    rules: Rules,
) -> bool:
    """Whether groups of one size are such as a search of this panel keeps."""
    n_kept = len(scores)
    if size not in rules.retain_sizes or n_kept > rules.top_k:
        return False
    if members.shape != (n_kept, size):
        return False
    # A NaN would break the order of the heaps; a number out of range, an index into the panel.
    if not np.isfinite(scores).all():
        return False
    if not _all_within(members, 0, len(algo_of) - 1):
        return False
    # A group has its algorithms in order, none of them twice.
    algo_steps = np.diff(algo_of[members], axis=1)
    return bool((algo_steps > 0).all())
