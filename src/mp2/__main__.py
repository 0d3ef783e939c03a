"""The installed command `mp2`, and `python -m mp2`: the command line in its own process."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from mp2.errors import ExitCode


def script() -> NoReturn:
    """Run the command line, and end the process as soon as its output is written.

    An orderly end of the interpreter takes 0.1 s more, and waits for threads that hang.
    """
    code: Any = ExitCode.FAILED
    _open_streams()
    # Pydantic would look through all installed packages for plugins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # The records of a run live to its end: a search for garbage among them finds none.
    gc.set_threshold(50_000, 20)
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
    """Send streams that the process was started without (`mp2 ... >&-`) to the null device."""
    for name, mode in (("stdin", "r"), ("stdout", "r+"), ("stderr", "r+")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, stream)


def _command_line() -> tuple[Callable[[], NoReturn], Callable[..., list[int]]]:
    """Import `main` and `stop_signals`.

    Ctrl-C during the imports ends the process without the traceback Python would print.
    """
    former = signal.getsignal(signal.SIGINT)
    if former is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(ExitCode.INTERRUPTED))
    from mp2.cli.main import main
    from mp2.cli.session import stop_signals

    signal.signal(signal.SIGINT, former)
    return main, stop_signals


if __name__ == "__main__":
    script()
