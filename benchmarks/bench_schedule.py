"""Measure the pool's cost per starter: turns without work, so all time is the scheduler's."""

import pytest

from mp2._recurse import EXHAUSTED, Control, now_ns
from mp2.groups.ledger import Ledger
from mp2.groups.pool import run_pool
from mp2.groups.result import Status

N_STARTERS = 10_000
BUDGET_NS = 60 * 10**9


def run_idle(workers):
    ledger = Ledger(N_STARTERS, workers, BUDGET_NS)
    outcome = run_pool(
        ledger,
        lambda starter_idx, control: EXHAUSTED,
        started_ns=now_ns(),
        clock_ns=now_ns,
        new_control=Control,
    )
    return outcome, ledger


@pytest.mark.benchmark(group="scheduler, 10,000 starters")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_idle_turns(benchmark, workers):
    outcome, ledger = benchmark.pedantic(run_idle, args=(workers,), rounds=5, warmup_rounds=1)
    assert outcome.status is Status.COMPLETE
    assert set(ledger.n_turns) == {1}
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_starter"] = round(
            benchmark.stats.stats.median / N_STARTERS * 1e6, 2
        )
