"""A web server that behaves as badly as real ones do: on loopback, on a free port.

Each route has a script: the replies it gives one after the other; the last one is repeated. The
server records the requests.

    with StubServer() as server:
        server.route("/query", Status(429, headers={"Retry-After": "2"}), Json({"rows": []})) ...
        # let the client request server.url + "/query" assert server.n_requests("/query") == 2
        assert server.requests("/query")[0].query == {"function": "NEWS"}

`needs=` of a route makes it refuse requests, before the script is consulted and without using up a
reply: `user_agent()` as SEC EDGAR (403, HTML), `token(value)` as Finnhub (401, JSON),
`bearer(value)` as Reddit (403, HTML).

Replies that hang (`Silence`, `Trickle`, `Stalled`, `SlowHeaders`) end when the client leaves or the
server is closed, so closing is prompt. They wait on an event, never for a fixed time, unless
configured.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""A key and a certificate of its own making for 127.0.0.1, good for nothing else."""


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


# --- replies


@dataclass(frozen=True)
class Status:
    """A plain reply: any status, headers and body, sent at once and whole."""

    status: int = 200
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/html"

    def send(self, out: Handler) -> None:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        out.head(
            self.status,
            {"Content-Type": self.content_type, "Content-Length": str(len(body)), **self.headers},
        )
        out.wfile.write(body)


def Json(  # noqa: N802 - reads as a reply
    data: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Status:
    """Data as JSON, with any status."""
    return Status(status, json.dumps(data), headers or {}, "application/json")


def Gzip(data: Any, encoding: str = "gzip") -> Status:  # noqa: N802
    """Data as JSON, compressed: gzip or deflate."""
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    return Status(
        200, pack(json.dumps(data).encode()), {"Content-Encoding": encoding}, "application/json"
    )


@cache
def GzipBomb(n_bytes: int = 50_000_000) -> Status:  # noqa: N802
    """A small body that decompresses to `n_bytes` zeros."""
    packer, block = zlib.compressobj(9, wbits=31), bytes(1_000_000)
    packed = b"".join(
        [*(packer.compress(block) for _ in range(n_bytes // len(block))), packer.flush()]
    )
    return Status(200, packed, {"Content-Encoding": "gzip"}, "application/json")


def Redirect(location: str, status: int = 302) -> Status:  # noqa: N802
    """To any address, with an HTML body; without `location` the HTML page alone."""
    return Status(status, "<html>moved</html>", {"Location": location} if location else {})


def Truncated(data: Any) -> Status:  # noqa: N802
    """The first half of the JSON, as a reply that is complete by its headers."""
    text = json.dumps(data)
    return Status(200, text[: len(text) // 2], content_type="application/json")


@dataclass(frozen=True)
class Reset:
    """Promises a body and breaks the connection, with `after_headers` inside the body."""

    after_headers: bool = True

    def send(self, out: Handler) -> None:
        if self.after_headers:
            out.head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
            out.wfile.write(b'{"rows": [')
            out.wfile.flush()
        out.reset()


@dataclass(frozen=True)
class Silence:
    """Takes the request and never responds."""

    def send(self, out: Handler) -> None:
        out.wait_for_the_end()


@dataclass(frozen=True)
class Trickle:
    """A body of which a byte comes every `every_s`, for ever."""

    every_s: float = 0.02
    status: int = 200

    def send(self, out: Handler) -> None:
        out.head(self.status, {"Content-Type": "application/json", "Content-Length": "1000000"})
        out.drip(b" ", self.every_s)


@dataclass(frozen=True)
class Stalled:
    """A body that begins after `begin_s` and never continues."""

    begin_s: float = 0.1

    def send(self, out: Handler) -> None:
        out.head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
        if not out.stub.closing.wait(self.begin_s):
            out.wfile.write(b'{"rows": [')
            out.wfile.flush()
        out.wait_for_the_end()


@dataclass(frozen=True)
class SlowHeaders:
    """Headers of which a byte comes every `every_s`, for ever."""

    every_s: float = 0.02

    def send(self, out: Handler) -> None:
        out.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        out.drip(b"x", self.every_s)


@dataclass(frozen=True)
class Huge:
    """A body of `n_bytes`, with or without a Content-Length that says so."""

    n_bytes: int = 50_000_000
    says_length: bool = True

    def send(self, out: Handler) -> None:
        length = (
            {"Content-Length": str(self.n_bytes)} if self.says_length else {"Connection": "close"}
        )
        out.head(200, {"Content-Type": "application/json", **length})
        block = b" " * 65_536
        for begin in range(0, self.n_bytes, len(block)):
            out.wfile.write(block[: self.n_bytes - begin])
        out.close_connection = not self.says_length


@dataclass(frozen=True)
class Held:
    """Sends `reply` once `gate` is set; `entered` is set when the request has arrived."""

    reply: Reply
    gate: threading.Event
    entered: threading.Event = field(default_factory=threading.Event)

    def send(self, out: Handler) -> None:
        self.entered.set()
        while not self.gate.wait(0.01):
            if out.stub.closing.is_set():
                return
        self.reply.send(out)


@dataclass(frozen=True)
class After:
    """Sends `reply` after `seconds`, as a slow source does."""

    seconds: float
    reply: Reply

    def send(self, out: Handler) -> None:
        if not out.stub.closing.wait(self.seconds):
            self.reply.send(out)


Reply = Status | Reset | Silence | Trickle | Stalled | SlowHeaders | Huge | Held | After
Need = Callable[[Seen], "Status | None"]


# --- what routes can insist on


def user_agent(contains: str = "@") -> Need:
    """Only clients that state a contact, as SEC EDGAR: others get 403 and HTML."""
    refusal = Status(
        403,
        "<html><title>SEC.gov | Your Request Originates from an Undeclared Automated Tool"
        "</title></html>",
    )
    return lambda seen: None if contains in seen.headers.get("user-agent", "") else refusal


def token(value: str, *, header: str = "x-finnhub-token", param: str = "token") -> Need:
    """Only requests with the key in a header or the query, as Finnhub: others get 401 and JSON."""
    refusal = Json({"error": "Invalid API key"}, 401)
    return lambda seen: (
        None if value in (seen.headers.get(header), seen.query.get(param)) else refusal
    )


def bearer(value: str) -> Need:
    """Only requests with the access token, as Reddit: others get 403 and HTML."""
    refusal = Status(403, "<html><body><h1>whoa there, pardner!</h1></body></html>")
    return lambda seen: None if seen.headers.get("authorization") == f"Bearer {value}" else refusal


# --- the server


class StubServer:
    """The server; runs from `with` to the end of the block.

    `url` is its address without a slash at the end.

    With `tls` it speaks HTTPS and shows `CERTIFICATE`, which no client trusts by default.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._scripts: dict[str, list[Reply]] = {}
        self._needs: dict[str, tuple[Need, ...]] = {}
        self._seen: list[Seen] = []
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.stub = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            # The handshake is left to the connection's own thread.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.002,), name="stub-server", daemon=True
        )
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # waits for the handlers, whose connections are now closed

    def route(self, path: str, *script: Reply, needs: Need | tuple[Need, ...] = ()) -> str:
        """Give a path its script and its needs, instead of earlier ones; return its URL."""
        with self._lock:
            self._scripts[path] = list(script)
            self._needs[path] = needs if isinstance(needs, tuple) else (needs,)
        return self.url + path

    def requests(self, path: str | None = None) -> list[Seen]:
        """The requests in order, including refused ones; of one path or of all."""
        with self._lock:
            return [seen for seen in self._seen if path in (None, seen.path)]

    def n_requests(self, path: str | None = None) -> int:
        """The number of requests received."""
        return len(self.requests(path))

    @property
    def n_connections(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._connections)

    def all_gone(self, within_s: float) -> bool:
        """Wait until the client has closed every connection; return whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._connections, within_s)

    def wait_for_requests(self, n_requests: int = 1, within_s: float = 20.0) -> bool:
        """Wait until that many requests are received; return whether they were."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._seen) >= n_requests, within_s)

    def reply_to(self, seen: Seen) -> Reply:
        with self._lock:
            self._seen.append(seen)
            self._changed.notify_all()
            script = self._scripts.get(seen.path)
            if not script:
                return Status(404, "<html>no such page</html>")
            for need in self._needs[seen.path]:
                if (refusal := need(seen)) is not None:
                    return refusal
            return script.pop(0) if len(script) > 1 else script[0]

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        if self.closing.is_set():
            connection.shutdown(socket.SHUT_RDWR)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = (
        False  # so that closing waits for them, and no socket is left to the garbage collector
    )
    request_queue_size = 128
    stub: StubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect: these tests provoke it."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def stub(self) -> StubServer:
        return self.server.stub

    def setup(self) -> None:
        super().setup()
        self.stub.opened(self.connection)

    def finish(self) -> None:
        self.stub.closed(self.connection)
        with suppress(OSError, ValueError):
            super().finish()

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            self.stub.reply_to(Seen(self.command, parts.path, query, headers, body)).send(self)
        except OSError:
            self.close_connection = True

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def drip(self, piece: bytes, every_s: float) -> None:
        """Send a piece now and then until the client leaves."""
        self.close_connection = True
        while not self.stub.closing.wait(every_s):
            self.wfile.write(piece)
            self.wfile.flush()

    def reset(self) -> None:
        """Break the connection: the client sees an error, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # or it would keep the socket open
        self.connection.close()

    def wait_for_the_end(self) -> None:
        """Until the client leaves or the server closes."""
        self.close_connection = True
        while self.connection.recv(1024):
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
