"""What the system leaves to this process: memory by every limit, and whether polars can run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mp2.errors import InputError

# What polars maps before it reads anything, measured: less ends the process without a word.
_POLARS_BYTES = 1 << 30
_POLARS_BYTES_PER_CORE = 128 << 20


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the least of what machine, control group and address space leave; None if unknown.

    `root` is where `proc` and `sys` are.
    """
    limits = []
    # Files that are missing or hold a word such as "max" set no limit.
    with suppress(OSError, LookupError, ValueError):
        limits.append(_value_of(root / "proc/meminfo", "MemAvailable:") * 1024)
    for folder, limit, used in _control_groups(root):
        with suppress(OSError, LookupError, ValueError):
            free = int((folder / limit).read_text()) - int((folder / used).read_text())
            # Pages of files that the kernel drops when memory is needed.
            droppable = _value_of(folder / "memory.stat", "inactive_file")
            limits.append(free + droppable)
    limit_bytes = _address_space()
    if limit_bytes is not None:
        with suppress(OSError, LookupError, ValueError):
            used_bytes = _value_of(root / "proc/self/status", "VmSize:") * 1024
            limits.append(limit_bytes - used_bytes)
    return min(limits, default=None)


def check_polars_runs() -> None:
    """Raise `InputError` where polars would end the process or never return."""
    if _is_forked:
        raise InputError(
            "this process was forked from one that had loaded polars, whose threads it lacks: "
            "reading would hang; start it with multiprocessing.get_context('spawn')"
        )
    least = _POLARS_BYTES + (os.cpu_count() or 1) * _POLARS_BYTES_PER_CORE
    limit = _address_space()
    if limit is not None and limit < least:
        raise InputError(
            f"the address space is limited to {limit / 2**20:,.0f} MB, and reading tables takes "
            f"{least / 2**20:,.0f} MB of it; raise the limit (ulimit -v)"
        )


_is_forked = False


def _note_fork() -> None:
    global _is_forked  # noqa: PLW0603 - the state of the process itself
    _is_forked = "polars" in sys.modules


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _control_groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield the folders of the group and those above it, with the files of limit and use."""
    base = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            files = ("memory.max", "memory.current")
            top = base
            if controllers:
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
                top = base / "memory"
            folder = top / name.strip("/")
            if not controllers or "memory" in controllers.split(","):
                for group in (folder, *folder.parents):
                    if group.is_relative_to(top):
                        yield group, *files


def _value_of(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        name, *rest = line.split()
        if name == key:
            return int(rest[0])
    raise LookupError(key)


def _address_space() -> int | None:
    try:
        import resource
    # Windows.
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
