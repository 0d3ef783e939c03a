"""Student's t against published tables, and the interval of a mean against one worked by hand."""

import math
import statistics

import numpy as np
import pytest

from mp2.evidence.intervals import Interval, mean_interval, t_quantile

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, column 0.975; df 120 from the usual
# printed tables.
TABLE = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    9: 2.262,
    10: 2.228,
    25: 2.060,
    30: 2.042,
    100: 1.984,
}
FINER = {1: 12.7062, 2: 4.3027, 4: 2.7764, 10: 2.2281, 30: 2.0423, 120: 1.9799}


@pytest.mark.parametrize(("df", "expected"), TABLE.items())
def test_quantiles_are_those_of_the_table(df, expected):
    assert t_quantile(df) == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.parametrize(("df", "expected"), FINER.items())
def test_quantiles_are_those_of_a_finer_table(df, expected):
    assert t_quantile(df) == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.80, 1.372), (0.90, 1.812), (0.99, 3.169), (0.999, 4.587)]
)
def test_other_confidences_at_ten_degrees(confidence, expected):
    assert t_quantile(10, confidence) == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.95, 0.9999])
def test_closed_forms_of_one_and_two_degrees(confidence):
    assert t_quantile(1, confidence) == pytest.approx(math.tan(math.pi * confidence / 2), rel=1e-9)
    assert t_quantile(2, confidence) == pytest.approx(
        confidence * math.sqrt(2 / (1 - confidence**2)), rel=1e-9
    )


def test_quantiles_fall_towards_the_normal_one():
    quantiles = [t_quantile(df) for df in (*range(1, 60), 500, 20_000)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert quantiles[-1] == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=2e-4)


def test_the_interval_of_a_mean():
    interval = mean_interval([1.0, 2.0, 6.0])
    margin = 4.3027 * math.sqrt(7.0 / 3)
    assert interval == Interval(
        3.0, pytest.approx(3.0 - margin, abs=1e-3), pytest.approx(3.0 + margin, abs=1e-3), 3
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([2.5], Interval(2.5, None, None, 1)), ([2.0, 2.0], Interval(2.0, 2.0, 2.0, 2))],
)
def test_too_few_values_have_no_interval(values, expected):
    assert mean_interval(values) == expected


def test_the_interval_covers_the_truth_as_often_as_it_says():
    samples = np.random.default_rng(3).normal(0.7, 2.0, (2_000, 5)).tolist()
    covered = sum(interval.low <= 0.7 <= interval.high for interval in map(mean_interval, samples))
    assert 0.935 < covered / len(samples) < 0.965
