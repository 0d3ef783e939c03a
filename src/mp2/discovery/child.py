"""One scanner in an interpreter of its own, which can be killed: both ends of the pipe.

`python -m mp2.discovery.child` reads a request, one line of JSON, from its standard input, runs the
scanner and writes its response, one line of JSON, to its standard output. What the scanner itself
prints goes to standard error, and that into its log. State, settings and candidates travel as JSON
of at most `MAX_BYTES`; only the module's name is on the command line.

The child leads a process group. The group is killed when the response is there, at the scanner's
timeout and at a stop, so that processes a scanner starts end with it; and the child kills its own
group when its standard input ends, that is when the requesting process is gone, however it ended.
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
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, Any

from pydantic import TypeAdapter

from mp2._document import Fields
from mp2.discovery.candidates import shown
from mp2.discovery.collection import Collected, Collection, collect
from mp2.discovery.config import own_settings
from mp2.discovery.http.lazy import LazyClient
from mp2.discovery.scanner import ScanContext, Scanner, class_path
from mp2.errors import InputError

MAX_BYTES = 10_000_000
"""The longest request and the longest response."""

_LINE_BYTES = 65_536
"""A longer line of standard error is kept as several."""

_LOG_BYTES = 1_000_000
"""What is kept of a child's standard error."""

_SECRET = b"\0mp2 secret "
"""Marks a secret, in JSON, on standard error; it is redacted in all later lines."""

_LOG_END_S = 1.0
"""How long to wait for the last lines of a child's standard error."""


_COLLECTED = TypeAdapter(Collected)


class ChildError(RuntimeError):
    """The child process exited without a valid response."""


def request_text(
    scanner: type[Scanner],
    settings: Fields,
    state: Mapping[Any, Any],
    http: Fields,
) -> str:
    """Return what a child has to know, as a JSON object.

    `settings` are those given, `http` the arguments of the child's HTTP client. Raises `InputError`
    when the class cannot be imported by name, for the first value that is not JSON, and when there
    is too much of it.
    """
    fault = import_fault(scanner)
    if fault is not None:
        raise InputError(f"isolation = 'process' needs a class that can be imported: {fault}")
    fields = {
        "scanner": class_path(scanner),
        "http": _json("http", dict(http)),
        "settings": {key: _json(f"setting {key!r}", value) for key, value in settings.items()},
        "state": {},
    }
    for key, value in state.items():
        if not isinstance(key, str):
            raise InputError(f"state[{shown(key)}]: isolation = 'process' needs text as keys")
        fields["state"][key] = _json(f"state[{key!r}]", value)
    # As the child will read them.
    own_settings(scanner, json.dumps(fields["settings"]))
    text = json.dumps(fields, allow_nan=False)
    if len(text) > MAX_BYTES:
        raise InputError(
            f"settings and state take {len(text):,} bytes as JSON, more than {MAX_BYTES:,}; "
            "leave some out"
        )
    return text


def _json(what: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_text))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{what} is not JSON, which isolation = 'process' needs: {error}"
        ) from error


def _text(value: Any) -> str:
    """Return dates and times, which TOML has and JSON has not, and paths as text."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{shown(value)} is a {type(value).__name__}")


def import_fault(scanner: type[Scanner]) -> str | None:
    """Return why a child cannot import the class, None when it can."""
    path = class_path(scanner)
    if scanner.__module__ == "__main__" or "<" in scanner.__qualname__:
        return f"{path} is made in a script or a function; put it at the top of a module"
    try:
        loaded = resolve_name(path)
    except (Exception, SystemExit) as error:
        return f"{path}: {type(error).__name__}: {error}"
    if loaded is not scanner:
        return f"{path} is another class now"
    return None


def _write_all(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        n_written = os.write(pipe, rest)
        rest = rest[n_written:]


# --- the requesting end


class ChildScan:
    """A scanner's run in a child process.

    `run` blocks one thread; `kill` may come from another at any time.
    """

    def __init__(self, request: str) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def run(self, context: ScanContext) -> Collected:
        """Return what the scanner yielded; its log and its counts are added to the context.

        Raises `ChildError` without a valid response, and OSError when no process can be started.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        moment = {
            "today": context.today.isoformat(),
            "timeout_s": context.timeout_s,
            # That clock is one for all processes of a machine.
            "started_s": time.monotonic() - context.elapsed_s(),
        }
        request = f"{self._request[:-1]}, {json.dumps(moment)[1:]}\n"
        log = threading.Thread(
            target=keep_log,
            args=(process.stderr, context),
            daemon=True,
        )
        try:
            log.start()
            with contextlib.suppress(BrokenPipeError):
                _write_all(process.stdin.fileno(), request.encode())
            line = process.stdout.readline(MAX_BYTES + 1)
        # After a response too: processes that the scanner has started end with it.
        finally:
            self.kill()
            code = process.wait()
            process.stdin.close()
            process.stdout.close()
        log.join(min(_LOG_END_S, context.remaining_s() / 2))
        if len(line) > MAX_BYTES:
            raise ChildError(f"the child process sent more than {MAX_BYTES:,} bytes")
        if not line.endswith(b"\n"):
            how = f"exit code {code}"
            if code < 0:
                how = f"killed by signal {-code}"
            raise ChildError(f"the child process ended without a response ({how})")
        response = json.loads(line)
        context.attempts = response["attempts"]
        context.replies.update(response["replies"])
        context.logs += response["logs"]
        context.tool_logs += response["tool_logs"]
        return _COLLECTED.validate_python(response)

    def kill(self) -> None:
        """End the child and all processes of its group, now or as soon as it is started."""
        with self._lock:
            self._is_killed = True
            process = self._process
            # Once its exit was noticed, its number may belong to another process.
            if process is not None and process.returncode is None:
                _kill_group(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # An empty entry means the working directory, but not in a variable of the environment.
        path = [folder or os.curdir for folder in sys.path]
        with self._lock:
            if self._is_killed:
                raise ChildError("killed before it was started")
            self._process = subprocess.Popen(
                # -P: files of the working directory must not shadow modules.
                [sys.executable, "-P", "-m", "mp2.discovery.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # The child imports from where this process does.
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path),
                },
                **_OWN_GROUP,
            )
            return self._process


_OWN_GROUP: dict[str, Any] = {"start_new_session": True}
if os.name == "nt":
    _OWN_GROUP = {"creationflags": 0x0000_0200}  # CREATE_NEW_PROCESS_GROUP


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    with contextlib.suppress(OSError):
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)
        process.kill()


def keep_log(pipe: IO[bytes], context: ScanContext) -> None:
    """Copy lines into the scanner's log, up to a limit.

    What is beyond is read too, so that the child is not blocked.
    """
    n_bytes = 0
    with pipe:
        while line := pipe.readline(_LINE_BYTES):
            n_bytes += len(line)
            if n_bytes > _LOG_BYTES:
                continue
            text, mark, secret = line.partition(_SECRET)
            if mark:
                # A scanner may print anything, also what looks like a secret.
                with contextlib.suppress(ValueError, RecursionError):
                    context.hide(str(json.loads(secret)))
            if text or not mark:
                context.logger.info(
                    "stderr: %s",
                    text.decode("utf-8", "replace").rstrip(),
                )


# --- the child


def main() -> None:
    """Read a request, run its scanner, write the response."""
    request = json.loads(sys.stdin.buffer.readline(2 * MAX_BYTES))
    # Copies that the scanner does not know: it can neither read what tells whether the
    # requester is alive, nor print into the response.
    requester = os.dup(0)
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=die_with, args=(requester,), daemon=True).start()
    response = scanned(request)
    # The requester ends this process as soon as it has the response.
    sys.stdout.flush()
    sys.stderr.flush()
    _write_all(output, response)


def die_with(requester: int) -> None:
    """End this process and its group when the requesting process is gone."""
    os.read(requester, 1)
    if os.name != "nt":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class _ReportingContext(ScanContext):
    """A context whose secrets reach the requester before the scanner can print them.

    They are sent with what is printed, which keeps the order.
    """

    def __init__(
        self,
        stderr: int,
        *given: Any,
        **named: Any,
    ) -> None:
        self._stderr = stderr
        super().__init__(*given, **named)

    def hide(self, secret: str) -> None:
        if secret not in self.secrets:
            _write_all(
                self._stderr,
                _SECRET + json.dumps(secret).encode() + b"\n",
            )
        super().hide(secret)


def scanned(request: Fields) -> bytes:
    """Run the scanner of a request; return the response."""
    scanner: type[Scanner] = resolve_name(request["scanner"])
    client = LazyClient(
        request["http"],
        warn=lambda text: context.logger.warning("%s", text),
    )
    context = _ReportingContext(
        # A copy, since the scanner may replace its standard error.
        os.dup(2),
        scanner,
        own_settings(scanner, json.dumps(request["settings"])),
        state=request["state"],
        timeout_s=request["timeout_s"],
        today=datetime.date.fromisoformat(request["today"]),
        http=client.for_scanner,
    )
    # Starting the interpreter belongs to the scanner's time.
    context.deadline.started_s = min(context.deadline.started_s, request["started_s"])
    with contextlib.closing(client):
        collected = collect(scanner, context, Collection(context))
    response = {
        **asdict(collected),
        "attempts": context.attempts,
        "replies": sorted(context.replies),
        "logs": context.logs,
        "tool_logs": context.tool_logs,
    }
    text = json.dumps(response)
    if len(text) >= MAX_BYTES:
        raise SystemExit(f"the response takes {len(text):,} bytes, more than {MAX_BYTES:,}")
    return text.encode() + b"\n"


if __name__ == "__main__":
    main()
