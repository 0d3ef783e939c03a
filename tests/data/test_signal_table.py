"""What tables of signals share: names of variations, and the consensus of their members."""

from __future__ import annotations

import numpy as np
import pytest
from signal_frames import LONG

from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError

PANEL = read_signals(LONG)


def test_keys_are_algorithms_with_variations() -> None:
    assert PANEL.keys == (("RSI", "14-30"), ("RSI", "7-20"), ("EMA", "5"), ("EMA", "9"))


def test_a_consensus_is_what_all_members_buy() -> None:
    bought = bitset.unpack(PANEL.buys, len(PANEL.tickers))
    for members in ([0], [0, 3], [1, 2], [0, 1, 2, 3]):
        consensus = bitset.unpack(PANEL.consensus(members), len(PANEL.tickers))
        np.testing.assert_array_equal(consensus, bought[members].all(axis=0))
    assert bitset.count(PANEL.consensus([0, 3])).tolist() == [0, 1]


def test_groups_come_as_a_batch() -> None:
    groups = np.array([[[0, 3], [1, 2]], [[2, 2], [3, 0]]], np.int32)
    batch = PANEL.consensus(groups)
    assert batch.shape == (2, 2, *PANEL.buys.shape[1:])
    for place in np.ndindex(2, 2):
        np.testing.assert_array_equal(batch[place], PANEL.consensus(groups[place]))


def test_a_consensus_leaves_the_buys_alone() -> None:
    before = PANEL.buys.copy()
    PANEL.consensus([0])[:] = 0
    np.testing.assert_array_equal(PANEL.buys, before)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"algo_of": np.array([1, 0], np.int32)}, "positions in algos that never fall"),
        ({"algo_of": np.array([0, 2], np.int32)}, "positions in algos that never fall"),
        (
            {"algo_of": np.array([0, 1], np.int64)},
            r"algo_of has to be a int32 array",
        ),
        ({"buys": np.zeros((2, 1, 2), np.uint64)}, r"buys has to be .* of shape \[2, 1, 1\]"),
        ({"buys": np.full((2, 1, 1), 8, np.uint64)}, "buys holds more than 3 tickers"),
        ({"wins": None}, r"wins has to be .* of shape \[2, 1, 1\] or \[1, 1\]"),
        ({"base_win_rates": np.zeros(2)}, r"base_win_rates has to be a float64 array"),
        ({"buys": np.zeros((1, 1, 2), np.uint64).T}, "C-contiguous"),
    ],
)
def test_a_panel_made_by_hand_is_checked(changes, problem):
    fields = {
        "algos": ("A", "B"),
        "variations": ("1", "2"),
        "algo_of": np.array([0, 1], np.int32),
        "days": ("2024-01-02",),
        "tickers": ("AAA", "BBB", "CCC"),
        "buys": np.full((2, 1, 1), 7, np.uint64),
        "wins": np.full((1, 1), 7, np.uint64),
        "base_win_rates": np.zeros(1),
        "warnings": (),
        "fingerprint": "",
    }
    assert SignalPanel(**fields).n_variations == 2
    if problem == "C-contiguous":
        fields |= {"algo_of": np.zeros(2, np.int32), "days": ("2024-01-02",) * 2}
        fields |= {"wins": np.zeros((2, 1), np.uint64), "base_win_rates": np.zeros(2)}
        changes = {"buys": np.zeros((2, 2, 2), np.uint64)[..., :1]}
    with pytest.raises(InputError, match=problem):
        SignalPanel(**fields | changes)
