"""One scanner's candidates: it is made and called, what it yields is checked and cut, and how that ended is told."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mp2.discovery.candidates import checked, one_line, shown
from mp2.discovery.context import ScanContext
from mp2.discovery.records import Candidate, OutcomeStatus, ScanError, counted
from mp2.discovery.scanner import Scanner
from mp2.errors import SourceError

MAX_MESSAGE_CHARS = 300
"""A longer message of an error is cut; its log has it whole."""

_N_DROPS_LOGGED = 20

_STATUS_OF = {
    "rate_limited": OutcomeStatus.RATE_LIMITED,
    "unauthorized": OutcomeStatus.UNAUTHORIZED,
    "timeout": OutcomeStatus.TIMEOUT,
    "missing_key": OutcomeStatus.SKIPPED,
}
"""Statuses of source errors; all others are errors."""


class Found:
    """What a scanner has named so far. Only its own thread changes it; the counts may be read from another at any time."""

    def __init__(self, context: ScanContext) -> None:
        self._context = context
        self.candidates: list[Candidate] = []
        self.n_dropped = 0

    def take(self, item: Any) -> None:
        """Keep a valid candidate; count and log anything else."""
        try:
            self.candidates.append(
                _redacted(
                    checked(item, self._context.scanner, self._context.redacted), self._context
                )
            )
        except Exception as error:  # a mapping of a third party may raise anything
            self.n_dropped += 1
            if self.n_dropped <= _N_DROPS_LOGGED:
                self._context.logger.warning("dropped: %s", error)

    def log_drops(self) -> None:
        """Say how many were dropped in all when not each of them was logged."""
        if self.n_dropped > _N_DROPS_LOGGED:
            self._context.logger.warning("dropped %s in all", counted(self.n_dropped, "candidate"))


def _redacted(one: Candidate, context: ScanContext) -> Candidate:
    """Sources repeat what they were asked with: in links, in messages."""
    return replace(one, data=context.redacted_data(one.data))


@dataclass(frozen=True, slots=True)
class Collected:
    """How a scanner ended by itself: the candidates are there only without an error."""

    status: OutcomeStatus
    error: ScanError | None
    candidates: tuple[Candidate, ...]
    n_candidates: int
    n_dropped: int


def collect(scanner: type[Scanner], context: ScanContext, found: Found) -> Collected:
    """Run a scanner in this thread, to its end or to its limit. Whatever it raises, SystemExit too, is its own failure."""
    try:
        return gather(scanner, context, found)
    except BaseException as error:
        status, told = failure(error, context)
        return Collected(status, told, (), len(found.candidates), found.n_dropped)


def gather(scanner: type[Scanner], context: ScanContext, found: Found) -> Collected:
    """As `collect`, but raises whatever the scanner raises."""
    try:
        with _items(scanner(context.settings).scan(context)) as items:
            for item in items:
                found.take(item)
                if len(found.candidates) >= context.settings.limit:
                    break
                context.check()
    finally:
        found.log_drops()
    return Collected(
        _status(context, found),
        None,
        tuple(found.candidates),
        len(found.candidates),
        found.n_dropped,
    )


@contextmanager
def _items(answer: Any) -> Iterator[Iterable[Any]]:
    """What to go through; a generator is closed here, in the thread that ran it."""
    if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
        raise TypeError(f"scan() has to return an iterable of candidates, not {shown(answer)}")
    try:
        yield answer
    finally:
        if isinstance(answer, Generator):
            answer.close()


def _status(context: ScanContext, found: Found) -> OutcomeStatus:
    if "stale" in context.replies:  # that nothing is named may be old news too
        return OutcomeStatus.STALE
    if not found.candidates:
        return OutcomeStatus.EMPTY
    return OutcomeStatus.CACHED if context.replies == {"cached"} else OutcomeStatus.OK


def failure(error: BaseException, context: ScanContext) -> tuple[OutcomeStatus, ScanError]:
    """What an exception says, without any key; its traceback goes into the scanner's log."""
    context.logger.error("failed", exc_info=error)
    if isinstance(error, SourceError):
        told = ScanError(error.code, _message(error, context))
        return _STATUS_OF.get(error.code, OutcomeStatus.ERROR), told
    name = type(error).__name__
    text = _message(error, context)
    return OutcomeStatus.ERROR, ScanError("exception", f"{name}: {text}" if text else name)


def _message(error: BaseException, context: ScanContext) -> str:
    try:
        text = str(error)
    except Exception:  # an exception of a third party may fail to say what it is
        text = "(no message)"
    return one_line(context.redacted(text), MAX_MESSAGE_CHARS)
