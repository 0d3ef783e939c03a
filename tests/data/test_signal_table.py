"""What tables of signals share: names of variations, and the consensus of their members."""

from __future__ import annotations

import numpy as np
from signal_frames import LONG

from mp2.data import bitset
from mp2.data.signal_reader import read_signals

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
