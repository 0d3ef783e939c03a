"""Files for their owner's eyes only, whatever the umask, and new files; never through a link that somebody has put there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

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
