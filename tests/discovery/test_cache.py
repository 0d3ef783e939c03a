"""The cache of responses: fresh, cached, stale; one thread makes the request while others wait."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest

from mp2.discovery.http.cache import STALE_S, Cache
from mp2.discovery.http.quota import Quotas, parse_rate
from mp2.discovery.http.request import Request, checked_url
from mp2.discovery.http.state import FILE_NAME, StateFile
from mp2.errors import SourceError

KEY = "key of a request"


@pytest.fixture
def open_file(tmp_path):
    """Opens the file, as consecutive processes would; no warning is expected."""
    opened = []

    def make():
        opened.append(StateFile(tmp_path, warn=pytest.fail))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


class WaitingCache(Cache):
    """Waits for other threads as long as it takes, unless a test says otherwise."""

    def fetch(self, *given, wait=threading.Event.wait, **options):
        return super().fetch(*given, wait=wait, **options)


@pytest.fixture
def open_cache(open_file, clock):
    return lambda **options: WaitingCache(open_file(), clock=clock, **options)


@pytest.fixture
def in_memory(clock):
    file = StateFile()
    yield WaitingCache(file, clock=clock)
    file.close()


def never():
    pytest.fail("requested although there was an entry")


def failing(code="unavailable"):
    def make():
        raise SourceError(code, "down")

    return make


def test_keys_ignore_the_order_of_parameters_and_nothing_else():
    def key_of(method, address, parser="p", document=None):
        request = Request(method, checked_url(address), {}, max_bytes=1, document=document)
        return request.cache_key(parser)

    key = key_of("GET", "http://x/y?a=1&b=2")
    assert key == key_of("GET", "http://x/y?b=2&a=1")
    others = [
        ("POST", "http://x/y?a=1&b=2"),
        ("GET", "http://x/z?a=1&b=2"),
        ("GET", "http://x/y?a=2&b=2"),
        ("GET", "http://x/y?a=1&b=2", "q"),
        ("POST", "http://x/y?a=1&b=2", "p", {"a": 1}),
        ("POST", "http://x/y?a=1&b=2", "p", {"a": 2}),
    ]
    assert len({key, *(key_of(*other) for other in others)}) == 7
    assert len(key) == 64


def test_an_entry_is_fresh_for_its_time(open_cache, clock):
    cache = open_cache()
    assert cache.fetch(KEY, 60, lambda: "1") == ("1", "fresh")
    clock.now += 59
    assert cache.fetch(KEY, 60, never) == ("1", "cached")
    assert cache.fetch(KEY, 30, lambda: "2") == ("2", "fresh")  # a shorter maximum age
    clock.now += 60
    assert cache.fetch(KEY, 3600, lambda: "3") == (
        "3",
        "fresh",
    )  # no longer than its writer allows


def test_the_next_process_makes_no_request(open_cache):
    open_cache().fetch(KEY, 60, lambda: '"é"')
    assert open_cache().fetch(KEY, 60, never) == ('"é"', "cached")


def test_an_entry_renewed_by_another_process_is_found(open_cache, clock):
    first, second = open_cache(), open_cache()
    first.fetch(KEY, 60, lambda: "1")
    clock.now += 61
    second.fetch(KEY, 60, lambda: "2")
    assert first.fetch(KEY, 60, never) == ("2", "cached")


@pytest.mark.parametrize("code", ["unavailable", "rate_limited", "timeout", "bad_payload"])
@pytest.mark.parametrize("same_process", [True, False])
def test_an_old_entry_stands_in_for_a_source_that_fails(open_cache, clock, code, same_process):
    cache = open_cache()
    cache.fetch(KEY, 60, lambda: "1")
    clock.now += 60 + STALE_S - 1
    cache = cache if same_process else open_cache()
    assert cache.fetch(KEY, 60, failing(code)) == ("1", "stale")
    clock.now += 1
    with pytest.raises(SourceError, match="down"):
        cache.fetch(KEY, 60, failing(code))


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "bad_request", "missing_key"])
def test_lasting_errors_are_raised(open_cache, clock, code):
    cache = open_cache()
    cache.fetch(KEY, 60, lambda: "1")
    clock.now += 61
    with pytest.raises(SourceError, match="down"):
        cache.fetch(KEY, 60, failing(code))


@pytest.mark.parametrize("same_process", [True, False])
def test_a_clock_that_was_set_back_makes_nothing_immortal(open_cache, clock, same_process):
    cache = open_cache()
    clock.now += 365 * 86400
    cache.fetch(KEY, 60, lambda: "1")
    clock.now -= 365 * 86400
    cache = cache if same_process else open_cache()
    with pytest.raises(SourceError):
        cache.fetch(KEY, 60, failing())
    assert cache.fetch(KEY, 60, lambda: "2") == ("2", "fresh")


def test_what_may_not_be_kept_is_not(open_cache):
    cache = open_cache()
    assert cache.fetch(KEY, 60, lambda: '"k3y"', may_keep=lambda body: "k3y" not in body) == (
        '"k3y"',
        "fresh",
    )
    assert cache.fetch(KEY, 60, lambda: "2") == ("2", "fresh")


def test_the_newest_entries_are_kept(open_cache, clock, tmp_path):
    cache = open_cache(max_bytes=35)
    for number in range(6):
        clock.now += 1
        cache.fetch(str(number), 60, lambda: json.dumps("x" * 8))
    assert keys_in(tmp_path) == {"3", "4", "5"}
    clock.now += 60 + STALE_S + 1
    cache.fetch("new", 60, lambda: "1")
    assert keys_in(tmp_path) == {"new"}


def keys_in(folder):
    connection = sqlite3.connect(folder / FILE_NAME)
    try:
        return {key for (key,) in connection.execute("SELECT key FROM response")}
    finally:
        connection.close()


def test_clearing_the_cache_keeps_the_quotas(open_file, clock):
    cache = WaitingCache(open_file(), clock=clock)
    quotas = Quotas(open_file(), clock=clock)
    quotas.limit("host", [parse_rate("1/day")])
    assert quotas.take("host") == 0
    cache.fetch(KEY, 60, lambda: "1")
    cache.clear()
    assert cache.fetch(KEY, 60, lambda: "2") == ("2", "fresh")
    assert quotas.take("host") > 0


# --- one requests


def run_threads(*targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join_all(threads):
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_of_many_threads_with_the_same_request_one_sends_it(in_memory):
    cache, gate, waiting, made, got = in_memory, threading.Event(), threading.Semaphore(0), [], []

    def wait(done):
        waiting.release()
        assert done.wait(20)

    def make():
        made.append(1)
        assert gate.wait(20)
        return "1"

    def want():
        got.append(cache.fetch(KEY, 60, make, wait=wait))

    threads = run_threads(*[want] * 8)
    for _ in range(7):
        assert waiting.acquire(timeout=20)
    assert cache.fetch("other", 60, lambda: "2") == ("2", "fresh")  # others are not blocked
    gate.set()
    join_all(threads)
    assert len(made) == 1
    assert sorted(got) == [("1", "cached")] * 7 + [("1", "fresh")]


def test_a_thread_can_give_up_waiting_and_the_next_one_follows_when_the_first_fails(in_memory):
    cache, got = in_memory, []
    gate, entered, waited = threading.Event(), threading.Event(), threading.Event()

    def fail():
        entered.set()
        assert gate.wait(20)
        raise SourceError("unavailable", "down")

    def give_up(done):
        raise SourceError("timeout", "late")

    def wait(done):
        waited.set()
        assert done.wait(20)

    def first():
        with pytest.raises(SourceError, match="down"):
            cache.fetch(KEY, 60, fail)
        got.append("failed")

    threads = run_threads(first)
    assert entered.wait(20)
    with pytest.raises(SourceError, match="late"):
        cache.fetch(KEY, 60, never, wait=give_up)
    threads += run_threads(lambda: got.append(cache.fetch(KEY, 60, lambda: "2", wait=wait)))
    assert waited.wait(20)
    gate.set()
    join_all(threads)
    assert sorted(map(str, got)) == sorted(["failed", str(("2", "fresh"))])


def test_an_old_entry_serves_a_thread_that_cannot_wait(in_memory, clock):
    cache, gate, entered = in_memory, threading.Event(), threading.Event()

    def make():
        entered.set()
        assert gate.wait(20)
        return "2"

    cache.fetch(KEY, 60, lambda: "1")
    clock.now += 61
    threads = run_threads(lambda: cache.fetch(KEY, 60, make))
    assert entered.wait(20)

    def give_up(done):
        raise SourceError("timeout", "late")

    assert cache.fetch(KEY, 60, never, wait=give_up) == ("1", "stale")
    gate.set()
    join_all(threads)
