"""The HTTP client of scanners: a limit for the whole of a call, another try where it helps, the rates of hosts, a cache.

One `Client` serves all scanners of a run; `Client.for_scanner` is the `ClientFactory` the runner wants. A call goes

    cache -> retries -> redirects -> rate of the host -> connection -> judgement of the reply -> cache

and ends, one way or the other, shortly before the scanner's deadline, so that what the scanner makes of it is still heard.

What becomes of a reply
- `parse` sees every reply, of any status. Below 400 what it returns is the answer, and what it raises the failure: a
  `SourceError` as it is, anything else as `bad_payload`. Errors that come with status 200 are so recognised by the scanner.
- From 400 on there is no answer. The status makes the error: 401 unauthorized; 402 and 403 forbidden; 429 rate_limited;
  408 and from 500 on unavailable; the others bad_request. A `SourceError` raised by `parse` takes its place, but for
  `bad_payload`, which is only what a `parse` that expects data says of any error page. So plain cases need no code in a
  scanner, and special ones (a 403 that means too many requests) a few lines in its `parse`.
- A redirect is followed for GET, three times at most and to http and https only; `parse` sees where it led to. To another
  origin go neither secrets nor headers (`user-agent` and `accept` apart). A redirected POST is not repeated: `parse` sees it.

What is tried again, after the time that the source asks for, else after growing waits: connections that fail or break,
429 and from 500 on (unless `parse` found a lasting reason) and a `SourceError` with `burst`. A wait that would not end
before the deadline is not begun: the error is raised at once, with `retry_after_s`.

What is cached is the JSON of what `parse` returned, never a reply, and everyone gets a copy. Secrets - `secret_params`,
`auth`, and header values other than a few plain headers' - are not part of log lines, messages or keys, but for a short hash
of `secret_params` that keeps accounts apart. They are blotted out of replies before `parse` sees them, whoever of the
scanner's calls they belong to, and an answer that holds one all the same is not stored. An answer that is itself a secret,
such as an access token, is to be asked for with `ttl_s=0`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Self, TypeVar

from mp2 import __version__
from mp2.discovery.http import sockets as wire
from mp2.discovery.http.cache import Cache, key_of
from mp2.discovery.http.quota import Quotas
from mp2.discovery.http.redact import Secrets
from mp2.discovery.http.retry import RetryRules, Transient, parse_rate, retrying, told_wait_s
from mp2.discovery.http.sockets import httpcore2, httpx2
from mp2.discovery.scanner import Http, Reply, ScanContext, Scanner, timeout_message
from mp2.errors import SourceError, plain

CACHE_NAME, QUOTA_NAME = "scan_cache.db", "scan_quota.db"
"""The files in the client's folder: answers, which may be deleted at any time, and the requests that hosts have had."""

MAX_REDIRECTS = 3
MAX_WAIT_S = 120.0
"""Longer waits are not begun even without a deadline."""

_RESERVE_S = 0.1
_MAX_ERROR_BYTES = 65_536
_MAX_TEXT = 300
_BURST_S = 1.1
_PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent"}
)
_KEPT_HEADERS = frozenset({"accept", "user-agent"})
_LIKELY_LENGTH = 8
"""From this on a value that was not declared a secret is taken for one; a header `true` must not blot out answers."""
_SECRET_FIELD = re.compile(r"secret|passw|api_?key|(access|refresh)_token", re.IGNORECASE)
_CODES = {
    401: "unauthorized",
    402: "forbidden",
    403: "forbidden",
    408: "unavailable",
    429: "rate_limited",
}
_PASSING = frozenset({"rate_limited", "unavailable", "timeout"})

T = TypeVar("T")


# --- a request ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked; `url` is without the secrets, which `wire` adds."""

    method: str
    url: httpx2.URL
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None
    secret_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return self.url.host.lower()

    def secrets(self) -> tuple[str, ...]:
        """What the caller says is one, whatever it looks like, and what else looks like one."""
        likely = [
            *(self.auth or ())[:1],
            *(b64encode(":".join(auth).encode()).decode() for auth in (self.auth,) if auth),
        ]
        for name, value in self.headers.items():
            if name.lower() not in _PLAIN_HEADERS:
                likely += [value, value.rpartition(" ")[2]]  # `Bearer x` as a whole and x
        likely += [value for name, value in (self.form or {}).items() if _SECRET_FIELD.search(name)]
        declared = (*self.secret_params.values(), *(self.auth or ())[1:])
        return (*declared, *(value for value in likely if len(value) >= _LIKELY_LENGTH))

    def cache_key(self, read_by: str) -> str:
        """Of what is asked and of what reads the reply.

        Of the secret parameters it has 32 bits of a hash: enough to tell a few from each other, not to find one by.
        """
        form = [
            (name, value)
            for name, value in (self.form or {}).items()
            if not _SECRET_FIELD.search(name)
        ]
        query = self.url.params.multi_items()
        address = str(self.url.copy_with(query=None, fragment=None))
        return key_of(f"{read_by} {self.method}", address, [*query, *form, *self._account()])

    def _account(self) -> list[tuple[str, str]]:
        if not self.secret_params:
            return []
        text = json.dumps(sorted(self.secret_params.items()))
        return [("", hashlib.sha256(text.encode()).hexdigest()[:8])]

    def redirected(self, location: str, secrets: Secrets) -> _Request:
        """The request after a redirect. Raises `SourceError("bad_payload")` for an address that is not to be asked."""
        try:
            url = self.url.join(location)
        except (httpx2.InvalidURL, ValueError):
            url = httpx2.URL()
        for name in self.secret_params:
            url = url.copy_remove_param(name)
        if (
            url.scheme not in ("http", "https")
            or not url.host
            or url.userinfo
            or secrets.are_in(str(url))
        ):
            raise SourceError(
                "bad_payload", f"{self.host} redirects to an address that is not asked"
            )
        if _origin(url) == _origin(self.url):
            return replace(self, url=url)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() in _KEPT_HEADERS
        }
        return replace(self, url=url, headers=headers, secret_params={}, auth=None)


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme]


def _address(text: str, params: Mapping[str, Any] | None) -> httpx2.URL:
    """Raises `SourceError("bad_request")`; its message does not repeat the address, which may hold what is private."""
    try:
        url = httpx2.URL(text)
        url = url.copy_merge_params(dict(params)) if params else url
    except (httpx2.InvalidURL, TypeError, ValueError):
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SourceError(
            "bad_request", f"no http or https address with a host (scheme {plain(url.scheme)!r})"
        )
    if url.userinfo:
        raise SourceError(
            "bad_request",
            f"the address of {url.host} holds a user or password; pass them as headers or auth",
        )
    return url


# --- the client --------------------------------------------------------------------------------------------------------


class Client:
    """The client of a run: connections, cache and quotas shared by all scanners and threads; closed by `with` or `close`.

    `folder` holds the cache and the quotas between runs; None keeps them in memory. `clock` gives seconds since the epoch,
    `sleep(cancelled, seconds)` waits until the event is set or the time is over, `dice` gives numbers in [0, 1). `warn`
    gets a sentence when a file in the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        rules: RetryRules | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
        dice: Callable[[], float] = random.random,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.rules, self.clock, self.sleep, self.dice = rules or RetryRules(), clock, sleep, dice
        self.cache = Cache(folder and folder / CACHE_NAME, clock=clock, warn=warn)
        self.quotas = Quotas(folder and folder / QUOTA_NAME, clock=clock, warn=warn)
        self.wire = wire.Wire()
        self.http = httpx2.Client(
            transport=self.wire,
            cookies=CookieJar(
                DefaultCookiePolicy(allowed_domains=())
            ),  # a cookie would join one scanner's calls to another's
            trust_env=False,  # the wire looks for proxies; nothing else of the environment is for us
            headers={"user-agent": f"mp2/{__version__}", "accept-encoding": "gzip, deflate"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def for_scanner(self, context: ScanContext, scanner: type[Scanner]) -> Http:
        """The client as one scanner sees it. Raises `InputError` when a rate it declares cannot be read."""
        for host, texts in scanner.rates.items():
            self.quotas.limit(host.lower(), map(parse_rate, texts))
        return _ScannerHttp(self, context)

    def close(self) -> None:
        """Close connections, also those of scanners that were given up, and files."""
        self.http.close()
        self.cache.close()
        self.quotas.close()


class _ScannerHttp:
    """`Http` for one scanner."""

    def __init__(self, client: Client, context: ScanContext) -> None:
        self._client, self._context = client, context

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
        request = _Request(
            "GET",
            _address(url, params),
            dict(headers or {}),
            secret_params=dict(secret_params or {}),
        )
        return self._answer(request, parse, ttl_s, max_bytes)

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
        request = _Request(
            "POST", _address(url, None), dict(headers or {}), form=dict(form or {}), auth=auth
        )
        return self._answer(request, parse, ttl_s, max_bytes)

    def _answer(
        self, request: _Request, parse: Callable[[Reply], T], ttl_s: float, max_bytes: int
    ) -> T:
        for secret in request.secrets():
            self._context.hide(secret)  # the source may repeat it
        call = _Call(self._client, self._context, max_bytes)
        if ttl_s <= 0:
            answer = call.ask(request, parse)
            self._context.note_reply("fresh")
            return answer
        body, kind = self._client.cache.fetch(
            request.cache_key(_reader(parse, self._context.scanner)),
            ttl_s,
            lambda: _to_json(call.ask(request, parse)),
            check=call.check,
            may_keep=lambda body: not call.secrets.are_in(body),
        )
        self._context.note_reply(kind)
        kept: T = json.loads(body)
        return kept


def _reader(parse: Callable[[Reply], Any], scanner: str) -> str:
    """The name of a `parse`, in this version of the package; one that cannot be imported by its name is its scanner's own."""
    name = getattr(parse, "__qualname__", type(parse).__qualname__)
    is_own = "<" in name or not hasattr(parse, "__qualname__") or hasattr(parse, "__self__")
    return f"{__version__} {scanner if is_own else ''} {parse.__module__}:{name}"


def _to_json(answer: object) -> str:
    try:
        return json.dumps(
            answer, allow_nan=False
        )  # ASCII: a lone surrogate is text to JSON, and none to a file
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise SourceError(
        "bad_payload",
        f"the scanner's parse returned what JSON cannot hold ({plain(problem)[:_MAX_TEXT]})",
    )


class _Call:
    """One call of a scanner, with all its attempts; also the `Patience` of its waits."""

    def __init__(self, client: Client, context: ScanContext, max_bytes: int) -> None:
        self._client, self._context, self.secrets, self._max_bytes = (
            client,
            context,
            context.secrets,
            max_bytes,
        )
        self._reserve_s = min(_RESERVE_S, context.remaining_s() / 10)

    # --- patience

    def remaining_s(self) -> float:
        return max(0.0, self._context.remaining_s() - self._reserve_s)

    def check(self) -> None:
        if self.remaining_s() <= 0:
            raise SourceError("timeout", timeout_message(self._context.timeout_s))

    def _sleep(self, seconds: float) -> None:
        self._client.sleep(self._context.cancelled, seconds)
        self.check()

    def _may_wait_s(self) -> float:
        return min(self.remaining_s(), MAX_WAIT_S)

    # --- attempts

    def ask(self, request: _Request, parse: Callable[[Reply], T]) -> T:
        """What `parse` makes of the reply. Raises `SourceError`."""
        return retrying(
            lambda: self._attempt(request, parse),
            remaining_s=self._may_wait_s,
            sleep=self._sleep,
            dice=self._client.dice,
            rules=self._client.rules,
            observe=lambda error, wait_s: self._context.logger.info(
                "%s; again in %.1f s", error, wait_s
            ),
        )

    def _attempt(self, request: _Request, parse: Callable[[Reply], T]) -> T:
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(request)
            location = reply.headers.get("location")
            if (
                request.method != "GET"
                or reply.status not in (301, 302, 303, 307, 308)
                or not location
            ):
                return self._judged(request.host, reply, parse)
            request = request.redirected(location, self.secrets)
        raise SourceError(
            "bad_payload", f"{request.host}: redirected more than {MAX_REDIRECTS} times"
        )

    def _exchange(self, request: _Request) -> Reply:
        """Send and receive. Raises `Transient` when the connection fails or breaks."""
        message = self._message(request)
        self._wait_for_room(request.host)
        self._context.count_attempt()
        try:
            with self._client.wire.watched_by(self):
                reply = self._received(message, request)
        except wire.ERRORS as error:
            failure = self._broken(request.host, error)
        else:
            self._context.logger.debug(
                "%s %s: HTTP %d, %d bytes",
                request.method,
                request.host,
                reply.status,
                len(reply.body),
            )
            return reply
        raise failure

    def _message(self, request: _Request) -> httpx2.Request:
        try:
            return self._client.http.build_request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.form,
                extensions={wire.SECRET_PARAMS: request.secret_params},
            )
        except (TypeError, ValueError, httpx2.InvalidURL) as error:
            problem = type(error).__name__  # its text may hold what is wrong, a secret
        raise SourceError(
            "bad_request",
            f"a request to {request.host} cannot be made of these arguments ({problem})",
        )

    def _received(self, message: httpx2.Request, request: _Request) -> Reply:
        self.check()
        auth = httpx2.BasicAuth(*request.auth) if request.auth else None
        response = self._client.http.send(message, stream=True, auth=auth)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            is_error = response.status_code >= 400
            limit = min(self._max_bytes, _MAX_ERROR_BYTES) if is_error else self._max_bytes
            body = _body(headers, response.iter_raw(), limit, whole=not is_error)
            return Reply(response.status_code, headers, body)
        finally:
            response.close()

    def _broken(self, host: str, error: Exception) -> Transient | SourceError:
        if self.remaining_s() <= 0:
            return SourceError("timeout", timeout_message(self._context.timeout_s))
        if isinstance(error, httpcore2.LocalProtocolError):
            return SourceError(
                "bad_request", f"a request to {host} cannot be sent: a header is not one"
            )
        what = self.secrets.mask(plain(error))[:_MAX_TEXT] or type(error).__name__
        return Transient(SourceError("unavailable", f"no reply from {host}: {what}"))

    def _wait_for_room(self, host: str) -> None:
        while (wait_s := self._client.quotas.take(host)) > 0:
            if wait_s >= self._may_wait_s():
                self.check()
                rates = ", ".join(map(str, self._client.quotas.rates(host)))
                message = f"the requests that {host} allows ({rates}) are used up; there is room in {wait_s:.0f} s"
                raise SourceError("rate_limited", message, retry_after_s=wait_s)
            self._sleep(wait_s)

    # --- judgement

    def _judged(self, host: str, reply: Reply, parse: Callable[[Reply], T]) -> T:
        """The answer, or the failure that the reply is; see the head of this module. Raises `SourceError`, `Transient`."""
        answer, found = self._parsed(reply, parse)
        if reply.status < 400 and found is None:
            return answer[0]
        error = (
            found
            if found is not None and (reply.status < 400 or found.code != "bad_payload")
            else _by_status(host, reply)
        )
        if error.retry_after_s is None:
            limited = error.code == "rate_limited"
            error.retry_after_s = told_wait_s(reply.headers, self._client.clock(), limited=limited)
        if error.burst or ((reply.status == 429 or reply.status >= 500) and error.code in _PASSING):
            raise Transient(
                error,
                _BURST_S if error.burst and error.retry_after_s is None else error.retry_after_s,
            )
        raise error

    def _masked(self, reply: Reply) -> Reply:
        """Without what it was asked with: before any part of it is cut, or kept."""
        headers = {name: self.secrets.mask(value) for name, value in reply.headers.items()}
        return Reply(reply.status, headers, self.secrets.mask_reply(reply.body))

    def _parsed(
        self, reply: Reply, parse: Callable[[Reply], T]
    ) -> tuple[tuple[T, ...], SourceError | None]:
        """The answer, in a tuple, or what is wrong: an error of our own making, on which no other hangs, masked."""
        try:
            return (parse(self._masked(reply)),), None
        except SourceError as error:
            text = self.secrets.mask(str(error))
            return (), SourceError(
                error.code, text, retry_after_s=error.retry_after_s, burst=error.burst
            )
        except Exception as error:
            text = self.secrets.mask(f"{type(error).__name__}: {plain(error)}")[:_MAX_TEXT]
            return (), SourceError("bad_payload", f"answered something else than agreed ({text})")


def _by_status(host: str, reply: Reply) -> SourceError:
    code = _CODES.get(reply.status, "unavailable" if reply.status >= 500 else "bad_request")
    return SourceError(code, f"HTTP {reply.status} from {host}")


# --- bodies ------------------------------------------------------------------------------------------------------------


def _body(
    headers: Mapping[str, str], chunks: Iterable[bytes], max_bytes: int, *, whole: bool
) -> bytes:
    """The body, decompressed; never much more than `max_bytes` of it are held. Of one that need not be `whole` the beginning.

    Raises `SourceError("bad_payload")` when it is larger or cannot be decompressed.
    """
    too_large = f"the body is larger than {max_bytes} bytes"
    length = "" if "content-encoding" in headers else headers.get("content-length", "")
    if whole and length.isdecimal() and int(length) > max_bytes:
        raise SourceError("bad_payload", too_large)
    body = bytearray()
    try:
        for piece in _decoded(headers.get("content-encoding", ""), chunks, max_bytes + 1):
            body += piece
            if len(body) > max_bytes:
                break
    except zlib.error as error:
        problem = f"the body cannot be decompressed ({error})"
    else:
        problem = too_large if len(body) > max_bytes else ""
    if problem and whole:
        raise SourceError("bad_payload", problem)
    return bytes(body[:max_bytes])


def _decoded(encoding: str, chunks: Iterable[bytes], max_piece: int) -> Iterator[bytes]:
    """The chunks decompressed, at most `max_piece` bytes at a time. Raises zlib.error."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise zlib.error("it comes in an encoding that was not asked for")
    inflater, n_fed = zlib.decompressobj(_GZIP_OR_ZLIB), 0
    for chunk in chunks:
        data = chunk
        while data:
            if inflater.eof:
                if not data.startswith(b"\x1f\x8b"):  # padding behind the end
                    return
                inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            n_fed += len(data)
            yield inflater.decompress(data, max_piece)
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if n_fed and not inflater.eof:
        raise zlib.error("it ends too early")


_GZIP_OR_ZLIB = 47
"""For zlib: the largest window, and whichever of the two formats the data begin with."""
