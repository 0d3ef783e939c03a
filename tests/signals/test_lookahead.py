"""Look-ahead: none in the ten algorithms on any prices, and found in algorithms that cheat."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_bars import walk

from mp2.data.prices import price_table
from mp2.errors import InputError
from mp2.signals import lookahead
from mp2.signals.algorithms import ALGORITHMS, Algorithm, Parameter
from mp2.signals.grids import grids_of, load_grids
from mp2.signals.indicators import COLUMNS, Indicator
from mp2.signals.sheet import compute_signals


def ends(algorithm):
    """The algorithm with the first and last value of every parameter."""
    return replace(
        algorithm,
        parameters=tuple(
            replace(p, values=(p.values[0], p.values[-1])) for p in algorithm.parameters
        ),
    )


GRIDS = grids_of(map(ends, ALGORITHMS))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_tickers=st.integers(1, 5),
    n_dates=st.integers(25, 300),
    n_days=st.integers(2, 12),
    data=st.data(),
)
def test_what_happens_from_a_day_on_does_not_change_its_signals(
    seed, n_tickers, n_dates, n_days, data
):
    late = data.draw(
        st.dictionaries(st.integers(0, n_tickers - 1), st.integers(0, n_dates - 1), max_size=2),
        "late",
    )
    n_past = data.draw(st.integers(1, n_days), "days before the future")
    prices = walk(n_tickers, n_dates, seed=seed, late=late)
    before = compute_signals(prices, n_days=n_days, grids=GRIDS)
    future = slice(prices.date_idx(before.days[n_past - 1]), None)
    other = walk(n_tickers, n_dates, seed=seed + 1, late=late)
    columns = [getattr(prices, name).copy() for name in COLUMNS]
    for name, column in zip(COLUMNS, columns, strict=True):
        column[:, future] = getattr(other, name)[:, future] * data.draw(
            st.sampled_from((0.1, 1.0, 10.0)), name
        )
    after = compute_signals(
        price_table(prices.dates, prices.tickers, columns), n_days=n_days, grids=GRIDS
    )
    assert np.array_equal(before.buys[:, :n_past], after.buys[:, :n_past])


@pytest.mark.slow
def test_the_default_variations_of_all_algorithms_pass():
    assert lookahead.check(walk(8, 320, seed=4), load_grids(), n_cuts=1, n_days=4) == []


@pytest.mark.slow
def test_every_probe_passes_for_the_ten():
    counted = []
    prices = walk(20, 150, seed=4, late={2: 100, 3: 141})
    findings = lookahead.check(
        prices, GRIDS, n_days=10, n_cuts=9, observe=lambda *counts: counted.append(counts)
    )
    assert findings == []
    assert counted[0] == (0, 39)
    assert counted[-1] == (39, 39)


# --- cheats


def algorithm(reads, rule=lambda series, n: series > 0, name="Cheat"):
    return Algorithm(
        name=name, rule=rule, reads=reads, parameters=(Parameter("n", "bars", 1, 9, (1, 2)),)
    )


def derived(compute):
    """Reads one series made of the closes."""
    return lambda n: (Indicator(f"cheat({n})", compute, ("close",), (n,)),)


def tomorrow(close, n):
    return np.append(close[n:], np.full(n, np.nan)) - close


def of_all_time(close, n):
    return close / close.mean() - 1


def centred(close, n):
    return close - np.convolve(close, np.ones(2 * n + 1) / (2 * n + 1), "same")


def from_the_end(close, n):
    return np.cumsum(np.diff(close, append=close[-1])[::-1])[::-1].copy()


def next_column(close, n):
    return np.roll(close, -1, axis=1) > close


def window_mean(close, n):
    return close > close.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "cheat",
    [
        *(
            algorithm(derived(compute))
            for compute in (tomorrow, of_all_time, centred, from_the_end)
        ),
        *(algorithm(lambda n: ("close",), rule) for rule in (next_column, window_mean)),
    ],
    ids=[
        "tomorrow",
        "mean of all time",
        "centred average",
        "sum from the end",
        "next column",
        "mean of the window",
    ],
)
def test_cheats_are_caught(cheat):
    findings = lookahead.check(walk(20, 100), [ALGORITHMS[2], cheat])
    assert {(finding.algo, finding.variation) for finding in findings} == {
        ("Cheat", "1"),
        ("Cheat", "2"),
    }
    assert any("when bars from " in finding.change for finding in findings)


@pytest.mark.parametrize(("least", "most", "how"), [(1.5, 9, "doubled"), (0, 0.6, "halved")])
def test_a_cheat_that_only_large_moves_reveal_is_caught(least, most, how):
    def moved(close, n):
        following = np.append(close[1:], close[-1]) / close
        return np.where((following > least) & (following < most), 1.0, -1.0)

    findings = lookahead.check(walk(20, 100), [algorithm(derived(moved))])
    changes = {finding.change.split(" on are ")[1] for finding in findings}
    assert how in changes
    assert changes <= {how, "shaken"}


def test_signals_that_are_not_repeatable_are_found():
    rng = np.random.default_rng(0)
    random_rule = algorithm(
        lambda n: ("close",), lambda close, n: rng.random(close.shape) < 0.5, "Random"
    )
    findings = lookahead.check(walk(20, 100), [random_rule])
    assert {finding.change for finding in findings} >= {"when computed again"}


def test_signals_that_depend_on_the_requested_days_are_found():
    def since_the_first_day(close, n):
        return close > close[:, :1]

    findings = lookahead.check(
        walk(20, 100), [algorithm(lambda n: ("close",), since_the_first_day, "Since")], n_days=7
    )
    assert {finding.change for finding in findings} == {"when 4 days are computed instead of 7"}


def test_the_text_of_a_finding():
    prices = walk(20, 100)
    grids = grids_of([algorithm(derived(tomorrow))])
    (first, *_) = lookahead.check(prices, grids, n_days=3, n_cuts=1)
    day = prices.dates[-3]
    assert first.day == day
    assert len(first.tickers) > 3
    n_tickers, named = len(first.tickers), ", ".join(first.tickers[:3])
    effect = f"the signals of {day} change for {n_tickers} tickers ({named}, ..)"
    assert str(first) == f"Cheat 1: {effect} when bars from {day} on are cut off"
    single = replace(first, tickers=("A",))
    assert "for 1 ticker (A) when" in str(single)


def test_at_most_one_finding_per_variation_and_change_in_the_order_of_variations():
    findings = lookahead.check(walk(20, 100), [algorithm(derived(tomorrow))], n_days=6, n_cuts=2)
    keys = [(finding.variation, finding.change) for finding in findings]
    assert len(set(keys)) == len(keys)
    assert [variation for variation, _ in keys] == sorted(variation for variation, _ in keys)


def test_settings():
    for wrong in ({"n_days": 1}, {"n_cuts": 0}):
        with pytest.raises(InputError, match="are too few; use at least 2 and 1"):
            lookahead.check(walk(3, 60), load_grids(), **wrong)


def test_holes_late_listings_and_ends_look_ahead_nowhere():
    prices = walk(12, 120, seed=2, late={3: 112})
    columns = [getattr(prices, name).copy() for name in COLUMNS]
    for column in columns:
        column[0, 113] = np.nan
        column[1, 104:115] = np.nan
        column[2, 111:] = np.nan
        column[4, 116:118] = np.nan
    holed = price_table(prices.dates, prices.tickers, columns)
    rising = algorithm(lambda n: ("open", "close"), lambda open, close, n: close > open, "Rise")
    assert lookahead.check(holed, [ALGORITHMS[2], rising], n_days=10, n_cuts=9) == []
