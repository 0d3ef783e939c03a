"""Requests counted per host: several rates, threads, processes, clocks, bad files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from mp2.discovery.http.quota import Quotas, Rate, parse_rate
from mp2.discovery.http.state import FILE_NAME, StateFile
from mp2.errors import InputError

HOST = "www.example.com"


@pytest.fixture
def open_quotas(tmp_path, clock):
    """Opens the file, as consecutive processes would; no warning is expected."""
    opened = []

    def make(*rates, folder=tmp_path):
        opened.append(StateFile(folder, warn=pytest.fail))
        quotas = Quotas(opened[-1], clock=clock)
        quotas.limit(HOST, map(parse_rate, rates))
        return quotas

    yield make
    for file in opened:
        file.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_several_rates_at_once(open_quotas, clock, tmp_path, in_memory):
    quotas = open_quotas("1/s", "3/day", folder=None if in_memory else tmp_path)
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
    assert [rate.text for rate in quotas.rates(HOST)] == ["2/s", "5/s", "9/s"]


def test_a_daily_quota_outlives_the_process(open_quotas, clock):
    for _ in range(2):
        assert open_quotas("2/day").take(HOST) == 0
        clock.now += 1
    assert open_quotas("2/day").take(HOST) > 86000


def test_old_requests_are_swept(open_quotas, clock, tmp_path):
    open_quotas("2/s").take(HOST)
    clock.now += 86401
    open_quotas("2/s").take(HOST)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT COUNT(*) FROM request").fetchone() == (1,)
    connection.close()


def test_a_clock_that_was_set_back_blocks_no_longer_than_the_rate(open_quotas, clock):
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
from mp2.discovery.http.quota import Quotas, parse_rate
from mp2.discovery.http.state import StateFile
file = StateFile(Path(sys.argv[1]), warn=sys.exit)
quotas = Quotas(file)
quotas.limit("h", [parse_rate("25/day")])
print(sum(quotas.take("h") == 0 for _ in range(20)))
file.close()
"""


def test_processes_never_share_the_last_request(tmp_path):
    command = [sys.executable, "-c", TAKER, str(tmp_path)]
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


# --- rates


@pytest.mark.parametrize(
    ("text", "interval_s", "limit"),
    [
        ("1/s", 1, 1),
        ("60/min", 60, 60),
        ("25/day", 86400, 25),
        (" 1000 / 10min ", 600, 1000),
        ("5/h", 3600, 5),
    ],
)
def test_rates_are_read_and_written(text, interval_s, limit):
    assert parse_rate(text) == Rate(interval_s, limit, text.replace(" ", ""))
    assert parse_rate(parse_rate(text).text) == parse_rate(text)


@pytest.mark.parametrize("text", ["", "1", "0/s", "1/0s", "-1/s", "1/week", "1.5/s", "a/s", "٣/s"])
def test_unreadable_rates_are_named(text):
    with pytest.raises(InputError, match="is not a rate"):
        parse_rate(text)
