"""The bounded pool: runs starters in threads until all are exhausted, the wall or a stop.

Purpose. `run_pool` turns the arithmetic of `mp2.groups.ledger` into threads. It knows nothing of
bits, panels or rules: what a turn does, the clock and a turn's control are passed in.

How it works. There is no supervisor between two turns. Up to `workers` daemon threads take the next
turn themselves: one lock guards the ledger and the table of controls, and a thread books the turn
it has run and takes its next one while it holds that lock once, at one reading of the clock. The
calling thread only watches: it waits in short timed waits, so that Python's signal handlers run,
checks the caller's stop event and reports progress.

Guarantees:

- At most `min(workers, n_starters)` turns run at any moment, none in the calling thread; no turn is
  submitted ahead.
- How a turn ended is what `run_turn` returned. The clock decides how much time a turn took and
  whether a new one may start, never why one ended.
- Stop flags are set before anything is joined. After a stop, a failure or the wall `run_pool`
  returns at the latest `GRACE_NS` later, even if a turn never returns; such starters are reported
  in `PoolOutcome.abandoned`.
- An exception, from `run_turn` or from the caller's thread (`observe`, KeyboardInterrupt), stops
  every running turn; it is raised to the caller after the others have returned.
- Once `run_pool` has returned or raised, none of its threads changes the outcome or the ledger,
  starts a turn or calls `observe`.

Assumptions:

- A control's `stop` and `raise_deadline` never block (they are called with the lock held), and the
  turn that was given the control checks it again and again.
- `clock_ns` is monotonic, and the same clock the turns read. Timeouts of waits only set how often
  the caller's thread looks.
- A signal handler may set the stop event at any time: no thread here waits on it or holds the lock
  while setting it.
- A turn merges its own results before it returns. If starters were abandoned, the caller refuses
  merges after `run_pool` has returned: their turns still run, though their stop flag is set.

Races, and why they are harmless:

A raise misses its turn.
    1. Thread A's turn sees its deadline passed and is about to return LIMIT.
    2. Thread B's starter donates; the ledger raises A's allowance, and `raise_deadline` is called
       on A's control.
    3. A still returns LIMIT. The status is believed: the starter is cut off, though it has
       allowance left.
    The unused part is not lost: only the time it used is booked, and the next round grants what is
    left of all workers' time up to the wall.

A stop meets a turn that is just being taken.
    1. The watching thread sees the stop event.
    2. Thread A wants its next turn.
    Both need the lock. If A is first, its control is in the table before the lock is free, and gets
    its flag. If the watcher is first, the ledger is closed and A finds nothing to run. A checks the
    stop event itself too, so nothing starts between the event and the watcher's next look.

A stop comes as the last turn returns.
    1. The last turn returns; its thread books it.
    2. The stop event is set.
    Nothing runs and nothing could start, so it has no effect: the run ended by itself.

A thread finds nothing to run while others are still running.
    1. Thread A finds no starter waiting or cut off, and ends.
    2. Thread B's starter is cut off: now there is work again, and A is gone.
    B takes that very starter back while it still holds the lock. From step 1 on there are never
    more unfinished starters than threads, so A is not missed.

An abandoned turn returns late.
    1. The grace is over: under the lock the watcher books the turn and closes the pool.
    2. The turn returns; its thread finds the pool closed and ends without touching anything.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mp2.errors import Mp2Error
from mp2.groups.ledger import Ledger, Turn, TurnEnd
from mp2.groups.result import Status

_log = logging.getLogger("mp2")

GRACE_NS = 5_000_000_000
"""How long a turn may go on after a stop or the wall before it is abandoned.

Kernels check every few hundred microseconds, so this is for machines that swap or freeze, and for
faults.
"""

POLL_S = 0.01


class Control(Protocol):
    """Stop flag and deadline of one running turn, shared with the pool, on the pool's clock."""

    def stop(self) -> None:
        """Ask the turn to return at its next check."""

    def raise_deadline(self, deadline_ns: int, /) -> None:
        """Move the deadline to a later time; an earlier one has no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The pool at one moment.

    Starters waiting for a first turn, running, cut off and exhausted add up to all starters.
    `elapsed_ns` and `wall_ns` count from the start of the run, so the wall is at the budget.
    `limit_ns` is the allowance of the next starter in the current round, `bank_ns` what the bank
    holds. `n_turns`: the turns that each worker has ended.
    """

    elapsed_ns: int
    wall_ns: int
    n_waiting: int
    n_running: int
    n_cut_off: int
    n_exhausted: int
    limit_ns: int
    bank_ns: int
    n_turns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutcome:
    """How the run ended.

    - `ended_ns`: the clock at the last turn's return. When nothing ran, at the start; with
      abandoned starters, when they were given up.
    - `abandoned`: starters whose turn had not returned `GRACE_NS` after the stop or the wall; they
      count as cut off.
    """

    status: Status
    ended_ns: int
    abandoned: tuple[int, ...]


def run_pool(
    ledger: Ledger,
    run_turn: Callable[[int, Any], int],
    *,
    started_ns: int,
    clock_ns: Callable[[], int],
    new_control: Callable[[int, int], Control],
    stop: threading.Event | None = None,
    observe: Callable[[Progress], None] | None = None,
    observe_every_s: float = 0.1,
) -> PoolOutcome:
    """Run the starters of a new ledger, in order, until the wall at `started_ns + budget_ns`.

    `run_turn(starter_idx, control)` runs one turn in a worker thread, continues where the starter's
    last turn stopped, merges its results and returns a `TurnEnd` as an int.
    `new_control(deadline_ns, wall_ns)` makes the turn's control; `clock_ns` is the clock of both.
    `observe` is called in the calling thread about every `observe_every_s` and once at the end.
    Guarantees and races: the head of this module.

    Raises what `run_turn`, `new_control` or `observe` raised.
    """
    stop = stop or threading.Event()
    pool = _Pool(
        ledger,
        run_turn,
        new_control,
        clock_ns,
        started_ns,
        stop,
    )
    try:
        pool.launch()
        pool.watch(observe, round(observe_every_s * 1e9))
    except BaseException:
        # The turns still run; the error is raised once they have returned.
        pool.halt()
        pool.watch(None, 0)
        raise
    if pool.error is not None:
        raise pool.error
    if observe is not None:
        observe(pool.progress())
    return pool.outcome()


@dataclass
class _Pool:
    """What the threads share; private methods are called with the lock held."""

    ledger: Ledger
    run_turn: Callable[[int, Any], int]
    new_control: Callable[[int, int], Control]
    clock_ns: Callable[[], int]
    started_ns: int
    stop: threading.Event

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._controls: dict[int, Control] = {}
        self._n_turns = [0] * self.ledger.workers
        self._ended_ns = self._now_ns()
        self._give_up_ns = self.ledger.budget_ns + GRACE_NS
        self._stopped = False
        self._closed = False
        self._abandoned: tuple[int, ...] = ()
        self.error: BaseException | None = None

    # ---- the calling thread

    def launch(self) -> None:
        """Start the threads; each takes its first turn as soon as it runs."""
        for worker_idx in range(min(self.ledger.workers, self.ledger.n_starters)):
            name = f"mp2-worker-{worker_idx}"
            # Daemon: the interpreter does not wait at its exit for a turn that never returns.
            thread = threading.Thread(
                target=self.work,
                args=(worker_idx,),
                name=name,
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system has no thread left
                # Those that run do the work of all.
                if not self._threads:
                    raise Mp2Error(
                        f"no thread can be started ({error}); end other programs, or raise the "
                        "limit of processes (ulimit -u)"
                    ) from error
                _log.warning(
                    "only %d of %d threads could be started: %s",
                    worker_idx,
                    self.ledger.workers,
                    error,
                )
                return
            self._threads.append(thread)

    def watch(
        self,
        observe: Callable[[Progress], None] | None,
        every_ns: int,
    ) -> None:
        """Wait until every thread has ended or the late ones were given up."""
        due_ns = every_ns
        for thread in self._threads:
            while thread.is_alive():
                # A timed wait: Python runs signal handlers in this thread, between waits.
                thread.join(POLL_S)
                with self._lock:
                    t_ns = self._now_ns()
                    self._check_stop(t_ns)
                    if t_ns >= self._give_up_ns:
                        self._abandon(t_ns)
                        return
                if observe is not None and t_ns >= due_ns:
                    observe(self.progress())
                    due_ns = t_ns + every_ns

    def halt(self) -> None:
        """Start no more turns, ask every running one to return, and begin the grace."""
        with self._lock:
            self._halt(self._now_ns())

    def progress(self) -> Progress:
        """The pool as it is now."""
        with self._lock:
            ledger = self.ledger
            n_running = len(ledger.running)
            return Progress(
                elapsed_ns=self._now_ns(),
                wall_ns=ledger.budget_ns,
                n_waiting=ledger.n_starters - ledger.n_started,
                n_running=n_running,
                n_cut_off=ledger.n_started - ledger.n_exhausted - n_running,
                n_exhausted=ledger.n_exhausted,
                limit_ns=ledger.limit_ns,
                bank_ns=ledger.bank_ns,
                n_turns=tuple(self._n_turns),
            )

    def outcome(self) -> PoolOutcome:
        """The end of the run, when no thread is left or the pool is closed."""
        ledger = self.ledger
        status = Status.WALL
        if ledger.n_exhausted == ledger.n_starters:
            status = Status.COMPLETE
        elif self._stopped:
            status = Status.STOPPED
        elif ledger.n_exhausted + ledger.n_work_limited == ledger.n_starters:
            status = Status.WORK_LIMIT
        return PoolOutcome(
            status=status,
            ended_ns=self.started_ns + self._ended_ns,
            abandoned=self._abandoned,
        )

    # ---- the worker threads

    def work(self, worker_idx: int) -> None:
        """Run turns until there is none to start."""
        try:
            job = self.next_turn()
            while job is not None:
                turn, control = job
                how = TurnEnd(self.run_turn(turn.starter_idx, control))
                # No other thread writes this number.
                self._n_turns[worker_idx] += 1
                job = self.next_turn(turn, how)
        except BaseException as error:
            # The caller of `run_pool` raises it: nothing above a thread would.
            with self._lock:
                self.error = self.error or error
                self._halt(self._now_ns())

    def next_turn(
        self,
        ended: Turn | None = None,
        how: TurnEnd = TurnEnd.LIMIT,
    ) -> tuple[Turn, Control] | None:
        """Book the turn that ended and take the next one; None ends the thread."""
        with self._lock:
            if self._closed:
                return None
            # One reading for both turns, so that the time between them belongs to neither.
            t_ns = self._now_ns()
            if ended is not None:
                self._book(ended, how, t_ns)
            self._check_stop(t_ns)
            turn = self.ledger.start(t_ns)
            if turn is None:
                return None
            wall_ns = self.started_ns + self.ledger.budget_ns
            control = self.new_control(self._deadline_ns(turn), wall_ns)
            self._controls[turn.starter_idx] = control
            return turn, control

    def _book(
        self,
        turn: Turn,
        how: TurnEnd,
        t_ns: int,
    ) -> None:
        del self._controls[turn.starter_idx]
        self._ended_ns = t_ns
        # The turn saw its stop flag or the event before the watcher did.
        if how is TurnEnd.STOPPED:
            self._stopped = True
            self._halt(t_ns)
        if self.ledger.end(turn, how, t_ns):
            for raised in self.ledger.running.values():
                control = self._controls[raised.starter_idx]
                control.raise_deadline(self._deadline_ns(raised))

    # ---- both

    def _now_ns(self) -> int:
        return self.clock_ns() - self.started_ns

    def _deadline_ns(self, turn: Turn) -> int:
        return self.started_ns + self.ledger.deadline_ns(turn)

    def _check_stop(self, t_ns: int) -> None:
        if self._stopped or not self.stop.is_set():
            return
        # A stop after the last turn has no effect: the run ended by itself.
        if self.ledger.running or self.ledger.can_start(t_ns):
            self._stopped = True
            self._halt(t_ns)

    def _halt(self, t_ns: int) -> None:
        self.ledger.close()
        # A second halt does not prolong the grace.
        self._give_up_ns = min(self._give_up_ns, t_ns + GRACE_NS)
        for control in self._controls.values():
            control.stop()

    def _abandon(self, t_ns: int) -> None:
        # Closed first: a turn that returns from now on must not be booked a second time.
        self._halt(t_ns)
        self._closed = True
        self._abandoned = tuple(sorted(self.ledger.running))
        for turn in list(self.ledger.running.values()):
            self.ledger.end(turn, TurnEnd.WALL, t_ns)
            self._ended_ns = t_ns
