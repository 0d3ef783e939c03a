"""What a scanner is, and what it is given.

A scanner looks at one source and yields candidates. It declares itself on its class and gets everything else through the
context of its run, which is its own: nothing in it is shared with another scanner.

    class Gappers(mp2.Scanner):
        name, pipeline, summary = "gappers", "momentum", "stocks that opened far above the last close"

        class Settings(mp2.ScannerSettings):
            min_gap_pp: float = 5.0

        def scan(self, context):
            for row in context.http.get(URL, parse=rows_of):
                if row["gap_pp"] >= self.settings.min_gap_pp:
                    yield context.candidate(row["ticker"], f"opened {row['gap_pp']:.1f}% higher")
"""

from __future__ import annotations

import codecs
import datetime
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mp2.discovery.http.redact import Secrets
from mp2.discovery.records import Candidate, seconds_text
from mp2.errors import MissingExtraError, SourceError

MAX_LOG_LINES, MAX_LOG_CHARS = 1000, 20_000
"""Lines kept of one scanner's log (or entries of its tool log), and characters of a line; what is beyond is left out."""

T = TypeVar("T")
ReplyKind = Literal["fresh", "cached", "stale"]


# --- what a scanner asks a source with ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply of any status: header names in lower case, the body whole and decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `SourceError("bad_payload")` when it is none, NaN and infinities included."""
        try:
            return json.loads(self.body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            # Neither the text nor its error, which holds it: a source may repeat the key it was asked with.
            raise SourceError(
                "bad_payload", f"answered no JSON ({len(self.body):,} bytes)"
            ) from None

    @property
    def charset(self) -> str | None:
        """The charset of the content type, if it is one of texts."""
        named = re.search(
            r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE
        )
        return text_charset(named[1]) if named else None

    def text(self) -> str:
        """The body as text, in the charset of its content type, else UTF-8; what cannot be decoded is replaced."""
        return self.body.decode(self.charset or "utf-8", "replace")


def text_charset(name: str) -> str | None:
    """The name Python has for a charset of texts, None for any other codec: of some, decoding takes the square of the size."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return known if _TEXT_CHARSET.fullmatch(known) else None


_TEXT_CHARSET = re.compile(
    r"ascii|utf-(8|16|32)(-[bl]e|-sig)?|iso8859-\d+|cp(125\d|437|8\d\d|9\d\d)|koi8-[rtu]|tis-620|mac-\w+"
    r"|shift_jis\w*|euc_\w+|gb\w+|big5\w*"
)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class Http(Protocol):
    """The HTTP client of one scanner: its calls end before the scanner's deadline and obey the rates of their host.

    `parse` is a pure function from a reply of any status to validated, JSON-serialisable data; it raises `SourceError` for
    anything else. Only what it returned is ever cached, for `ttl_s` seconds (0: not at all), under the request and the name of
    `parse`; one made inside a function must not depend on what may differ between its scanner's calls. `secret_params` are
    sent but never part of a log line, a message or a candidate, nor, but for a short hash, of a cache key. Both calls raise
    `SourceError`.
    """

    def get(
        self,
        url: str,
        *,
        parse: Callable[[Reply], T],
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        secret_params: Mapping[str, str] | None = None,
        ttl_s: float = 0.0,
        max_bytes: int = 10_000_000,
    ) -> T:
        """Ask for `url`; a body of more than `max_bytes` is a bad payload."""

    def post(
        self,
        url: str,
        *,
        parse: Callable[[Reply], T],
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        ttl_s: float = 0.0,
        max_bytes: int = 10_000_000,
    ) -> T:
        """Send a form; `auth` is a user and a password."""


# --- the scanner ----------------------------------------------------------------------------------------------------


class ScannerSettings(BaseModel):
    """Settings every scanner has; a scanner's own class adds its own. Unknown names are errors.

    `limit`: candidates that count, in the order yielded. `timeout_seconds`: from the scanner's start; None: the run's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = Field(default=True, strict=True, description="whether it runs")
    limit: int = Field(
        default=10, ge=1, strict=True, description="candidates that count, in the order named"
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="time from its start; none: that of [discovery.scanner_execution]",
    )


class Scanner:
    """One source. A subclass declares itself and implements `scan`; it is made anew, in its own thread, for every run.

    - `name`: unique. `pipeline`: the group it reports under. `summary`: one line of what it looks for.
    - `Settings`: the class of its settings, validated before any scanner runs.
    - `isolation`: "process" runs it in a new interpreter that is killed at its timeout; it has to be importable by name then.
    - `keys`: environment variables it cannot do without; it is skipped where one is missing.
    - `offline`: it needs no network.
    - `rates`: most requests per host, "1/s" or "25/day", shared by all scanners of the run.
    """

    name: ClassVar[str] = ""
    pipeline: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    Settings: ClassVar[type[ScannerSettings]] = ScannerSettings
    isolation: ClassVar[Literal["thread", "process"]] = "thread"
    keys: ClassVar[tuple[str, ...]] = ()
    offline: ClassVar[bool] = False
    rates: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def scan(self, context: ScanContext) -> Iterable[Candidate | Mapping[str, Any]]:
        """The candidates, most promising first; may be a generator, which is left alone once `limit` are valid.

        A mapping has the keys of `context.candidate`. Raises `SourceError` when the source failed; any other exception is
        reported with its traceback. Both discard what was yielded before.
        """
        raise NotImplementedError


ClientFactory = Callable[["ScanContext", type[Scanner]], Http]
"""Makes the HTTP client of one scanner's run."""


class ScanContext:
    """What a scanner is given for one run. Everything in it is its own and lives on when the run has given it up.

    `state`: a deep copy of the run's. `today`: the date to scan for. `cancelled`: set once nobody waits for the result.
    `logger`: goes into the scanner's own log. `timeout_s` None: no deadline.
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
        self.scanner, self.settings = scanner.name, settings
        self.state = {} if state is None else state
        self.today = today or datetime.date.today()
        self.timeout_s, self.started_s = timeout_s, clock()
        self.cancelled = threading.Event()
        self._scanner_class, self._factory, self._clock = scanner, http, clock
        self._http: Http | None = None
        self.secrets = Secrets()
        self._log = _Log(self)
        self._tool_log: list[dict[str, Any]] = []
        self._attempts, self._replies = 0, set[ReplyKind]()
        self.logger = logging.Logger(f"mp2.discovery.scanner.{scanner.name}")
        self.logger.propagate = False
        self.logger.addHandler(self._log)
        for name in scanner.keys:
            self.hide(find_key(name) or "")

    # --- for scanners

    @property
    def http(self) -> Http:
        """The HTTP client. Raises `MissingExtraError` when the packages for it are not installed."""
        if self._http is None:
            if self._factory is None:
                raise MissingExtraError(f"scanner {self.scanner}", "net")
            self._http = self._factory(self, self._scanner_class)
        return self._http

    def remaining_s(self) -> float:
        """Seconds up to the deadline: 0 once it is past or the scanner is cancelled, infinity without a deadline."""
        if self.cancelled.is_set():
            return 0.0
        return math.inf if self.timeout_s is None else max(0.0, self.timeout_s - self.elapsed_s())

    def check(self) -> None:
        """Return at once while there is time. Raises `SourceError("timeout")` past the deadline and once cancelled."""
        if self.remaining_s() <= 0:
            raise SourceError("timeout", timeout_message(self.timeout_s))

    def candidate(
        self, ticker: str, context: str, priority: str = "medium", data: Any = None
    ) -> Candidate:
        """A candidate of this scanner."""
        return Candidate(ticker, self.scanner, context, priority, data)

    def key(self, name: str) -> str:
        """The value of the environment variable `MP2_<name>`, else of `name`; it is blotted out of logs and messages.

        Raises `SourceError("missing_key")` when neither is set or both are empty.
        """
        value = find_key(name)
        if value is None:
            raise SourceError("missing_key", no_key_message(name))
        self.hide(value)
        return value

    def hide(self, secret: str) -> None:
        """Blot it out of what is logged, said and named from now on; a text of less than four characters stays."""
        self.secrets.add(secret)

    def log_tool(self, tool: str, **fields: Any) -> None:
        """Add an entry to the run's tool log, `{"scanner": ..., "tool": tool, ...fields}`.

        Raises ValueError when a field is not JSON, NaN included.
        """
        try:
            text = json.dumps({"scanner": self.scanner, "tool": tool, **fields}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"entry of the tool log {tool!r}: {error}") from error
        if len(self._tool_log) < MAX_LOG_LINES and len(text) <= MAX_LOG_CHARS:
            self._tool_log.append(self.redacted_data(json.loads(text)))

    # --- for the HTTP client

    def count_attempt(self) -> None:
        """Note that a request is sent."""
        self._attempts += 1

    def note_reply(self, kind: ReplyKind) -> None:
        """Note where what a call returned came from: the source, the cache, or a cache entry past its time."""
        self._replies.add(kind)

    # --- for the runner

    def elapsed_s(self) -> float:
        """Seconds since the scanner's start."""
        return self._clock() - self.started_s

    def redacted(self, text: str) -> str:
        """The text without any secret, and without halves of characters, which no file can hold."""
        return self.secrets.mask(text).encode("utf-8", "backslashreplace").decode("utf-8")

    def redacted_data(self, value: Any) -> Any:
        """JSON data with `redacted` texts and keys."""
        if isinstance(value, str):
            return self.redacted(value)
        if isinstance(value, list):
            return list(map(self.redacted_data, value))
        if isinstance(value, dict):
            return {self.redacted(key): self.redacted_data(item) for key, item in value.items()}
        return value

    @property
    def attempts(self) -> int:
        """Requests sent so far."""
        return self._attempts

    @property
    def replies(self) -> frozenset[ReplyKind]:
        """Where replies have come from so far."""
        return frozenset(self._replies)

    @property
    def logs(self) -> tuple[str, ...]:
        """The log lines so far."""
        return tuple(self._log.lines)

    @property
    def tool_logs(self) -> tuple[dict[str, Any], ...]:
        """The entries of the tool log so far."""
        return tuple(self._tool_log)

    def take_over(
        self,
        attempts: int,
        replies: Iterable[ReplyKind],
        logs: Iterable[str],
        tool_logs: Iterable[dict[str, Any]],
    ) -> None:
        """Add what a context in another process has noted."""
        self._attempts += attempts
        self._replies.update(replies)
        for line in logs:
            self._log.add(line)
        self._tool_log += list(tool_logs)[: MAX_LOG_LINES - len(self._tool_log)]


class _Log(logging.Handler):
    """One scanner's log lines: seconds since its start, level, message."""

    def __init__(self, context: ScanContext) -> None:
        super().__init__()
        self._context = context
        self.lines: list[str] = []

    def createLock(self) -> None:  # noqa: N802 - the name is that of logging
        """None: a thread that hangs with a handler's lock would hold up `logging.shutdown`, and so the exit of the process."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock; adding a line is atomic."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # a message whose arguments do not fit must not end the scan
            text = f"a log line that cannot be written: {type(error).__name__}"
        self.add(f"{self._context.elapsed_s():.3f}s {record.levelname}: {text}")

    def add(self, line: str) -> None:
        if len(self.lines) < MAX_LOG_LINES:
            self.lines.append(self._context.redacted(line)[:MAX_LOG_CHARS])


def timeout_message(timeout_s: float | None) -> str:
    """`timeout after 30s`; without a limit the scanner was cancelled."""
    return "cancelled" if timeout_s is None else f"timeout after {seconds_text(timeout_s)}"


def no_key_message(name: str) -> str:
    """`no key FINNHUB_API_KEY`."""
    return f"no key {name}; set the environment variable"


def find_key(name: str) -> str | None:
    """The environment variable `MP2_<name>`, else `name`, without spaces around it; None when neither is there."""
    return os.environ.get(f"MP2_{name}", "").strip() or os.environ.get(name, "").strip() or None


def class_path(scanner: type[Scanner]) -> str:
    """`module:Class`."""
    return f"{scanner.__module__}:{scanner.__qualname__}"
