"""The sockets under the HTTP client: every wait on them ends at the scanner's deadline, or when the scanner is given up.

No HTTP client has a limit for a whole call: each of its reads may take the timeout anew, so a server that sends a byte now
and then holds it for ever, in the headers as in the body. Here every read waits in short slices and asks in between
whether there is still patience. What does not end early: a look-up of a host name, a connection being made and a TLS
handshake; the latter two end at the deadline.

A pooled connection serves many scanners in turn, and the thread that reads is always the one whose call it is; so whose
patience counts is kept per thread (`Wire.watched_by`).

Secrets of the query are put into the address here, below httpx2, which so cannot log them or hang them on an exception.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.request import getproxies, proxy_bypass

from mp2.errors import MissingExtraError, SourceError

try:
    import httpcore2
    import httpx2
except ImportError as missing:
    raise MissingExtraError("asking sources over the network", "net") from missing

# The libraries too: whoever takes them from here is told what to install.
__all__ = ["ERRORS", "SECRET_PARAMS", "Patience", "Wire", "httpcore2", "httpx2"]

ERRORS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.ProxyError,
)
"""What a broken connection raises."""

SECRET_PARAMS = "secret_params"
"""The request extension that holds what is added to the query on the wire."""

_SLICE_S = 0.05
_CONNECT_S = 10.0
_WRITE_S = 30.0
_N_IDLE, _IDLE_S = 16, 15.0
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy")


class Patience(Protocol):
    """How long a call may go on."""

    def remaining_s(self) -> float:
        """Seconds left; may be infinite."""

    def check(self) -> None:
        """Raise `SourceError("timeout")` when none are left."""


class _Calls(threading.local):
    """Whose call this thread is in."""

    patience: Patience | None = None

    def limit_s(self, at_most_s: float) -> float:
        """Seconds that one wait may take now. Raises `SourceError("timeout")`."""
        if self.patience is None:
            return at_most_s
        self.patience.check()
        return min(at_most_s, max(self.patience.remaining_s(), 0.001))

    def filter(self, record: logging.LogRecord) -> bool:
        """Silence for the libraries' own log lines during our calls: they hold addresses and headers as they came."""
        return self.patience is None


class Wire(httpx2.BaseTransport):
    """Connections shared by all threads, through the proxies that the environment names (http and https only)."""

    def __init__(self) -> None:
        self._calls = _Calls()
        self._backend = _Backend(self._calls)
        self._proxies = getproxies()
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str | None], httpcore2.ConnectionPool] = {}
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._calls)

    @contextmanager
    def watched_by(self, patience: Patience) -> Iterator[None]:
        """What this thread sends and receives inside the block is subject to `patience`."""
        self._calls.patience = patience
        try:
            yield
        finally:
            self._calls.patience = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, its secrets added; the body is yet to be read. Raises `ERRORS` and `SourceError`."""
        secret_params = request.extensions.get(SECRET_PARAMS)
        url = request.url.copy_merge_params(secret_params) if secret_params else request.url
        reply = self._pool(url).handle_request(
            httpcore2.Request(
                request.method, _core(url), headers=request.headers.raw, content=request.stream
            )
        )
        return httpx2.Response(reply.status, headers=reply.headers, stream=_Body(reply.stream))

    def close(self) -> None:
        """Close every connection, also those that another thread still reads from."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._calls)
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    def _pool(self, url: httpx2.URL) -> httpcore2.ConnectionPool:
        proxy = (
            None
            if proxy_bypass(url.host)
            else self._proxies.get(url.scheme, self._proxies.get("all"))
        )
        with self._lock:
            if (url.scheme, proxy) not in self._pools:
                tls = httpx2.create_ssl_context() if url.scheme == "https" else None
                self._pools[url.scheme, proxy] = self._new_pool(tls, proxy)
            return self._pools[url.scheme, proxy]

    def _new_pool(self, tls: ssl.SSLContext | None, proxy: str | None) -> httpcore2.ConnectionPool:
        # Without a limit nobody waits for a connection: hung ones must not stand in the way of others.
        settings: dict[str, Any] = {
            "ssl_context": tls,
            "max_connections": None,
            "max_keepalive_connections": _N_IDLE,
            "keepalive_expiry": _IDLE_S,
            "network_backend": self._backend,
        }
        if proxy is None:
            return httpcore2.ConnectionPool(**settings)
        try:
            through = httpx2.Proxy(proxy if "://" in proxy else f"http://{proxy}")
        except (ValueError, httpx2.InvalidURL):
            through = None
        if through is None or through.url.scheme not in ("http", "https") or not through.url.host:
            raise SourceError(
                "unavailable",
                "the proxy that the environment names is no address of an http or https proxy",
            )
        return httpcore2.HTTPProxy(_core(through.url), proxy_auth=through.raw_auth, **settings)


def _core(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


class _Body(httpx2.SyncByteStream):
    """The body as httpcore reads it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore2.NetworkBackend):
    """Connections whose waits are subject to the patience of the thread that waits."""

    def __init__(self, calls: _Calls) -> None:
        self._calls, self._sockets = calls, httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("the host has no address")
        # One at a time here, or each of a host's addresses would take the whole timeout.
        for address in _addresses(host, port):
            limit_s = self._calls.limit_s(_CONNECT_S)
            try:
                stream = self._sockets.connect_tcp(
                    address, port, limit_s, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._calls)
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        problem = f"the host is not known ({error})"
    else:
        return list(dict.fromkeys(str(address[0]) for *_, address in found))
    raise httpcore2.ConnectError(problem)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, calls: _Calls) -> None:
        self._stream, self._calls = stream, calls

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            limit_s = self._calls.limit_s(_SLICE_S)
            try:
                return self._stream.read(max_bytes, limit_s)
            except httpcore2.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._calls.limit_s(_WRITE_S))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._calls.limit_s(_CONNECT_S)),
            self._calls,
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
