"""One scanner in an interpreter of its own, which can be killed: both ends of the pipe.

`python -m mp2.discovery.child` reads a request, one line of JSON, from its standard input, runs the scanner and writes its
answer, one line of JSON, to its standard output. What the scanner itself prints goes to standard error, and that into its log.
State, settings and candidates travel as JSON of at most `MAX_BYTES`; nothing but the module's name is on the command line.

The child leads a process group. The group is killed when the answer is there, at the scanner's timeout and at a stop, so that
processes a scanner starts go with it; and the child kills its own group when its standard input ends, that is when the
process that asked is gone, however it went.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from mp2.discovery.candidates import checked, one_line, shown
from mp2.discovery.collection import MAX_MESSAGE_CHARS, Collected, Found, collect
from mp2.discovery.config import settings_from_json
from mp2.discovery.context import ScanContext
from mp2.discovery.records import OutcomeStatus, ScanError
from mp2.discovery.scanner import Http, Scanner, class_path
from mp2.errors import InputError, MissingExtraError, SourceError

MAX_BYTES = 10_000_000
"""The longest request and the longest answer."""

_LOG_BYTES = 1_000_000
"""What is kept of a child's standard error."""

_SECRET = b"\0mp2 secret "
"""What follows on a line of a child's standard error, as JSON, is to be blotted out of what follows that line."""

_LAST_WORDS_S = 1.0
"""How long the last lines of a child's standard error are waited for."""


class ChildError(RuntimeError):
    """A child process ended without an answer, or with one that is none."""


def request_text(
    scanner: type[Scanner],
    settings: Mapping[str, Any],
    state: Mapping[Any, Any],
    http: Mapping[str, Any],
) -> str:
    """What a child needs to know whenever it starts, as the fields of a JSON object.

    `settings` as they were given, `http` the arguments of the child's HTTP client. Raises `InputError` when the class cannot be
    imported by name, and naming the value that is not JSON or the length when there is too much of it.
    """
    if fault := _import_fault(scanner):
        raise InputError(f"isolation = 'process' needs a class that can be imported: {fault}")
    parts = {
        "settings": {key: _json(f"setting {key!r}", value) for key, value in settings.items()},
        "state": {_key(key): _json(f"state[{key!r}]", value) for key, value in state.items()},
    }
    fields = {"scanner": class_path(scanner), "http": _json("http", dict(http))}
    settings_from_json(scanner, json.dumps(parts["settings"]))  # as the child will read them
    text = json.dumps({**fields, **parts}, allow_nan=False)
    if len(text) > MAX_BYTES:
        raise InputError(
            f"settings and state take {len(text):,} bytes as JSON, more than {MAX_BYTES:,}; leave some out"
        )
    return text


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise InputError(f"state[{shown(key)}]: isolation = 'process' needs text as keys")
    return key


def _json(what: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_iso))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{what} is not JSON, which isolation = 'process' needs: {error}"
        ) from error


def _iso(value: Any) -> str:
    """Dates and times, which TOML has and JSON has not, and paths."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{shown(value)} is a {type(value).__name__}")


def _import_fault(scanner: type[Scanner]) -> str | None:
    path = class_path(scanner)
    if scanner.__module__ == "__main__" or "<" in scanner.__qualname__:
        return f"{path} is made in a script or a function; put it at the top of a module"
    if not sys.executable:
        return "this program has no interpreter of its own (sys.executable is empty)"
    try:
        found = _load(path)
    except (Exception, SystemExit) as error:
        return f"{path}: {type(error).__name__}: {error}"
    return None if found is scanner else f"{path} is another class now"


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class OwnClient:
    """The HTTP client of a scan that was given none: made when a scanner first asks for it, shared by its scanners.

    `options` are the arguments of `mp2.discovery.http.client.Client`, the folder as text or path; `warn` gets its warnings.
    """

    def __init__(self, options: Mapping[str, Any], warn: Callable[[str], object]) -> None:
        folder = options.get("folder")
        self._options = {
            "warn": warn,
            **options,
            "folder": None if folder is None else Path(folder),
        }
        self._lock = threading.Lock()
        self._client: Any = None
        self._closed = False

    def for_scanner(self, context: ScanContext, scanner: type[Scanner]) -> Http:
        """A scanner's client. Raises `MissingExtraError` when the packages it needs are not installed."""
        with self._lock:
            if self._closed:
                raise SourceError("timeout", "cancelled")
            if self._client is None:
                self._client = self._open(scanner)
        return self._client.for_scanner(context, scanner)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close it, if it was made; nobody gets one any more."""
        with self._lock:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _open(self, scanner: type[Scanner]) -> Any:
        try:
            from mp2.discovery.http.client import Client
        except ImportError as error:
            raise MissingExtraError(f"scanner {scanner.name}", "net") from error
        return Client(**self._options)


def _write_all(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


# --- the end that asks ----------------------------------------------------------------------------------------------


class ChildScan:
    """A scanner's run in a child process. `run` blocks one thread; `kill` may come from another at any time."""

    def __init__(self, request: str) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def run(self, context: ScanContext) -> Collected:
        """What the scanner named; its log and its counts are added to the context.

        Raises `ChildError` when there is no usable answer, and OSError when no process can be started.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        last_words = threading.Thread(target=_keep_log, args=(process.stderr, context), daemon=True)
        try:
            last_words.start()
            with contextlib.suppress(BrokenPipeError):
                _write_all(process.stdin.fileno(), self._first_line(context))
            line = _read_line(process.stdout)
        finally:
            self.kill()
            code = process.wait()
            process.stdin.close()
            process.stdout.close()
        last_words.join(min(_LAST_WORDS_S, context.remaining_s() / 2))
        if line is None:
            raise ChildError(f"the child process ended without an answer ({_ending(code)})")
        return _understood(line, context)

    def kill(self) -> None:
        """End the child and all processes of its group, now or as soon as it is started."""
        with self._lock:
            self._killed = True
            if (
                self._process is not None and self._process.returncode is None
            ):  # its number is not another's yet
                _kill_group(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise ChildError("killed before it was started")
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mp2.discovery.child"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
                },
                **_OWN_GROUP,
            )
            return self._process

    def _first_line(self, context: ScanContext) -> bytes:
        moment = {
            "today": context.today.isoformat(),
            "timeout_s": context.timeout_s,
            "started_s": time.monotonic()
            - context.elapsed_s(),  # that clock is one for all processes of a machine
        }
        return f"{self._request[:-1]}, {json.dumps(moment)[1:]}\n".encode()


if os.name == "nt":
    _OWN_GROUP: dict[str, Any] = {"creationflags": 0x0000_0200}  # CREATE_NEW_PROCESS_GROUP

    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False
            )
            process.kill()
else:
    _OWN_GROUP = {"start_new_session": True}

    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _read_line(pipe: IO[bytes]) -> bytes | None:
    """Up to the end of the line; None when the pipe ends before."""
    parts, n_bytes = [], 0
    while part := pipe.read(65_536):
        parts.append(part)
        n_bytes += len(part)
        if part.endswith(b"\n"):
            return b"".join(parts)
        if n_bytes > MAX_BYTES:
            raise ChildError(f"the child process answered more than {MAX_BYTES:,} bytes")
    return None


def _keep_log(pipe: IO[bytes], context: ScanContext) -> None:
    """Into the scanner's log, up to a limit; what is beyond is read all the same, so that the child is not held up."""
    n_bytes, rest = 0, b""
    with pipe:
        while part := pipe.read(65_536):
            n_bytes += len(part)
            if n_bytes <= _LOG_BYTES:
                *lines, rest = (rest + part).split(b"\n")
                _log_lines(lines, context)
    _log_lines([rest] if rest else [], context)


def _log_lines(lines: list[bytes], context: ScanContext) -> None:
    for line in lines:
        text, mark, secret = line.partition(_SECRET)
        if mark:
            with contextlib.suppress(ValueError, RecursionError):  # a scanner may print anything
                context.hide(str(json.loads(secret)))
        if text or not mark:
            context.logger.info("stderr: %s", text.decode("utf-8", "replace").rstrip())


def _ending(code: int) -> str:
    """`exit code 3`, `killed by SIGSEGV`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _understood(line: bytes, context: ScanContext) -> Collected:
    try:
        answer = json.loads(line)
        context.take_over(
            int(answer["attempts"]),
            answer["replies"],
            map(str, answer["logs"]),
            answer["tool_logs"],
        )
        error = answer["error"] and ScanError(
            str(answer["error"]["code"]), one_line(answer["error"]["message"], MAX_MESSAGE_CHARS)
        )
        return Collected(
            OutcomeStatus(answer["status"]),
            error or None,
            tuple(checked(candidate, context.scanner) for candidate in answer["candidates"]),
            int(answer["n_candidates"]),
            int(answer["n_dropped"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChildError(
            f"the child process gave an answer that cannot be read: {type(error).__name__}"
        ) from error


# --- the end that is asked ------------------------------------------------------------------------------------------


def main() -> None:
    """Read a request, run its scanner, write the answer."""
    request = json.loads(sys.stdin.buffer.readline(2 * MAX_BYTES))
    asker, output = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=_die_with_the_asker, args=(asker,), daemon=True).start()
    _write_all(output, _answer(request))


def _die_with_the_asker(asker: int) -> None:
    os.read(asker, 1)
    if os.name != "nt":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class _ToldContext(ScanContext):
    """A context whose secrets reach the asker before the scanner has them, and so before it can print them.

    They go the way of what is printed, for no other would keep the order.
    """

    def __init__(self, stderr: int, *given: Any, **named: Any) -> None:
        self._stderr = stderr
        super().__init__(*given, **named)

    def hide(self, secret: str) -> None:
        if secret not in self.secrets:
            _write_all(self._stderr, _SECRET + json.dumps(secret).encode() + b"\n")
        super().hide(secret)


def _answer(request: Mapping[str, Any]) -> bytes:
    scanner: type[Scanner] = _load(request["scanner"])
    client = OwnClient(request["http"], warn=lambda text: context.logger.warning("%s", text))
    context = _ToldContext(
        os.dup(2),  # the pipe, wherever the scanner will point 2 to
        scanner,
        settings_from_json(scanner, json.dumps(request["settings"])),
        state=request["state"],
        timeout_s=request["timeout_s"],
        today=datetime.date.fromisoformat(request["today"]),
        http=client.for_scanner,
    )
    context.deadline.started_s = min(context.deadline.started_s, request["started_s"])
    try:
        collected = collect(scanner, context, Found(context))
    finally:
        client.close()
    told = {
        **asdict(collected),
        "attempts": context.attempts,
        "replies": sorted(context.replies),
        "logs": context.logs,
        "tool_logs": context.tool_logs,
    }
    text = json.dumps(told)
    if len(text) >= MAX_BYTES:
        raise SystemExit(f"the answer takes {len(text):,} bytes, more than {MAX_BYTES:,}")
    return text.encode() + b"\n"


if __name__ == "__main__":
    main()
