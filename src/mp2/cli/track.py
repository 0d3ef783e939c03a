"""`mp2 track`: how all scored picks did, by configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.options import DB_OPTION, JSON_OPTION, Command, output_option
from mp2.cli.output_files import check_folder, write_table
from mp2.cli.views import present, stacked, styled
from mp2.errors import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mp2.picks.track import ConfigurationRecord, TrackRecord


@click.command(cls=Command)
@click.option(
    "--cost-bps",
    type=float,
    help="cost of buying and of selling, each, in hundredths of a percent [default: as the runs]",
)
@output_option("-o", "--output", help="CSV file for the table of scored days")
@JSON_OPTION
@DB_OPTION
def track(
    db: Path,
    cost_bps: float | None,
    output: Path | None,
) -> None:
    """Show how all scored picks did against all tickers, by configuration.

    A configuration is the source and the settings that decide what a run picks. A day counts once
    in it, by the last run that began by the end of the day (UTC), else by the first one. 'mp2
    outcome' scores the picks.
    """
    from mp2.storage.track import track as track_store

    if output is not None:
        check_folder(output)
    record = track_store(db, cost_bps=cost_bps)
    # The record is printed first: a file that fails must not take it away.
    present(record.to_dict(), track_view(record))
    if output is not None:
        write_table(record.daily_frame(), output)


@stacked
def track_view(record: TrackRecord) -> Iterator[RenderableType]:
    """Show each configuration: what it is, every series of picks, ranks of ideas, the verdict."""
    if not record.configurations:
        yield "No run has picks yet; mp2 run and mp2 pick make them."
    for of_one in record.configurations:
        yield from _configuration(of_one)


def _configuration(record: ConfigurationRecord) -> Iterator[Any]:
    from mp2.cli.pick_view import JUDGED_HEADINGS, judged_row, money_table, with_net

    days = counted(len(record.days), "scored day")
    runs = counted(record.n_runs, "run")
    yield styled(f"Configuration {record.configuration}: {record.label}", "bold")
    line = f"{runs}, {days}"
    if record.n_pending:
        line += f", {counted(record.n_pending, 'day')} not scored yet (mp2 outcome)"
    yield line
    rows = []
    for series, judged in record.total.items():
        rows.append(judged_row(series, judged))
        # The votes and the union of all sizes are of no single idea, and have none.
        for ranks, of_ranks in record.by_idea.get(series, {}).items():
            rows.append(judged_row(f"{series}, idea {ranks}", of_ranks))
    if record.days:
        net = f"after {record.cost_bps:g} bps a side"
        yield with_net(("picks of", *JUDGED_HEADINGS, net), rows, shown=record.cost_bps > 0)
        yield ""
        yield money_table(record.total, record.cost_bps)
        yield styled(record.sentence(), "bold")
    yield ""
