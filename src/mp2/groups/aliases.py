"""Identical variations as starters: the first that is searched to its end leaves the others what they would find.

Variations of one algorithm that buy and win the same have the same later candidates, so their searches are the same visits
with another first member. Counters and scores are equal to the last bit, and the kept groups differ in that member alone.
What the first one's heaps refused for the score shared by all workers the others' would refuse as well: it only rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mp2._recurse import ENTRY_BYTES, TopGroups

MAX_BYTES = 32 << 20
"""What may be remembered at once; beyond it identical starters are searched each on its own."""

# Room a heap takes however few groups it holds.
_LEAST_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What a starter searched to its end leaves: its record of `STARTER_DTYPE`, shape (1,), and its groups by size."""

    record: npt.NDArray[np.void]
    groups: dict[int, TopGroups]

    def by(self, variation_idx: int) -> Found:
        """The same as an identical starter would have found it, which looked at nothing itself."""
        record = self.record.copy()
        record["variation_idx"], record["n_rows_scanned"], record["n_rows_rescanned"] = (
            variation_idx,
            0,
            0,
        )
        return Found(
            record, {size: groups.with_first(variation_idx) for size, groups in self.groups.items()}
        )

    @property
    def n_bytes(self) -> int:
        """Bytes taken at most; a heap holds room for up to twice its groups."""
        n_entries = sum(max(_LEAST_ENTRIES, 2 * len(groups)) for groups in self.groups.values())
        return self.record.nbytes + n_entries * ENTRY_BYTES


class Legacies:
    """What exhausted starters leave to identical ones that have not begun, forgotten once nobody waits for it.

    `alias_of` is that of the panel. Every starter is told of at its first turn, by `begin`. Not for two threads at once.
    """

    def __init__(self, alias_of: npt.NDArray[np.int32], max_bytes: int = MAX_BYTES) -> None:
        self._alias_of = alias_of
        self._n_waiting = np.bincount(alias_of, minlength=len(alias_of))
        self._found: dict[int, Found] = {}
        self._room = max_bytes

    def begin(self, variation_idx: int) -> Found | None:
        """Note that a starter begins; returns what an identical one left, to be had by `Found.by`."""
        first = int(self._alias_of[variation_idx])
        self._n_waiting[first] -= 1
        found = self._found.get(first)
        if found is not None and not self._n_waiting[first]:
            del self._found[first]
            self._room += found.n_bytes
        return found

    def keep(self, variation_idx: int, found: Found) -> None:
        """Remember what an exhausted starter found, if anyone waits for it and there is room."""
        first = int(self._alias_of[variation_idx])
        if self._n_waiting[first] and first not in self._found and found.n_bytes <= self._room:
            self._found[first] = found
            self._room -= found.n_bytes
