"""A library in Rust that cannot get its memory aborts the process, which Python cannot catch: what is still said then.

It happens when a damaged Parquet file claims to hold more than there is. The command line says beforehand how its errors look
(`told_by`), and whoever calls such a library says which file it is at (`reading`). Without a command line nothing is done: an
abort in a notebook stays what it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Teller = Callable[[str], tuple[bytes, bytes]]
"""Gives what a problem looks like on stderr and on stdout."""

EXIT_CODE = 2

_lock = threading.Lock()
_paths: list[Path] = []
_teller: Teller | None = None


@contextmanager
def told_by(teller: Teller) -> Iterator[None]:
    """Inside of the block an abort while a file is read ends the process with `EXIT_CODE` and what `teller` makes of it.

    However the block ends, an abort behind it is again one.
    """
    global _teller  # noqa: PLW0603 - the process has one handler of SIGABRT
    before, _teller = _teller, teller
    try:
        yield
    finally:
        _teller = before
        _change(lambda: None if before else _paths.clear())


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Inside of the block an abort is the fault of the file at `path`, or of one that another thread reads meanwhile."""
    if _teller is None:
        yield
        return
    try:
        _change(lambda: _paths.append(path))
        yield
    finally:
        _change(lambda: _paths.remove(path) if path in _paths else None)


def _change(change: Callable[[], None]) -> None:
    from mp2 import _last_words

    with _lock:
        change()
        if _paths and _teller is not None:
            err, out = _teller(_problem())
            _last_words.prepare(
                _end_of(err), out if len(out) <= _last_words.MAX_BYTES else b"", EXIT_CODE
            )
        else:
            _last_words.drop()


def _end_of(words: bytes) -> bytes:
    """What there is room for: a long stack loses its beginning, never the message below it."""
    from mp2 import _last_words

    return (
        words
        if len(words) <= _last_words.MAX_BYTES
        else words[-_last_words.MAX_BYTES :].split(b"\n", 1)[-1]
    )


def _problem() -> str:
    names = " or ".join(dict.fromkeys(map(str, _paths)))
    return f"{names}: damaged inside, or larger than the memory: the library that reads it gave up; write the file anew"
