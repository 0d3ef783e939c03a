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
