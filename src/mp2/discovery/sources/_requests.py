"""Send one request per name, and decide what it means when some of them fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mp2.discovery.scanner import ScanContext
from mp2.errors import SourceError

T = TypeVar("T")

# Failures that concern one name; after any other code the next request would fail too.
OF_ONE_NAME = frozenset({"forbidden", "bad_request", "bad_payload"})

_MAX_REFUSED = 3


def responses(
    context: ScanContext,
    names: Iterable[str],
    request: Callable[[str], T],
) -> Iterator[tuple[str, T]]:
    """Yield each name with what `request` returns for it, one after the other.

    A name that alone is refused (`OF_ONE_NAME`) is left out and logged. Raises the first refusal
    when every name is refused, at the latest after three; any other `SourceError` at once.
    """
    refusals: list[SourceError] = []
    has_response = False
    for name in names:
        context.check()
        try:
            response = request(name)
        except SourceError as error:
            if error.code not in OF_ONE_NAME:
                raise
            context.logger.warning("%s is left out: %s", name, error)
            refusals.append(error)
            # A list of 500 symbols must not use up the quota on a request that never works.
            if len(refusals) == _MAX_REFUSED and not has_response:
                break
        else:
            has_response = True
            yield name, response
    if refusals and not has_response:
        raise refusals[0]
