"""What a search takes, and what its tables may: their size changes only the time."""

from dataclasses import replace

import numpy as np
import oracle
import pytest
import strategies
from comparison import using
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checkpoint import lasting
from test_search import panel_of

import mp2
from mp2 import _recurse
from mp2._recurse import STARTER_DTYPE, Control, Kernel, TopGroups, simd_available
from mp2.groups import memory
from mp2.groups.memory import mean_starter_s, memory_needed, turn_bytes, useful_bytes
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings

MB = 1 << 20
GB = 1 << 30
WIDE = (10_000, 5, 47)
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture
def machine(monkeypatch):
    """A function that sets what the machine has free, and its processors."""

    def set_machine(free_bytes, n_processors):
        monkeypatch.setattr(memory, "available_bytes", lambda: free_bytes)
        monkeypatch.setattr(memory.os, "cpu_count", lambda: n_processors)

    return set_machine


@given(
    simd=st.sampled_from(simd_available()),
    signals=st.one_of(strategies.copied_signals(), strategies.signals()),
    rules=strategies.rules(),
    workers=st.sampled_from((1, 3)),
    as_inconsistent=st.booleans(),
    count=st.sampled_from(("exact", "fast")),
    keep=st.sampled_from(("groups", "ideas")),
    table_memory=st.sampled_from((0, 1 << 12, 1 << 14, 1 << 16, 1 << 18, GB)),
)
@QUICK
def test_results_do_not_depend_on_the_memory_of_tables(
    simd, signals, rules, workers, as_inconsistent, count, keep, table_memory
):
    panel = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    how = {"budget_s": 600, "rules": rules, "count": count, "keep": keep}
    with using(simd):
        result = mp2.search(panel, workers=workers, table_memory=table_memory, **how)
    assert lasting(result) == lasting(mp2.search(panel, workers=1, **how))


def rows_counted(panel, n_bytes):
    """Candidate rows of a starter that were counted one by one with such tables."""
    rules = Rules(min_daily_hits=8, max_daily_buys=64)
    kernel = Kernel(
        panel.buys, panel.wins, panel.algo_of, np.ones(len(panel.days)), rules, turn_bytes=n_bytes
    )
    record = np.zeros(1, STARTER_DTYPE)
    heaps = {size: TopGroups(size, 1) for size in rules.retain_sizes}
    kernel.run(record, Control(2**62, 2**62), heaps)
    return int(record["n_rows_scanned"][0])


@pytest.mark.parametrize(
    ("n_per_algo", "n_days", "n_tickers"), [(70, 1, 40), (40, 9, 64), (20, 3, 500)]
)
def test_more_than_is_useful_changes_nothing(n_per_algo, n_days, n_tickers):
    panel = panel_of((n_per_algo,) * 4, n_days=n_days, n_tickers=n_tickers, density=0.7)
    enough = useful_bytes(panel.buys.shape)
    assert rows_counted(panel, enough) == rows_counted(panel, GB)
    assert rows_counted(panel, enough // 8) != rows_counted(panel, GB)


def test_tables_get_half_of_what_is_free_in_equal_parts(machine):
    assert 900 * MB < useful_bytes(WIDE) < 1100 * MB
    machine(8 * GB, 8)
    assert turn_bytes(WIDE, 4) == 512 * MB
    # More kernels than processors share as well.
    assert turn_bytes(WIDE, 16) == 256 * MB
    machine(64 * GB, 8)
    assert turn_bytes(WIDE, 4) == useful_bytes(WIDE)


@pytest.mark.parametrize("free_bytes", [None, 0, 100 * MB])
def test_tables_get_a_little_on_any_machine(machine, free_bytes):
    machine(free_bytes, 4)
    assert turn_bytes(WIDE, 1) == turn_bytes(WIDE, 4) == _recurse.TURN_BYTES
    assert turn_bytes(WIDE, 10) == 20 * MB


def test_tables_get_a_little_where_starters_have_no_time_to_fill_them(machine):
    machine(64 * GB, 8)
    assert turn_bytes(WIDE, 1, None, 1.9) == _recurse.TURN_BYTES
    assert turn_bytes(WIDE, 1, None, 2.0) == turn_bytes(WIDE, 1, GB, 0.0) == useful_bytes(WIDE)
    settings = SearchSettings(budget_s=3000, workers=4)
    assert mean_starter_s(settings, 10_000) == 1.2
    assert mean_starter_s(replace(settings, max_attempts=10), 10_000) == 0


def test_memory_that_is_given_is_shared_by_the_kernels(machine):
    machine(64 * GB, 8)
    assert turn_bytes(WIDE, 4, 800 * MB) == 200 * MB
    assert turn_bytes(WIDE, 1, 0) == 0
    assert turn_bytes((10, 5, 8), 1, GB) == useful_bytes((10, 5, 8)) < MB


@pytest.mark.parametrize("table_memory", [-1, 0.5, "1GB", True, 2**62])
def test_impossible_amounts(table_memory):
    with pytest.raises(mp2.InputError, match=f"table_memory: {table_memory!r} is not a whole"):
        mp2.search(panel_of((2, 2, 2)), table_memory=table_memory)


def test_memory_needed_grows_with_workers_but_not_beyond_the_starters():
    panel = panel_of((4, 3, 5, 4, 3))
    needed = [memory_needed(panel, Rules(), n) for n in (1, 2, 19, 100)]
    assert needed[0] < needed[1] < needed[2] == needed[3]


def test_memory_needed_counts_the_tables():
    panel = panel_of((100,) * 4)
    without = memory_needed(panel, Rules(), 2, table_memory=0)
    assert memory_needed(panel, Rules(), 2, table_memory=100_000) == without + 100_000
    # Beyond what is useful nothing is taken.
    most = memory_needed(panel, Rules(), 2, table_memory=GB)
    assert most == without + 2 * useful_bytes(panel.buys.shape)
