"""The score of a group with one buy, in this process or in one on another processor."""

import numpy as np

from mp2._recurse import describe
from mp2.groups.rules import Rules


def score_of_one_buy(n_days=11):
    """Score a group with one buy in so many days, by the logarithm alone."""
    off = [name for name in Rules().to_dict() if name.endswith(("_weight", "_slope", "_empty"))]
    rules = Rules(**(dict.fromkeys(off, 0.0) | {"coverage_log_weight": 1.0}))
    buys = np.eye(1, n_days, dtype=np.int64)
    statistics, _ = describe(buys, buys, np.ones(1, np.int64), np.ones(n_days), rules)
    return float(statistics["score"][0])
