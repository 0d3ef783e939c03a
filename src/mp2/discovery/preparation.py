"""From a known scanner to a job, or to the reason why it does not run."""

from __future__ import annotations

import copy
import datetime
from dataclasses import dataclass
from functools import partial
from typing import Any

from mp2._document import Document, Fields
from mp2.discovery.candidates import one_line, shown
from mp2.discovery.child import ChildScan, request_text
from mp2.discovery.collection import MAX_MESSAGE_CHARS
from mp2.discovery.config import Discovery, own_settings
from mp2.discovery.job import Ending, Job
from mp2.discovery.records import (
    OutcomeStatus,
    ScanError,
    ScanOutcome,
)
from mp2.discovery.registry import Registered
from mp2.discovery.scanner import (
    ClientFactory,
    ScanContext,
    Scanner,
    find_key,
    no_key_message,
)
from mp2.errors import InputError, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What the scanners of a run have in common before it begins."""

    discovery: Discovery
    timeout_s: float
    state: Document
    today: datetime.date
    http: ClientFactory
    http_options: Fields

    def prepare(self, known: Registered) -> Job | Ending:
        """Return the scanner's job, or its end when it does not run."""
        scanner = known.scanner
        if scanner is None:
            return not_run(
                known,
                OutcomeStatus.ERROR,
                "preparation",
                known.error or "no class",
            )
        try:
            # First: the other settings of a scanner that is switched off need not be valid.
            reason = self.discovery.why_off(known.name, known.pipeline, scanner)
            if reason is not None:
                return not_run(known, OutcomeStatus.DISABLED, "disabled", reason)
            # Before the start, so that a missing key is not a failed run.
            for name in scanner.keys:
                if find_key(name) is None:
                    message = no_key_message(name)
                    return not_run(
                        known,
                        OutcomeStatus.SKIPPED,
                        "missing_key",
                        message,
                    )
            return self._job(known.name, scanner)
        except InputError as error:
            problems = "; ".join(error.problems)
            return not_run(known, OutcomeStatus.ERROR, "preparation", problems)

    def _job(
        self,
        name: str,
        scanner: type[Scanner],
    ) -> Job:
        given = self.discovery.scanners.get(name, {})
        settings = own_settings(scanner, given)
        child = None
        state = None
        if scanner.isolation == "process":
            # The state is part of the request; a copy for this process has no reader.
            request = request_text(scanner, given, self.state, self.http_options)
            child = ChildScan(request)
        else:
            state = state_copy(self.state)
        new_context = partial(
            ScanContext,
            scanner,
            settings,
            state=state,
            timeout_s=settings.timeout_seconds or self.timeout_s,
            today=self.today,
            http=self.http,
        )
        return Job(scanner, new_context, child)


def not_run(
    scanner: Registered | type[Scanner],
    status: OutcomeStatus,
    code: str,
    message: str,
) -> Ending:
    """Return the end of a scanner that is not started."""
    error = ScanError(code, one_line(message, MAX_MESSAGE_CHARS))
    outcome = ScanOutcome(
        scanner=scanner.name,
        pipeline=scanner.pipeline,
        status=status,
        error=error,
    )
    return Ending(outcome)


def state_copy(state: Document) -> Document:
    """Return a deep copy. Raises `InputError` naming the first key whose value cannot be copied."""
    copied = {}
    # One for all keys: what two values share is shared by their copies.
    memo: dict[int, Any] = {}
    for key, value in state.items():
        try:
            copied[key] = copy.deepcopy(value, memo)
        except Exception as error:
            problem = f"{type(error).__name__}: {plain(error)}"
            raise InputError(f"state[{shown(key)}] cannot be copied: {problem}") from error
    return copied
