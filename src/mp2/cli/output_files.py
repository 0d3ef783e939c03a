"""Output files: replaced only once they are whole."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mp2._files import make_new
from mp2.cli.session import current_session
from mp2.errors import InputError


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """The file to write, which is `output` once it is whole; the errors of writing become one message."""
    from polars.exceptions import PolarsError

    kept = current_session().kept
    try:
        with _put_in_place(output) as path:
            kept.append(
                f"{output} may be cut short"
                if path == output
                else f"{output} is written, or as it was"
            )
            yield path
    except (OSError, PolarsError) as error:
        raise InputError(
            f"{output}: {getattr(error, 'strerror', None) or error}; choose a file that can be written"
        ) from error
    kept[-1] = f"{output} was written"


@contextmanager
def _put_in_place(output: Path) -> Iterator[Path]:
    """A file beside `output` that replaces it at the end of the block; `output` itself where that cannot be (a pipe)."""
    target = Path(os.path.realpath(output))
    if not _is_replaceable(output, target):
        yield output
        return
    part = target.with_name(f".mp2-{secrets.token_hex(4)}.part")
    try:
        make_new(part)
        if target.exists():
            shutil.copymode(target, part)
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _is_replaceable(output: Path, target: Path) -> bool:
    """Whether a new file may take the place of the one that `output` leads to: one that may be written, or none yet."""
    is_free = not output.exists() and not os.path.lexists(target)
    return (is_free or (output.is_file() and os.access(target, os.W_OK))) and os.access(
        target.parent, os.W_OK
    )
