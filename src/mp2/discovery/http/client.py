"""The HTTP client of scanners: time limits, retries, the rates of hosts, a cache.

One `Client` serves all scanners of a run; `Client.for_scanner` is the `ClientFactory` the runner
wants. A call goes

    cache -> retries -> redirects -> rate of the host -> connection -> judgement of the response ->
    cache

and ends shortly before the scanner's deadline, so that what the scanner makes of it still counts.

Connections that fail are tried again, and responses that `judgement` finds to be transient. A wait
that would not end before the deadline is not begun: the error is raised at once, with
`retry_after_s`. A redirect is followed for GET, three times at most and to http and https only;
`parse` sees where it led to. Neither secrets nor headers go to another origin (`user-agent` and
`accept` apart). A redirected POST is not repeated: `parse` sees the redirect.

The cache holds the JSON of what `parse` returned, never a response, and every caller gets a copy.
Secrets - `secret_params`, `auth`, and header values other than a few plain headers' - are not part
of log lines, messages or keys, except for a short hash of `secret_params` that separates accounts.
They are redacted in responses before `parse` sees them, and a value that holds one all the same is
not stored. A value that is itself a secret, such as an access token, has to be requested with
`ttl_s=0`.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mp2 import __version__
from mp2._document import Fields, Names, Texts
from mp2.discovery.deadline import Deadline
from mp2.discovery.http.cache import Cache
from mp2.discovery.http.judgement import MAX_TEXT, judged
from mp2.discovery.http.quota import Quotas, parse_rate
from mp2.discovery.http.redact import Secrets
from mp2.discovery.http.reply import Reply, ReplyKind
from mp2.discovery.http.retry import retrying
from mp2.discovery.http.state import StateFile
from mp2.errors import MissingExtraError, SourceError, plain

try:
    from mp2.discovery.http.connection import Connection
    from mp2.discovery.http.request import Request, checked_url
except ImportError as missing:
    raise MissingExtraError("a scanner that sends HTTP requests", "net") from missing

MAX_REDIRECTS = 3

MAX_WAIT_S = 120.0
"""Longer waits are not begun even without a deadline."""

_RESERVE_S = 0.1
"""How long before the scanner's deadline its calls end; a tenth of a shorter second."""

T = TypeVar("T")


class ScannerRun(Protocol):
    """What the client uses of the context of a scanner's run.

    It counts `attempts`, the requests sent, and adds to `replies` where responses came from.
    """

    scanner: str
    rates: Mapping[str, Names]
    deadline: Deadline
    secrets: Secrets
    logger: logging.Logger
    attempts: int
    replies: set[ReplyKind]

    def hide(self, secret: str) -> None:
        """Redact a secret from now on."""


class Client:
    """The client of a run: cache and quotas shared by all scanners, until `close`.

    `folder` holds the cache and the quotas between runs; None keeps them in memory. `clock` gives
    seconds since the epoch, `sleep(cancelled, seconds)` waits until the event is set or the time is
    over, `jitter` gives numbers in [0, 1). `warn` gets a sentence when the file in the folder
    cannot be used.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
        jitter: Callable[[], float] = random.random,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.clock = clock
        self.sleep = sleep
        self.jitter = jitter
        self._file = StateFile(folder, warn=warn)
        self.cache = Cache(self._file, clock=clock)
        self.quotas = Quotas(self._file, clock=clock)
        self._connections: list[Connection] = []

    def for_scanner(self, run: ScannerRun) -> Http:
        """Return the client of one scanner's run.

        Raises `InputError` when a rate it declares cannot be read.
        """
        for host, texts in run.rates.items():
            self.quotas.limit(host.lower(), map(parse_rate, texts))
        http = Http(self, run)
        # Noted, so that `close` ends the calls of abandoned scanners.
        self._connections.append(http.connection)
        return http

    def close(self) -> None:
        """Close the file and all connections, also those of abandoned scanners."""
        for connection in self._connections:
            connection.close()
        self._file.close()


class Http:
    """The HTTP client of one scanner.

    Its calls end before the scanner's deadline and obey the rates of their host.

    `parse` is a pure function from a response of any status to validated, JSON-serialisable data;
    it raises `SourceError` for anything else. Only its value is ever cached, for `ttl_s` seconds
    (0: not at all), under the request and the name of `parse`; one made inside a function must not
    depend on what may differ between its scanner's calls. `secret_params` are sent but never part
    of a log line, a message or a candidate, nor, except for a short hash, of a cache key. Both
    calls raise `SourceError`.
    """

    def __init__(
        self,
        client: Client,
        run: ScannerRun,
    ) -> None:
        self._client = client
        self._run = run
        reserve_s = min(_RESERVE_S, run.deadline.remaining_s() / 10)
        self._deadline = run.deadline.earlier(reserve_s)
        self.connection = Connection(self._deadline, run.secrets)

    def get(
        self,
        url: str,
        *,
        parse: Callable[[Reply], T],
        params: Fields | None = None,
        headers: Texts | None = None,
        secret_params: Texts | None = None,
        ttl_s: float = 0.0,
        max_bytes: int = 10_000_000,
    ) -> T:
        """Request `url`; a body of more than `max_bytes` is a bad payload."""
        request = Request(
            "GET",
            checked_url(url, params),
            headers or {},
            max_bytes,
            secret_params=secret_params or {},
        )
        return self._fetch(request, parse, ttl_s)

    def post(
        self,
        url: str,
        *,
        parse: Callable[[Reply], T],
        form: Texts | None = None,
        document: Fields | None = None,
        auth: tuple[str, str] | None = None,
        headers: Texts | None = None,
        ttl_s: float = 0.0,
        max_bytes: int = 10_000_000,
    ) -> T:
        """Send a form, or a JSON `document`; `auth` is a user and a password."""
        request = Request(
            "POST",
            checked_url(url),
            headers or {},
            max_bytes,
            form=form,
            document=document,
            auth=auth,
        )
        return self._fetch(request, parse, ttl_s)

    def _fetch(
        self,
        request: Request,
        parse: Callable[[Reply], T],
        ttl_s: float,
    ) -> T:
        for secret in request.secrets():
            # The source may repeat it.
            self._run.hide(secret)
        if ttl_s <= 0:
            value = self._request(request, parse)
            self._run.replies.add("fresh")
            return value

        def body() -> str:
            value = self._request(request, parse)
            try:
                # In ASCII: a lone surrogate is text to JSON, but not to a file.
                return json.dumps(value, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                problem = plain(f"{type(error).__name__}: {error}")[:MAX_TEXT]
            message = f"the scanner's parse returned what JSON cannot hold ({problem})"
            raise SourceError("bad_payload", message)

        kept, freshness = self._client.cache.fetch(
            request.cache_key(_parser_name(parse, self._run.scanner)),
            ttl_s,
            body,
            wait=self._deadline.wait,
            # Redaction leaves short secrets in a body.
            may_keep=lambda body: not self._run.secrets.are_in(body),
        )
        self._run.replies.add(freshness)
        copy: T = json.loads(kept)
        return copy

    def _request(
        self,
        request: Request,
        parse: Callable[[Reply], T],
    ) -> T:
        """Return what `parse` makes of the response, after as many attempts as it takes."""
        run = self._run

        def attempt() -> T:
            target = request
            for _ in range(MAX_REDIRECTS + 1):
                self._wait_for_room(target.host)
                self._deadline.check()
                run.attempts += 1
                reply = self.connection.send(target)
                run.logger.debug(
                    "%s %s: HTTP %d, %d bytes",
                    target.method,
                    target.host,
                    reply.status,
                    len(reply.body),
                )
                location = reply.headers.get("location")
                is_redirect = reply.status in (301, 302, 303, 307, 308)
                if target.method != "GET" or not is_redirect or not location:
                    return judged(
                        reply,
                        parse,
                        host=target.host,
                        secrets=run.secrets,
                        now=self._client.clock(),
                    )
                target = target.redirected(location, run.secrets)
            message = f"{target.host}: redirected more than {MAX_REDIRECTS} times"
            raise SourceError("bad_payload", message)

        def observe(error: SourceError, wait_s: float) -> None:
            run.logger.info("%s; again in %.1f s", error, wait_s)

        return retrying(
            attempt,
            remaining_s=self._longest_wait_s,
            sleep=self._sleep,
            jitter=self._client.jitter,
            observe=observe,
        )

    def _wait_for_room(self, host: str) -> None:
        quotas = self._client.quotas
        while (wait_s := quotas.take(host)) > 0:
            # A quota of days is reported at once: waiting for it is pointless.
            if wait_s >= self._longest_wait_s():
                self._deadline.check()
                rates = ", ".join(rate.text for rate in quotas.rates(host))
                raise SourceError(
                    "rate_limited",
                    f"the requests that {host} allows ({rates}) are used up; "
                    f"there is room in {wait_s:.0f} s",
                    retry_after_s=wait_s,
                )
            self._sleep(wait_s)

    def _longest_wait_s(self) -> float:
        return min(self._deadline.remaining_s(), MAX_WAIT_S)

    def _sleep(self, seconds: float) -> None:
        self._client.sleep(self._deadline.cancelled, seconds)
        self._deadline.check()


def _parser_name(parse: Callable[[Reply], Any], scanner: str) -> str:
    """Return the name of a `parse` in this version of the package.

    One that cannot be imported by its name is its scanner's own.
    """
    name = getattr(parse, "__qualname__", None)
    # Bound methods and functions made inside others may depend on settings of a scanner.
    if name is None or "<" in name or hasattr(parse, "__self__"):
        name = f"{scanner} {name or type(parse).__qualname__}"
    return f"{__version__} {parse.__module__}:{name}"
