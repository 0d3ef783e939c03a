"""`mp2 resume`: continue a run that was stopped, ran out of time, or whose process died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mp2.cli.cluster import CLUSTER_OPTIONS, at_cluster
from mp2.cli.completion import RUN_ARGUMENT
from mp2.cli.options import (
    RUN_HOLD_OPTION,
    Command,
    file_option,
    options_record,
    reading,
    with_options,
)
from mp2.cli.output_files import check_unread
from mp2.cli.search_options import (
    DISPLAY_OPTIONS,
    RunOptions,
    budget_option,
    run_workers_option,
    table_memory_option,
)
from mp2.cli.session import Interrupts, current_session
from mp2.data.holding import Hold


class ResumeCommand(Command):
    """A command on a run, whose log must not be a file that the run reads."""

    def invoke(self, context: click.Context) -> Any:
        """Check the log file before it is opened."""
        log_file = current_session().log_file
        if log_file is not None:
            with reading(context.params["db"]) as store:
                files = store.load_request(store.find(context.params["run"])).files
            check_unread("--log-file", log_file, files)
        return super().invoke(context)


@click.command(cls=ResumeCommand)
@RUN_ARGUMENT
@budget_option(help="time to continue for [default: what the run was given at first]")
@run_workers_option("as at first")
@click.option(
    "--max-attempts",
    type=int,
    help="exact work per starter, from the first start on, instead of time limits [default: as at "
    "first, unless that is done]",
)
@table_memory_option("as at first")
@file_option("--source", help="where the table or the prices are now, if they were moved")
@RUN_HOLD_OPTION
@with_options(CLUSTER_OPTIONS, DISPLAY_OPTIONS)
def resume(
    run: str,
    budget_s: float | None,
    workers: int | None,
    max_attempts: int | None,
    table_memory: int | None,
    source: Path | None,
    hold: Hold | None,
    **options: Any,
) -> int:
    """Continue RUN, a stored run that did not end.

    RUN is a run's id, the beginning of it, or 'last'. Interrupted runs, including killed processes,
    resume and give the same result as uninterrupted ones. The table and the options are those the
    run began with; a table that has changed is refused. The result replaces the one before; times
    and budgets are sums.
    """
    from mp2.cli.found import followed, present_found

    # A resumed run is stored where it was.
    how = options_record(RunOptions, {**options, "no_store": False})
    with Interrupts().caught() as interrupts:
        with followed(how, interrupts.stop) as control:
            from mp2.pipeline import resume_request

            with at_cluster(control, options) as there:
                found = resume_request(
                    run,
                    there,
                    source=source,
                    hold=hold,
                    budget_s=budget_s,
                    workers=workers,
                    max_attempts=max_attempts,
                    table_memory=table_memory,
                )
        return present_found(found, how)
