"""Runs scanners side by side: each in its own thread or process, for its own time, none able to hurt another or the result.

Purpose. `scan` prepares the scanners, runs them in registration order in at most `workers` slots, and merges what they named.
It knows nothing of HTTP and nothing of the store: a client factory, breakers and an observer are handed in.

How it works. The calling thread supervises: it starts a fresh daemon thread per scanner (an executor's threads would be joined
at exit, hung ones for ever), waits for the first that ends or is due, and settles it. A scanner of its own process has a thread
too, which waits for the child. Sequential mode is the same with one slot.

Guarantees:

- A scanner's time counts from its own start. At its end the slot is free again at once, whatever the thread does; the thread
  is told (`context.cancelled`), a child process is killed with its whole group, and a late result goes nowhere.
- A result counts if and only if the scanner's own clock was within its time when it ended.
- At most `MAX_HUNG` threads of scanners are alive in the process, abandoned ones of earlier scans included; when all of them
  are abandoned, further scanners are skipped.
- Breakers and `observe` are called in the calling thread, one call at a time; what they raise ends the scan: everything is
  cancelled, children are killed, and the exception goes to the caller. The same holds for a KeyboardInterrupt.
- Nothing is waited for after a stop; what had been delivered by then counts.
- Once `scan` has returned or raised, no thread of it can change its result, start a scanner or call anything handed in.

Races, and why they are harmless:

A scanner ends as its time runs out.
    1. The thread delivers its result; the supervisor finds the scanner due.
    Both happen under the scanner's lock. Delivered first, the result is there and its own time decides whether it counts;
    given up first, the thread finds the run closed and its result is dropped.

A stop comes as a scanner ends. The same lock, the same answer: delivered results count.

A child is to be killed while it is being started. `mp2.discovery.child.ChildScan` starts and kills under one lock; what is
killed before it is started is not started any more.
"""

from __future__ import annotations

import copy
import datetime
import queue
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import ValidationError

from mp2.discovery.candidates import merged, one_line, shown
from mp2.discovery.child import ChildScan, OwnClient, request_text
from mp2.discovery.collection import MAX_MESSAGE_CHARS, Collected, Found, collect, failure, gather
from mp2.discovery.config import (
    MAX_HUNG,
    Discovery,
    ExecutionSettings,
    complaints,
    own_settings,
    read_discovery,
)
from mp2.discovery.context import ClientFactory, ReplyKind, ScanContext, find_key, no_key_message
from mp2.discovery.deadline import timeout_message
from mp2.discovery.records import (
    ANSWERED,
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
    ScanStatus,
)
from mp2.discovery.registry import Registered, find_scanners, registered
from mp2.discovery.scanner import Scanner, ScannerSettings
from mp2.errors import InputError, plain

POLL_S = 0.05
"""How often the supervisor looks at the stop event and the clock while nothing happens."""

SWITCH_INTERVAL_S = 0.0005
"""The interpreter's switch interval while scanners run. Four scanners in pure Python delay a deadline by 50-60 ms at the
default of 5 ms, by 12-15 ms at this (95th percentile), and nothing is gained below."""


class Breakers(Protocol):
    """Circuit breakers of all scanners, called in the calling thread. Every `allow` that lets a scanner run has one answer."""

    def allow(self, scanner: str, /) -> bool | str:
        """True to let it run; False or the reason not to."""

    def success(self, scanner: str, /) -> None:
        """It answered, from its source."""

    def failure(self, scanner: str, code: str, /) -> None:
        """It failed with a code of `mp2.errors.SOURCE_ERROR_CODES`, or `exception`; which of them count is for it to know.

        An answer from an old entry of the cache is a failure too: the source did not give it.
        """

    def cancel(self, scanner: str, /) -> None:
        """Nothing is known about its source: not run, stopped, no key, or answered from the cache."""


def scan(
    scanners: Iterable[type[Scanner] | Registered] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    concurrent: bool | None = None,
    only: Sequence[str] = (),
    http: ClientFactory | None = None,
    http_options: Mapping[str, Any] | None = None,
    breakers: Breakers | None = None,
    stop: threading.Event | None = None,
    observe: Callable[[ScanEvent], None] | None = None,
    observe_every_s: float | None = None,
    today: datetime.date | None = None,
    scan_id: str | None = None,
) -> ScanResult:
    """Run scanners and merge what they name; the guarantees are at the head of this module.

    - `scanners`: classes, or what `mp2.find_scanners` gave; None: all built-in ones and plug-ins. These and no others.
    - `config`: the table `[discovery]` of a settings file. `workers` (1..64), `timeout_s` (seconds per scanner, for those that
      have none of their own) and `concurrent` come before what it says. `only`: names; the others are left out of the result.
    - `state`: every scanner gets a deep copy; entries of the tool logs are appended to its `tool_logs`.
    - `http` makes the clients of scanners in threads, and `http_options` are the arguments of `http.client.Client` for those in
      processes; without `http` such a client is made for this scan from the same arguments, and its warnings are the result's.
    - `stop`: once it is set the scan ends within about `POLL_S` with what it has.
    - `observe` gets what happens; with `observe_every_s` also every running scanner that often.
    - `today`: the date to scan for (default: the local date). `scan_id`: the result's (default: a new one).

    What is wrong with one scanner is its outcome. Raises `InputError` for whatever is wrong with the call or the configuration:
    unknown keys and names (`only` included), values out of range, two scanners of one name.
    """
    known = find_scanners() if scanners is None else registered(scanners)
    chosen = _chosen(known, only)
    discovery = read_discovery(
        config, [one.name for one in known], [one.pipeline for one in known if one.pipeline]
    )
    if state is not None and not isinstance(state.get("tool_logs", []), list):
        raise InputError(
            "state['tool_logs'] has to be a list: the entries of the tool logs are appended to it"
        )
    execution = _execution(discovery.execution, workers, timeout_s, concurrent)
    warnings: list[str] = []
    with _client(http, http_options or {}, warnings.append) as factory:
        preparation = _Preparation(
            discovery=discovery,
            timeout_s=execution.timeout_seconds,
            state={} if state is None else state,
            today=today or datetime.date.today(),
            http=factory,
            http_options=http_options or {},
        )
        entries = [preparation.entry(one) for one in chosen]
        run = _Run(
            entries,
            execution=execution,
            breakers=breakers,
            stop=stop,
            observe=observe,
            observe_every_s=observe_every_s,
            clock=time.monotonic,
        )
        try:
            with _switching.quick():
                run.go()
        finally:
            run.cancel()
    result = run.result(scan_id or _new_id())
    result = replace(result, warnings=(*result.warnings, *dict.fromkeys(warnings)))
    if state is not None and result.tool_logs:
        state.setdefault("tool_logs", []).extend(result.tool_logs)
    return result


def scan_in_caller(
    scanner: type[Scanner] | Registered,
    *,
    config: Mapping[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    http: ClientFactory | None = None,
    http_options: Mapping[str, Any] | None = None,
    today: datetime.date | None = None,
) -> tuple[ScanOutcome, tuple[Candidate, ...], tuple[str, ...]]:
    """Run one scanner in this thread, without a time limit, for a debugger: its outcome, its candidates and its log lines.

    Isolation, keys and `enabled` do not matter here. Raises whatever the scanner raises, and `InputError` for what is wrong
    with its class, its settings or the state.
    """
    one = registered([scanner])[0]
    discovery = read_discovery(config, [one.name], [one.pipeline])
    if one.scanner is None:
        raise InputError(f"scanner {one.name}: {one.error}")
    settings = own_settings(one.scanner, discovery.scanners.get(one.name, {}))
    own_state = _state_copy({} if state is None else state)
    warnings: list[str] = []
    with _client(http, http_options or {}, warnings.append) as factory:
        context = ScanContext(one.scanner, settings, state=own_state, today=today, http=factory)
        collected = gather(one.scanner, context, Found(context))
    return (
        _outcome(one, _Ending.of(collected, context)),
        collected.candidates,
        (*context.logs, *warnings),
    )


def _chosen(known: Sequence[Registered], only: Sequence[str]) -> list[Registered]:
    names, wanted = [one.name for one in known], (only,) if isinstance(only, str) else tuple(only)
    if unknown := [name for name in wanted if name not in names]:
        listed = ", ".join(names) or "none"
        raise InputError(
            [f"unknown scanner {plain(name)!r}; known are {listed}" for name in unknown]
        )
    return [one for one in known if not wanted or one.name in wanted]


def _execution(
    configured: ExecutionSettings,
    workers: int | None,
    timeout_s: float | None,
    concurrent: bool | None,
) -> ExecutionSettings:
    """What the call says, then the configuration, then the defaults."""
    said = {"max_workers": workers, "timeout_seconds": timeout_s, "concurrent": concurrent}
    given = {name: value for name, value in said.items() if value is not None}
    try:
        return ExecutionSettings.model_validate({**configured.model_dump(), **given})
    except ValidationError as error:
        raise InputError(list(complaints(error, ExecutionSettings))) from error


@contextmanager
def _client(
    http: ClientFactory | None, options: Mapping[str, Any], warn: Callable[[str], object]
) -> Iterator[ClientFactory]:
    """The caller's HTTP client, or one for this scan that is closed at its end."""
    if http is not None:
        yield http
        return
    client = OwnClient(options, warn)
    try:
        yield client.for_scanner
    finally:
        client.close()


def _new_id() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


# --- one scanner ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a scanner ended and all that is kept of it; nothing it still does can change that."""

    collected: Collected
    seconds: float
    attempts: int
    replies: frozenset[ReplyKind]
    logs: tuple[str, ...]
    tool_logs: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, collected: Collected, context: ScanContext) -> _Ending:
        seconds = context.elapsed_s()
        return cls(
            collected, seconds, context.attempts, context.replies, context.logs, context.tool_logs
        )


def _outcome(one: Registered, ending: _Ending) -> ScanOutcome:
    collected = ending.collected
    return ScanOutcome(
        scanner=one.name,
        pipeline=one.pipeline,
        status=collected.status,
        seconds=round(ending.seconds, 6),
        attempts=ending.attempts,
        n_candidates=collected.n_candidates,
        n_dropped=collected.n_dropped,
        error=collected.error,
    )


class _Job:
    """A scanner that is ready to run. `_work` is its thread; all else is called by the supervisor."""

    def __init__(
        self,
        scanner: type[Scanner],
        new_context: Callable[[Callable[[], float]], ScanContext],
        child: ChildScan | None,
    ) -> None:
        self._scanner, self._new_context, self._child = scanner, new_context, child
        self._lock = threading.Lock()
        self._ending: _Ending | None = None
        self._closed = False
        self.thread: threading.Thread | None = None

    def start(self, clock: Callable[[], float], ended: Callable[[], None]) -> None:
        """Begin; `ended` is called in the scanner's thread once there is something to take. RuntimeError: no thread left."""
        self.context = self._new_context(clock)
        self._found = Found(self.context)
        self.thread = threading.Thread(
            target=self._work,
            args=(ended,),
            name=f"mp2-scanner-{self.context.scanner}",
            daemon=True,
        )
        self.thread.start()

    @property
    def delivered(self) -> bool:
        """Whether its thread has nothing left to do."""
        return self._ending is not None

    def remaining_s(self) -> float:
        """Seconds up to its time limit, less than 0 past it."""
        assert self.context.timeout_s is not None
        return self.context.timeout_s - self.context.elapsed_s()

    def close(self, status: OutcomeStatus, error: ScanError) -> _Ending | None:
        """What it delivered within its time; else, from now on, that it ended so. It is told, its child is killed.

        None: it was never started.
        """
        if self.thread is None:
            return None
        with self._lock:
            self._closed = True
        self.context.cancelled.set()
        if self._child is not None:
            self._child.kill()
        ending = self._ending
        if ending is None:
            return _Ending.of(
                Collected(status, error, (), len(self._found.candidates), self._found.n_dropped),
                self.context,
            )
        return ending if ending.seconds <= (self.context.timeout_s or 0) else self._too_late(ending)

    def _too_late(self, ending: _Ending) -> _Ending:
        error = ScanError("timeout", timeout_message(self.context.timeout_s))
        return replace(
            ending,
            collected=replace(
                ending.collected, status=OutcomeStatus.TIMEOUT, error=error, candidates=()
            ),
        )

    def _work(self, ended: Callable[[], None]) -> None:
        collected = Collected(
            OutcomeStatus.ERROR, ScanError("exception", "ended without a word"), (), 0, 0
        )
        with suppress(BaseException):  # only of exceptions that fail to say what they are
            collected = self._collected()
        ending = _Ending.of(collected, self.context)
        with self._lock:
            if not self._closed:
                self._ending = ending
                ended()

    def _collected(self) -> Collected:
        if self._child is None:
            return collect(self._scanner, self.context, self._found)
        try:
            return self._child.run(self.context)
        except BaseException as error:
            return Collected(*failure(error, self.context), (), 0, 0)


# --- preparation ----------------------------------------------------------------------------------------------------


class _NotRun(Exception):  # noqa: N818 - a scanner that is switched off is no error
    """A scanner is not to be run, and this is its outcome."""

    def __init__(self, status: OutcomeStatus, code: str, message: str) -> None:
        self.status, self.error = status, ScanError(code, one_line(message, MAX_MESSAGE_CHARS))
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preparation:
    """What is common to the scanners of a run before it begins."""

    discovery: Discovery
    timeout_s: float
    state: dict[str, Any]
    today: datetime.date
    http: ClientFactory
    http_options: Mapping[str, Any]

    def entry(self, one: Registered) -> _Entry:
        """A scanner with its job, or with the outcome it has without running."""
        entry = _Entry(one)
        try:
            entry.job = self._job(one)
        except _NotRun as not_run:
            entry.leave_out(not_run.status, not_run.error.code, not_run.error.message)
        return entry

    def _job(self, one: Registered) -> _Job:
        """Raises `_NotRun`."""
        if one.scanner is None:
            raise _NotRun(OutcomeStatus.ERROR, _PREPARATION, one.error or "no class")
        given = self.discovery.scanners.get(one.name, {})
        try:
            settings = self._enabled(one, one.scanner, given)
            return self._ready(one.scanner, settings, given)
        except InputError as error:
            raise _NotRun(OutcomeStatus.ERROR, _PREPARATION, "; ".join(error.problems)) from error

    def _enabled(
        self, one: Registered, scanner: type[Scanner], given: Mapping[str, Any]
    ) -> ScannerSettings:
        if (reason := self.discovery.why_off(one.name, one.pipeline, scanner)) is not None:
            raise _NotRun(OutcomeStatus.DISABLED, "disabled", reason)
        for name in scanner.keys:
            if find_key(name) is None:
                raise _NotRun(OutcomeStatus.SKIPPED, "missing_key", no_key_message(name))
        return own_settings(scanner, given)

    def _ready(
        self, scanner: type[Scanner], settings: ScannerSettings, given: Mapping[str, Any]
    ) -> _Job:
        in_process = scanner.isolation == "process"
        child = (
            ChildScan(request_text(scanner, given, self.state, self.http_options))
            if in_process
            else None
        )
        own_state = None if in_process else _state_copy(self.state)
        timeout_s = self.timeout_s if settings.timeout_seconds is None else settings.timeout_seconds

        def new_context(clock: Callable[[], float]) -> ScanContext:
            return ScanContext(
                scanner,
                settings,
                state=own_state,
                timeout_s=timeout_s,
                today=self.today,
                http=self.http,
                clock=clock,
            )

        return _Job(scanner, new_context, child)


_PREPARATION = "preparation"
"""Code of what is wrong with a scanner before it runs."""


def _state_copy(state: dict[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(state)
    except Exception as error:
        raise InputError(
            f"state[{_uncopyable(state)}] cannot be copied: {type(error).__name__}: {plain(error)}"
        ) from error


def _uncopyable(state: dict[str, Any]) -> str:
    """The first key whose value cannot be copied."""
    for key, value in state.items():
        try:
            copy.deepcopy(value)
        except Exception:
            return shown(key)
    return "..."


# --- the run --------------------------------------------------------------------------------------------------------


class _Hung:
    """Threads of scanners that were given up, in the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        with self._lock:
            self._threads.append(thread)

    def count(self) -> int:
        """Those that are still alive."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads)


_hung = _Hung()


@dataclass(slots=True, eq=False)
class _Entry:
    """A scanner of a run: its job, if it is to run, and how it ended, once it has."""

    one: Registered
    job: _Job | None = None
    allowed: bool = False
    outcome: ScanOutcome | None = None
    ending: _Ending | None = None

    def end(self, ending: _Ending) -> None:
        self.ending, self.outcome, self.job = ending, _outcome(self.one, ending), None

    def leave_out(self, status: OutcomeStatus, code: str, message: str) -> None:
        self.end(
            _Ending(
                Collected(status, ScanError(code, message), (), 0, 0), 0.0, 0, frozenset(), (), ()
            )
        )


class _Run:
    """The supervisor. All of it runs in the calling thread."""

    def __init__(
        self,
        entries: Sequence[_Entry],
        *,
        execution: ExecutionSettings,
        breakers: Breakers | None,
        stop: threading.Event | None,
        observe: Callable[[ScanEvent], None] | None,
        observe_every_s: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._entries, self._breakers, self._observe, self._clock = (
            entries,
            breakers,
            observe,
            clock,
        )
        self._mode: Mode = "concurrent" if execution.concurrent else "sequential"
        self._workers = execution.max_workers if execution.concurrent else 1
        self._stop = stop or threading.Event()
        self._every_s = observe_every_s
        self._next_look_s = 0.0
        self._started_s = clock()
        self._waiting: deque[_Entry] = deque()
        self._running: list[_Entry] = []
        self._ended: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._stopped = False
        self._n_scanners = 0

    def go(self) -> None:
        """Run everything."""
        for entry in self._entries:
            if entry.job is not None:
                self._ask_breaker(entry)
        self._waiting.extend(entry for entry in self._entries if entry.job is not None)
        self._n_scanners = len(self._waiting)
        self._tell("begun")
        ended = [entry for entry in self._entries if entry.job is None]
        while ended or self._waiting or self._running:
            left_out, started = self._fill()
            for entry in (*ended, *left_out):
                self._conclude(entry)
            for entry in started:
                self._tell_of("started", entry)
            self._tell_of_running()
            ended = self._wait()

    def cancel(self) -> None:
        """Give up whatever has not ended, wherever the run was left; without effect after one that went to its end."""
        for entry in self._entries:
            if entry.job is not None:
                self._abandon(entry, OutcomeStatus.SKIPPED, STOPPED)
        for entry in self._entries:
            if entry.allowed and self._breakers is not None:
                with suppress(
                    Exception
                ):  # the run has failed already, perhaps for this very reason
                    self._breakers.cancel(entry.one.name)

    def result(self, scan_id: str) -> ScanResult:
        """The end of the run, in registration order."""
        ended = [
            (entry, entry.outcome, entry.ending)
            for entry in self._entries
            if entry.outcome and entry.ending
        ]
        outcomes = tuple(outcome for _, outcome, _ in ended)
        failed = any(outcome.failed for outcome in outcomes)
        return ScanResult(
            scan_id=scan_id,
            status=ScanStatus.STOPPED
            if self._stopped
            else ScanStatus.PARTIAL
            if failed
            else ScanStatus.COMPLETE,
            elapsed_s=round(self._clock() - self._started_s, 6),
            workers=self._workers,
            mode=self._mode,
            outcomes=outcomes,
            candidates=merged(
                (entry.one.pipeline, ending.collected.candidates) for entry, _, ending in ended
            ),
            warnings=tuple(_warnings(outcomes)),
            tool_logs=tuple(line for _, _, ending in ended for line in ending.tool_logs),
            logs={entry.one.name: ending.logs for entry, _, ending in ended},
        )

    # --- slots

    def _ask_breaker(self, entry: _Entry) -> None:
        answer = True if self._breakers is None else self._breakers.allow(entry.one.name)
        entry.allowed = answer is True
        if not entry.allowed:
            reason = answer if isinstance(answer, str) else "open circuit"
            entry.leave_out(
                OutcomeStatus.OPEN_CIRCUIT, "open_circuit", one_line(reason, MAX_MESSAGE_CHARS)
            )

    def _fill(self) -> tuple[list[_Entry], list[_Entry]]:
        """Start what fits; those that could not be started, and those that were."""
        taken: list[_Entry] = []
        while self._waiting and len(self._running) < self._workers and not self._stop.is_set():
            n_hung = _hung.count()
            if n_hung < MAX_HUNG <= n_hung + len(self._running):
                break
            taken.append(self._waiting.popleft())
            if n_hung >= MAX_HUNG:
                taken[-1].leave_out(OutcomeStatus.SKIPPED, TOO_MANY_HUNG, "too many hung")
            else:
                self._start(taken[-1])
        return [entry for entry in taken if entry.job is None], [
            entry for entry in taken if entry.job is not None
        ]

    def _start(self, entry: _Entry) -> None:
        assert entry.job is not None
        self._running.append(entry)
        try:
            entry.job.start(self._clock, lambda: self._ended.put(entry))
        except RuntimeError as error:  # the system has no thread left
            self._running.remove(entry)
            entry.leave_out(OutcomeStatus.ERROR, "exception", f"RuntimeError: {plain(error)}")

    def _wait(self) -> list[_Entry]:
        """Those that have ended, or are due, or are stopped; returns at the latest after `POLL_S`."""
        if not (self._running or self._waiting):
            return []
        ended = [entry for entry in self._delivered() if entry in self._running]
        ended += [
            entry for entry in self._running if entry not in ended and _remaining_s(entry) <= 0
        ]
        for entry in ended:
            self._abandon(entry, OutcomeStatus.TIMEOUT, "timeout")
            self._running.remove(entry)
        return ended + self._heed_stop()

    def _delivered(self) -> Iterator[_Entry]:
        nearest_s = min(map(_remaining_s, self._running), default=0.0)
        with suppress(queue.Empty):
            yield self._ended.get(timeout=max(0.0, min(POLL_S, nearest_s)))
            while True:
                yield self._ended.get_nowait()

    def _heed_stop(self) -> list[_Entry]:
        if not self._stop.is_set():
            return []
        ended = [*self._running, *self._waiting]
        self._running.clear()
        self._waiting.clear()
        for entry in ended:
            self._abandon(entry, OutcomeStatus.SKIPPED, STOPPED)
        self._stopped = any(
            entry.outcome and entry.outcome.error and entry.outcome.error.code == STOPPED
            for entry in ended
        )
        return ended

    def _abandon(self, entry: _Entry, status: OutcomeStatus, code: str) -> None:
        """End it with what it has delivered, else so; a thread that goes on is remembered."""
        job = entry.job
        assert job is not None
        message = timeout_message(job.context.timeout_s) if code == "timeout" else code
        ending = job.close(status, ScanError(code, message))
        if ending is None:
            entry.leave_out(status, code, message)
            return
        entry.end(ending)
        if job.thread is not None and not job.delivered:
            _hung.add(job.thread)

    # --- telling

    def _conclude(self, entry: _Entry) -> None:
        """Its breaker hears how it ended, then the observer."""
        outcome, ending = entry.outcome, entry.ending
        assert outcome is not None
        assert ending is not None
        if entry.allowed and self._breakers is not None:
            entry.allowed = False
            _answer_breaker(self._breakers, outcome, ending.replies)
        self._tell(
            "finished",
            scanner=entry.one.name,
            pipeline=entry.one.pipeline,
            seconds=outcome.seconds,
            attempts=outcome.attempts,
            outcome=outcome,
            candidates=ending.collected.candidates,
            logs=ending.logs,
        )

    def _tell_of(self, kind: EventKind, entry: _Entry) -> None:
        """Of a scanner that runs."""
        assert entry.job is not None
        context = entry.job.context
        self._tell(
            kind,
            scanner=entry.one.name,
            pipeline=entry.one.pipeline,
            seconds=0.0 if kind == "started" else context.elapsed_s(),
            attempts=context.attempts,
            timeout_s=context.timeout_s,
        )

    def _tell_of_running(self) -> None:
        """Of all that run, as often as was asked for."""
        if self._every_s is None or self._clock() < self._next_look_s:
            return
        self._next_look_s = self._clock() + self._every_s
        for entry in self._running:
            self._tell_of("running", entry)

    def _tell(self, kind: EventKind, **fields: Any) -> None:
        if self._observe is None:
            return
        run: dict[str, Any] = {
            "n_scanners": self._n_scanners,
            "workers": self._workers,
            "mode": self._mode,
        }
        self._observe(
            ScanEvent(kind=kind, elapsed_s=self._clock() - self._started_s, **run, **fields)
        )


def _remaining_s(entry: _Entry) -> float:
    return 0.0 if entry.job is None else entry.job.remaining_s()


def _answer_breaker(
    breakers: Breakers, outcome: ScanOutcome, replies: frozenset[ReplyKind]
) -> None:
    name = outcome.scanner
    if outcome.status in ANSWERED and "stale" in replies:
        breakers.failure(
            name, "unavailable"
        )  # only failures that may pass are answered so, and all of those count alike
    elif outcome.status in ANSWERED and replies != {"cached"}:
        breakers.success(name)
    elif (
        outcome.status in ANSWERED
        or outcome.status is OutcomeStatus.SKIPPED
        or outcome.error is None
    ):
        breakers.cancel(name)
    else:
        breakers.failure(name, outcome.error.code)


_WORTH_A_WARNING = (OutcomeStatus.SKIPPED, OutcomeStatus.OPEN_CIRCUIT)


def _warnings(outcomes: Iterable[ScanOutcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.status in _WORTH_A_WARNING and outcome.error is not None:
            yield f"{outcome.scanner}: skipped: {outcome.error.message}"
        if outcome.status is OutcomeStatus.STALE:
            known = (
                "the candidates are of" if outcome.n_candidates else "there were no candidates in"
            )
            yield f"{outcome.scanner}: its source failed; {known} an earlier answer"


class _Switching:
    """The interpreter's switch interval, short while any scan of the process runs, then what it was before the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside, self._before_s = 0, 0.0

    @contextmanager
    def quick(self) -> Iterator[None]:
        with self._lock:
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
