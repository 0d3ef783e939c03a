"""The kernel's public face; `_recurse.pyx` documents shapes and guarantees."""

from collections.abc import Collection
from typing import Final

import numpy as np
import numpy.typing as npt

from mp2.groups.rules import Rules

EXHAUSTED: Final[int]
LIMIT: Final[int]
WALL: Final[int]
STOPPED: Final[int]
WORK_LIMIT: Final[int]
CHECK_WORDS: Final[int]
TURN_BYTES: Final[int]
ENTRY_BYTES: Final[int]
IDEA_BYTES: Final[int]
STARTER_DTYPE: Final[np.dtype[np.void]]
STATISTICS_DTYPE: Final[np.dtype[np.void]]

def now_ns() -> int: ...
def simd() -> str: ...
def simd_available() -> tuple[str, ...]: ...
def simd_missing(name: str) -> tuple[str, ...]: ...
def use_simd(name: str) -> None: ...
def build_info() -> str: ...
def most_words_between_checks(reset: bool = False) -> int: ...
def describe(
    buys: npt.NDArray[np.integer],
    hits: npt.NDArray[np.integer],
    n_tickers: npt.NDArray[np.integer],
    day_weights: npt.NDArray[np.float64],
    rules: Rules,
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.float64]]: ...

class Control:
    """Stop flag, deadline and wall of one running starter, shared by scheduler and kernel."""

    def __init__(self, deadline_ns: int, wall_ns: int) -> None: ...
    def stop(self) -> None: ...
    def raise_deadline(self, deadline_ns: int) -> None: ...
    def is_over(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def deadline_ns(self) -> int: ...
    @property
    def wall_ns(self) -> int: ...
    @property
    def attempts(self) -> int: ...

class TopGroups:
    """The best `top_k` groups, or ideas, of one size."""

    def __init__(self, size: int, top_k: int, ideas_of: Kernel | None = None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def n_bytes(self) -> int: ...
    def merge(self, other: TopGroups) -> None: ...
    def restore(
        self,
        scores: npt.NDArray[np.float64],
        members: npt.NDArray[np.int32],
        n_groups: npt.ArrayLike = (),
    ) -> None: ...
    def n_scores(self) -> npt.NDArray[np.int64]: ...
    def add_scores(self, counts: npt.NDArray[np.int64]) -> None: ...
    def with_first(self, variation_idx: int) -> TopGroups: ...
    def best(self) -> float | None: ...
    def ranked(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]: ...
    def n_groups(self) -> npt.NDArray[np.int64]: ...

class Kernel:
    """One panel and one set of rules, ready to be searched by any number of threads."""

    def __init__(
        self,
        buys: npt.NDArray[np.uint64],
        wins: npt.NDArray[np.uint64],
        algo_of: npt.NDArray[np.int32],
        day_weights: npt.NDArray[np.float64],
        rules: Rules,
        *,
        count: str = "exact",
        without: Collection[str] = frozenset(),
        turn_bytes: int = ...,
        check_words: int = ...,
    ) -> None: ...
    def run(
        self,
        starter: npt.NDArray[np.void],
        control: Control,
        heaps: dict[int, TopGroups],
        max_attempts: int = 0,
    ) -> int: ...
