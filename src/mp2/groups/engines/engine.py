"""What `remote` asks of an engine, and the control of a turn that runs on one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from mp2._recurse import Control
from mp2.groups.engines.handshake import Hello, hello


@dataclass(frozen=True, slots=True)
class EngineState:
    """How many slots answer, and whether the engine can be reached at all."""

    n_slots: int
    connected: bool = True


ContentOf = Callable[[int], bytes]
"""Makes what workers keep, for so many slots as are known when the search begins."""


class Engine(Protocol):
    """Runs `lease.lease` elsewhere; made by `choice.engine_of`.

    `n_slots`: how many leases run at once; it may fall with `leave_out`, before the search begins.
    """

    n_slots: int

    def begin(
        self,
        key: bytes,
        content_of: ContentOf,
        is_over: Callable[[], bool],
    ) -> Sequence[Hello]:
        """Have `lease.greet` run at the workers there are; return what came back.

        Calls `content_of` once. Waits at most 10 s for them, and not after `is_over`. `InputError`
        when there is no worker.
        """

    def leave_out(self, workers: Sequence[Hello]) -> None:
        """Give no lease to these workers; `InputError` if none is left."""

    def submit(
        self,
        order: bytes,
        content: bytes | None,
    ) -> Future[bytes]:
        """Have `lease.lease` run; never raises and never blocks."""

    def tell_stop(self, key: bytes) -> None:
        """Have `lease.stop` run at all workers, as far as they can be reached; returns at once."""

    def suspect(self, future: Future[bytes]) -> str:
        """Prefer other workers than that of a late or wrong answer; return its name, if known."""

    def end(self, key: bytes) -> None:
        """Have `lease.forget` run at all workers; returns at once."""

    def state(self) -> EngineState:
        """Return how the engine is; never blocks."""


class RemoteControl:
    """Stop flag, deadline and wall of a turn, and the event on which its proxy waits."""

    def __init__(self, deadline_ns: int, wall_ns: int) -> None:
        self.local = Control(deadline_ns, wall_ns)
        """Of the kernel, for turns that run in this process."""
        # One event for an answer and for a stop, as a thread can wait for one only.
        self.changed = threading.Event()
        self.n_home = 0
        """Attempts of this turn that came home."""

    @property
    def attempts(self) -> int:
        """Attempts of this turn, for reports."""
        return self.n_home + self.local.attempts

    def stop(self) -> None:
        """Ask the turn to return."""
        # In this order: who is woken reads the flag.
        self.local.stop()
        self.changed.set()

    def raise_deadline(self, deadline_ns: int) -> None:
        """Move the deadline later; it is read when the current lease comes home."""
        self.local.raise_deadline(deadline_ns)

    def is_over(self) -> bool:
        """Whether a turn would end before it begins."""
        return self.local.is_over()


def failed_future(error: Exception) -> Future[Any]:
    """Return what a call comes to that could not even be sent: callers expect a future."""
    failed: Future[Any] = Future()
    failed.set_exception(error)
    return failed


def greet_workers(
    engine: Engine,
    key: bytes,
    content_of: ContentOf,
    is_over: Callable[[], bool],
) -> list[str]:
    """Send what a search needs to the workers; those that do not fit get no work.

    Returns a warning for each of these. Raises `InputError` when no worker is left.
    """
    here = hello()
    # All at once, as the engine fails when none is left, and then names all of them.
    unfit = []
    warnings = []
    for worker in engine.begin(key, content_of, is_over):
        problem = worker.problem(here)
        if problem is not None:
            unfit.append(worker)
            warnings.append(f"{problem}; it gets no work: install the same version on both")
    if unfit:
        engine.leave_out(unfit)
    return warnings
