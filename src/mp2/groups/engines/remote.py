"""The search's side of an engine: turns that are leased to workers elsewhere.

Purpose. The pool's threads become *proxies*: each holds one slot elsewhere, and `LeasedTurns.run`
sends its starter there, lease after lease, where `LocalTurns` calls the kernel. Pool, ledger,
checkpoints and results are those of a search in threads.

Guarantees:

- A complete search has the result of local threads to the last bit.
- A lease changes a turn when it has come home whole, once, or never. Lost, late or wrong answers
  change nothing: the starter goes on from its last cursor, here or in a later turn.
- No thread waits longer than `AFTER_WALL_NS` after the wall or `AFTER_STOP_NS` after a stop,
  whatever workers, schedulers and networks do.
- Only durations come from workers. When something happened is read from this machine's clock.

Races, and why they are harmless:

An answer comes home as its wait is given up.
    The future was abandoned: whatever it becomes, nothing looks at it again.

A lease is run twice, as its worker was thought dead.
    The engine returns one of two equal answers. A lease that was sent again by this module has
    another future and another number.

A deadline is raised while a lease runs.
    The lease comes home at its old end; the loop reads the new deadline, and leases again.
"""

from __future__ import annotations

import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from mp2._recurse import TopGroups, now_ns
from mp2.data.panel import SignalPanel
from mp2.groups import space
from mp2.groups.checkpoint import TIMES_DTYPE, RecordArray, SearchState
from mp2.groups.engines.engine import Engine, RemoteControl, greet_workers
from mp2.groups.engines.handshake import build_digest, n_processors
from mp2.groups.engines.messages import Answer, HomeContent, How, MessageError, Order
from mp2.groups.engines.pace import MS, LeaseCost, Pace, S
from mp2.groups.kept import day_weights
from mp2.groups.ledger import TurnEnd
from mp2.groups.memory import mean_starter_s
from mp2.groups.settings import SearchSettings
from mp2.groups.turns import ClusterProgress, kernel_of

_log = logging.getLogger("mp2")

AFTER_WALL_NS = 200 * MS
"""A search may end a quarter of a second after the wall; the rest is for what follows."""
AFTER_STOP_NS = 1 * S
SMALL_WEIGHT = 2_000_000
"""Starters with fewer groups are searched here: about 20 ms, which a way there and back costs."""

CONTENT_NS = 10 * S
"""How much later an order may come home that carried a panel."""
RETRY_S = 0.1
TICK_NS = 1 * S
MOST_DISCONNECTED_NS = 15 * S


class LostError(Exception):
    """A lease will not come home: its worker failed, or its answer is wrong."""


class LateError(Exception):
    """A lease is not awaited any longer."""


def home_content(
    panel: SignalPanel,
    settings: SearchSettings,
    n_slots: int,
) -> HomeContent:
    """Return what workers keep of a search that runs in so many slots."""
    at_workers = replace(settings, workers=n_slots)
    return HomeContent(
        build=build_digest(),
        buys=panel.buys,
        wins=panel.wins,
        algo_of=panel.algo_of,
        day_weights=day_weights(panel.base_win_rates, settings.rules),
        rules=settings.rules,
        count=settings.count,
        keep=settings.keep,
        without=tuple(settings.without),
        table_memory=settings.table_memory,
        starter_s=mean_starter_s(at_workers, panel.n_variations),
    )


class LeasedTurns:
    """Turns that workers of an engine run.

    The panel goes to the workers at once. Raises `InputError` when none of them can be used.
    """

    workers: int

    def __init__(
        self,
        engine: Engine,
        panel: SignalPanel,
        settings: SearchSettings,
        is_over: Callable[[], bool],
        clock_ns: Callable[[], int] = now_ns,
    ) -> None:
        self.engine = engine
        self.clock_ns = clock_ns
        self.key = uuid.uuid4().bytes
        self.rules = settings.rules
        self.keep = settings.keep
        self.algo_of = panel.algo_of
        self.content = b""
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.n_home = 0
        self.n_lost = 0
        self.n_late = 0
        self._n_lost_in_a_row = 0
        self._is_lost = False
        self._last_loss = ""
        self._warnings: list[str] = []
        self._stop_is_told = False
        self._connected_ns = clock_ns()
        self._next_tick_ns = self._connected_ns

        # Small starters run here, so they share this machine's processors.
        n_here = n_processors()
        self._free_here = threading.Semaphore(n_here)
        self.kernel = kernel_of(panel, settings, n_here)
        algo_sizes = panel.variations_per_algo
        weights = space.starter_weights(algo_sizes, settings.rules.max_size)
        self._is_small = [weight <= SMALL_WEIGHT for weight in weights]

        def content_of(n_slots: int) -> bytes:
            # Kept for workers that come later.
            self.content = home_content(panel, settings, n_slots).to_bytes()
            return self.content

        for warning in greet_workers(engine, self.key, content_of, is_over):
            self.warn(warning)
        self.workers = engine.n_slots
        self.pace = Pace(self.workers, max(1, round(settings.budget_s * S)))

    @property
    def min_grant_ns(self) -> int:
        """The least allowance of a turn, so that its set-up stays small beside it."""
        return self.pace.min_grant_ns

    def new_control(self, deadline_ns: int, wall_ns: int) -> RemoteControl:
        """Make the control of a turn."""
        return RemoteControl(deadline_ns, wall_ns)

    def run(
        self,
        record: RecordArray,
        control: RemoteControl,
        heaps: dict[int, TopGroups],
        max_attempts: int,
    ) -> int:
        """Run one turn: here if it is small and a processor is free, else in leases."""
        algo = self.algo_of[record["variation_idx"][0]]
        if self._is_small[algo] and self._free_here.acquire(blocking=False):
            try:
                return self.kernel.run(record, control.local, heaps, max_attempts)
            finally:
                self._free_here.release()
        return _Turn(self, record, control, heaps, max_attempts).run()

    def cluster(self) -> ClusterProgress:
        """Return how the workers and the leases are."""
        return ClusterProgress(
            n_slots=self.workers,
            n_alive=self.engine.state().n_slots,
            n_home=self.n_home,
            n_lost=self.n_lost,
            n_late=self.n_late,
        )

    def warnings(self) -> Sequence[str]:
        """Return what the user has to know, at the end."""
        return self._warnings

    def end(self) -> None:
        """Have the workers forget the search."""
        self.engine.end(self.key)

    # ---- for the turns

    def warn(self, warning: str) -> None:
        """Keep a warning, once."""
        with self.lock:
            if warning not in self._warnings:
                self._warnings.append(warning)
                _log.warning("%s", warning)

    def note_home(self, cost: LeaseCost | None) -> None:
        """Note that a lease came home; `cost` is None where it is no example for others."""
        with self.lock:
            self.n_home += 1
            self._n_lost_in_a_row = 0
            if cost is not None:
                self.pace.add(cost)

    def note_lost(self, reason: str) -> None:
        """Note that a lease will not come home."""
        _log.info("a lease was lost: %s", reason)
        with self.lock:
            self.n_lost += 1
            self._note_loss(reason)

    def note_late(self) -> None:
        """Note that a lease did not come home in time."""
        _log.info("a lease is late")
        with self.lock:
            self.n_late += 1
            self._note_loss("no answer in time")

    def _note_loss(self, reason: str) -> None:
        self._last_loss = reason
        self._n_lost_in_a_row += 1
        # Each slot may lose one as a worker dies; more in a row is the cluster.
        if self._n_lost_in_a_row >= 5 + self.workers:
            self._is_lost = True

    def is_lost(self) -> bool:
        """Whether the search has to end, as nothing comes home any more."""
        with self.lock:
            t_ns = self.clock_ns()
            # One of all proxies looks, once a second.
            if t_ns >= self._next_tick_ns:
                self._next_tick_ns = t_ns + TICK_NS
                if self.engine.state().connected:
                    self._connected_ns = t_ns
                elif t_ns - self._connected_ns > MOST_DISCONNECTED_NS:
                    self._last_loss = "disconnected"
                    self._is_lost = True
            lost = self._is_lost
        if lost:
            self.warn(f"the cluster was lost ({self._last_loss}); mp2 resume goes on")
        return lost

    def tell_stop(self) -> None:
        """Have the workers stop, once for the run."""
        with self.lock:
            is_told = self._stop_is_told
            self._stop_is_told = True
        if not is_told:
            self.engine.tell_stop(self.key)


@dataclass
class _Turn:
    """One turn in leases; the record and the heaps are those of `Kernel.run`."""

    turns: LeasedTurns
    record: RecordArray
    control: RemoteControl
    heaps: dict[int, TopGroups]
    max_attempts: int

    def __post_init__(self) -> None:
        self._n_at_start = int(self.record["attempts"][0])
        self._n_leases = 0
        self._has_lacked_memory = False
        self._cost: LeaseCost | None = None

    def run(self) -> TurnEnd:
        """Lease until the starter or its time is over."""
        control = self.control.local
        pace = self.turns.pace
        while not control.stopped:
            t_ns = self.turns.clock_ns()
            to_deadline_ns = control.deadline_ns - t_ns
            to_wall_ns = control.wall_ns - t_ns - pace.margin_ns
            if to_wall_ns <= 0:
                return TurnEnd.WALL
            # What is left is not worth another way there and back.
            if self._n_leases and to_deadline_ns <= pace.overhead_ns:
                return TurnEnd.LIMIT
            lease_ns = max(1, min(to_deadline_ns, to_wall_ns, pace.lease_ns))
            how = self._lease(lease_ns, to_wall_ns)
            if how is not None:
                return how
        return TurnEnd.STOPPED

    def _lease(self, lease_ns: int, to_wall_ns: int) -> TurnEnd | None:
        """Send one lease and take in its answer; None: the turn goes on from the record."""
        turns = self.turns
        self._n_leases += 1
        order = Order(
            key=turns.key,
            number=next(turns.numbers),
            record=self.record,
            lease_ns=lease_ns,
            to_wall_ns=to_wall_ns,
            max_attempts=self.max_attempts,
            thresholds=self._thresholds(),
        )
        try:
            answer = self._send(order, None)
            if answer.how is How.NEED_HOME:
                answer = self._send(order, turns.content)
            return self._take_in(answer)
        except LateError:
            if self.control.is_over():
                return None
            turns.note_late()
            # A turn that attempts end gets no second one, so it has to go on.
            if turns.is_lost():
                return TurnEnd.STOPPED
            return None if self.max_attempts else TurnEnd.LIMIT
        except LostError as error:
            turns.note_lost(str(error))
            if turns.is_lost():
                return TurnEnd.STOPPED
            # An engine that fails at once is not asked at once again.
            self.control.changed.wait(RETRY_S)
            return None

    def _thresholds(self) -> dict[int, float]:
        """Return the scores below which a lease need not keep groups: they do not come home."""
        # How many groups an idea stands for counts all of them.
        if self.turns.keep == "ideas":
            return {}
        return {size: heap.threshold for size, heap in self.heaps.items()}

    def _send(self, order: Order, content: bytes | None) -> Answer:
        """Send an order and wait for its answer; raises `LostError` and `LateError`."""
        turns = self.turns
        sent_ns = turns.clock_ns()
        late_ns = sent_ns + order.lease_ns + turns.pace.lateness_ns
        if content is not None:
            late_ns += CONTENT_NS
        future = turns.engine.submit(order.to_bytes(), content)
        future.add_done_callback(lambda _: self.control.changed.set())
        self._wait(future, late_ns)
        try:
            message = future.result(timeout=0)
        # BaseException: a future that was cancelled, and what a worker raised.
        except BaseException as error:
            raise LostError(f"{type(error).__name__}: {error}") from None
        came_ns = turns.clock_ns()
        try:
            answer = Answer.from_bytes(message)
            self._check(answer, order)
        except MessageError as error:
            place = turns.engine.suspect(future)
            turns.warn(f"an answer of {place or 'a worker'} was left out: {error}")
            raise LostError(str(error)) from None
        # With a panel it took longer than the next one will.
        self._cost = None
        if content is None:
            overhead_ns = came_ns - sent_ns - answer.used_ns
            self._cost = LeaseCost(max(0, overhead_ns), answer.set_up_ns)
        return answer

    def _wait(self, future: Future[bytes], late_ns: int) -> None:
        """Wait until a future is done; `LateError` when that takes too long."""
        turns = self.turns
        control = self.control
        give_up_ns = min(late_ns, control.local.wall_ns + AFTER_WALL_NS)
        is_told = False
        while True:
            # First, so that what happens from now on wakes the wait below.
            control.changed.clear()
            if future.done():
                return
            t_ns = turns.clock_ns()
            if control.local.stopped and not is_told:
                is_told = True
                give_up_ns = min(give_up_ns, t_ns + AFTER_STOP_NS)
                turns.tell_stop()
            if t_ns >= give_up_ns or turns.is_lost():
                turns.engine.suspect(future)
                # It may still be queued.
                future.cancel()
                raise LateError
            control.changed.wait(min(give_up_ns - t_ns, TICK_NS) / S)

    def _check(self, answer: Answer, order: Order) -> None:
        """Check an answer as a stored state is; raises `MessageError`."""
        before = order.record[0]
        after = answer.record[0]
        # An engine may mix up answers, and a worker may be of another search.
        if (answer.key, answer.number) != (order.key, order.number):
            raise MessageError("it belongs to another lease")
        if after["variation_idx"] != before["variation_idx"]:
            raise MessageError("it is of another starter")
        if after["attempts"] < before["attempts"]:
            raise MessageError("attempts were lost")
        state = SearchState(
            records=answer.record,
            times=np.zeros(1, TIMES_DTYPE),
            kept=answer.kept,
            n_scores=answer.n_scores,
            n_groups=answer.n_groups,
        )
        # An order that was not begun leaves the starter as it was.
        if answer.how in (How.NEED_HOME, How.NO_MEMORY, How.OVERFLOW):
            return
        problem = state.problem(self.turns.algo_of, self.turns.rules)
        if not state.keeps(self.turns.keep):
            problem = f"it does not keep {self.turns.keep}"
        if problem is not None:
            raise MessageError(problem)
        for _, members in answer.kept.values():
            if (members[:, 0] != after["variation_idx"]).any():
                raise MessageError("a group does not begin with its starter")

    def _take_in(self, answer: Answer) -> TurnEnd | None:
        """Add what a lease has found to the turn; return how the turn ended, None to go on."""
        if answer.how is How.OVERFLOW:
            raise OverflowError("a starter's attempts leave their range; set max_attempts")
        if answer.how is How.NO_MEMORY:
            if self._has_lacked_memory:
                raise MemoryError("no memory to search a starter on a worker; lower --top")
            self._has_lacked_memory = True
            raise LostError("no memory")
        if answer.how is How.NEED_HOME:
            raise LostError("a worker did not keep the panel")
        # Its own clock says when a worker's time was up, so that is not asked here.
        if answer.how is How.STOPPED and not self.control.local.stopped:
            raise LostError("a worker stopped by itself")
        self.turns.note_home(self._cost)
        # Only memory can be short from here on, and that ends the search.
        self.record[:] = answer.record
        for size, (scores, members) in answer.kept.items():
            self.heaps[size].restore(scores, members, answer.n_groups[size])
            self.heaps[size].add_scores(answer.n_scores[size])
        self.control.n_home = int(self.record["attempts"][0]) - self._n_at_start
        if answer.how in (How.EXHAUSTED, How.WORK_LIMIT):
            return TurnEnd(answer.how)
        return None
