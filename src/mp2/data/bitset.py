"""Sets of small numbers as rows of 64-bit words; no other module knows the layout.

Bit `i` of a set is in word `i >> 6`, at position `i & 63`. A set over `n` items is a row of
`n_words(n)` uint64 words; bits at and past `n` are zero. All functions work over the last axis, so
a batch of sets is one array.
"""

from __future__ import annotations

import numpy as np

from mp2.data.arrays import BoolArray, IndexArray, WordArray

WORD_BITS = 64


def n_words(n_bits: int) -> int:
    """Return the number of words that `n_bits` bits need."""
    return (n_bits + WORD_BITS - 1) // WORD_BITS


def pack(members: BoolArray) -> WordArray:
    """Pack bool[..., n] into uint64[..., n_words(n)]."""
    *batch, n_bits = members.shape
    padded = np.zeros((*batch, n_words(n_bits) * WORD_BITS), np.bool_)
    padded[..., :n_bits] = members
    octets = np.packbits(padded, axis=-1, bitorder="little")
    # The kernel builds on little-endian machines only.
    return octets.view(np.uint64)


def unpack(
    words: WordArray,
    n_bits: int,
) -> BoolArray:
    """Unpack uint64[..., w] into bool[..., n_bits]; the inverse of `pack`."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n_bits, bitorder="little").view(np.bool_)


def count(words: WordArray) -> IndexArray:
    """Count the members of each set: uint64[..., w] -> int64[...]."""
    counts: IndexArray = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    return counts


def members(words: WordArray) -> IndexArray:
    """List the members of all sets uint64[..., w], set after set, ascending within each set.

    `count` says how many members each set has.
    """
    flat = words.reshape(-1)
    # Most words of sparse sets are empty: only the others are unpacked.
    used = np.flatnonzero(flat)
    word, bit = np.nonzero(unpack(flat[used, None], WORD_BITS))
    first_bit = used % words.shape[-1] * WORD_BITS
    numbers: IndexArray = first_bit[word] + bit
    return numbers


def set_bits(
    flat_words: WordArray,
    row_starts: IndexArray,
    bits: IndexArray,
) -> None:
    """Set bit `bits[i]` of the set that starts at `flat_words[row_starts[i]]`, in place.

    A bit may be set more than once.
    """
    positions = (bits & (WORD_BITS - 1)).astype(np.uint64)
    masks = np.left_shift(np.uint64(1), positions)
    # A plain `|=` would keep one of several bits of the same word.
    np.bitwise_or.at(flat_words, row_starts + (bits >> 6), masks)
