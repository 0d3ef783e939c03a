"""What a result is shown beside: the picks and the record of earlier runs, and the newest scan.

All of it is read from the database. One that cannot be read costs these facts, not the result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mp2.cli.options import reading
from mp2.errors import Mp2Error
from mp2.groups.result import SearchResult
from mp2.picks.records import DayPicks

if TYPE_CHECKING:
    from mp2.discovery.records import ScanResult
    from mp2.picks.track import ConfigurationRecord
    from mp2.storage.request import Request
    from mp2.storage.runs import Store

USUAL_COST_BPS = 5.0
"""Of each side, for the record of runs without a cost of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a database knows beside a result.

    `before`: the picks before these; `record`: how those of the same settings did; `scan`: one made
    since the last day searched. All are None for a result that is not stored.
    """

    request: Request | None = None
    before: DayPicks | None = None
    record: ConfigurationRecord | None = None
    scan: ScanResult | None = None


def beside(
    db: Path,
    result: SearchResult,
    picks: DayPicks | None,
) -> Beside:
    """Return what the database knows beside a result and its picks."""
    from mp2.storage.track import record_of

    if result.run_id is None:
        return Beside()
    with suppress(Mp2Error), reading(db) as store:
        request = store.load_request(result.run_id)
        if picks is None:
            return Beside(request=request)
        cost_bps = picks.cost_bps or USUAL_COST_BPS
        return Beside(
            request=request,
            before=store.picks_before(result.run_id, picks.day),
            record=record_of(store, request, cost_bps=cost_bps),
            scan=_scan_for(store, result, picks),
        )
    return Beside()


def _scan_for(
    store: Store,
    result: SearchResult,
    picks: DayPicks,
) -> ScanResult | None:
    """The newest scan if it was made between the last day searched and the day picked for."""
    for scan in store.scans(1):
        if result.days[-1] <= scan.day <= picks.day:
            return store.load_scan(scan.scan_id)
    return None
