"""What the ends of all scanners mean: for their breakers, and for the result of the scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mp2.discovery.breaker import Breakers
from mp2.discovery.candidates import merged
from mp2.discovery.job import Ending
from mp2.discovery.records import (
    ANSWERED,
    STOPPED,
    Mode,
    OutcomeStatus,
    ScanOutcome,
    ScanResult,
    ScanStatus,
)


def notify_breaker(breakers: Breakers, ending: Ending) -> None:
    """Report to a scanner's breaker how it ended."""
    outcome = ending.outcome
    if outcome.status in ANSWERED:
        if "stale" in ending.replies:
            # The source failed. All failures for which the cache stands in count alike.
            breakers.failure(outcome.scanner, "unavailable")
        # Nothing was requested, so nothing is known about the source.
        elif ending.replies == {"cached"}:
            breakers.cancel(outcome.scanner)
        else:
            breakers.success(outcome.scanner)
    elif outcome.status is OutcomeStatus.SKIPPED or outcome.error is None:
        breakers.cancel(outcome.scanner)
    else:
        breakers.failure(outcome.scanner, outcome.error.code)


def result_of(
    endings: Sequence[Ending],
    *,
    scan_id: str,
    elapsed_s: float,
    workers: int,
    mode: Mode,
    warnings: Iterable[str],
) -> ScanResult:
    """Return the result of a scan from its endings in registration order."""
    outcomes = tuple(ending.outcome for ending in endings)
    status = ScanStatus.COMPLETE
    if any(outcome.error and outcome.error.code == STOPPED for outcome in outcomes):
        status = ScanStatus.STOPPED
    elif any(outcome.failed for outcome in outcomes):
        status = ScanStatus.PARTIAL
    return ScanResult(
        scan_id=scan_id,
        status=status,
        elapsed_s=round(elapsed_s, 6),
        workers=workers,
        mode=mode,
        outcomes=outcomes,
        candidates=merged((ending.outcome.pipeline, ending.candidates) for ending in endings),
        warnings=(*warnings_of(outcomes), *dict.fromkeys(warnings)),
        tool_logs=tuple(entry for ending in endings for entry in ending.tool_logs),
        logs={ending.outcome.scanner: ending.logs for ending in endings},
    )


def warnings_of(outcomes: Iterable[ScanOutcome]) -> Iterator[str]:
    """Yield a sentence for every scanner that was skipped or whose source failed."""
    for outcome in outcomes:
        if outcome.status in (
            OutcomeStatus.SKIPPED,
            OutcomeStatus.OPEN_CIRCUIT,
        ):
            if outcome.error is not None:
                yield f"{outcome.scanner}: skipped: {outcome.error.message}"
        elif outcome.status is OutcomeStatus.STALE:
            what = "the candidates are of"
            if outcome.n_candidates == 0:
                what = "there were no candidates in"
            yield f"{outcome.scanner}: its source failed; {what} an earlier response"
