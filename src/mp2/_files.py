"""Paths as a user names them, settings files, and files that only their owner may read."""

from __future__ import annotations

import os
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from mp2._document import Document
from mp2.errors import InputError, plain

# A symbolic link that somebody else has put at the path is not followed.
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OWNER_ONLY = 0o600


def make_private(path: Path) -> None:
    """Make an empty file for its owner only; an existing file stays as it is. Raises OSError."""
    with suppress(FileExistsError):
        os.close(_opened_new(path, os.O_RDWR, _OWNER_ONLY))


def make_folder(path: Path) -> None:
    """Make a folder for its owner only, and those above it; an existing one stays as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
        path.chmod(0o700)


def make_new(path: Path) -> None:
    """Make an empty file with the permissions of the umask. Raises OSError if there is a file."""
    os.close(_opened_new(path, os.O_WRONLY, 0o666))


def _opened_new(
    path: Path,
    how: int,
    mode: int,
) -> int:
    """Create a file and return its descriptor; its owner may use it whatever the umask says."""
    descriptor = os.open(path, _NEW | how, mode)
    if os.name == "posix":
        os.fchmod(descriptor, os.fstat(descriptor).st_mode | _OWNER_ONLY)
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a new file in UTF-8 for its owner only, whole or not at all.

    Raises OSError, FileExistsError when there is a file of that name.
    """
    descriptor = _opened_new(path, os.O_WRONLY, _OWNER_ONLY)
    with open(descriptor, "w", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file beside `path`, which takes its place at the end of the block.

    A reader sees the former file or the whole new one. Raises OSError.
    """
    part = path.with_name(f".mp2-{secrets.token_hex(4)}.part")
    try:
        make_new(part)
        if path.exists():
            shutil.copymode(path, part)
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def others_may_read(path: Path) -> bool:
    """Return whether others than the owner may read a file. Raises OSError.

    False where the system has no such permissions.
    """
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)


def expanded(named: str | PathLike[str]) -> Path:
    """Return a path with `~` and `~user` as home directories, as a shell expands them.

    Raises `InputError` for a null character, which no path can hold.
    """
    path = Path(named)
    if "\0" in str(path):
        raise InputError(f"{plain(path)}: holds a null character; take it out")
    try:
        return path.expanduser()
    except RuntimeError:  # a shell leaves the name of an unknown user as it is
        return path


def read_toml(path: Path, kind: str) -> Document:
    """Read a TOML document in UTF-8, with or without a byte order mark.

    `kind` is what messages call the file, "settings file". Raises `InputError` when it cannot be
    read or parsed.
    """
    path = expanded(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a {kind} that can be read") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}; correct it there") from error
