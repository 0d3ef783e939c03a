"""The installed command `mp2`, and `python -m mp2`: the command line in a process of its own."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn


def script() -> NoReturn:
    """Run the command line, and end the process at once when all its output is written.

    Taking down the interpreter and its libraries would take 0.1 s more, and would wait for what hangs in them.
    """
    code: Any = 1
    gc.set_threshold(50_000, 20)  # the records of a run all live to its end: looking for garbage among them finds none
    try:
        _command_line()()
    except SystemExit as end:
        code = end.code
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _command_line() -> Any:
    """`mp2.cli.main`; while it is imported Ctrl-C just ends the process, where Python would print a traceback."""
    heeded = signal.getsignal(signal.SIGINT)
    if heeded is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mp2.cli import main

    signal.signal(signal.SIGINT, heeded)
    return main


if __name__ == "__main__":
    script()
