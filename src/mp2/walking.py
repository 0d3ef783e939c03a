"""`mp2.walk_forward`: search and outcome over past weeks, stored week by week and resumable.

It makes a `WalkRequest`, which the store keeps, and hands it to `walk_request`; the command line
does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from mp2._durations import Duration, seconds
from mp2._interrupts import OnInterrupt, stopped_by_interrupt
from mp2.data.holding import DAY_HOLD, Hold, holding
from mp2.data.prices import PriceTable, as_prices
from mp2.data.sectors import read_sectors
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError
from mp2.evidence.settings import LuckSettings
from mp2.groups.progress import ProgressBar
from mp2.groups.result import SearchResult
from mp2.groups.rules import Rules
from mp2.groups.search import search as search_groups
from mp2.groups.settings import SearchSettings
from mp2.picks.costs import check_cost
from mp2.picks.walkforward import WalkSettings, walk
from mp2.picks.weeks import WalkForward
from mp2.signals.grids import Grids, load_grids
from mp2.signals.sheet import SignalSheet, compute_signals
from mp2.storage.inputs import (
    PathText,
    last_day,
    moved,
    path_of,
    read_bars,
    sectors_source,
    source_of,
)
from mp2.storage.request import (
    InMemory,
    LuckRequest,
    PickSettings,
    PricesFile,
    Request,
    SignalSettings,
    WalkRequest,
)
from mp2.storage.runs import Store
from mp2.storage.walk_recorder import WalkStoring, recording_walk


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkInputs:
    """What a caller has in memory of that which a request names; the rest is read from files.

    `search` and `signals` replace the search and the computation of signals.
    """

    prices: PriceTable | None = None
    grids: Grids | None = None
    sectors: Any = None
    search: Callable[..., SearchResult] = search_groups
    signals: Callable[..., SignalSheet] = compute_signals


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkControl:
    """How a walk-forward is stored, stopped and observed; `observe(done, total)` counts weeks.

    `executor` and `slots` are those of `mp2.picks.walkforward.walk`.
    """

    storing: WalkStoring = field(default_factory=WalkStoring)
    stop: Stop = None
    observe: Observe = None
    on_interrupt: OnInterrupt = "stop"
    progress: bool = False
    executor: Any = None
    slots: int | None = None


def walk_forward(
    prices: Any,
    *,
    store: PathText | None = None,
    weeks: int = 26,
    budget_s_per_week: Duration = 10.0,
    workers: int = 4,
    rules: Rules | None = None,
    end: str | None = None,
    min_tickers: int = 1,
    top_groups: int = 50,
    grids: Grids | PathText | None = None,
    count: str = "exact",
    keep: str = "groups",
    without: Sequence[str] = (),
    table_memory: int | None = None,
    replicates: int = 0,
    null: str = "auto",
    seed: int = 0,
    sectors: Any = None,
    cost_bps: float = 0.0,
    hold: Hold = DAY_HOLD,
    stop: Stop = None,
    observe: Observe = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    search: Callable[..., SearchResult] = search_groups,
    signals: Callable[..., SignalSheet] = compute_signals,
    executor: Any = None,
    slots: int | None = None,
) -> WalkForward:
    """Search and judge `weeks` blocks of five trading days, the last ending at `end`.

    - `prices`: a price table, or what `read_prices` reads.
    - `store`: the path of a database. Each week is stored there when it is finished, and
      `resume_walk_forward` continues a walk that did not end: the result has its `walk_id`.
    - `end`: a day (default: the last date of the prices); without bars, the last one before it.
    - `budget_s_per_week` (seconds, or "10s"), `workers`, `rules`, `count`, `keep`, `without` and
      `table_memory` go to each search; `min_tickers` and `top_groups` to `pick_day`; `grids`, or
      their file, to `compute_signals`. The signals of all days are computed once.
    - `replicates`: with 19 or more, what a search leaves of its budget goes into a test whether its
      best group is better than luck; `null`, `seed` and `sectors` are those of `mp2.significance`.
    - `cost_bps`: what buying and selling cost each, in hundredths of a percent: net returns beside
      the others. `hold`: the rule of outcomes (`mp2.data.holding`); no day is searched or judged
      that it sells after `end`.
    - `observe(done, total)` counts weeks. Setting `stop` ends the walk with the weeks finished so
      far; while signals are computed it raises `ReadStoppedError`. Ctrl-C ends it likewise, by
      `on_interrupt="raise"` with `KeyboardInterrupt`; `progress=True` shows a bar.
    - `executor`, `slots`: as in `mp2.search`, but whole weeks run at the workers, each on one core
      with the time of `workers`.

    Raises `InputError` for unusable settings and for too short a history, `StoreError` when the
    store cannot be used at the beginning. One that fails later costs only the storing:
    `store_error` of the result says why.
    """
    check_cost(cost_bps)
    settings = SearchSettings(
        budget_s=seconds("budget_s_per_week", budget_s_per_week),
        workers=workers,
        rules=Rules() if rules is None else rules,
        count=count,
        keep=keep,
        without=without,
        table_memory=table_memory,
    )
    luck = LuckSettings(replicates=replicates, null=null, seed=seed)
    table = None
    if not isinstance(prices, str | PathLike):
        table = as_prices(prices, end=end, stop=stop)
    signals_of = SignalSettings(end=end, grids_in_memory=True)
    if not isinstance(grids, Grids):
        signals_of = SignalSettings(end=end, grids=path_of(grids))
    run = Request(
        source=source_of(prices if table is None else table, PricesFile, "prices"),
        search=settings,
        signals=signals_of,
        picks=PickSettings(min_tickers=min_tickers, top_groups=top_groups),
        luck=LuckRequest(settings=luck, sectors=sectors_source(sectors)),
        hold=holding(hold).name,
        cost_bps=cost_bps,
    )
    control = WalkControl(
        storing=WalkStoring(db=path_of(store)),
        stop=stop,
        observe=observe,
        on_interrupt=on_interrupt,
        progress=progress,
        executor=executor,
        slots=slots,
    )
    inputs = WalkInputs(
        prices=table,
        grids=grids if isinstance(grids, Grids) else None,
        sectors=sectors,
        search=search,
        signals=signals,
    )
    return walk_request(WalkRequest(run=run, weeks=weeks), control, inputs)


def resume_walk_forward(
    walk_id: str = "last",
    *,
    store: PathText = "mp2.db",
    prices: Any = None,
    grids: Grids | None = None,
    sectors: Any = None,
    workers: int | None = None,
    table_memory: int | None = None,
    stop: Stop = None,
    observe: Observe = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    executor: Any = None,
    slots: int | None = None,
) -> WalkForward:
    """Continue a stored walk-forward after its last finished week, and return the whole of it.

    `walk_id` may be the beginning of an id, or "last". The prices are read again from their file,
    or from `prices`; those in memory, and grids or sectors in memory, have to be passed again. All
    settings but `workers` and `table_memory` are those the walk began with.

    Raises `InputError` when the walk cannot be resumed or its input has changed, else as
    `walk_forward`.
    """
    control = WalkControl(
        storing=WalkStoring(db=Path(store)),
        stop=stop,
        observe=observe,
        on_interrupt=on_interrupt,
        progress=progress,
        executor=executor,
        slots=slots,
    )
    return resume_walk_request(
        walk_id,
        control,
        source=prices,
        grids=grids,
        sectors=sectors,
        workers=workers,
        table_memory=table_memory,
    )


def resume_walk_request(
    name: str,
    control: WalkControl,
    *,
    source: Any = None,
    grids: Grids | None = None,
    sectors: Any = None,
    workers: int | None = None,
    table_memory: int | None = None,
) -> WalkForward:
    """Continue the walk that `name` means in the database, as `resume_walk_forward` says."""
    db = control.storing.db
    if db is None:
        raise InputError("store: name the database that has the walk-forward")
    with Store(db, read_only=True) as opened:
        walk_id = opened.find_walk(name)
        opened.check_walk_resumable(walk_id)
        request = opened.load_walk_request(walk_id)
    run = request.run
    table = None
    if isinstance(source, str | PathLike):
        run = run.model_copy(update={"source": moved(run.source, Path(source))})
    elif source is not None:
        table = as_prices(source, end=run.signals.end, stop=control.stop)
    elif isinstance(run.source, InMemory):
        raise InputError(f"walk {walk_id} began with prices in memory; pass the same again")
    search = run.search
    if workers is not None:
        search = replace(search, workers=workers)
    if table_memory is not None:
        search = replace(search, table_memory=table_memory)
    run = run.model_copy(update={"search": search})
    request = request.model_copy(update={"run": run})
    storing = replace(control.storing, walk_id=walk_id)
    inputs = WalkInputs(prices=table, grids=grids, sectors=sectors)
    return walk_request(request, replace(control, storing=storing), inputs)


def walk_request(
    request: WalkRequest,
    control: WalkControl,
    inputs: WalkInputs,
) -> WalkForward:
    """Walk as `request` says."""
    run = request.run
    settings = WalkSettings(
        weeks=request.weeks,
        end=last_day(run.source, run.signals.end),
        search=run.search,
        luck=run.luck.settings,
        min_tickers=run.picks.min_tickers,
        top_groups=run.picks.top_groups,
        cost_bps=run.cost_bps,
        hold=run.hold,
    )
    grids = inputs.grids
    if grids is None:
        if run.signals.grids_in_memory:
            raise InputError("the grids of this walk are in memory; pass them again as grids")
        grids = load_grids(run.signals.grids)
    sectors = inputs.sectors or run.luck.sectors
    if isinstance(sectors, InMemory):
        raise InputError("the sectors of this walk are in memory; pass them again as sectors")
    sector_of = None if sectors is None else read_sectors(sectors)
    with (
        stopped_by_interrupt(control.stop, control.on_interrupt) as stop,
        ProgressBar(shown=control.progress) as bar,
    ):
        prices = inputs.prices
        if prices is None:
            prices = read_bars(run.source, stop, end=settings.end)
        with recording_walk(request, control.storing) as recorder:
            return walk(
                prices,
                settings,
                stop=stop,
                grids=grids,
                sectors=sector_of,
                observe=bar.beside(bar.weeks, control.observe),
                recorder=recorder,
                search=inputs.search,
                signals=inputs.signals,
                executor=control.executor,
                slots=control.slots,
            )
