"""Types, freezing and fingerprints of the arrays that panels and price tables hold."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
NumberArray = npt.NDArray[np.int32]
WordArray = npt.NDArray[np.uint64]

CACHE_LINE = 64


def freeze(arrays: Iterable[AnyArray]) -> None:
    """Make arrays read-only, in place."""
    for array in arrays:
        array.setflags(write=False)


def aligned(array: AnyArray) -> AnyArray:
    """Return a contiguous array that begins with a cache line, else such a copy.

    A vector across two lines takes twice as long to read.
    """
    if array.ctypes.data % CACHE_LINE == 0:
        return array
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def aligned_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> AnyArray:
    """Return zeros that begin with a cache line; memory is taken as they are written."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + CACHE_LINE, np.uint8)
    begin = -memory.ctypes.data % CACHE_LINE
    return memory[begin : begin + n_bytes].view(dtype).reshape(shape)


def fingerprint(
    names: Sequence[Sequence[str]],
    arrays: Sequence[AnyArray],
) -> str:
    """Return the sha256 of names and arrays, as hex; the same for any byte order of the machine."""
    # Shapes are part of it, so that different contents never give the same bytes.
    shapes = [array.shape for array in arrays]
    header = json.dumps([names, shapes])
    digest = hashlib.sha256(header.encode())
    for array in arrays:
        little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(little_endian.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
