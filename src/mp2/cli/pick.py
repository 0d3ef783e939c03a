"""`mp2 pick`, `mp2 outcome` and `mp2 walkforward`: what kept groups pick, and how that did."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli import settings
from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    DB_OPTION,
    END_OPTION,
    GRIDS_OPTION,
    JSON_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    PROGRESS_OPTION,
    PickOptions,
    PriceOptions,
    file_option,
    options_record,
    reading,
    with_options,
)
from mp2.cli.output_files import writing
from mp2.cli.scan import ScanOptions, planned, run_scan
from mp2.cli.search import COUNT_OPTIONS, RulesCommand, rule_options, rules_from
from mp2.cli.session import Interrupts, note_kept
from mp2.cli.views import document, present
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


@click.command()
@click.argument("run")
@file_option("--prices", help="daily bars up to the day before the one picked for")
@file_option("--signals", help="a table with the signals of the day instead")
@click.option(
    "--day", help="day to pick for, YYYY-MM-DD [default: the trading day after the run's last]"
)
@with_options(PRICES_OPTIONS, PICK_OPTIONS)
@GRIDS_OPTION
@click.option(
    "--with-scan",
    is_flag=True,
    help="run the scanners too: which of them also name a picked ticker today, and why",
)
@click.option(
    "--scan-id", help="take a stored scan instead: its id, the beginning of it, or 'last'"
)
@file_option("--csv", "csv_output", help="write the table of tickers there")
@click.option(
    "--show",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="tickers of the vote in the table",
)
@NO_STORE_OPTION
@DB_OPTION
@JSON_OPTION
@click.pass_context
def pick(
    context: click.Context,
    /,
    run: str,
    db: Path,
    with_scan: bool,
    scan_id: str | None,
    csv_output: Path | None,
    show: int,
    no_store: bool,
    **options: Any,
) -> int:
    """Apply the kept groups of RUN to the next day's signals: its tickers, and the groups' votes.

    With --with-scan or --scan-id also which scanners name a picked ticker, and why; a scan that
    fails is a warning.
    """
    from mp2.cli.pick_view import picks_view
    from mp2.picks.pick import pick_day

    source = options_record(_DaySource, options)
    if (source.prices is None) == (source.signals is None):
        raise InputError("pick: name either --prices or --signals")
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        with reading(db) as store:
            result = store.load(store.find(run), starters=False)
        files = options_record(PriceOptions, options)
        sheet = _sheet_of_day(result, source, files, interrupts.stop)
        how = options_record(PickOptions, options)
        picks = pick_day(
            result,
            sheet,
            sheet.days[-1],
            min_tickers=how.min_tickers,
            top_groups=how.top_groups,
        )
        failure = None if no_store else _save(db, picks)
        if with_scan and scan_id is None:
            scan_options = ScanOptions(db=db, no_store=no_store)
            scan = _new_scan(context, picks, scan_options, interrupts.stop, screen, show)
        else:
            scan = _stored_scan(picks, db, scan_id, show)
        if csv_output is not None:
            _write_csv(picks, csv_output)
        warnings = [*picks.warnings, *scan.warnings]
        errors = [failure] if failure else []
        content = {**picks.to_dict(), "warnings": warnings, "errors": errors, **scan.content}
        view = picks_view(picks, n_show=show, aliases=result.aliases)
        present(content, view, *scan.view)
        if failure:
            raise StoreError(failure)
        code = ExitCode.OK if picks.tickers() or picks.votes else ExitCode.NOTHING_FOUND
        return interrupts.exit_code or code


def _sheet_of_day(
    result: SearchResult, source: _DaySource, files: PriceOptions, stop: threading.Event
) -> SignalSheet:
    """Return a sheet whose last day is the one to pick for.

    It is read from a table, or computed for the members of the kept groups alone.
    """
    from mp2.picks.pick import members_needed, sheet_from_table
    from mp2.signals.grids import load_grids
    from mp2.signals.sheet import compute_signals

    if source.signals is not None:
        return sheet_from_table(
            source.signals,
            result,
            day=source.day,
            columns=files.columns or None,
            table=files.sql_table,
            query=files.query,
            stop=stop,
        )
    last = result.days[-1]
    wanted = _parsed_day(source.day)
    if wanted is not None:
        # The first day of the calendar has none before it.
        last = str(wanted - timedelta(days=wanted > date.min))
    table = files.read(Path(source.prices or ""), stop, end=last)
    sheet = compute_signals(
        table,
        n_days=0,
        include_next=True,
        grids=load_grids(source.grids),
        only=members_needed(result) or None,
        stop=stop,
    )
    _check_day(sheet, table, wanted, result.days[-1])
    return sheet


def _parsed_day(text: str | None) -> date | None:
    from mp2.data.columns import parse_day

    if text is None:
        return None
    day = parse_day(text)
    if day is None:
        raise InputError(f"day: {text!r} is not a date; write YYYY-MM-DD")
    return day


def _check_day(
    sheet: SignalSheet, table: PriceTable, wanted: date | None, last_searched: str
) -> None:
    """Check that the prices reach the day before, and that the sheet is for the wanted day."""
    last = table.dates[-1]
    if last < last_searched:
        raise InputError(
            f"the prices end at {last}, before the run's last day {last_searched}; "
            "give a file that reaches it"
        )
    day = sheet.days[-1]
    if wanted is not None and wanted.isoformat() != day:
        how = "is assumed to follow" if sheet.assumed_day else "follows"
        raise InputError(f"day {wanted}: the prices have no such date; after {last} {day} {how}")


def _save(db: Path, picks: DayPicks) -> str | None:
    """Store the picks with their run; return the message of a store that fails."""
    from mp2.storage.runs import Store

    note_kept("the picks are stored with the run, or those before them stay")
    try:
        with Store(db, must_exist=True) as store:
            store.save_picks(str(picks.run_id), picks)
    except StoreError as error:
        return str(error)
    return None


def _write_csv(picks: DayPicks, path: Path) -> None:
    from mp2.groups.export import for_spreadsheets
    from mp2.picks.pick import picks_table

    with writing(path) as part:
        for_spreadsheets(picks_table(picks)).write_csv(part)


# --- the scan beside picks -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ScanBeside:
    """What a scan adds to picks: keys of the document, parts of the view, warnings."""

    content: dict[str, Any]
    view: tuple[Any, ...] = ()
    warnings: tuple[str, ...] = ()


def _new_scan(
    context: click.Context,
    picks: DayPicks,
    how: ScanOptions,
    stop: threading.Event,
    screen: Any,
    n_votes: int,
) -> _ScanBeside:
    try:
        result = run_scan(planned(context), how, stop, screen)
    except Mp2Error as error:
        return _failed_scan(error)
    return _beside(result, date.today().isoformat(), picks, n_votes)


def _stored_scan(picks: DayPicks, db: Path, name: str | None, n_votes: int) -> _ScanBeside:
    if name is None:
        return _ScanBeside({})
    try:
        with reading(db) as store:
            scan_id = store.find_scan(name)
            result = store.load_scan(scan_id)
            day = store.scan_summary(scan_id).day
    except Mp2Error as error:
        return _failed_scan(error)
    return _beside(result, day, picks, n_votes)


def _failed_scan(error: Mp2Error) -> _ScanBeside:
    warnings = tuple(f"scan: {line}" for line in str(error).splitlines())
    return _ScanBeside({"scan": None}, warnings=warnings)


def _beside(result: ScanResult, day: str, picks: DayPicks, n_votes: int) -> _ScanBeside:
    from mp2.cli.scan_view import named_view
    from mp2.discovery.candidates import named_among

    voted = [vote.ticker for vote in picks.votes]
    named = named_among([*picks.tickers(), *voted], result.candidates)
    reasons = {}
    for ticker, candidate in named.items():
        reasons[ticker] = candidate.to_dict()
        del reasons[ticker]["ticker"], reasons[ticker]["data"]
    content = {
        "scan_id": result.scan_id,
        "status": str(result.status),
        "day": day,
        "n_candidates": len(result.candidates),
        "named": reasons,
    }
    view = named_view(picks, named, result, n_votes=n_votes)
    return _ScanBeside({"scan": content}, (view,), tuple(_scan_warnings(result, day)))


def _scan_warnings(result: ScanResult, day: str) -> Iterator[str]:
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


@click.command()
@click.argument("run")
@file_option("--prices", required=True, help="daily bars that hold the day picked for")
@with_options(PRICES_OPTIONS)
@NO_STORE_OPTION
@DB_OPTION
@JSON_OPTION
@click.pass_context
def outcome(
    context: click.Context,
    /,
    run: str,
    prices: Path,
    db: Path,
    no_store: bool,
    **options: Any,
) -> int:
    """Score the picks stored with RUN against all tickers, once the bars of their day exist."""
    from mp2.cli.pick_view import outcome_view
    from mp2.storage.runs import Store

    with Interrupts().caught() as interrupts, Store(db, must_exist=True) as store:
        start_logging(context)
        run_id = store.find(run)
        stored = store.load_picks(run_id)
        if not stored:
            raise InputError(
                f"run {run_id} has no picks yet; "
                f"make some with: mp2 pick {run_id} --prices {prices}"
            )
        table = options_record(PriceOptions, options).read(prices, interrupts.stop)
        outcomes, notes = _scored(stored, table)
        note_kept("the outcomes stored by then stay")
        if not no_store:
            for scored in outcomes:
                # The store refuses pending outcomes, which are printed only.
                with suppress(InputError):
                    store.save_outcome(run_id, scored)
        warnings = (*table.warnings, *notes)
        present(
            document(
                warnings=warnings,
                run_id=run_id,
                outcomes=[scored.to_dict() for scored in outcomes],
            ),
            *map(outcome_view, outcomes),
        )
        return interrupts.exit_code or ExitCode.OK


def _scored(stored: Sequence[DayPicks], table: PriceTable) -> tuple[list[Outcome], list[str]]:
    """Score each day that the prices cover; return the problems of the others.

    Raises `InputError` when no day can be scored.
    """
    from mp2.picks.outcome import score

    outcomes: list[Outcome] = []
    problems: list[str] = []
    for picks in stored:
        try:
            outcomes.append(score(picks, table))
        except InputError as error:
            problems += error.problems
    if not outcomes:
        raise InputError(problems)
    return outcomes, problems


# --- mp2 walkforward -------------------------------------------------------------------------


@click.command(cls=RulesCommand)
@click.argument("prices", type=click.Path(path_type=Path))
@click.option(
    "--weeks", type=click.IntRange(1), default=26, show_default=True, help="weeks that are judged"
)
@click.option(
    "--budget-per-week",
    type=settings.DURATION,
    default="10s",
    show_default=True,
    help="time for each search",
)
@click.option("--workers", type=int, default=4, show_default=True, help="kernels that run at once")
@END_OPTION
@GRIDS_OPTION
@with_options(PRICES_OPTIONS, PICK_OPTIONS, COUNT_OPTIONS)
@rule_options
@PROGRESS_OPTION
@JSON_OPTION
@click.pass_context
def walkforward(
    context: click.Context,
    /,
    prices: Path,
    weeks: int,
    budget_per_week: float,
    workers: int,
    end: str | None,
    grids: Path | None,
    count: str,
    without: tuple[str, ...],
    no_progress: bool,
    **options: Any,
) -> int:
    """Search past weeks of PRICES, pick for the week after each, and compare with all tickers."""
    from mp2.cli.pick_view import walk_view
    from mp2.picks.walkforward import walk_forward
    from mp2.signals.grids import load_grids

    rules = rules_from(options)
    how = options_record(PickOptions, options)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        table = options_record(PriceOptions, options).read(prices, interrupts.stop, end=end)
        with observed(screen, "weeks", live=not no_progress) as observe:
            walk = walk_forward(
                table,
                weeks=weeks,
                budget_s_per_week=budget_per_week,
                workers=workers,
                rules=rules,
                end=end,
                min_tickers=how.min_tickers,
                top_groups=how.top_groups,
                grids=load_grids(grids),
                count=count,
                without=without,
                stop=interrupts.stop,
                observe=observe,
            )
        present(walk.to_dict(), walk_view(walk))
        return interrupts.exit_code or ExitCode.OK
