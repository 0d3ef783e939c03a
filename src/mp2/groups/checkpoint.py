"""Where a search stands, so that it can go on in another process and end as if it had never stopped.

Starters are the unit: a turn changes the state when it ends, never before, so whatever a state holds belongs together. What a
turn had found when its process died is found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mp2._recurse import STARTER_DTYPE
from mp2.groups.rules import Rules

TIMES_DTYPE = np.dtype(
    [("used_ns", "i8"), ("limit_start_ns", "i8"), ("limit_end_ns", "i8"), ("n_turns", "i8")]
)
"""Per starter: running time, what it was granted at its start and in all, turns."""

Kept = tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class SearchState:
    """The starters that have begun and the groups kept; as a *part* of a state, the starters that changed and all groups.

    `records` STARTER_DTYPE[n] with distinct variations, and `times` TIMES_DTYPE[n] beside them. `kept` maps a size to scores
    float64[k] and variation numbers int32[k, size], best first. `elapsed_ns` and `budget_ns`: spent and given so far.
    `n_taken_over`: starters that were not searched, because an identical one had been.
    """

    records: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, STARTER_DTYPE))
    times: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, TIMES_DTYPE))
    kept: dict[int, Kept] = field(default_factory=dict)
    elapsed_ns: int = 0
    budget_ns: int = 0
    n_taken_over: int = 0

    def with_part(self, part: SearchState) -> SearchState:
        """This state once a later part is taken in."""
        mine = ~np.isin(self.records["variation_idx"], part.records["variation_idx"])
        records, times = (
            np.concatenate([self.records[mine], part.records]),
            np.concatenate([self.times[mine], part.times]),
        )
        return SearchState(
            records, times, part.kept, part.elapsed_ns, part.budget_ns, part.n_taken_over
        )

    def problems(self, algo_of: npt.NDArray[np.int32], rules: Rules) -> Iterator[str]:
        """What keeps a search of these variations (int32[V], never falling) from going on from here."""
        if self.records.dtype != STARTER_DTYPE or len(self.times) != len(self.records):
            yield "its starters are of another build"
            return
        numbers = self.records["variation_idx"]
        if len(np.unique(numbers)) != len(numbers) or not _all_within(numbers, 0, len(algo_of) - 1):
            yield "its starters are not those of this panel"
        elif not _cursors_fit(self.records, algo_of, rules.max_size):
            yield "a cursor points nowhere"
        elif not all(_groups_fit(*kept, size, algo_of, rules) for size, kept in self.kept.items()):
            yield "its groups are not those of this panel"


class Resumable(Protocol):
    """A search whose state can be recorded, while it runs and after it has ended, by one thread at a time."""

    def take(self) -> SearchState:
        """Return what changed since the last confirmed part; the first time, the whole state."""

    def confirm(self) -> None:
        """Confirm that the part taken last is stored; until then `take` returns it again."""


class Recorder(Protocol):
    """Where `search` gets a state to resume from, and whom it gives the running search to."""

    @property
    def resume_from(self) -> SearchState | None:
        """The state to resume from; None for a new search."""

    def watch(self, search: Resumable) -> None:
        """Receive the search before it begins; from then on its state can be taken in parts."""


def _all_within(values: npt.NDArray[np.integer], low: int, high: int) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _cursors_fit(
    records: npt.NDArray[np.void], algo_of: npt.NDArray[np.int32], max_size: int
) -> bool:
    """Whether every cursor is one the kernel could have left: members of rising algorithms, and a place behind the last."""
    n_variations, depth = len(algo_of), records["depth"]
    next_algo = np.searchsorted(algo_of, algo_of, side="right")
    if not _all_within(depth, 0, max_size - 1) or not _all_within(records["attempts"], 0, 2**62):
        return False
    if ((depth == 0) != ((records["exhausted"] == 1) | (records["attempts"] == 0))).any():
        return False
    member = records["variation_idx"].astype(np.int64)
    for level in range(max_size - 1):
        cursor, here, above = records["cursor"][:, level], depth > level, depth > level + 1
        first = next_algo[member]
        if (
            here
            & (
                (cursor < first + above)
                | (cursor > n_variations)
                | (~above & (cursor == n_variations))
            )
        ).any():
            return False
        member = np.where(above, cursor - 1, member)
    return True


def _groups_fit(
    scores: npt.NDArray[np.float64],
    members: npt.NDArray[np.int32],
    size: int,
    algo_of: npt.NDArray[np.int32],
    rules: Rules,
) -> bool:
    if (
        size not in rules.retain_sizes
        or members.shape != (len(scores), size)
        or len(scores) > rules.top_k
    ):
        return False
    if not np.isfinite(scores).all() or not _all_within(members, 0, len(algo_of) - 1):
        return False
    return bool((np.diff(algo_of[members], axis=1) > 0).all())
