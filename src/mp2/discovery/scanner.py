"""What a scanner is: its class, its settings, and the context of its runs.

A scanner looks at one source and yields candidates. It declares itself on its class and gets
everything else through the context of its run.

    class Gappers(mp2.Scanner):
        name = "gappers"
        pipeline = "momentum"
        summary = "stocks that opened far above the last close"

        class Settings(mp2.ScannerSettings):
            min_gap_pp: float = 5.0

        def scan(self, context):
            for row in context.http.get(URL, parse=rows_of):
                if row["gap_pp"] >= self.settings.min_gap_pp:
                    yield context.candidate(row["ticker"], f"opened {row['gap_pp']:.1f}% higher")
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mp2._document import Document, Fields, Names
from mp2.discovery.deadline import Deadline
from mp2.discovery.http.redact import Secrets
from mp2.discovery.http.reply import ReplyKind
from mp2.discovery.records import Candidate
from mp2.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    from mp2.discovery.http.client import Http

MAX_LOG_LINES = 1000
"""Lines kept of one scanner's log, and entries of its tool log; later ones are dropped."""

MAX_LOG_CHARS = 20_000
"""Characters kept of a line."""

ClientFactory = Callable[["ScanContext"], "Http"]
"""Makes the HTTP client of one scanner's run."""


PATH_MARK = "path of a file"
"""In the annotation of a setting: in a settings file it is relative to that file."""

FileText = Annotated[str, PATH_MARK]


class ScannerSettings(BaseModel):
    """Settings every scanner has; a scanner's own class adds its own. Unknown names are errors.

    `limit`: candidates that count, in the order yielded. `timeout_seconds`: from the scanner's
    start; None: the run's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = Field(default=True, strict=True, description="whether it runs")
    limit: int = Field(
        default=10,
        ge=1,
        strict=True,
        description="candidates that count, in the order named",
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="time from its start; none: that of [discovery.scanner_execution]",
    )


class Scanner:
    """One source.

    A subclass declares itself and implements `scan`; every run makes a new object, in its own
    thread.

    - `name`: unique. `pipeline`: the group it reports under. `summary`: one line of what it looks
      for.
    - `Settings`: the class of its settings, validated before any scanner runs.
    - `isolation`: "process" runs it in a new interpreter that is killed at its timeout; its class
      has to be importable.
    - `keys`: environment variables it needs; it is skipped where one is missing.
      `needed_keys` returns them where they depend on its settings.
    - `offline`: it needs no network.
    - `rates`: most requests per host, "1/s" or "25/day", shared by all scanners of the run.
    """

    name: ClassVar[str] = ""
    pipeline: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    Settings: ClassVar[type[ScannerSettings]] = ScannerSettings
    isolation: ClassVar[Literal["thread", "process"]] = "thread"
    keys: ClassVar[Names] = ()
    offline: ClassVar[bool] = False
    # Read-only, because subclasses share it.
    rates: ClassVar[Mapping[str, Names]] = MappingProxyType({})

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def needed_keys(cls, settings: Any) -> Names:
        """Return the environment variables it needs with these settings, for lists of scanners."""
        return tuple(cls.keys)

    def scan(self, context: ScanContext) -> Iterable[Candidate | Fields]:
        """Return the candidates, most promising first.

        A generator is not resumed once `limit` are valid.

        A mapping has the keys of `context.candidate`. Raises `SourceError` when the source failed;
        any other exception is reported with its traceback. Both discard what was yielded before.
        """
        raise NotImplementedError


def class_path(scanner: type[Scanner]) -> str:
    """Return `module:Class`."""
    return f"{scanner.__module__}:{scanner.__qualname__}"


class ScanContext:
    """What a scanner is given for one run: time, HTTP, keys, logs.

    Nothing in it is shared with another scanner. It stays usable after the run has abandoned the
    scanner.

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
        state: Document | None = None,
        timeout_s: float | None = None,
        today: datetime.date | None = None,
        http: ClientFactory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scanner = scanner.name
        self.rates = scanner.rates
        self.settings = settings
        self.state = state if state is not None else {}
        self.today = today or datetime.date.today()
        self.timeout_s = timeout_s
        self.deadline = Deadline(timeout_s, clock)
        self.cancelled = self.deadline.cancelled
        self.secrets = Secrets()
        self._factory = http
        self._http: Http | None = None
        self.attempts = 0
        self.replies: set[ReplyKind] = set()
        self.logs: list[str] = []
        self.tool_logs: list[Document] = []
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
            self._http = self._factory(self)
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

    def log_tool(
        self,
        tool: str,
        **fields: Any,
    ) -> None:
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
