"""The size of the space against plain enumeration."""

import itertools
import math

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from mp2.groups import space


def enumerate_groups(sizes, max_size):
    keys = [(algo_idx, i) for algo_idx, size in enumerate(sizes) for i in range(size)]
    groups = (group for k in range(1, max_size + 1) for group in itertools.combinations(keys, k))
    return [group for group in groups if len({algo_idx for algo_idx, _ in group}) == len(group)]


@given(strategies.algo_sizes(), st.integers(2, 4))
def test_counts_are_those_of_enumeration(sizes, max_size):
    groups = enumerate_groups(sizes, max_size)
    assert space.n_groups(sizes, max_size) == len(groups)
    weights = space.branch_weights(sizes, max_size)
    for second in range(1, len(sizes)):
        assert weights[second] == sum(group[:2] == ((0, 0), (second, 0)) for group in groups)


def test_branches_hold_every_group_but_the_starters():
    sizes, max_size = (3, 0, 5, 2, 7), 4
    weights = space.branch_weights(sizes, max_size)
    in_branches = sum(sum(sizes[:b]) * size * weights[b] for b, size in enumerate(sizes))
    assert in_branches == space.n_groups(sizes, max_size) - sum(sizes)


def test_counts_are_exact_beyond_64_bits():
    sizes = [1563] * 64
    assert space.n_groups(sizes, 8) == sum(math.comb(64, k) * 1563**k for k in range(1, 9))
    assert space.branch_weights(sizes, 8)[0] == sum(math.comb(63, k) * 1563**k for k in range(7))


@pytest.mark.parametrize(
    ("done", "total", "complete", "expected"),
    [
        (3, 4, False, 0.75),
        (0, 4, False, 0.0),
        (4, 4, True, 1.0),
        (0, 0, True, 1.0),
        (0, 0, False, 0.0),
        (4, 4, False, math.nextafter(1.0, 0.0)),
        (10**30 - 1, 10**30, False, math.nextafter(1.0, 0.0)),
    ],
)
def test_coverage_is_one_only_when_complete(done, total, complete, expected):
    assert space.coverage(done, total, complete=complete) == expected
