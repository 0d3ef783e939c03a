"""The rule of outcomes: at which prices what is bought on a day is bought and sold.

A rule either sells on the day itself or on the next session, which is the next date of the price
table: dates that are no sessions have been left out by then. A ticker without a bar there has no
exit, and its outcome is not known, as that of a ticker without a bar on the day. No rule buys at a
price from before the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.data.arrays import FloatArray
    from mp2.data.prices import PriceTable

Hold = Literal["open-close", "next-open", "close-close"]
"""The name of a rule: buy at the first price of the day, sell at the second one."""

HOLDS: tuple[Hold, ...] = get_args(Hold)
DAY_HOLD: Hold = "open-close"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a rule means. `n_sessions`: how many sessions after the day it sells, 0 or 1.

    `bought` and `sold` are the fields of `PriceTable` whose prices count.
    """

    name: Hold
    bought: Literal["open", "close"]
    sold: Literal["open", "close"]
    n_sessions: int
    trade: str

    def entries(self, prices: PriceTable) -> FloatArray:
        """Return what a buyer pays on each date: float64[T, N], NaN without a bar; a view."""
        entries: FloatArray = getattr(prices, self.bought)
        return entries

    def exits(self, prices: PriceTable) -> FloatArray:
        """Return what a buyer of each date gets: float64[T, N - n_sessions], NaN without a bar.

        A view. The last `n_sessions` dates of a table have no exit.
        """
        values: FloatArray = getattr(prices, self.sold)
        return values[:, self.n_sessions :]


_RULES = (
    Holding("open-close", "open", "close", 0, "buy at the open, sell at the close"),
    Holding("next-open", "open", "open", 1, "buy at the open, sell at the next open"),
    Holding(
        "close-close",
        "close",
        "close",
        1,
        "buy at the close, sell at the next close",
    ),
)
_BY_NAME = {rule.name: rule for rule in _RULES}


def holding(name: Hold) -> Holding:
    """Return the rule of this name; raises `InputError` for another one."""
    rule = _BY_NAME.get(name)
    if rule is None:
        raise InputError(f"hold: {name!r} is unknown; choose from {', '.join(HOLDS)}")
    return rule


def check_same_hold(
    given: Hold | None,
    of_run: Hold,
    run: str,
) -> None:
    """Raise `InputError` when a rule is given that is not the one of a run."""
    if given is None or holding(given).name == of_run:
        return
    raise InputError(
        f"hold: {run} is by the rule {of_run}, not {given}; leave the rule out, or search again"
    )
