"""Search and outcome over past weeks: would the picks have been better than the universe?

Trading days are divided into blocks of five. Each block but the last is searched. The kept groups
are applied to each day of the next block, with the signals of that day, and scored on its bars. So
each day is judged once, by groups that were chosen without it.

Judged separately: the pick of each retained size (`"3"`, `"4"`, ...), the union of these picks
(`"all"`) and the tickers of the vote (`"votes"`). The verdict of the whole is that of `"all"`,
chosen in advance, because the best of several series looks better than it is.

Every day counts once, however many tickers it has. The difference is the mean over days with picks
of (picks - universe), its interval Student's t over these days, taken as independent. Tickers
without a bar on a day (a hole, an early end) are missing from its picks and universe alike, and
those without one on the next session, where the rule of outcomes sells on it.

Such a rule has seen a day more once the searched days are sold. The judged days begin after that
one, as the pick of a run does, so that each is bought after everything that chose its groups.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Event
from typing import Any

from mp2._document import Texts
from mp2._recurse import now_ns
from mp2.data.holding import DAY_HOLD, Hold, holding
from mp2.data.prices import PriceTable
from mp2.data.tables import Observe
from mp2.errors import InputError, counted
from mp2.evidence.settings import LuckSettings
from mp2.evidence.significance import SignificanceTest
from mp2.groups.engines.choice import engine_of
from mp2.groups.engines.jobs import Job, Jobs, LostClusterError, work_at
from mp2.groups.exclusions import why_nothing
from mp2.groups.result import SearchResult
from mp2.groups.search import search as search_groups
from mp2.groups.settings import SearchSettings, check_settings
from mp2.picks.costs import check_cost
from mp2.picks.judging import judge_each
from mp2.picks.outcome import Universe
from mp2.picks.pick import pick_day
from mp2.picks.records import DayPicks, Score
from mp2.picks.weeks import WalkDay, WalkForward, WalkStatus, Week
from mp2.signals.grids import Grids
from mp2.signals.sheet import SignalSheet, compute_signals

_log = logging.getLogger("mp2")

DAYS_PER_WEEK = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkSettings:
    """What a walk-forward does in each of its `weeks`, the last of which ends at `end`.

    `search` and `luck` are the settings of a week's search and of its test, `min_tickers` and
    `top_groups` those of `pick_day`. `cost_bps` per side is taken off the net returns. `hold` is
    the rule of outcomes.
    """

    weeks: int
    end: str | None = None
    search: SearchSettings = field(default_factory=SearchSettings)
    luck: LuckSettings = field(default_factory=lambda: LuckSettings(replicates=0))
    min_tickers: int = 1
    top_groups: int = 50
    cost_bps: float = 0.0
    hold: Hold = DAY_HOLD

    def __post_init__(self) -> None:
        """Raise `InputError` for a cost that is none."""
        check_cost(self.cost_bps)


class WalkRecorder:
    """Follows a walk-forward without storing it. One that stores it overrides these steps."""

    def begin(self, sheet: SignalSheet, sectors: Texts | None) -> Sequence[Week]:
        """Receive what is walked over; return the weeks that were finished before."""
        return ()

    def keep(self, walk: WalkForward) -> None:
        """Receive the walk up to the week that was just finished."""

    def finish(self, walk: WalkForward) -> WalkForward:
        """Receive the walk at its end; return it with the id it is stored under."""
        return walk


def walk(
    prices: PriceTable,
    settings: WalkSettings,
    *,
    stop: Event,
    grids: Grids | None = None,
    sectors: Texts | None = None,
    observe: Observe = None,
    recorder: WalkRecorder | None = None,
    search: Callable[..., SearchResult] = search_groups,
    signals: Callable[..., SignalSheet] = compute_signals,
    executor: Any = None,
    slots: int | None = None,
) -> WalkForward:
    """Search and judge weeks of five trading days, one after the other.

    The signals of all days are computed once; `grids` go to `compute_signals`. `observe(done,
    total)` counts weeks. Setting `stop` ends the walk with the weeks finished so far; while signals
    are computed it raises `ReadStoppedError`.

    With an `executor` whole weeks go to its workers, as many at once as `slots`, each on one core
    with the time of `workers`. A walk keeps the weeks before the first one that is missing.

    Raises `InputError` for unusable settings and for too short a history.
    """
    recorder = recorder or WalkRecorder()
    n_held = holding(settings.hold).n_sessions
    n_days = _n_days(prices, settings.weeks, settings.end, n_held)
    # Once for all weeks: the signals of a day do not depend on the other days.
    sheet = signals(
        prices,
        n_days=n_days,
        end=settings.end,
        grids=grids,
        hold=settings.hold,
        stop=stop,
    )
    # What is wrong with the settings is reported before anything is stored.
    check_settings(settings.search, sheet.algos)
    if settings.luck.is_on:
        first_week = sheet.panel(0, DAYS_PER_WEEK)
        SignificanceTest(first_week, settings.luck, prices=prices, sectors=sectors)
    done = list(recorder.begin(sheet, sectors))
    warnings = list(sheet.warnings)
    week_work = WeekWork(sheet, settings, prices, sectors, search)
    if executor is None:
        weeks = week_work.in_turn(len(done), stop)
    else:
        weeks = weeks_elsewhere(week_work, len(done), stop, executor, slots, warnings.append)
    if observe is not None:
        observe(len(done), settings.weeks)
    for week in weeks:
        done.append(week)
        recorder.keep(_whole_walk(done, settings, warnings))
        if observe is not None:
            observe(len(done), settings.weeks)
    return recorder.finish(_whole_walk(done, settings, warnings))


@dataclass(frozen=True, slots=True)
class WeekWork:
    """What all weeks of a walk need; each of them follows from its number alone."""

    sheet: SignalSheet
    settings: WalkSettings
    prices: PriceTable | None
    sectors: Texts | None
    search: Callable[..., SearchResult] = search_groups

    def in_turn(self, first: int, stop: Event) -> Iterator[Week]:
        """Yield the weeks from number `first` on, until a stop."""
        for number in range(first, self.settings.weeks):
            week = self.week(number, stop)
            if week is None:
                return
            yield week

    def week(self, number: int, stop: Event) -> Week | None:
        """Search a week and judge its groups on the next one; None after a stop."""
        sheet = self.sheet
        settings = self.settings
        first = DAYS_PER_WEEK * number
        panel = sheet.panel(first, DAYS_PER_WEEK)
        # The test gets what the search leaves of the week's budget.
        started_ns = now_ns()
        result = self.search(panel, settings.search, stop=stop)
        if settings.luck.is_on:
            test = SignificanceTest(panel, settings.luck, prices=self.prices, sectors=self.sectors)
            result = test.after_search(result, settings.search, started_ns, stop)
        if stop.is_set():
            # This search had less time than the others.
            return None
        n_held = holding(settings.hold).n_sessions
        week = judge_week(result, sheet, first + DAYS_PER_WEEK + n_held, settings)
        if not any(result.kept.values()):
            week = replace(week, why_nothing=why_nothing(result, panel))
        return week

    def run(self, job: Job) -> bytes:
        """Do the job of a worker: a week, as JSON."""
        week = self.week(job.number, job.stop)
        return b"" if week is None else _week_type().dump_json(week)


def weeks_elsewhere(
    work: WeekWork,
    first: int,
    stop: Event,
    executor: Any,
    slots: int | None,
    warn: Callable[[str], None],
) -> Iterator[Week]:
    """Yield the weeks from number `first` on as workers finish them, in order."""
    if work.search is not search_groups:
        raise InputError("search: with an executor the weeks are searched by mp2 itself")
    search = work.settings.search
    # A worker gives a week one core and its share of the memory, and the time that several would
    # have had.
    there = replace(search, workers=1, budget_s=search.budget_s * search.workers)
    if search.table_memory is not None:
        there = replace(there, table_memory=search.table_memory // search.workers)
    work = replace(work, settings=replace(work.settings, search=there))
    if not work.settings.luck.is_on:
        work = replace(work, prices=None, sectors=None)
    came: dict[int, Week] = {}
    jobs = Jobs(
        numbers=range(first, work.settings.weeks),
        # An answer that is no week is a `ValueError`, and the week is searched again.
        read=lambda _, answer: _week_type().validate_json(answer),
        job_s=there.budget_s,
    )
    engine = engine_of(executor, slots)
    try:
        with work_at(engine, work, is_over=stop.is_set, warn=warn) as queue:
            n_slots = counted(queue.n_slots, "slot")
            _log.info("weeks: %s at workers, each with one core", n_slots)
            for number, week in queue.answers(jobs):
                came[number] = week
                while first in came:
                    yield came.pop(first)
                    first += 1
    except LostClusterError as error:
        warn(f"{error}; mp2 walkforward --resume goes on")


@cache
def _week_type() -> Any:
    # Heavy for a module that every walk imports.
    from pydantic import TypeAdapter

    return TypeAdapter(Week)


def _whole_walk(
    done: Sequence[Week],
    settings: WalkSettings,
    warnings: Sequence[str],
) -> WalkForward:
    """Judge all weeks together; a stopped walk is judged on the weeks it has."""
    days: list[WalkDay] = []
    for week in done:
        days += week.days
    reasons = [week.why_nothing for week in done if week.why_nothing]
    if reasons:
        nothing = f"{len(reasons)} of {len(done)} weeks kept no group; the first: {reasons[0]}"
        warnings = [*warnings, nothing]
    status = WalkStatus.STOPPED
    if len(done) == settings.weeks:
        status = WalkStatus.COMPLETE
    return WalkForward(
        status=status,
        n_weeks=settings.weeks,
        budget_s_per_week=settings.search.budget_s,
        rules=settings.search.rules,
        weeks=tuple(done),
        # Sizes of the rules, not of results: a stop may leave no week.
        total=judge_each(settings.search.rules.retain_sizes, days),
        warnings=tuple(warnings),
        cost_bps=settings.cost_bps,
        hold=settings.hold,
    )


def _n_days(
    prices: PriceTable,
    weeks: int,
    end: str | None,
    n_held: int,
) -> int:
    """Count the days whose signals are needed; a rule that holds has a gap and a last exit more."""
    if weeks < 1:
        raise InputError(f"weeks: {weeks} is below 1; give 1 or more")
    n_more = 2 * n_held
    n_days = DAYS_PER_WEEK * (weeks + 1) + n_more
    n_dates = prices.n_dates
    until = ""
    if end is not None:
        n_dates = prices.last_idx(end, "end") + 1
        until = f" up to {end}"
    # The signals of a day need a bar before it.
    if n_days < n_dates:
        return n_days
    at_most = (n_dates - 1 - n_more) // DAYS_PER_WEEK - 1
    remedy = "give a longer history"
    if at_most > 0:
        remedy = f"ask for {at_most} weeks or fewer"
    known = f"the prices have {n_dates}{until}"
    need = f"weeks: {weeks} need {n_days + 1} dates; {known}; {remedy}"
    # What was left out may be why.
    raise InputError([need, *prices.warnings])


def judge_week(
    result: SearchResult,
    sheet: SignalSheet,
    first: int,
    settings: WalkSettings,
) -> Week:
    """Judge the groups of `result` on the days from position `first` on."""
    days = []
    n_fallbacks = 0
    for day_idx in range(first, first + DAYS_PER_WEEK):
        picks = pick_day(
            result,
            sheet,
            sheet.days[day_idx],
            min_tickers=settings.min_tickers,
            top_groups=settings.top_groups,
        )
        for pick in picks.picks.values():
            if pick is not None and pick.fallback_from is not None:
                n_fallbacks += 1
        days.append(score_day(picks, sheet, day_idx, settings.cost_bps))
    p = None
    if result.significance is not None:
        p = result.significance.p
    return Week(
        searched=result.days,
        status=result.status,
        elapsed_s=result.elapsed_s,
        coverage=result.coverage,
        n_kept={size: len(groups) for size, groups in result.kept.items()},
        n_fallbacks=n_fallbacks,
        days=tuple(days),
        judged=judge_each(result.kept, days),
        p=p,
    )


def score_day(
    picks: DayPicks,
    sheet: SignalSheet,
    day_idx: int,
    cost_bps: float = 0.0,
) -> WalkDay:
    """Score every series of picks on one day, the position `day_idx` of the sheet."""
    tickers_of = picks.series()
    universe = Universe(
        sheet.tickers,
        sheet.entry[day_idx],
        sheet.exit[day_idx],
        cost_bps=cost_bps,
    )
    scores: dict[str, Score | None] = dict.fromkeys(tickers_of)
    for series, tickers in tickers_of.items():
        score = universe.score(tickers)
        if score.n_picks:
            scores[series] = score
    return WalkDay(
        day=picks.day,
        n_universe=universe.n,
        # None only without a bar; then no series has a pick either.
        universe_hit_rate_pp=universe.hit_rate_pp or 0.0,
        universe_return_pp=universe.mean_return_pp or 0.0,
        scores=scores,
        tickers=tickers_of,
        universe_spread_pp=universe.spread_pp,
    )
