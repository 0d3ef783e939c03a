"""Lengths of leases, margins and lateness by what the latest leases cost."""

from hypothesis import given
from hypothesis import strategies as st

from mp2.groups.engines.pace import (
    COST_SHARE,
    FIRST_LATENESS_NS,
    LEAST_GRANT_NS,
    LEAST_LEASE_NS,
    MOST_LEASE_NS,
    MS,
    LeaseCost,
    Pace,
    S,
)

COSTS = st.builds(LeaseCost, st.integers(0, 10 * S), st.integers(0, 3 * S))


def pace_after(costs, n_slots=2, budget_ns=600 * S):
    pace = Pace(n_slots, budget_ns)
    for cost in costs:
        pace.add(cost)
    return pace


def test_before_the_first_lease():
    pace = pace_after([])
    assert pace.lease_ns == LEAST_LEASE_NS
    assert pace.lateness_ns == FIRST_LATENESS_NS
    assert pace.min_grant_ns == LEAST_GRANT_NS
    assert pace.margin_ns == 51 * MS


@given(st.lists(COSTS, min_size=1, max_size=80), st.integers(1, 1024), st.integers(1, 10**15))
def test_bounds(costs, n_slots, budget_ns):
    pace = pace_after(costs, n_slots, budget_ns)
    latest = costs[-32:]
    assert LEAST_LEASE_NS <= pace.lease_ns <= MOST_LEASE_NS
    assert 0 <= pace.margin_ns <= budget_ns // 4
    assert pace.lateness_ns >= 2 * S
    assert pace.min_grant_ns >= LEAST_GRANT_NS
    # Half of the leases cost at most 2% of one.
    cheap = [c for c in latest if COST_SHARE * (c.overhead_ns + c.set_up_ns) <= pace.lease_ns]
    assert 2 * len(cheap) >= len(latest) or pace.lease_ns == MOST_LEASE_NS


def test_set_ups_make_leases_longer_but_not_later():
    pace = pace_after([LeaseCost(10 * MS, 300 * MS)] * 9)
    assert pace.lease_ns == 50 * 310 * MS
    assert pace.min_grant_ns == 6 * S
    assert pace.lateness_ns == 2 * S
    assert pace.margin_ns == 51 * MS


def test_old_costs_are_forgotten():
    pace = pace_after([LeaseCost(S, 0)] * 40 + [LeaseCost(MS, 0)] * 32)
    assert pace.lease_ns == LEAST_LEASE_NS
    assert pace.overhead_ns == MS


def test_the_margin_follows_slow_answers_and_slots():
    quick = [LeaseCost(MS, 0)] * 30
    assert pace_after([*quick, LeaseCost(S, 0), LeaseCost(S, 0)], 1000).margin_ns == (
        2 * S + 500 * MS
    )
