"""Every error the package raises on purpose.

`Mp2Error` and its children carry a message a user can act on: it names the file, column, row or setting and says
what to do. The command line prints the message alone and exits with `exit_code`; `--debug` adds the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends; of several that apply, the first of: a signal, 2, 1, 4, 3, 0."""

    OK = 0
    FAILED = 1
    """Internal error, store failure, or every scanner failed."""
    BAD_INPUT = 2
    SOME_SCANNERS_FAILED = 3
    NOTHING_FOUND = 4
    """No kept group, no candidate."""
    INTERRUPTED = 130
    """SIGINT; results are kept."""
    TERMINATED = 143
    """SIGTERM or SIGHUP; results are kept."""


def plain(text: object) -> str:
    """Text from outside, with control characters and others that nobody sees made visible."""
    return "".join(
        char if char.isprintable() and char not in _UNSEEN else f"\\x{ord(char):02x}"
        for char in str(text)
    )


_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""What counts as printable and shows nothing: joiners, fillers, the blank Braille pattern."""


class Mp2Error(Exception):
    """Base class: something went wrong that is not the user's input (exit code 1)."""

    exit_code = ExitCode.FAILED


class InputError(Mp2Error):
    """The input or a setting is unusable (exit code 2).

    `problems` lists everything found wrong, so that a user mends it all in one go.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class MissingExtraError(InputError):
    """A feature needs a package that was not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'mp2[{extra}]'")


class StoreError(Mp2Error):
    """The database cannot be read or written; what it held before is untouched (exit code 1)."""


class ReadStoppedError(Mp2Error):
    """A stop was asked for while the input was still being read: there is no search to keep (exit code 130)."""

    exit_code = ExitCode.INTERRUPTED


SOURCE_ERROR_CODES = (
    "rate_limited",
    "unauthorized",
    "forbidden",
    "bad_request",
    "bad_payload",
    "unavailable",
    "timeout",
    "missing_key",
)
"""What can be wrong with a source: it asks for patience, does not know the key, does not allow what was asked, does not
understand it, answers something else than agreed, is down, is too slow; or there is no key to ask it with."""


TRANSIENT_CODES = frozenset({"rate_limited", "unavailable", "timeout", "bad_payload"})
"""Failures of the source itself, which may pass. The user fixes the others: a key, a permission, a request."""


class SourceError(Mp2Error):
    """A source of candidates did not give what was asked; it ends its scanner, never the run.

    `code` is one of `SOURCE_ERROR_CODES` (ValueError otherwise). `retry_after_s`: seconds the source asks to wait.
    `burst`: with `rate_limited`, a limit of seconds, so that a short wait helps; a quota that is used up it is otherwise.
    """

    def __init__(
        self, code: str, message: str, *, retry_after_s: float | None = None, burst: bool = False
    ) -> None:
        if code not in SOURCE_ERROR_CODES:
            raise ValueError(
                f"{code!r} is no code of a source error; the codes are {', '.join(SOURCE_ERROR_CODES)}"
            )
        self.code, self.retry_after_s, self.burst = code, retry_after_s, burst
        super().__init__(message)
