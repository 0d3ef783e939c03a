"""The time ledger of a run: base limit, bank, donations and rounds, as arithmetic on whole nanoseconds.

Nothing here knows a thread or a clock. Whoever runs the starters tells the `Ledger` when a turn starts and how and when
it ended; the ledger answers which starter runs next, for how long, and by how much the others may run longer. All times
are nanoseconds since the run's clock started, so the wall is at `budget_ns`; events are told in order of time.

Words: a *turn* is one stretch of running; its *allowance* is how long it may take. A starter is *remaining* when it waits
or runs in the current round. In a round every remaining starter has the same allowance, `Ledger.limit_ns`: all begin with
it and all are raised alike. A starter still running when a later round begins keeps the allowance it had.

Conservation: time granted (booked time of ended turns + allowances of running turns + allowances of the round's waiting
starters) plus the bank never exceeds `workers * budget_ns + lent_ns`. `lent_ns` is 0 until the second round. At the start
of a round it is what nobody can use anyway: the part of running allowances that lies behind the wall (the round hands out
those slots' time again), and what the least grant of 1 ms adds where there is less than that for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mp2.errors import InputError
from mp2.groups.result import StarterStatus

MIN_GRANT_NS = 1_000_000


class TurnEnd(IntEnum):
    """How a turn ended; the values are what the kernel returns."""

    EXHAUSTED = 0
    LIMIT = 1
    WALL = 2
    STOPPED = 3
    WORK_LIMIT = 4


def base_limit_ns(n_starters: int, workers: int, budget_ns: int) -> int:
    """Allowance of every first turn: the budget over the number of turns that one worker has to fit in."""
    turns_per_worker = -(-n_starters // workers)
    return budget_ns // max(1, turns_per_worker)


def spread_bank_ns(bank_ns: int, n_remaining: int) -> tuple[int, int]:
    """(rise of each remaining starter's allowance, what stays in the bank)."""
    return divmod(bank_ns, n_remaining) if n_remaining else (0, bank_ns)


def round_pot_ns(workers: int, left_ns: int, running_left_ns: Iterable[int]) -> int:
    """Time a new round may hand out: all workers' time up to the wall (`left_ns` each) less what running turns still hold."""
    return workers * left_ns - sum(min(held_ns, left_ns) for held_ns in running_left_ns)


def round_grant_ns(pot_ns: int, n_cut_off: int, left_ns: int) -> int:
    """Allowance of each of `n_cut_off` starters: an equal part of the pot, at least 1 ms, never beyond the wall."""
    return min(max(pot_ns // n_cut_off, MIN_GRANT_NS), left_ns)


@dataclass(slots=True)
class Turn:
    """One starter's running turn; `allowance_ns` rises with donations and never falls."""

    starter_idx: int
    round_no: int
    start_ns: int
    allowance_ns: int

    def left_ns(self, t_ns: int) -> int:
        """Allowance not yet used at `t_ns`; 0 for a turn that is late."""
        return max(0, self.start_ns + self.allowance_ns - t_ns)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the end of a turn brought: time it ran, time it donated, rise of every remaining starter's allowance."""

    ran_ns: int
    donated_ns: int = 0
    raise_each_ns: int = 0


class Ledger:
    """Who runs next and for how long; every call is O(1) but for the running turns and one sort per round.

    Starters are 0..n_starters-1 in running order. With `work_limited` every allowance is the whole budget, nobody donates
    and nobody gets a second turn. Raises `InputError` for fewer than 1 worker or a negative budget.

    Per starter, as lists: `used_ns` (time run, lateness included), `limit_start_ns` (allowance when it first started),
    `limit_end_ns` (sum of its ended turns' final allowances), `n_turns`, `state`. A starter that has begun is `CUT_OFF`
    until it is `EXHAUSTED`. `booked_ns` is the time used in all ended turns, each clipped to its allowance and
    the wall.
    """

    def __init__(
        self, n_starters: int, workers: int, budget_ns: int, *, work_limited: bool = False
    ) -> None:
        _check(workers, budget_ns)
        self.workers, self.budget_ns, self.work_limited = workers, budget_ns, work_limited
        self.limit_ns = budget_ns if work_limited else base_limit_ns(n_starters, workers, budget_ns)
        self.bank_ns = self.booked_ns = self.lent_ns = 0
        self.n_starters = n_starters
        self.n_started = self.n_exhausted = self.n_work_limited = 0
        self.running: dict[int, Turn] = {}
        self.round_no = 0
        self._round: Sequence[int] = range(n_starters)
        self._n_taken = 0
        self._cut_off: list[int] = []
        self._closed = False
        self.used_ns = [0] * n_starters
        self.limit_start_ns = [0] * n_starters
        self.limit_end_ns = [0] * n_starters
        self.n_turns = [0] * n_starters
        self.state = [StarterStatus.NOT_STARTED] * n_starters

    @property
    def waiting(self) -> Sequence[int]:
        """Starters of the current round that wait for their turn, in running order."""
        return self._round[self._n_taken :]

    @property
    def n_waiting(self) -> int:
        """Number of `waiting` starters, in O(1)."""
        return len(self._round) - self._n_taken

    @property
    def granted_ns(self) -> int:
        """Time granted: booked, running and waiting (see the head of this module)."""
        running_ns = sum(turn.allowance_ns for turn in self.running.values())
        return self.booked_ns + running_ns + self.n_waiting * self.limit_ns

    def deadline_ns(self, turn: Turn) -> int:
        """When the turn has to end: its allowance or the wall, whichever comes first."""
        return min(turn.start_ns + turn.allowance_ns, self.budget_ns)

    def close(self) -> None:
        """From now on nothing starts."""
        self._closed = True

    def can_start(self, t_ns: int) -> bool:
        """Whether a free slot would get a turn at `t_ns`."""
        return (
            not self._closed
            and t_ns < self.budget_ns
            and (self.n_waiting > 0 or bool(self._cut_off))
        )

    def start(self, t_ns: int) -> Turn | None:
        """Take the next turn for a free slot; begins a round when nobody waits in the current one. None: nothing to run."""
        if not self.can_start(t_ns):
            return None
        if not self.n_waiting:
            self._begin_round(t_ns)
        starter_idx = self._round[self._n_taken]
        self._n_taken += 1
        turn = self.running[starter_idx] = Turn(starter_idx, self.round_no, t_ns, self.limit_ns)
        self._note_start(turn)
        return turn

    def end(self, turn: Turn, how: TurnEnd, t_ns: int) -> Settlement:
        """Settle a turn of `running` that ended at `t_ns`. `WALL` and `STOPPED` close the ledger."""
        del self.running[turn.starter_idx]
        ran_ns = t_ns - turn.start_ns
        self._book(turn, ran_ns)
        if how is TurnEnd.EXHAUSTED:
            return self._exhausted(turn, ran_ns)
        if how is TurnEnd.WORK_LIMIT:
            self.n_work_limited += 1
        elif how is not TurnEnd.LIMIT:
            self.close()
        elif not self.work_limited:
            self._cut_off.append(turn.starter_idx)
        return Settlement(ran_ns)

    def _note_start(self, turn: Turn) -> None:
        idx = turn.starter_idx
        if not self.n_turns[idx]:
            self.n_started += 1
            self.limit_start_ns[idx] = turn.allowance_ns
            self.state[idx] = StarterStatus.CUT_OFF
        self.n_turns[idx] += 1

    def _book(self, turn: Turn, ran_ns: int) -> None:
        self.booked_ns += min(ran_ns, self.deadline_ns(turn) - turn.start_ns)
        self.used_ns[turn.starter_idx] += ran_ns
        self.limit_end_ns[turn.starter_idx] += turn.allowance_ns

    def _exhausted(self, turn: Turn, ran_ns: int) -> Settlement:
        self.n_exhausted += 1
        self.state[turn.starter_idx] = StarterStatus.EXHAUSTED
        if self.work_limited:
            return Settlement(ran_ns)
        donated_ns = max(0, turn.allowance_ns - ran_ns)
        return Settlement(ran_ns, donated_ns, self._donate(donated_ns))

    def _donate(self, donated_ns: int) -> int:
        running = [turn for turn in self.running.values() if turn.round_no == self.round_no]
        n_remaining = self.n_waiting + len(running)
        raise_each_ns, self.bank_ns = spread_bank_ns(self.bank_ns + donated_ns, n_remaining)
        self.limit_ns += raise_each_ns
        for turn in running:
            turn.allowance_ns += raise_each_ns
        return raise_each_ns

    def _begin_round(self, t_ns: int) -> None:
        """All cut-off starters, in running order, share what is left; the bank is part of that."""
        self._round, self._n_taken, self._cut_off = sorted(self._cut_off), 0, []
        self.round_no += 1
        left_ns, n_cut_off = self.budget_ns - t_ns, len(self._round)
        held_ns = [turn.left_ns(t_ns) for turn in self.running.values()]
        pot_ns = round_pot_ns(self.workers, left_ns, held_ns)
        self.limit_ns = round_grant_ns(pot_ns, n_cut_off, left_ns)
        self.bank_ns = 0
        behind_wall_ns = sum(max(0, held - left_ns) for held in held_ns)
        self.lent_ns = behind_wall_ns + max(0, n_cut_off * self.limit_ns - pot_ns)


def _check(workers: int, budget_ns: int) -> None:
    problems = []
    if workers < 1:
        problems.append(f"workers: {workers} is less than 1")
    if budget_ns < 0:
        problems.append(f"budget: {budget_ns} ns is less than 0")
    if problems:
        raise InputError(problems)
