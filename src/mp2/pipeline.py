"""The main job: prices -> signals -> search -> test for luck -> picks -> store.

`run` does all of it, `search` begins with a panel of signals, and `resume` continues either one
from the store. Each makes a `Request`, which the store keeps, and hands it to `run_request` or
`search_request`; the command line does the same. `luck_request` tests a stored run. What follows a
search belongs between `recorder.keep` and `recorder.finish`: by then the result is stored even if
it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from mp2._durations import Duration, seconds
from mp2._interrupts import OnInterrupt, stopped_by_interrupt
from mp2._overview import Entry, Overview
from mp2._recurse import now_ns
from mp2.data.holding import DAY_HOLD, Hold, check_same_hold, holding
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable, as_prices
from mp2.data.sectors import read_sectors
from mp2.data.signal_reader import as_panel
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError, counted
from mp2.evidence.settings import N_REPLICATES, LuckSettings
from mp2.groups.progress import ProgressBar
from mp2.groups.result import SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.search import SearchObserver
from mp2.groups.search import search as search_groups
from mp2.groups.settings import FAMILY_OVERLAP, SearchSettings, check_settings
from mp2.picks.costs import check_cost
from mp2.storage.inputs import (
    NOTHING_BESIDE,
    Beside,
    PathText,
    beside_of,
    last_day,
    moved,
    path_of,
    read_again,
    read_bars,
    read_panel,
    sectors_source,
    source_of,
)
from mp2.storage.recorder import Recorder, Storing, recording
from mp2.storage.request import (
    DemoPrices,
    InMemory,
    LuckRequest,
    PickSettings,
    PricesFile,
    Request,
    SignalSettings,
    SignalsFile,
)
from mp2.storage.runs import Store

if TYPE_CHECKING:
    from mp2.demo.market import DemoMarket
    from mp2.evidence.significance import SignificanceTest
    from mp2.picks.records import DayPicks
    from mp2.signals.grids import Grids
    from mp2.signals.sheet import SignalSheet


@dataclass(frozen=True, slots=True, repr=False)
class PipelineRun(Overview):
    """A search on the last days of a price table, and what its groups pick for the day after them.

    `market`: the synthetic market, when the prices were those of the demo. `prices`: the bars that
    were used; None for a run that was loaded.
    """

    result: SearchResult
    next_day: DayPicks
    market: DemoMarket | None = None
    prices: PriceTable | None = None

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        tickers = counted(len(self.next_day.tickers()), "ticker")
        title = f"{tickers} picked for {self.next_day.day}"
        result = self.result
        rows: list[Entry] = [
            ("search", result.headline()),
            ("run", result.run_id),
        ]
        if result.significance is not None:
            rows.append(("luck", result.significance.sentence()))
        return title, [*rows, *self.next_day.rows()]


def _unobserved(step: str) -> None:
    """Ignore that a step begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunControl:
    """How a call is stored, stopped and observed.

    `stop`, when set, ends the work; a search keeps what it has found. `observe` follows the search,
    `observe_signals(done, total)` the signals before it. `observe_step` gets a few words about each
    step that has no such observer, when it begins.
    """

    storing: Storing = field(default_factory=Storing)
    stop: Stop = None
    observe: SearchObserver | None = None
    observe_every_s: float = 0.1
    observe_signals: Observe = None
    observe_step: Callable[[str], None] = _unobserved

    def is_stopped(self) -> bool:
        """Return whether `stop` is set."""
        return self.stop is not None and self.stop.is_set()


# --- the public functions -------------------------------------------------------------------------


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
    without: Sequence[str] = (),
    family_overlap: float = FAMILY_OVERLAP,
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
        without=without,
        family_overlap=family_overlap,
    )
    control = RunControl(
        storing=Storing(db=path_of(store)),
        stop=stop,
        observe=observe,
        observe_every_s=seconds("observe_every_s", observe_every_s),
    )
    with _attended(control, on_interrupt, progress) as control:
        if not isinstance(panel, str | PathLike):
            panel = as_panel(panel, stop=control.stop)
        if not isinstance(prices, str | PathLike | None):
            prices = as_prices(prices, stop=control.stop)
        history = None
        if prices is not None:
            history = source_of(prices, PricesFile, "prices")
        request = Request(
            source=source_of(panel, SignalsFile, "signals"),
            search=settings,
            luck=LuckRequest(
                settings=LuckSettings(replicates=replicates, null=null, seed=seed),
                prices=history,
                sectors=sectors_source(sectors),
            ),
            hold=panel.hold if isinstance(panel, SignalPanel) else DAY_HOLD,
        )
        return search_request(
            request,
            control,
            panel if isinstance(panel, SignalPanel) else None,
            beside_of(prices, sectors),
        )


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
    without: Sequence[str] = (),
    family_overlap: float = FAMILY_OVERLAP,
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
        without=without,
        family_overlap=family_overlap,
    )
    if isinstance(grids, Grids):
        signals = SignalSettings(n_days=n_days, end=end, grids_in_memory=True)
        given_grids = grids
    else:
        signals = SignalSettings(n_days=n_days, end=end, grids=path_of(grids))
        given_grids = None
    check_cost(cost_bps)
    control = RunControl(storing=Storing(db=path_of(store)), stop=stop, observe=observe)
    with _attended(control, on_interrupt, progress) as control:
        if not isinstance(prices, str | PathLike):
            prices = as_prices(prices, end=end, stop=control.stop)
        request = Request(
            source=source_of(prices, PricesFile, "prices"),
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
        table = prices if isinstance(prices, PriceTable) else None
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
    prices: Any = None,
    sectors: Any = None,
    hold: Hold | None = None,
    stop: Stop = None,
    observe: SearchObserver | None = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
) -> SearchResult | PipelineRun:
    """Continue a stored run that did not end, and return what an uninterrupted one would return.

    `run_id` may be the beginning of an id, or "last". The input is read again from the file it came
    from, or from `source`; a run that began with a frame, or with grids, prices or sectors in
    memory, needs the same again. Rules and settings are those of the run; `budget_s` (for this
    call), `workers` and `max_attempts` (counted from the first start) may be set again. A `hold`
    that is given has to be the rule of the run.

    Raises `InputError` when the run cannot be resumed or its input has changed, else as `search`.
    """
    control = RunControl(storing=Storing(db=Path(store)), stop=stop, observe=observe)
    with _attended(control, on_interrupt, progress) as control:
        return resume_request(
            run_id,
            control,
            source=source,
            grids=grids,
            hold=hold,
            budget_s=None if budget_s is None else seconds("budget_s", budget_s),
            workers=workers,
            max_attempts=max_attempts,
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


# --- the job --------------------------------------------------------------------------------------


def search_request(
    request: Request,
    control: RunControl,
    panel: SignalPanel | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> SearchResult:
    """Search as `request` says. `panel` stands for a source in memory."""
    read_s = 0.0
    if panel is None:
        started_ns = now_ns()
        control.observe_step(f"reading {request.name}")
        panel = read_panel(request.source, control.stop, hold=request.hold)
        read_s = (now_ns() - started_ns) / 1e9
    check_settings(request.search, panel.algos)
    test = _luck_test(request, control, panel, beside)
    with recording(request, panel.fingerprint, control.storing) as recorder:
        _search_and_keep(request, control, panel, recorder, read_s, test)
        return recorder.finish()


def run_request(
    request: Request,
    control: RunControl,
    prices: PriceTable | None = None,
    grids: Grids | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> PipelineRun:
    """Run the main job as `request` says. `prices` and `grids` stand for those in memory."""
    # A search of a table begins sooner without picks.
    from mp2.picks.pick import pick_day

    started_ns = now_ns()
    signals = _signals(request, control, prices, grids)
    panel = signals.sheet.panel(0, request.signals.n_days)
    test = _luck_test(request, control, panel, replace(beside, prices=signals.prices))
    read_s = (now_ns() - started_ns) / 1e9

    with recording(request, panel.fingerprint, control.storing) as recorder:
        result = _search_and_keep(request, control, panel, recorder, read_s, test)
        picks = pick_day(
            result,
            signals.sheet,
            signals.sheet.days[-1],
            min_tickers=request.picks.min_tickers,
            top_groups=request.picks.top_groups,
            cost_bps=request.cost_bps,
        )
        result = recorder.finish(picks)
    # Picks of a result that could not be stored belong to no run.
    picks = replace(picks, run_id=result.run_id)
    return PipelineRun(result, picks, signals.market, signals.prices)


@dataclass(frozen=True, slots=True)
class _Signals:
    """The signals of a request, the day after included, and the prices they were computed from."""

    sheet: SignalSheet
    prices: PriceTable
    market: DemoMarket | None


def _signals(
    request: Request,
    control: RunControl,
    prices: PriceTable | None,
    grids: Grids | None,
) -> _Signals:
    """Compute the signals that a request asks for, from its prices or those in memory."""
    # A search of a table begins sooner without them.
    from mp2.demo.market import make_market
    from mp2.signals.grids import load_grids
    from mp2.signals.sheet import compute_signals

    end = last_day(request.source, request.signals.end)
    market = None
    if isinstance(request.source, DemoPrices):
        market = make_market(request.source.seed, plant=request.source.plant)
        prices = market.prices
        grids = market.grids
    if prices is None:
        control.observe_step(f"reading {request.name}")
        prices = read_bars(request.source, control.stop, end=end)
    if grids is None:
        if request.signals.grids_in_memory:
            raise InputError("the grids of this run are in memory; pass them again as grids")
        grids = load_grids(request.signals.grids)
    check_settings(request.search, [algorithm.name for algorithm in grids.algorithms])
    sheet = compute_signals(
        prices,
        # So that as many days are sold by the end.
        n_days=request.signals.n_days + holding(request.hold).n_sessions,
        end=end,
        include_next=True,
        grids=grids,
        hold=request.hold,
        stop=control.stop,
        observe=control.observe_signals,
    )
    return _Signals(sheet, prices, market)


def _luck_test(
    request: Request,
    control: RunControl,
    panel: SignalPanel,
    beside: Beside,
) -> SignificanceTest | None:
    """Prepare the test that a request asks for, so that what it lacks ends no search."""
    luck = request.luck
    if not luck.settings.is_on:
        return None
    from mp2.evidence.significance import SignificanceTest

    prices = beside.prices
    if prices is None and luck.prices is not None:
        prices = read_bars(luck.prices, control.stop)
    sectors = beside.sectors
    if sectors is None and luck.sectors is not None:
        if isinstance(luck.sectors, InMemory):
            raise InputError("the sectors of this run are in memory; pass them again as sectors")
        sectors = read_sectors(luck.sectors)
    return SignificanceTest(panel, luck.settings, prices=prices, sectors=sectors)


def _search_and_keep(
    request: Request,
    control: RunControl,
    panel: SignalPanel,
    recorder: Recorder,
    read_s: float,
    test: SignificanceTest | None,
) -> SearchResult:
    """Search, then test within what the search left of the budget."""
    started_ns = now_ns()
    result = search_groups(
        panel,
        request.search,
        stop=control.stop,
        observe=control.observe,
        observe_every_s=control.observe_every_s,
        recorder=recorder,
    )
    result = recorder.keep(replace(result, read_s=read_s))
    if test is None:
        return result
    control.observe_step("testing whether the best groups are luck")
    return recorder.keep(test.after_search(result, request.search, started_ns, control.stop))


def luck_request(
    name: str,
    control: RunControl,
    *,
    luck: LuckRequest,
    hold: Hold | None = None,
    budget_s: float = 60.0,
    workers: int | None = None,
) -> SearchResult:
    """Test the stored run that `name` means as `luck` says, and store what the test finds.

    The signals are read again as `resume_request` does. What `luck` does not name of prices and
    sectors is that of the run.
    """
    started_ns = now_ns()
    db = control.storing.db
    if db is None:
        raise InputError("store: name the database that has the run")
    luck.settings.check_is_on()
    with Store(db, read_only=True) as opened:
        run_id = opened.find(name)
        opened.check_whole(run_id)
        request = opened.load_request(run_id)
        result = opened.load(run_id)
    check_same_hold(hold, request.hold, f"run {run_id}")

    prices = luck.prices or request.luck.prices
    sectors = luck.sectors or request.luck.sectors
    luck = luck.model_copy(update={"prices": prices, "sectors": sectors})
    request = request.model_copy(update={"luck": luck})
    beside = NOTHING_BESIDE
    if isinstance(request.source, SignalsFile | InMemory):
        control.observe_step(f"reading {request.name}")
        panel = read_panel(request.source, control.stop, hold=request.hold)
    else:
        signals = _signals(request, control, None, None)
        panel = signals.sheet.panel(0, request.signals.n_days)
        # Other prices come first: they may go back further.
        if luck.prices is None:
            beside = Beside(prices=signals.prices)
    if panel.fingerprint != result.input_fingerprint:
        raise InputError(f"{request.label}: is not what run {run_id} began with; search again")

    test = _luck_test(request, control, panel, beside)
    if test is None:
        raise RuntimeError("a test that is switched off was asked for")
    control.observe_step("testing whether the best groups are luck")
    tested = test.run(
        result,
        workers=workers or request.search.workers,
        started_ns=started_ns,
        budget_ns=round(budget_s * 1e9),
        stop=control.stop or Event(),
    )
    with Store(db) as opened:
        opened.save_significance(run_id, tested)
    return tested


def resume_request(
    name: str,
    control: RunControl,
    *,
    source: Any = None,
    grids: Grids | None = None,
    beside: Beside = NOTHING_BESIDE,
    hold: Hold | None = None,
    **limits: Any,
) -> SearchResult | PipelineRun:
    """Continue the run that `name` means in the database; the limits are those of `resume`.

    A limit that is None stays as it was.
    """
    db = control.storing.db
    if db is None:
        raise InputError("store: name the database that has the run")
    with Store(db, read_only=True) as opened:
        run_id = opened.find(name)
        opened.check_resumable(run_id)
        request = opened.load_request(run_id)
        status = opened.status(run_id)
    check_same_hold(hold, request.hold, f"run {run_id}")

    changes = {name: value for name, value in limits.items() if value is not None}
    if status == Status.WORK_LIMIT:
        # Attempts that were all made limit no later session: more is up to its budget.
        changes.setdefault("max_attempts", None)
    settings = replace(request.search, **changes)
    request = request.model_copy(update={"search": settings})
    control = replace(control, storing=replace(control.storing, run_id=run_id))

    if isinstance(source, str | PathLike):
        request = request.model_copy(update={"source": moved(request.source, Path(source))})
    elif source is not None:
        if not isinstance(source, SignalPanel | PriceTable):
            source = read_again(source, request, control.stop)
        if isinstance(source, SignalPanel):
            check_same_hold(source.hold, request.hold, f"run {run_id}")
            return search_request(request, control, source, beside)
        return run_request(request, control, source, grids, beside)
    if isinstance(request.source, InMemory):
        raise InputError(
            f"run {run_id} began with {request.source.holds} in memory; pass the same again as "
            "the source"
        )
    if isinstance(request.source, SignalsFile):
        return search_request(request, control, None, beside)
    return run_request(request, control, None, grids, beside)
