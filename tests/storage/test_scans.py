"""Scans in the store: an outcome is stored before it is shown; breakers outlive the process."""

import datetime
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from commands import plug_in
from stub_scanners import make, naming
from test_runs import dead_pid

import mp2
from mp2.discovery.breaker import Breakers, BreakerState, Phase
from mp2.discovery.config import ExecutionSettings
from mp2.errors import InputError, StoreError
from mp2.storage.runs import Store

NAMES = ("first", "second", "third")
BEGIN = {
    "scanners": NAMES,
    "day": "2026-11-22",
    "config_fingerprint": "f" * 64,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scans.db"


@pytest.fixture
def opened(path):
    with Store(path) as target:
        yield target


def scanned(opened, *, keep=lambda event: True):
    """A scan of three scanners, of which one fails, its events stored; its id and its result."""

    def work(context):
        context.logger.info("looking")
        yield context.candidate("brk.b", "big", "high", {"é": [1, None]})
        yield {"ticker": "A", "context": "again"}
        yield {"ticker": "?", "context": "no ticker"}

    scan_id = opened.begin_scan(**BEGIN)
    failing = make("third", lambda context: 1 / 0)

    def observe(event):
        if event.outcome is not None and keep(event):
            opened.add_outcome(scan_id, event)

    classes = [make("first", work, "one"), naming("second", "A", pipeline="two"), failing]
    result = mp2.scan(classes, observe=observe, scan_id=scan_id, today=datetime.date(2026, 11, 22))
    return scan_id, result


def test_a_scan_is_read_back_as_it_was(opened):
    scan_id, result = scanned(opened)
    opened.finish_scan(scan_id, result)
    assert opened.load_scan(scan_id) == result
    assert opened.load_scan(scan_id).to_dict() == result.to_dict()
    assert [one.ticker for one in result.candidates] == ["BRK-B", "A"]
    assert result.candidates[1].sources == ("first", "second")


def test_the_list_has_the_status_of_each_scan(opened):
    scan_id, result = scanned(opened)
    (running,) = opened.scans()
    assert (running.status, running.elapsed_s, running.n_scanners, running.n_outcomes) == (
        "running",
        None,
        3,
        3,
    )
    opened.finish_scan(scan_id, result)
    other = opened.begin_scan(**BEGIN)
    opened.abandon_scan(other)
    newest, oldest = opened.scans()
    assert (newest.scan_id, newest.status, newest.mode, newest.n_outcomes) == (
        other,
        "failed",
        None,
        0,
    )
    assert (oldest.status, oldest.day, oldest.mode, oldest.workers) == (
        "partial",
        "2026-11-22",
        "concurrent",
        8,
    )
    assert (oldest.n_failed, oldest.n_candidates, oldest.elapsed_s) == (1, 2, result.elapsed_s)
    assert opened.scan_summary(scan_id) == oldest


def test_a_scan_whose_process_died_has_what_was_stored_in_registration_order(opened):
    scan_id, result = scanned(opened, keep=lambda event: event.scanner != "first")
    assert opened.load_scan(scan_id).warnings == (
        "the scan is still running: this is what has ended so far",
    )
    opened._connection.execute("UPDATE scan SET pid = ?", (dead_pid(),))
    loaded = opened.load_scan(scan_id)
    assert opened.scans()[0].status == "interrupted"
    assert [one.scanner for one in loaded.outcomes] == ["second", "third"]
    assert loaded.outcomes == result.outcomes[1:]
    assert (loaded.status, [one.ticker for one in loaded.candidates]) == ("stopped", ["A"])
    assert "the process of the scan ended before it did" in loaded.warnings[0]
    assert 0 < loaded.elapsed_s <= result.elapsed_s


def test_scans_are_found_like_runs_and_apart_from_them(opened):
    with pytest.raises(InputError, match="holds no scan yet; run mp2 scan first"):
        opened.find_scan("last")
    first, last = (opened.begin_scan(**BEGIN) for _ in range(2))
    assert opened.find_scan("last") == last
    assert opened.find_scan(first) == first
    with pytest.raises(InputError, match=r"is the beginning of .*; give more of it"):
        opened.find_scan("2026")
    with pytest.raises(InputError, match=r"no scan 'x'; there is 2026"):
        opened.find_scan("x")
    for read in (opened.load_scan, opened.scan_summary, opened.delete_scan):
        with pytest.raises(InputError, match="no scan 'x'"):
            read("x")
    assert opened.runs() == []


def test_delete_takes_everything_of_a_scan_and_nothing_else(opened):
    (gone, result), (kept, _) = scanned(opened), scanned(opened)
    with pytest.raises(
        InputError, match=r"still works on it; stop that first, then delete the scan"
    ):
        opened.delete_scan(gone)
    opened.finish_scan(gone, result)
    opened.delete_scan(gone)
    assert [one.scan_id for one in opened.scans()] == [kept]
    for table in ("scan_outcome", "scan_candidate"):
        assert (
            opened._connection.execute(f"SELECT count(DISTINCT scan) FROM {table}").fetchone()[0]
            == 1
        )


def test_a_scan_ends_once_and_only_outcomes_are_stored(opened):
    scan_id, result = scanned(opened)
    opened.finish_scan(scan_id, result)
    with pytest.raises(StoreError, match=r"has already ended \(partial\); nothing was stored"):
        opened.finish_scan(scan_id, result)
    with pytest.raises(StoreError, match="scan x was deleted meanwhile"):
        opened.abandon_scan("x")
    events = []
    mp2.scan([naming("a", "A")], observe=events.append)
    with pytest.raises(
        InputError, match="only an event with an outcome can be stored, not 'begun'"
    ):
        opened.add_outcome(scan_id, events[0])


def test_an_outcome_is_stored_with_its_candidates_or_not_at_all(opened):
    opened._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON scan_candidate WHEN new.ticker = 'A' "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(StoreError, match="full"):
        scanned(opened)
    assert opened._connection.execute("SELECT count(*) FROM scan_candidate").fetchone()[0] == 0
    assert opened.scans()[0].n_outcomes == 0


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ("UPDATE scan SET scanners = '7'", "TypeError"),
        ("UPDATE scan SET warnings = '7'", "warnings: "),
        ("UPDATE scan_outcome SET status = 'fine'", "outcomes.0.status: "),
        ("UPDATE scan_outcome SET error = '{}'", "outcomes.0.error.code: Field required"),
        ("UPDATE scan_outcome SET logs = '5'", "logs.first: "),
    ],
)
def test_a_wrong_value_is_reported_with_its_place(opened, damage, place):
    scan_id, result = scanned(opened)
    opened.finish_scan(scan_id, result)
    opened._connection.execute(damage)
    with pytest.raises(StoreError, match=f"scan {scan_id} is damaged and cannot be read") as caught:
        opened.load_scan(scan_id)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scan SET scanners = 'x'",
        "UPDATE scan_candidate SET data = '{'",
        "UPDATE scan_candidate SET priority = 'none'",
        "UPDATE scan_outcome SET logs = ''",
    ],
)
def test_the_tables_refuse_what_cannot_be(opened, damage):
    scanned(opened)
    with pytest.raises(sqlite3.IntegrityError):
        opened._connection.execute(damage)


def test_a_row_that_cannot_be_read_is_named_and_hides_no_other(opened):
    (damaged, _), (sound, _) = scanned(opened), scanned(opened)
    change = "UPDATE scan SET scanners = '7' WHERE scan_id = ?"
    opened._connection.execute(change, (damaged,))
    assert [summary.scan_id for summary in opened.scans()] == [sound]
    assert [f"scan {damaged} is damaged" in problem for problem in opened.problems] == [True]


# --- breakers -------------------------------------------------------------------------------------


def test_breakers_live_from_one_command_to_the_next(path):
    now = [1000.0]
    rules = ExecutionSettings(breaker_failures=2)

    def command(*calls):
        with Store(path) as target:
            breakers = Breakers(target.change_breaker, rules=rules, clock=lambda: now[0])
            refusals = [getattr(breakers, name)("s", *given) for name, *given in calls]
            return refusals, target.breakers().get("s", BreakerState())

    assert command(("refusal",), ("failure", "timeout"))[1] == BreakerState(n_failures=1)
    assert command(("refusal",), ("failure", "unauthorized"))[1] == BreakerState(n_failures=1)
    _, state = command(("refusal",), ("failure", "exception"))
    assert state == BreakerState(phase=Phase.OPEN, n_failures=2, since=1000.0, cool_down_s=900.0)
    assert command(("refusal",))[0] == ["skipped after 2 failures in a row; next try in 15 min"]
    now[0] += 901
    assert command(("refusal",), ("refusal",))[0] == [
        None,
        "another run is trying whether it works again",
    ]
    assert command(("success",))[1] == BreakerState()
    with Store(path) as target:
        assert target.breakers() == {}
        assert target._connection.execute("SELECT count(*) FROM breaker").fetchone()[0] == 0


def test_of_many_commands_at_once_one_is_the_probe(path):
    with Store(path) as target:
        target.change_breaker(
            "s",
            lambda state: BreakerState(phase=Phase.OPEN, n_failures=5, since=0.0, cool_down_s=1.0),
        )
    together, refusals = threading.Barrier(6), []

    def request():
        with Store(path) as target:
            together.wait(10)
            refusals.append(Breakers(target.change_breaker).refusal("s"))

    threads = [threading.Thread(target=request) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals.count(None) == 1
    assert set(refusals) == {None, "another run is trying whether it works again"}


# --- kill -----------------------------------------------------------------------------------------

PLUG_IN = """
import mp2
def made(idx):
    def scan(self, context):
        context.cancelled.wait(0.002 * (idx % 7))
        for n in range(idx % 4):
            yield context.candidate(f"T{idx}X{n}", "x" * 50)
    return type(f"S{idx}", (mp2.Scanner,), {"name": f"s{idx}", "pipeline": "test", "scan": scan})
for idx in range(60):
    globals()[f"S{idx}"] = made(idx)
"""


def killed_scan(folder, db, n_lines, wait_s):
    """Start a scan, read lines, wait, kill; the whole lines, and whether the kill came in time."""
    names = ",".join(f"s{idx}" for idx in range(60))
    command = [sys.executable, "-m", "mp2", "scan", "--db", str(db), "--only", names]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder
    ) as process:
        shown = [process.stderr.readline() for _ in range(n_lines)]
        threading.Event().wait(wait_s)
        process.send_signal(signal.SIGKILL)
        shown += process.stderr.readlines()
    return [
        line.decode() for line in shown if line.endswith(b"\n")
    ], process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_every_outcome_shown_survives_a_kill_at_any_moment(tmp_path, monkeypatch):
    plug_in(tmp_path, PLUG_IN, [f"S{idx}" for idx in range(60)])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    rng = random.Random(5)
    moments = [
        (n_lines, rng.random() * 0.003)
        for n_lines in (1, 2, *(rng.randrange(3, 62) for _ in range(14)))
    ]
    moments += [(0, 0.3 + rng.random() * 0.6) for _ in range(14)]
    n_killed = 0
    for idx, (n_lines, wait_s) in enumerate(moments):
        db = tmp_path / f"{idx}.db"
        lines, was_killed = killed_scan(tmp_path, db, n_lines, wait_s)
        shown_counts = {
            name: int(n)
            for line in lines
            for name, n in re.findall(r"✓ (s\d+): (\d+) candidate", line)
        }
        assert len(shown_counts) >= n_lines - 1
        with Store(db) as target:
            stored = {}
            for summary in target.scans():
                stored = {
                    one.scanner: one.n_candidates
                    for one in target.load_scan(summary.scan_id).outcomes
                }
                # The kill may come after the whole scan is stored, just before the process ends.
                assert summary.status in (
                    ("interrupted", "complete") if len(stored) == 60 else ("interrupted",)
                )
                assert was_killed or summary.status == "complete"
            rows = dict(
                target._connection.execute(
                    "SELECT scanner, count(*) FROM scan_candidate GROUP BY scanner"
                ).fetchall()
            )
        assert shown_counts.items() <= stored.items()
        assert {name: n for name, n in stored.items() if n} == rows
        n_killed += was_killed
    assert n_killed > len(moments) / 2
