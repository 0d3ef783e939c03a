"""The bins in which the scores of all eligible groups are counted.

There are `N_BINS` of width `BIN_WIDTH` from `BIN_START` up; the first and the last one hold what is
beyond them as well. The kernel counts by the same bins (`count_score` in `_kernel/heap.pxd`).
"""

from __future__ import annotations

import numpy as np

from mp2.data.arrays import FloatArray

N_BINS = 64
BIN_START = -80.0
BIN_WIDTH = 5.0


def bin_starts() -> list[float]:
    """Return where each bin starts."""
    return [BIN_START + BIN_WIDTH * number for number in range(N_BINS)]


def counted_scores(scores: FloatArray) -> tuple[int, ...]:
    """Count scores by bin; those that are not finite belong to no group and are left out."""
    known = scores[np.isfinite(scores)]
    bins = np.clip((known - BIN_START) / BIN_WIDTH, 0, N_BINS - 1).astype(np.int64)
    return tuple(np.bincount(bins, minlength=N_BINS).tolist())
