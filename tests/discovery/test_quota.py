"""Requests counted per host: several rates, threads, processes, clocks, bad files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from mp2.discovery.http.quota import Quotas
from mp2.discovery.http.retry import parse_rate

HOST = "www.example.com"


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_quotas(tmp_path, clock):
    """Opens the file, as processes one after the other would; no warning is expected."""
    opened = []

    def make(*rates, path=tmp_path / "quota.db"):
        quotas = Quotas(path, clock=clock, warn=pytest.fail)
        opened.append(quotas)
        quotas.limit(HOST, map(parse_rate, rates))
        return quotas

    yield make
    for quotas in opened:
        quotas.close()


@pytest.mark.parametrize("path", [None, "quota.db"])
def test_several_rates_at_once(open_quotas, clock, tmp_path, path):
    quotas = open_quotas("1/s", "3/day", path=path and tmp_path / path)
    assert quotas.take(HOST) == 0
    assert quotas.take(HOST) == pytest.approx(1, abs=0.01)
    for _ in range(2):
        clock.now += 1.1
        assert quotas.take(HOST) == 0
    clock.now += 1.1
    assert quotas.take(HOST) == pytest.approx(86400 - 3.3, abs=0.1)
    clock.now += quotas.take(HOST)
    assert quotas.take(HOST) == 0
    assert quotas.take("elsewhere") == 0


def test_rates_of_several_scanners_bind_together(open_quotas):
    quotas = open_quotas("5/s")
    quotas.limit(HOST, [parse_rate("2/s")])
    assert [quotas.take(HOST) for _ in range(2)] == [0, 0]
    quotas.limit(HOST, [parse_rate("9/s")])  # what was counted stays counted
    assert quotas.take(HOST) > 0
    assert list(map(str, quotas.rates(HOST))) == ["2/s"]


def test_a_daily_quota_outlives_the_process(open_quotas, clock):
    for _ in range(2):
        assert open_quotas("2/day").take(HOST) == 0
        clock.now += 1
    assert open_quotas("2/day").take(HOST) > 86000


def test_old_requests_are_swept(open_quotas, clock, tmp_path):
    open_quotas("2/s").take(HOST)
    clock.now += 10
    open_quotas("2/s").take(HOST)
    connection = sqlite3.connect(tmp_path / "quota.db")
    assert connection.execute(f"SELECT COUNT(*) FROM 'host_{HOST}'").fetchone() == (1,)
    connection.close()


def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_rate(open_quotas, clock):
    clock.now += 365 * 86400
    assert open_quotas("1/min").take(HOST) == 0
    clock.now -= 365 * 86400
    assert open_quotas("1/min").take(HOST) <= 60.01


def test_threads_never_share_the_last_request(open_quotas):
    quotas, got = open_quotas("10/day"), []
    threads = [
        threading.Thread(target=lambda: got.extend(quotas.take(HOST) for _ in range(5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(wait_s == 0 for wait_s in got) == 10


TAKER = """
import sys
from pathlib import Path
from mp2.discovery.http.retry import parse_rate
from mp2.discovery.http.quota import Quotas
quotas = Quotas(Path(sys.argv[1]), warn=sys.exit)
quotas.limit("h", [parse_rate("25/day")])
print(sum(quotas.take("h") == 0 for _ in range(20)))
quotas.close()
"""


def test_processes_never_share_the_last_request(tmp_path):
    command = [sys.executable, "-c", TAKER, str(tmp_path / "quota.db")]
    takers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert sum(int(taker.communicate(timeout=60)[0]) for taker in takers) == 25
    assert [taker.returncode for taker in takers] == [0, 0]


def test_a_host_is_no_sql(open_quotas):
    quotas = open_quotas()
    quotas.limit("x'; DROP TABLE y; --", [parse_rate("1/day")])
    assert quotas.take("x'; DROP TABLE y; --") == 0
    assert quotas.take("x'; DROP TABLE y; --") > 0


def test_no_thread_is_started(open_quotas):
    before = threading.enumerate()
    open_quotas("1/s").take(HOST)
    assert threading.enumerate() == before


def test_a_bad_file_costs_one_warning(tmp_path, clock):
    path, warnings = tmp_path / "quota.db", []
    path.write_text("somebody's notes" * 99)
    quotas = Quotas(path, clock=clock, warn=warnings.append)
    quotas.limit(HOST, [parse_rate("1/day")])
    assert [quotas.take(HOST) > 0 for _ in range(3)] == [False, True, True]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: requests are counted for this process only: ")
    assert path.read_text() == "somebody's notes" * 99
    quotas.close()
