"""Costs of trading: what buying at the open and selling at the close leave of a return."""

from __future__ import annotations

from math import isfinite
from numbers import Real

from mp2._checks import is_number
from mp2.data.arrays import FloatArray
from mp2.errors import InputError

MAX_COST_BPS = 1000.0


def check_cost(cost_bps: float) -> None:
    """Raise `InputError` for a cost that is no number from 0 to `MAX_COST_BPS`."""
    is_usable = is_number(cost_bps, Real) and isfinite(cost_bps)
    if not is_usable or not 0 <= cost_bps <= MAX_COST_BPS:
        raise InputError(
            f"cost_bps: {cost_bps!r} is not between 0 and {MAX_COST_BPS:g}; give the cost of a "
            "trade in hundredths of a percent, such as 5"
        )


def net_returns_pp(returns_pp: FloatArray, cost_bps: float) -> FloatArray:
    """Return returns after costs, both in percent.

    Each side costs `cost_bps` hundredths of a percent of the money that is traded: a buyer pays
    open * (1 + cost), a seller gets close * (1 - cost).
    """
    cost = cost_bps / 10_000
    kept = (1 - cost) / (1 + cost)
    net: FloatArray = 100.0 * ((1 + returns_pp / 100.0) * kept - 1)
    return net
