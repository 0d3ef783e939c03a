"""`mp2 runs ...` on stored runs, and `mp2 doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli import settings
from mp2.cli.cluster import DASK_OPTION, INSECURE_OPTION, client_of
from mp2.cli.completion import RUN_ARGUMENT
from mp2.cli.options import (
    DB_OPTION,
    GROUPS_OPTION,
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
from mp2.cli.session import Interrupts, note_kept
from mp2.cli.views import (
    document,
    duration,
    echo_json,
    if_known,
    json_text,
    present,
    print_warnings,
    record_table,
    share,
)
from mp2.errors import InputError, counted

if TYPE_CHECKING:
    from mp2.storage.runs import RunSummary


@click.group(cls=Group)
@DB_OPTION
def runs(db: Path) -> None:
    """Look at stored runs. RUN is a run's id, the beginning of it, or 'last'."""


# --- mp2 runs list ---------------------------------------------------------------------------


def _best_score(run: RunSummary) -> float | None:
    scores = [score for score in run.best_score.values() if score is not None]
    return max(scores, default=None)


def _difference(run: RunSummary) -> float | None:
    if run.outcome is None:
        return None
    return run.outcome.hit_rate_pp - run.outcome.universe_hit_rate_pp


_SORT_KEYS: dict[str, Callable[[RunSummary], Any]] = {
    "day": lambda run: run.last_day,
    "budget": lambda run: run.budget_s,
    "time": lambda run: run.elapsed_s,
    "coverage": lambda run: run.coverage,
    "score": _best_score,
    "p": lambda run: run.p,
    "outcome": _difference,
}
STATUSES = (
    "running",
    "interrupted",
    "failed",
    "complete",
    "stopped",
    "wall",
    "work_limit",
)
"""Of stored runs; made without `mp2.groups.result`, which would load the kernel for a help."""


def sorted_runs(runs: Iterable[RunSummary], by: str | None) -> list[RunSummary]:
    """Return the runs by a figure, the largest first, of p the smallest; unknown ones last.

    Equal ones, and all without `by`, stay in their order.
    """
    if by is None:
        return list(runs)
    key = _SORT_KEYS[by]
    known: list[RunSummary] = []
    unknown: list[RunSummary] = []
    for run in runs:
        with_figure = known if key(run) is not None else unknown
        with_figure.append(run)
    known.sort(key=key, reverse=by != "p")
    return known + unknown


@runs.command("list")
@click.option(
    "--sort",
    type=click.Choice(list(_SORT_KEYS)),
    help="largest first, of p the smallest [default: by start, newest first]",
)
@click.option("--status", type=click.Choice(STATUSES), help="only runs of this status")
@click.option("--source", help="only runs whose source contains this text, in any letter case")
@LIMIT_OPTION
@JSON_OPTION
@DB_OPTION
def list_runs(
    db: Path,
    sort: str | None,
    status: str | None,
    source: str | None,
    limit: int,
) -> None:
    """List the stored runs, newest first."""
    is_newest = sort is None and status is None and source is None
    with reading(db) as store:
        # A filter or another order needs every run.
        summaries = store.runs(limit or None if is_newest else None)
        n_stored = store.count("run")
        problems = store.problems
    listed = sorted_runs(summaries, sort)
    if status is not None:
        listed = [run for run in listed if run.status == status]
    if source is not None:
        listed = [run for run in listed if source.lower() in run.source.lower()]
    footer = older(n_stored, limit)
    if not is_newest:
        n_more = len(listed) - limit
        footer = []
        if limit and n_more > 0:
            footer = [f"{n_more:,} more are not shown; --limit 0 lists all"]
            listed = listed[:limit]
    content = document(runs=[asdict(run) for run in listed], n_stored=n_stored, warnings=problems)
    rows = [[cell(run) for cell in _COLUMNS.values()] for run in listed]
    present(content, record_table(list(_COLUMNS), rows), *footer)


def _best_by_size(run: RunSummary) -> str:
    best = []
    for size, score in run.best_score.items():
        best.append(f"{size}: {if_known(score, '{:.2f}'.format) or '-'}")
    return ", ".join(best)


def _outcome(run: RunSummary) -> str:
    outcome = run.outcome
    if outcome is None:
        return ""
    rates = f"{outcome.hit_rate_pp:.1f}% vs {outcome.universe_hit_rate_pp:.1f}%"
    return rates if outcome.n_days == 1 else f"{rates} ({outcome.n_days} days)"


_COLUMNS: dict[str, Callable[[RunSummary], object]] = {
    "run": lambda run: run.run_id,
    "last day": lambda run: run.last_day or "",
    "status": lambda run: run.status,
    "budget": lambda run: if_known(run.budget_s, duration),
    "time": lambda run: if_known(run.elapsed_s, duration),
    "coverage": lambda run: if_known(run.coverage, share),
    "best by size": _best_by_size,
    "p": lambda run: if_known(run.p, "{:.3g}".format),
    "kept by size": lambda run: ", ".join(f"{size}: {n}" for size, n in run.n_kept.items()),
    "outcome": _outcome,
    "source": lambda run: run.source,
}


# --- mp2 runs show, export -------------------------------------------------------------------


@runs.command()
@RUN_ARGUMENT
@JSON_OPTION
@JSON_GROUPS_OPTION
@SHOW_OPTION
@GROUPS_OPTION
@DB_OPTION
def show(run: str, **options: Any) -> None:
    """Show a run as the search printed it, with its latest picks, and all its days with outcome."""
    from mp2.cli.found import N_IDEAS, print_found
    from mp2.pipeline import PipelineRun

    how = options_record(ViewOptions, options)
    with reading(how.db) as store:
        run_id = store.find(run)
        # A run may have hundreds of thousands of groups, and no more than these are shown.
        n_groups = max(how.show or N_IDEAS, how.json_groups)
        result = store.load(run_id, n_groups=n_groups)
        picks = store.load_picks(run_id)
        outcomes = {outcome.day: outcome for outcome in store.load_outcomes(run_id)}
    found = PipelineRun(result, picks[-1]) if picks else result
    print_found(found, how, None, [(one, outcomes.get(one.day)) for one in picks])


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
    from mp2.groups.export import for_spreadsheets

    # Before the store is read: a terminal must not get binary data.
    if kind == "parquet" and output is None:
        raise InputError("--format parquet is binary: name a file with --output")
    with reading(db) as store:
        run_id = store.find(run)
        result = store.load(run_id)
        compaction = store.compaction(run_id)
    # A table has no place for it, other than a document.
    if compaction is not None:
        print_warnings([f"run {run_id}: {compaction}"])
    if kind == "json":
        text = json_text(result.to_dict())
        if output is None:
            note_kept("the output may be cut short")
            echo_json(text)
        else:
            _write_text(text + "\n", output)
    elif kind == "csv":
        # Spreadsheets open CSV files, and run formulas in them.
        _write_text(for_spreadsheets(result.to_frame()).write_csv(), output)
    elif output is not None:
        with writing(output) as path:
            result.to_frame().write_parquet(path)


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


@runs.command()
@click.option("--keep", type=click.IntRange(0), help="this many of the newest runs stay")
@click.option(
    "--older",
    "older_s",
    type=settings.DURATION,
    help="runs that began less than this time ago stay, such as 90d",
)
@click.option("--dry-run", is_flag=True, help="list what would be deleted, and delete nothing")
@JSON_OPTION
@DB_OPTION
def prune(
    db: Path,
    keep: int | None,
    older_s: float | None,
    dry_run: bool,
) -> None:
    """Delete old runs and everything stored with them, their picks and outcomes too.

    With both --keep and --older a run is deleted that is neither among the newest nor young. One
    that is running stays. The space in the file is used again by later runs.
    """
    from mp2.storage.runs import Store

    if keep is None and older_s is None:
        raise InputError("prune: name the runs that stay with --keep, --older or both")
    deleted: list[str] = []
    with Interrupts().caught() as interrupts:
        with Store(db, must_exist=True) as store:
            # The newest come first.
            for run in store.runs()[keep or 0 :]:
                if run.status == "running":
                    continue
                if older_s is not None:
                    age = datetime.now(UTC) - datetime.fromisoformat(run.started_at)
                    if age.total_seconds() < older_s:
                        continue
                if interrupts.stop.is_set():
                    break
                if not dry_run:
                    store.delete(run.run_id)
                deleted.append(run.run_id)
            problems = store.problems
        verb = "Would delete" if dry_run else "Deleted"
        n_runs = counted(len(deleted), "run")
        content = document(deleted=deleted, dry_run=dry_run, warnings=problems)
        present(content, *deleted, f"{verb} {n_runs}.")


@click.command(cls=Command)
@DB_OPTION
@DASK_OPTION
@INSECURE_OPTION
@JSON_OPTION
def doctor(
    db: Path,
    dask: str | None,
    dask_insecure: bool,
) -> None:
    """Print version, Python, kernel, clock, speed-up by threads, dependencies, database path.

    Warns of dependencies that are missing or too old, and of a processor that polars cannot use.
    With --dask, what the scheduler and the workers of a cluster are instead, the time of a round
    trip to each, and why one of them could not be used.
    """
    from mp2.cli.doctor import report

    if dask is not None:
        _survey(dask, insecure=dask_insecure)
        return
    facts = report(db.absolute())
    shown = {name: value for name, value in facts.items() if name != "warnings"}
    shown["simd_available"] = ", ".join(facts["simd_available"])
    shown["simd_missing"] = "; ".join(
        f"{name} needs {', '.join(features)}" for name, features in facts["simd_missing"].items()
    )
    shown["speed_up"] = f"{facts['speed_up']['2']} with 2 threads"
    shown["dependencies"] = ", ".join(
        f"{name} {versions['version']} (>= {versions['at_least']})"
        for name, versions in facts["dependencies"].items()
    )
    rows = [(name.replace("_", " "), value) for name, value in shown.items()]
    present(document(**facts), record_table(("what", "value"), rows))


def _survey(address: str, *, insecure: bool) -> None:
    """Print what a cluster is."""
    from mp2.groups.engines.dask_client import survey

    with client_of(address, insecure=insecure) as client:
        found = survey(client)
    shown = ("name", "host", "pid", "version", "build", "simd", "n_threads", "round_trip_ms")
    rows = []
    for process in found["processes"]:
        values = [process.get(name, "") for name in shown]
        rows.append((*values, process["problem"] or "can be used"))
    headings = [name.replace("_", " ") for name in (*shown, "use")]
    present(document(**found), record_table(headings, rows))
