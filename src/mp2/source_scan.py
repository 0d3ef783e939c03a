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

A child is to be killed while it is being started. `mp2.scanner_child.ChildScan` starts and kills under one lock; what is
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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import ValidationError

from mp2.candidates import merged, one_line, shown
from mp2.collection import MAX_MESSAGE_CHARS, Collected, Found, collect, failure
from mp2.discovery import MAX_HUNG, Discovery, ExecutionSettings, complaints, read_discovery
from mp2.errors import InputError, plain
from mp2.registry import Registered, find_scanners, registered
from mp2.scan_model import (
    ANSWERED,
    STOPPED,
    TOO_MANY_HUNG,
    Candidate,
    Mode,
    OutcomeStatus,
    ScanError,
    ScanEvent,
    ScanOutcome,
    ScanResult,
    ScanStatus,
)
from mp2.scanner import (
    ClientFactory,
    ReplyKind,
    ScanContext,
    Scanner,
    ScannerSettings,
    find_key,
    no_key_message,
    timeout_message,
)
from mp2.scanner_child import ChildScan, client_factory, request_text

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
        """It failed with a code of `mp2.errors.SOURCE_ERROR_CODES`, or `exception`; which of them count is the breaker's affair."""

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
    - `http` makes the clients of scanners in threads, and `http_options` are the arguments of `mp2.net.Client` for those in
      processes; without `http` such a client is made for this scan from the same arguments.
    - `stop`: once it is set the scan ends within about `POLL_S` with what it has.
    - `observe` gets what happens; with `observe_every_s` also every running scanner that often.
    - `today`: the date to scan for (default: the local date). `scan_id`: the result's (default: a new one).

    What is wrong with one scanner is its outcome. Raises `InputError` for whatever is wrong with the call or the configuration:
    unknown keys and names (`only` included), values out of range, two scanners of one name.
    """
    known = find_scanners() if scanners is None else registered(scanners)
    chosen = _chosen(known, only)
    discovery = read_discovery(config, [one.name for one in known], [one.pipeline for one in known if one.pipeline])
    execution = _execution(discovery.execution, workers, timeout_s, concurrent)
    own_client = (None, lambda: None) if http else client_factory(http_options or {})
    preparation = _Preparation(
        discovery=discovery,
        timeout_s=execution.timeout_seconds,
        state={} if state is None else state,
        today=today or datetime.date.today(),
        http=http or own_client[0],
        http_options=http_options or {},
    )
    run = _Run(
        [preparation.job(one) for one in chosen],
        execution=execution,
        breakers=breakers,
        stop=stop or threading.Event(),
        observe=observe,
        observe_every_s=observe_every_s,
    )
    try:
        with _quick_switching():
            run.go()
    finally:
        run.cancel()
        own_client[1]()
    result = run.result(scan_id or _new_id())
    if state is not None and result.tool_logs:
        state["tool_logs"] = [*state.get("tool_logs", ()), *result.tool_logs]
    return result


def scan_in_caller(
    scanner: type[Scanner] | Registered,
    *,
    config: Mapping[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    http: ClientFactory | None = None,
    today: datetime.date | None = None,
) -> tuple[ScanOutcome, tuple[Candidate, ...], tuple[str, ...]]:
    """Run one scanner in this thread, without a time limit, for a debugger: its outcome, its candidates and its log lines.

    Isolation and `enabled` do not matter here. Raises as `scan` does; a KeyboardInterrupt is the caller's.
    """
    raise NotImplementedError


def _chosen(known: Sequence[Registered], only: Sequence[str]) -> list[Registered]:
    names = [one.name for one in known]
    if problems := [f"unknown scanner {plain(name)!r}; known are {', '.join(names) or 'none'}" for name in only if name not in names]:
        raise InputError(problems)
    return [one for one in known if not only or one.name in only]
