"""The cache of answers: fresh, cached, stale; one asks while others wait; a bad file never matters."""

from __future__ import annotations

import json
import sqlite3
import stat
import sys
import threading
from importlib import import_module

import pytest

from mp2.discovery import http
from mp2.discovery.http.cache import STALE_S, Cache, key_of, open_private
from mp2.errors import MissingExtraError, SourceError

KEY = key_of("GET", "http://x/y", [("a", "1")])


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "cache.db"


@pytest.fixture
def open_cache(path, clock):
    """Opens caches on the file, as processes one after the other would; no warning is expected."""
    opened = []

    def make(**options):
        opened.append(Cache(path, clock=clock, warn=pytest.fail, **options))
        return opened[-1]

    yield make
    for cache in opened:
        cache.close()


def never():
    pytest.fail("asked although there was an answer")


def failing(code="unavailable"):
    def make():
        raise SourceError(code, "down")

    return make


def test_keys_ignore_the_order_of_parameters_and_nothing_else():
    assert key_of("GET", "http://x/y", [("a", "1")]) == KEY
    assert key_of("GET", "u", [("a", "1"), ("b", "2")]) == key_of(
        "GET", "u", [("b", "2"), ("a", "1")]
    )
    others = [
        ("POST", "http://x/y", [("a", "1")]),
        ("GET", "http://x/z", [("a", "1")]),
        ("GET", "http://x/y", [("a", "2")]),
    ]
    assert len({KEY, *(key_of(*other) for other in others)}) == 4
    assert len(KEY) == 64


def test_an_answer_is_kept_for_its_time(open_cache, clock):
    cache = open_cache()
    assert cache.fetch(KEY, 60, lambda: "1") == ("1", "fresh")
    clock.now += 59
    assert cache.fetch(KEY, 60, never) == ("1", "cached")
    assert cache.fetch(KEY, 30, lambda: "2") == ("2", "fresh")  # a reader who wants it newer
    clock.now += 60
    assert cache.fetch(KEY, 3600, lambda: "3") == (
        "3",
        "fresh",
    )  # no longer than its writer allowed


def test_the_next_process_asks_nobody(open_cache):
    open_cache().fetch(KEY, 60, lambda: '"é"')
    assert open_cache().fetch(KEY, 60, never) == ('"é"', "cached")


def test_an_answer_another_process_renewed_is_found(open_cache, clock):
    first, second = open_cache(), open_cache()
    first.fetch(KEY, 60, lambda: "1")
    clock.now += 61
    second.fetch(KEY, 60, lambda: "2")
    assert first.fetch(KEY, 60, never) == ("2", "cached")


@pytest.mark.parametrize("code", ["unavailable", "rate_limited", "timeout", "bad_payload"])
@pytest.mark.parametrize("same_process", [True, False])
def test_an_old_answer_stands_in_for_a_source_that_fails(open_cache, clock, code, same_process):
    cache = open_cache()
    cache.fetch(KEY, 60, lambda: "1")
    clock.now += 60 + STALE_S - 1
    cache = cache if same_process else open_cache()
    assert cache.fetch(KEY, 60, failing(code)) == ("1", "stale")
    clock.now += 1
    with pytest.raises(SourceError, match="down"):
        cache.fetch(KEY, 60, failing(code))


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "bad_request", "missing_key"])
def test_lasting_errors_are_told(open_cache, clock, code):
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


def test_what_may_not_be_kept_is_not(open_cache, path):
    cache = open_cache()
    assert cache.fetch(KEY, 60, lambda: '"k3y"', may_keep=lambda body: "k3y" not in body) == (
        '"k3y"',
        "fresh",
    )
    assert cache.fetch(KEY, 60, lambda: "2") == ("2", "fresh")


def test_the_file_is_private_and_bounded_to_the_newest(open_cache, clock, path):
    cache = open_cache(max_file_bytes=35, max_memory_bytes=1)
    for number in range(6):
        clock.now += 1
        cache.fetch(str(number), 60, lambda: json.dumps("x" * 8))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys_in(path) == {"3", "4", "5"}
    clock.now += 60 + STALE_S + 1
    cache.fetch("new", 60, lambda: "1")
    assert keys_in(path) == {"new"}


def keys_in(path):
    connection = sqlite3.connect(path)
    try:
        return {key for (key,) in connection.execute("SELECT key FROM answer")}
    finally:
        connection.close()


def test_memory_is_bounded_and_optional_disk_stays_optional(clock):
    cache = Cache(None, clock=clock, max_memory_bytes=10)
    cache.fetch("small", 60, lambda: "1")
    cache.fetch("large", 60, lambda: "1" * 11)
    assert cache.fetch("small", 60, never) == ("1", "cached")
    assert cache.fetch("large", 60, lambda: "2") == ("2", "fresh")


# --- one asks ----------------------------------------------------------------------------------------------------------


def run_threads(*targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join_all(threads):
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_of_many_who_want_the_same_one_asks():
    cache, gate, waiting, made, got = Cache(), threading.Event(), threading.Semaphore(0), [], []

    def make():
        made.append(1)
        assert gate.wait(20)
        return "1"

    def want():
        got.append(cache.fetch(KEY, 60, make, check=waiting.release))

    threads = run_threads(*[want] * 8)
    for _ in range(7):
        assert waiting.acquire(timeout=20)  # at least one look of somebody who waits
    assert cache.fetch("other", 60, lambda: "2") == ("2", "fresh")  # others are not held up
    gate.set()
    join_all(threads)
    assert len(made) == 1
    assert sorted(got) == [("1", "cached")] * 7 + [("1", "fresh")]


def test_who_waits_can_give_up_and_the_next_asks_when_the_first_fails():
    cache, gate, entered, waited, got = (
        Cache(),
        threading.Event(),
        threading.Event(),
        threading.Event(),
        [],
    )

    def fail():
        entered.set()
        assert gate.wait(20)
        raise SourceError("unavailable", "down")

    def give_up():
        raise SourceError("timeout", "late")

    def first():
        with pytest.raises(SourceError, match="down"):
            cache.fetch(KEY, 60, fail)
        got.append("failed")

    threads = run_threads(first)
    assert entered.wait(20)
    with pytest.raises(SourceError, match="late"):
        cache.fetch(KEY, 60, never, check=give_up)
    threads += run_threads(lambda: got.append(cache.fetch(KEY, 60, lambda: "2", check=waited.set)))
    assert waited.wait(20)
    gate.set()
    join_all(threads)
    assert sorted(map(str, got)) == sorted(["failed", str(("2", "fresh"))])


def test_an_old_answer_serves_whoever_cannot_wait(clock):
    cache, gate, entered = Cache(clock=clock), threading.Event(), threading.Event()

    def make():
        entered.set()
        assert gate.wait(20)
        return "2"

    cache.fetch(KEY, 60, lambda: "1")
    clock.now += 61
    threads = run_threads(lambda: cache.fetch(KEY, 60, make))
    assert entered.wait(20)
    assert cache.fetch(KEY, 60, never, check=failing("timeout")) == ("1", "stale")
    gate.set()
    join_all(threads)


# --- bad files ---------------------------------------------------------------------------------------------------------


def works_in_memory(path, clock):
    """The one warning of a cache whose file cannot be used."""
    warnings = []
    cache = Cache(path, clock=clock, warn=warnings.append)
    assert cache.fetch(KEY, 60, lambda: "1") == ("1", "fresh")
    assert cache.fetch(KEY, 60, never) == ("1", "cached")
    cache.close()
    (warning,) = warnings
    assert warning.startswith(f"{path}: the cache of answers is not used: ")
    return warning


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but somebody's notes" * 50, b"SQLite format 3\0" + b"\xff" * 4000],
)
def test_a_damaged_file_is_left_alone(tmp_path, clock, content):
    path = tmp_path / "cache.db"
    path.write_bytes(content)
    assert "delete it" in works_in_memory(path, clock)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path, clock):
    path = tmp_path / "cache.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE answer (of_mine)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert "another program" in works_in_memory(path, clock)
    assert path.read_bytes() == before


def test_a_directory_or_a_file_in_the_way(tmp_path, clock):
    works_in_memory(tmp_path, clock)
    (tmp_path / "file").touch()
    works_in_memory(tmp_path / "file" / "cache.db", clock)


def test_a_locked_file(path, open_cache, clock):
    open_cache().fetch("old", 60, lambda: "0")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert "locked" in works_in_memory(path, clock)
    finally:
        holder.close()


def test_a_file_damaged_under_way(path, clock):
    warnings = []
    cache = Cache(path, clock=clock, warn=warnings.append, max_memory_bytes=1)
    cache.fetch(KEY, 60, lambda: '"long enough not to stay in memory"')
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE answer")
    connection.close()
    assert cache.fetch(KEY, 60, lambda: "2") == ("2", "fresh")
    assert cache.fetch(KEY, 60, never) == ("2", "cached")
    assert len(warnings) == 1
    cache.close()
    cache.close()


def test_processes_that_make_the_file_at_once_share_it(path):
    with open_shared(path) as first, open_shared(path) as second:
        first.execute("CREATE TABLE t (a)")
        second.execute("INSERT INTO t VALUES (1)")
        assert first.execute("SELECT a FROM t").fetchall() == [(1,)]


class open_shared:  # noqa: N801  # reads as a function
    def __init__(self, path):
        self.connection = open_private(path, 7, journal_mode="WAL")

    def __enter__(self):
        return self.connection

    def __exit__(self, *error):
        self.connection.close()


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("cachetools", "cache"),
        ("httpx2", "sockets"),
        ("pyrate_limiter", "quota"),
        ("httpcore2", "client"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, module, monkeypatch):
    for name in ("cache", "quota", "sockets", "client"):
        monkeypatch.setattr(
            http, name, import_module(f"mp2.discovery.http.{name}")
        )  # so that the modules of other tests come back
        monkeypatch.delitem(sys.modules, f"mp2.discovery.http.{name}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mp2\[net\]'"):
        import_module(f"mp2.discovery.http.{module}")
