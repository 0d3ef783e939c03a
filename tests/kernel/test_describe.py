"""Statistics, eligibility and score of given groups, against the formulas in plain Python."""

import dataclasses
import itertools

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from mp2 import _recurse
from mp2.groups.rules import Rules

COUNTERS = {"hits", "buys", "n_active", "eligible"}
FIELDS = set(_recurse.STATISTICS_DTYPE.names) - COUNTERS


@st.composite
def batches(draw):
    """buys, hits (lists of n rows of D) and n_tickers of n possible groups."""
    n, days = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    buys = [[draw(st.integers(0, 30)) for _ in range(days)] for _ in range(n)]
    hits = [[draw(st.integers(0, b)) for b in row] for row in buys]
    return buys, hits, [draw(st.integers(max(row), sum(row))) for row in buys]


def describe(buys, hits, n_tickers, weights=None, rules=None):
    weights = np.ones(len(buys[0])) if weights is None else np.array(weights)
    arrays = (np.array(values, dtype=np.int64) for values in (buys, hits, n_tickers))
    return _recurse.describe(*arrays, weights, rules or Rules())


@given(batches(), strategies.rules_with_constants(), st.data())
def test_statistics_and_score(batch, rules, data):
    n_days = len(batch[0][0])
    weights = data.draw(st.lists(st.floats(0.5, 1.5), min_size=n_days, max_size=n_days))
    statistics, pp = describe(*batch, weights, rules)
    for i, group in enumerate(zip(*batch, strict=True)):
        expected = oracle.statistics(*group, weights, rules)
        assert set(expected) == {*FIELDS, "pp"}
        assert pp[i] == pytest.approx(expected["pp"], rel=1e-9, abs=1e-9)
        for name in FIELDS:
            assert statistics[name][i] == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name


@given(batches(), strategies.rules())
def test_eligible(batch, rules):
    weights = [1.0] * len(batch[0][0])
    expected = [
        oracle.is_eligible(oracle.statistics(*group, weights, rules), rules)
        for group in zip(*batch, strict=True)
    ]
    statistics, _ = describe(*batch, rules=rules)
    assert statistics["eligible"].tolist() == expected


ONE_DAY = {"second_worst_pp": 62.5, "median_pp": 62.5, "mad_pp": 0, "iqr_pp": 0, "cv_buys": 0}
TWO_DAYS = {"second_worst_pp": 75, "median_pp": 67.5, "mad_pp": 7.5, "iqr_pp": 7.5}
NO_BUYS = {"pooled_pp": 0, "wilson_lb": 0, "cv_buys": 0, "repeat_factor": 0, "score": -15}
EMPTY_DAYS = {"cv_buys": 0, "mean_buys": 2, "median_pp": 0, "mad_pp": 100 / 3, "iqr_pp": 50}


@pytest.mark.parametrize(
    ("buys", "hits", "n_tickers", "expected"),
    [
        # one day: no spread, no slope, the second worst day is the only one
        ([8], [5], 8, {**ONE_DAY, "pp_slope": 0}),
        # two days: the second worst is the better one
        ([5, 4], [3, 3], 6, {**TWO_DAYS, "pp_slope": 15}),
        # no buys at all: rates of 0, and nothing divided by 0
        ([0, 0, 0], [0, 0, 0], 0, NO_BUYS),
        # one non-zero day: no deviation of the buys, but the empty days count as 0 percent
        ([0, 6, 0], [0, 6, 0], 6, EMPTY_DAYS),
        # the mean counts empty days, the deviation does not
        ([0, 2, 4], [0, 2, 4], 4, {"cv_buys": 2**0.5 / 2, "mean_buys": 2, "repeat_factor": 1.5}),
    ],
    ids=["one-day", "two-days", "no-buys", "one-nonzero-day", "one-empty-day"],
)
def test_edges(buys, hits, n_tickers, expected):
    statistics, _ = describe([buys], [hits], [n_tickers])
    for name, value in expected.items():
        assert statistics[name][0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("mean_buys", "expected"),
    [(0, -15), (0.5, -19.5), (6, -3), (7, 0), (10, 6), (14, 14), (14.5, 7), (16, 4), (18, 0)],
)
def test_sweet_spot(mean_buys, expected):
    """The score of groups that win nothing, with every other term switched off."""
    weights = {f"{name}_weight": 0.0 for name in ("wilson", "coverage_log", "cv", "repeat")}
    n_buys = round(2 * mean_buys)
    days = [n_buys // 2, n_buys - n_buys // 2]
    statistics, _ = describe([days], [[0, 0]], [0], rules=Rules(**weights))
    assert statistics["mean_buys"][0] == mean_buys
    assert statistics["score"][0] == expected


def test_no_groups():
    none = np.zeros((0, 5), dtype=np.int64)
    statistics, pp = _recurse.describe(none, none, none[:, 0], np.ones(5), Rules())
    assert (len(statistics), pp.shape) == (0, (0, 5))


@pytest.mark.parametrize(
    ("buys", "hits", "n_tickers", "weights"),
    [([[1, 1]], [[1]], [1], [1, 1]), ([[1]], [[1]], [1, 1], [1]), ([[1]], [[1]], [1], [1, 1])],
)
def test_arrays_that_differ_in_shape(buys, hits, n_tickers, weights):
    with pytest.raises(ValueError, match="do not belong together"):
        describe(buys, hits, n_tickers, weights)


def test_groups_do_not_depend_on_each_other():
    rows = list(itertools.product(range(1, 4), repeat=3))
    hits = [[b // 2 for b in row] for row in rows]
    n_tickers = [max(row) for row in rows]
    together, _ = describe(rows, hits, n_tickers)
    for i, group in enumerate(zip(rows, hits, n_tickers, strict=True)):
        alone, _ = describe(*([values] for values in group))
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_crowding_in_the_score_is_apart_from_the_limit_on_daily_buys():
    rules = Rules(max_daily_buys=30, min_pooled_pp=0.0)
    group = [[22, 20]], [[20, 20]], [30]
    crowded, _ = describe(*group, rules=rules)
    uncrowded, _ = describe(*group, rules=dataclasses.replace(rules, crowding_cap=22.0))
    limited, _ = describe(*group, rules=Rules(min_pooled_pp=0.0))
    assert crowded["eligible"].all()
    assert not limited["eligible"].any()
    assert uncrowded["score"] - crowded["score"] == pytest.approx(6 * 2**2)


def test_a_rule_the_kernel_does_not_know_fails_its_import(monkeypatch):
    _recurse._check_rules()
    extra = [("new_weight", float, 0.0)]
    longer = dataclasses.make_dataclass("Rules", extra, bases=(Rules,), frozen=True)
    monkeypatch.setattr(_recurse, "Rules", longer)
    with pytest.raises(ImportError, match="new_weight"):
        _recurse._check_rules()
