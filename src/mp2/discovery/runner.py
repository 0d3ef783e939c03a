"""Runs scanners side by side, each for its own time, isolated from the others.

Purpose. `scan` prepares the scanners, runs them in registration order in at most `workers` slots,
and merges their candidates. It knows nothing of HTTP and nothing of the store: a client factory,
breakers and an observer are arguments.

How it works. The calling thread supervises: it starts a new daemon thread per scanner (an
executor's threads would be joined at exit, hung ones for ever), waits for the first that ends or is
due, and closes it. A scanner of its own process has a thread too, which waits for the child.
Sequential mode is the same with one slot.

Guarantees:

- A scanner's time counts from its own start. On timeout the slot is released immediately,
  `context.cancelled` is set, a child process is killed with its whole group, and any late result is
  discarded.
- A result counts if and only if the scanner's own clock was within its time when it ended.
- At most `MAX_HUNG` threads of scanners are alive in the process, abandoned ones of earlier scans
  included; when all of them are abandoned, further scanners are skipped.
- Breakers and `observe` are called in the calling thread, one call at a time; what they raise ends
  the scan: everything is cancelled, children are killed, and the exception goes to the caller. The
  same holds for a KeyboardInterrupt.
- Nothing is waited for after a stop; what was delivered before counts.
- Once `scan` has returned or raised, no thread of it can change its result, start a scanner or call
  an argument.

Races, and why they are harmless:

A scanner ends as its time runs out.
    1. The thread delivers its result; the supervisor finds the scanner due.
    Both happen under the job's lock. Delivered first, the result is there and its own time decides
    whether it counts; closed first, the thread finds the job closed and its result is discarded.

A stop comes as a scanner ends. The same lock decides: delivered results count.

A child is to be killed while it is being started. `mp2.discovery.child.ChildScan` starts and kills
under one lock; a child that is killed before its start is not started.
"""

from __future__ import annotations

import datetime
import queue
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mp2._document import Document, Fields, Names
from mp2._intervals import POLL_S, check_interval
from mp2.data.dates import setting_day
from mp2.discovery.breaker import Breakers, BreakerState
from mp2.discovery.collection import Collection, gather
from mp2.discovery.config import (
    MAX_HUNG,
    ExecutionSettings,
    execution_settings,
    own_settings,
    read_discovery,
)
from mp2.discovery.deadline import timeout_message
from mp2.discovery.http.lazy import LazyClient
from mp2.discovery.job import Ending, HungThreads, Job, ending_of
from mp2.discovery.outcomes import notify_breaker, result_of
from mp2.discovery.preparation import Preparation, not_run, state_copy
from mp2.discovery.records import (
    STOPPED,
    TOO_MANY_HUNG,
    Candidate,
    EventKind,
    Mode,
    OutcomeStatus,
    ScanError,
    ScanEvent,
    ScanOutcome,
    ScanResult,
)
from mp2.discovery.registry import (
    Registered,
    find_scanners,
    registered,
    select,
)
from mp2.discovery.scanner import ClientFactory, ScanContext, Scanner
from mp2.errors import InputError, plain

SWITCH_INTERVAL_S = 0.0005
"""The interpreter's switch interval while scanners run.

Four scanners in pure Python delay a deadline by 50-60 ms at the default of 5 ms, by 12-15 ms at
this (95th percentile), and less brings nothing.
"""


def scan(
    scanners: Iterable[type[Scanner] | Registered] | None = None,
    *,
    config: Fields | None = None,
    state: Document | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    concurrent: bool | None = None,
    only: Sequence[str] = (),
    http: ClientFactory | None = None,
    http_options: Fields | None = None,
    breakers: Breakers | None = None,
    stop: threading.Event | None = None,
    observe: Callable[[ScanEvent], None] | None = None,
    observe_every_s: float | None = None,
    today: datetime.date | str | None = None,
    scan_id: str | None = None,
) -> ScanResult:
    """Run scanners and merge their candidates; the guarantees are at the head of this module.

    - `scanners`: classes, or what `mp2.find_scanners` returned; None: all built-in ones and
      plug-ins.
    - `config`: the table `[discovery]` of a settings file. `workers` (1..64), `timeout_s` (seconds
      per scanner, for those without a limit of their own) and `concurrent` override it. `only`:
      names; the others are left out of the result.
    - `state`: every scanner gets a deep copy; entries of the tool logs are appended to its
      `tool_logs`.
    - `http` makes the clients of scanners in threads, and `http_options` are the arguments of
      `http.client.Client` for those in processes; without `http` such a client is made for this
      scan from the same arguments, and its warnings are the result's.
    - `stop`: once it is set the scan ends within about `POLL_S` with what it has.
    - `observe` gets every event; with `observe_every_s` also every running scanner that often.
    - `today`: the date to scan for, also as a text in any clear form (default: the local date).
    - `scan_id`: the result's (default: a new one).

    A fault of one scanner is its outcome. Raises `InputError` for a fault of the call or the
    configuration: unknown keys and names (`only` included), values out of range, two scanners of
    one name.
    """
    day = scan_day(today)
    if observe_every_s is not None:
        check_interval("observe_every_s", observe_every_s)
    known = find_scanners() if scanners is None else registered(scanners)
    chosen = select(known, only)
    discovery = read_discovery(config, known)
    # Refused now, and not after minutes of scanning.
    if state is not None and not isinstance(state.get("tool_logs", []), list):
        raise InputError("state['tool_logs'] has to be a list: tool logs are appended to it")
    execution = execution_settings(
        discovery.scanner_execution,
        max_workers=workers,
        timeout_seconds=timeout_s,
        concurrent=concurrent,
    )
    # Without a place to keep states every breaker stays closed.
    breakers = breakers or Breakers(lambda scanner, change: change(BreakerState()))
    warnings: list[str] = []
    # Closed before the result is made, so that abandoned threads cannot send any more.
    with closing(LazyClient(http_options or {}, warnings.append)) as client:
        preparation = Preparation(
            discovery=discovery,
            timeout_s=execution.timeout_seconds,
            state=state or {},
            today=day,
            http=http or client.for_scanner,
            http_options=http_options or {},
        )
        run = _Run(
            prepared=[preparation.prepare(one) for one in chosen],
            execution=execution,
            breakers=breakers,
            stop=stop or threading.Event(),
            observe=observe,
            observe_every_s=observe_every_s,
        )
        try:
            with _switching.quick():
                run.go()
        finally:
            run.cancel()
    now = datetime.datetime.now(datetime.UTC)
    result = result_of(
        [run.endings[one.name] for one in chosen],
        scan_id=scan_id or f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        elapsed_s=run.elapsed_s(),
        workers=run.workers,
        mode=run.mode,
        warnings=warnings,
    )
    if state is not None and result.tool_logs:
        state.setdefault("tool_logs", []).extend(result.tool_logs)
    return result


def scan_in_caller(
    scanner: type[Scanner] | Registered,
    *,
    config: Fields | None = None,
    state: Document | None = None,
    http_options: Fields | None = None,
    today: datetime.date | str | None = None,
) -> tuple[ScanOutcome, tuple[Candidate, ...], Names]:
    """Run one scanner in this thread, without a time limit, for a debugger.

    Returns its outcome, its candidates and its log lines.

    Isolation, keys and `enabled` do not matter here. Raises what the scanner raises, and
    `InputError` for faults of its class, its settings or the state.
    """
    day = scan_day(today)
    (known,) = registered([scanner])
    discovery = read_discovery(config, [known])
    if known.scanner is None:
        raise InputError(f"scanner {known.name}: {known.error}")
    # Without a look at `enabled`: who debugs a scanner wants it to run.
    settings = own_settings(known.scanner, discovery.scanners.get(known.name, {}))
    warnings: list[str] = []
    with closing(LazyClient(http_options or {}, warnings.append)) as client:
        context = ScanContext(
            known.scanner,
            settings,
            state=state_copy(state or {}),
            today=day,
            http=client.for_scanner,
        )
        collected = gather(known.scanner, context, Collection(context))
    ending = ending_of(known.scanner, context, collected)
    return ending.outcome, ending.candidates, (*ending.logs, *warnings)


def scan_day(today: Any) -> datetime.date:
    """Return the date to scan for. Raises `InputError` for what is not a date."""
    if today is None:
        return datetime.date.today()
    # Times are dates too, but do not compare with them.
    if isinstance(today, datetime.datetime):
        return today.date()
    if isinstance(today, datetime.date):
        return today
    problems: list[str] = []
    day = setting_day("today", today, problems)
    if day is None:
        raise InputError(problems)
    return day


# --- the run


_hung = HungThreads()


@dataclass(slots=True, kw_only=True)
class _Run:
    """The supervisor. All of it runs in the calling thread."""

    prepared: Sequence[Job | Ending]
    execution: ExecutionSettings
    breakers: Breakers
    stop: threading.Event
    observe: Callable[[ScanEvent], None] | None
    observe_every_s: float | None
    mode: Mode = "concurrent"
    workers: int = 1
    n_scanners: int = 0
    started_s: float = 0.0
    next_look_s: float = 0.0
    waiting: deque[Job] = field(default_factory=deque)
    running: list[Job] = field(default_factory=list)
    delivered: queue.SimpleQueue[Job] = field(default_factory=queue.SimpleQueue)
    allowed: set[str] = field(default_factory=set)
    endings: dict[str, Ending] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started_s = time.monotonic()
        if self.execution.concurrent:
            self.workers = self.execution.max_workers
        else:
            self.mode = "sequential"

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self.started_s

    def go(self) -> None:
        """Run everything."""
        ended: list[Ending] = []
        for item in self.prepared:
            if isinstance(item, Ending):
                ended.append(item)
                continue
            refusal = self.breakers.refusal(item.scanner.name)
            if refusal is None:
                self.allowed.add(item.scanner.name)
                self.waiting.append(item)
            else:
                skipped = OutcomeStatus.OPEN_CIRCUIT
                ended.append(not_run(item.scanner, skipped, "open_circuit", refusal))
        self.n_scanners = len(self.waiting)
        self._emit("begun")
        while ended or self.waiting or self.running:
            # Free slots are filled before anything is reported, which may take time.
            started, refused = self.fill()
            for ending in (*ended, *refused):
                self.conclude(ending)
            for job in started:
                self._emit_job("started", job)
            if self.observe_every_s is not None and time.monotonic() >= self.next_look_s:
                self.next_look_s = time.monotonic() + self.observe_every_s
                for job in self.running:
                    self._emit_job("running", job)
            ended = self.wait()

    def cancel(self) -> None:
        """Abandon everything that has not ended; without effect after a run that was completed."""
        for job in self.running:
            # An exception may have come before its start.
            if job.thread is not None:
                self._close(job, OutcomeStatus.SKIPPED, STOPPED, STOPPED)
        for name in self.allowed:
            # The run has failed already, perhaps because of the breakers.
            with suppress(Exception):
                self.breakers.cancel(name)

    # --- slots

    def fill(self) -> tuple[list[Job], list[Ending]]:
        """Start as many as fit; return them, and the ends of those that could not start."""
        started: list[Job] = []
        refused: list[Ending] = []
        while self.waiting and len(self.running) < self.workers and not self.stop.is_set():
            n_hung = _hung.count()
            # Each running scanner may become hung, and a hung one may end: wait.
            if n_hung < MAX_HUNG <= n_hung + len(self.running):
                break
            job = self.waiting.popleft()
            if n_hung >= MAX_HUNG:
                ending = not_run(
                    job.scanner,
                    OutcomeStatus.SKIPPED,
                    TOO_MANY_HUNG,
                    "too many hung",
                )
                refused.append(ending)
                continue
            # Before the start, so that `cancel` finds it after any exception.
            self.running.append(job)
            try:
                # One clock for all scanners, so that their times can be compared.
                job.start(time.monotonic, self.delivered.put)
            except RuntimeError as error:  # the system has no thread left
                self.running.remove(job)
                # It starts when another one has ended.
                if self.running:
                    self.waiting.appendleft(job)
                    break
                message = f"no thread can be started: {plain(error)}"
                skipped = OutcomeStatus.SKIPPED
                refused.append(not_run(job.scanner, skipped, "no_thread", message))
            else:
                started.append(job)
        return started, refused

    def wait(self) -> list[Ending]:
        """Return the scanners that end within `POLL_S`, are due, or are stopped."""
        if not self.running and not self.waiting:
            return []
        due = []
        # Up to a delivery, the first scanner that is due, or the next look at `stop`.
        nearest_s = min((job.context.remaining_s() for job in self.running), default=0.0)
        with suppress(queue.Empty):
            due.append(self.delivered.get(timeout=min(POLL_S, nearest_s)))
            while True:
                due.append(self.delivered.get_nowait())
        for job in self.running:
            if job not in due and job.context.remaining_s() <= 0:
                due.append(job)
        endings = []
        for job in due:
            # A delivery can be found after its scanner was closed for being due.
            if job in self.running:
                message = timeout_message(job.context.timeout_s)
                endings.append(self._close(job, OutcomeStatus.TIMEOUT, "timeout", message))
                # Last, so that `cancel` finds it after any exception.
                self.running.remove(job)
        if self.stop.is_set():
            endings += self.stop_all()
        return endings

    def stop_all(self) -> list[Ending]:
        """End everything with what has been delivered."""
        skipped = OutcomeStatus.SKIPPED
        endings = [self._close(job, skipped, STOPPED, STOPPED) for job in self.running]
        # Without a start there is neither a time nor a log.
        endings += [not_run(job.scanner, skipped, STOPPED, STOPPED) for job in self.waiting]
        self.running.clear()
        self.waiting.clear()
        return endings

    def _close(
        self,
        job: Job,
        status: OutcomeStatus,
        code: str,
        message: str,
    ) -> Ending:
        """End a job with what it delivered, else with this status."""
        ending = job.close(status, ScanError(code, message))
        if job.thread is not None and job.ending is None:
            _hung.add(job.thread)
        return ending

    # --- reports

    def conclude(self, ending: Ending) -> None:
        """Keep the end of a scanner; report it to its breaker, then to the observer."""
        outcome = replace(ending.outcome, ended_s=round(self.elapsed_s(), 6))
        ending = replace(ending, outcome=outcome)
        self.endings[outcome.scanner] = ending
        if outcome.scanner in self.allowed:
            # Removed first: if the breaker raises, `cancel` must not report to it again.
            self.allowed.remove(outcome.scanner)
            notify_breaker(self.breakers, ending)
        self._emit(
            "finished",
            scanner=outcome.scanner,
            pipeline=outcome.pipeline,
            seconds=outcome.seconds,
            attempts=outcome.attempts,
            outcome=outcome,
            candidates=ending.candidates,
            logs=ending.logs,
        )

    def _emit_job(
        self,
        kind: EventKind,
        job: Job,
    ) -> None:
        context = job.context
        self._emit(
            kind,
            scanner=job.scanner.name,
            pipeline=job.scanner.pipeline,
            seconds=context.elapsed_s(),
            attempts=context.attempts,
            timeout_s=context.timeout_s,
        )

    def _emit(
        self,
        kind: EventKind,
        **fields: Any,
    ) -> None:
        if self.observe is not None:
            event = ScanEvent(
                kind=kind,
                elapsed_s=self.elapsed_s(),
                n_scanners=self.n_scanners,
                workers=self.workers,
                mode=self.mode,
                **fields,
            )
            self.observe(event)


class _Switching:
    """The interpreter's switch interval, short while any scan of the process runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before_s = 0.0

    @contextmanager
    def quick(self) -> Iterator[None]:
        with self._lock:
            # Scans may overlap: the first changes the interval, the last restores it.
            if self._n_inside == 0:
                self._before_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before_s, SWITCH_INTERVAL_S))
            self._n_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0:
                    sys.setswitchinterval(self._before_s)


_switching = _Switching()
