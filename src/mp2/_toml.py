"""Reading a TOML file, with one clear message for whatever is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mp2._files import expanded
from mp2.errors import InputError, plain

MAX_BYTES = 8 << 20
"""More than any file of settings needs; parsing takes many times its size in memory."""

MAX_DEPTH = 64
"""Of tables and lists in one another, more than any setting needs: what works on them may recurse."""

MAX_KEY_PARTS = 100
"""Of a dotted key: the time tomllib takes is quadratic in them."""

# Possessive, and not tried in the middle of a key: linear, whatever the text.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_.\\-])(?:{_PART}\.[ \t]*+){{{MAX_KEY_PARTS}}}")

_INTEGERS = range(-(1 << 63), 1 << 63)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The document in a file of some `kind` ("settings file"); a byte order mark at its begin is no part of it.

    Raises InputError when it is not readable UTF-8 TOML, or holds what no setting can be: keys or tables deep beyond all
    need, an integer beyond 64 bits, a null character.
    """
    text = _text(expanded(path), kind)
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(
            f"{path}: line {line} has a key of more than {MAX_KEY_PARTS} parts; shorten it"
        )
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{path}: not valid TOML: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    except ValueError as error:  # from int: more digits than it is willing to read
        raise InputError(
            f"{path}: not valid TOML: an integer beyond 64 bits; write a smaller one"
        ) from error
    if problems := list(islice(_unusable(document), _N_SHOWN)):
        raise InputError([f"{path}: {problem}" for problem in problems])
    return document


def _text(path: Path, kind: str) -> str:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: is a pipe or device; name a {kind} that is a file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MB; name a {kind}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a {kind} that can be read") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8"
        ) from error


def _unusable(value: Any, key: tuple[str, ...] = ()) -> Iterator[str]:
    """What is wrong inside of a value, with the key it has; an item of a list has that of the list."""
    where = plain(".".join(key[:_N_SHOWN]))
    if isinstance(value, str) and "\0" in value:
        yield f"{where} holds a null character; take it out"
    elif isinstance(value, int) and value not in _INTEGERS:
        yield f"{where} is an integer beyond 64 bits; write a smaller one"
    elif isinstance(value, dict | list) and len(key) > MAX_DEPTH:
        yield f"{where} ... is nested too deeply; give at most {MAX_DEPTH} levels"
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from _unusable(name, (*key, name))
            yield from _unusable(below, (*key, name))
    elif isinstance(value, list):
        for below in value:
            yield from _unusable(below, (*key, "[]"))


_N_SHOWN = 8
"""Parts of a key, and problems."""
