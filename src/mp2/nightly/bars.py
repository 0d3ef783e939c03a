"""The bars of a night: brought up to date, and what they say of earlier picks."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Names
from mp2._files import expanded, replacing
from mp2.errors import InputError
from mp2.nightly.records import Report
from mp2.picks.records import PickStatus
from mp2.storage.request import PricesFile
from mp2.storage.runs import Store

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.data.tables import Stop


def download(source: PricesFile, stop: Stop) -> Names:
    """Add the bars that are new since a file of `mp2 download`; return what to know of them.

    Raises what `mp2.data.yahoo_update.update` raises; the file is as it was then.
    """
    from polars.exceptions import PolarsError

    from mp2.data.frames import write_frame
    from mp2.data.yahoo_update import read_download, update

    path = expanded(source.path)
    bars = read_download(path)
    frame, warnings = update(bars, end=str(date.today()), stop=stop)
    try:
        # Whole or not at all: the file is all that the next night has to go on from.
        with replacing(path) as part:
            write_frame(frame, part, path.suffix)
    except (OSError, PolarsError) as error:
        # Only errors of the system have one; that of Polars is a sentence.
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {reason}; the bars are as they were") from error
    return warnings


def score_pending(
    db: Path,
    source: PricesFile,
    prices: PriceTable,
    report: Report,
) -> None:
    """Score and store all picks made from these prices whose bars are known by now.

    `source` has an absolute path, as that of a stored request.
    """
    from mp2.picks.outcome import score

    with Store(db) as store:
        # Picks made from another file are of other tickers, or of another market.
        for request, days in store.picked_days(lambda other: other.source == source):
            for day in days:
                if day.outcome is not None:
                    continue
                try:
                    outcome = score(day.picks, prices, cost_bps=request.cost_bps)
                except InputError as error:
                    # Such as a day that the file spans without a bar. The other days are scored.
                    for problem in error.problems:
                        report.overdue.append(f"run {day.run_id}: {problem}")
                    continue
                # A day that the file does not have yet is not overdue.
                if outcome.status is PickStatus.SCORED:
                    store.save_outcome(day.run_id, outcome)
                    report.scored.append(outcome)
