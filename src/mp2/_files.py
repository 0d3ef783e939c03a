"""Paths as a user names them, and files that only their owner may read."""

from __future__ import annotations

import os
from contextlib import suppress
from os import PathLike
from pathlib import Path

from mp2.errors import InputError, plain

_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def make_private(path: Path) -> None:
    """Make an empty file unless there is something of that name, which is left as it is. Raises OSError."""
    with suppress(FileExistsError):
        os.close(os.open(path, _NEW | os.O_RDWR, 0o600))


def make_new(path: Path) -> None:
    """Make an empty file as the umask says. Raises OSError, FileExistsError when there is something of that name."""
    os.close(os.open(path, _NEW | os.O_WRONLY, 0o666))


def write_private(path: Path, text: str) -> None:
    """Write a new file in UTF-8, whole or not at all. Raises OSError, FileExistsError when there is something of that name."""
    with open(os.open(path, _NEW | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise


def others_may_read(path: Path) -> bool:
    """Whether anybody but the owner may read a file; False where the system has no such permissions. Raises OSError."""
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)


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
