"""One scanner's run in one thread: candidates are checked, its end becomes a status."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mp2.discovery.candidates import checked, one_line, shown
from mp2.discovery.records import (
    Candidate,
    OutcomeStatus,
    ScanError,
)
from mp2.discovery.scanner import ScanContext, Scanner
from mp2.errors import MissingExtraError, SourceError, counted

MAX_MESSAGE_CHARS = 300
"""A longer message of an error is cut; the log has it whole."""

_N_DROPS_LOGGED = 20

_STATUS_OF_CODE = {
    "rate_limited": OutcomeStatus.RATE_LIMITED,
    "unauthorized": OutcomeStatus.UNAUTHORIZED,
    "timeout": OutcomeStatus.TIMEOUT,
    "missing_key": OutcomeStatus.SKIPPED,
}
"""Statuses of source errors; all others are `ERROR`."""


@dataclass(frozen=True, slots=True)
class Collected:
    """How a scanner ended by itself; `candidates` is empty after an error."""

    status: OutcomeStatus
    error: ScanError | None = None
    candidates: tuple[Candidate, ...] = ()
    n_candidates: int = 0
    n_dropped: int = 0


class Collection:
    """What a scanner has yielded so far.

    Its own thread changes it; any thread may read the counts.
    """

    def __init__(self, context: ScanContext) -> None:
        self._context = context
        self.candidates: list[Candidate] = []
        self.n_dropped = 0

    def take(self, item: Any) -> None:
        """Keep a valid candidate, without secrets; count and log anything else."""
        context = self._context
        try:
            candidate = checked(item, context.scanner, context.redacted)
            # Sources repeat what they were requested with: in links, in messages.
            data = context.redacted_data(candidate.data)
            self.candidates.append(replace(candidate, data=data))
        except Exception as error:  # a mapping of a third party may raise anything
            self.n_dropped += 1
            if self.n_dropped <= _N_DROPS_LOGGED:
                context.logger.warning("dropped: %s", error)

    def ended(
        self,
        status: OutcomeStatus,
        error: ScanError | None = None,
    ) -> Collected:
        """Return the end of the scanner; an error discards the candidates but not their number."""
        candidates = tuple(self.candidates)
        n_candidates = len(candidates)
        if error is not None:
            candidates = ()
        return Collected(status, error, candidates, n_candidates, self.n_dropped)


def collect(
    scanner: type[Scanner],
    context: ScanContext,
    collection: Collection,
) -> Collected:
    """Run a scanner to its end or its limit. What it raises, SystemExit too, is its own failure."""
    try:
        return gather(scanner, context, collection)
    except BaseException as error:
        return collection.ended(*failure(error, context))


def gather(
    scanner: type[Scanner],
    context: ScanContext,
    collection: Collection,
) -> Collected:
    """Run a scanner as `collect` does, but raise what the scanner raises."""
    items = scanner(context.settings).scan(context)
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise TypeError(f"scan() has to return an iterable of candidates, not {shown(items)}")
    try:
        for item in items:
            collection.take(item)
            if len(collection.candidates) >= context.settings.limit:
                break
            # After each item: a generator without valid candidates might never end.
            context.check()
    finally:
        # Here, in the thread that ran it.
        if isinstance(items, Generator):
            items.close()
        if collection.n_dropped > _N_DROPS_LOGGED:
            n_dropped = counted(collection.n_dropped, "candidate")
            context.logger.warning("dropped %s in all", n_dropped)
    # Without candidates too: that there are none may be outdated.
    if "stale" in context.replies:
        return collection.ended(OutcomeStatus.STALE)
    if not collection.candidates:
        return collection.ended(OutcomeStatus.EMPTY)
    if context.replies == {"cached"}:
        return collection.ended(OutcomeStatus.CACHED)
    return collection.ended(OutcomeStatus.OK)


def failure(error: BaseException, context: ScanContext) -> tuple[OutcomeStatus, ScanError]:
    """Return the status and the message of an exception, without secrets.

    Its traceback goes into the log.
    """
    context.logger.error("failed", exc_info=error)
    message = one_line(context.redacted(str(error)), MAX_MESSAGE_CHARS)
    if isinstance(error, SourceError):
        status = _STATUS_OF_CODE.get(error.code, OutcomeStatus.ERROR)
        return status, ScanError(error.code, message)
    # As a missing key: the user has to install something, and the source is not at fault.
    if isinstance(error, MissingExtraError):
        return OutcomeStatus.SKIPPED, ScanError("missing_extra", message)
    name = type(error).__name__
    if message:
        name = f"{name}: {message}"
    return OutcomeStatus.ERROR, ScanError("exception", name)
