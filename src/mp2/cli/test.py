"""`mp2 test`: test whether the groups of a stored run are better than luck."""

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
    with_options,
)
from mp2.cli.search_options import (
    DISPLAY_OPTIONS,
    LUCK_OPTIONS,
    RunOptions,
    budget_option,
    luck_from,
    run_workers_option,
)
from mp2.cli.session import Interrupts
from mp2.data.holding import Hold


@click.command(cls=Command)
@RUN_ARGUMENT
@budget_option(default="60s", show_default=True, help="time for the test")
@run_workers_option("as in the search")
@file_option("--prices", help="daily bars, for a test against the winners of other days")
@RUN_HOLD_OPTION
@with_options(LUCK_OPTIONS, CLUSTER_OPTIONS, DISPLAY_OPTIONS)
def test(
    run: str,
    budget_s: float,
    workers: int | None,
    prices: Path | None,
    hold: Hold | None,
    **options: Any,
) -> int:
    """Test whether the groups of RUN, a stored run, are better than luck.

    RUN is a run's id, the beginning of it, or 'last'. The same search is made for outcomes that are
    luck, many times at once; the p-value of a group is the share of these searches whose best group
    is as good. The table is the one the run began with. The test replaces an earlier one.
    """
    from mp2.cli.found import followed, present_found

    # The test is stored with its run.
    how = options_record(RunOptions, {**options, "no_store": False})
    with Interrupts().caught() as interrupts:
        with followed(how, interrupts.stop) as control:
            from mp2.pipeline import luck_request

            with at_cluster(control, options) as there:
                tested = luck_request(
                    run,
                    there,
                    luck=luck_from(options, prices),
                    hold=hold,
                    budget_s=budget_s,
                    workers=workers,
                )
        # The groups with their new p-values; the request is in the database.
        return present_found(tested, how)
