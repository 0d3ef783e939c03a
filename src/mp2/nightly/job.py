"""`daily`: everything that is done at night, so that it may be repeated, killed and missed.

update the bars -> check them -> score what is pending -> run -> scan -> files -> notify
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mp2._document import Fields
from mp2._durations import Duration, seconds
from mp2._files import expanded, make_folder
from mp2.data.holding import DAY_HOLD, Hold, holding
from mp2.errors import InputError
from mp2.evidence.settings import N_REPLICATES, LuckSettings
from mp2.groups.rules import Rules
from mp2.groups.settings import FAMILY_OVERLAP, SearchSettings
from mp2.nightly.bars import download as update_bars
from mp2.nightly.bars import score_pending
from mp2.nightly.beside import Scan, scan_once
from mp2.nightly.files import published
from mp2.nightly.picking import Picking, runs_of_nights
from mp2.nightly.records import Night, NightSettings, Report
from mp2.pipeline import RunControl
from mp2.storage.inputs import PathText, path_of, read_bars
from mp2.storage.night_lock import night_lock
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
    from mp2.data.tables import Stop
    from mp2.groups.search import SearchObserver


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
    keep: str = "groups",
    without: Sequence[str] = (),
    family_overlap: float = FAMILY_OVERLAP,
    table_memory: int | None = None,
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
    bars finds what the first one did; an interrupted one goes on; up to ten missed days
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
            keep=keep,
            without=without,
            family_overlap=family_overlap,
            table_memory=table_memory,
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
    if not with_scan:
        return run_night(request, night, control)
    scan_for = partial(scan, store=store, config=config, stop=stop)
    return run_night(request, night, control, lambda day: scan_for(today=day))


def run_night(
    request: Request,
    night: NightSettings,
    control: RunControl,
    scan: Scan | None = None,
) -> Night:
    """Do the job of a night as `request` says, up to the last date of its prices."""
    if control.storing.db is None:
        raise InputError("store: name the database of the nights")
    if not isinstance(request.source, PricesFile):
        raise InputError("prices: name a file, which later nights read again")
    night.check()
    out = expanded(night.out)
    try:
        make_folder(out)
    except OSError as error:
        raise InputError(f"out: {out}: {error.strerror}; name another folder") from error
    if not out.is_dir():
        raise InputError(f"out: {out}: is no folder; name another one")
    # Two nights at once would search the same days, and notify twice.
    with night_lock(out):
        result = _work(request, request.source, night, control, control.storing.db, scan)
        # What a stop has cut short goes on in the next call, and is published then.
        if control.is_stopped():
            return result
        return published(result, night, out)


def _work(
    request: Request,
    source: PricesFile,
    night: NightSettings,
    control: RunControl,
    db: Path,
    scan: Scan | None,
) -> Night:
    """Do all that the store keeps, each step so that a repeated night finds what it did."""
    report = Report()
    if night.download:
        control.observe_step(f"bringing {request.name} up to date")
        report.warnings += update_bars(source, control.stop)
    control.observe_step(f"reading {request.name}")
    prices = read_bars(source, control.stop)
    # Validation makes the path absolute, as the store has it.
    stored_source = PricesFile.model_validate(source.model_dump())
    score_pending(db, stored_source, prices, report)
    days = Picking(request, control, db, prices, report).pick()
    # Missed days were picked just now, and their outcomes are known already.
    if any(day.is_late for day in days):
        score_pending(db, stored_source, prices, report)
    scanned = None
    if scan is not None and not control.is_stopped():
        control.observe_step("scanning")
        scanned = scan_once(db, days[-1].picks, scan, report)
    if night.compact:
        runs = runs_of_nights(db, request, report)
        with Store(db) as store:
            for run in runs.values():
                # Without effect on a run that may be resumed.
                store.compact(run.run_id)
    # What is known of the prices is the same every night: it is counted, and not a warning.
    findings = (f"{expanded(source.path)}: ", f"{stored_source.path}: ")
    # The runs of several days warn of the same things.
    warnings = dict.fromkeys(report.warnings)
    return Night(
        days=tuple(days),
        scored=tuple(report.scored),
        overdue=tuple(dict.fromkeys(report.overdue)),
        scan=scanned,
        findings=prices.warnings,
        warnings=tuple(line for line in warnings if not line.startswith(findings)),
        errors=tuple(report.errors),
    )
