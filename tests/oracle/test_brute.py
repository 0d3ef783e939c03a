"""The fast brute force against the slow one, so that either may stand in for the specification."""

import brute
import numpy as np
import oracle
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)


@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    as_inconsistent=st.booleans(),
    data=st.data(),
)
@QUICK
def test_both_find_the_same(signals, rules, as_inconsistent, data):
    panel = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    first = data.draw(st.integers(0, len(panel.variations) - 1))
    weights = oracle.day_weights(panel.base_win_rates.tolist(), rules)
    slow = oracle.Starter(signals, rules, weights, first, None).run()
    fast = brute.search(panel.buys, panel.wins, panel.algo_of, np.array(weights), rules, first)
    assert (fast.attempts, fast.tested) == (slow.attempts, slow.tested)
    if slow.doubtful:
        return
    assert {size: fast.eligible(size) for size in rules.retain_sizes} == slow.eligible
    for size in rules.retain_sizes:
        expected = {
            tuple(group["group"]): group["score"]
            for group in slow.scored
            if len(group["group"]) == size
        }
        found = dict(
            zip(map(tuple, fast.members[size].tolist()), fast.scores[size].tolist(), strict=True)
        )
        assert found.keys() == expected.keys()
        assert all(oracle.close(found[group], expected[group]) for group in found)


def test_too_much_is_refused():
    buys = np.full((9, 2, 1), 2**30 - 1, dtype=np.uint64)
    arguments = (
        buys,
        buys[0],
        np.repeat(np.arange(3), 3).astype(np.int32),
        np.ones(2),
        strategies.Rules(min_daily_hits=0),
        0,
    )
    words = 2 * (6 + 3 * 3)
    assert brute.search(*arguments, max_words=words).attempts == 1 + 6 + 9
    for limit in (0, 11, words - 1):
        try:
            brute.search(*arguments, max_words=limit)
        except brute.TooLarge:
            continue
        raise AssertionError(limit)
