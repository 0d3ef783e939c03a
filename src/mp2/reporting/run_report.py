"""A run and what is known beside it: the material of its page."""

from __future__ import annotations

from dataclasses import dataclass

from mp2.data.prices import PriceTable
from mp2.groups.result import SearchResult
from mp2.picks.records import DayPicks, Outcome
from mp2.picks.weeks import WalkForward
from mp2.signals.grids import Grids


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run, and what is known beside it.

    `outcome` is that of the `picks`, `walk` was made by the settings of the run. `prices` and
    `grids` are those that the signals were computed from.
    """

    result: SearchResult
    picks: DayPicks | None = None
    outcome: Outcome | None = None
    walk: WalkForward | None = None
    prices: PriceTable | None = None
    grids: Grids | None = None
