"""Processes as Windows reports them, through a stand-in for its library, and its real one there."""

import ctypes
import os
import sys

import pytest

from mp2.storage import processes, windows

STILL_ACTIVE = 259
CREATED = 134_000_000_000_000_000


class Kernel32:
    """Knows one process; `open_handles` counts what was opened and not closed."""

    def __init__(self, pid, exit_code=STILL_ACTIVE):
        self.pid = pid
        self.exit_code = exit_code
        self.open_handles = 0

    def OpenProcess(self, access, inherit, pid):  # noqa: N802
        if pid != self.pid:
            return None
        self.open_handles += 1
        return 2**40 + 4

    def GetExitCodeProcess(self, handle, code):  # noqa: N802
        assert handle.value == 2**40 + 4
        code._obj.value = self.exit_code
        return 1

    def GetProcessTimes(self, handle, created, *others):  # noqa: N802
        created._obj.value = CREATED
        return 1

    def CloseHandle(self, handle):  # noqa: N802
        self.open_handles -= 1
        return 1


@pytest.fixture
def on_windows(monkeypatch):
    def knows(kernel32, last_error=87):
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(processes, "windows", windows, raising=False)
        monkeypatch.setattr(windows, "_kernel32", lambda: kernel32)
        monkeypatch.setattr(ctypes, "get_last_error", lambda: last_error, raising=False)
        return kernel32

    return knows


def test_a_process_that_runs(on_windows):
    kernel32 = on_windows(Kernel32(pid=70))
    assert processes.process_start(70) == str(CREATED)
    assert processes.is_running(70, str(CREATED))
    assert processes.is_running(70, None)
    assert kernel32.open_handles == 0


def test_a_later_process_has_another_start(on_windows):
    on_windows(Kernel32(pid=70))
    assert not processes.is_running(70, str(CREATED - 1))


def test_a_process_that_has_ended(on_windows):
    kernel32 = on_windows(Kernel32(pid=70, exit_code=1))
    assert not processes.is_running(70, None)
    assert processes.process_start(70) is None
    assert kernel32.open_handles == 0


def test_no_process_has_the_number(on_windows):
    on_windows(Kernel32(pid=70))
    assert not processes.is_running(71, None)
    assert processes.process_start(71) is None


def test_a_process_that_may_not_be_asked_counts_as_running(on_windows):
    on_windows(Kernel32(pid=70), last_error=5)
    # Not a number that a process of the machine of the test has.
    assert processes.is_running(999_999_999, "1")


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows")
def test_windows_itself():
    own = processes.process_start(os.getpid())
    assert own is not None
    assert processes.is_running(os.getpid(), own)
    assert not processes.is_running(os.getpid(), "1")
