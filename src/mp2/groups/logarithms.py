"""The logarithms of the score: the same on every machine.

C libraries differ in the last bit of a logarithm, and one library does between processors with and
without fused multiply-add. So the kernel looks its logarithms up, and here they are made of whole
numbers, correctly rounded.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mp2.data.arrays import FloatArray

_MANTISSA_BITS = 52
_BITS = 128
"""Of the fraction of a logarithm: the errors of a million of them stay far below a float's."""


@lru_cache(maxsize=16)
def logs_of_mean_buys(
    n_days: int,
    most_buys: int,
    cap: float,
) -> FloatArray:
    """Return log(1 + min(k / n_days, cap)) for k = 0, 1, ... as read-only float64[n].

    The last one is that of all larger k: of `cap`, or of `most_buys` on every day.
    """
    n = n_days * (int(min(cap, most_buys)) + 1)
    mean_buys = np.arange(n + 1) / n_days
    arguments = 1.0 + np.minimum(mean_buys, cap)
    logs = np.array(_ascending_logs(arguments.tolist()))
    logs.flags.writeable = False
    return logs


def _ascending_logs(arguments: list[float]) -> list[float]:
    """Add up log(b / a) = 2 artanh((b - a) / (b + a)) from one argument, 1 or more, to the next."""
    logs = []
    log = 0
    before = 1 << _MANTISSA_BITS
    for argument in arguments:
        at = int(argument * (1 << _MANTISSA_BITS))
        ratio = ((at - before) << _BITS) // (at + before)
        square = ratio * ratio >> _BITS
        power = ratio
        n = 1
        while power:
            log += 2 * power // n
            power = power * square >> _BITS
            n += 2
        before = at
        logs.append(log / (1 << _BITS))
    return logs
