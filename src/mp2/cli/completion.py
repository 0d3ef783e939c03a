"""What a shell completes: ids of stored runs, scans and walk-forwards, names of scanners.

A completion has no place for an error: without a database, or with one that cannot be read, there
is nothing to choose from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from mp2.cli.options import DEFAULT_DB, reading
from mp2.errors import Mp2Error

if TYPE_CHECKING:
    from mp2.storage.runs import Store

RecordT = TypeVar("RecordT")

# A large database must not delay the shell, nor its list fill the screen.
_N_NEWEST = 50


def _newest(
    read: Callable[[Store], list[RecordT]],
    described: Callable[[RecordT], tuple[str, str]],
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return what completes the ids of stored records, with a few words on each as help."""

    def complete(
        context: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem]:
        records: list[RecordT] = []
        # What cannot be read completes nothing.
        with suppress(Mp2Error), reading(_database(context)) as store:
            records = read(store)
        return list(_fitting(map(described, records), incomplete))

    return complete


complete_runs = _newest(
    lambda store: store.runs(_N_NEWEST),
    lambda run: (run.run_id, f"{run.status}, {run.source}"),
)
complete_scans = _newest(
    lambda store: store.scans(_N_NEWEST),
    lambda scan: (scan.scan_id, f"{scan.status}, {scan.day}"),
)
complete_walks = _newest(
    lambda store: store.walks(_N_NEWEST),
    lambda walk: (walk.walk_id, f"{walk.status}, {walk.source}"),
)


def complete_scanners(
    context: click.Context,
    param: click.Parameter,
    incomplete: str,
) -> list[CompletionItem]:
    """Return the scanners, with their summaries as help; after a comma the next one."""
    from mp2.discovery.registry import find_scanners

    before, comma, word = incomplete.rpartition(",")
    scanners: list[tuple[str, str]] = []
    for one in find_scanners():
        summary = getattr(one.scanner, "summary", "")
        scanners.append((f"{before}{comma}{one.name}", summary))
    return list(_fitting(scanners, f"{before}{comma}{word.strip()}"))


def _fitting(
    values: Iterable[tuple[str, str]],
    incomplete: str,
) -> Iterator[CompletionItem]:
    for value, meaning in values:
        if value.startswith(incomplete):
            yield CompletionItem(value, help=meaning)


def _database(context: click.Context) -> Path:
    """Return the database of the command; the option may stand before or after the word."""
    current: click.Context | None = context
    while current is not None:
        path: Any = current.params.get("db")
        if path is not None:
            return Path(path)
        current = current.parent
    return DEFAULT_DB


RUN_ARGUMENT = click.argument("run", shell_complete=complete_runs)
OPTIONAL_RUN_ARGUMENT = click.argument("run", required=False, shell_complete=complete_runs)
WALK_ARGUMENT = click.argument("walk", shell_complete=complete_walks)
SCAN_ARGUMENT = click.argument("scan", shell_complete=complete_scans)
SCANNER_ARGUMENT = click.argument("name", shell_complete=complete_scanners)
