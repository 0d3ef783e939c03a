"""The public face of the kernel of replicates; `_replicates.pyx` documents shapes."""

import numpy as np
import numpy.typing as npt

from mp2._recurse import Control
from mp2.data.panel import SignalPanel
from mp2.groups.rules import Rules

SEEN_BYTES: int

class ReplicateSearch:
    """The groups of a panel and labels to test them with, ready for any number of workers."""

    def __init__(
        self,
        panel: SignalPanel,
        rules: Rules,
        labels: npt.NDArray[np.uint64],
        n_replicates: int,
        *,
        n_workers: int = 4,
        check_words: int = ...,
    ) -> None: ...
    @property
    def n_replicates(self) -> int: ...
    @property
    def n_variations(self) -> int: ...
    def worker(self) -> ReplicateWorker: ...
    def lower(self, n_replicates: int) -> None: ...

class ReplicateWorker:
    """Maxima of the groups that one thread has met."""

    def __init__(self, search: ReplicateSearch) -> None: ...
    def run(self, starter: int, control: Control) -> int: ...
    @property
    def maxima(self) -> npt.NDArray[np.float64]: ...
    @property
    def n_groups(self) -> npt.NDArray[np.int64]: ...
    @property
    def n_groups_exact(self) -> bool: ...
    @property
    def enumeration_ns(self) -> int: ...
    @property
    def scoring_ns(self) -> int: ...
    @property
    def counts(self) -> dict[str, int]: ...
