"""`mp2 walks`: stored walk-forwards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mp2.cli.completion import WALK_ARGUMENT
from mp2.cli.options import (
    DB_OPTION,
    JSON_OPTION,
    LIMIT_OPTION,
    Group,
    delete_stored,
    older,
    output_option,
    reading,
)
from mp2.cli.output_files import check_folder, write_table
from mp2.cli.views import document, if_known, present, record_table

if TYPE_CHECKING:
    from mp2.storage.walks import WalkSummary


@click.group(cls=Group)
@DB_OPTION
def walks(db: Path) -> None:
    """Look at stored walk-forwards. WALK is an id, the beginning of it, or 'last'."""


_HEADINGS = (
    "walk",
    "status",
    "weeks",
    "judged",
    "days",
    "hit rate",
    "universe",
    "difference",
    "95% interval",
    "source",
)


@walks.command("list")
@LIMIT_OPTION
@JSON_OPTION
@DB_OPTION
def list_walks(db: Path, limit: int) -> None:
    """List the stored walk-forwards, newest first."""
    with reading(db) as store:
        summaries = store.walks(limit or None)
        n_stored = store.count("walk")
        problems = store.problems
    listed = [asdict(summary) for summary in summaries]
    content = document(walks=listed, n_stored=n_stored, warnings=problems)
    present(content, record_table(_HEADINGS, map(_row, summaries)), *older(n_stored, limit))


def _row(walk: WalkSummary) -> tuple[object, ...]:
    # Until its first week is finished a walk-forward has none.
    figures: tuple[object, ...] = ("", "", "", "", "")
    judged = walk.judged
    if judged is not None:
        difference = judged.hit_difference
        interval = ""
        if difference is not None and difference.low is not None:
            interval = f"{difference.low:+.1f} to {difference.high:+.1f}"
        figures = (
            judged.n_days,
            if_known(judged.hit_rate_pp, "{:.1f}%".format),
            if_known(judged.universe_hit_rate_pp, "{:.1f}%".format),
            "" if difference is None else f"{difference.mean:+.1f}",
            interval,
        )
    days = "" if walk.first_day is None else f"{walk.first_day} to {walk.last_day}"
    weeks = f"{walk.n_done} of {walk.n_weeks}"
    return (walk.walk_id, walk.status, weeks, days, *figures, walk.source)


@walks.command("show")
@WALK_ARGUMENT
@output_option("-o", "--output", help="CSV file for the table of days, their picks and returns")
@JSON_OPTION
@DB_OPTION
def show_walk(
    db: Path,
    walk: str,
    output: Path | None,
) -> None:
    """Show a walk-forward as it was printed; of an interrupted one, its weeks by then."""
    from mp2.cli.pick_view import walk_view

    if output is not None:
        check_folder(output)
    with reading(db) as store:
        stored = store.load_walk(store.find_walk(walk))
    present(stored.to_dict(), walk_view(stored))
    if output is not None:
        write_table(stored.daily_frame(), output)


@walks.command("delete")
@WALK_ARGUMENT
@JSON_OPTION
@DB_OPTION
def delete_walk(db: Path, walk: str) -> None:
    """Delete a walk-forward and its weeks."""
    delete_stored(
        "walk",
        db,
        lambda store: store.find_walk(walk),
        lambda store, walk_id: store.delete_walk(walk_id),
    )
