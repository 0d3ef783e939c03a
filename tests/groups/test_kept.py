"""Day weights and the final pick against the formulas in plain Python, and their edges."""

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from mp2.groups.kept import day_weights, pick_rank
from mp2.groups.rules import Rules


def close(actual, expected):
    return np.allclose(actual, expected, rtol=1e-9, atol=1e-9)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), strategies.rules_with_constants())
def test_day_weights(base, rules):
    assert close(day_weights(np.array(base), rules), oracle.day_weights(base, rules))


@st.composite
def kept_groups(draw):
    n = draw(st.integers(0, 12))
    days = draw(st.integers(1, 6))
    scores = sorted((draw(st.integers(-200, 200)) / 4 for _ in range(n)), reverse=True)
    return scores, [[draw(st.integers(0, 40)) * 2.5 for _ in range(days)] for _ in range(n)]


@given(kept_groups(), st.one_of(st.just(Rules()), strategies.rules_with_constants()))
def test_pick(kept, rules):
    scores, pp = kept
    rank = pick_rank(np.array(scores), np.array(pp), rules)
    expected = oracle.pick(scores, pp, rules)
    assert rank == (None if expected is None else expected + 1)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ([0.0, 0.0], [1.0, 1.0]),
        ([37.5], [1.0]),
        ([40.0, 60.0], [1.2, 0.8]),
        ([0.0, 100.0], [1.5, 0.5]),
    ],
    ids=["all-zero", "one-day", "two-days", "clamped"],
)
def test_day_weights_by_hand(base, expected):
    assert day_weights(np.array(base), Rules()) == pytest.approx(expected)


def test_day_weights_without_base_rates_ignore_the_clamp():
    assert day_weights(np.zeros(3), Rules(day_weight_min=1.2)).tolist() == [1.0, 1.0, 1.0]


def test_no_groups():
    assert pick_rank(np.zeros(0), np.zeros((0, 5)), Rules()) is None


def test_pick_of_identical_groups_is_the_best_ranked():
    assert pick_rank(np.full(7, 0.1), np.full((7, 5), 33.3), Rules()) == 1
