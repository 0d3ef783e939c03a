"""The numpy formulas against the brute force, and the edges of each."""

import dataclasses
import itertools

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from mp2.groups import synergy
from mp2.groups.rules import Rules

FIELDS = [field.name for field in dataclasses.fields(synergy.Statistics)]


@st.composite
def batches(draw):
    """buys, hits (lists of n rows of D) and n_union of n possible groups."""
    n, days = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    buys = [[draw(st.integers(0, 30)) for _ in range(days)] for _ in range(n)]
    hits = [[draw(st.integers(0, b)) for b in row] for row in buys]
    return buys, hits, [draw(st.integers(max(row), sum(row))) for row in buys]


def describe(buys, hits, n_union, weights=None, rules=None):
    arrays = (np.array(values, dtype=np.int64) for values in (buys, hits, n_union))
    weights = np.ones(len(buys[0])) if weights is None else np.array(weights)
    return synergy.describe(*arrays, weights, rules or Rules())


def close(actual, expected):
    return np.allclose(actual, expected, rtol=1e-9, atol=1e-9)


@given(batches(), strategies.rules_with_constants(), st.data())
def test_statistics_and_score(batch, rules, data):
    weights = data.draw(
        st.lists(st.floats(0.5, 1.5), min_size=len(batch[0][0]), max_size=len(batch[0][0]))
    )
    found = describe(*batch, weights, rules)
    for i, group in enumerate(zip(*batch, strict=True)):
        expected = oracle.statistics(*group, weights, rules)
        assert set(expected) == set(FIELDS)
        for name in FIELDS:
            assert close(getattr(found, name)[i], expected[name]), name


@given(batches(), strategies.rules())
def test_eligible(batch, rules):
    found = synergy.eligible(describe(*batch, rules=rules), rules)
    weights = [1.0] * len(batch[0][0])
    expected = [
        oracle.is_eligible(oracle.statistics(*group, weights, rules), rules)
        for group in zip(*batch, strict=True)
    ]
    assert found.tolist() == expected


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), strategies.rules_with_constants())
def test_day_weights(base, rules):
    assert close(synergy.day_weights(np.array(base), rules), oracle.day_weights(base, rules))


@st.composite
def kept_groups(draw):
    n, days = draw(st.integers(0, 12)), draw(st.integers(1, 6))
    scores = sorted((draw(st.integers(-200, 200)) / 4 for _ in range(n)), reverse=True)
    return scores, [[draw(st.integers(0, 40)) * 2.5 for _ in range(days)] for _ in range(n)]


@given(kept_groups(), st.one_of(st.just(Rules()), strategies.rules_with_constants()))
def test_pick(kept, rules):
    scores, pp = kept
    found = synergy.pick(
        np.array(scores), np.array(pp).reshape(len(scores), len(pp[0]) if pp else 1), rules
    )
    assert found == oracle.pick(scores, pp, rules)


@pytest.mark.parametrize(
    ("buys", "hits", "n_union", "expected"),
    [
        # one day: no spread, no slope, the second worst day is the only one
        (
            [8],
            [5],
            8,
            {
                "second_worst_pp": 62.5,
                "median_pp": 62.5,
                "mad_pp": 0,
                "iqr_pp": 0,
                "cv_buys": 0,
                "pp_slope": 0,
            },
        ),
        # two days: the second worst is the better one
        (
            [5, 4],
            [3, 3],
            6,
            {
                "second_worst_pp": 75,
                "median_pp": 67.5,
                "mad_pp": 7.5,
                "iqr_pp": 7.5,
                "pp_slope": 15,
            },
        ),
        # no buys at all: rates of 0, and nothing divided by 0
        (
            [0, 0, 0],
            [0, 0, 0],
            0,
            {"pooled_pp": 0, "wilson_lb": 0, "cv_buys": 0, "repeat_factor": 0, "score": -15},
        ),
        # one non-zero day: no deviation of the buys, but the empty days count as 0 percent
        (
            [0, 6, 0],
            [0, 6, 0],
            6,
            {"cv_buys": 0, "mean_buys": 2, "median_pp": 0, "mad_pp": 100 / 3, "iqr_pp": 50},
        ),
        # the mean counts empty days, the deviation does not
        ([0, 2, 4], [0, 2, 4], 4, {"cv_buys": 2**0.5 / 2, "mean_buys": 2, "repeat_factor": 1.5}),
    ],
    ids=["one-day", "two-days", "no-buys", "one-nonzero-day", "one-empty-day"],
)
def test_edges(buys, hits, n_union, expected):
    found = describe([buys], [hits], [n_union])
    assert {
        name: pytest.approx(getattr(found, name)[0], abs=1e-12) for name in expected
    } == expected


@pytest.mark.parametrize(
    ("mean_buys", "expected"),
    [
        (-1, -15),
        (0, -15),
        (0.5, -19.5),
        (6, -3),
        (7, 0),
        (10, 6),
        (14, 14),
        (14.5, 7),
        (16, 4),
        (18, 0),
        (20, -8),
    ],
)
def test_sweet_spot(mean_buys, expected):
    assert synergy.sweet_spot(np.array([mean_buys], dtype=float), Rules())[0] == expected


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
    assert synergy.day_weights(np.array(base), Rules()) == pytest.approx(expected)


def test_day_weights_without_base_rates_ignore_the_clamp():
    assert synergy.day_weights(np.zeros(3), Rules(day_weight_min=1.2)).tolist() == [1.0, 1.0, 1.0]


def test_no_groups():
    none = np.zeros((0, 5), dtype=np.int64)
    found = synergy.describe(none, none, none[:, 0], np.ones(5), Rules())
    assert [getattr(found, name).shape for name in FIELDS] == [(0, 5), *[(0,)] * (len(FIELDS) - 1)]
    assert synergy.eligible(found, Rules()).shape == (0,)
    assert synergy.pick(found.score, found.pp, Rules()) is None


def test_groups_do_not_depend_on_their_company():
    rows = list(itertools.product(range(1, 4), repeat=3))
    hits = [[b // 2 for b in row] for row in rows]
    unions = [max(row) for row in rows]
    together = describe(rows, hits, unions)
    for i, group in enumerate(zip(rows, hits, unions, strict=True)):
        alone = describe(*([values] for values in group))
        assert all(
            getattr(alone, name)[0].tolist() == getattr(together, name)[i].tolist()
            for name in FIELDS
        )


def test_crowding_in_the_score_is_apart_from_the_limit_on_daily_buys():
    rules = Rules(max_daily_buys=30, min_pooled_pp=0.0)
    found = describe([[22, 20]], [[20, 20]], [30], rules=rules)
    uncrowded = describe(
        [[22, 20]], [[20, 20]], [30], rules=dataclasses.replace(rules, crowding_cap=22.0)
    )
    assert synergy.eligible(found, rules).all()
    assert not synergy.eligible(found, Rules(min_pooled_pp=0.0)).any()
    assert uncrowded.score - found.score == pytest.approx(6 * 2**2)


def test_pick_of_identical_groups_is_the_best_ranked():
    assert synergy.pick(np.full(7, 0.1), np.full((7, 5), 33.3), Rules()) == 0
