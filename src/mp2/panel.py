"""SignalPanel: any signal table, validated and encoded once into packed, read-only arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class SignalPanel:
    """Who buys what on which day, and who won.

    With V variations, D days, T tickers and W = n_words(T):

    - `algos`: the A algorithm names, in order; `variations`: V names in variation-number order;
      `algo_of` int32[V]: the algorithm of each variation, never falling.
    - `days`: D ISO dates, ascending; `tickers`: T names, alphabetical (bit t of a set is `tickers[t]`).
    - `buys` uint64[V, D, W]: bitsets of bought tickers.
    - `wins` uint64[D, W] when consistent (a win depends on day and ticker alone), else uint64[V, D, W], a subset of `buys`.
    - `base_win_rates` float64[D], percent.
    - `warnings`: what was tolerated, one line each. `fingerprint`: sha256 of the content, hex.

    All arrays are C-contiguous and read-only.
    """

    algos: tuple[str, ...]
    variations: tuple[str, ...]
    algo_of: npt.NDArray[np.int32]
    days: tuple[str, ...]
    tickers: tuple[str, ...]
    buys: npt.NDArray[np.uint64]
    wins: npt.NDArray[np.uint64]
    base_win_rates: npt.NDArray[np.float64]
    warnings: tuple[str, ...]
    fingerprint: str

    @property
    def consistent(self) -> bool:
        """Whether a win depends on (day, ticker) alone."""
        return self.wins.ndim == 2
