"""Every error the package raises on purpose.

`Mp2Error` and its children carry a message a user can act on: it names the file, column, row or setting and says
what to do. The command line prints the message alone and exits with `exit_code`; `--debug` adds the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


def plain(text: object) -> str:
    """Text from outside, with control characters made visible."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(text))


class Mp2Error(Exception):
    """Base class: something went wrong that is not the user's input (exit code 1)."""

    exit_code = 1


class InputError(Mp2Error):
    """The input or a setting is unusable (exit code 2).

    `problems` lists everything found wrong, so that a user mends it all in one go.
    """

    exit_code = 2

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class MissingExtraError(InputError):
    """A feature needs a package that was not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'mp2[{extra}]'")


class StoreError(Mp2Error):
    """The database cannot be read or written; what it held before is untouched (exit code 1)."""


class ReadStoppedError(Mp2Error):
    """A stop was asked for while the input was still being read: there is no search to keep (exit code 130)."""

    exit_code = 130
