"""Which process works on a run or scan, and whether it is still alive."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from mp2._document import Document, Fields

if sys.platform == "win32":
    from mp2.storage import windows

SILENCE_S = 600.0
"""How long a process of another host may be silent before its run counts as interrupted."""

_DEAD = ("Z", "X")
"""States of a process that has ended and that its parent has not waited for."""


def owner() -> Document:
    """The columns that identify this process."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()),
    }


def process_start(pid: int) -> str | None:
    """When a process started, if known: as Windows says or in clock ticks since boot.

    The ticks are field 22 of proc(5) stat.
    """
    if sys.platform == "win32":
        try:
            return windows.creation_time(pid)
        except OSError:
            return None
    fields = _stat(pid)
    return fields[19] if fields else None


def is_running(pid: int, start: str | None) -> bool:
    """Whether the process with this number and start still runs; True where that is unknown."""
    try:
        if sys.platform == "win32":
            return start in (None, windows.creation_time(pid))
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # It exists and belongs to another user.
        pass
    fields = _stat(pid)
    if not fields:
        return True
    if fields[0] in _DEAD:
        return False
    # The number may have been given to a later process.
    return start is None or fields[19] == start


def is_at_work(row: Fields) -> bool:
    """Whether a process of this host still works on the run or scan in `row`."""
    return row["host"] == platform.node() and status_now(row) == "running"


def status_now(row: Fields) -> str:
    """The status in `row`, or `interrupted` when the process that should have ended it is gone.

    A process of another host counts as gone when it has not written for `SILENCE_S`.
    """
    status = str(row["status"])
    if status != "running":
        return status
    if row["host"] == platform.node():
        gone = not is_running(row["pid"], row["process_start"])
    else:
        # A scan writes no heartbeat, so one of another host counts as running.
        heartbeat_at = row.get("heartbeat_at")
        if heartbeat_at is None:
            return "running"
        silence = datetime.now(UTC) - datetime.fromisoformat(heartbeat_at)
        gone = silence.total_seconds() > SILENCE_S
    return "interrupted" if gone else "running"


def now_text() -> str:
    """The time in UTC, ISO 8601, in whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) stat from the third one, the state; empty where there are none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The second field, the program's name in parentheses, may hold spaces and parentheses.
    return stat.rpartition(")")[2].split()
