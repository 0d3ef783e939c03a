"""Output files: never one that is read, and replaced only once they are whole."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mp2._files import make_new
from mp2.cli.session import current_session
from mp2.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from mp2.picks.records import DayPicks


class OutputOption(click.Option):
    """An option that names a file to write."""


def check_outputs(context: click.Context) -> None:
    """Raise `InputError` when an output of a command is a file that it reads or writes otherwise.

    All files named by arguments, options and settings count, also the database and the log.
    """
    files: list[tuple[click.Parameter, Path]] = []
    current: click.Context | None = context
    while current is not None:
        for parameter in current.command.params:
            value = current.params.get(parameter.name or "")
            if isinstance(value, Path):
                files.append((parameter, value))
        current = current.parent
    outputs = [entry for entry in files if isinstance(entry[0], OutputOption)]
    for output, path in outputs:
        for other, other_path in files:
            if other.name != output.name and is_same_file(path, other_path):
                raise InputError(
                    f"{output.opts[-1]} {path}: is the file of {_name(other)}; name another file"
                )


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.metavar or parameter.opts[0].upper()
    return parameter.opts[-1]


def is_same_file(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, also before it exists."""
    # A pipe or device may be written to and read from under one name.
    if path.exists() and not path.is_file():
        return False
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def check_unread(
    option: str,
    path: Path | None,
    files: Iterable[Path],
) -> None:
    """Raise `InputError` when what an option writes is a file that a stored run reads."""
    for read in files:
        if path is not None and is_same_file(path, read):
            raise InputError(f"{option} {path}: is a file that the run reads; name another file")


def check_folder(output: Path) -> None:
    """Raise `InputError` when the folder of an output does not exist, before long work begins."""
    if not output.parent.is_dir():
        raise InputError(f"{output}: there is no such folder; choose a file that can be written")


def write_picks(picks: DayPicks, output: Path) -> None:
    """Write the table of picked tickers and votes as CSV."""
    write_table(picks.to_frame(), output)


def write_table(frame: pl.DataFrame, output: Path) -> None:
    """Write a table as CSV for spreadsheets."""
    from mp2.groups.export import for_spreadsheets

    with writing(output) as part:
        for_spreadsheets(frame).write_csv(part)


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Yield the file to write; it becomes `output` at the end of the block.

    It is a new file beside `output`, or `output` itself where that cannot be replaced (a pipe).
    Raises `InputError` for errors of writing.
    """
    from polars.exceptions import PolarsError

    kept = current_session().kept
    # A link stays, and the file it points to is replaced.
    target = Path(os.path.realpath(output))
    if target.exists():
        is_replaceable = target.is_file() and os.access(target, os.W_OK)
    else:
        is_replaceable = not os.path.lexists(target)
    part = output
    if is_replaceable and os.access(target.parent, os.W_OK):
        # In the same folder: a rename to another file system would be a copy.
        part = target.with_name(f".mp2-{secrets.token_hex(4)}.part")
        kept.append(f"{output} is written, or as it was")
    else:
        kept.append(f"{output} may be cut short")
    try:
        if part != output:
            make_new(part)
            # A new file has the permissions of the umask; a replaced one keeps its own.
            if target.exists():
                shutil.copymode(target, part)
        yield part
        # A rename: readers see the former file or the whole new one.
        if part != output:
            part.replace(target)
    except (OSError, PolarsError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{output}: {cause}; choose a file that can be written") from error
    finally:
        if part != output:
            part.unlink(missing_ok=True)
    kept[-1] = f"{output} was written"
