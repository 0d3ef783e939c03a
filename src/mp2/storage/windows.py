"""Whether a process runs, as Windows reports it: there `os.kill(pid, 0)` would send Ctrl-C."""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from typing import Any

_QUERY_LIMITED_INFORMATION = 0x1000
_ACCESS_DENIED = 5
_STILL_ACTIVE = 259


def creation_time(pid: int) -> str:
    """When a running process was created, in steps of 100 ns since 1601.

    ProcessLookupError when none with this number runs, PermissionError when the system keeps it
    from this user.
    """
    kernel32 = _kernel32()
    handle = wintypes.HANDLE(kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid))
    if not handle:
        denied = ctypes.get_last_error() == _ACCESS_DENIED  # type: ignore[attr-defined]
        raise PermissionError(pid) if denied else ProcessLookupError(pid)
    code = wintypes.DWORD()
    created, *others = [ctypes.c_uint64() for _ in range(4)]
    try:
        kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel32.GetProcessTimes(handle, *map(ctypes.byref, (created, *others)))
    finally:
        kernel32.CloseHandle(handle)
    # A process that has ended can be opened as long as another one has a handle of it.
    if code.value != _STILL_ACTIVE:
        raise ProcessLookupError(pid)
    return str(created.value)


def _kernel32() -> Any:
    library = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    # Handles are pointers: as the default, C's int, they would be cut.
    library.OpenProcess.restype = wintypes.HANDLE
    return library
