"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2.cli.session import Interrupts, Session, note_kept
from mp2.cli.views import echo_document, say

if TYPE_CHECKING:
    from mp2.storage.recorder import Keeper
    from mp2.storage.runs import Store


JSON_GROUPS = 20


def _note_json(context: click.Context, option: click.Parameter, value: bool) -> bool:
    session = context.find_object(Session)
    if session is not None:
        session.as_json = value
    return value


def _database(context: click.Context, option: click.Parameter, value: Path | None) -> Path:
    """The database of the command itself, else of the nearest command before it."""
    above = context.parent
    while value is None and above is not None:
        value, above = above.params.get("db"), above.parent
    return value or Path("mp2.db")


DB_OPTION = click.option(
    "--db",
    type=click.Path(path_type=Path),
    callback=_database,
    help="database of runs [default: mp2.db, or MP2_DB]",
)


JSON_OPTION = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_note_json,
    help="one JSON document on stdout",
)


JSON_GROUPS_OPTION = click.option(
    "--json-groups",
    type=click.IntRange(0),
    default=JSON_GROUPS,
    show_default=True,
    help="groups per size in the JSON document",
)


SHOW_OPTION = click.option(
    "--show",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="groups per size in the tables",
)


def flat(
    context: click.Context, option: click.Parameter, values: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    """The names of an option that may be repeated and takes several each time."""
    return tuple(name for names in values for name in names)


@contextmanager
def opened_keeper(options: Mapping[str, Any]) -> Iterator[Keeper | None]:
    """The store a command writes to, in its own thread; None when its options say that nothing is stored."""
    if options["no_store"]:
        yield None
        return
    from mp2.storage.recorder import EVERY_S, Keeper
    from mp2.storage.runs import Store

    with Keeper(lambda: Store(options["db"]), every_s=options.get("checkpoint", EVERY_S)) as keeper:
        yield keeper


@contextmanager
def reading(db: Path) -> Iterator[Store]:
    """The store at `db`, which is only read."""
    from mp2.storage.runs import Store

    with Store(db, read_only=True) as store:
        yield store


def delete_stored(
    what: str,
    db: Path,
    find: Callable[[Store], str],
    delete: Callable[[Store, str], None],
    as_json: bool,
) -> int:
    """Delete what `find` names (a run, a scan), say so, and return the exit code; a signal meanwhile waits until it is done."""
    from mp2.storage.runs import Store

    with Interrupts().caught() as interrupts:
        with Store(db, must_exist=True) as store:
            name = find(store)
            note_kept(f"{what} {name} is deleted, or whole")
            delete(store, name)
        if as_json:
            echo_document(deleted=name)
        else:
            say(f"Deleted {what} {name}.")
        return interrupts.exit_code or 0
