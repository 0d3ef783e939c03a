"""The main job in one function: prices -> signals -> search -> picks for the next trading day."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from mp2.discovery.context import ClientFactory
    from mp2.discovery.records import ScanEvent, ScanResult
    from mp2.discovery.registry import Registered
    from mp2.discovery.runner import Breakers
    from mp2.discovery.scanner import Scanner


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


def scan(
    scanners: Iterable[type[Scanner] | Registered] | None = None,
    *,
    store: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    concurrent: bool | None = None,
    only: Sequence[str] = (),
    http: ClientFactory | None = None,
    http_options: Mapping[str, Any] | None = None,
    breakers: Breakers | None = None,
    stop: threading.Event | None = None,
    observe: Callable[[ScanEvent], None] | None = None,
    observe_every_s: float | None = None,
    on_begin: Callable[[str], None] | None = None,
    today: date | None = None,
    scan_id: str | None = None,
) -> ScanResult:
    """Run scanners and merge their candidates; with `store`, store the scan in that database too.

    The other settings, and the errors raised, are those of `mp2.discovery.runner.scan`. With
    `store` every outcome is stored before `observe` gets it, the breakers are those of the
    database, and `on_begin` is called with the scan's id there. A store that cannot be opened
    raises `StoreError`; one that fails later ends the storing, and `store_error` of the result
    gives the reason.
    """
    # Both load pydantic, which a search has no use for.
    from mp2.discovery import runner
    from mp2.discovery.registry import find_scanners, registered

    known = find_scanners() if scanners is None else registered(scanners)
    day = today or date.today()
    run_scanners = partial(
        runner.scan,
        known,
        config=config,
        state=state,
        workers=workers,
        timeout_s=timeout_s,
        concurrent=concurrent,
        only=only,
        http=http,
        http_options=http_options,
        stop=stop,
        observe_every_s=observe_every_s,
        today=day,
        scan_id=scan_id,
    )
    if store is None:
        return run_scanners(breakers=breakers, observe=observe)

    from mp2.storage.recorder import Keeper
    from mp2.storage.runs import Store
    from mp2.storage.scan_recorder import ScanRecorder

    names = [one.name for one in known if not only or one.name in only]
    with Keeper(lambda: Store(store)) as writer:
        recorder = ScanRecorder(
            writer, names=names, day=day, config=config or {}, observer=observe, on_begin=on_begin
        )
        try:
            result = run_scanners(
                breakers=breakers or recorder.breakers(), observe=recorder.observe
            )
        except Exception:
            recorder.abandon()
            raise
        return recorder.finish(result)
