"""A path as it was named by a user, for the system."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mp2.errors import InputError, plain


def expanded(named: str | PathLike[str]) -> Path:
    """The path with `~` and `~user` as home directories; as a shell does, a name of no user is left as it is.

    Raises `InputError` for a null character, which no path can hold.
    """
    path = Path(named)
    if "\0" in str(path):
        raise InputError(f"{plain(path)}: holds a null character; take it out")
    try:
        return path.expanduser()
    except RuntimeError:
        return path
