"""How long leases last, by what the latest ones cost beside their work. Whole nanoseconds.

A lease costs its way there and back, its *overhead*, and its *set-up*: a resumed starter rebuilds
the tables of its path. Long leases make both small, short ones bring raised deadlines and stops
home sooner, and lose less when a worker dies.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MS = 1_000_000
S = 1_000_000_000

N_REMEMBERED = 32
COST_SHARE = 50
"""A lease lasts so many times its cost, which is then 2% of it."""
LEAST_LEASE_NS = 1 * S
MOST_LEASE_NS = 60 * S

LEAST_MARGIN_NS = 50 * MS
MARGIN_OF_SLOT_NS = MS // 2
"""Answers that come home at the wall are handled one after the other."""

LEAST_LATENESS_NS = 2 * S
FIRST_LATENESS_NS = 10 * S
"""Until an answer has come home: workers may still be starting."""

LEAST_GRANT_NS = 250 * MS


@dataclass(frozen=True, slots=True)
class LeaseCost:
    """What one lease cost beside its work."""

    overhead_ns: int
    set_up_ns: int

    @property
    def total_ns(self) -> int:
        """All that was not work."""
        return self.overhead_ns + self.set_up_ns


class Pace:
    """The lengths that follow from the latest leases; the caller holds a lock around `add`."""

    def __init__(self, n_slots: int, budget_ns: int) -> None:
        self._n_slots = n_slots
        self._budget_ns = budget_ns
        self._latest: deque[LeaseCost] = deque(maxlen=N_REMEMBERED)
        self.overhead_ns = 0
        # Nothing is known yet: short leases teach soon, and lose little.
        self.lease_ns = LEAST_LEASE_NS
        self.lateness_ns = FIRST_LATENESS_NS
        self.min_grant_ns = LEAST_GRANT_NS
        self.margin_ns = self._margin_ns(0)

    def add(self, cost: LeaseCost) -> None:
        """Take in a lease that came home."""
        latest = self._latest
        latest.append(cost)
        overheads = sorted(lease.overhead_ns for lease in latest)
        set_ups = sorted(lease.set_up_ns for lease in latest)
        costs = sorted(lease.total_ns for lease in latest)
        middle = len(latest) // 2
        high = 19 * len(latest) // 20

        # Medians: one answer that was held up says nothing about the next.
        self.overhead_ns = overheads[middle]
        wanted_ns = max(COST_SHARE * costs[middle], LEAST_LEASE_NS)
        self.lease_ns = min(wanted_ns, MOST_LEASE_NS)
        self.lateness_ns = max(LEAST_LATENESS_NS, 20 * self.overhead_ns)
        self.min_grant_ns = max(LEAST_GRANT_NS, 20 * set_ups[middle])
        # The wall is hard, so nearly all answers have to be home before it.
        self.margin_ns = self._margin_ns(overheads[high])

    def _margin_ns(self, high_overhead_ns: int) -> int:
        """How long before the wall a lease has to be over, so that its answer is home in time."""
        margin_ns = max(LEAST_MARGIN_NS, 2 * high_overhead_ns)
        margin_ns += MARGIN_OF_SLOT_NS * self._n_slots
        # Short budgets of many slots would be all margin.
        return min(margin_ns, self._budget_ns // 4)
