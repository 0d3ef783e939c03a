"""Who runs the turns of a search: the kernel in the pool's own threads, or workers elsewhere.

`LocalTurns` is the first, `mp2.groups.engines.remote.LeasedTurns` the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mp2._recurse import Control, Kernel, TopGroups
from mp2.data.panel import SignalPanel
from mp2.groups.checkpoint import RecordArray
from mp2.groups.kept import day_weights
from mp2.groups.memory import mean_starter_s, turn_bytes
from mp2.groups.settings import SearchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterProgress:
    """Workers elsewhere at one moment: slots in all and alive, leases that came home or did not."""

    n_slots: int
    n_alive: int
    n_home: int
    n_lost: int
    n_late: int


class TurnControl(Protocol):
    """What the pool and a search know of a running turn.

    `attempts`: those made in it so far, as far as that is known.
    """

    @property
    def attempts(self) -> int:
        """Attempts of this turn, for reports."""

    def stop(self) -> None:
        """Ask the turn to return."""

    def raise_deadline(self, deadline_ns: int, /) -> None:
        """Move the deadline to a later time."""

    def is_over(self) -> bool:
        """Whether a turn would end before it begins: at a stop or the wall."""


class Turns(Protocol):
    """Runs turns, in the calling thread, any number of threads at once.

    `workers`: how many may run at once. `min_grant_ns`: the least time worth a turn. `kernel`: that
    of the search in this process.
    """

    workers: int
    kernel: Kernel

    @property
    def min_grant_ns(self) -> int:
        """The least allowance of a turn; 0 where a turn may be of any length."""

    def new_control(self, deadline_ns: int, wall_ns: int) -> TurnControl:
        """Make the control of a turn."""

    # Any: `run` takes the controls that `new_control` of the same object makes.
    def run(
        self,
        record: RecordArray,
        control: Any,
        heaps: dict[int, TopGroups],
        max_attempts: int,
    ) -> int:
        """Run one turn as `Kernel.run` does."""

    def cluster(self) -> ClusterProgress | None:
        """Return how the workers are; None where there are only threads."""

    def warnings(self) -> Sequence[str]:
        """Return what the user has to know, at the end."""

    def end(self) -> None:
        """Release what was kept for the turns; returns at once."""


class LocalTurns:
    """Turns that the kernel runs in this process."""

    min_grant_ns = 0

    def __init__(self, panel: SignalPanel, settings: SearchSettings) -> None:
        self.workers = settings.workers
        self.kernel = kernel_of(panel, settings, min(settings.workers, panel.n_variations))

    def new_control(self, deadline_ns: int, wall_ns: int) -> Control:
        """Make the control of a turn."""
        return Control(deadline_ns, wall_ns)

    def run(
        self,
        record: RecordArray,
        control: Control,
        heaps: dict[int, TopGroups],
        max_attempts: int,
    ) -> int:
        """Run one turn."""
        return self.kernel.run(record, control, heaps, max_attempts)

    def cluster(self) -> None:
        """Return None: there are only threads."""

    def warnings(self) -> Sequence[str]:
        """Return nothing: threads of this process need no attention."""
        return ()

    def end(self) -> None:
        """Do nothing: there is nothing elsewhere."""


def kernel_of(
    panel: SignalPanel,
    settings: SearchSettings,
    n_at_once: int,
) -> Kernel:
    """Make the kernel of a search, of which so many turns run at once in this process."""
    return Kernel(
        panel.buys,
        panel.wins,
        panel.algo_of,
        day_weights(panel.base_win_rates, settings.rules),
        settings.rules,
        count=settings.count,
        without=frozenset(settings.without),
        turn_bytes=turn_bytes(
            panel.buys.shape,
            n_at_once,
            settings.table_memory,
            mean_starter_s(settings, panel.n_variations),
        ),
    )
