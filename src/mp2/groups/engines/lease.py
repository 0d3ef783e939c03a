"""The worker's side: keeps what it needs of a search, and runs one lease at a time a thread.

Engines call these functions at their workers, by name: `greet` when a search begins, `lease` for
each stretch of a starter, `stop` while leases run, `forget` at the end. Nothing here knows an
engine, and nothing here decides about a search. Whole jobs (`jobs`) come the same way.

Guarantees:

- A worker keeps nothing between leases that changes a result: only panels, kernels, stop flags.
- All times are of this machine's clock, from the arrival of an order on.
- A home is forgotten `IDLE_NS` after its last lease, as a client that died cannot ask for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from mp2._recurse import Control, Kernel, TopGroups, now_ns
from mp2.groups.checkpoint import RecordArray
from mp2.groups.engines.handshake import build_digest, hello, n_processors
from mp2.groups.engines.jobs import JobHome, is_job, is_work, job_home, run_job
from mp2.groups.engines.messages import Answer, HomeContent, How, MessageError, Order
from mp2.groups.memory import turn_bytes
from mp2.groups.rules import Rules

IDLE_NS = 600 * 1_000_000_000


@dataclass
class Home:
    """One search at this worker; `closed` when it was stopped."""

    kernel: Kernel
    rules: Rules
    keep: str
    controls: set[Control] = field(default_factory=set)
    closed: bool = False
    used_ns: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether a lease of it runs."""
        return bool(self.controls)

    def stop(self) -> None:
        """Have its leases return, and begin no others."""
        self.closed = True
        for control in self.controls:
            control.stop()


HOMES: dict[bytes, Home | JobHome] = {}
_lock = threading.Lock()


def introduce() -> bytes:
    """Return what this process is, as `Hello.to_bytes`."""
    return hello().to_bytes()


def greet(key: bytes, content: bytes) -> bytes:
    """Keep a search that begins; return what this worker is, as `Hello.to_bytes`."""
    # Who has another build says so, and gets no work.
    with suppress(MessageError):
        _install(key, content)
    return introduce()


def lease(order: bytes, content: bytes | None = None) -> bytes:
    """Run one order and return its answer; `content` is the search's home, if it was asked for."""
    if is_job(order):
        return run_job(order, lambda key: _home_of_job(key, content))
    # Before all else: its time runs from here, also that of unpacking a panel.
    arrived_ns = now_ns()
    asked = Order.from_bytes(order)
    if content is not None:
        _install(asked.key, content)
    control = Control(arrived_ns + asked.lease_ns, arrived_ns + asked.to_wall_ns)
    with _running(asked.key, control) as home:
        if home is None:
            return _answer(asked, How.NEED_HOME, asked.record).to_bytes()
        # Without memory the answer has the record that came.
        record = asked.record.copy()
        ideas_of = home.kernel if home.keep == "ideas" else None
        heaps = {
            size: TopGroups(size, home.rules.top_k, ideas_of) for size in home.rules.retain_sizes
        }
        for size, threshold in asked.thresholds.items():
            heaps[size].raise_threshold(threshold)
        try:
            how = How(home.kernel.run(record, control, heaps, asked.max_attempts))
        except MemoryError:
            return _answer(asked, How.NO_MEMORY, asked.record).to_bytes()
        except OverflowError:
            return _answer(asked, How.OVERFLOW, asked.record).to_bytes()
    used_ns = now_ns() - arrived_ns
    # The set-up is estimated by the rows that were counted again.
    before = asked.record[0]
    n_scanned = int(record["n_rows_scanned"][0] - before["n_rows_scanned"])
    n_again = int(record["n_rows_rescanned"][0] - before["n_rows_rescanned"])
    answer = Answer(
        key=asked.key,
        number=asked.number,
        how=how,
        record=record,
        used_ns=used_ns,
        set_up_ns=used_ns * n_again // max(1, n_scanned + n_again),
        kept={size: heap.ranked() for size, heap in heaps.items()},
        n_scores={size: heap.n_scores() for size, heap in heaps.items()},
        n_groups={size: heap.n_groups() for size, heap in heaps.items()},
    )
    return answer.to_bytes()


def stop(key: bytes) -> None:
    """Ask the running leases of a search to return, and begin no others."""
    with _lock:
        home = HOMES.get(key)
        if home is not None:
            home.stop()


def forget(key: bytes) -> None:
    """Drop what is kept of a search; leases that still run keep it until they return."""
    # They have it by reference; what is new asks for it again.
    with _lock:
        HOMES.pop(key, None)


def _install(key: bytes, content: bytes) -> None:
    """Keep a search or the work of jobs, and drop those that were given up."""
    home = job_home(content, _check_build) if is_work(content) else _search_home(content)
    t_ns = now_ns()
    home.used_ns = t_ns
    with _lock:
        for other in list(HOMES):
            idle = HOMES[other]
            if not idle.is_busy and t_ns - idle.used_ns > IDLE_NS:
                del HOMES[other]
        # Two slots may be given the home at once: the stop flag of the first one stays.
        HOMES.setdefault(key, home)


def _check_build(build: str) -> None:
    """Raise `MessageError` for what a search or its work of another build sends."""
    # Once more, beside the greeting: workers that came later were not greeted.
    here = hello()
    if build != build_digest():
        raise MessageError(
            f"{here.place} has mp2 build {here.build}, the search has {build}; install the same "
            "version on both"
        )


def _home_of_job(key: bytes, content: bytes | None) -> JobHome | None:
    """Return the work of a job, which may have come with it; None if it is not known."""
    if content is not None:
        _install(key, content)
    home = HOMES.get(key)
    return home if isinstance(home, JobHome) else None


def _search_home(content: bytes) -> Home:
    known = HomeContent.from_bytes(content)
    _check_build(known.build)
    kernel = Kernel(
        known.buys,
        known.wins,
        known.algo_of,
        known.day_weights,
        known.rules,
        count=known.count,
        without=known.without,
        # As many slots as processors are assumed: a worker does not know of its neighbours.
        turn_bytes=turn_bytes(
            known.buys.shape,
            n_processors(),
            known.table_memory,
            known.starter_s,
        ),
    )
    return Home(kernel, known.rules, known.keep)


@contextmanager
def _running(key: bytes, control: Control) -> Iterator[Home | None]:
    """Register a lease for `stop` while it runs; yields None where the search is not known."""
    with _lock:
        found = HOMES.get(key)
        home = found if isinstance(found, Home) else None
        if home is not None:
            home.controls.add(control)
            if home.closed:
                control.stop()
    try:
        yield home
    finally:
        if home is not None:
            with _lock:
                home.controls.discard(control)
                home.used_ns = now_ns()


def _answer(
    asked: Order,
    how: How,
    record: RecordArray,
) -> Answer:
    return Answer(key=asked.key, number=asked.number, how=how, record=record)
