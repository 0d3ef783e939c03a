"""Which days a night has to search, and the picks of each of them.

The request of a night's run names the last day it searches. So the store tells which days were
done, which were begun and go on, and which were missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2.errors import InputError, StoreError
from mp2.nightly.records import PickedNight, Report
from mp2.picks.records import DayPicks, Difference, difference_of
from mp2.pipeline import PipelineRun, RunControl, resume_request, run_request
from mp2.storage.configuration import configuration_of
from mp2.storage.picked import Asked
from mp2.storage.request import Request
from mp2.storage.runs import Store

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable

MAX_MISSED = 10
"""The newest missed days, which a night makes up for; those before them are left out."""

# A run that a user or a fault stopped goes on; one that its budget ended is done.
_UNDONE = ("running", "interrupted", "failed", "stopped")


def runs_of_nights(
    db: Path,
    request: Request,
    report: Report,
) -> dict[str, Asked]:
    """Return the newest run of each last day searched, of all nights with this configuration."""
    key = configuration_of(request).key

    def is_night(other: Request) -> bool:
        # A run by hand up to the last date has no end.
        return other.signals.end is not None and configuration_of(other).key == key

    with Store(db) as store:
        runs = store.asked(is_night)
        report.warnings += store.problems
    # In the order they began, so that the newest of a day stays.
    return {str(run.request.signals.end): run for run in runs}


def days_to_do(
    dates: Names,
    done: Sequence[str],
    begun: Sequence[str],
) -> Sequence[str]:
    """Return the last days to search, `done` and `begun` being those of earlier runs.

    Days before the last one that was done are not made up for: the record of a configuration
    begins where it was first used.
    """
    if done:
        last_done = max(done)
        todo = [day for day in dates if day > last_done]
        return todo[-MAX_MISSED:]
    if begun:
        first_begun = min(begun)
        todo = [day for day in dates if day >= first_begun]
        # A file may end before a day that was begun.
        return todo[-MAX_MISSED:] or dates[-1:]
    return dates[-1:]


@dataclass(frozen=True, slots=True)
class Picking:
    """Searches the days of a night on `prices`, which are those of the request."""

    request: Request
    control: RunControl
    db: Path
    prices: PriceTable
    report: Report

    def pick(self) -> list[PickedNight]:
        """Search every day that is to be done; without any, return the last one that was."""
        runs = runs_of_nights(self.db, self.request, self.report)
        done = [end for end, run in runs.items() if run.status not in _UNDONE]
        todo = days_to_do(self.prices.dates, done, list(runs))
        if not todo:
            return [self.load(runs[max(done)])]
        days: list[PickedNight] = []
        for end in todo:
            days.append(self.search(end, runs.get(end)))
            # What a full disk or a stop has cut short goes on in the next night.
            if self.report.errors or self.control.is_stopped():
                break
        return days

    def search(self, end: str, begun: Asked | None) -> PickedNight:
        """Search up to `end`, or continue the run that was begun for it."""
        found = None
        if begun is not None:
            found = self.resume(begun, end)
        if found is None:
            # The end is stored with the run: by it later nights know which day was done.
            signals = self.request.signals.model_copy(update={"end": end})
            request = self.request.model_copy(update={"signals": signals})
            found = run_request(request, self.control)
        result = found.result
        luck = result.significance
        picks = found.next_day
        self.report.warnings += result.warnings
        self.report.warnings += picks.warnings
        if result.store_error:
            self.report.errors.append(result.store_error)
        return PickedNight(
            picks=picks,
            difference=self.difference(picks),
            status=str(result.status),
            coverage=result.coverage,
            p=None if luck is None else luck.p,
            is_late=picks.day <= self.prices.dates[-1],
            is_new=True,
        )

    def resume(self, begun: Asked, end: str) -> PipelineRun | None:
        """Continue a run; None with a warning where that cannot be, such as for other bars."""
        search = self.request.search
        try:
            found = resume_request(
                begun.run_id,
                self.control,
                budget_s=search.budget_s,
                workers=search.workers,
                table_memory=search.table_memory,
            )
        except InputError as error:
            again = f"run {begun.run_id} is not resumed, {end} is searched again"
            for problem in error.problems:
                self.report.warnings.append(f"{again}: {problem}")
            return None
        # Always so: a run of prices has picks. The check is for the type.
        return found if isinstance(found, PipelineRun) else None

    def load(self, run: Asked) -> PickedNight:
        """Return what an earlier night picked."""
        with Store(self.db, read_only=True) as store:
            stored = store.load_picks(run.run_id)
            summaries = {summary.run_id: summary for summary in store.runs()}
        if not stored:
            raise StoreError(f"{self.db}: run {run.run_id} has no picks; delete it, then try again")
        summary = summaries[run.run_id]
        # Picks for later days, made by hand, come after those of the night.
        picks = stored[0]
        return PickedNight(
            picks=picks,
            difference=self.difference(picks),
            status=summary.status,
            coverage=summary.coverage or 0.0,
            p=summary.p,
            is_late=False,
            is_new=False,
        )

    def difference(self, picks: DayPicks) -> Difference:
        """Compare picks with those of the day before, of the same configuration."""
        before = None
        # A run that could not be stored has no id.
        if picks.run_id is not None:
            with Store(self.db, read_only=True) as store:
                before = store.picks_before(picks.run_id, picks.day)
        return difference_of(picks, before)
