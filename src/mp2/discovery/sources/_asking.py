"""Many requests of one scanner, and what it means when some of them fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mp2.discovery.scanner import ScanContext
from mp2.errors import SourceError

T = TypeVar("T")

OF_ONE = frozenset({"forbidden", "bad_request", "bad_payload"})
"""Codes of failures that concern what was asked for; with all others it is of no use to ask for the next thing."""

_ENOUGH = 3


def answers(
    context: ScanContext, names: Iterable[str], ask: Callable[[str], T]
) -> Iterator[tuple[str, T]]:
    """Each name with what `ask` returns for it, one after the other.

    A name that alone is refused (`OF_ONE`) is left out, with a line in the log. Raises the first refusal when not a single
    name was answered, at the latest after three; and every other `SourceError` at once.
    """
    refusals: list[SourceError] = []
    n_answered = 0
    for name in names:
        context.check()
        try:
            answer = ask(name)
        except SourceError as error:
            if error.code not in OF_ONE:
                raise
            refusals.append(error)
            context.logger.warning("%s is left out: %s", name, error)
            if n_answered == 0 and len(refusals) >= _ENOUGH:
                break
            continue
        n_answered += 1
        yield name, answer
    if refusals and n_answered == 0:
        raise refusals[0]
