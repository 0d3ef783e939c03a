"""The one owner of the bitset layout: bit `i` of a set lives in word `i >> 6`, at position `i & 63`.

A set over `n` items is a row of `n_words(n)` uint64 words; bits at and past `n` are zero. All functions work over the
last axis, so a batch of sets is one array.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

WORD_BITS = 64

BoolArray = npt.NDArray[np.bool_]
WordArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.integer]


def n_words(n_bits: int) -> int:
    """Words needed for `n_bits` bits."""
    return (n_bits + WORD_BITS - 1) // WORD_BITS


def pack(members: BoolArray) -> WordArray:
    """Pack bool[..., n] into uint64[..., n_words(n)]."""
    n_bits = members.shape[-1]
    padding = [(0, 0)] * (members.ndim - 1) + [(0, n_words(n_bits) * WORD_BITS - n_bits)]
    packed = np.packbits(np.ascontiguousarray(np.pad(members, padding)), axis=-1, bitorder="little")
    return _native(packed.view("<u8"))


def unpack(words: WordArray, n_bits: int) -> BoolArray:
    """Unpack uint64[..., w] into bool[..., n_bits]; the inverse of `pack`."""
    octets = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n_bits, bitorder="little").view(np.bool_)


def count(words: WordArray) -> npt.NDArray[np.int64]:
    """Number of members of each set: uint64[..., w] -> int64[...]."""
    counts: npt.NDArray[np.int64] = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    return counts


def members(words: WordArray) -> npt.NDArray[np.int64]:
    """The members of all sets uint64[..., w], one set after the other, each ascending; `count` says how many each has.

    Words without members cost next to nothing.
    """
    flat = words.reshape(-1)
    with_members = np.flatnonzero(flat)
    at, bit = np.nonzero(unpack(flat[with_members, None], WORD_BITS))
    found: npt.NDArray[np.int64] = (with_members % words.shape[-1])[at] * WORD_BITS + bit
    return found


def set_bits(flat_words: WordArray, row_starts: IntArray, bits: IntArray) -> None:
    """Set bit `bits[i]` of the set whose first word is `flat_words[row_starts[i]]`, in place; repeats are allowed."""
    masks = np.left_shift(np.uint64(1), (bits & (WORD_BITS - 1)).astype(np.uint64))
    np.bitwise_or.at(flat_words, row_starts + (bits >> 6), masks)


def _native(words: npt.NDArray[np.uint64]) -> WordArray:
    return words if sys.byteorder == "little" else words.astype(np.uint64)
