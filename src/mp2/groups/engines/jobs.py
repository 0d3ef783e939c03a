"""Whole jobs over the same seam as leases: pure work by number, such as the weeks of a walk.

The work is what all jobs need, and goes to each worker once; a job is a number and a few bytes, its
answer the bytes that the work makes of it. Work travels as a pickle: workers run what the caller
sends them anyway. Answers are read by the caller and are never pickles.

Jobs are pure, so one that was lost is sent again, and one that ran twice has two equal answers.
"""

from __future__ import annotations

import logging
import pickle
import queue
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from mp2._recurse import now_ns
from mp2.errors import Mp2Error
from mp2.groups.engines.engine import Engine, greet_workers
from mp2.groups.engines.handshake import build_digest
from mp2.groups.engines.messages import PROTOCOL, MessageError

_log = logging.getLogger("mp2")

_HEAD = struct.Struct("<4sH16sQ")
_BUILD_BYTES = 16
_DONE = b"d"
_NEED = b"n"
_STOPPED = b"s"

LOOK_S = 0.05
TICK_S = 1.0
"""How often a proxy looks whether it is over: a thousand of them look."""
LATENESS_S = 10.0
"""How long after the time that a job may take its answer is still awaited."""


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Job:
    """One job at its worker; `given` is what the caller said as it was sent.

    When `stop` is set the answer is thrown away.
    """

    number: int
    given: bytes
    stop: threading.Event


class Work(Protocol):
    """What all jobs of a call need; it is pickled."""

    def run(self, job: Job) -> bytes:
        """Do a job; several threads may at once."""


class LostClusterError(Mp2Error):
    """Nothing comes home any more."""


# ---- the worker's side


@dataclass
class JobHome:
    """The work of one call at this worker."""

    work: Work
    stopped: threading.Event = field(default_factory=threading.Event)
    n_running: int = 0
    used_ns: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether a job of it runs."""
        return self.n_running > 0

    def stop(self) -> None:
        """Have its jobs return."""
        self.stopped.set()


def is_job(order: bytes) -> bool:
    """Whether an order is one of these, not a lease."""
    return order[:4] == b"mp2j"


def is_work(content: bytes) -> bool:
    """Whether a content is work for jobs, not a search."""
    return content[:4] == b"mp2w"


def job_home(content: bytes, check_build: Callable[[str], None]) -> JobHome:
    """Unpack work; `check_build` raises for that of another build."""
    start = _HEAD.size + _BUILD_BYTES
    # Before it is unpickled: classes of another version may differ.
    check_build(content[_HEAD.size : start].decode())
    return JobHome(pickle.loads(content[start:]))


def run_job(order: bytes, home_of: Callable[[bytes], JobHome | None]) -> bytes:
    """Run one job and return its answer."""
    _, _, key, number = _HEAD.unpack_from(order)
    head = _HEAD.pack(b"mp2r", PROTOCOL, key, number)
    home = home_of(key)
    if home is None:
        return head + _NEED
    # What an exception leaves is lost with its job, and the caller sends that again.
    home.n_running += 1
    try:
        result = home.work.run(Job(number, order[_HEAD.size :], home.stopped))
    finally:
        home.n_running -= 1
        home.used_ns = now_ns()
    if home.stopped.is_set():
        return head + _STOPPED
    return head + _DONE + result


# ---- the caller's side


@contextmanager
def work_at(
    engine: Engine,
    work: Work,
    *,
    is_over: Callable[[], bool],
    warn: Callable[[str], None],
) -> Iterator[JobQueue]:
    """Yield what runs jobs at the workers of an engine, which keep the work for the block.

    `warn` gets what the user has to know. Raises `InputError` when there is no worker.
    """
    queue_of_jobs = JobQueue(engine, work, is_over)
    try:
        key = queue_of_jobs.key
        for warning in greet_workers(engine, key, lambda _: queue_of_jobs.content, is_over):
            warn(warning)
        yield queue_of_jobs
    finally:
        queue_of_jobs.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs(Generic[Read]):
    """Jobs of one call.

    `read` makes the answer of the bytes for a number; a `ValueError` or `MessageError` has the job
    done again. `job_s`: how long a job may take at most. `give` is called as a job is sent. Both
    are called by several threads.
    """

    numbers: Sequence[int]
    read: Callable[[int, bytes], Read]
    job_s: float
    give: Callable[[int], bytes] = lambda number: b""


class JobQueue:
    """Runs jobs at the workers of an engine, one at a time in each slot."""

    def __init__(self, engine: Engine, work: Work, is_over: Callable[[], bool]) -> None:
        self.key = uuid.uuid4().bytes
        head = _HEAD.pack(b"mp2w", PROTOCOL, self.key, 0)
        self.content = head + build_digest().encode() + pickle.dumps(work)
        self._engine = engine
        self._is_over = is_over
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._n_lost_in_a_row = 0
        self._loss: str | None = None

    @property
    def n_slots(self) -> int:
        """How many jobs run at once."""
        return self._engine.n_slots

    def answers(self, jobs: Jobs[Read]) -> Iterator[tuple[int, Read]]:
        """Yield number and answer of each job, as they come home, until all have or it is over.

        Raises `LostClusterError` when nothing comes home any more.
        """
        todo = deque(jobs.numbers)
        came: queue.SimpleQueue[tuple[int, Read]] = queue.SimpleQueue()

        def work() -> None:
            while not self._closed.is_set():
                try:
                    number = todo.popleft()
                except IndexError:
                    return
                answer = self._bring_home(jobs, number)
                if answer is not None:
                    came.put((number, answer))

        # Daemons, as an answer may never come.
        for slot in range(min(self.n_slots, len(todo))):
            threading.Thread(target=work, name=f"mp2-job-{slot}", daemon=True).start()

        for _ in jobs.numbers:
            while True:
                # Also where answers wait: what is late is not taken.
                if self._is_over():
                    return
                try:
                    home = came.get(timeout=LOOK_S)
                except queue.Empty:
                    if self._loss is not None:
                        raise LostClusterError(f"the cluster was lost ({self._loss})") from None
                    continue
                yield home
                break

    def close(self) -> None:
        """Have the workers stop and forget the work; returns at once."""
        self._closed.set()
        self._engine.tell_stop(self.key)
        self._engine.end(self.key)

    # ---- in a thread a slot

    def _bring_home(self, jobs: Jobs[Read], number: int) -> Read | None:
        """Send a job until its answer is home; None when the queue was closed before."""
        pause_s = 0.0
        # What fails at once is not sent at once again.
        while not self._closed.wait(pause_s):
            answer = self._sent(jobs, number)
            if answer is not None:
                with self._lock:
                    self._n_lost_in_a_row = 0
                return answer
            pause_s = min(1.0, pause_s + 0.1)
        return None

    def _sent(self, jobs: Jobs[Read], number: int) -> Read | None:
        """Send a job, with the work if its worker lacks that; None if it was lost."""
        for content in (None, self.content):
            # A worker that has just forgotten the work would keep it again.
            if self._closed.is_set():
                return None
            order = _HEAD.pack(b"mp2j", PROTOCOL, self.key, number) + jobs.give(number)
            future = self._engine.submit(order, content)
            if not self._is_home(future, jobs.job_s + LATENESS_S):
                return None
            answer = self._checked(future, number)
            if answer != _NEED:
                break
        if answer is None or answer[:1] != _DONE:
            return None
        try:
            return jobs.read(number, answer[1:])
        except (ValueError, MessageError) as error:
            self._engine.suspect(future)
            self._note_lost(f"a wrong answer: {error}")
            return None

    def _is_home(self, future: Future[bytes], late_s: float) -> bool:
        """Wait for an answer; False if it does not come in time."""
        give_up_s = time.monotonic() + late_s
        while not future.done():
            if self._closed.is_set():
                future.cancel()
                return False
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                self._engine.suspect(future)
                future.cancel()
                self._note_lost("no answer in time")
                return False
            wait([future], timeout=min(TICK_S, left_s))
        return True

    def _checked(self, future: Future[bytes], number: int) -> bytes | None:
        """Return an answer without its head; None if the job was lost."""
        try:
            message = future.result(timeout=0)
            if message[: _HEAD.size] != _HEAD.pack(b"mp2r", PROTOCOL, self.key, number):
                raise MessageError("an answer belongs to another job")
        # BaseException: a future that was cancelled, and what a worker raised.
        except BaseException as error:
            self._note_lost(f"{type(error).__name__}: {error}")
            return None
        return message[_HEAD.size :]

    def _note_lost(self, reason: str) -> None:
        _log.info("a job was lost: %s", reason)
        with self._lock:
            self._n_lost_in_a_row += 1
            # Each slot may lose one as a worker dies; more in a row is the cluster.
            if self._n_lost_in_a_row >= 5 + self._engine.n_slots:
                self._loss = reason
