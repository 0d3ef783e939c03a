"""A request of a scanner: its address, its secrets, and its key in the cache."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx2

from mp2._document import Fields, Texts
from mp2.discovery.http.redact import Secrets
from mp2.errors import SourceError, plain

_PLAIN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "user-agent",
    }
)
"""Headers whose values are never secret."""

_FOREIGN_HEADERS = frozenset({"accept", "user-agent"})
"""Headers that go along to another origin."""

_SHORTEST_GUESS = 8
"""From this length on a value that looks like a secret counts as one, but not `true`."""

_SECRET_FIELD = re.compile(r"secret|passw|api_?key|(access|refresh)_token", re.IGNORECASE)

_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, a POST with a `form` or a JSON `document`.

    `url` is without `secret_params`, which only `full_url` adds.
    """

    method: str
    url: httpx2.URL
    headers: Texts
    max_bytes: int
    form: Texts | None = None
    document: Fields | None = None
    secret_params: Texts = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The host in lower case."""
        return self.url.host.lower()

    def full_url(self) -> httpx2.URL:
        """Return the URL with the secret parameters."""
        if not self.secret_params:
            return self.url
        return self.url.copy_merge_params(dict(self.secret_params))

    def secrets(self) -> Iterator[str]:
        """Yield the values that are declared secret, then those that look like one."""
        yield from self.secret_params.values()
        guesses: list[str] = []
        if self.auth is not None:
            user, password = self.auth
            yield password
            guesses += [user, b64encode(f"{user}:{password}".encode()).decode()]
        for name, value in self.headers.items():
            if name.lower() not in _PLAIN_HEADERS:
                # `Bearer x` as a whole, and x.
                guesses += [value, value.rpartition(" ")[2]]
        for name, value in (self.form or {}).items():
            if _SECRET_FIELD.search(name):
                guesses.append(value)
        for guess in guesses:
            if len(guess) >= _SHORTEST_GUESS:
                yield guess

    def cache_key(self, parser: str) -> str:
        """Return the key of the data that `parser` makes of the response.

        It is the same for any order of the parameters.

        Of the secret parameters it depends on 32 bits of a hash: enough to separate a few accounts,
        too few to find a secret by.
        """
        values = self.url.params.multi_items()
        for name, value in (self.form or {}).items():
            if not _SECRET_FIELD.search(name):
                values.append((name, value))
        if self.document is not None:
            values.append(("", json.dumps(self.document, sort_keys=True)))
        if self.secret_params:
            text = json.dumps(sorted(self.secret_params.items()))
            values.append(("", _sha256(text)[:8]))
        # A fragment is never sent.
        address = str(self.url.copy_with(query=None, fragment=None))
        return _sha256(json.dumps([parser, self.method, address, sorted(values)]))

    def redirected(
        self,
        location: str,
        secrets: Secrets,
    ) -> Request:
        """Return the request after a redirect.

        Secrets and most headers do not go to another origin.

        Raises `SourceError("bad_payload")` for a location that is not followed.
        """
        try:
            url = self.url.join(location)
        except (httpx2.InvalidURL, ValueError):
            url = httpx2.URL()
        # The source may send them back in the address; `full_url` adds them again.
        for name in self.secret_params:
            url = url.copy_remove_param(name)
        is_web = url.scheme in _DEFAULT_PORT and bool(url.host)
        if not is_web or url.userinfo or secrets.are_in(str(url)):
            raise SourceError(
                "bad_payload",
                f"{self.host} redirects to an address that is not followed",
            )
        if _origin(url) == _origin(self.url):
            return replace(self, url=url)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() in _FOREIGN_HEADERS
        }
        return replace(self, url=url, headers=headers, secret_params={}, auth=None)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _DEFAULT_PORT[url.scheme]


def checked_url(text: str, params: Fields | None = None) -> httpx2.URL:
    """Return the URL of a request.

    Raises `SourceError("bad_request")`, without the address, which may be private.
    """
    try:
        url = httpx2.URL(text)
        if params:
            url = url.copy_merge_params(dict(params))
    except (httpx2.InvalidURL, TypeError, ValueError):
        url = httpx2.URL()
    if url.scheme not in _DEFAULT_PORT or not url.host:
        raise SourceError(
            "bad_request",
            f"not an http or https address with a host (scheme {plain(url.scheme)!r})",
        )
    if url.userinfo:
        raise SourceError(
            "bad_request",
            f"the address of {url.host} holds a user or password; pass them as headers or auth",
        )
    return url
