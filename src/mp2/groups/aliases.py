"""Identical variations as starters: one is searched, and its aliases copy what it found.

Variations of one algorithm that buy and win the same have the same later candidates, so their
searches make the same visits with another first member. Counters and scores are equal to the last
bit, and the kept groups differ in that member alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mp2._recurse import TopGroups
from mp2.data.arrays import NumberArray
from mp2.data.panel import SignalPanel
from mp2.groups.checkpoint import RecordArray
from mp2.groups.kept import member_of
from mp2.groups.result import Member

MAX_BYTES = 32 << 20
"""Capacity of an `AliasCache`; aliases beyond it are searched one by one."""


@dataclass(frozen=True, slots=True)
class SearchedStarter:
    """The record of one starter, STARTER_DTYPE[1], and the heaps of its groups by size."""

    record: RecordArray
    heaps: dict[int, TopGroups]

    def for_alias(self, variation_idx: int) -> SearchedStarter:
        """Return what a search of the alias `variation_idx` would find, with no rows scanned."""
        record = self.record.copy()
        record["variation_idx"] = variation_idx
        # Rows measure effort, and a copy takes none.
        record["n_rows_scanned"] = 0
        record["n_rows_rescanned"] = 0
        heaps = {size: heap.with_first(variation_idx) for size, heap in self.heaps.items()}
        return SearchedStarter(record, heaps)

    @property
    def n_bytes(self) -> int:
        """The memory taken, in bytes."""
        return self.record.nbytes + sum(heap.n_bytes for heap in self.heaps.values())


class AliasCache:
    """Exhausted starters whose aliases have not begun; an entry is dropped with its last alias.

    `alias_of` int32[V] maps each variation to the first one it is identical to. Every starter is
    reported at its first turn by `begin`. Not thread-safe: the caller holds a lock.
    """

    def __init__(
        self,
        alias_of: NumberArray,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._alias_of = alias_of
        # By first variation: how many of its class have yet to begin.
        self._n_waiting = np.bincount(alias_of, minlength=len(alias_of))
        self._searched: dict[int, SearchedStarter] = {}
        self._free_bytes = max_bytes

    def begin(self, variation_idx: int) -> SearchedStarter | None:
        """Note that a starter begins; return the exhausted starter it is identical to, if any."""
        first = int(self._alias_of[variation_idx])
        self._n_waiting[first] -= 1
        searched = self._searched.get(first)
        # This was the last alias, so no other starter can use the entry.
        if searched is not None and not self._n_waiting[first]:
            del self._searched[first]
            self._free_bytes += searched.n_bytes
        return searched

    def add(
        self,
        variation_idx: int,
        searched: SearchedStarter,
    ) -> None:
        """Keep an exhausted starter if one of its aliases has yet to begin and there is room."""
        first = int(self._alias_of[variation_idx])
        is_needed = self._n_waiting[first] > 0 and first not in self._searched
        if is_needed and searched.n_bytes <= self._free_bytes:
            self._searched[first] = searched
            self._free_bytes -= searched.n_bytes


def alias_classes(
    panel: SignalPanel,
    alias_of: NumberArray,
) -> tuple[tuple[Member, ...], ...]:
    """Return the classes of two or more identical variations, by their first."""
    class_sizes = np.bincount(alias_of)
    # Most variations have no alias, so only the others are looked at one by one.
    has_alias = class_sizes[alias_of] > 1
    classes: dict[int, list[Member]] = {}
    for variation_idx in np.flatnonzero(has_alias).tolist():
        first = int(alias_of[variation_idx])
        member = member_of(panel, variation_idx)
        classes.setdefault(first, []).append(member)
    return tuple(tuple(members) for members in classes.values())
