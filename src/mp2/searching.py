"""`mp2.search`, `mp2.run` and `mp2.resume`: search signals or prices, stored while it runs.

Each makes a `Request` of what it is given, which the store keeps, and hands it to `mp2.pipeline`;
the command line does the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mp2._durations import Duration, seconds
from mp2._interrupts import OnInterrupt, stopped_by_interrupt
from mp2.data.holding import DAY_HOLD, Hold, holding
from mp2.data.prices import as_prices
from mp2.data.signal_reader import as_panel
from mp2.data.tables import Stop
from mp2.evidence.settings import N_REPLICATES, LuckSettings
from mp2.groups.progress import ProgressBar
from mp2.groups.result import SearchResult
from mp2.groups.rules import Rules
from mp2.groups.search import SearchObserver
from mp2.groups.settings import FAMILY_OVERLAP, SearchSettings
from mp2.picks.costs import check_cost
from mp2.pipeline import PipelineRun, RunControl, resume_request, run_request, search_request
from mp2.storage.inputs import PathText, beside_of, path_of, sectors_source, source_of
from mp2.storage.recorder import Storing
from mp2.storage.request import (
    LuckRequest,
    PickSettings,
    PricesFile,
    Request,
    SignalSettings,
    SignalsFile,
)

if TYPE_CHECKING:
    from mp2.signals.grids import Grids


def search(
    panel: Any,
    *,
    store: PathText | None = None,
    budget_s: Duration = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    special: Sequence[str] = (),
    max_attempts: int | None = None,
    count: str = "exact",
    keep: str = "groups",
    without: Sequence[str] = (),
    family_overlap: float = FAMILY_OVERLAP,
    table_memory: int | None = None,
    replicates: int = 0,
    null: str = "auto",
    seed: int = 0,
    prices: Any = None,
    sectors: Any = None,
    stop: Stop = None,
    observe: SearchObserver | None = None,
    observe_every_s: Duration = 0.1,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    executor: Any = None,
    slots: int | None = None,
) -> SearchResult:
    """Search a panel, or what `read_signals` reads, for the best consensus groups.

    With `store`, the path of a database, the run is kept there while it runs, and `resume` can
    continue it: the result has its `run_id`. The rule of outcomes is that of the panel. The search
    takes at most `budget_s`, in seconds or as "5m"; it and the settings after it are those of
    `mp2.groups.settings.SearchSettings`. Setting `stop` (from any thread, or a signal handler) ends
    the search and keeps all groups found so far.
    `observe` is called in the calling thread about every `observe_every_s` seconds.

    Ctrl-C ends the search as `stop` does, a second one raises `KeyboardInterrupt`; with
    `on_interrupt="raise"` the first one does, as also where nothing was searched yet.
    `progress=True` shows a bar on a terminal and in a notebook.

    With an `executor` of `concurrent.futures`, or one like it, the kernels run at its workers, in
    as many `slots` as it has unless that is given, and so do those of a test for luck; they replace
    `workers`. A search that completes has the result of one in threads to the last bit.

    With `replicates`, such as 999, what the search leaves of `budget_s` goes into a test whether
    the best groups are better than luck: `significance` of the result. `null`, `seed`, `prices` and
    `sectors` are those of `mp2.significance`.

    Raises `InputError` for an unusable setting or table, `StoreError` when the store cannot be used
    at the beginning, `MemoryError` when a starter's working memory cannot be had. A store that
    fails later costs only the storing: `store_error` of the result says why.
    """
    settings = SearchSettings(
        budget_s=seconds("budget_s", budget_s),
        workers=workers,
        rules=Rules() if rules is None else rules,
        special=special,
        max_attempts=max_attempts,
        count=count,
        keep=keep,
        without=without,
        family_overlap=family_overlap,
        table_memory=table_memory,
    )
    control = RunControl(
        storing=Storing(db=path_of(store)),
        stop=stop,
        observe=observe,
        observe_every_s=seconds("observe_every_s", observe_every_s),
        executor=executor,
        slots=slots,
    )
    with _attended(control, on_interrupt, progress) as control:
        # A file is read when the request is carried out.
        signals = None
        hold = DAY_HOLD
        if not isinstance(panel, str | PathLike):
            signals = as_panel(panel, stop=control.stop)
            hold = signals.hold
        if not isinstance(prices, str | PathLike | None):
            prices = as_prices(prices, stop=control.stop)
        history = None
        if prices is not None:
            history = source_of(prices, PricesFile, "prices")
        request = Request(
            source=source_of(signals or panel, SignalsFile, "signals"),
            search=settings,
            luck=LuckRequest(
                settings=LuckSettings(replicates=replicates, null=null, seed=seed),
                prices=history,
                sectors=sectors_source(sectors),
            ),
            hold=hold,
        )
        return search_request(request, control, signals, beside_of(prices, sectors))


def run(
    prices: Any,
    *,
    store: PathText | None = None,
    budget_s: Duration = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    n_days: int = 5,
    end: str | None = None,
    grids: Grids | PathText | None = None,
    special: Sequence[str] = (),
    max_attempts: int | None = None,
    count: str = "exact",
    keep: str = "groups",
    without: Sequence[str] = (),
    family_overlap: float = FAMILY_OVERLAP,
    table_memory: int | None = None,
    min_tickers: int = 1,
    top_groups: int = 50,
    replicates: int = N_REPLICATES,
    null: str = "auto",
    seed: int = 0,
    sectors: Any = None,
    hold: Hold = DAY_HOLD,
    cost_bps: float = 0.0,
    stop: Stop = None,
    observe: SearchObserver | None = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    executor: Any = None,
    slots: int | None = None,
) -> PipelineRun:
    """Compute the signals of `n_days` days up to `end`, search them, pick for the day after.

    What the search leaves of `budget_s` goes into a test whether the best groups are better than
    luck, by so many `replicates`; 0 for no test. `null`, `seed` and `sectors` are those of
    `mp2.significance`.

    `hold` is the rule of outcomes (`mp2.data.holding`). One that sells on the next session searches
    the days that are sold by `end`: the last one is the session before it. `cost_bps`, the cost of
    buying and of selling in hundredths of a percent, is stored with the picks for their outcome.

    `prices` and `grids` are what `read_prices` and `load_grids` return, or what they read.
    With `store`, the path of a database, the run is kept there as `search` does. The settings are
    those of `compute_signals`, `search` and `pick_day`; so are the errors raised, and what Ctrl-C
    does.
    """
    from mp2.signals.grids import Grids

    settings = SearchSettings(
        budget_s=seconds("budget_s", budget_s),
        workers=workers,
        rules=Rules() if rules is None else rules,
        special=special,
        max_attempts=max_attempts,
        count=count,
        keep=keep,
        without=without,
        family_overlap=family_overlap,
        table_memory=table_memory,
    )
    if isinstance(grids, Grids):
        signals = SignalSettings(n_days=n_days, end=end, grids_in_memory=True)
        given_grids = grids
    else:
        signals = SignalSettings(n_days=n_days, end=end, grids=path_of(grids))
        given_grids = None
    check_cost(cost_bps)
    control = RunControl(
        storing=Storing(db=path_of(store)),
        stop=stop,
        observe=observe,
        executor=executor,
        slots=slots,
    )
    with _attended(control, on_interrupt, progress) as control:
        # A file is read when the request is carried out.
        table = None
        if not isinstance(prices, str | PathLike):
            table = as_prices(prices, end=end, stop=control.stop)
        request = Request(
            source=source_of(table or prices, PricesFile, "prices"),
            search=settings,
            signals=signals,
            picks=PickSettings(min_tickers=min_tickers, top_groups=top_groups),
            luck=LuckRequest(
                settings=LuckSettings(replicates=replicates, null=null, seed=seed),
                sectors=sectors_source(sectors),
            ),
            hold=holding(hold).name,
            cost_bps=cost_bps,
        )
        return run_request(request, control, table, given_grids, beside_of(None, sectors))


def resume(
    run_id: str = "last",
    *,
    store: PathText = "mp2.db",
    source: Any = None,
    grids: Grids | None = None,
    budget_s: Duration | None = None,
    workers: int | None = None,
    max_attempts: int | None = None,
    table_memory: int | None = None,
    prices: Any = None,
    sectors: Any = None,
    hold: Hold | None = None,
    stop: Stop = None,
    observe: SearchObserver | None = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    executor: Any = None,
    slots: int | None = None,
) -> SearchResult | PipelineRun:
    """Continue a stored run that did not end, and return what an uninterrupted one would return.

    `run_id` may be the beginning of an id, or "last". The input is read again from the file it came
    from, or from `source`; a run that began with a frame, or with grids, prices or sectors in
    memory, needs the same again. Rules and settings are those of the run; `budget_s` (for this
    call), `workers`, `max_attempts` (counted from the first start) and `table_memory` may be set
    again. A `hold` that is given has to be the rule of the run.

    Raises `InputError` when the run cannot be resumed or its input has changed, else as `search`.
    """
    if budget_s is not None:
        budget_s = seconds("budget_s", budget_s)
    control = RunControl(
        storing=Storing(db=Path(store)),
        stop=stop,
        observe=observe,
        executor=executor,
        slots=slots,
    )
    with _attended(control, on_interrupt, progress) as control:
        return resume_request(
            run_id,
            control,
            source=source,
            grids=grids,
            hold=hold,
            budget_s=budget_s,
            workers=workers,
            max_attempts=max_attempts,
            table_memory=table_memory,
            beside=beside_of(prices, sectors),
        )


@contextmanager
def _attended(
    control: RunControl,
    on_interrupt: OnInterrupt,
    progress: bool,
) -> Iterator[RunControl]:
    """Yield the control of a call that a user waits for: Ctrl-C stops it, a bar follows it."""
    with (
        stopped_by_interrupt(control.stop, on_interrupt) as stop,
        ProgressBar(shown=progress) as bar,
    ):
        yield replace(
            control,
            stop=stop,
            observe=bar.beside(bar.search, control.observe),
            observe_signals=bar.beside(bar.signals, control.observe_signals),
        )
