"""`mp2 pick` and `mp2 outcome`: what kept groups pick, and how that did."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Document, Fields
from mp2.cli.completion import RUN_ARGUMENT, complete_scans
from mp2.cli.logs import start_logging
from mp2.cli.options import (
    DB_OPTION,
    GRIDS_OPTION,
    GROUPS_OPTION,
    JSON_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    RUN_COST_OPTION,
    RUN_HOLD_OPTION,
    SHOW_OPTION,
    Command,
    file_option,
    options_record,
    output_option,
    reading,
    with_options,
)
from mp2.cli.output_files import check_folder, write_picks
from mp2.cli.scan import ScanOptions, planned, run_scan
from mp2.cli.search_options import ViewOptions
from mp2.cli.session import Interrupts, note_kept
from mp2.cli.views import count_findings, document, present
from mp2.data.holding import Hold, check_same_hold
from mp2.errors import ExitCode, InputError, Mp2Error, StoreError

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.discovery.records import ScanResult
    from mp2.groups.result import SearchResult
    from mp2.picks.records import DayPicks, Outcome
    from mp2.signals.sheet import SignalSheet

NO_STORE_OPTION = click.option("--no-store", is_flag=True, help="do not store it with the run")


# --- mp2 pick --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _DaySource:
    """Where the signals of the day to pick for come from."""

    prices: Path | None
    signals: Path | None
    day: str | None
    grids: Path | None


@dataclass(frozen=True, slots=True)
class _ScanChoice:
    """Which scan is shown beside the picks, if any."""

    db: Path
    no_store: bool
    with_scan: bool
    scan_id: str | None


@click.command(cls=Command)
@RUN_ARGUMENT
@file_option("--prices", help="daily bars up to the day before the one picked for")
@file_option("--signals", help="a table with the signals of the day instead")
@click.option(
    "--day", help="day to pick for, YYYY-MM-DD [default: the trading day after the run's last]"
)
@click.option(
    "--shift",
    type=click.IntRange(0),
    help="with --signals: sessions from a signal's day to the day it counts [default: the run's]",
)
@with_options(PRICES_OPTIONS, PICK_OPTIONS)
@GRIDS_OPTION
@click.option(
    "--with-scan",
    is_flag=True,
    help="run the scanners too: which of them also name a picked ticker today, and why",
)
@click.option(
    "--scan-id",
    shell_complete=complete_scans,
    help="take a stored scan instead: its id, the beginning of it, or 'last'",
)
@output_option("--csv", "csv_output", help="write the table of tickers there")
@SHOW_OPTION
@GROUPS_OPTION
@RUN_COST_OPTION
@RUN_HOLD_OPTION
@NO_STORE_OPTION
@DB_OPTION
@JSON_OPTION
def pick(
    run: str,
    csv_output: Path | None,
    cost_bps: float | None,
    hold: Hold | None,
    **options: Any,
) -> int:
    """Apply the kept groups of RUN to the next day's signals: its tickers, and the groups' votes.

    The record is how picks of the same settings did on the days that 'mp2 outcome' has scored.
    With --with-scan or --scan-id also which scanners name a picked ticker, and why; a scan that
    fails is a warning.
    """
    from mp2.cli.found import present_screen, shown_of
    from mp2.picks.costs import check_cost
    from mp2.picks.pick import pick_day
    from mp2.picks.scored import scored_days
    from mp2.pipeline import PipelineRun

    source = options_record(_DaySource, options)
    choice = options_record(_ScanChoice, options)
    if (source.prices is None) == (source.signals is None):
        raise InputError("pick: name either --prices or --signals")
    if csv_output is not None:
        check_folder(csv_output)
    if cost_bps is not None:
        check_cost(cost_bps)
    with Interrupts().caught() as interrupts:
        screen = start_logging()
        with reading(choice.db) as store:
            # The records of starters are most of a run, and not needed here.
            run_id = store.find(run)
            result = store.load(run_id, starters=False)
            request = store.load_request(run_id)
            outcomes = store.load_outcomes(run_id)
            picked = store.load_picks(run_id)
        check_same_hold(hold, request.hold, f"run {run_id}")
        # A table of signals goes on as the one that was searched.
        if options["shift"] is None:
            options["shift"] = request.shift
        if cost_bps is None:
            cost_bps = request.cost_bps
        sheet, prices = sheet_of_day(result, source, options, interrupts.stop)
        day = sheet.days[-1]
        picks = pick_day(
            result,
            sheet,
            day,
            min_tickers=options["min_tickers"],
            top_groups=options["top_groups"],
            cost_bps=cost_bps,
        )
        record = scored_days(outcomes, picked, before=day, cost_bps=cost_bps)
        errors = [] if choice.no_store else _save(choice.db, picks)
        # After the picks are stored: scanners take their time, and may fail.
        scan = scan_beside(picks, choice, interrupts.stop, screen)
        content = {
            **picks.to_dict(),
            "warnings": [*picks.warnings, *scan.warnings],
            "errors": errors,
            "record": {str(size): asdict(days) for size, days in record.items()},
            **scan.content,
        }
        view = options_record(ViewOptions, {**options, "json_groups": 0})
        shown = shown_of(
            PipelineRun(result, picks, prices=prices), view, request, content["warnings"]
        )
        file = source.prices or source.signals
        shown = replace(shown, source=Path(file or "").name)
        if scan.result is not None:
            shown = replace(shown, beside=replace(shown.beside, scan=scan.result))
        # The picks are printed first: a file or a store that fails must not take them away.
        present_screen(shown, view, content)
        if csv_output is not None:
            write_picks(picks, csv_output)
        if errors:
            raise StoreError(errors[0])
        if picks.tickers() or picks.votes:
            return ExitCode.OK
        return ExitCode.NOTHING_FOUND


def sheet_of_day(
    result: SearchResult,
    source: _DaySource,
    options: Fields,
    stop: threading.Event,
) -> tuple[SignalSheet, PriceTable | None]:
    """Return a sheet whose last day is the one to pick for, and the bars it is computed from.

    It is read from a table, or computed for the members of the kept groups alone.
    """
    from mp2.data.dates import setting_day
    from mp2.data.reading import Reading
    from mp2.picks.pick import members_needed, sheet_from_table
    from mp2.signals.grids import load_grids
    from mp2.signals.sheet import compute_signals
    from mp2.storage.inputs import read_bars
    from mp2.storage.request import PricesFile, SignalsFile

    if source.signals is not None:
        file = SignalsFile(path=source.signals, **options)
        sheet = sheet_from_table(
            file.path,
            result,
            day=source.day,
            shift=file.shift,
            reading=Reading(stop=stop, **file.reading()),
        )
        return sheet, None
    last_searched = result.seen_until
    end = last_searched
    wanted = None
    if source.day is not None:
        problems: list[str] = []
        wanted = setting_day("day", source.day, problems, options["date_format"])
        if wanted is None:
            raise InputError(problems)
        # Bars of the day itself must not decide its signals. The first day of the calendar has
        # none before it.
        end = str(wanted - timedelta(days=wanted > date.min))
    prices = PricesFile(path=Path(source.prices or ""), **options)
    table = read_bars(prices, stop, end=end)
    sheet = compute_signals(
        table,
        n_days=0,
        include_next=True,
        grids=load_grids(source.grids),
        # Members of kept groups are a few of thousands of variations.
        only=members_needed(result) or None,
        stop=stop,
    )
    last = table.dates[-1]
    if last < last_searched:
        raise InputError(
            f"the prices end at {last}, before the run's last day {last_searched}; "
            "give a file that reaches it"
        )
    day = sheet.days[-1]
    if wanted is not None and str(wanted) != day:
        how = "is assumed to follow" if sheet.assumed_day else "follows"
        raise InputError(f"day {wanted}: the prices have no such date; after {last} {day} {how}")
    return sheet, table


def _save(db: Path, picks: DayPicks) -> list[str]:
    """Store the picks with their run; return the errors of the store."""
    from mp2.storage.runs import Store

    note_kept("the picks are stored with the run, or those before them stay")
    try:
        with Store(db, must_exist=True) as store:
            store.save_picks(str(picks.run_id), picks)
    except StoreError as error:
        return [str(error)]
    return []


# --- the scan beside picks -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ScanBeside:
    """What a scan adds to picks: keys of the document, warnings, the scan itself."""

    content: Document
    warnings: Sequence[str] = ()
    result: ScanResult | None = None


def scan_beside(
    picks: DayPicks,
    choice: _ScanChoice,
    stop: threading.Event,
    screen: Any,
) -> _ScanBeside:
    """Run or load the scan that was chosen; what goes wrong with it is a warning."""
    from mp2.discovery.candidates import named_among

    day = date.today().isoformat()
    try:
        if choice.scan_id is not None:
            with reading(choice.db) as store:
                scan_id = store.find_scan(choice.scan_id)
                result = store.load_scan(scan_id)
                day = store.scan_summary(scan_id).day
        elif choice.with_scan:
            how = ScanOptions(db=choice.db, no_store=choice.no_store)
            result = run_scan(planned(), how, stop, screen)
        else:
            return _ScanBeside({})
    except Mp2Error as error:
        lines = str(error).splitlines()
        return _ScanBeside({"scan": None}, [f"scan: {line}" for line in lines])
    voted = [vote.ticker for vote in picks.votes]
    named = named_among([*picks.tickers(), *voted], result.candidates)
    reasons = {ticker: candidate.to_dict() for ticker, candidate in named.items()}
    # Data of scanners can be large; `mp2 scans show` has it.
    for reason in reasons.values():
        del reason["ticker"], reason["data"]
    content = {
        "scan_id": result.scan_id,
        "status": str(result.status),
        "day": day,
        "n_candidates": len(result.candidates),
        "named": reasons,
    }
    return _ScanBeside({"scan": content}, list(scan_warnings(result, day)), result)


def scan_warnings(result: ScanResult, day: str) -> Iterator[str]:
    """Return what to know of a scan: its date, its storing, its own warnings, its failures."""
    if day != date.today().isoformat():
        yield f"scan {result.scan_id} is of {day}, not of today; --with-scan makes a new one"
    if result.store_error:
        yield f"scan: not stored: {result.store_error}"
    for line in result.warnings:
        yield f"scan: {line}"
    for outcome in result.outcomes:
        if outcome.failed and outcome.error is not None:
            yield f"scan: {outcome.scanner}: {outcome.error.message}"


# --- mp2 outcome -----------------------------------------------------------------------------


@click.command(cls=Command)
@RUN_ARGUMENT
@file_option("--prices", required=True, help="daily bars that hold the day picked for")
@with_options(PRICES_OPTIONS)
@RUN_COST_OPTION
@RUN_HOLD_OPTION
@NO_STORE_OPTION
@DB_OPTION
@JSON_OPTION
def outcome(
    run: str,
    prices: Path,
    db: Path,
    no_store: bool,
    cost_bps: float | None,
    hold: Hold | None,
    **options: Any,
) -> None:
    """Score the picks stored with RUN against all tickers, once the bars of their day exist."""
    from mp2.cli.pick_view import outcome_view, record_view
    from mp2.picks.costs import check_cost
    from mp2.picks.records import PickStatus
    from mp2.picks.scored import scored_days
    from mp2.storage.inputs import read_bars
    from mp2.storage.request import PricesFile
    from mp2.storage.runs import Store

    if cost_bps is not None:
        check_cost(cost_bps)
    with Interrupts().caught() as interrupts, Store(db, must_exist=True) as store:
        start_logging()
        run_id = store.find(run)
        check_same_hold(hold, store.load_request(run_id).hold, f"run {run_id}")
        stored = store.load_picks(run_id)
        if not stored:
            raise InputError(
                f"run {run_id} has no picks yet; "
                f"make some with: mp2 pick {run_id} --prices {prices}"
            )
        if cost_bps is None:
            # What was noted with the newest picks.
            cost_bps = stored[-1].cost_bps
        table = read_bars(PricesFile(path=prices, **options), interrupts.stop)
        problems: list[str] = []
        outcomes = _outcomes(stored, table, cost_bps, problems)
        note_kept("the outcomes stored by then stay")
        former = {earlier.day: earlier for earlier in store.load_outcomes(run_id)}
        for scored in outcomes:
            # Other outcomes may still change when more bars are known.
            if no_store or scored.status is not PickStatus.SCORED:
                continue
            earlier = former.get(scored.day)
            if earlier is not None and not earlier.agrees_with(scored):
                problems.append(
                    f"the outcome of {scored.day} differs from the one stored before, "
                    "which it replaces"
                )
            store.save_outcome(run_id, scored)
        count_findings(prices, table.warnings)
        record = scored_days(outcomes, stored, cost_bps=cost_bps)
        content = document(
            warnings=[*table.warnings, *problems],
            run_id=run_id,
            outcomes=[scored.to_dict() for scored in outcomes],
            record={str(size): asdict(days) for size, days in record.items()},
        )
        present(content, *map(outcome_view, outcomes), record_view(record))


def _outcomes(
    stored: Iterable[DayPicks],
    prices: PriceTable,
    cost_bps: float,
    problems: list[str],
) -> list[Outcome]:
    """Score every day that can be; adds why others cannot, and raises that where none can."""
    from mp2.picks.outcome import score

    outcomes: list[Outcome] = []
    for picks in stored:
        try:
            outcomes.append(score(picks, prices, cost_bps=cost_bps))
        except InputError as error:
            problems += error.problems
    if not outcomes:
        raise InputError(problems)
    return outcomes
