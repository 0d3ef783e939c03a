"""Reading a TOML file, with one clear message for whatever is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from mp2.errors import InputError

MAX_BYTES = 8 << 20
"""More than any file of settings needs; parsing takes many times its size in memory."""


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The document in a file of some `kind` ("settings file"). Raises InputError when it is not readable UTF-8 TOML."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is a pipe or device; name a {kind} that is a file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MB; name a {kind}")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a {kind} that can be read") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{path}: not valid TOML: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
