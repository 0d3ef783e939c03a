"""Nights on a growing price file, with a crash, a missed night, a full disk and a holiday."""

import os
import signal
import subprocess
import sys

import pytest
from nights import FIRST, Nights
from places import IMPORTS, REAL_BARS
from recompute_record import recompute, totals

import mp2
from mp2.errors import ExitCode
from mp2.storage.runs import Store

MAX_GROWTH = 300_000
HOLIDAY = FIRST + 2

# A night in a process of its own, which ends as `before` arranges.
NIGHT = """
import os, signal, sys
from pathlib import Path
from mp2.storage.runs import Store
{before}
from nights import Nights
night = Nights(Path(sys.argv[1]), holiday=int(sys.argv[2])).run(int(sys.argv[3]))
sys.exit(night.exit_code())
"""
CRASH = """
def finish(*args):
    os.kill(os.getpid(), signal.SIGKILL)
Store.finish = finish
"""
FULL_DISK = """
finish = Store.finish
def finish_on_a_full_disk(store, *args):
    n_pages, = store._execute("PRAGMA page_count").fetchone()
    store._execute(f"PRAGMA max_page_count = {n_pages}")
    store._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finish(store, *args)
Store.finish = finish_on_a_full_disk
"""


def night_apart(nights, n_dates, before):
    """Run a night in a process; return its exit code and stderr."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            NIGHT.replace("{before}", before),
            str(nights.folder),
            str(HOLIDAY),
            str(n_dates),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*IMPORTS, *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.returncode, done.stderr


def assert_record_is_right(nights, n_nights):
    """Compare the track record with what a script makes of the files alone."""
    picked = sorted(path.name for path in nights.out.iterdir() if path.is_dir())
    assert len(picked) == n_nights
    expected = recompute(nights.bars, nights.out)
    assert len(expected) == n_nights - 1
    (record,) = mp2.track(nights.db).configurations
    assert [day.day for day in record.days] == sorted(expected)
    for day in record.days:
        of_day = expected[day.day]
        assert day.universe_hit_rate_pp == pytest.approx(of_day["universe_hit_rate_pp"])
        score = day.scores["all"]
        if not of_day["n_tickers"]:
            assert score is None or score.n_tickers == 0
            continue
        assert (score.n_tickers, score.n_hits) == (of_day["n_tickers"], of_day["n_hits"])
        assert score.mean_return_pp == pytest.approx(of_day["mean_return_pp"])
    total = record.total["all"]
    for name, value in totals(expected).items():
        assert getattr(total, name) == pytest.approx(value), name


def test_some_nights_with_a_holiday_and_a_missed_one(tmp_path):
    nights = Nights(tmp_path, holiday=HOLIDAY)
    for number in (0, 1, 2, 4):
        nights.run(FIRST + number)
    assert_record_is_right(nights, 5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_thirty_nights_leave_thirty_days_of_picks_and_a_correct_record(tmp_path):
    nights = Nights(tmp_path, holiday=HOLIDAY)
    sizes = []
    for number in range(30):
        n_dates = FIRST + number
        if number == 7:
            code, err = night_apart(nights, n_dates, CRASH)
            assert code == -signal.SIGKILL, err
            continue
        if number == 14:
            continue
        if number == 21:
            code, err = night_apart(nights, n_dates, FULL_DISK)
            assert code == ExitCode.FAILED, err
            continue
        night = nights.run(n_dates)
        assert night.errors == night.overdue == ()
        assert len(night.days) == (2 if number in {8, 15, 22} else 1)
        sizes.append(nights.db.stat().st_size)
    with Store(nights.db, read_only=True) as store:
        runs = store.runs()
        assert store.problems == []
    # What the crash and the full disk had begun went on: no day was searched twice.
    assert [run.status for run in runs] == ["complete"] * 30
    assert_record_is_right(nights, 30)
    assert nights.run().last.is_new is False
    assert (sizes[-1] - sizes[0]) / len(sizes) < MAX_GROWTH


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(2400)
@pytest.mark.skipif(not REAL_BARS.exists(), reason="needs the market data kept beside the project")
def test_the_store_grows_little_on_the_real_bars_with_default_grids(tmp_path):
    import polars as pl

    bars = pl.read_parquet(REAL_BARS)
    dates = bars["date"].unique().sort()
    path = tmp_path / "bars.parquet"
    sizes = []
    # Each more night takes a minute and adds as much as the second; thirty small ones are above.
    for number in range(2):
        bars.filter(pl.col("date") <= dates[number - 5]).write_parquet(path)
        night = mp2.daily(
            path, store=tmp_path / "x.db", out=tmp_path / "out", budget_s=600, replicates=99
        )
        assert night.last.status == "complete"
        sizes.append((tmp_path / "x.db").stat().st_size)
    assert 0 < sizes[1] - sizes[0] < MAX_GROWTH
