"""The installed command `mp2`, and `python -m mp2`: the command line in a process of its own."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn


def script() -> NoReturn:
    """Run the command line, and end the process at once when all its output is written.

    Taking down the interpreter and its libraries would take 0.1 s more, and would wait for what hangs in them.
    """
    code: Any = 1
    _open_streams()
    gc.set_threshold(
        50_000, 20
    )  # the records of a run all live to its end: looking for garbage among them finds none
    main, stop_signals = _command_line()
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        for number in stop_signals("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(number, lambda *_: os._exit(code))
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _open_streams() -> None:
    """What the process was started without (`mp2 ... >&-`) goes nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+" if number else "r", encoding="utf-8"))  # noqa: SIM115 - for good


def _command_line() -> tuple[Callable[[], NoReturn], Callable[..., list[int]]]:
    """`main` and `stop_signals`; while they are imported Ctrl-C just ends the process, where Python would print a traceback."""
    heeded = signal.getsignal(signal.SIGINT)
    if heeded is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from mp2.cli.main import main
    from mp2.cli.session import stop_signals

    signal.signal(signal.SIGINT, heeded)
    return main, stop_signals


if __name__ == "__main__":
    script()
