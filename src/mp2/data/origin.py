"""Where a table was read from, so that it can be read again."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mp2._document import Fields
from mp2.data.reading import Reading


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """A path, and the other arguments with which its reader was called."""

    path: Path
    options: Fields


def file_origin(
    source: Any,
    reading: Reading,
    **options: Any,
) -> FileOrigin | None:
    """Return the origin of a table read from `source`; None for a frame, which only its owner has.

    Options that are not given, or empty, are left out.
    """
    if not isinstance(source, str | PathLike):
        return None
    given = {name: value for name, value in options.items() if value}
    return FileOrigin(Path(source), reading.given() | given)
