"""`daily`: everything that is done at night, so that it may be repeated, killed and missed.

    update the bars -> check them -> score what is pending -> run -> scan -> files -> notify

The request of a night's run names the last day it searches. So the store tells which days were
done, which were begun and go on, and which were missed and are made up for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Document, Fields, Names
from mp2._durations import Duration, seconds
from mp2._files import expanded, make_folder, replacing
from mp2.data.holding import DAY_HOLD, Hold, holding
from mp2.errors import InputError, Mp2Error, StoreError
from mp2.evidence.settings import N_REPLICATES, LuckSettings
from mp2.groups.rules import Rules
from mp2.groups.settings import FAMILY_OVERLAP, SearchSettings
from mp2.nightly.files import published
from mp2.nightly.records import Difference, Night, NightSettings, PickedNight
from mp2.picks.records import DayPicks, Outcome, PickStatus
from mp2.pipeline import PipelineRun, RunControl, resume_request, run_request
from mp2.storage.configuration import configuration_of
from mp2.storage.inputs import PathText, path_of, read_bars
from mp2.storage.night_lock import night_lock
from mp2.storage.picked import Asked
from mp2.storage.recorder import Storing
from mp2.storage.request import (
    LuckRequest,
    PickSettings,
    PricesFile,
    Request,
    SignalSettings,
)
from mp2.storage.runs import Store

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.data.tables import Stop
    from mp2.discovery.records import ScanResult
    from mp2.groups.search import SearchObserver

MAX_MISSED = 10
"""The newest missed days, which a night makes up for; those before them are left out."""

# A run that a user or a fault stopped goes on; one that its budget ended is done.
_UNDONE = ("running", "interrupted", "failed", "stopped")
_SCANNED = ("complete", "partial")

Scan = Callable[[str], "ScanResult"]
"""Scans for a day, an ISO date, and stores the scan."""


def daily(
    prices: PathText,
    *,
    store: PathText = "mp2.db",
    out: PathText = "daily",
    download: bool = False,
    with_scan: bool = True,
    config: Fields | None = None,
    on_done: str | None = None,
    on_done_command: str | None = None,
    compact: bool = True,
    budget_s: Duration = 60.0,
    workers: int = 4,
    rules: Rules | None = None,
    n_days: int = 5,
    grids: PathText | None = None,
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
    sectors: PathText | None = None,
    hold: Hold = DAY_HOLD,
    cost_bps: float = 0.0,
    stop: Stop = None,
    observe: SearchObserver | None = None,
) -> Night:
    """Do the job of a night on the file `prices`: pick for the day after its last one.

    The picks of a day are in `out`/DAY, as CSV and JSON, and in `store`. A second call on the same
    bars finds what the first one did; an interrupted one goes on; up to `MAX_MISSED` missed days
    are made up for. Earlier picks are scored once they are sold by `hold`, after `cost_bps` per
    side.

    `download` brings the file up to date from Yahoo first. `config` is that of `mp2.scan`. The
    night goes as JSON to the address `on_done` in a POST, and to `on_done_command` on its standard
    input, once a day. `compact` makes complete runs small. The other settings are those of
    `mp2.run`; `prices`, `grids` and `sectors` are files, because later nights read them again.

    Raises what `mp2.run` raises, and `Mp2Error` while another night works in `out`. What fails
    after the picks were made is in `errors` of the result.
    """
    from mp2.picks.costs import check_cost
    from mp2.scanning import scan

    check_cost(cost_bps)
    request = Request(
        source=PricesFile(path=Path(prices)),
        search=SearchSettings(
            budget_s=seconds("budget_s", budget_s),
            workers=workers,
            rules=Rules() if rules is None else rules,
            special=special,
            max_attempts=max_attempts,
            count=count,
            without=without,
            family_overlap=family_overlap,
        ),
        signals=SignalSettings(n_days=n_days, grids=path_of(grids)),
        picks=PickSettings(min_tickers=min_tickers, top_groups=top_groups),
        luck=LuckRequest(
            settings=LuckSettings(replicates=replicates, null=null, seed=seed),
            sectors=path_of(sectors),
        ),
        hold=holding(hold).name,
        cost_bps=cost_bps,
    )
    night = NightSettings(
        out=Path(out),
        download=download,
        on_done=on_done,
        on_done_command=on_done_command,
        compact=compact,
    )
    control = RunControl(storing=Storing(db=Path(store)), stop=stop, observe=observe)
    scan_for = partial(scan, store=store, config=config, stop=stop)
    return run_night(
        request, night, control, (lambda day: scan_for(today=day)) if with_scan else None
    )


def run_night(
    request: Request,
    night: NightSettings,
    control: RunControl,
    scan: Scan | None = None,
) -> Night:
    """Do the job of a night as `request` says, up to the last date of its prices."""
    if control.storing.db is None:
        raise InputError("store: name the database of the nights")
    night.check()
    out = expanded(night.out)
    try:
        make_folder(out)
    except OSError as error:
        raise InputError(f"out: {out}: {error.strerror}; name another folder") from error
    if not out.is_dir():
        raise InputError(f"out: {out}: is no folder; name another one")
    with night_lock(out):
        return _Job(request, control, control.storing.db).done(night, scan, out)


@dataclass(slots=True)
class _Job:
    """A night at work, and what it has to tell besides its picks."""

    request: Request
    control: RunControl
    db: Path
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    scored: list[Outcome] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)

    def done(
        self,
        night: NightSettings,
        scan: Scan | None,
        out: Path,
    ) -> Night:
        """Do the whole job."""
        if night.download:
            self.warnings += _download(self.request, self.control.stop)
        prices = read_bars(self.request.source, self.control.stop)
        self._score(prices)
        days = self._pick(prices)
        if any(day.is_late for day in days):
            # Their outcomes are known already.
            self._score(prices)
        scanned = self._scan(scan, days[-1].picks)
        if night.compact:
            self._compact()
        result = Night(
            days=tuple(days),
            scored=tuple(self.scored),
            overdue=tuple(dict.fromkeys(self.overdue)),
            scan=scanned,
            findings=prices.warnings,
            warnings=self._own_warnings(),
            errors=tuple(self.errors),
        )
        # What a stop has cut short goes on in the next call, and is done then.
        return result if self._is_stopped() else published(result, night, out)

    def _is_stopped(self) -> bool:
        return self.control.stop is not None and self.control.stop.is_set()

    def _own_warnings(self) -> Names:
        """The warnings without those of the prices, which are the findings."""
        # As the user names the file, and as a run that is resumed does.
        sources = (self.request.source, self._stored_request().source)
        prices = tuple(f"{expanded(getattr(one, 'path', ''))}: " for one in sources)
        different = dict.fromkeys(self.warnings)
        return tuple(line for line in different if not line.startswith(prices))

    def _stored_request(self) -> Request:
        """The request as the store has it, its paths absolute."""
        return Request.model_validate(self.request.to_dict())

    # --- earlier picks ----------------------------------------------------------------------------

    def _score(self, prices: PriceTable) -> None:
        """Score and store all picks from these prices whose bars are known by now."""
        from mp2.picks.outcome import score

        source = self._stored_request().source
        with Store(self.db) as store:
            for request, days in store.picked_days(lambda other: other.source == source):
                for day in days:
                    if day.outcome is not None:
                        continue
                    try:
                        outcome = score(day.picks, prices, cost_bps=request.cost_bps)
                    except InputError as error:
                        self.overdue += [f"run {day.run_id}: {text}" for text in error.problems]
                        continue
                    # A day that the file does not have yet is not overdue.
                    if outcome.status is PickStatus.SCORED:
                        store.save_outcome(day.run_id, outcome)
                        self.scored.append(outcome)

    # --- the picks --------------------------------------------------------------------------------

    def _pick(self, prices: PriceTable) -> list[PickedNight]:
        """Search every day that is to be done; without any, return the last one that was."""
        runs = self._runs()
        done = [end for end, run in runs.items() if run.status not in _UNDONE]
        todo = _days_to_do(prices.dates, done, list(runs))
        if not todo:
            return [self._stored(runs[max(done)], prices)]
        days: list[PickedNight] = []
        for end in todo:
            days.append(self._searched(end, runs.get(end), prices))
            if self.errors or self._is_stopped():
                break
        return days

    def _runs(self) -> dict[str, Asked]:
        """The run of each last day, of all nights with this configuration."""
        key = configuration_of(self.request).key

        def is_night(other: Request) -> bool:
            return other.signals.end is not None and configuration_of(other).key == key

        with Store(self.db) as store:
            asked = store.asked(is_night)
            self.warnings += store.problems
        return {str(run.request.signals.end): run for run in asked}

    def _searched(
        self,
        end: str,
        begun: Asked | None,
        prices: PriceTable,
    ) -> PickedNight:
        """Search up to `end`, or continue the run that was begun for it."""
        found = None
        if begun is not None:
            search = self.request.search
            try:
                found = resume_request(
                    begun.run_id,
                    self.control,
                    budget_s=search.budget_s,
                    workers=search.workers,
                )
            except InputError as error:
                again = f"run {begun.run_id} is not resumed, {end} is searched again"
                self.warnings += [f"{again}: {problem}" for problem in error.problems]
        if not isinstance(found, PipelineRun):
            signals = self.request.signals.model_copy(update={"end": end})
            found = run_request(self.request.model_copy(update={"signals": signals}), self.control)
        result = found.result
        self.warnings += (*result.warnings, *found.next_day.warnings)
        if result.store_error:
            self.errors.append(result.store_error)
        p = result.significance.p if result.significance else None
        return self._night(found.next_day, prices, result.status, result.coverage, p, is_new=True)

    def _stored(self, run: Asked, prices: PriceTable) -> PickedNight:
        """Return what an earlier call picked."""
        with Store(self.db, read_only=True) as store:
            picks = store.load_picks(run.run_id)
            summaries = {one.run_id: one for one in store.runs()}
        if not picks:
            raise StoreError(f"{self.db}: run {run.run_id} has no picks; delete it, then try again")
        summary = summaries[run.run_id]
        coverage = summary.coverage or 0.0
        return self._night(picks[0], prices, summary.status, coverage, summary.p, is_new=False)

    def _night(
        self,
        picks: DayPicks,
        prices: PriceTable,
        status: str,
        coverage: float,
        p: float | None,
        *,
        is_new: bool,
    ) -> PickedNight:
        return PickedNight(
            picks=picks,
            difference=self._difference(picks),
            status=str(status),
            coverage=coverage,
            p=p,
            is_late=is_new and picks.day <= prices.dates[-1],
            is_new=is_new,
        )

    def _difference(self, picks: DayPicks) -> Difference:
        """Compare with the picks of the day before, of the same configuration."""
        before = None
        # A run that could not be stored has no id.
        if picks.run_id is not None:
            with Store(self.db, read_only=True) as store:
                before = store.picks_before(picks.run_id, picks.day)
        tickers = set(picks.tickers())
        former = set(before.tickers()) if before else set()
        return Difference(
            since=before.day if before else None,
            new=tuple(sorted(tickers - former)),
            gone=tuple(sorted(former - tickers)),
            same=tuple(sorted(tickers & former)),
        )

    def _compact(self) -> None:
        """Make the complete runs of all nights small; those that may be resumed stay."""
        runs = self._runs()
        with Store(self.db) as store:
            for run in runs.values():
                if run.status == "complete":
                    store.compact(run.run_id)

    # --- the scan ---------------------------------------------------------------------------------

    def _scan(self, scan: Scan | None, picks: DayPicks) -> Document | None:
        """Scan for the day picked for, once; what goes wrong with it is a warning."""
        from mp2.discovery.candidates import named_among

        if scan is None or self._is_stopped():
            return None
        try:
            with Store(self.db, read_only=True) as store:
                done = [
                    one.scan_id
                    for one in store.scans()
                    if one.day == picks.day and one.status in _SCANNED
                ]
                result = store.load_scan(done[0]) if done else None
            if result is None:
                result = scan(picks.day)
        except Mp2Error as error:
            self.warnings += [f"scan: {line}" for line in str(error).splitlines()]
            return None
        for outcome in result.outcomes:
            if outcome.failed and outcome.error is not None:
                self.warnings.append(f"scan: {outcome.scanner}: {outcome.error.message}")
        voted = [vote.ticker for vote in picks.votes]
        named = named_among([*picks.tickers(), *voted], result.candidates)
        reasons = {ticker: candidate.to_dict() for ticker, candidate in named.items()}
        for reason in reasons.values():
            # It can be large; `mp2 scans show` has it.
            del reason["ticker"], reason["data"]
        return {
            "scan_id": result.scan_id,
            "status": str(result.status),
            "n_candidates": len(result.candidates),
            "named": reasons,
        }


def _days_to_do(dates: Names, done: Sequence[str], begun: Sequence[str]) -> list[str]:
    """Return the last days to search: those after the last one that was done, at the end of it.

    Without any done those from the first one begun on; without that the last date alone.
    """
    if done:
        todo = [day for day in dates if day > max(done)]
        return todo[-MAX_MISSED:]
    first = min(begun, default=dates[-1])
    todo = [day for day in dates if day >= first]
    return todo[-MAX_MISSED:] or [dates[-1]]


def _download(request: Request, stop: Stop) -> Names:
    """Bring the file of prices up to date; return what to know of it."""
    from polars.exceptions import PolarsError

    from mp2.data.yahoo_update import read_download, update

    if not isinstance(request.source, PricesFile):
        raise InputError("download: the prices are no file")
    path = expanded(request.source.path)
    frame, warnings = update(read_download(path), end=str(date.today()), stop=stop)
    try:
        with replacing(path) as part:
            if path.suffix.lower() == ".parquet":
                frame.write_parquet(part)
            else:
                frame.write_csv(part)
    except (OSError, PolarsError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {reason}; the bars are as they were") from error
    return warnings
