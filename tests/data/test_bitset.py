"""The word layout: bit i of word i >> 6, nothing past the last member."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mp2.data import bitset

MEMBERS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 200)))


@pytest.mark.parametrize(
    ("n_bits", "n_words"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (20_000, 313)]
)
def test_words_needed(n_bits: int, n_words: int) -> None:
    assert bitset.n_words(n_bits) == n_words


@pytest.mark.parametrize("bit", [0, 1, 63, 64, 127, 128])
def test_bit_i_lives_in_word_i_shifted_by_six(bit: int) -> None:
    members = np.zeros(129, np.bool_)
    members[bit] = True
    words = bitset.pack(members)
    assert words.dtype == np.uint64
    assert words.shape == (3,)
    assert int(words[bit >> 6]) == 1 << (bit & 63)
    assert bitset.count(words) == 1


@given(members=MEMBERS)
def test_unpack_inverts_pack_and_count_counts(members: np.ndarray) -> None:
    words = bitset.pack(members)
    assert words.shape == (len(members), bitset.n_words(members.shape[1]))
    np.testing.assert_array_equal(bitset.unpack(words, members.shape[1]), members)
    np.testing.assert_array_equal(bitset.count(words), members.sum(axis=1))


@given(
    members=hnp.arrays(
        np.bool_, st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 200))
    )
)
def test_members_come_set_after_set_and_ascending(members: np.ndarray) -> None:
    np.testing.assert_array_equal(bitset.members(bitset.pack(members)), np.nonzero(members)[2])


@given(members=MEMBERS)
def test_bits_past_the_end_are_zero(members: np.ndarray) -> None:
    n_bits = members.shape[1]
    padded = bitset.unpack(bitset.pack(members), bitset.n_words(n_bits) * 64)
    assert not padded[:, n_bits:].any()


@given(members=MEMBERS, repeats=st.integers(1, 3))
def test_set_bits_equals_pack_however_often_a_bit_is_set(members: np.ndarray, repeats: int) -> None:
    n_sets, n_bits = members.shape
    words = np.zeros((n_sets, bitset.n_words(n_bits)), np.uint64)
    rows, bits = (np.tile(positions, repeats) for positions in np.nonzero(members))
    bitset.set_bits(words.reshape(-1), rows * words.shape[1], bits)
    np.testing.assert_array_equal(words, bitset.pack(members))


def test_unpack_takes_any_memory_order() -> None:
    members = np.random.default_rng(0).random((5, 7, 130)) < 0.5
    words = np.asfortranarray(bitset.pack(members))
    np.testing.assert_array_equal(bitset.unpack(words, 130), members)


def test_set_algebra_is_word_algebra() -> None:
    first, second = np.random.default_rng(1).random((2, 100)) < 0.5
    both = bitset.pack(first) & bitset.pack(second)
    np.testing.assert_array_equal(bitset.unpack(both, 100), first & second)
