"""The bounded pool: runs starters in our own threads until all are exhausted, the wall is reached or a stop is asked for.

Purpose. `run_pool` turns the arithmetic of `mp2.groups.ledger` into threads. It knows nothing of bits, panels or rules: what a
turn does, the clock and the shared flags of a turn (its control) are handed in.

How it works. There is no supervisor between two turns. Up to `workers` daemon threads take the next turn themselves: one
lock guards the ledger and the table of controls, and a thread settles the turn it has run and takes its next one within a
single stay in that lock, by a single reading of the clock. The calling thread only watches: it waits in short timed
waits, so that Python's signal handlers run, looks at the caller's stop event and reports progress.

Guarantees:

- At most `min(workers, n_starters)` turns run at any moment, none in the calling thread; nothing is handed out ahead.
- How a turn ended is what `run_turn` returned. The clock decides how much time a turn took and whether a new one may
  start, never why one ended.
- Stop flags are set before anything is joined. After a stop, a failure or the wall `run_pool` returns at the latest
  `GRACE_NS` later, even if a turn never returns; such starters are reported in `PoolOutcome.abandoned`.
- An exception, from `run_turn` or from the caller's thread (`observe`, KeyboardInterrupt), stops every running turn; it
  is raised to the caller after the others have returned.
- Once `run_pool` has returned or raised, no thread of it changes the outcome, starts a turn or calls `observe`.

Assumptions:

- A control's `stop` and `raise_deadline` never block (they are called with the lock held), and the turn that was given the
  control looks at it again and again.
- `clock_ns` is monotonic, and the same clock the turns read. Timeouts of waits only set how often the caller's thread looks.
- A signal handler may set the stop event at any time: nobody here waits on it or holds the lock while setting it.
- A turn merges its own results before it returns. The caller has to refuse merges after `run_pool` has returned if it
  reports abandoned starters: their turns still run, though their stop flag is set.

Races, and why they are harmless:

A raise misses its turn.
    1. Thread A's turn sees its deadline passed and is about to return LIMIT.
    2. Thread B's starter donates; the ledger raises A's allowance, and `raise_deadline` is called on A's control.
    3. A returns LIMIT all the same. The status is believed: the starter is cut off, though it has allowance left.
    The unused part is not lost: only the time it used is booked, and the next round hands out what is left of all workers'
    time up to the wall.

A stop meets a turn that is just being taken.
    1. The watching thread sees the stop event.
    2. Thread A wants its next turn.
    Both need the lock. If A is first, its control is in the table before the lock is free, and gets its flag. If the watcher
    is first, the ledger is closed and A finds nothing to run. A looks at the stop event itself too, so nothing starts
    between the event and the watcher's next look.

A stop comes as the last turn returns.
    1. The last turn returns; its thread settles it.
    2. The stop event is set.
    Nothing runs and nothing could start, so it has no effect and `stopped` stays False: the run ended by itself.

A thread finds nothing to run while others are still running.
    1. Thread A finds nobody waiting and nobody cut off, and ends.
    2. Thread B's starter is cut off: now there is work again, and A is gone.
    B takes that very starter back within the same stay in the lock. From step 1 on there are never more unfinished starters
    than threads, so A is not missed.

An abandoned turn returns after all.
    1. The grace is over: under the lock the watcher settles the turn and closes the pool.
    2. The turn returns; its thread finds the pool closed and ends without touching anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mp2.groups.ledger import Ledger, Turn, TurnEnd
from mp2.groups.result import StarterStatus, Status

__all__ = ["GRACE_NS", "Control", "PoolOutcome", "Progress", "TurnEnd", "run_pool"]

GRACE_NS = 5_000_000_000
"""How long a turn may go on after a stop or the wall before it is abandoned. Kernels look every few hundred microseconds,
so this is for machines that swap or freeze, and for faults."""

POLL_S = 0.01


class Control(Protocol):
    """Stop flag and deadline of one running turn, shared with whoever runs it; times are those of the clock."""

    def stop(self) -> None:
        """Ask the turn to return at its next check."""

    def raise_deadline(self, deadline_ns: int, /) -> None:
        """Move the deadline to a later time; an earlier one has no effect."""


ControlT = TypeVar("ControlT", bound=Control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The pool at one moment; waiting (for a first turn), running, cut off and exhausted add up to all starters.

    `elapsed_ns` and `wall_ns` count from the start of the run, so the wall is at the budget. `limit_ns` is the allowance
    of the next starter in the current round, `bank_ns` what the bank holds, `running` the starters' indexes, ascending.
    """

    elapsed_ns: int
    wall_ns: int
    n_waiting: int
    n_running: int
    n_cut_off: int
    n_exhausted: int
    limit_ns: int
    bank_ns: int
    running: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutcome:
    """How the run ended, and per starter in running order what it used and was granted.

    `stopped`: the stop was heeded while something ran or could have started. `ended_ns`: the clock at the last turn's
    return (when nothing ran, at the start; with abandoned starters, when they were given up). `abandoned`: starters whose
    turn had not returned `GRACE_NS` after the stop or the wall; their state is cut off. `used_ns`, `limit_start_ns`,
    `limit_end_ns`, `n_turns`, `state` as in `mp2.groups.ledger.Ledger`; 0 for a starter that was not started.
    """

    status: Status
    stopped: bool
    ended_ns: int
    abandoned: tuple[int, ...]
    used_ns: Sequence[int]
    limit_start_ns: Sequence[int]
    limit_end_ns: Sequence[int]
    n_turns: Sequence[int]
    state: Sequence[StarterStatus]


def run_pool(
    n_starters: int,
    run_turn: Callable[[int, ControlT], int],
    *,
    budget_ns: int,
    workers: int,
    started_ns: int,
    clock_ns: Callable[[], int],
    new_control: Callable[[int, int], ControlT],
    stop: threading.Event | None = None,
    work_limited: bool = False,
    observe: Callable[[Progress], None] | None = None,
    observe_every_s: float = 0.1,
) -> PoolOutcome:
    """Run starters 0..n_starters-1, in that order, until the wall at `started_ns + budget_ns` at the latest.

    `run_turn(starter_idx, control)` runs one turn in a worker thread, continues where the starter's last turn stopped,
    merges its results and returns a `TurnEnd` as an int. `new_control(deadline_ns, wall_ns)` makes the turn's control;
    `clock_ns` is the clock of both. `observe` is called in the calling thread about every `observe_every_s` and once at
    the end. With `work_limited` there are no time limits but the wall. Guarantees and races: the head of this module.

    Raises what `run_turn`, `new_control` or `observe` raised, and `InputError` for workers < 1 or budget < 0.
    """
    ledger = Ledger(n_starters, workers, budget_ns, work_limited=work_limited)
    pool = _Pool(
        ledger,
        run_turn=run_turn,
        new_control=new_control,
        clock_ns=clock_ns,
        started_ns=started_ns,
        stop=stop or threading.Event(),
    )
    try:
        pool.launch()
        _watch(pool, observe, round(observe_every_s * 1e9))
    except BaseException:
        pool.halt()
        _watch(pool, None, 0)
        raise
    if pool.error is not None:
        raise pool.error
    if observe is not None:
        observe(pool.progress())
    return pool.outcome()


def _watch(
    pool: _Pool[ControlT], observe: Callable[[Progress], None] | None, every_ns: int
) -> None:
    """Wait, in the calling thread, until every worker thread has ended or the pool has given up the late ones."""
    due_ns = every_ns
    for thread in pool.threads:
        while thread.is_alive():
            thread.join(POLL_S)
            t_ns = pool.look()
            if t_ns is None:
                return
            if observe is not None and t_ns >= due_ns:
                observe(pool.progress())
                due_ns = t_ns + every_ns


class _Pool(Generic[ControlT]):
    """What the threads share. Public methods take the lock; those with an underscore, but for `_work`, are called with it."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        run_turn: Callable[[int, ControlT], int],
        new_control: Callable[[int, int], ControlT],
        clock_ns: Callable[[], int],
        started_ns: int,
        stop: threading.Event,
    ) -> None:
        self._ledger, self._run_turn, self._new_control = ledger, run_turn, new_control
        self._clock_ns, self._started_ns, self._stop = clock_ns, started_ns, stop
        self._lock = threading.Lock()
        self._controls: dict[int, ControlT] = {}
        self._ended_ns = clock_ns() - started_ns
        self._give_up_ns = ledger.budget_ns + GRACE_NS
        self._stopped = self._closed = False
        self._abandoned: tuple[int, ...] = ()
        self.error: BaseException | None = None
        self.threads: list[threading.Thread] = []

    def launch(self) -> None:
        """Start the threads; each takes its first turn as soon as it runs."""
        for worker_idx in range(min(self._ledger.workers, self._ledger.n_starters)):
            thread = threading.Thread(
                target=self._work, name=f"mp2-worker-{worker_idx}", daemon=True
            )
            self.threads.append(thread)
            thread.start()

    def halt(self) -> None:
        """Nothing starts any more, every running turn is asked to return, and the grace begins."""
        with self._lock:
            self._halt(self._now_ns())

    def look(self) -> int | None:
        """Heed the stop event and give up late turns; the time since the start, or None when there is nothing to wait for."""
        with self._lock:
            t_ns = self._now_ns()
            self._heed_stop(t_ns)
            if t_ns >= self._give_up_ns:
                self._abandon(t_ns)
            return None if self._closed else t_ns

    def progress(self) -> Progress:
        """The pool as it is now."""
        with self._lock:
            ledger, n_running = self._ledger, len(self._ledger.running)
            return Progress(
                elapsed_ns=self._now_ns(),
                wall_ns=ledger.budget_ns,
                n_waiting=ledger.n_starters - ledger.n_started,
                n_running=n_running,
                n_cut_off=ledger.n_started - ledger.n_exhausted - n_running,
                n_exhausted=ledger.n_exhausted,
                limit_ns=ledger.limit_ns,
                bank_ns=ledger.bank_ns,
                running=tuple(sorted(ledger.running)),
            )

    def outcome(self) -> PoolOutcome:
        """The end of the run; call it when no thread is left or the pool is closed."""
        with self._lock:
            ledger = self._ledger
            return PoolOutcome(
                status=self._status(),
                stopped=self._stopped,
                ended_ns=self._started_ns + self._ended_ns,
                abandoned=self._abandoned,
                used_ns=ledger.used_ns,
                limit_start_ns=ledger.limit_start_ns,
                limit_end_ns=ledger.limit_end_ns,
                n_turns=ledger.n_turns,
                state=ledger.state,
            )

    def _work(self) -> None:
        try:
            job = self.next_turn()
            while job is not None:
                turn, control = job
                how = TurnEnd(self._run_turn(turn.starter_idx, control))
                job = self.next_turn(turn, how)
        except (
            BaseException
        ) as error:  # a thread has nobody above it; the caller of run_pool gets it
            self.fail(error)

    def next_turn(
        self, ended: Turn | None = None, how: TurnEnd = TurnEnd.LIMIT
    ) -> tuple[Turn, ControlT] | None:
        """Settle the turn that ended and take the next one; None sends the thread home."""
        with self._lock:
            if self._closed:
                return None
            t_ns = self._now_ns()
            if ended is not None:
                self._settle(ended, how, t_ns)
            self._heed_stop(t_ns)
            return self._start(t_ns)

    def fail(self, error: BaseException) -> None:
        """Keep the first error for the caller and halt."""
        with self._lock:
            self.error = self.error or error
            self._halt(self._now_ns())

    def _now_ns(self) -> int:
        return self._clock_ns() - self._started_ns

    def _start(self, t_ns: int) -> tuple[Turn, ControlT] | None:
        turn = self._ledger.start(t_ns)
        if turn is None:
            return None
        control = self._new_control(
            self._deadline_ns(turn), self._started_ns + self._ledger.budget_ns
        )
        self._controls[turn.starter_idx] = control
        return turn, control

    def _settle(self, turn: Turn, how: TurnEnd, t_ns: int) -> None:
        del self._controls[turn.starter_idx]
        self._ended_ns = t_ns
        if how is TurnEnd.STOPPED:
            self._stop_all(t_ns)
        if self._ledger.end(turn, how, t_ns).raise_each_ns:
            for raised in self._ledger.running.values():
                self._controls[raised.starter_idx].raise_deadline(self._deadline_ns(raised))

    def _deadline_ns(self, turn: Turn) -> int:
        return self._started_ns + self._ledger.deadline_ns(turn)

    def _heed_stop(self, t_ns: int) -> None:
        if (
            self._stop.is_set()
            and not self._stopped
            and (self._ledger.running or self._ledger.can_start(t_ns))
        ):
            self._stop_all(t_ns)

    def _stop_all(self, t_ns: int) -> None:
        self._stopped = True
        self._halt(t_ns)

    def _halt(self, t_ns: int) -> None:
        self._ledger.close()
        self._give_up_ns = min(self._give_up_ns, t_ns + GRACE_NS)
        for control in self._controls.values():
            control.stop()

    def _abandon(self, t_ns: int) -> None:
        self._halt(t_ns)
        self._closed = True
        self._abandoned = tuple(sorted(self._ledger.running))
        for turn in [self._ledger.running[idx] for idx in self._abandoned]:
            self._ledger.end(turn, TurnEnd.WALL, t_ns)
            self._ended_ns = t_ns

    def _status(self) -> Status:
        n_ended = self._ledger.n_exhausted + self._ledger.n_work_limited
        if self._ledger.n_exhausted == self._ledger.n_starters:
            return Status.COMPLETE
        if self._stopped:
            return Status.STOPPED
        return Status.WORK_LIMIT if n_ended == self._ledger.n_starters else Status.WALL
