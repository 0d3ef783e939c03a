"""`mp2 resume`: take up a run that was stopped, ran out of time, or whose process died."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mp2.cli import run as cli_run
from mp2.cli import search as cli_search
from mp2.cli import settings
from mp2.cli.options import DB_OPTION, JSON_GROUPS_OPTION, JSON_OPTION, SHOW_OPTION
from mp2.cli.session import Session
from mp2.errors import InputError
from mp2.groups.result import Status

_COMMANDS: Mapping[str, click.Command] = {
    str(command.name): command for command in (cli_search.search, cli_run.run, cli_run.demo)
}
_SOURCES = {"search": "table", "run": "prices"}


@click.command()
@click.argument("run")
@click.option(
    "--budget",
    type=settings.DURATION,
    help="time to go on for [default: what the run was given at first]",
)
@click.option("--workers", type=int, help="kernels that run at once [default: as at first]")
@click.option(
    "--max-attempts",
    type=int,
    help="exact work per starter, all sessions together, instead of time limits [default: as at first, unless that is done]",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="where the table or the prices are now, if they were moved",
)
@JSON_OPTION
@JSON_GROUPS_OPTION
@SHOW_OPTION
@DB_OPTION
@cli_search.CHECKPOINT_OPTION
@click.option(
    "--heartbeat",
    type=settings.DURATION,
    default="10s",
    show_default=True,
    help="interval of the log's heartbeat",
)
@click.option("--no-progress", is_flag=True, help="no live display")
@click.pass_context
def resume(context: click.Context, /, run: str, source: Path | None, **options: Any) -> int:
    """Go on with RUN, a stored run that did not come to its end, as if it had never stopped.

    RUN is a run's id, the beginning of it, or 'last'. Its table and options are those it began with: a table that has changed
    is refused. What a session found is kept, and the result replaces the one before; times and budgets are sums.
    """
    from mp2.storage.runs import Store

    with Store(options["db"], read_only=True) as store:
        run_id = store.find(run)
        request = store.load_request(run_id)
        status = store.status(run_id)
    if (
        status == Status.WORK_LIMIT
    ):  # what it was to do is done: more is for the budget, unless a higher limit is given
        request["last"]["max_attempts"] = None
    session = context.ensure_object(Session)
    session.resume = run_id
    command = _COMMANDS[request["command"]]
    asked = {
        name: value
        for name, value in options.items()
        if value is not None or name not in request["last"]
    }
    result: int = context.invoke(
        command, **_params(command, request, source), no_store=False, **request["last"] | asked
    )
    return result


def _params(
    command: click.Command, request: Mapping[str, Any], source: Path | None
) -> dict[str, Any]:
    """The stored options as the command's function takes them."""
    known = {param.name: param for param in command.params}
    params = {
        name: _value(known[name], value)
        for name, value in request["options"].items()
        if name in known
    }
    if source is not None:
        if request["command"] not in _SOURCES:
            raise InputError(
                f"--source: a run of mp2 {request['command']} reads no file; leave it out"
            )
        params[_SOURCES[request["command"]]] = source
    return params


def _value(param: click.Parameter, value: Any) -> Any:
    if isinstance(param.type, click.Path) and value is not None:
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
