"""Searches killed at random moments: the store stays valid, a resumed run loses nothing.

`MP2_CRASHES=100 pytest tests/system/crash -m slow` for more kills than CI makes.
"""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import polars as pl
import pytest

N_CRASHES = int(os.environ.get("MP2_CRASHES", "10"))
LASTING = (
    "status",
    "attempts",
    "tested",
    "eligible",
    "score_mean",
    "score_std",
    "groups",
    "picks",
    "n_exhausted",
)
OPTIONS = (
    "--min-daily-hits",
    "3",
    "--max-mad-pp",
    "40",
    "--max-iqr-pp",
    "60",
    "--top",
    "200",
    "--workers",
    "2",
    "--replicates=0",
    "--budget",
    "10m",
)
REPORTED = re.compile(r"stored the state of run \S+: (\d+) more starters finished")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 + 20 * N_CRASHES),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.usefixtures("here"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Signals whose search takes some seconds."""
    rng, path = np.random.default_rng(4), tmp_path_factory.mktemp("crash") / "signals.parquet"
    algos, variations, days, tickers = 8, 55, 4, 150
    lean = rng.random((algos * variations, 1, 1)) * 0.3 + 0.25
    bought = np.argwhere(rng.random((algos * variations, days, tickers)) < lean)
    won = rng.random((days, tickers)) < 0.55
    v, day, ticker = bought.T
    pl.DataFrame(
        {
            "algo": [f"A{i // variations}" for i in v],
            "variation": [f"v{i % variations}" for i in v],
            "day": [f"2026-01-0{d + 5}" for d in day],
            "ticker": [f"T{t:03}" for t in ticker],
            "win": won[day, ticker],
        }
    ).write_parquet(path)
    return path


def command(*args):
    return [sys.executable, "-m", "mp2", "-vv", *map(str, args)]


def finished(*args):
    done = subprocess.run(
        command(*args, "--json"), capture_output=True, text=True, check=True, timeout=600
    )
    return json.loads(done.stdout)


def killed(after_s, *args):
    """Standard error of a command that is killed after some time, or has ended before."""
    process = subprocess.Popen(
        command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, err = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    return err


def look(path):
    """Whether the file is whole, the newest run's stored status, and its exhausted starters."""
    from mp2._recurse import STARTER_DTYPE

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        row = connection.execute("SELECT run, status FROM run ORDER BY run DESC").fetchone()
        if row is None:
            return None, 0
        states = connection.execute(
            "SELECT record FROM starter_state WHERE run = ?", row[:1]
        ).fetchall()
    return row[1], sum(
        int(np.frombuffer(record, STARTER_DTYPE)["exhausted"][0]) for (record,) in states
    )


def test_killed_searches_end_as_undisturbed_ones(table, tmp_path):
    started_s = time.monotonic()
    whole = finished("search", table, *OPTIONS, "--no-store")
    # On a busy machine a command takes seconds to begin; one that is always killed before
    # its search does would never end.
    longest_s = max(2.5, time.monotonic() - started_s)
    assert sum(map(len, whole["groups"].values())) > 0
    moments, n_kills, n_runs = random.Random(1), 0, 0
    while n_kills < N_CRASHES:
        database = tmp_path / f"{n_runs}.db"
        n_runs += 1
        start = ("search", table, *OPTIONS, "--db", database, "--checkpoint", "20ms")
        resume = ("resume", "last", "--db", database, "--checkpoint", "20ms", "--budget", "10m")
        status, n_stored = None, 0
        while status != "complete":
            err = killed(moments.uniform(0.1, longest_s), *(start if status is None else resume))
            reported = n_stored + sum(map(int, REPORTED.findall(err)))
            if not database.exists():
                n_kills += 1
                continue
            status, n_stored = look(database)
            n_kills += status != "complete"
            assert status in {None, "running", "complete"}
            assert status == "complete" or n_stored >= reported
            listed = finished("runs", "list", "--db", database)["runs"] if status else []
            assert [run["status"] for run in listed] in ([], ["interrupted"], ["complete"])
        stored = finished("runs", "show", "last", "--db", database)
        assert {name: stored[name] for name in LASTING} == {name: whole[name] for name in LASTING}
    print(f"{n_kills} kills in {n_runs} runs: none lost anything")
