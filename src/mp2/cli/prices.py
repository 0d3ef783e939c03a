"""The commands around prices: `mp2 signals`, `pick`, `outcome`, `walkforward`, `check lookahead` and `download`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli import settings
from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    DB_OPTION,
    GRIDS_OPTION,
    JSON_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    PROGRESS_OPTION,
    SIGNALS_OPTIONS,
    with_options,
)
from mp2.cli.output_files import writing
from mp2.cli.run import grids_from, prices_from
from mp2.cli.scan import Ran, planned, run_scan
from mp2.cli.search import (
    COUNT_OPTIONS,
    RulesCommand,
    Sequel,
    rule_options,
    rules_from,
)
from mp2.cli.session import Interrupts, note_kept
from mp2.cli.views import echo_document, print_document, print_warnings, say
from mp2.errors import ExitCode, InputError, Mp2Error, StoreError

if TYPE_CHECKING:
    from mp2.data.prices import PriceTable
    from mp2.discovery.records import MergedCandidate
    from mp2.groups.result import SearchResult
    from mp2.picks.records import DayPicks, Outcome
    from mp2.signals.sheet import SignalSheet

NO_STORE_OPTION = click.option("--no-store", is_flag=True, help="do not store it with the run")


@click.command()
@click.argument("prices", type=click.Path(path_type=Path))
@with_options(PRICES_OPTIONS, SIGNALS_OPTIONS)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Parquet or CSV file to write",
)
@click.option(
    "--next",
    "next_output",
    type=click.Path(path_type=Path),
    help="file for the signals of the day after, with null prices",
)
@click.option(
    "--history",
    type=click.IntRange(1),
    help="bars before the first day to start from [default: all]",
)
@click.option("--threads", type=click.IntRange(1), help="threads [default: one per core]")
@PROGRESS_OPTION
@JSON_OPTION
@click.pass_context
def signals(
    context: click.Context, /, prices: Path, output: Path, next_output: Path | None, history: int | None, threads: int | None,
    no_progress: bool, as_json: bool, **options: Any,
) -> int:  # fmt: skip
    """Compute the signals of the last days of PRICES: a table that `mp2 search` takes."""
    from mp2.signals.sheet import compute_signals

    _check_outputs(prices, output, next_output)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        table = prices_from(prices, options, interrupts.stop, end=options["end"])
        with observed(screen, "signals", live=not no_progress) as observe:
            sheet = compute_signals(
                table,
                n_days=options["days"],
                end=options["end"],
                include_next=next_output is not None,
                grids=grids_from(options),
                history=history,
                threads=threads,
                stop=interrupts.stop,
                observe=observe,
            )
        n_rows = _write_signals(sheet, output, next_output)
        if as_json:
            echo_document(
                warnings=sheet.warnings,
                output=str(output),
                days=sheet.days,
                assumed_day=sheet.assumed_day,
                n_variations=len(sheet.variations),
                n_tickers=len(sheet.tickers),
                n_rows=n_rows,
            )
            return interrupts.exit_code or 0
        print_warnings(sheet.warnings)
        last = sheet.days[options["days"] - 1]
        what = f"{len(sheet.variations):,} variations, {len(sheet.tickers):,} tickers, {sheet.days[0]} to {last}"
        say(f"{n_rows:,} signals of {what}: {output}")
        if next_output is not None:
            say(
                f"signals for {sheet.days[-1]}{' (assumed)' if sheet.assumed_day else ''}: {next_output}"
            )
        return interrupts.exit_code or 0


def _check_outputs(prices: Path, *outputs: Path | None) -> None:
    """Each has to be of a kind that can be written, and neither the prices nor another output."""
    taken = {prices.resolve()}
    for path in filter(None, outputs):
        _check_format(path)
        if path.resolve() in taken:
            raise InputError(
                f"{path}: named twice, one would overwrite the other; name another file"
            )
        taken.add(path.resolve())


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"{path}: unknown kind of file; name it .parquet or .csv")


def _write_signals(sheet: SignalSheet, output: Path, next_output: Path | None) -> int:
    """Write the days asked for, and the day after to a file of its own, so that no search is ever offered it."""
    import polars as pl

    frame = sheet.to_frame()
    if next_output is None:
        _write(frame, output)
        return len(frame)
    last = pl.lit(sheet.days[-1]).str.to_date()
    asked = frame.filter(pl.col("day") != last)
    _write(asked, output)
    unknown = pl.lit(None, dtype=pl.Float64)
    _write(
        frame.filter(pl.col("day") == last).with_columns(open=unknown, close=unknown), next_output
    )
    return len(asked)


def _write(frame: Any, path: Path) -> None:
    with writing(path) as part:
        if path.suffix.lower() == ".csv":
            frame.write_csv(part)
        else:
            frame.write_parquet(part)


# --- mp2 pick ------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("run")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="daily bars up to the day before the one picked for",
)
@click.option(
    "--signals", type=click.Path(path_type=Path), help="a table with the signals of the day instead"
)
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
@click.option(
    "--csv", "csv_output", type=click.Path(path_type=Path), help="write the table of tickers there"
)
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
def pick(context: click.Context, /, run: str, csv_output: Path | None, **options: Any) -> int:
    """Apply the kept groups of RUN to the next day's signals: its tickers, and how many groups vote for each.

    With --with-scan or --scan-id also which scanners name a picked ticker, and why; a scan that fails fails no pick.
    """
    from mp2.cli.pick_view import picks_view
    from mp2.cli.views import console
    from mp2.groups.export import for_spreadsheets
    from mp2.picks.pick import pick_day, picks_table

    if (options["prices"] is None) == (options["signals"] is None):
        raise InputError("pick: name either --prices or --signals")
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        result = _loaded(options["db"], run)
        sheet, day = _sheet_of_day(result, options, interrupts)
        picks = pick_day(
            result, sheet, day, min_tickers=options["min_tickers"], top_groups=options["top_groups"]
        )
        failure = None if options["no_store"] else _save(options["db"], picks)
        beside = _beside(context, picks, options, interrupts, screen)
        warnings = (*picks.warnings, *beside.warnings)
        if csv_output is not None:
            with writing(csv_output) as path:
                for_spreadsheets(picks_table(picks)).write_csv(path)
        if options["as_json"]:
            document = {
                **picks.to_dict(),
                "warnings": list(warnings),
                "errors": [failure] if failure else [],
                **beside.document,
            }
            print_document(document)
        else:
            print_warnings(warnings)
            console().print(picks_view(picks, n_show=options["show"], aliases=result.aliases))
            for part in beside.view:
                console().print(part)
        if failure:
            raise StoreError(failure)
        return interrupts.exit_code or (
            0 if picks.tickers() or picks.votes else ExitCode.NOTHING_FOUND
        )


def _beside(
    context: click.Context,
    picks: DayPicks,
    options: dict[str, Any],
    interrupts: Interrupts,
    screen: Any,
) -> Sequel:
    """What scanners say of the picked tickers; whatever goes wrong with that is a warning."""
    if not options["with_scan"] and options["scan_id"] is None:
        return Sequel({}, ())
    try:
        if options["scan_id"] is None:
            ran = run_scan(context, planned(context), options, interrupts, screen)
        else:
            ran = _stored_scan(options["db"], options["scan_id"])
    except Mp2Error as error:
        return Sequel({"scan": None}, (), [f"scan: {line}" for line in str(error).splitlines()])
    return _sequel_of_scan(ran, picks, options)


def _stored_scan(db: Path, name: str) -> Ran:
    from mp2.storage.runs import Store

    with Store(db, read_only=True) as store:
        scan_id = store.find_scan(name)
        return Ran(store.load_scan(scan_id), store.scan_summary(scan_id).day, stored=True)


def _sequel_of_scan(ran: Ran, picks: DayPicks, options: dict[str, Any]) -> Sequel:
    from mp2.cli.scan_view import named_view
    from mp2.discovery.candidates import named_among

    named = named_among(
        [*picks.tickers(), *(vote.ticker for vote in picks.votes)], ran.result.candidates
    )
    document = {
        "scan_id": ran.result.scan_id,
        "status": str(ran.result.status),
        "day": ran.day,
        "n_candidates": len(ran.result.candidates),
        "named": {ticker: _reasons(candidate) for ticker, candidate in named.items()},
    }
    view = named_view(picks, named, ran.result, n_votes=options["show"])
    return Sequel({"scan": document}, (view,), list(_scan_warnings(ran)))


def _reasons(candidate: MergedCandidate) -> dict[str, Any]:
    return {
        name: value for name, value in candidate.to_dict().items() if name not in ("ticker", "data")
    }


def _scan_warnings(ran: Ran) -> Iterator[str]:
    """What to know of the scan: another day's, not stored, its own warnings, what failed."""
    if ran.day != date.today().isoformat():
        yield f"scan {ran.result.scan_id} is of {ran.day}, not of today; --with-scan makes a new one"
    if ran.failure:
        yield f"scan: not stored: {ran.failure}"
    yield from (f"scan: {line}" for line in ran.result.warnings)
    for outcome in ran.result.outcomes:
        if outcome.failed and outcome.error is not None:
            yield f"scan: {outcome.scanner}: {outcome.error.message}"


def _loaded(db: Path, run: str) -> SearchResult:
    from mp2.storage.runs import Store

    with Store(db, read_only=True) as store:
        return store.load(store.find(run), starters=False)


def _sheet_of_day(
    result: SearchResult, options: dict[str, Any], interrupts: Interrupts
) -> tuple[SignalSheet, str]:
    """The signals of the day to pick for: read from a table, or computed for the members of the kept groups alone."""
    from mp2.picks.pick import members_needed, sheet_from_table
    from mp2.signals.sheet import compute_signals

    if options["signals"] is not None:
        sheet = sheet_from_table(
            options["signals"],
            result,
            day=options["day"],
            columns=options["columns"] or None,
            table=options["sql_table"],
            query=options["query"],
            stop=interrupts.stop,
        )
        return sheet, sheet.days[-1]
    asked = _asked_day(options["day"])
    last = result.days[-1] if asked is None else _day_before(asked).isoformat()
    table = prices_from(options["prices"], options, interrupts.stop, end=last)
    sheet = compute_signals(
        table,
        n_days=0,
        include_next=True,
        grids=grids_from(options),
        only=members_needed(result) or None,
        stop=interrupts.stop,
    )
    return sheet, _checked_day(sheet, table, asked, result.days[-1])


def _day_before(day: date) -> date:
    """The calendar's first day where there is none before."""
    return day - timedelta(days=day > date.min)


def _asked_day(text: str | None) -> date | None:
    from mp2.data.columns import parse_day

    day = None if text is None else parse_day(text)
    if text is not None and day is None:
        raise InputError(f"day: {text!r} is not a date; write YYYY-MM-DD")
    return day


def _checked_day(
    sheet: SignalSheet, table: PriceTable, asked: date | None, last_searched: str
) -> str:
    """The day the sheet is for, when it is the one asked for and the prices reach up to it."""
    day = sheet.days[-1]
    if table.dates[-1] < last_searched:
        raise InputError(
            f"the prices end at {table.dates[-1]}, before the run's last day {last_searched}; give a file that reaches it"
        )
    if asked is not None and asked.isoformat() != day:
        how = "is assumed to follow" if sheet.assumed_day else "follows"
        raise InputError(
            f"day {asked}: the prices have no such date; after {table.dates[-1]} {day} {how}"
        )
    return day


def _save(db: Path, picks: DayPicks) -> str | None:
    from mp2.storage.runs import Store

    note_kept("the picks are stored with the run, or those before them stay")
    try:
        with Store(db, must_exist=True) as store:
            store.save_picks(str(picks.run_id), picks)
    except StoreError as error:
        return str(error)
    return None


# --- mp2 outcome ---------------------------------------------------------------------------------------------------


@click.command()
@click.argument("run")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    required=True,
    help="daily bars that hold the day picked for",
)
@with_options(PRICES_OPTIONS)
@NO_STORE_OPTION
@DB_OPTION
@JSON_OPTION
@click.pass_context
def outcome(context: click.Context, /, run: str, prices: Path, **options: Any) -> int:
    """Score the picks stored with RUN against all tickers, once the bars of their day exist."""
    from mp2.cli.pick_view import outcome_view
    from mp2.cli.views import console
    from mp2.storage.runs import Store

    with Interrupts().caught() as interrupts, Store(options["db"], must_exist=True) as store:
        start_logging(context)
        run_id = store.find(run)
        stored = store.load_picks(run_id)
        if not stored:
            raise InputError(
                f"run {run_id} has no picks yet; make some with: mp2 pick {run_id} --prices {prices}"
            )
        table = prices_from(prices, options, interrupts.stop)
        outcomes, notes = _scored(stored, table)
        note_kept("the outcomes stored by then stay")
        for scored in outcomes if not options["no_store"] else ():
            with suppress(InputError):  # pending ones are printed, there is nothing to store yet
                store.save_outcome(run_id, scored)
        if options["as_json"]:
            echo_document(
                warnings=(*table.warnings, *notes),
                run_id=run_id,
                outcomes=[scored.to_dict() for scored in outcomes],
            )
            return interrupts.exit_code or 0
        print_warnings((*table.warnings, *notes))
        for scored in outcomes:
            console().print(outcome_view(scored))
        return interrupts.exit_code or 0


def _scored(stored: Sequence[DayPicks], table: PriceTable) -> tuple[list[Outcome], list[str]]:
    """The outcomes of all days that the prices can tell of, and what is to be said of the others; an error if there is none."""
    from mp2.picks.outcome import score

    outcomes: list[Outcome] = []
    notes: list[str] = []
    for picks in stored:
        try:
            outcomes.append(score(picks, table))
        except InputError as error:
            notes += error.problems
    if not outcomes:
        raise InputError(notes)
    return outcomes, notes


# --- mp2 walkforward -----------------------------------------------------------------------------------------------


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
@click.option("--end", help="last day, YYYY-MM-DD [default: the last date of the prices]")
@GRIDS_OPTION
@with_options(PRICES_OPTIONS, PICK_OPTIONS, COUNT_OPTIONS)
@rule_options
@PROGRESS_OPTION
@JSON_OPTION
@click.pass_context
def walkforward(
    context: click.Context, /, prices: Path, weeks: int, budget_per_week: float, **options: Any
) -> int:
    """Search past weeks of PRICES, apply what was kept to the week after each, and compare the picks with all tickers."""
    from mp2.cli.pick_view import walk_view
    from mp2.cli.views import console
    from mp2.picks.walkforward import walk_forward

    rules = rules_from(options)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        table = prices_from(prices, options, interrupts.stop, end=options["end"])
        with observed(screen, "weeks", live=not options["no_progress"]) as observe:
            walk = walk_forward(
                table,
                weeks=weeks,
                budget_s_per_week=budget_per_week,
                workers=options["workers"],
                rules=rules,
                end=options["end"],
                min_tickers=options["min_tickers"],
                top_groups=options["top_groups"],
                grids=grids_from(options),
                count=options["count"],
                without=options["without"],
                stop=interrupts.stop,
                observe=observe,
            )
        if options["as_json"]:
            print_document(walk.to_dict())
        else:
            print_warnings(walk.warnings)
            console().print(walk_view(walk))
        return interrupts.exit_code or 0


# --- mp2 check -----------------------------------------------------------------------------------------------------


@click.group()
def check() -> None:
    """Check what results rest on."""


@check.command()
@click.argument("prices", type=click.Path(path_type=Path))
@with_options(PRICES_OPTIONS)
@GRIDS_OPTION
@JSON_OPTION
@click.pass_context
def lookahead(context: click.Context, /, prices: Path, as_json: bool, **options: Any) -> int:
    """Change the future bars of PRICES and see that no past signal changes, for every algorithm, also of third parties."""
    from mp2.signals.lookahead import check as look

    with Interrupts().caught() as interrupts:
        start_logging(context)
        table = prices_from(prices, options, interrupts.stop)
        grids = grids_from(options)
        findings = look(table, grids, stop=interrupts.stop)
        warnings = (*table.warnings, *grids.warnings)
        if as_json:
            echo_document(
                status="failed" if findings else "ok",
                warnings=warnings,
                algorithms=[algorithm.name for algorithm in grids.algorithms],
                findings=[str(finding) for finding in findings],
            )
            return interrupts.exit_code or int(bool(findings))
        print_warnings(warnings)
        for finding in findings:
            say(str(finding))
        n_cheating = len({(finding.algo, finding.variation) for finding in findings})
        click.echo(
            f"{len(grids.algorithms)} algorithms, {len(grids.variations):,} variations: {n_cheating} look ahead"
        )
        return interrupts.exit_code or int(bool(findings))


# --- mp2 download --------------------------------------------------------------------------------------------------


@click.command()
@click.argument("tickers", nargs=-1, required=True)
@click.option("--start", required=True, help="first day, YYYY-MM-DD")
@click.option("--end", required=True, help="last day, YYYY-MM-DD")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Parquet or CSV file to write",
)
@PROGRESS_OPTION
@JSON_OPTION
@click.pass_context
def download(
    context: click.Context,
    /,
    tickers: Sequence[str],
    start: str,
    end: str,
    output: Path,
    no_progress: bool,
    as_json: bool,
) -> int:
    """Download daily bars of TICKERS from Yahoo (extra 'yahoo'): a file that `mp2 run` takes."""
    from mp2.data.prices import to_frame
    from mp2.data.yahoo import download as fetch

    _check_format(output)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        with observed(screen, "download", live=not no_progress) as observe:
            table = fetch(tickers, start=start, end=end, observe=observe, stop=interrupts.stop)
        _write(to_frame(table), output)
        if as_json:
            echo_document(
                warnings=table.warnings,
                output=str(output),
                n_tickers=len(table.tickers),
                n_dates=len(table.dates),
            )
            return interrupts.exit_code or 0
        print_warnings(table.warnings)
        say(f"{len(table.tickers):,} tickers, {table.dates[0]} to {table.dates[-1]}: {output}")
        return interrupts.exit_code or 0
