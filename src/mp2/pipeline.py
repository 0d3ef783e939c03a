"""The main job in one function: prices -> signals -> search -> picks for the next trading day."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable
from mp2.groups.result import SearchResult
from mp2.groups.rules import Rules
from mp2.groups.search import SearchProgress
from mp2.groups.search import search as search_groups
from mp2.groups.settings import SearchSettings
from mp2.picks.pick import pick_day
from mp2.picks.records import DayPicks
from mp2.signals.grids import Grids
from mp2.signals.sheet import compute_signals


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A search on the last days of a price table, and what its groups pick for the day after them."""

    result: SearchResult
    next_day: DayPicks


def search(
    panel: SignalPanel,
    *,
    budget_s: float = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    special: Sequence[str] = (),
    max_attempts: int | None = None,
    count: str = "exact",
    without: Collection[str] = (),
    stop: threading.Event | None = None,
    observe: Callable[[SearchProgress], None] | None = None,
    observe_every_s: float = 0.1,
) -> SearchResult:
    """Search a panel for the best consensus groups within `budget_s` seconds.

    The other settings are those of `mp2.groups.settings.SearchSettings`. Setting `stop` (from any
    thread, or a signal handler) ends the search and keeps all groups found so far. `observe` is
    called in the calling thread about every `observe_every_s` seconds.

    Raises `InputError` for an unusable setting, `MemoryError` when a starter's working memory
    cannot be had.
    """
    settings = SearchSettings(
        budget_s=budget_s,
        workers=workers,
        rules=rules or Rules(),
        special=special,
        max_attempts=max_attempts,
        count=count,
        without=without,
    )
    return search_groups(
        panel, settings, stop=stop, observe=observe, observe_every_s=observe_every_s
    )


def run(
    prices: PriceTable,
    *,
    budget_s: float = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    n_days: int = 5,
    end: str | None = None,
    grids: Grids | None = None,
    special: Sequence[str] = (),
    max_attempts: int | None = None,
    count: str = "exact",
    without: Collection[str] = (),
    min_tickers: int = 1,
    top_groups: int = 50,
    stop: threading.Event | None = None,
    observe: Callable[[SearchProgress], None] | None = None,
) -> PipelineRun:
    """Compute the signals of the last `n_days` days up to `end`, search them, and pick for the day after.

    The settings are those of `compute_signals`, `search` and `pick_day`; so are the errors raised.
    """
    sheet = compute_signals(
        prices, n_days=n_days, end=end, include_next=True, grids=grids, stop=stop
    )
    result = search(
        sheet.panel(0, n_days),
        budget_s=budget_s,
        workers=workers,
        rules=rules,
        special=special,
        max_attempts=max_attempts,
        count=count,
        without=without,
        stop=stop,
        observe=observe,
    )
    return PipelineRun(
        result,
        pick_day(result, sheet, sheet.days[-1], min_tickers=min_tickers, top_groups=top_groups),
    )
