"""Search and outcome over past weeks: would the picks have been better than the universe?

Trading days are divided into blocks of five. Each block but the last is searched. The kept groups
are applied to each day of the next block, with the signals of that day, and scored on its bars. So
each day is judged once, by groups that were chosen without it.

Judged separately: the pick of each retained size (`"3"`, `"4"`, ...), the union of these picks
(`"all"`) and the tickers of the vote (`"votes"`). The verdict of the whole is that of `"all"`,
chosen in advance, because the best of several series looks better than it is.

Every day counts once, however many tickers it has. The difference is the mean over days with picks
of (picks - universe), its interval Student's t over these days, taken as independent. Tickers
without a bar on a day (a hole, an early end) are missing from its picks and universe alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mp2._document import Names
from mp2._durations import Duration, seconds
from mp2._interrupts import OnInterrupt, stopped_by_interrupt
from mp2._recurse import now_ns
from mp2.data.prices import PriceTable, as_prices
from mp2.data.sectors import read_sectors
from mp2.data.tables import Observe, Stop
from mp2.errors import InputError
from mp2.evidence.settings import LuckSettings
from mp2.evidence.significance import SignificanceTest
from mp2.groups.exclusions import why_nothing
from mp2.groups.progress import ProgressBar
from mp2.groups.result import SearchResult
from mp2.groups.rules import Rules
from mp2.groups.search import search as search_groups
from mp2.groups.settings import SearchSettings
from mp2.picks.costs import check_cost
from mp2.picks.judging import judge_each
from mp2.picks.outcome import Universe
from mp2.picks.pick import pick_day
from mp2.picks.records import DayPicks, Score
from mp2.picks.weeks import ALL, VOTES, WalkDay, WalkForward, WalkStatus, Week
from mp2.signals.grids import Grids
from mp2.signals.sheet import SignalSheet, compute_signals

DAYS_PER_WEEK = 5


def walk_forward(
    prices: Any,
    *,
    weeks: int = 26,
    budget_s_per_week: Duration = 10.0,
    workers: int = 4,
    rules: Rules | None = None,
    end: str | None = None,
    min_tickers: int = 1,
    top_groups: int = 50,
    grids: Grids | None = None,
    count: str = "exact",
    without: Sequence[str] = (),
    replicates: int = 0,
    null: str = "auto",
    seed: int = 0,
    sectors: Any = None,
    cost_bps: float = 0.0,
    stop: Stop = None,
    observe: Observe = None,
    on_interrupt: OnInterrupt = "stop",
    progress: bool = False,
    search: Callable[..., SearchResult] = search_groups,
    signals: Callable[..., SignalSheet] = compute_signals,
) -> WalkForward:
    """Search and judge `weeks` blocks of five trading days, the last ending at `end`.

    - `prices`: a price table, or what `read_prices` reads.
    - `end`: a day (default: the last date of the prices); without bars, the last one before it.
    - `budget_s_per_week` (seconds, or "10s"), `workers`, `rules`, `count` and `without` go to each
      search; `min_tickers` and `top_groups` to `pick_day`; `grids` to `compute_signals`. The
      signals of all days are computed once.
    - `replicates`: with 19 or more, what a search leaves of its budget goes into a test whether its
      best group is better than luck; `null`, `seed` and `sectors` are those of `mp2.significance`.
    - `cost_bps`: what buying and selling cost each, in hundredths of a percent: net returns beside
      the others.
    - `observe(done, total)` counts weeks. Setting `stop` ends the walk with the weeks finished so
      far; while signals are computed it raises `ReadStoppedError`. Ctrl-C ends it likewise, by
      `on_interrupt="raise"` with `KeyboardInterrupt`; `progress=True` shows a bar.

    Raises `InputError` for unusable settings and for too short a history.
    """
    rules = Rules() if rules is None else rules
    luck = LuckSettings(replicates=replicates, null=null, seed=seed)
    check_cost(cost_bps)
    settings = SearchSettings(
        budget_s=seconds("budget_s_per_week", budget_s_per_week),
        workers=workers,
        rules=rules,
        count=count,
        without=without,
    )
    sector_of = None if sectors is None else read_sectors(sectors)
    done: list[Week] = []
    reasons: list[str] = []
    with stopped_by_interrupt(stop, on_interrupt) as stopping, ProgressBar(shown=progress) as bar:
        observe = bar.beside(bar.weeks, observe)
        prices = as_prices(prices, end=end, stop=stopping)
        n_days = _n_days(prices, weeks, end)
        # Once for all weeks: the signals of a day do not depend on the other days.
        sheet = signals(prices, n_days=n_days, end=end, grids=grids, stop=stopping)
        while len(done) < weeks:
            if observe is not None:
                observe(len(done), weeks)
            first = DAYS_PER_WEEK * len(done)
            panel = sheet.panel(first, DAYS_PER_WEEK)
            started_ns = now_ns()
            result = search(panel, settings, stop=stopping)
            if luck.is_on:
                test = SignificanceTest(panel, luck, prices=prices, sectors=sector_of)
                result = test.after_search(result, settings, started_ns, stopping)
            if stopping.is_set():
                # This search had less time than the others.
                break
            judged_from = first + DAYS_PER_WEEK
            week = judge_week(result, sheet, judged_from, min_tickers, top_groups, cost_bps)
            done.append(week)
            if not any(result.kept.values()):
                reasons.append(why_nothing(result, panel))
        if observe is not None:
            observe(len(done), weeks)
    warnings = list(sheet.warnings)
    if reasons:
        warnings.append(
            f"{len(reasons)} of {len(done)} weeks kept no group; the first: {reasons[0]}"
        )
    return _whole_walk(done, weeks, settings, warnings, cost_bps)


def _whole_walk(
    done: Sequence[Week],
    n_weeks: int,
    settings: SearchSettings,
    warnings: Sequence[str],
    cost_bps: float,
) -> WalkForward:
    """Judge all weeks together; a stopped walk is judged on the weeks it has."""
    days: list[WalkDay] = []
    for week in done:
        days += week.days
    is_complete = len(done) == n_weeks
    return WalkForward(
        status=WalkStatus.COMPLETE if is_complete else WalkStatus.STOPPED,
        n_weeks=n_weeks,
        budget_s_per_week=settings.budget_s,
        rules=settings.rules,
        weeks=tuple(done),
        # Sizes of the rules, not of results: a stop may leave no week.
        total=judge_each(settings.rules.retain_sizes, days),
        warnings=tuple(warnings),
        cost_bps=cost_bps,
    )


def _n_days(
    prices: PriceTable,
    weeks: int,
    end: str | None,
) -> int:
    """Count the days whose signals are needed."""
    if weeks < 1:
        raise InputError(f"weeks: {weeks} is below 1; give 1 or more")
    n_days = DAYS_PER_WEEK * (weeks + 1)
    n_dates = prices.n_dates
    until = ""
    if end is not None:
        n_dates = prices.last_idx(end, "end") + 1
        until = f" up to {end}"
    # The signals of a day need a bar before it.
    if n_days < n_dates:
        return n_days
    at_most = (n_dates - 1) // DAYS_PER_WEEK - 1
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
    min_tickers: int,
    top_groups: int,
    cost_bps: float = 0.0,
) -> Week:
    """Judge the groups of `result` on the days from position `first` on."""
    days = []
    n_fallbacks = 0
    for day_idx in range(first, first + DAYS_PER_WEEK):
        picks = pick_day(
            result,
            sheet,
            sheet.days[day_idx],
            min_tickers=min_tickers,
            top_groups=top_groups,
        )
        for pick in picks.picks.values():
            n_fallbacks += pick is not None and pick.fallback_from is not None
        days.append(score_day(picks, sheet, day_idx, cost_bps))
    return Week(
        searched=result.days,
        status=result.status,
        elapsed_s=result.elapsed_s,
        coverage=result.coverage,
        n_kept={size: len(groups) for size, groups in result.kept.items()},
        n_fallbacks=n_fallbacks,
        days=tuple(days),
        judged=judge_each(result.kept, days),
        p=result.significance.p if result.significance else None,
    )


def score_day(
    picks: DayPicks,
    sheet: SignalSheet,
    day_idx: int,
    cost_bps: float = 0.0,
) -> WalkDay:
    """Score every series of picks on one day, the position `day_idx` of the sheet."""
    tickers_of: dict[str, Names] = {}
    for size, pick in picks.picks.items():
        tickers_of[str(size)] = pick.tickers if pick else ()
    tickers_of[ALL] = picks.tickers()
    tickers_of[VOTES] = tuple(vote.ticker for vote in picks.votes)
    universe = Universe(
        sheet.tickers,
        sheet.open[day_idx],
        sheet.close[day_idx],
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
    )
