"""`mp2 search`: a table of signals searched for the best consensus groups."""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli import settings
from mp2.cli.cluster import CLUSTER_OPTIONS, at_cluster
from mp2.cli.options import (
    COST_OPTION,
    HOLD_OPTION,
    TABLE_OPTIONS,
    file_option,
    number_option,
    options_record,
    with_options,
)
from mp2.cli.search_options import (
    RulesCommand,
    RunOptions,
    luck_from,
    search_options,
    settings_from,
)
from mp2.cli.session import Interrupts
from mp2.cli.views import document, present
from mp2.errors import ExitCode

if TYPE_CHECKING:
    from mp2.storage.request import Request


@click.command(cls=RulesCommand)
@click.argument("path", metavar="TABLE", type=click.Path(path_type=Path))
@search_options
@click.option(
    "--dry-run", is_flag=True, help="read and check the table, print its sizes, search nothing"
)
@with_options(CLUSTER_OPTIONS, TABLE_OPTIONS)
@file_option("--outcomes", help="table of day, ticker and open, close or win")
@click.option(
    "--algos",
    type=settings.NAMES,
    default="",
    help="order of the algorithms [default: as they appear]",
)
@click.option(
    "--days",
    type=settings.NAMES,
    default="",
    help="further days, without buys, separated by commas",
)
@number_option(
    "--shift",
    0,
    "sessions from a signal's day to the day it counts: 1 if computed at the close",
    least=0,
)
@HOLD_OPTION
@COST_OPTION
@file_option("--prices", help="daily bars, for a test against the winners of other days")
def search(
    path: Path,
    dry_run: bool,
    prices: Path | None,
    **options: Any,
) -> int:
    """Search TABLE, a long table of signals, for the best consensus groups.

    TABLE is a Parquet, CSV (also .gz) or SQLite file with the columns algo, variation, day, ticker
    and either open and close or win.

    The signal of a day must be known before that day's open. Signals that are computed at the close
    count from the next session on: --shift 1. A rule that sells on the next session (--hold) needs
    --outcomes with open and close.
    """
    from mp2.cli.found import followed, present_found
    from mp2.picks.costs import check_cost
    from mp2.storage.request import Request, SignalsFile

    check_cost(options["cost_bps"])
    how = options_record(RunOptions, options)
    source = SignalsFile(path=path, **options)
    request = Request(
        source=source,
        search=settings_from(options),
        luck=luck_from(options, prices),
        hold=options["hold"],
        cost_bps=options["cost_bps"],
    )
    with Interrupts().caught() as interrupts:
        with followed(how, interrupts.stop) as control:
            from mp2.pipeline import search_request

            if dry_run:
                return _dry_run(request, interrupts.stop)
            with at_cluster(control, options) as there:
                result = search_request(request, there)
        return present_found(result, how, request)


def _dry_run(request: Request, stop: threading.Event) -> ExitCode:
    """Print the sizes of the table and of the space, and what a search needs."""
    from mp2.cli.search_view import luck_memory_text, summary_view
    from mp2.evidence.replicates import memory_needed as luck_memory
    from mp2.groups.exclusions import why_impossible
    from mp2.groups.memory import mean_starter_s, memory_needed
    from mp2.groups.settings import check_settings
    from mp2.groups.space import panel_summary
    from mp2.storage.inputs import read_panel

    panel = read_panel(request.source, stop, hold=request.hold)
    check_settings(request.search, panel.algos)
    rules = request.search.rules
    summary = panel_summary(panel, rules.max_size)
    needed = memory_needed(
        panel,
        rules,
        request.search.workers,
        request.search.keep,
        request.search.table_memory,
        mean_starter_s(request.search, panel.n_variations),
    )
    sizes = {**asdict(summary), "memory_bytes": needed}
    replicates = request.luck.settings.replicates
    test_bytes = 0
    # Where wins differ between variations there is no test.
    if replicates and panel.consistent:
        test_bytes = luck_memory(panel, rules, replicates, request.search.workers)
    warnings = [*panel.warnings, *why_impossible(panel, rules)]
    content = document(
        status="dry_run",
        warnings=warnings,
        **sizes,
        replicates=replicates,
        replicates_memory_bytes=test_bytes,
    )
    present(content, summary_view(summary, needed), *luck_memory_text(replicates, test_bytes))
    return ExitCode.OK
