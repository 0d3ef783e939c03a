"""The main job: prices -> signals -> search -> test for luck -> picks -> store.

A `Request`, which the store keeps, says what to do. `run_request` does all of it, `search_request`
begins with a panel of signals, `resume_request` continues either one from the store, and
`luck_request` tests a stored run. `mp2.searching` and the command line make the requests.

What follows a search belongs between `recorder.keep` and `recorder.finish`: by then the result is
stored even if it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from mp2._overview import Entry, Overview
from mp2._recurse import now_ns
from mp2.data.holding import Hold, check_same_hold, holding
from mp2.data.panel import SignalPanel
from mp2.data.prices import PriceTable
from mp2.data.sectors import read_sectors
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError, counted
from mp2.groups.result import SearchResult, Status
from mp2.groups.search import SearchObserver
from mp2.groups.search import search as search_groups
from mp2.groups.settings import check_settings
from mp2.storage.inputs import (
    NOTHING_BESIDE,
    Beside,
    last_day,
    moved,
    read_again,
    read_bars,
    read_panel,
)
from mp2.storage.recorder import Recorder, Storing, recording
from mp2.storage.request import (
    DemoPrices,
    InMemory,
    LuckRequest,
    Request,
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
    step that has no such observer, when it begins. `executor` and `slots` are those of
    `mp2.groups.search.search`.
    """

    storing: Storing = field(default_factory=Storing)
    stop: Stop = None
    observe: SearchObserver | None = None
    observe_every_s: float = 0.1
    observe_signals: Observe = None
    observe_step: Callable[[str], None] = _unobserved
    executor: Any = None
    slots: int | None = None

    def is_stopped(self) -> bool:
        """Return whether `stop` is set."""
        return self.stop is not None and self.stop.is_set()


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
    """Prepare the test that a request asks for; what it lacks is reported before any search."""
    luck = request.luck
    if not luck.settings.is_on:
        return None
    # A search without a test begins sooner without it.
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
        executor=control.executor,
        slots=control.slots,
    )
    result = recorder.keep(replace(result, read_s=read_s))
    if test is None:
        return result
    control.observe_step("testing whether the best groups are luck")
    tested = test.after_search(
        result,
        request.search,
        started_ns,
        control.stop,
        control.executor,
        control.slots,
    )
    return recorder.keep(tested)


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
    db = _database(control)
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
        executor=control.executor,
        slots=control.slots,
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
    with Store(_database(control), read_only=True) as opened:
        run_id = opened.find(name)
        opened.check_resumable(run_id)
        request = opened.load_request(run_id)
        status = opened.status(run_id)
    check_same_hold(hold, request.hold, f"run {run_id}")

    changes = {limit: value for limit, value in limits.items() if value is not None}
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


def _database(control: RunControl) -> Path:
    """Return the database that a stored run is in."""
    if control.storing.db is None:
        raise InputError("store: name the database that has the run")
    return control.storing.db
