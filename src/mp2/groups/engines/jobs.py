"""Whole jobs over the same seam as leases: pure work by number, such as the weeks of a walk.

The work is what all jobs need, and goes to each worker once; a job is a number, and its answer the
bytes that the work makes of it. Work travels as a pickle: workers run what the caller sends them
anyway. Answers are read by the caller and are never pickles.

Jobs are pure, so one that was lost is sent again, and one that ran twice has two equal answers.
"""

from __future__ import annotations

import itertools
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
from dataclasses import dataclass, field
from typing import Protocol

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
LATENESS_S = 10.0
"""How long after the time that a job may take its answer is still awaited."""


class Work(Protocol):
    """What all jobs of a call need; it is pickled."""

    def run(self, number: int, stop: threading.Event) -> bytes:
        """Do the job of this number; when `stop` is set the answer is thrown away."""


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
    _, _, key, number = _HEAD.unpack(order)
    head = _HEAD.pack(b"mp2r", PROTOCOL, key, number)
    home = home_of(key)
    if home is None:
        return head + _NEED
    home.n_running += 1
    try:
        result = home.work.run(number, home.stopped)
    finally:
        home.n_running -= 1
        home.used_ns = now_ns()
    if home.stopped.is_set():
        return head + _STOPPED
    return head + _DONE + result


# ---- the caller's side


def run_jobs(
    engine: Engine,
    work: Work,
    numbers: Sequence[int],
    *,
    stop: threading.Event,
    job_s: float,
    warn: Callable[[str], None],
) -> Iterator[tuple[int, bytes]]:
    """Yield number and answer of each job, as they come home; setting `stop` ends it.

    `job_s`: how long a job may take at most. `warn` gets what the user has to know. Raises
    `LostClusterError` when nothing comes home any more, `InputError` when there is no worker.
    """
    proxies = _Proxies(engine, work, numbers, job_s)
    try:
        for warning in greet_workers(engine, proxies.key, proxies.content, stop.is_set):
            warn(warning)
        proxies.launch()
        yield from proxies.answers(stop)
    finally:
        proxies.close()


class _Proxies:
    """A thread a slot, each with one job elsewhere."""

    def __init__(
        self,
        engine: Engine,
        work: Work,
        numbers: Sequence[int],
        job_s: float,
    ) -> None:
        self.key = uuid.uuid4().bytes
        head = _HEAD.pack(b"mp2w", PROTOCOL, self.key, 0)
        self.content = head + build_digest().encode() + pickle.dumps(work)
        self._engine = engine
        self._todo = deque(numbers)
        self._n_jobs = len(numbers)
        self._late_s = job_s + LATENESS_S
        self._came: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._n_lost_in_a_row = 0
        self._loss: str | None = None

    def launch(self) -> None:
        """Start the threads; daemons, as an answer may never come."""
        for slot in range(min(self._engine.n_slots, self._n_jobs)):
            threading.Thread(target=self._work, name=f"mp2-job-{slot}", daemon=True).start()

    def answers(self, stop: threading.Event) -> Iterator[tuple[int, bytes]]:
        """Yield what comes home until all jobs have, or a stop."""
        for _ in range(self._n_jobs):
            while True:
                if stop.is_set():
                    return
                try:
                    answer = self._came.get(timeout=LOOK_S)
                except queue.Empty:
                    if self._loss is not None:
                        raise LostClusterError(f"the cluster was lost ({self._loss})") from None
                    continue
                yield answer
                break

    def close(self) -> None:
        """Have the workers stop and forget the work; returns at once."""
        self._closed.set()
        self._engine.tell_stop(self.key)
        self._engine.end(self.key)

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                number = self._todo.popleft()
            except IndexError:
                return
            for attempt in itertools.count():
                answer = self._send(number, None)
                if answer == _NEED:
                    answer = self._send(number, self.content)
                if answer is not None and answer[:1] == _DONE:
                    self._n_lost_in_a_row = 0
                    self._came.put((number, answer[1:]))
                    break
                # What fails at once is not sent at once again.
                if self._closed.wait(min(1.0, 0.1 * attempt)):
                    return

    def _send(self, number: int, content: bytes | None) -> bytes | None:
        """Send a job and return its answer without the head; None if it was lost."""
        order = _HEAD.pack(b"mp2j", PROTOCOL, self.key, number)
        future = self._engine.submit(order, content)
        late_s = time.monotonic() + self._late_s
        while not future.done():
            if self._closed.is_set():
                future.cancel()
                return None
            if time.monotonic() > late_s:
                self._engine.suspect(future)
                future.cancel()
                self._note_lost("no answer in time")
                return None
            wait([future], timeout=LOOK_S)
        return self._checked(future, number)

    def _checked(self, future: Future[bytes], number: int) -> bytes | None:
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
            if self._n_lost_in_a_row >= 5 + self._engine.n_slots:
                self._loss = reason
