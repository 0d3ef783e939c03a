"""Costs of trading: what buying and selling leave of a return."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING

from mp2._checks import is_number
from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.picks.records import Score

# A tenth of the money on each side: beyond it a typing error is likelier.
MAX_COST_BPS = 1000.0


def check_cost(cost_bps: float) -> None:
    """Raise `InputError` for a cost that is no number from 0 to `MAX_COST_BPS`."""
    is_usable = is_number(cost_bps, Real) and isfinite(cost_bps)
    if not is_usable or not 0 <= cost_bps <= MAX_COST_BPS:
        raise InputError(
            f"cost_bps: {cost_bps!r} is not between 0 and {MAX_COST_BPS:g}; give the cost of a "
            "trade in hundredths of a percent, such as 5"
        )


def net_return_pp(score: Score, cost_bps: float) -> float:
    """Return the mean return of a score's tickers after costs, in percent.

    Each side costs `cost_bps` hundredths of a percent of the money that is traded: a buyer pays
    entry * (1 + cost), a seller gets exit * (1 - cost). A ticker without a bar is not traded.
    """
    cost = cost_bps / 10_000
    kept = (1 - cost) / (1 + cost)
    traded = 0.0
    if score.n_tickers:
        traded = score.n_picks / score.n_tickers
    mean_return_pp = score.mean_return_pp or 0.0
    # Linear in each return, so the mean of the returns is enough.
    return mean_return_pp * kept - 100.0 * (1 - kept) * traded


def with_costs(score: Score, cost_bps: float) -> Score:
    """Return a score after these costs per side; it has a net return where there are any."""
    net = None
    # Of tickers without a bar nothing is known.
    if cost_bps and score.hit_rate_pp is not None:
        net = net_return_pp(score, cost_bps)
    return replace(score, cost_bps=cost_bps, net_return_pp=net)
