"""Results to draw."""

import pytest
from market_bars import walk
from sheets import MONDAY, prices_of, result_of, sheet_of

import mp2 as package
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of


@pytest.fixture
def result():
    return result_of({2: ["A 2 + B 2", "A 1 + B 1", "A 2 + B 1"], 3: ["A 1 + B 1 + C 1"]})


@pytest.fixture
def picks(result):
    buys = {"A 1": ["AB"], "A 2": ["ABC"], "B 1": ["AB"], "B 2": ["BC"], "C 1": ["B"]}
    return package.pick_day(result, sheet_of(buys), MONDAY)


@pytest.fixture
def outcome(picks):
    return package.score(picks, prices_of([MONDAY], {"A": [1.0], "B": [-2.0], "C": [3.0]}))


@pytest.fixture(scope="session")
def walked():
    """Two judged weeks, with costs."""
    return package.walk_forward(
        walk(20, 40),
        weeks=2,
        budget_s_per_week=5,
        workers=1,
        rules=package.Rules(max_size=2, retain_sizes=(2,), min_daily_hits=0, min_pooled_pp=0.0),
        grids=grids_of(ALGORITHMS[:2]),
        cost_bps=10.0,
    )
