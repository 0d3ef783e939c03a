"""Records of a scan: candidates, outcomes, the result; and their lines for a console.

All records are frozen and slotted. Times end in `_s` or are called `seconds`; a scanner's seconds
count from its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from mp2._document import SCHEMA_VERSION, Document, Fields, Names
from mp2._overview import Entry, Overview, first_of, listed
from mp2.data.frames import Backend, new_frame
from mp2.errors import counted

PRIORITIES = ("critical", "high", "medium", "low")
"""How urgent a candidate is, most urgent first."""

Mode = Literal["concurrent", "sequential"]
EventKind = Literal["begun", "started", "running", "finished"]


class OutcomeStatus(StrEnum):
    """How one scanner ended.

    - `OK`, `EMPTY`: it named candidates, or none. `CACHED`: as `OK`, and every response came from
      the cache. `STALE`: it named candidates or none, and some response came from a cache entry
      past its time, because the source failed.
    - `TIMEOUT`, `ERROR`, `RATE_LIMITED`, `UNAUTHORIZED`: it failed.
    - `SKIPPED`: it was not run (no key, a missing extra, too many hung threads) or not waited for
      (the scan was stopped).
    - `OPEN_CIRCUIT`: it failed too often lately and is skipped for a while. `DISABLED`: it is
      switched off.
    """

    OK = "ok"
    EMPTY = "empty"
    CACHED = "cached"
    STALE = "stale"
    TIMEOUT = "timeout"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    SKIPPED = "skipped"
    OPEN_CIRCUIT = "open_circuit"
    DISABLED = "disabled"


class ScanStatus(StrEnum):
    """How a scan ended: nothing failed; something failed; it was stopped."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    STOPPED = "stopped"


ANSWERED = frozenset(
    {
        OutcomeStatus.OK,
        OutcomeStatus.EMPTY,
        OutcomeStatus.CACHED,
        OutcomeStatus.STALE,
    }
)
"""The scanner did its work; its candidates are in the result."""

_FAILED = frozenset(
    {
        OutcomeStatus.TIMEOUT,
        OutcomeStatus.ERROR,
        OutcomeStatus.RATE_LIMITED,
        OutcomeStatus.UNAUTHORIZED,
    }
)

STOPPED = "stopped"
TOO_MANY_HUNG = "too_many_hung"
"""Codes of skipped scanners besides those of `mp2.errors.SOURCE_ERROR_CODES`."""


@dataclass(frozen=True, slots=True)
class _Record:
    def to_dict(self) -> Document:
        """Return the fields as plain JSON values, in copies."""
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class Candidate(Overview, _Record):
    """A ticker worth a look, as a scanner names it.

    `source`: the scanner's name. `context`: the reason, one line a person can read. `priority`: one
    of `PRIORITIES`. `data`: anything that is JSON. Nothing is checked here;
    `mp2.discovery.candidates.checked` checks what a scanner yields.
    """

    ticker: str
    source: str
    context: str
    priority: str = "medium"
    data: Any = None

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        return f"{self.ticker}, {self.priority}", [(self.source, self.context)]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MergedCandidate(Overview, _Record):
    """One ticker with everything that scanners reported about it.

    `sources` (scanners) and `contexts` go together, in registration order; `pipelines` are the
    different ones of those scanners, in the same order. `priority` is the highest. `data` holds the
    data of the sources that have some, by source.
    """

    ticker: str
    priority: str
    n_sources: int
    sources: Names
    pipelines: Names
    contexts: Names
    data: Fields

    def overview(self) -> tuple[str, Iterable[Entry]]:
        """Return the title and the rows of its repr."""
        rows = zip(self.sources, self.contexts, strict=True)
        return f"{self.ticker}, {self.priority}", rows


@dataclass(frozen=True, slots=True)
class ScanError(_Record):
    """Why a scanner has no result: a word for programs and a line for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome(_Record):
    """How one scanner ended.

    `seconds` count from its start, 0 when it was not started. `attempts`: requests sent, repeated
    ones included. `n_candidates`: valid candidates up to its limit; after a failure those it had
    named by then, all discarded. `n_dropped`: invalid ones. `error` is None when it succeeded.
    `ended_s`: when it ended, since the start of the scan.
    """

    scanner: str
    pipeline: str
    status: OutcomeStatus
    seconds: float = 0.0
    attempts: int = 0
    n_candidates: int = 0
    n_dropped: int = 0
    error: ScanError | None = None
    # When is not how: the same outcome at another time is equal.
    ended_s: float = field(default=0.0, compare=False)

    @property
    def failed(self) -> bool:
        """Whether it should have a result and has none, which makes the scan a partial one.

        A missing key or extra, a scanner that is switched off, an open circuit and a stop by the
        user are not failures.
        """
        if self.error is not None and self.error.code == TOO_MANY_HUNG:
            return True
        return self.status in _FAILED


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ScanResult(Overview):
    """A scan: outcomes in registration order, and the merged candidates, best first.

    `workers`: scanners that could run at the same moment, 1 in sequential mode. `tool_logs`:
    entries of all tool logs, in registration order. `logs`: each scanner's own log lines up to its
    end. `store_error`: why the scan is not (wholly) stored.
    """

    scan_id: str
    status: ScanStatus
    elapsed_s: float
    workers: int
    mode: Mode
    outcomes: tuple[ScanOutcome, ...]
    candidates: tuple[MergedCandidate, ...]
    warnings: Names = ()
    tool_logs: tuple[Fields, ...] = ()
    logs: Mapping[str, Names] = field(default_factory=dict)
    store_error: str | None = None

    @property
    def n_failed(self) -> int:
        """Scanners that should have a result and have none."""
        return sum(outcome.failed for outcome in self.outcomes)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        candidates_text = counted(len(self.candidates), "candidate")
        scanners_text = counted(len(self.outcomes), "scanner")
        title = f"{self.status}, {candidates_text} from {scanners_text}"
        failed = [outcome.scanner for outcome in self.outcomes if outcome.failed]
        rows: list[Entry] = [("failed", listed(failed, "scanner") if failed else None)]
        rows.append(("not stored", self.store_error))
        rows.append(("warnings", first_of(self.warnings)))
        candidates = (
            (one.ticker, f"{one.priority}, {', '.join(one.sources)}") for one in self.candidates
        )
        return f"{title}, {self.elapsed_s:.1f} s", [*rows, *candidates]

    def to_frame(self, backend: Backend = "polars") -> Any:
        """Return one row per candidate, best first.

        Columns: `ticker`, `priority`, `n_sources`, `sources`, `pipelines` (joined by commas) and
        `contexts` (joined by semicolons).
        """
        types = {"ticker": str, "priority": str, "n_sources": int}
        types |= {"sources": str, "pipelines": str, "contexts": str}
        rows = []
        for one in self.candidates:
            pipelines = ", ".join(one.pipelines)
            texts = (", ".join(one.sources), pipelines, "; ".join(one.contexts))
            rows.append((one.ticker, one.priority, one.n_sources, *texts))
        return new_frame(rows, types, backend)

    def to_dict(self) -> Document:
        """Return the result as one JSON document, without the logs."""
        document = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        for name in ("tool_logs", "logs", "store_error"):
            del document[name]
        return document


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ScanEvent(Overview):
    """Something that happened in a running scan, `elapsed_s` after its begin.

    - `begun`, once and first: `n_scanners` are about to run, at most `workers` at a time.
    - `started`, `running` (repeatedly, if wanted) and `finished`, of one scanner: `seconds` since
      its start, requests sent so far, its time limit. A scanner that is not run at all has its
      `finished` without a `started`.
    - With `finished` come the outcome, the candidates that count (none after a failure) and the
      scanner's log lines.
    """

    kind: EventKind
    elapsed_s: float
    n_scanners: int
    workers: int
    mode: Mode
    scanner: str = ""
    pipeline: str = ""
    seconds: float = 0.0
    attempts: int = 0
    timeout_s: float | None = None
    outcome: ScanOutcome | None = None
    candidates: tuple[Candidate, ...] = ()
    logs: Names = ()

    @property
    def line(self) -> str | None:
        """The event's line on the console, if it has one."""
        if self.kind == "begun":
            return start_line(self.n_scanners, self.workers, self.mode)
        if self.outcome is None:
            return None
        return console_line(self.outcome)

    def overview(self) -> tuple[str, list[Entry]]:
        """Return the title and the rows of its repr."""
        return f"{self.kind}, {self.elapsed_s:.1f} s", [(self.scanner or "scan", self.line)]

    def to_dict(self) -> Document:
        """Return the console line in a structured form, as plain JSON values."""
        values: Document = {
            "event": self.kind,
            "elapsed_s": self.elapsed_s,
        }
        names = ("scanner", "pipeline", "seconds")
        if self.kind == "begun":
            names = ("n_scanners", "workers", "mode")
        for name in names:
            values[name] = getattr(self, name)
        if self.outcome is not None:
            values |= self.outcome.to_dict()
        values["line"] = self.line
        return values


# --- lines of a console


def start_line(
    n_scanners: int,
    workers: int,
    mode: Mode,
) -> str:
    """Return `Running 8 scanners concurrently (max 8 workers)...`."""
    how = f"concurrently (max {counted(workers, 'worker')})"
    if mode == "sequential":
        how = "one at a time"
    return f"Running {counted(n_scanners, 'scanner')} {how}..."


_NOT_RUN = {
    OutcomeStatus.SKIPPED: "skipped: ",
    OutcomeStatus.OPEN_CIRCUIT: "skipped: ",
    OutcomeStatus.DISABLED: "",
}


def console_line(outcome: ScanOutcome) -> str:
    """Return `✓ market_movers: 10 candidates` or `⏱️ slow_scanner: timeout after 30s`."""
    status = outcome.status
    if status in ANSWERED:
        line = f"✓ {outcome.scanner}: {counted(outcome.n_candidates, 'candidate')}"
        if status in (OutcomeStatus.CACHED, OutcomeStatus.STALE):
            line += f" ({status})"
        return line
    message = str(status)
    if outcome.error is not None:
        message = outcome.error.message
    if status in _NOT_RUN:
        return f"⏭️ {outcome.scanner}: {_NOT_RUN[status]}{message}"
    mark = "⚠️"
    if status is OutcomeStatus.TIMEOUT:
        mark = "⏱️"
    return f"{mark} {outcome.scanner}: {message}"


def seconds_text(seconds: float) -> str:
    """Return `30s`, `1.5s`: up to three decimals, without zeros at the end."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
