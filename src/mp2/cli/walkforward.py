"""`mp2 walkforward`: search and outcome over past weeks, stored and resumable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mp2._document import Document
from mp2.cli import settings
from mp2.cli.cluster import CLUSTER_OPTIONS, cluster_client
from mp2.cli.completion import complete_walks
from mp2.cli.logs import observed, start_logging
from mp2.cli.options import (
    COST_OPTION,
    DB_OPTION,
    END_OPTION,
    GRIDS_OPTION,
    HEARTBEAT_OPTION,
    HOLD_OPTION,
    JSON_OPTION,
    PICK_OPTIONS,
    PRICES_OPTIONS,
    PROGRESS_OPTION,
    db_words,
    number_option,
    output_option,
    reading,
    with_options,
)
from mp2.cli.output_files import check_folder, check_unread, write_table
from mp2.cli.search_options import (
    COUNT_OPTIONS,
    WALK_LUCK_OPTIONS,
    WORKERS_OPTION,
    RulesCommand,
    luck_from,
    rule_options,
    rules_from,
)
from mp2.cli.session import Interrupts, current_session, note_kept
from mp2.cli.views import count_findings, present, say
from mp2.errors import ExitCode, InputError

if TYPE_CHECKING:
    from mp2.picks.weeks import WalkForward
    from mp2.storage.request import WalkRequest
    from mp2.walking import WalkControl


class WalkCommand(RulesCommand):
    """A walk-forward, whose log and output must not be files that a resumed one reads."""

    def invoke(self, context: click.Context) -> Any:
        """Check these files before one of them is opened."""
        given = context.params
        if given["resume"] is not None:
            with reading(given["db"]) as store:
                files = store.load_walk_request(store.find_walk(given["resume"])).run.files
            check_unread("--log-file", current_session().log_file, files)
            check_unread("--output", given["output"], files)
        return super().invoke(context)


@click.command(cls=WalkCommand)
@click.argument("prices", type=click.Path(path_type=Path), required=False)
@click.option(
    "--resume",
    shell_complete=complete_walks,
    help="continue a stored walk-forward instead: its id, the beginning of it, or 'last'",
)
@number_option("--weeks", 26, "weeks that are judged")
@click.option(
    "--budget-per-week",
    "budget_s_per_week",
    type=settings.DURATION,
    default="10s",
    show_default=True,
    help="time for each search",
)
@WORKERS_OPTION
@END_OPTION
@GRIDS_OPTION
@with_options(CLUSTER_OPTIONS, PRICES_OPTIONS, PICK_OPTIONS, COUNT_OPTIONS, WALK_LUCK_OPTIONS)
@rule_options
@HOLD_OPTION
@COST_OPTION
@output_option("-o", "--output", help="CSV file for the table of days, their picks and returns")
@click.option("--no-store", is_flag=True, help="do not store the walk-forward")
@HEARTBEAT_OPTION
@PROGRESS_OPTION
@DB_OPTION
@JSON_OPTION
def walkforward(
    prices: Path | None,
    resume: str | None,
    db: Path,
    no_store: bool,
    output: Path | None,
    heartbeat: float,
    no_progress: bool,
    **options: Any,
) -> int:
    """Search past weeks of PRICES, pick for the week after each, and compare with all tickers.

    Each week is stored when it is finished. A walk-forward that was interrupted, or whose process
    was killed, continues after its last week with --resume: the settings are those it began with,
    and PRICES is needed only where the file was moved. 'mp2 walks' lists what is stored.
    """
    from mp2.cli.pick_view import walk_view
    from mp2.walking import WalkControl, WalkInputs, resume_walk_request, walk_request

    if prices is None and resume is None:
        # As click says it where an argument is required.
        raise click.UsageError("Missing argument 'PRICES'.")
    if output is not None:
        check_folder(output)
    if resume is not None:
        if no_store:
            raise InputError("--no-store: --resume stores the weeks with the others; leave one out")
        _check_same_settings(resume, db, options)
    with Interrupts().caught() as interrupts:
        screen = start_logging()
        with (
            cluster_client(options) as client,
            observed(screen, "weeks", live=not no_progress, heartbeat_s=heartbeat) as observe,
        ):
            control = WalkControl(
                stop=interrupts.stop, observe=observe, executor=client, slots=options["slots"]
            )
            if resume is not None:
                control = _stored(control, db)
                walk = resume_walk_request(resume, control, source=prices, **_changes(options))
            else:
                # There are prices: without --resume they were asked for above.
                request = _request(Path(prices or ""), options)
                if not no_store:
                    control = _stored(control, db)
                walk = walk_request(request, control, WalkInputs())
        if prices is not None:
            count_findings(prices, walk.warnings)
        # The result is printed first: a file that fails must not take it away.
        present(walk.to_dict(), walk_view(walk), *_where_stored(walk))
        if walk.store_error:
            say(f"mp2: {walk.store_error}", err=True)
        if output is not None:
            write_table(walk.daily_frame(), output)
    return ExitCode.FAILED if walk.store_error else ExitCode.OK


def _stored(control: WalkControl, db: Path) -> WalkControl:
    """Return the control of a walk-forward that is stored in a database."""
    from mp2.storage.walk_recorder import WalkStoring

    storing = WalkStoring(
        db=db,
        on_begin=lambda walk_id: note_kept(
            f"mp2 {db_words(db)}walkforward --resume {walk_id} continues after the last stored week"
        ),
    )
    return replace(control, storing=storing)


def _where_stored(walk: WalkForward) -> Iterator[str]:
    if walk.walk_id is not None:
        line = f"Stored as walk {walk.walk_id}."
        if len(walk.weeks) < walk.n_weeks:
            line += f" mp2 walkforward --resume {walk.walk_id} goes on."
        yield line


def _request(prices: Path, options: Document) -> WalkRequest:
    from mp2.groups.settings import SearchSettings
    from mp2.picks.costs import check_cost
    from mp2.storage.inputs import last_day
    from mp2.storage.request import (
        PickSettings,
        PricesFile,
        Request,
        SignalSettings,
        WalkRequest,
    )

    check_cost(options["cost_bps"])
    source = PricesFile(path=prices, **options)
    search = SearchSettings(
        budget_s=options["budget_s_per_week"],
        workers=options["workers"],
        rules=rules_from(options),
        count=options["count"],
        keep=options["keep"],
        without=options["without"],
        table_memory=options["table_memory"],
    )
    run = Request(
        source=source,
        search=search,
        signals=SignalSettings(end=last_day(source, options["end"]), grids=options["grids"]),
        picks=PickSettings(**options),
        luck=luck_from(options),
        hold=options["hold"],
        cost_bps=options["cost_bps"],
    )
    return WalkRequest(run=run, weeks=options["weeks"])


_MAY_CHANGE = ("workers", "table_memory")
"""Options that change only how long a resumed walk takes."""


def _is_given(name: str) -> bool:
    """Whether an option is on the command line.

    What the file, the environment or a default says need not be what a walk began with.
    """
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _changes(options: Document) -> Document:
    return {name: options[name] for name in _MAY_CHANGE if _is_given(name)}


_SETTING_OF = {"budget_s_per_week": "budget_s", "null_seed": "seed"}
"""Options whose setting in a request has another name."""


def _check_same_settings(
    resume: str,
    db: Path,
    options: Document,
) -> None:
    """Raise `InputError` for options on the command line that a stored walk did not begin with."""
    from mp2.storage.configuration import flattened

    context = click.get_current_context()
    with reading(db) as store:
        walk_id = store.find_walk(resume)
        began_with = store.load_walk_request(walk_id)
    began = {"weeks": began_with.weeks, **flattened(began_with.run)}
    # The path does not count: a file that was moved is no other setting.
    asked = _request(Path(), options)
    given = {"weeks": asked.weeks, **flattened(asked.run)}
    others: list[str] = []
    for param in context.command.params:
        name = str(param.name)
        if name in _MAY_CHANGE or not _is_given(name):
            continue
        setting = _SETTING_OF.get(name, name)
        # Columns have keys of their own below that of the setting.
        keys = [key for key in given if setting in key.split(".")]
        if any(given[key] != began.get(key) for key in keys):
            others.append(f"{param.opts[0]} {', '.join(str(began.get(key)) for key in keys)}")
    if others:
        raise InputError(
            f"walk {walk_id} began with {', '.join(others)}: leave other settings out, or begin a "
            "new walk-forward"
        )
