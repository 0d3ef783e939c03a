"""What a scanner is given for one run: time, HTTP, keys, logs.

Nothing in it is shared with another scanner.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from mp2.discovery.deadline import Deadline
from mp2.discovery.http.redact import Secrets
from mp2.discovery.records import Candidate
from mp2.discovery.scanner import Scanner, ScannerSettings
from mp2.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    from mp2.discovery.http.client import Http

MAX_LOG_LINES = 1000
"""Lines kept of one scanner's log, and entries of its tool log; later ones are dropped."""

MAX_LOG_CHARS = 20_000
"""Characters kept of a line."""

ReplyKind = Literal["fresh", "cached", "stale"]
"""Where a response came from: the source, the cache, or a cache entry past its time."""

ClientFactory = Callable[["ScanContext", type[Scanner]], "Http"]
"""Makes the HTTP client of one scanner's run."""


class ScanContext:
    """What a scanner is given for one run; it stays usable after the run has abandoned the scanner.

    `state`: a deep copy of the run's. `today`: the date to scan for. `deadline`: when it has to
    end; `timeout_s` None: never. `cancelled`: set when the result is not wanted any more. `logger`:
    writes to the scanner's own log.

    What the run reads in the end: `attempts`, the requests sent; `replies`, where responses came
    from; `logs`, the log lines; `tool_logs`, the entries of the tool log.
    """

    def __init__(
        self,
        scanner: type[Scanner],
        settings: ScannerSettings,
        *,
        state: dict[str, Any] | None = None,
        timeout_s: float | None = None,
        today: datetime.date | None = None,
        http: ClientFactory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scanner = scanner.name
        self.settings = settings
        self.state = state if state is not None else {}
        self.today = today or datetime.date.today()
        self.timeout_s = timeout_s
        self.deadline = Deadline(timeout_s, clock)
        self.cancelled = self.deadline.cancelled
        self.secrets = Secrets()
        self._class = scanner
        self._factory = http
        self._http: Http | None = None
        self.attempts = 0
        self.replies: set[ReplyKind] = set()
        self.logs: list[str] = []
        self.tool_logs: list[dict[str, Any]] = []
        # Not from the manager of loggers, which would keep it and share it between runs.
        self.logger = logging.Logger(f"mp2.discovery.scanner.{scanner.name}")
        self.logger.propagate = False
        self.logger.addHandler(_Log(self))
        # Also keys that the scanner reads without `key`.
        for name in scanner.keys:
            self.hide(find_key(name) or "")

    # --- for scanners

    @property
    def http(self) -> Http:
        """The HTTP client.

        Raises `MissingExtraError` when the packages for it are not installed.
        """
        if self._http is None:
            if self._factory is None:
                raise MissingExtraError(f"scanner {self.scanner}", "net")
            self._http = self._factory(self, self._class)
        return self._http

    def remaining_s(self) -> float:
        """Return the seconds left: 0 past the end or when cancelled, else up to infinity."""
        return self.deadline.remaining_s()

    def check(self) -> None:
        """Raise `SourceError("timeout")` past the deadline and when cancelled."""
        self.deadline.check()

    def candidate(
        self,
        ticker: str,
        context: str,
        priority: str = "medium",
        data: Any = None,
    ) -> Candidate:
        """Return a candidate of this scanner."""
        return Candidate(ticker, self.scanner, context, priority, data)

    def key(self, name: str) -> str:
        """Return the environment variable `MP2_<name>`, else `name`, redacted from now on.

        Raises `SourceError("missing_key")` when neither is set or both are empty.
        """
        value = find_key(name)
        if value is None:
            raise SourceError("missing_key", no_key_message(name))
        self.hide(value)
        return value

    def hide(self, secret: str) -> None:
        """Redact a secret from now on, if it has at least four characters."""
        self.secrets.add(secret)

    def log_tool(self, tool: str, **fields: Any) -> None:
        """Add an entry to the run's tool log, `{"scanner": ..., "tool": tool, ...fields}`.

        Raises ValueError when a field is not JSON, NaN included.
        """
        try:
            text = json.dumps(
                {"scanner": self.scanner, "tool": tool, **fields},
                allow_nan=False,
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"entry of the tool log {tool!r}: {error}") from error
        if len(self.tool_logs) < MAX_LOG_LINES and len(text) <= MAX_LOG_CHARS:
            # A copy, which the scanner cannot change later.
            entry = self.redacted_data(json.loads(text))
            self.tool_logs.append(entry)

    # --- for the runner

    def elapsed_s(self) -> float:
        """Return the seconds since the scanner's start."""
        return self.deadline.elapsed_s()

    def redacted(self, text: str) -> str:
        """Return the text without secrets.

        Halves of characters, which no file can hold, are escaped.
        """
        return self.secrets.redact(text).encode("utf-8", "backslashreplace").decode("utf-8")

    def redacted_data(self, value: Any) -> Any:
        """Return JSON data with all texts and keys `redacted`."""
        if isinstance(value, str):
            return self.redacted(value)
        if isinstance(value, list):
            return [self.redacted_data(item) for item in value]
        if isinstance(value, dict):
            return {self.redacted(key): self.redacted_data(item) for key, item in value.items()}
        return value


class _Log(logging.Handler):
    """The log lines of one scanner: seconds since its start, level, message."""

    def __init__(self, context: ScanContext) -> None:
        super().__init__()
        self._context = context

    def createLock(self) -> None:  # noqa: N802 - the name is that of logging
        """Have no lock.

        A thread that hangs with a handler's lock would block `logging.shutdown`, and so the exit of
        the process.
        """
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the lock; adding a line is atomic.
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # arguments that do not fit must not end the scan
            text = f"a log line that cannot be written: {type(error).__name__}"
        line = f"{self._context.elapsed_s():.3f}s {record.levelname}: {text}"
        if len(self._context.logs) < MAX_LOG_LINES:
            # Redacted first: a cut might leave half of a secret.
            self._context.logs.append(self._context.redacted(line)[:MAX_LOG_CHARS])


def find_key(name: str) -> str | None:
    """Return the environment variable `MP2_<name>`, else `name`, without outer spaces.

    None if both are empty.
    """
    for variable in (f"MP2_{name}", name):
        value = os.environ.get(variable, "").strip()
        if value:
            return value
    return None


def no_key_message(name: str) -> str:
    """Return `no key FINNHUB_API_KEY` and what to do."""
    return f"no key {name}; set the environment variable"
