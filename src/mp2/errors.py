"""Exit codes, and every error the package raises on purpose.

`Mp2Error` and its children carry a message a user can act on: it names the file, column, row or
setting and the remedy. The command line prints the message alone and exits with `exit_code`;
`--debug` adds the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends; of several that apply, the first of: a signal, 2, 1, 5, 4, 3, 0."""

    OK = 0
    FAILED = 1
    """Internal error, store failure, or every scanner failed."""
    BAD_INPUT = 2
    SOME_SCANNERS_FAILED = 3
    NOTHING_FOUND = 4
    """No kept group, no candidate."""
    OVERDUE = 5
    """A pick could not be scored though the prices go beyond its day."""
    INTERRUPTED = 130
    """SIGINT; results are kept."""
    TERMINATED = 143
    """SIGTERM or SIGHUP; results are kept."""


# Characters that count as printable and show nothing: joiners, fillers, the blank Braille pattern.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def plain(text: object) -> str:
    """Return text with control characters and invisible ones escaped, such as `\\x1b`."""
    chars = []
    for char in str(text):
        is_visible = char.isprintable() and char not in _UNSEEN
        chars.append(char if is_visible else f"\\x{ord(char):02x}")
    return "".join(chars)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: `1 ticker`, `2 tickers`."""
    if n == 1:
        return f"1 {noun}"
    return f"{n} {noun}s"


def named(
    names: Sequence[object],
    n_shown: int,
) -> str:
    """Return the first names of a list for a message, with "..." for the others."""
    texts = [str(name) for name in names[:n_shown]]
    if len(names) > n_shown:
        texts.append("...")
    return ", ".join(texts)


class Mp2Error(Exception):
    """Base class: something failed that is not the user's input (exit code 1)."""

    exit_code = ExitCode.FAILED


class InputError(Mp2Error):
    """The input or a setting is unusable (exit code 2).

    `problems` lists everything that was wrong, so that a user can correct it all at once.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: str | Iterable[str]) -> None:
        if isinstance(problems, str):
            problems = (problems,)
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class MissingExtraError(InputError):
    """A feature needs a package that is not installed; the message names the extra with it."""

    def __init__(
        self,
        what: str,
        extra: str,
    ) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}': pip install 'mp2[{extra}]', or "
            f"pip install '.[{extra}]' in a checkout"
        )


class StoreError(Mp2Error):
    """The database cannot be read or written; its content is unchanged (exit code 1)."""


class ReadStoppedError(Mp2Error):
    """A stop was requested while the input was read: there is no result (exit code 130)."""

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
"""What can be wrong with a source of candidates.

In order: its rate limit is reached, the key is unknown, the key does not allow the request, the
request is invalid, the response is not in the documented form, the source is down, it is too slow,
there is no key.
"""

TRANSIENT_CODES = frozenset({"rate_limited", "unavailable", "timeout", "bad_payload"})
"""Failures of the source itself, which may pass. The user corrects the others."""


class SourceError(Mp2Error):
    """A source of candidates did not respond as documented; ends its scanner, never the run.

    `code` is one of `SOURCE_ERROR_CODES` (ValueError otherwise). `retry_after_s`: seconds the
    source requests to wait. `burst`: with `rate_limited`, a limit per seconds, so that a short wait
    helps; otherwise a quota is used up.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        burst: bool = False,
    ) -> None:
        if code not in SOURCE_ERROR_CODES:
            known = ", ".join(SOURCE_ERROR_CODES)
            raise ValueError(f"unknown code of a source error: {code!r}; the codes are {known}")
        self.code = code
        self.retry_after_s = retry_after_s
        self.burst = burst
        super().__init__(message)
