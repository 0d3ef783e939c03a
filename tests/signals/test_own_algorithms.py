"""Algorithms defined in a notebook cell: decorated functions and `Algorithm` objects."""

import numpy as np
import pytest
from market_bars import walk

import mp2
from mp2.signals.indicators import ema, sma

PRICES = walk(20, 60)


@mp2.algorithm(
    reads=lambda period, margin: ("close", sma(period)),
    values={"period": np.arange(3, 6), "margin": [0, 0.01]},
)
def above(close, average, *, period, margin):
    """Close above its average."""
    return close > (1 + margin) * average


@mp2.algorithm(
    name="CROSS",
    reads=lambda fast, slow: (ema(fast), ema(slow)),
    values={"fast": (3, 5), "slow": (5, 8)},
    rising=("fast", "slow"),
)
def crossed(fast_average, slow_average, *, fast, slow):
    return fast_average > slow_average


def test_a_decorated_function_is_an_algorithm():
    assert isinstance(above, mp2.Algorithm)
    assert above.summary == "Close above its average."
    period, margin = above.parameters
    assert (period.low, period.high, period.values, period.whole) == (3, 5, (3, 4, 5), True)
    assert (margin.low, margin.high, margin.whole) == (0, 0.01, False)


def test_own_algorithms_alone_are_computed_searched_and_walked():
    grids = mp2.Grids.of(above, crossed)
    assert [one.name for one in grids.algorithms] == ["above", "CROSS"]
    assert grids.warnings == ("CROSS: 1 combinations without fast < slow were skipped",)
    sheet = mp2.compute_signals(PRICES, grids=grids)
    assert sheet.variations[:2] == ("3-0", "3-0.01")
    rules = mp2.Rules(max_size=2, min_daily_hits=0, min_pooled_pp=0.0)
    settings = {"rules": rules, "grids": grids, "workers": 1}
    run = mp2.run(PRICES, budget_s="5s", replicates=0, **settings)
    assert {member.algo for member in run.result.pick(2).members} == {"above", "CROSS"}
    assert mp2.walk_forward(PRICES, weeks=1, budget_s_per_week="5s", **settings).weeks


def test_own_algorithms_stand_beside_the_default_grids():
    default = mp2.load_grids()
    both = default.with_algorithms(above)
    assert both.algorithms == (*default.algorithms, above)
    assert len(both.variations) == len(default.variations) + 6
    assert both.variations[-1].key == ("above", "5-0.01")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: mp2.Grids.of(sma), "sma is not an mp2.Algorithm; make one with @mp2.algorithm"),
        (lambda: mp2.Grids.of("SMA"), "'SMA' is not an mp2.Algorithm; make one with"),
        (lambda: mp2.Grids.of(above, above), "two algorithms are named 'above'; rename one"),
        (
            lambda: mp2.Grids.of(above).with_algorithms(above),
            "two algorithms are named 'above'; rename one",
        ),
        (
            lambda: mp2.algorithm(reads=lambda x: ("close",), values={"x": []})(abs),
            "values: x has no value; give one",
        ),
        (
            lambda: mp2.Grids.of(mp2.algorithm(reads=lambda: ("close",), values={})(abs)),
            "abs: the rule",
        ),
    ],
)
def test_what_is_no_algorithm_is_named(make, problem):
    with pytest.raises(mp2.InputError) as caught:
        make()
    assert caught.value.problems[0].startswith(problem)


def test_too_many_variations_together_are_an_error(monkeypatch):
    monkeypatch.setattr("mp2.signals.grids.MAX_VARIATIONS", 8)
    with pytest.raises(mp2.InputError, match=r"^9 variations are more than 8; narrow the lists$"):
        mp2.Grids.of(above).with_algorithms(crossed)
