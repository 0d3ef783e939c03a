"""`mp2.daily`: repeated, interrupted, missed, locked; what it scores, writes and reports."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from nights import FIRST, GRIDS, RULES, Nights
from places import IMPORTS
from stub_scanners import naming

import mp2 as package
from mp2 import pipeline
from mp2.errors import ExitCode, Mp2Error
from mp2.nightly import job, picking
from mp2.storage.night_lock import night_lock
from mp2.storage.runs import Store


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)


def runs(nights):
    with Store(nights.db, read_only=True) as store:
        return store.runs()


# --- once, and again -----------------------------------------------------------------------------


def test_a_night_leaves_picks_for_the_next_day(nights):
    night = nights.run(FIRST)
    day = nights.days[FIRST]
    assert (night.last.picks.day, night.exit_code()) == (day, ExitCode.OK)
    assert night.sentence().startswith(f"{day}: ")
    document = json.loads((nights.out / day / "picks.json").read_text())
    assert document["day"] == day
    assert document["run_id"] == night.last.picks.run_id
    assert (document["status"], document["coverage"]) == ("complete", 1.0)
    with (nights.out / day / "picks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["ticker"] for row in rows} >= set(night.last.picks.tickers())
    assert night.last.difference.since is None


def test_a_second_call_finds_what_the_first_one_did(nights):
    first = nights.run(FIRST)
    path = nights.out / first.last.picks.day / "picks.json"
    written = path.read_text()
    path.unlink()
    again = nights.run()
    assert len(runs(nights)) == 1
    assert (again.last.is_new, again.last.picks) == (False, first.last.picks)
    # A file that is missing is written again.
    assert json.loads(path.read_text()) == json.loads(written)


@pytest.mark.slow
def test_other_settings_are_another_job(nights):
    nights.run(FIRST)
    nights.run(FIRST, min_tickers=2)
    assert len(runs(nights)) == 2


def test_the_picks_are_scored_and_compared_on_the_next_night(nights):
    first = nights.run(FIRST).last.picks
    night = nights.run(FIRST + 1)
    (outcome,) = night.scored
    assert (outcome.day, outcome.session) == (first.day, nights.days[FIRST])
    assert f"scored {first.day}: " in night.sentence()
    with Store(nights.db, read_only=True) as store:
        assert store.load_outcomes(first.run_id) == (outcome,)
    tickers, former = set(night.last.picks.tickers()), set(first.tickers())
    difference = night.last.difference
    assert difference.since == first.day
    assert set(difference.new) == tickers - former
    assert set(difference.gone) == former - tickers
    assert nights.run().scored == ()


def test_picks_that_are_not_sold_yet_are_scored_a_night_later(nights):
    held = {"hold": "next-open", "cost_bps": 5.0}
    first = nights.run(FIRST, **held).last.picks
    assert (first.day, first.hold, first.cost_bps) == (nights.days[FIRST], "next-open", 5.0)
    second = nights.run(FIRST + 1, **held)
    assert (second.scored, second.overdue, second.exit_code()) == ((), (), ExitCode.OK)
    (outcome,) = nights.run(FIRST + 2, **held).scored
    assert (outcome.day, outcome.session, outcome.hold) == (first.day, first.day, "next-open")
    assert outcome.votes.cost_bps == 5.0


def test_a_finding_in_the_prices_is_counted_and_no_warning(nights):
    nights.grow(FIRST)
    lines = nights.bars.read_text().splitlines()
    nights.bars.write_text("\n".join([*lines[:-3], *lines[-2:]]) + "\n")
    night = nights.run()
    assert len(night.findings) == 1
    assert "1 finding in the prices (mp2 check data)" in night.sentence()
    assert not set(night.findings) & set(night.warnings)


# --- missed and interrupted ----------------------------------------------------------------------


def test_missed_days_are_made_up_for_and_scored(nights):
    nights.run(FIRST)
    night = nights.run(FIRST + 3)
    assert [day.picks.day for day in night.days] == nights.days[FIRST + 1 : FIRST + 4]
    assert [day.is_late for day in night.days] == [True, True, False]
    assert [one.day for one in night.scored] == nights.days[FIRST : FIRST + 3]
    assert all((nights.out / day.picks.day / "picks.csv").exists() for day in night.days)
    assert "2 missed days made up for" in night.sentence()


@pytest.mark.slow
def test_the_newest_missed_days_come_first(nights, monkeypatch):
    monkeypatch.setattr(picking, "MAX_MISSED", 2)
    nights.run(FIRST)
    night = nights.run(FIRST + 5)
    assert [day.picks.day for day in night.days] == nights.days[FIRST + 4 : FIRST + 6]


def test_a_missed_day_is_picked_as_if_it_had_not_been_missed(nights, tmp_path):
    nights.run(FIRST)
    made_up = nights.run(FIRST + 2).days[0].picks
    (tmp_path / "on_time").mkdir()
    on_time = Nights(tmp_path / "on_time")
    picks = on_time.run(FIRST + 1).last.picks
    assert (made_up.day, made_up.tickers()) == (picks.day, picks.tickers())


def test_a_stopped_night_writes_nothing_and_goes_on(nights, monkeypatch):
    stop = threading.Event()
    search = pipeline.search_groups

    def stopped_search(*args, **settings):
        stop.set()
        return search(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "search_groups", stopped_search)
        stopped = nights.run(FIRST, stop=stop)
    assert stopped.last.status == "stopped"
    assert not (nights.out / stopped.last.picks.day).exists()
    night = nights.run()
    assert night.last.picks.run_id == stopped.last.picks.run_id
    assert night.last.status == "complete"
    assert (nights.out / stopped.last.picks.day).exists()


KILLED = """
import os, signal, sys
from mp2.storage.runs import Store
def killed(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
Store.finish = killed
import nights
from pathlib import Path
one = nights.Nights(Path(sys.argv[1]))
one.run()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_night_leaves_no_lock_and_goes_on(nights):
    nights.grow(FIRST)
    path = os.pathsep.join([*IMPORTS, *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(nights.folder)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (begun,) = runs(nights)
    assert begun.status == "interrupted"
    night = nights.run()
    assert night.last.picks.run_id == begun.run_id
    assert [run.status for run in runs(nights)] == ["complete"]


@pytest.mark.slow
def test_bars_that_changed_meanwhile_are_searched_again(nights):
    night = nights.run(FIRST, max_attempts=1)
    with Store(nights.db) as store, store._transaction("IMMEDIATE"):
        store._execute("UPDATE run SET status = 'failed', input_fingerprint = 'other'")
    again = nights.run(FIRST, max_attempts=1)
    assert again.last.picks.run_id != night.last.picks.run_id
    assert "is not resumed" in again.warnings[0]


# --- the lock ------------------------------------------------------------------------------------


def test_one_night_at_a_time_works_in_a_folder(nights):
    nights.grow(FIRST)
    nights.out.mkdir()
    with night_lock(nights.out), pytest.raises(Mp2Error, match="another mp2 daily is at work"):
        nights.run()
    nights.run()


# --- overdue -------------------------------------------------------------------------------------


def test_a_pick_that_cannot_be_scored_is_overdue_once_its_day_is_over(nights):
    first = nights.run(FIRST)
    assert first.overdue == ()
    # The day has bars, but of other tickers than those picked.
    picked = first.last.picks.tickers()
    nights.frame = nights.frame.with_columns(
        ticker=nights.frame["ticker"].replace({ticker: f"X{ticker}" for ticker in picked})
    )
    voted = {vote.ticker for vote in first.last.picks.votes}
    nights.frame = nights.frame.with_columns(
        ticker=nights.frame["ticker"].replace({ticker: f"X{ticker}" for ticker in voted})
    )
    night = nights.run(FIRST + 1)
    assert night.exit_code() == ExitCode.OVERDUE
    assert night.overdue[0].startswith(f"run {first.last.picks.run_id}: no bar on ")


@pytest.mark.slow
def test_picks_of_other_prices_are_left_alone(nights, tmp_path):
    nights.run(FIRST)
    nights.bars = tmp_path / "other.csv"
    assert nights.run(FIRST + 2).scored == ()


# --- the bars ------------------------------------------------------------------------------------


def test_the_bars_are_brought_up_to_date_first(nights, monkeypatch):
    from mp2.data import yahoo_update

    nights.run(FIRST)
    later = nights.frame.filter(nights.frame["date"].cast(str) <= nights.days[FIRST])
    monkeypatch.setattr(yahoo_update, "update", lambda bars, **_: (later, ("T000: no bars",)))
    night = nights.run(download=True)
    assert night.last.picks.day == nights.days[FIRST + 1]
    assert "T000: no bars" in night.warnings
    assert nights.bars.read_text() == later.write_csv()


def test_a_folder_that_cannot_be_written_is_an_error(nights):
    nights.grow(FIRST)
    nights.out.mkdir()
    # A file where the folder of the day is to be.
    (nights.out / nights.days[FIRST]).touch()
    night = nights.run()
    assert night.exit_code() == ExitCode.FAILED
    assert night.errors[0].endswith("the picks are in the store")


# --- who is told ---------------------------------------------------------------------------------


@pytest.fixture
def inbox():
    """A server that takes posted documents, and answers with `inbox.status`."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.headers["content-type"], json.loads(body)))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status = 200
        server.received = received
        server.url = f"http://127.0.0.1:{server.server_port}/hook/secret"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_night_is_posted_once(nights, inbox):
    night = nights.run(FIRST, on_done=inbox.url)
    nights.run(on_done=inbox.url)
    ((kind, document),) = inbox.received
    assert kind == "application/json"
    assert (document["day"], document["summary"]) == (night.last.picks.day, night.sentence())


def test_a_post_that_fails_is_an_error_and_tried_by_the_next_call(nights, inbox):
    inbox.status = 403
    night = nights.run(FIRST, on_done=inbox.url)
    assert (night.exit_code(), night.last.status) == (ExitCode.FAILED, "complete")
    assert night.errors == ("on_done: HTTP 403 from 127.0.0.1",)
    inbox.status = 200
    assert nights.run(on_done=inbox.url).errors == ()
    assert len(inbox.received) == 2


def test_a_command_gets_the_night(nights, tmp_path):
    program = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    command = f'"{sys.executable}" -c "{program}"'
    night = nights.run(FIRST, on_done_command=command)
    assert json.loads((tmp_path / "got").read_text())["day"] == night.last.picks.day


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("absent-program", "cannot be run: No such file or directory"),
        (f'"{sys.executable}" -c "raise SystemExit(3)"', "exit code 3: no output"),
    ],
)
def test_a_command_that_fails_is_an_error(nights, command, problem):
    assert nights.run(FIRST, on_done_command=command).errors == (f"on_done_command: {problem}",)


# --- the scan ------------------------------------------------------------------------------------


def test_scanners_that_name_a_picked_ticker_stand_beside_it(nights, monkeypatch):
    from mp2.discovery import registry

    ticker = "T000"
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    monkeypatch.setattr(registry, "builtin_scanners", lambda: (naming("good", ticker),))
    night = nights.run(FIRST, with_scan=True)
    assert night.scan["n_candidates"] == 1
    assert night.scan["named"][ticker]["sources"] == ("good",)
    # One scan a day.
    assert nights.run(with_scan=True).scan["scan_id"] == night.scan["scan_id"]
    with Store(nights.db, read_only=True) as store:
        (summary,) = store.scans()
    assert summary.day == night.last.picks.day


# --- the command ---------------------------------------------------------------------------------

OPTIONS = [
    "--grids=grids.toml",
    "--workers=1",
    "--replicates=0",
    "--no-scan",
    "--min-daily-hits=0",
    "--max-size=3",
    "--min-pooled-pp=0",
    "--max-mad-pp=100",
    "--max-iqr-pp=100",
    "--max-cv-buys=10",
    "--min-wilson-lb=-100",
]


@pytest.fixture
def job_folder(here):
    """A working directory with bars of the first night."""
    nights = Nights(here)
    nights.grow(FIRST)
    return nights


def test_the_command_prints_one_line(mp2, job_folder):
    code, out, err = mp2("daily", "bars.csv", *OPTIONS)
    day = job_folder.days[FIRST]
    assert (code, len(out.splitlines())) == (0, 1)
    assert out.startswith(f"{day}: ")
    assert all(line.startswith("warning: ") for line in err.splitlines())
    code, out, _ = mp2("daily", "bars.csv", *OPTIONS, "--json")
    document = json.loads(out)
    assert (code, document["day"], document["errors"]) == (0, day, [])


def test_the_settings_file_names_the_prices(mp2, job_folder, here):
    job = here / "job"
    job.mkdir()
    job_folder.bars.rename(job / "bars.csv")
    (job / "grids.toml").write_text(GRIDS)
    lines = [f"{key} = {value!r}" for key, value in RULES.to_dict().items() if "retain" not in key]
    (job / "mp2.toml").write_text(
        "[daily]\nprices = 'bars.csv'\nout = 'picks'\ngrids = 'grids.toml'\nno_scan = true\n"
        "replicates = 0\n" + "\n".join(lines).replace("top_k", "top") + "\n"
    )
    code, out, _ = mp2("--config", "job/mp2.toml", "daily", "--db", "job/x.db")
    assert code == 0, out
    assert (job / "picks" / job_folder.days[FIRST] / "picks.csv").exists()


def test_an_overdue_pick_is_exit_code_5(mp2, job_folder):
    mp2("daily", "bars.csv", *OPTIONS)
    with Store("mp2.db") as store, store._transaction("IMMEDIATE"):
        store._execute("UPDATE day_picks SET day = ?, assumed = 0", ("2023-03-25",))
    job_folder.grow(FIRST + 1)
    code, out, err = mp2("daily", "bars.csv", *OPTIONS)
    assert (code, "1 overdue" in out) == (5, True)
    assert "mp2: run " in err
    assert "the prices have no bar on 2023-03-25" in err


def test_no_prices_are_a_line(mp2, here):
    code, _, err = mp2("daily")
    assert code == 2
    assert "prices: name the daily bars, or set prices in the table [daily]" in err


def test_secrets_of_on_done_are_redacted(mp2, here):
    (here / "mp2.toml").write_text("[daily]\non_done = 'https://hooks.example/T0/B0/secret'\n")
    _, out, _ = mp2("config", "show")
    assert "https://hooks.example/***" in out
    assert "secret" not in out


def test_it_is_public():
    assert package.daily is job.daily
