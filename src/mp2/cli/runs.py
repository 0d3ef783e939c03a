"""The commands that search nothing: `mp2 runs ...` on stored runs, and `mp2 doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.options import (
    DB_OPTION,
    JSON_GROUPS_OPTION,
    JSON_OPTION,
    SHOW_OPTION,
    delete_stored,
    reading,
)
from mp2.cli.output_files import writing
from mp2.cli.search import Sequel, print_result
from mp2.cli.session import current_session, note_kept
from mp2.cli.views import echo_document, json_text
from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.groups.result import SearchResult
    from mp2.picks.records import DayPicks


@click.group()
@DB_OPTION
def runs(db: Path) -> None:
    """Look at stored runs. RUN is a run's id, the beginning of it, or 'last'."""


@runs.command("list")
@JSON_OPTION
@DB_OPTION
def list_runs(db: Path) -> int:
    """List the stored runs, newest first."""
    from mp2.cli.views import console, count, duration, record_table, share

    with reading(db) as store:
        summaries = store.runs()
    if current_session().as_json:
        echo_document(runs=[asdict(summary) for summary in summaries])
        return 0
    headings = ("run", "status", "time", "coverage", "attempts", "kept by size", "source")
    rows = (
        (
            run.run_id,
            run.status,
            "" if run.elapsed_s is None else duration(run.elapsed_s),
            "" if run.coverage is None else share(run.coverage),
            "" if run.attempts is None else count(run.attempts),
            ", ".join(f"{size}: {n}" for size, n in run.n_kept.items()),
            run.source,
        )
        for run in summaries
    )
    console().print(record_table(headings, rows))
    return 0


@runs.command()
@click.argument("run")
@JSON_OPTION
@JSON_GROUPS_OPTION
@SHOW_OPTION
@DB_OPTION
def show(db: Path, run: str, **options: Any) -> int:
    """Show a run as the search printed it."""
    with reading(db) as store:
        run_id = store.find(run)
        result, picks = store.load(run_id), store.load_picks(run_id)
    print_result(result, options, _picked(picks[-1], result, options) if picks else None, None)
    return 0


def _picked(picks: DayPicks, result: SearchResult, options: dict[str, Any]) -> Sequel:
    """The latest picks stored with a run, shown below it."""
    from mp2.cli.pick_view import picks_view

    view = picks_view(picks, n_show=options["show"], aliases=result.aliases)
    return Sequel({"next_day": picks.to_dict()}, (view,))


@runs.command()
@click.argument("run")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="file to write [default: stdout; needed for parquet]",
)
@DB_OPTION
def export(db: Path, run: str, kind: str, output: Path | None) -> int:
    """Export every kept group of a run, one row per group (json: the whole result)."""
    from mp2.groups.export import for_spreadsheets, groups_table

    if kind == "parquet" and output is None:
        raise InputError("--format parquet is binary: name a file with --output")
    with reading(db) as store:
        result = store.load(store.find(run))
    if kind == "json":
        _write_text(json_text(result.to_dict()) + "\n", output)
    elif kind == "csv":
        _write_text(for_spreadsheets(groups_table(result)).write_csv(), output)
    elif output is not None:
        with writing(output) as path:
            groups_table(result).write_parquet(path)
    return 0


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        note_kept("the output may be cut short")
        click.echo(text, nl=False)
        return
    with writing(output) as path:
        path.write_text(text, encoding="utf-8")


@runs.command()
@click.argument("run")
@JSON_OPTION
@DB_OPTION
def delete(db: Path, run: str) -> int:
    """Delete a run and everything stored with it."""
    return delete_stored(
        "run",
        db,
        lambda store: store.find(run),
        lambda store, run_id: store.delete(run_id),
    )


@click.command()
@DB_OPTION
@JSON_OPTION
def doctor(db: Path) -> int:
    """Print version, Python, cores, kernel build, clock, measured thread speed-up and the database's path."""
    from mp2.cli.doctor import report
    from mp2.cli.views import console, record_table

    facts = report(db.absolute())
    if current_session().as_json:
        echo_document(**facts)
        return 0
    shown = {
        **facts,
        "speed_up": ", ".join(
            f"{ratio} with {n} threads" for n, ratio in facts["speed_up"].items()
        ),
        "simd_available": ", ".join(facts["simd_available"]),
    }
    console().print(
        record_table(
            ("what", "value"), ((name.replace("_", " "), value) for name, value in shown.items())
        )
    )
    return 0
