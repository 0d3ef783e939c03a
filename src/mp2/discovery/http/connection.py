"""One scanner's HTTP connections, which are closed at its deadline.

No HTTP client limits a whole call: each of its reads may take the timeout again, so a server that
sends a byte now and then holds it for ever, in the headers as in the body. Therefore

1. every wait has the time left as its timeout: connecting, sending, and the first read;
2. the deadline is checked between the chunks of a body;
3. a thread shuts the sockets at the deadline, or when the scanner is cancelled, which ends any read
   at once.

The look-up of a host name cannot be ended; connecting to a host with more than two addresses that
are all silent may end after the deadline.
"""

from __future__ import annotations

import functools
import logging
import math
import socket
import ssl
import threading
from contextlib import closing, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from mp2 import __version__
from mp2._document import Fields
from mp2.discovery.deadline import Deadline, timeout_message
from mp2.discovery.http.judgement import MAX_TEXT
from mp2.discovery.http.redact import Secrets
from mp2.discovery.http.reply import Reply
from mp2.discovery.http.request import Request
from mp2.discovery.http.retry import Transient
from mp2.errors import SourceError, plain

_CONNECT_S = 10.0
_MAX_ERROR_BYTES = 65_536
"""Of the body of an error, which is cut and not refused."""

_UNSENDABLE = (
    TypeError,
    ValueError,
    httpx2.InvalidURL,
    httpx2.LocalProtocolError,
)
"""Raised for arguments of which no request can be made."""

_BROKEN = (httpx2.TransportError, RuntimeError)
"""Raised when a connection fails; RuntimeError by a client that was closed meanwhile."""


class Connection:
    """The connections of one scanner; any of its threads may send."""

    def __init__(
        self,
        deadline: Deadline,
        secrets: Secrets,
    ) -> None:
        self._deadline = deadline
        self._secrets = secrets
        self._streams: list[Any] = []
        self._is_closed = False
        self._http = _client()
        if deadline.timeout_s is not None:
            # Without a limit it runs in the thread of the caller, where Ctrl-C ends a read.
            watch = threading.Thread(
                target=self._close_at_deadline, name="mp2-deadline", daemon=True
            )
            watch.start()

    def send(self, request: Request) -> Reply:
        """Send a request once and return the response, whatever its status.

        Raises `Transient` when the connection fails, and `SourceError` for a request that cannot be
        sent, a body that is too large or not readable, and past the deadline.
        """
        self._deadline.check()
        failure: Exception
        _quiet.is_sending = True
        try:
            return self._response(request)
        except httpx2.DecodingError as error:
            failure = SourceError("bad_payload", f"the body cannot be decompressed ({error})")
        except _UNSENDABLE as error:
            # The text of the error may hold the value, which may be a secret.
            name = type(error).__name__
            failure = SourceError(
                "bad_request",
                f"a request to {request.host} cannot be made of its values ({name})",
            )
        except _BROKEN as error:
            text = self._secrets.redact(plain(error))[:MAX_TEXT] or type(error).__name__
            failure = Transient(
                SourceError("unavailable", f"no response from {request.host}: {text}")
            )
            if self._deadline.remaining_s() <= 0:
                failure = SourceError("timeout", timeout_message(self._deadline.timeout_s))
        finally:
            _quiet.is_sending = False
        # Outside of the handlers, so that no exception with an address or a header is attached.
        raise failure

    def _response(self, request: Request) -> Reply:
        remaining_s = self._deadline.remaining_s()
        # A name often has two addresses, which are tried one after the other.
        timeout = httpx2.Timeout(None, connect=_CONNECT_S)
        if remaining_s < math.inf:
            timeout = httpx2.Timeout(remaining_s, connect=min(_CONNECT_S, remaining_s / 2))
        message = self._http.build_request(
            request.method,
            request.full_url(),
            headers=dict(request.headers),
            data=request.form,
            json=request.document,
            timeout=timeout,
            extensions={"trace": self._note_stream},
        )
        response = self._http.send(message, stream=True, auth=request.auth)
        is_error = response.status_code >= 400
        max_bytes = request.max_bytes
        if is_error:
            max_bytes = min(max_bytes, _MAX_ERROR_BYTES)
        body = bytearray()
        with closing(response):
            # The pieces are decompressed, and of 1 MiB at most.
            for piece in response.iter_bytes():
                self._deadline.check()
                body += piece
                if len(body) > max_bytes:
                    break
        if len(body) > max_bytes and not is_error:
            raise SourceError("bad_payload", f"the body is larger than {max_bytes} bytes")
        return Reply(
            response.status_code,
            dict(response.headers),
            bytes(body[:max_bytes]),
        )

    def close(self) -> None:
        """Close all connections; reads that wait end at once."""
        self._is_closed = True
        for stream in self._streams:
            _shut(stream)
        self._http.close()

    def _close_at_deadline(self) -> None:
        self._deadline.cancelled.wait(self._deadline.remaining_s())
        self.close()

    def _note_stream(
        self,
        event: str,
        info: Fields,
    ) -> None:
        """Note a stream that httpx2 has opened; one over TLS comes after the plain one."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            self._streams.append(stream)
            # Noted first and looked at second; `close` does it the other way round.
            if self._is_closed:
                _shut(stream)


def _shut(stream: Any) -> None:
    sock = stream.get_extra_info("socket")
    with suppress(OSError):
        # Closing would not wake a thread that reads. The plain method, since that of an SSL socket
        # would take away the state the reading thread uses.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _client() -> httpx2.Client:
    try:
        return httpx2.Client(
            verify=tls_context(),
            # Only encodings that decompress in bounded pieces.
            headers={
                "user-agent": f"mp2/{__version__}",
                "accept-encoding": "gzip, deflate",
            },
            # A cookie would make a response depend on the calls before.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )
    except (ValueError, ImportError, httpx2.InvalidURL):
        message = "invalid proxy URL in HTTP_PROXY/HTTPS_PROXY: expected http:// or https://"
    # Outside of the handler: the error may hold the proxy's password.
    raise SourceError("unavailable", message)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the certificates to trust, loaded once per process because that is slow."""
    return httpx2.create_ssl_context()


class _Quiet(threading.local):
    """A filter of the libraries' log lines, which hold addresses and headers unredacted.

    It is active in threads that send.
    """

    is_sending = False

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.is_sending


_quiet = _Quiet()
for _name in (
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.proxy",
):
    logging.getLogger(_name).addFilter(_quiet)
