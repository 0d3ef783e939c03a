"""What a table of computed signals and a panel of read signals have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mp2._document import Names
from mp2._overview import Entry, Overview, first_of, listed, span
from mp2.data.arrays import NumberArray, WordArray

Key = tuple[str, str]
"""(algo, variation): the name of a variation."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class SignalTable(Overview):
    """The tickers that V variations of A algorithms buy on D days, out of T tickers.

    - `algos`: A names, in order. `variations`: V names, in variation-number order; `algo_of`
      int32[V]: the algorithm of each variation, never falling.
    - `days`: D ISO dates, ascending. `tickers`: T names, alphabetical.
    - `buys` uint64[V, D, W] with W = n_words(T): sets of bought tickers; bit t is `tickers[t]`.
    - `warnings`: what was tolerated, one line each.

    All arrays are C-contiguous and read-only.
    """

    algos: Names
    variations: Names
    algo_of: NumberArray
    days: Names
    tickers: Names
    buys: WordArray
    warnings: Names

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        counts = np.bincount(self.algo_of, minlength=len(self.algos)).tolist()
        algos = [f"{algo} ({n:,})" for algo, n in zip(self.algos, counts, strict=True)]
        rows: list[Entry] = [
            ("algorithms", listed(algos, "algorithm")),
            ("days", span(self.days)),
            ("tickers", listed(self.tickers, "ticker")),
            ("warnings", first_of(self.warnings)),
        ]
        return f"{len(self.variations):,} variations", rows

    @property
    def keys(self) -> tuple[Key, ...]:
        """(algo, variation) of each of the V variations."""
        algos = [self.algos[number] for number in self.algo_of.tolist()]
        return tuple(zip(algos, self.variations, strict=True))

    def consensus(self, members: npt.ArrayLike) -> WordArray:
        """Return the tickers that all members of a group buy, as sets by day: uint64[..., D, W].

        `members`: variation numbers int[..., size]; leading axes are a batch of groups.
        """
        numbers = np.asarray(members)
        # `take` always copies; one member after the other needs no array of all members' buys.
        agreed = np.take(self.buys, numbers[..., 0], axis=0)
        for column in range(1, numbers.shape[-1]):
            agreed &= self.buys[numbers[..., column]]
        return agreed


def algo_numbers(
    algos: Sequence[str],
    algo_names: Iterable[str],
) -> NumberArray:
    """Return the position in `algos` of the algorithm of each variation: int32[V], read-only."""
    # A dictionary, since there may be thousands of variations.
    position = {algo: number for number, algo in enumerate(algos)}
    numbers = np.array([position[name] for name in algo_names], np.int32)
    numbers.setflags(write=False)
    return numbers
