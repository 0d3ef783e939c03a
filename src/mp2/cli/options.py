"""Options that commands share, and the typed records in which their values reach the code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mp2._document import Fields, Names
from mp2.cli import settings
from mp2.cli.log_file import begin_log
from mp2.cli.output_files import OutputOption, check_outputs
from mp2.cli.session import Interrupts, Session, note_kept
from mp2.cli.views import document, present
from mp2.data.holding import DAY_HOLD, HOLDS

if TYPE_CHECKING:
    from mp2.storage.runs import Store

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
RecordT = TypeVar("RecordT")


def options_record(kind: type[RecordT], values: Fields) -> RecordT:
    """Build a record of options from the values that click parsed; its fields have their names."""
    # A command has options that are no field, such as those that other records take.
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values[name] for name in names})


def with_options(*groups: tuple[Callable[[Any], Any], ...]) -> Callable[[CommandT], CommandT]:
    """Decorate a command with groups of options, in this order."""

    def decorate(command: CommandT) -> CommandT:
        # Decorators apply from the last to the first.
        for group in reversed(groups):
            for option in reversed(group):
                command = option(command)
        return command

    return decorate


class Command(click.Command):
    """A command that checks its outputs, and then begins its log."""

    def invoke(self, context: click.Context) -> Any:
        """Check the outputs, begin the log, run the command."""
        # First: the log is one of the outputs, and is not opened where it is refused.
        check_outputs(context)
        begin_log(context.ensure_object(Session), context)
        return super().invoke(context)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def file_option(*names: str, **more: Any) -> Callable[[CommandT], CommandT]:
    """Make an option whose value is a path."""
    return click.option(*names, type=click.Path(path_type=Path), **more)


def output_option(*names: str, **more: Any) -> Callable[[CommandT], CommandT]:
    """Make an option that names a file to write."""
    return file_option(*names, cls=OutputOption, **more)


def number_option(
    name: str,
    default: int,
    meaning: str,
    *,
    least: int = 1,
) -> Callable[[CommandT], CommandT]:
    """Make an option whose value is a whole number from `least` up."""
    kind = click.IntRange(least)
    return click.option(name, type=kind, default=default, show_default=True, help=meaning)


def flat(
    context: click.Context,
    option: click.Parameter,
    values: tuple[Names, ...],
) -> Names:
    """Join the names of an option that may be repeated and takes several each time."""
    return tuple(name for names in values for name in names)


DEFAULT_DB = Path("mp2.db")


# --- output ----------------------------------------------------------------------------------


def _note_json(
    context: click.Context,
    option: click.Parameter,
    value: bool,
) -> None:
    context.ensure_object(Session).as_json = value


JSON_OPTION = click.option(
    "--json",
    "as_json",
    is_flag=True,
    # Before other options are checked: their errors are JSON then too.
    is_eager=True,
    expose_value=False,
    callback=_note_json,
    help="one JSON document on stdout",
)
"""Noted in the session: `views.present` prints what was asked for."""

JSON_GROUPS_OPTION = number_option(
    "--json-groups", 20, "groups per size in the JSON document", least=0
)
LIMIT_OPTION = number_option("--limit", 50, "how many are listed, 0 for all", least=0)
SHOW_OPTION = click.option(
    "--show",
    type=click.IntRange(0),
    help="tickers in the table, and with --groups ideas per size [default: as many tickers as a "
    "screen of 30 lines holds; 10 ideas]",
)
GROUPS_OPTION = click.option(
    "--groups", is_flag=True, help="show the best ideas of each size, a group each"
)
HEARTBEAT_OPTION = click.option(
    "--heartbeat",
    type=settings.DURATION,
    default="10s",
    show_default=True,
    help="interval of the log's heartbeat",
)
PROGRESS_OPTION = click.option("--no-progress", is_flag=True, help="no live display")


# --- prices, signals, picks ------------------------------------------------------------------


# The options below have the names of the fields of the records in `mp2.storage.request`, which
# are made of them.
def _reading_options(example: str) -> tuple[Callable[[Any], Any], ...]:
    return (
        click.option(
            "--columns",
            type=settings.PAIRS,
            default="",
            help=f"other column names, as {example},...",
        ),
        click.option("--table", help="table of a database file"),
        click.option("--query", help="query on a database file"),
        click.option("--timezone", help="zone whose days count for instants, as Asia/Tokyo"),
        click.option("--date-format", help="how dates are written, as %d/%m/%Y"),
        click.option(
            "--decimal",
            type=click.Choice((".", ",")),
            help="mark of decimals in texts [default: as the numbers show]",
        ),
        click.option(
            "--strict",
            is_flag=True,
            help="what would be tolerated with a warning is an error",
        ),
    )


def _hold_option(**more: Any) -> Callable[[CommandT], CommandT]:
    return click.option("--hold", type=click.Choice(HOLDS), **more)


def _cost_option(**more: Any) -> Callable[[CommandT], CommandT]:
    return click.option("--cost-bps", type=float, **more)


_COST = "cost of buying and of selling, each, in hundredths of a percent: adds net returns"
COST_OPTION = _cost_option(default=0.0, show_default=True, help=_COST)
RUN_COST_OPTION = _cost_option(help=f"{_COST} [default: that of the run]")
HOLD_OPTION = _hold_option(
    default=DAY_HOLD,
    show_default=True,
    help="at which price picks of a day are bought and sold; a win is a return above 0",
)
RUN_HOLD_OPTION = _hold_option(help="rule of outcomes, which has to be that of the run")
PRICES_OPTIONS = (
    *_reading_options("date=NAME,close=NAME, or without a header 1=date,2=open"),
    click.option("--ticker", help="ticker of prices that have no column of tickers"),
    click.option(
        "--adjusted",
        type=click.Choice(("auto", "yes", "no")),
        default="auto",
        show_default=True,
        help="use adjusted prices that stand beside those as traded: where there are any, "
        "always (else an error), never",
    ),
)
TABLE_OPTIONS = _reading_options("algo=NAME,day=NAME")
END_OPTION = click.option(
    "--end", help="last day, as 2024-04-18 [default: the last date of the prices]"
)
GRIDS_OPTION = file_option(
    "--grids", help="TOML file of algorithms and parameters over the defaults"
)
SIGNALS_OPTIONS = (
    click.option(
        "--days",
        "n_days",
        type=click.IntRange(1),
        default=5,
        show_default=True,
        help="trading days of signals",
    ),
    END_OPTION,
    GRIDS_OPTION,
)
PICK_OPTIONS = (
    number_option("--min-tickers", 1, "fewest tickers of a pick"),
    number_option("--top-groups", 50, "groups per size that vote"),
)


# --- the database ----------------------------------------------------------------------------


def _database(
    context: click.Context,
    option: click.Parameter,
    value: Path | None,
) -> Path:
    """Return the database of the command itself, else of the nearest command before it."""
    # `mp2 --db x runs list`, `mp2 runs --db x list` and `mp2 runs list --db x` are the same.
    above = context.parent
    while value is None and above is not None:
        value = above.params.get("db")
        above = above.parent
    return value or DEFAULT_DB


DB_OPTION = file_option(
    "--db", callback=_database, help="database of runs [default: mp2.db, or MP2_DB]"
)


def db_words(db: Path) -> str:
    """Return the words that name a database in a command for people; none for the usual one."""
    return "" if db == DEFAULT_DB else f"--db {db} "


def reading(db: Path) -> Store:
    """Return the store at `db` for reading only, as a context manager."""
    from mp2.storage.runs import Store

    return Store(db, read_only=True)


def older(n_stored: int, limit: int) -> list[str]:
    """Return the line under a list that does not show all."""
    if not limit or n_stored <= limit:
        return []
    return [f"{n_stored - limit:,} older ones are not shown; --limit 0 lists all"]


def delete_stored(
    what: str,
    db: Path,
    find: Callable[[Store], str],
    delete: Callable[[Store, str], None],
) -> None:
    """Delete what `find` names (a run, a scan) and report it.

    A signal meanwhile waits until the deletion is done.
    """
    from mp2.storage.runs import Store

    with Interrupts().caught():
        # A database that is missing is an error: it would be made, with nothing in it to delete.
        with Store(db, must_exist=True) as store:
            name = find(store)
            note_kept(f"{what} {name} is deleted, or whole")
            delete(store, name)
        present(document(deleted=name), f"Deleted {what} {name}.")
