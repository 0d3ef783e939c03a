"""The test of a whole search: p-values, walls, its record and its sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mp2.evidence.significance import PValues, null_summary

EXAMPLE = Path(__file__).parents[1] / "oracle" / "golden" / "significance"
EXPECTED = json.loads((EXAMPLE / "significance.json").read_text())
SIZES = (2, 3)


def maxima_of(null):
    maxima = {}
    for size in SIZES:
        scores = [EXPECTED["observed"][str(size)], *null["maxima"][str(size)]]
        maxima[size] = np.array([-math.inf if score is None else score for score in scores])
    return maxima


@pytest.mark.parametrize("name", ["tickers", "sectors", "days"])
def test_p_values_are_those_of_the_worked_example(name):
    null = EXPECTED["nulls"][name]
    maxima = maxima_of(null)
    p_values = PValues(maxima)
    p_size = {size: p_values.of_score(size, maxima[size][0]) for size in SIZES}
    assert {str(size): p for size, p in p_size.items()} == null["p_size"]
    assert p_values.of_smallest(min(p_size.values())) == null["p"]
    for size in SIZES:
        for group in null["kept"][str(size)]:
            p_group = p_values.of_score(size, group["score"])
            assert p_group == group["p_size"]
            assert p_values.of_smallest(p_group) == group["p"]


def test_p_is_1_without_a_group_and_never_0():
    p_values = PValues({2: np.array([5.0, 1.0, 2.0]), 3: np.full(3, -math.inf)})
    assert p_values.of_score(2, 5.0) == pytest.approx(1 / 3)
    assert p_values.of_score(3, -math.inf) == 1.0
    assert p_values.of_smallest(1 / 3) == pytest.approx(1 / 3)


def test_one_size_gives_its_own_p():
    scores = np.array([3.0, 1.0, 2.0, 3.0, 4.0])
    p_values = PValues({4: scores})
    for score in scores:
        p_size = p_values.of_score(4, score)
        assert p_values.of_smallest(p_size) == p_size


def test_the_null_is_summarised_by_order_statistics():
    summary = null_summary(np.array([-math.inf, 3.0, 1.0, 2.0]))
    assert (summary.median, summary.mean, summary.q95, summary.max) == (1.0, 2.0, 3.0, 3.0)
    assert summary.none == 0.25
    empty = null_summary(np.full(20, -math.inf))
    assert (empty.median, empty.mean, empty.max, empty.none) == (None, None, None, 1.0)
