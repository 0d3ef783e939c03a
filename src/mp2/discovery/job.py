"""One scanner of a run, in a thread or a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from mp2._document import Fields, Names
from mp2.discovery.child import ChildScan
from mp2.discovery.collection import (
    Collected,
    Collection,
    collect,
    failure,
)
from mp2.discovery.deadline import timeout_message
from mp2.discovery.http.reply import ReplyKind
from mp2.discovery.records import (
    Candidate,
    OutcomeStatus,
    ScanError,
    ScanOutcome,
)
from mp2.discovery.scanner import ScanContext, Scanner


@dataclass(frozen=True, slots=True)
class Ending:
    """How a scanner ended and all that is kept of it; nothing it still does changes that."""

    outcome: ScanOutcome
    candidates: tuple[Candidate, ...] = ()
    replies: frozenset[ReplyKind] = frozenset()
    logs: Names = ()
    tool_logs: tuple[Fields, ...] = ()


def ending_of(
    scanner: type[Scanner],
    context: ScanContext,
    collected: Collected,
) -> Ending:
    """Return the end of a scanner that was started, as of now."""
    outcome = ScanOutcome(
        scanner=scanner.name,
        pipeline=scanner.pipeline,
        status=collected.status,
        seconds=round(context.elapsed_s(), 6),
        attempts=context.attempts,
        n_candidates=collected.n_candidates,
        n_dropped=collected.n_dropped,
        error=collected.error,
    )
    return Ending(
        outcome,
        collected.candidates,
        frozenset(context.replies),
        tuple(context.logs),
        tuple(context.tool_logs),
    )


class Job:
    """A scanner that is ready to run.

    `_work` is its thread; everything else is called by the supervisor.
    """

    context: ScanContext
    """Set by `start`."""

    thread: threading.Thread | None = None
    """Set by `start`."""

    def __init__(
        self,
        scanner: type[Scanner],
        new_context: Callable[..., ScanContext],
        child: ChildScan | None = None,
    ) -> None:
        self.scanner = scanner
        self._new_context = new_context
        self._child = child
        self._lock = threading.Lock()
        self._is_closed = False
        self.ending: Ending | None = None
        """Set when its thread has nothing left to do, unless it was closed before."""

    def start(
        self,
        clock: Callable[[], float],
        deliver: Callable[[Job], None],
    ) -> None:
        """Start; the scanner's thread calls `deliver` at its end.

        Raises RuntimeError when there is no thread left.
        """
        self.context = self._new_context(clock=clock)
        self._collection = Collection(self.context)
        # A daemon: a scanner that hangs must not block the exit of the process.
        self.thread = threading.Thread(
            target=self._work,
            args=(deliver,),
            name=f"mp2-scanner-{self.scanner.name}",
            daemon=True,
        )
        self.thread.start()

    def close(
        self,
        status: OutcomeStatus,
        error: ScanError,
    ) -> Ending:
        """Return what it delivered in time; otherwise it ends now, with this status.

        The scanner is notified by `context.cancelled`, and a child process is killed.
        """
        # Closed before it is notified: what it does about `cancelled` is too late to count.
        with self._lock:
            self._is_closed = True
        self.context.cancelled.set()
        if self._child is not None:
            self._child.kill()
        ending = self.ending
        if ending is None:
            collected = self._collection.ended(status, error)
            return ending_of(self.scanner, self.context, collected)
        timeout_s = self.context.timeout_s
        # Its own clock decides, so a delay of the supervisor does not count against it.
        if timeout_s is None or ending.outcome.seconds <= timeout_s:
            return ending
        late = replace(
            ending.outcome,
            status=OutcomeStatus.TIMEOUT,
            error=ScanError("timeout", timeout_message(timeout_s)),
        )
        return replace(ending, outcome=late, candidates=())

    def _work(self, deliver: Callable[[Job], None]) -> None:
        unknown = ScanError("exception", "ended without a message")
        collected = Collected(OutcomeStatus.ERROR, unknown)
        # Raised only by exceptions that fail to say what they are.
        with suppress(BaseException):
            try:
                if self._child is None:
                    collected = collect(self.scanner, self.context, self._collection)
                else:
                    collected = self._child.run(self.context)
            except BaseException as error:
                collected = Collected(*failure(error, self.context))
        ending = ending_of(self.scanner, self.context, collected)
        # Under the lock, so that not both a delivery and a close count.
        with self._lock:
            if not self._is_closed:
                self.ending = ending
                deliver(self)


class HungThreads:
    """Threads of abandoned scanners that are still alive, in the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """Note an abandoned thread."""
        with self._lock:
            self._threads.append(thread)

    def count(self) -> int:
        """Return how many are alive."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads)
