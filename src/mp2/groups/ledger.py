"""The time ledger of a run: base limit, bank, donations and rounds, in whole nanoseconds.

The ledger knows no threads and no clock. The pool reports when a turn starts and how and when it
ended; the ledger answers which starter runs next, for how long, and by how much the allowances of
the others rise. Times are nanoseconds since the run started, so the wall is at `budget_ns`. Events
are reported in order of time.

Words: a *turn* is one stretch of running; its *allowance* is how long it may take. A starter is
*remaining* while it waits or runs in the current round. In a round every remaining starter has the
same allowance, `Ledger.limit_ns`: all begin with it and all are raised alike. A starter still
running when a later round begins keeps the allowance it had.

Conservation: time granted (booked time of ended turns + allowances of running turns + allowances of
the round's waiting starters) plus the bank never exceeds `workers * budget_ns + lent_ns`. `lent_ns`
is 0 until the second round. At the start of a round it is time that cannot be used anyway: the part
of running allowances beyond the wall, which the round grants again, and what the least grant adds
where less than that is left for each. The least grant is 1 ms, or `min_grant_ns` where a turn costs
something to begin. That one also raises the first round's allowance, which then lends as well:
the wall comes before the last starters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mp2.groups.result import StarterStatus

MIN_GRANT_NS = 1_000_000


class TurnEnd(IntEnum):
    """How a turn ended; the values are those the kernel returns."""

    EXHAUSTED = 0
    LIMIT = 1
    WALL = 2
    STOPPED = 3
    WORK_LIMIT = 4


def base_limit_ns(
    n_starters: int,
    workers: int,
    budget_ns: int,
) -> int:
    """Allowance of every first turn: the budget over the turns one worker has to fit in."""
    turns_per_worker = -(-n_starters // workers)
    return budget_ns // max(1, turns_per_worker)


def spread_bank_ns(
    bank_ns: int,
    n_remaining: int,
) -> tuple[int, int]:
    """Split the bank: the rise of each remaining starter's allowance, and what stays."""
    if n_remaining == 0:
        return 0, bank_ns
    return divmod(bank_ns, n_remaining)


def round_pot_ns(
    workers: int,
    left_ns: int,
    running_left_ns: Iterable[int],
) -> int:
    """Time a new round may grant: what all workers have up to the wall, less running allowances.

    `left_ns` is the time to the wall, `running_left_ns` the unused allowance of each running turn.
    """
    held_ns = sum(min(unused_ns, left_ns) for unused_ns in running_left_ns)
    return workers * left_ns - held_ns


def round_grant_ns(
    pot_ns: int,
    n_cut_off: int,
    left_ns: int,
    min_grant_ns: int = MIN_GRANT_NS,
) -> int:
    """Allowance of each cut-off starter: an equal part, at least the least, up to the wall."""
    return min(max(pot_ns // n_cut_off, min_grant_ns), left_ns)


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


class Ledger:
    """Who runs next and for how long; a call is O(1) in the starters, except one sort per round.

    Starters are 0..n_starters-1 in running order. With `work_limited` every allowance is the whole
    budget, and there are neither donations nor second turns. `min_grant_ns`, the least allowance of
    any turn, may rise while it runs. The caller has checked that there is a worker and a budget.

    Lists by starter: `used_ns` (time run, lateness included), `limit_start_ns` (allowance at its
    first start), `limit_end_ns` (sum of its ended turns' final allowances), `n_turns`, `state`. A
    starter that has begun is `CUT_OFF` until it is `EXHAUSTED`. `booked_ns` is the time used in all
    ended turns, each clipped to its allowance and the wall.
    `round_starters` are those of the current round, in running order.
    """

    def __init__(
        self,
        n_starters: int,
        workers: int,
        budget_ns: int,
        *,
        work_limited: bool = False,
        min_grant_ns: int = 0,
    ) -> None:
        self.n_starters = n_starters
        self.workers = workers
        self.budget_ns = budget_ns
        self.work_limited = work_limited
        self.bank_ns = 0
        self.booked_ns = 0
        self.lent_ns = 0
        self.min_grant_ns = min_grant_ns
        # Attempts end a work-limited starter, so it may take all the time there is.
        self.limit_ns = budget_ns
        if not work_limited:
            base_ns = base_limit_ns(
                n_starters,
                workers,
                budget_ns,
            )
            self.limit_ns = min(max(base_ns, min_grant_ns), budget_ns)
            self.lent_ns = max(0, n_starters * self.limit_ns - workers * budget_ns)

        self.n_started = 0
        self.n_exhausted = 0
        self.n_work_limited = 0
        self.running: dict[int, Turn] = {}
        self.round_no = 0
        # A range: the first round may have 100,000 starters.
        self.round_starters: Sequence[int] = range(n_starters)
        self._n_taken = 0
        self._cut_off: list[int] = []
        self._closed = False

        self.used_ns = [0] * n_starters
        self.limit_start_ns = [0] * n_starters
        self.limit_end_ns = [0] * n_starters
        self.n_turns = [0] * n_starters
        self.state = [StarterStatus.NOT_STARTED] * n_starters

    @property
    def n_waiting(self) -> int:
        """Number of starters of the current round that wait for their turn."""
        return len(self.round_starters) - self._n_taken

    def deadline_ns(self, turn: Turn) -> int:
        """When the turn has to end: its allowance or the wall, the earlier of the two."""
        return min(turn.start_ns + turn.allowance_ns, self.budget_ns)

    def close(self) -> None:
        """Start nothing from now on."""
        self._closed = True

    def can_start(self, t_ns: int) -> bool:
        """Whether a free slot would get a turn at `t_ns`."""
        if self._closed or t_ns >= self.budget_ns:
            return False
        return self.n_waiting > 0 or bool(self._cut_off)

    def start(self, t_ns: int) -> Turn | None:
        """Take the next turn for a free slot; None when there is nothing to run.

        Begins a round when no starter waits in the current one.
        """
        if not self.can_start(t_ns):
            return None
        if not self.n_waiting:
            self._begin_round(t_ns)
        idx = self.round_starters[self._n_taken]
        self._n_taken += 1
        turn = Turn(
            idx,
            self.round_no,
            t_ns,
            self.limit_ns,
        )
        self.running[idx] = turn
        if not self.n_turns[idx]:
            self.n_started += 1
            self.limit_start_ns[idx] = self.limit_ns
            self.state[idx] = StarterStatus.CUT_OFF
        self.n_turns[idx] += 1
        return turn

    def end(
        self,
        turn: Turn,
        how: TurnEnd,
        t_ns: int,
    ) -> int:
        """Book a running turn that ended at `t_ns`; return the rise of each remaining allowance.

        `WALL` and `STOPPED` close the ledger.
        """
        idx = turn.starter_idx
        ran_ns = t_ns - turn.start_ns
        del self.running[idx]
        # Lateness is overrun: it is used, but not booked.
        self.booked_ns += min(ran_ns, self.deadline_ns(turn) - turn.start_ns)
        self.used_ns[idx] += ran_ns
        self.limit_end_ns[idx] += turn.allowance_ns

        if how is TurnEnd.EXHAUSTED:
            self.n_exhausted += 1
            self.state[idx] = StarterStatus.EXHAUSTED
            if not self.work_limited:
                return self._donate(turn.allowance_ns - ran_ns)
        elif how is TurnEnd.WORK_LIMIT:
            self.n_work_limited += 1
        elif how is not TurnEnd.LIMIT:
            # The wall or the stop has ended this turn, so it ends all others too.
            self.close()
        elif not self.work_limited:
            self._cut_off.append(idx)
        return 0

    def _donate(self, unused_ns: int) -> int:
        """Spread the bank and a donation over the remaining starters; return the rise of each.

        A turn that was late has less than 0 unused, and donates nothing.
        """
        self.bank_ns += max(0, unused_ns)
        # Turns of earlier rounds keep the allowance they had.
        running = [turn for turn in self.running.values() if turn.round_no == self.round_no]
        n_remaining = self.n_waiting + len(running)
        raise_each_ns, self.bank_ns = spread_bank_ns(self.bank_ns, n_remaining)
        self.limit_ns += raise_each_ns
        for turn in running:
            turn.allowance_ns += raise_each_ns
        return raise_each_ns

    def _begin_round(self, t_ns: int) -> None:
        """Share what is left, the bank included, among the cut-off starters."""
        self.round_starters = sorted(self._cut_off)
        self._n_taken = 0
        self._cut_off = []
        self.round_no += 1

        # Running turns keep their allowance up to the wall; beyond it they cannot use it.
        n_cut_off = len(self.round_starters)
        left_ns = self.budget_ns - t_ns
        held_ns = [turn.left_ns(t_ns) for turn in self.running.values()]
        pot_ns = round_pot_ns(self.workers, left_ns, held_ns)
        min_grant_ns = max(MIN_GRANT_NS, self.min_grant_ns)
        self.limit_ns = round_grant_ns(pot_ns, n_cut_off, left_ns, min_grant_ns)
        self.bank_ns = 0

        # The two parts of the grants that the conservation law lends.
        beyond_wall_ns = sum(max(0, unused_ns - left_ns) for unused_ns in held_ns)
        self.lent_ns = beyond_wall_ns + max(0, n_cut_off * self.limit_ns - pot_ns)
