"""`mp2 runs ...` on stored runs, and `mp2 doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mp2.cli.completion import RUN_ARGUMENT
from mp2.cli.options import (
    DB_OPTION,
    JSON_GROUPS_OPTION,
    JSON_OPTION,
    LIMIT_OPTION,
    SHOW_OPTION,
    Command,
    Group,
    delete_stored,
    older,
    options_record,
    output_option,
    reading,
)
from mp2.cli.output_files import writing
from mp2.cli.search_options import ViewOptions
from mp2.cli.session import note_kept
from mp2.cli.views import (
    count,
    document,
    duration,
    echo_json,
    if_known,
    json_text,
    present,
    record_table,
    share,
)
from mp2.errors import InputError


@click.group(cls=Group)
@DB_OPTION
def runs(db: Path) -> None:
    """Look at stored runs. RUN is a run's id, the beginning of it, or 'last'."""


@runs.command("list")
@LIMIT_OPTION
@JSON_OPTION
@DB_OPTION
def list_runs(db: Path, limit: int) -> None:
    """List the stored runs, newest first."""
    with reading(db) as store:
        summaries = store.runs(limit or None)
        n_stored = store.count("run")
        problems = store.problems
    rows = []
    for run in summaries:
        time = if_known(run.elapsed_s, duration)
        coverage = if_known(run.coverage, share)
        attempts = if_known(run.attempts, count)
        kept = ", ".join(f"{size}: {n}" for size, n in run.n_kept.items())
        rows.append((run.run_id, run.status, time, coverage, attempts, kept, run.source))
    headings = ("run", "status", "time", "coverage", "attempts", "kept by size", "source")
    listed = [asdict(summary) for summary in summaries]
    content = document(runs=listed, n_stored=n_stored, warnings=problems)
    present(content, record_table(headings, rows), *older(n_stored, limit))


@runs.command()
@RUN_ARGUMENT
@JSON_OPTION
@JSON_GROUPS_OPTION
@SHOW_OPTION
@DB_OPTION
def show(
    db: Path,
    run: str,
    **options: Any,
) -> None:
    """Show a run as the search printed it, with the latest picks stored with it."""
    from mp2.cli.found import print_found
    from mp2.pipeline import PipelineRun

    how = options_record(ViewOptions, options)
    with reading(db) as store:
        run_id = store.find(run)
        n_groups = max(how.show, how.json_groups)
        result = store.load(run_id, n_groups=n_groups)
        picks = store.load_picks(run_id)
    found = PipelineRun(result, picks[-1]) if picks else result
    print_found(found, how)


@runs.command()
@RUN_ARGUMENT
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
)
@output_option("-o", "--output", help="file to write [default: stdout; needed for parquet]")
@DB_OPTION
def export(
    db: Path,
    run: str,
    kind: str,
    output: Path | None,
) -> None:
    """Export every kept group of a run, one row per group (json: the whole result)."""
    from mp2.groups.export import for_spreadsheets, groups_table

    # Before the store is read: a terminal must not get binary data.
    if kind == "parquet" and output is None:
        raise InputError("--format parquet is binary: name a file with --output")
    with reading(db) as store:
        result = store.load(store.find(run))
    if kind == "json":
        text = json_text(result.to_dict())
        if output is None:
            note_kept("the output may be cut short")
            echo_json(text)
        else:
            _write_text(text + "\n", output)
    elif kind == "csv":
        # Spreadsheets open CSV files, and run formulas in them.
        _write_text(for_spreadsheets(groups_table(result)).write_csv(), output)
    elif output is not None:
        with writing(output) as path:
            groups_table(result).write_parquet(path)


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        note_kept("the output may be cut short")
        click.echo(text, nl=False)
        return
    with writing(output) as path:
        path.write_text(text, encoding="utf-8")


@runs.command()
@RUN_ARGUMENT
@JSON_OPTION
@DB_OPTION
def delete(db: Path, run: str) -> None:
    """Delete a run and everything stored with it."""
    delete_stored(
        "run",
        db,
        lambda store: store.find(run),
        lambda store, run_id: store.delete(run_id),
    )


@click.command(cls=Command)
@DB_OPTION
@JSON_OPTION
def doctor(db: Path) -> None:
    """Print version, Python, cores, kernel build, clock, speed-up by threads, database path."""
    from mp2.cli.doctor import report

    facts = report(db.absolute())
    shown = dict(facts)
    shown["simd_available"] = ", ".join(facts["simd_available"])
    shown["speed_up"] = f"{facts['speed_up']['2']} with 2 threads"
    rows = [(name.replace("_", " "), value) for name, value in shown.items()]
    present(document(**facts), record_table(("what", "value"), rows))
