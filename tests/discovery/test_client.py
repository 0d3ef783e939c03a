"""The HTTP client against a server that misbehaves; nothing leaks and nothing lingers."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import traceback
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx2
import pytest
from stub_server import (
    CERTIFICATE,
    Gzip,
    GzipBomb,
    Held,
    Huge,
    Json,
    Redirect,
    Reset,
    Silence,
    SlowHeaders,
    Stalled,
    Status,
    StubServer,
    Trickle,
    Truncated,
    bearer,
    token,
    user_agent,
)

from mp2 import __version__
from mp2.discovery.http import client as net
from mp2.discovery.http.client import Client
from mp2.discovery.http.connection import tls_context
from mp2.discovery.http.reply import Reply
from mp2.discovery.http.state import FILE_NAME
from mp2.discovery.scanner import ScanContext, Scanner
from mp2.errors import InputError, SourceError

KEY = "pl4nted/key+with=signs"
ROWS = {"rows": [1, 2, 3]}
LATE_S = 1.0
"""How long after its deadline a thread may end."""


class Quiet(Scanner):
    name, pipeline, summary = "quiet", "test", "sends requests"


class Limited(Quiet):
    rates = {"127.0.0.1": ("1/s", "3/day")}  # noqa: RUF012


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True, scope="module")
def certificates():
    """Load them once, so that no test with a short deadline pays for it."""
    tls_context()


@pytest.fixture
def server():
    with StubServer() as server:
        yield server


class Bench:
    """Clients whose sleeping is recorded and moves the clock, and contexts for them."""

    def __init__(self, folder):
        self.folder, self.now = folder, 1_790_000_000.0
        self.slept, self.clients, self.contexts = [], [], []

    def client(self, **options):
        settings = {
            "clock": lambda: self.now,
            "sleep": self.sleep,
            "jitter": lambda: 0.0,
            "warn": pytest.fail,
        }
        self.clients.append(Client(self.folder, **settings | options))
        return self.clients[-1]

    def sleep(self, cancelled, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def context(self, client=None, *, timeout_s=30.0, scanner=Quiet):
        client = client or (self.clients[-1] if self.clients else self.client())
        context = ScanContext(
            scanner, scanner.Settings(), timeout_s=timeout_s, http=client.for_scanner
        )
        self.contexts.append(context)
        return context

    def close(self):
        for context in self.contexts:
            context.cancelled.set()
        for client in self.clients:
            client.close()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def data(reply: Reply):
    """A typical parse: returns data, or raises an error for an unexpected response."""
    return reply.json()["rows"]


def failure(context, url, **options):
    """The error of a call, without a cause or context."""
    with pytest.raises(SourceError) as caught:
        context.http.get(url, **{"parse": data} | options)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


# --- replies


@pytest.mark.parametrize(
    "reply", [Json(ROWS), Gzip(ROWS), Gzip(ROWS, "deflate"), Status(200, b'{"rows": [1, 2, 3]}')]
)
def test_a_response(server, bench, reply):
    context = bench.context()
    url = server.route("/rows", reply)
    assert context.http.get(
        url + "?a=1", params={"b": "x y", "n": 2}, headers={"X-More": "yes"}, parse=data
    ) == [1, 2, 3]
    (seen,) = server.requests()
    assert seen.query == {"a": "1", "b": "x y", "n": "2"}
    assert seen.headers["user-agent"] == f"mp2/{__version__}"
    assert seen.headers["x-more"] == "yes"
    assert (context.attempts, context.replies) == (1, {"fresh"})


def test_secrets_reach_the_server_and_the_user_agent_can_be_set(server, bench):
    context = bench.context()
    url = server.route("/rows", Json(ROWS), needs=(token(KEY, param="apikey"), user_agent()))
    headers = {"User-Agent": "Firm ops@example.com"}
    context.http.get(
        url, params={"a": "1"}, secret_params={"apikey": KEY}, headers=headers, parse=data
    )
    assert server.requests()[0].query == {"a": "1", "apikey": KEY}
    assert failure(context, url, headers=headers).code == "unauthorized"
    assert failure(context, url, secret_params={"apikey": KEY}).code == "forbidden"
    assert server.n_requests() == 3  # neither is tried again


def test_a_form_with_a_user_and_then_a_bearer_token(server, bench):
    context = bench.context()
    login = server.route("/token", Json({"access_token": "t0ken-of-today"}))
    assert context.http.post(
        login, form={"grant_type": "x"}, auth=("id", KEY), parse=lambda reply: reply.json()
    ) == {"access_token": "t0ken-of-today"}
    (seen,) = server.requests()
    assert (seen.method, seen.form) == ("POST", {"grant_type": "x"})
    assert (
        seen.headers["authorization"] == f"Basic {base64.b64encode(f'id:{KEY}'.encode()).decode()}"
    )
    url = server.route("/rows", Json(ROWS), needs=bearer(KEY))
    assert context.http.get(url, headers={"Authorization": f"Bearer {KEY}"}, parse=data) == [
        1,
        2,
        3,
    ]
    assert failure(context, url).code == "forbidden"


ERROR_CODES = {
    400: "bad_request",
    401: "unauthorized",
    402: "forbidden",
    403: "forbidden",
    404: "bad_request",
}
ERROR_CODES |= {408: "unavailable", 410: "bad_request", 422: "bad_request"}


@pytest.mark.parametrize(
    "parse",
    [data, lambda reply: reply.json(), lambda reply: reply.json()["rows"][99], lambda reply: []],
)
def test_an_error_status_is_an_error_for_any_parse(server, bench, parse):
    for status, code in ERROR_CODES.items():
        for body in ("<html>no</html>", '{"rows": []}'):
            context = bench.context()
            error = failure(context, server.route("/rows", Status(status, body)), parse=parse)
            assert (error.code, str(error), context.attempts) == (
                code,
                f"HTTP {status} from 127.0.0.1",
                1,
            )


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "rate_limited"), (500, "unavailable"), (502, "unavailable"), (503, "unavailable")],
)
def test_what_may_pass_is_tried_again(server, bench, status, code):
    context = bench.context()
    url = server.route("/rows", Status(status), Status(status), Json(ROWS))
    assert context.http.get(url, parse=data) == [1, 2, 3]
    assert (bench.slept, context.attempts) == ([0.25, 0.5], 3)
    error = failure(context, server.route("/down", Status(status)))
    assert (error.code, str(error), context.attempts) == (code, f"HTTP {status} from 127.0.0.1", 7)


def test_parse_can_make_an_error_more_precise(server, bench):
    def parse(reply):
        if b"Request Rate Threshold Exceeded" in reply.body:
            raise SourceError("rate_limited", "the address is limited", retry_after_s=600.0)
        if b"sign up" in reply.body:
            raise SourceError("unauthorized", "the token is empty")
        return data(reply)

    context = bench.context()
    error = failure(
        context,
        server.route("/sec", Status(403, "<h1>Request Rate Threshold Exceeded</h1>")),
        parse=parse,
    )
    assert (error.code, error.retry_after_s, str(error)) == (
        "rate_limited",
        600.0,
        "the address is limited",
    )
    error = failure(
        context,
        server.route("/fh", Status(429, "API limit reached. Please sign up", {}, "text/plain")),
        parse=parse,
    )
    assert error.code == "unauthorized"
    assert context.attempts == 2


def test_errors_with_status_200_are_what_parse_says(server, bench):
    def parse(reply):
        values = reply.json()
        if "Information" in values:
            burst = "per second" in values["Information"]
            raise SourceError(
                "rate_limited",
                values["Information"],
                retry_after_s=None if burst else 3600.0,
                burst=burst,
            )
        return values["rows"]

    context = bench.context()
    url = server.route("/burst", Json({"Information": "1 request per second"}), Json(ROWS))
    assert context.http.get(url, parse=parse, ttl_s=60) == [1, 2, 3]
    assert bench.slept == [1.1]
    error = failure(
        context, server.route("/day", Json({"Information": "25 per day"})), parse=parse, ttl_s=60
    )
    assert (error.code, error.retry_after_s) == ("rate_limited", 3600.0)
    assert server.n_requests("/day") == 1


@pytest.mark.parametrize(
    "reply",
    [
        Truncated(ROWS),
        Status(200, "<html>hello</html>"),
        Json([1]),
        Json({"other": 1}),
        Status(204),
        Redirect(""),
        Status(200, b"\x1f\x8bjunk", {"Content-Encoding": "gzip"}),
        Status(200, b"{}", {"Content-Encoding": "br"}),
        Status(200, Gzip(ROWS).body[:-16], {"Content-Encoding": "gzip"}),
    ],
)
def test_responses_of_the_wrong_kind(server, bench, reply):
    context = bench.context()
    assert failure(context, server.route("/rows", reply)).code == "bad_payload"
    assert context.attempts == 1


def test_what_parse_returns_has_to_be_json_to_be_kept(server, bench):
    url = server.route("/rows", Json(ROWS))
    assert failure(bench.context(), url, parse=lambda reply: {1, 2}, ttl_s=60).code == "bad_payload"
    assert (
        failure(bench.context(), url, parse=lambda reply: float("nan"), ttl_s=60).code
        == "bad_payload"
    )


@pytest.mark.parametrize("reply", [Huge(), Huge(says_length=False), GzipBomb(), Gzip(ROWS)])
def test_a_large_body_is_refused_before_it_is_held(server, bench, reply):
    error = failure(bench.context(), server.route("/rows", reply), max_bytes=10)
    assert (error.code, str(error)) == ("bad_payload", "the body is larger than 10 bytes")


def test_a_body_of_just_the_allowed_size_and_a_large_error_page(server, bench):
    assert bench.context().http.get(
        server.route("/rows", Gzip(ROWS)), parse=data, max_bytes=19
    ) == [1, 2, 3]
    assert (
        failure(
            bench.context(), server.route("/no", Status(404, b"x" * 1_000_000)), max_bytes=10
        ).code
        == "bad_request"
    )


# --- connections that break


@pytest.mark.parametrize("reply", [Reset(), Reset(after_headers=False)])
def test_a_broken_connection_is_tried_again(server, bench, reply):
    context = bench.context()
    assert context.http.get(server.route("/rows", reply, Json(ROWS)), parse=data) == [1, 2, 3]
    error = failure(context, server.route("/broken", reply))
    assert (error.code, server.n_requests("/broken")) == ("unavailable", 4)


def test_a_closed_port(bench):
    with StubServer() as gone:
        url = gone.url
    error = failure(bench.context(), url)
    assert error.code == "unavailable"
    assert "no response from 127.0.0.1" in str(error)


def test_names_of_hosts(server, bench, monkeypatch):
    real, known = socket.getaddrinfo, {}

    def look_up(host, port, *rest, **options):
        if host in known:
            return [(2, 1, 6, "", (address, port)) for address in known[host]]
        if host == "example.invalid":
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server.route("/rows", Json(ROWS))
    url = f"http://example.invalid:{server.port}/rows"
    assert "Name or service not known" in str(failure(bench.context(), url))
    known["example.invalid"] = ["127.0.0.2", "127.0.0.1"]  # the first is not listening
    assert bench.context().http.get(url, parse=data) == [1, 2, 3]
    assert server.n_requests() == 1


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "127.0.0.1/x",
        "http://",
        "//x/y",
        "http://a:b@127.0.0.1/",
    ],
)
def test_addresses_that_are_rejected(bench, url):
    assert failure(bench.context(), url).code == "bad_request"


@pytest.mark.parametrize(
    "headers",
    [{"X-Key": f"{KEY}\n"}, {"X-Key": f"{KEY}é"}, {"X-Key": f"{KEY}\u2028"}, {"X Key": KEY}],
)
def test_headers_that_cannot_be_sent_are_not_shown(server, bench, headers):
    error = failure(bench.context(), server.route("/rows", Json(ROWS)), headers=headers)
    assert error.code == "bad_request"
    assert KEY not in repr(error)


def test_certificates_are_checked(bench, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    tls_context.cache_clear()
    with StubServer(tls=True) as server:
        url = server.route("/rows", Json(ROWS), Silence())
        error = failure(bench.context(bench.client()), url)
        assert (error.code, "CERTIFICATE_VERIFY_FAILED" in str(error), server.n_requests()) == (
            "unavailable",
            True,
            0,
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        tls_context.cache_clear()
        client = bench.client()
        assert bench.context(client).http.get(url, parse=data) == [1, 2, 3]
        assert failure(bench.context(client, timeout_s=0.2), url).code == "timeout"
    tls_context.cache_clear()


# --- deadlines


HANGING = [Silence(), SlowHeaders(), Trickle(), Trickle(status=500), Stalled()]
"""No response, trickled headers, trickled bodies, a body that begins and then stops."""


@pytest.mark.parametrize(
    "reply",
    [HANGING[0], *(pytest.param(reply, marks=pytest.mark.slow) for reply in HANGING[1:])],
    ids=repr,
)
def test_a_call_ends_in_time(server, bench, reply):
    context = bench.context(timeout_s=0.5)
    error = failure(context, server.route("/rows", reply))
    assert (error.code, str(error)) == ("timeout", "timeout after 0.5s")
    assert context.elapsed_s() < 0.5 + LATE_S
    assert context.attempts == 1


def test_a_connection_that_hangs_ends_in_time(bench, monkeypatch):
    """Connects to a socket whose queue is full: the system neither accepts nor refuses."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        context = bench.context(timeout_s=0.4)
        port = listener.getsockname()[1]
        error = failure(context, f"http://127.0.0.1:{port}/")
    assert error.code in ("timeout", "unavailable")
    assert context.elapsed_s() < 0.4 + LATE_S


@pytest.mark.parametrize("reply", HANGING, ids=repr)
def test_a_cancelled_scanner_lets_go(server, bench, reply):
    context, errors = bench.context(timeout_s=60), []
    url = server.route("/rows", reply)
    thread = threading.Thread(target=lambda: errors.append(failure(context, url)))
    thread.start()
    assert server.wait_for_requests()
    cancelled_s = context.elapsed_s()
    context.cancelled.set()
    thread.join(20)
    assert not thread.is_alive()
    assert [error.code for error in errors] == ["timeout"]
    assert context.elapsed_s() < cancelled_s + LATE_S


def test_nothing_is_sent_when_the_time_is_over(server, bench):
    context = bench.context()
    context.cancelled.set()
    assert failure(context, server.route("/rows", Json(ROWS))).code == "timeout"
    assert server.n_requests() == 0


@pytest.mark.parametrize("in_words", [False, True])
def test_retry_after_is_honoured_or_no_retry_starts(server, bench, in_words):
    def after(seconds):
        date = format_datetime(datetime.fromtimestamp(bench.now + seconds, UTC), usegmt=True)
        return Status(429, headers={"Retry-After": date if in_words else str(seconds)})

    context = bench.context()
    url = server.route("/soon", after(7), Json(ROWS))
    assert context.http.get(url, parse=data) == [1, 2, 3]
    assert bench.slept == [7]
    error = failure(context, server.route("/later", after(99)))
    assert (error.code, error.retry_after_s, bench.slept) == ("rate_limited", 99, [7])
    assert server.n_requests("/later") == 1


def test_a_reset_in_seconds_since_the_epoch_is_kept(server, bench):
    limited = Status(
        429, headers={"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": f"{bench.now + 5:.0f}"}
    )
    assert bench.context().http.get(server.route("/rows", limited, Json(ROWS)), parse=data) == [
        1,
        2,
        3,
    ]
    assert bench.slept == [5]


def test_a_stop_wakes_the_wait_for_another_try(server, bench):
    asleep = threading.Event()

    def sleep(cancelled, seconds):
        asleep.set()
        assert cancelled.wait(20)

    context, errors = bench.context(bench.client(sleep=sleep)), []
    url = server.route("/rows", Status(503))
    thread = threading.Thread(target=lambda: errors.append(failure(context, url)))
    thread.start()
    assert asleep.wait(20)
    context.cancelled.set()
    thread.join(20)
    assert [error.code for error in errors] == ["timeout"]
    assert server.n_requests() == 1


def test_a_reset_that_belongs_to_another_limit_holds_up_no_other_try(server, bench):
    failing = Status(500, headers={"X-Ratelimit-Reset": "600"})
    assert bench.context().http.get(server.route("/rows", failing, Json(ROWS)), parse=data) == [
        1,
        2,
        3,
    ]
    assert bench.slept == [0.25]


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_server_keeps_what_belongs_to_it(server, bench, status):
    server.route("/new", Json(ROWS), needs=token(KEY, param="apikey"))
    url = server.route("/old", Redirect(f"/new?page=2&apikey={KEY}", status))
    value = bench.context().http.get(
        url, params={"a": "1"}, secret_params={"apikey": KEY}, headers={"X-A": "b"}, parse=data
    )
    assert value == [1, 2, 3]
    seen = server.requests("/new")[0]
    assert seen.query == {"page": "2", "apikey": KEY}
    assert seen.headers["x-a"] == "b"


def test_another_server_gets_no_secrets(server, bench):
    with StubServer() as other:
        url = server.route("/old", Redirect(other.route("/new", Json(ROWS)) + f"?apikey={KEY}"))
        headers = {"Authorization": f"Bearer {KEY}", "Cookie": KEY, "User-Agent": "me"}
        assert bench.context().http.get(
            url, secret_params={"apikey": KEY}, headers=headers, parse=data
        ) == [1, 2, 3]
        (seen,) = other.requests()
    assert KEY not in repr(seen)
    assert not {"authorization", "cookie"} & set(seen.headers)
    assert seen.headers["user-agent"] == "me"


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "javascript:1",
        "http://u:p@127.0.0.1/",
        f"/p/{KEY}",
    ],
)
def test_redirects_that_are_not_followed(server, bench, location):
    error = failure(
        bench.context(), server.route("/old", Redirect(location)), secret_params={"apikey": KEY}
    )
    assert error.code == "bad_payload"
    assert "redirects to an address" in str(error)
    assert KEY not in str(error)
    assert server.n_requests() == 1


def test_redirects_end(server, bench):
    assert "more than 3 times" in str(
        failure(bench.context(), server.route("/loop", Redirect("/loop")))
    )
    assert server.n_requests() == 4


def test_a_form_is_not_sent_elsewhere(server, bench):
    url = server.route("/form", Redirect("/rows", 307))
    assert bench.context().http.post(url, form={"a": "b"}, parse=lambda reply: reply.status) == 307
    assert server.n_requests() == 1


def test_cookies_are_not_kept(server, bench):
    context, url = (
        bench.context(),
        server.route("/rows", Json(ROWS, headers={"Set-Cookie": "session=1; Path=/"})),
    )
    for _ in range(2):
        context.http.get(url, parse=data)
    assert "cookie" not in server.requests()[1].headers


# --- rates


def test_rates_hold_over_tries_scanners_and_processes(server, bench):
    url = server.route("/rows", Status(503), Json(ROWS))
    assert bench.context(scanner=Limited).http.get(url, parse=data) == [1, 2, 3]
    assert bench.slept == [0.25, pytest.approx(0.751, abs=0.01)]
    bench.now += 10
    assert bench.context(bench.client(), scanner=Limited).http.get(url, parse=data) == [1, 2, 3]
    bench.now += 10
    error = failure(bench.context(bench.client(), scanner=Limited), url)
    assert error.code == "rate_limited"
    assert error.retry_after_s == pytest.approx(86400 - 21, abs=1)
    assert "127.0.0.1 allows (1/s, 3/day)" in str(error)
    assert server.n_requests() == 3
    assert len(bench.slept) == 2  # an exhausted quota is reported at once


def test_a_rate_that_cannot_be_read_is_the_scanners_fault(bench):
    class Wrong(Quiet):
        rates = {"example.com": ("often",)}  # noqa: RUF012

    with pytest.raises(InputError, match="'often' is not a rate"):
        bench.context(scanner=Wrong).http  # noqa: B018


# --- the cache


def test_a_second_run_makes_no_request(server, bench):
    url = server.route("/rows", Json(ROWS), Status(500))
    for kind in ("fresh", "cached"):
        context = bench.context(bench.client())
        assert context.http.get(
            url, params={"a": "1"}, secret_params={"k": KEY}, parse=data, ttl_s=60
        ) == [1, 2, 3]
        assert context.replies == {kind}
    assert server.n_requests() == 1


def test_everyone_gets_a_copy(server, bench):
    context, url = bench.context(), server.route("/rows", Json(ROWS))
    for _ in range(3):
        value = context.http.get(url, parse=lambda reply: tuple(data(reply)), ttl_s=60)
        assert value == [1, 2, 3]
        value.clear()


def test_an_old_entry_is_served_when_the_source_fails_or_hangs(server, bench):
    url = server.route(
        "/rows", Json(ROWS), Status(503), Status(503), Status(503), Status(503), Silence()
    )
    bench.context().http.get(url, parse=data, ttl_s=60)
    bench.now += 61
    # Also on a busy machine the last request reaches the server within the shorter time.
    for timeout_s in (30, 1.0):
        context = bench.context(timeout_s=timeout_s)
        assert context.http.get(url, parse=data, ttl_s=60) == [1, 2, 3]
        assert context.replies == {"stale"}
        assert context.remaining_s() > 0 or timeout_s == 1.0
    assert server.n_requests() == 6


def test_threads_that_want_the_same_share_one_request(server, bench):
    gate, client = threading.Event(), bench.client()
    held = Held(Json(ROWS), gate)
    url, got, contexts = server.route("/rows", held), [], [bench.context(client) for _ in range(6)]

    def go(context):
        got.append(context.http.get(url, parse=data, ttl_s=60))

    threads = [threading.Thread(target=go, args=(context,)) for context in contexts]
    for thread in threads:
        thread.start()
    assert held.entered.wait(20)
    gate.set()
    for thread in threads:
        thread.join(20)
    assert got == [[1, 2, 3]] * 6
    assert server.n_requests() == 1
    assert sorted(kind for context in contexts for kind in context.replies) == ["cached"] * 5 + [
        "fresh"
    ]


# --- leaks

FORMS = (
    KEY,
    "pl4nted%2Fkey%2Bwith%3Dsigns",
    "pl4nted/key%2Bwith%3Dsigns",
    base64.b64encode(f"me:{KEY}".encode()).decode(),
)
ECHO = f"the key {KEY} of me is not good"


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        Json({"rows": [ECHO]}),
        Json({"error": ECHO}, 401),
        Status(429, ECHO),
        Status(500, ECHO),
        Status(200, ECHO),
        Reset(),
        Truncated([ECHO]),
        Redirect(f"/other?apikey={KEY}"),
        Redirect(f"/{KEY}"),
        Status(302, "", {"Location": f"http://{KEY}.invalid/"}),
        Silence(),
        Json(ROWS, headers={"X-Echo": KEY}),
        Status(200, ECHO, {"Content-Encoding": KEY}),
    ],
)
@pytest.mark.parametrize("ttl_s", [0, 60])
def test_no_key_is_seen_anywhere(server, bench, caplog, reply, ttl_s):
    def parse(value):
        if value.status == 401 or b"good" in value.body:
            raise SourceError("unauthorized", value.text())
        return value.json()["rows"]

    caplog.set_level(logging.DEBUG)
    context = bench.context(
        timeout_s=0.5 if isinstance(reply, Silence) else 30.0, scanner=Limited if ttl_s else Quiet
    )
    url = server.route("/rows", reply)
    texts = [repr(context.http), repr(bench.clients[-1]), str(vars(bench.clients[-1]))]
    headers, secret_params = (
        {"Authorization": f"Bearer {KEY}", "X-Finnhub-Token": KEY},
        {"apikey": KEY},
    )
    calls = (
        lambda: context.http.get(
            url, headers=headers, secret_params=secret_params, parse=parse, ttl_s=ttl_s
        ),
        lambda: context.http.post(
            url, auth=("me", KEY), form={"client_secret": KEY}, parse=parse, ttl_s=ttl_s
        ),
    )
    for call in calls:
        try:
            call()
        except SourceError as error:
            texts += seen_of(error)
    assert server.n_requests() >= 1
    assert KEY in repr(server.requests())
    texts += [*context.logs, caplog.text, *(repr(vars(record)) for record in caplog.records)]
    for client in bench.clients:
        client.close()
    files = list(bench.folder.iterdir())
    assert bench.folder / FILE_NAME in files
    texts += [file.read_bytes().decode("latin-1") for file in files]
    assert [text for text in texts if any(form in text for form in FORMS)] == []


def seen_of(error):
    """Return every text in which an error can be displayed."""
    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    for link in chain:
        yield from (str(link), repr(link), repr(link.args), repr(vars(link)))
    yield "".join(traceback.format_exception(error))


def test_a_key_is_redacted_before_a_value_is_returned_and_kept(server, bench):
    context, url = (
        bench.context(),
        server.route("/rows", Json({"rows": [ECHO]}, headers={"X-Echo": KEY})),
    )
    for _ in range(2):
        value = context.http.get(url, secret_params={"apikey": KEY}, parse=data, ttl_s=60)
        assert value == ["the key *** of me is not good"]
    assert server.n_requests() == 1
    assert (
        context.http.get(
            url, secret_params={"apikey": KEY}, parse=lambda reply: reply.headers["x-echo"]
        )
        == "***"
    )


def test_a_value_with_a_short_key_in_it_is_returned_but_not_kept(server, bench):
    context, url = bench.context(), server.route("/rows", Json({"rows": ["of rows"]}))
    for _ in range(2):
        assert context.http.get(url, secret_params={"apikey": "rows"}, parse=data, ttl_s=60) == [
            "of rows"
        ]
    assert server.n_requests() == 2


def test_secrets_of_one_call_are_redacted_in_the_next(server, bench):
    context = bench.context()
    basic, token = base64.b64encode(b"the-client:the-secret").decode(), "t0ken-of-today"
    login = server.route("/token", Json({"access_token": token}))
    url = server.route(
        "/rows", Json({"rows": [f"Basic {basic}, Bearer {token}, the-client, the-secret"]})
    )
    context.http.post(login, auth=("the-client", "the-secret"), parse=lambda reply: reply.json())
    headers = {"Authorization": f"Bearer {token}"}
    assert context.http.get(url, headers=headers, parse=data) == ["Basic ***, ***, ***, ***"]
    assert context.redacted(f"{basic} {token}") == "*** ***"


def up(reply: Reply):
    return reply.json()["up"]


def test_a_lone_surrogate_can_be_kept(server, bench):
    url = server.route("/rows", Status(200, r'{"rows": ["cut \ud83d", "b\u00e4r"]}'))
    for _ in range(2):
        context = bench.context(bench.client())
        assert context.http.get(url, parse=data, ttl_s=60) == ["cut \ud83d", "bär"]
    assert server.n_requests() == 1


def test_each_parse_has_its_own_entries(server, bench, monkeypatch):
    url, client = server.route("/rows", Json({"up": [1], "rows": [2]})), bench.client()
    contexts = {
        name: bench.context(client, scanner=type(name, (Quiet,), {"name": name}))
        for name in ("one", "other")
    }

    def of(name, key):
        return contexts[name].http.get(url, parse=lambda reply: reply.json()[key], ttl_s=60)

    assert [
        contexts[name].http.get(url, parse=parse, ttl_s=60)
        for parse in (up, data)
        for name in contexts
    ] == [[1], [1], [2], [2]]
    assert server.n_requests() == 2  # a function of a module is the same for all scanners
    assert (of("one", "up"), of("other", "rows")) == ([1], [2])
    assert server.n_requests() == 4
    monkeypatch.setattr(net, "__version__", "0.0.0")
    assert contexts["one"].http.get(url, parse=up, ttl_s=60) == [1]
    assert server.n_requests() == 5


def test_each_value_of_a_secret_parameter_has_its_own_entries(server, bench):
    context, url = (
        bench.context(),
        server.route("/rows", Json({"rows": ["mine"]}), Json({"rows": ["yours"]})),
    )
    keys = [KEY, KEY[::-1], KEY]
    got = [
        context.http.get(url, secret_params={"apikey": key}, parse=data, ttl_s=60) for key in keys
    ]
    assert got == [["mine"], ["yours"], ["mine"]]


def test_ordinary_headers_do_not_keep_values_out_of_the_cache(server, bench):
    context, url = bench.context(), server.route("/rows", Json({"rows": [True, "Bearer"]}))
    for _ in range(2):
        context.http.get(
            url, headers={"X-Flag": "true", "Authorization": "Bearer " + KEY}, parse=data, ttl_s=60
        )
    assert server.n_requests() == 1


def test_the_libraries_may_log_the_calls_of_others(server, bench, caplog):
    caplog.set_level(logging.DEBUG)
    url = server.route("/rows", Json(ROWS))
    bench.context().http.get(url, parse=data)
    assert not [one for one in caplog.records if one.name.startswith(("httpx2", "httpcore2"))]
    with httpx2.Client(trust_env=False) as client:
        client.get(url)
    assert "httpx2" in {one.name for one in caplog.records}


# --- nothing lingers


def test_a_scanner_shares_its_connections_and_they_are_closed(server, bench):
    before = set(threading.enumerate())
    with closing(Client()) as client:
        url = server.route("/rows", Json(ROWS))
        context = bench.context(client)
        for _ in range(5):
            assert context.http.get(url, parse=data) == [1, 2, 3]
        assert server.n_connections == 1
        context.cancelled.set()
    assert server.all_gone(10)
    for thread in (
        set(threading.enumerate()) - before
    ):  # the threads of the server's connections end by themselves
        thread.join(20)
        assert not thread.is_alive()


def test_closing_the_client_ends_the_calls_of_scanners_that_were_given_up(server, bench):
    client = bench.client(sleep=threading.Event.wait)
    context, errors = bench.context(client, timeout_s=None), []
    url = server.route("/rows", Silence())
    thread = threading.Thread(target=lambda: errors.append(failure(context, url)))
    thread.start()
    assert server.wait_for_requests()
    context.cancelled.set()
    client.close()
    thread.join(20)
    assert not thread.is_alive()
    assert errors[0].code in ("timeout", "unavailable")


def test_a_proxy_of_the_environment_is_used_but_not_for_hosts_it_excludes(
    server, bench, monkeypatch
):
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//user:pass@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    context = bench.context(bench.client())
    assert context.http.get(server.route("/rows", Json(ROWS)), parse=data) == [1, 2, 3]
    assert context.http.get("http://example.invalid/rows", parse=data) == [1, 2, 3]
    assert [seen.path for seen in server.requests()] == ["/rows", "/rows"]
    direct, proxied = (seen.headers for seen in server.requests())
    assert "proxy-authorization" not in direct
    assert proxied["host"] == "example.invalid"
    assert proxied["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_an_unusable_proxy_is_reported_without_its_password(bench, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    error = failure(bench.context(bench.client()), "http://example.invalid/")
    assert error.code == "unavailable"
    assert str(error) == (
        "invalid proxy URL in HTTP_PROXY/HTTPS_PROXY: expected http:// or https://"
    )
