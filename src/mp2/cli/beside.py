"""What a result is shown beside: the picks and the record of earlier runs, and the newest scan.

All of it is read from the database. One that cannot be read costs these facts, not the result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from mp2.cli.options import reading
from mp2.errors import Mp2Error, counted
from mp2.groups.result import SearchResult
from mp2.picks.costs import net_return_pp
from mp2.picks.records import ALL, DayPicks

if TYPE_CHECKING:
    from mp2.discovery.records import ScanResult
    from mp2.picks.weeks import WalkForward
    from mp2.storage.request import Request
    from mp2.storage.runs import Store

USUAL_COST_BPS = 5.0
"""Of each side, for the record of runs without a cost of their own."""
# Each is read to compare its settings; those before were of others, or are too old to matter.
_N_WALKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a database knows beside a result.

    `before`: the picks before these; `record`: how picks of the same settings did, in a sentence;
    `scan`: one made since the last day searched. All are None for a result that is not stored.
    """

    request: Request | None = None
    before: DayPicks | None = None
    record: str | None = None
    scan: ScanResult | None = None


def beside(
    db: Path,
    result: SearchResult,
    picks: DayPicks | None,
) -> Beside:
    """Return what the database knows beside a result and its picks."""
    if result.run_id is None:
        return Beside()
    # The result is right without these facts, so a damaged row must not hide it.
    with suppress(Mp2Error), reading(db) as store:
        request = store.load_request(result.run_id)
        if picks is None:
            return Beside(request=request)
        # 0 is what picks have when no cost was given: such a record would promise too much.
        cost_bps = picks.cost_bps or USUAL_COST_BPS
        return Beside(
            request=request,
            before=store.picks_before(result.run_id, picks.day),
            record=_record(store, request, cost_bps),
            scan=_scan_for(store, result, picks),
        )
    return Beside()


def _record(
    store: Store,
    request: Request,
    cost_bps: float,
) -> str | None:
    """How picks of the same settings did: scored ones, or of the last walk-forward, if longer."""
    from mp2.storage.track import record_of

    track = record_of(store, request, cost_bps=cost_bps)
    walk = walk_for(store, request)
    n_scored = 0
    if track is not None:
        n_scored = track.total[ALL].n_days
    # A few scored nights say less than a year of past weeks.
    if walk is not None and walk.total[ALL].n_days > n_scored:
        return f"walk-forward of {_walk_text(walk, cost_bps)}"
    if track is None:
        return None
    return track.sentence()


def walk_for(store: Store, request: Request) -> WalkForward | None:
    """Return the newest stored walk-forward of the same settings that has a week."""
    from mp2.storage.configuration import configuration_of

    wanted = configuration_of(request)
    for summary in store.walks(_N_WALKS):
        run = store.load_walk_request(summary.walk_id).run
        # Without a week there is nothing to show.
        if summary.judged is not None and configuration_of(run) == wanted:
            return store.load_walk(summary.walk_id)
    return None


def _walk_text(walk: WalkForward, cost_bps: float) -> str:
    n_days = 0
    last_day = ""
    nets = []
    for week in walk.weeks:
        for day in week.days:
            n_days += 1
            last_day = day.day
            # None on a day without picks: nothing is bought, so there is no cost.
            score = day.scores[ALL]
            if score is not None:
                nets.append(net_return_pp(score, cost_bps))
    judged = walk.total[ALL].text()
    text = f"{counted(n_days, 'day')} to {last_day}: {judged}"
    if not nets:
        return text
    return f"{text}; {fmean(nets):+.2f}% a day after {cost_bps:g} bps a side"


def _scan_for(
    store: Store,
    result: SearchResult,
    picks: DayPicks,
) -> ScanResult | None:
    """The newest scan if it was made between the last day searched and the day picked for."""
    for scan in store.scans(1):
        # An earlier one misses the news since the last day searched; a later one is of other days.
        if result.days[-1] <= scan.day <= picks.day:
            return store.load_scan(scan.scan_id)
    return None
