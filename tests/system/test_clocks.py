"""Searches and scans under jumping clocks, halts, signals in every phase, threads and loops.

Signals in a running search or scan are in `cli/test_main.py` and `cli/test_cli_scan.py`, the races
of the pool with a stop in `groups/test_pool.py`.
"""

import ast
import asyncio
import datetime
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from commands import ENDLESS, RULES, WEEK, start, strict_json
from market_bars import walk, weekdays
from places import IMPORTS
from stub_scanners import make, naming

import mp2 as package
from mp2 import _recurse
from mp2.cli import runs as cli_runs
from mp2.cli.main import main
from mp2.cli.output_files import writing
from mp2.cli.session import Interrupts
from mp2.data import panel
from mp2.data.prices import to_frame
from mp2.discovery import registry
from mp2.errors import InputError, StoreError
from mp2.groups.result import Status
from mp2.groups.rules import Rules

SOURCES = Path(package.__file__).parent
ENDLESS_RULES = Rules(min_daily_hits=0, max_size=8)
GUARD_S = 60.0

pytestmark = pytest.mark.usefixtures("here")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(scope="module")
def week():
    return package.read_signals(WEEK)


@pytest.fixture(scope="module")
def endless(endless_table):
    """A panel whose search outlasts every test."""
    return package.read_signals(endless_table)


# --- clocks ---------------------------------------------------------------------------------------

MOMENTS = {
    "discovery/http/cache": {"time.time"},
    "cli/pick": {"date.today"},
    "cli/runs": {"datetime.now"},
    "cli/signals": {"date.today"},
    "nightly/bars": {"date.today"},
    "storage/processes": {"datetime.now"},
    "discovery/breaker": {"time.time"},
    "discovery/http/client": {"time.time"},
    "discovery/http/quota": {"time.time"},
    "discovery/scanner": {"datetime.date.today"},
    "discovery/runner": {"datetime.date.today", "datetime.datetime.now"},
}
"""Where wall time may be read: for labels, the day of today, the age of runs, and as moments that
files keep between processes (responses, quotas, breakers, heartbeats). Never for a duration or a
deadline."""
WALL_CLOCKS = (
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "datetime.now",
    "datetime.utcnow",
)
WALL_CLOCKS += ("datetime.today", "date.today")


def wall_clocks(path):
    """The wall-clock functions a module names, as it writes them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    # A time of day, which no clock tells.
    names = (named | imported) - {"datetime.time"}
    return {name for name in names if name.endswith(WALL_CLOCKS)}


def test_wall_time_is_read_for_labels_and_dates_only():
    found = {
        path.relative_to(SOURCES).with_suffix("").as_posix(): wall_clocks(path)
        for path in SOURCES.rglob("*.py")
    }
    assert {name: clocks for name, clocks in found.items() if clocks} == MOMENTS
    before, at_kernel, after = time.monotonic_ns(), _recurse.now_ns(), time.monotonic_ns()
    assert sys.platform != "linux" or before <= at_kernel <= after


class JumpingClock:
    """Wall time that is hours off, forwards or backwards, at every reading."""

    def __init__(self):
        self.real, self.hours = time.time, itertools.cycle((0, 7, -5, 31, -48))

    def __call__(self):
        return self.real() + 3600 * next(self.hours)


@pytest.fixture
def jumping(monkeypatch):
    clock = JumpingClock()

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(clock(), tz)

    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock() * 1e9))
    monkeypatch.setattr(datetime, "datetime", Jumping)
    return clock


@pytest.mark.slow
def test_a_search_ignores_a_jumping_wall_clock(jumping, endless):
    started_ns = _recurse.now_ns()
    result = package.search(endless, budget_s=0.3, workers=2, rules=ENDLESS_RULES)
    took_s = (_recurse.now_ns() - started_ns) / 1e9
    assert result.status is Status.WALL
    assert (
        0.3 - 0.025 <= result.elapsed_s <= took_s < GUARD_S
    )  # on a busy machine it may end this long before its wall
    assert all(0 <= starter.elapsed_s <= took_s for starter in result.starters)


@pytest.mark.slow
@pytest.mark.parametrize("concurrent", [True, False])
def test_a_scan_ignores_a_jumping_wall_clock(jumping, concurrent):
    def wait(context):
        left_s.append(context.remaining_s())
        context.cancelled.wait(GUARD_S)
        return []

    left_s = []
    started_s = time.monotonic()
    result = package.scan(
        [naming("quick", "A"), make("slow", wait)], timeout_s=0.4, concurrent=concurrent
    )
    took_s = time.monotonic() - started_s
    assert [str(one.status) for one in result.outcomes] == ["ok", "timeout"]
    assert 0.4 <= result.outcomes[1].seconds <= result.elapsed_s <= took_s < GUARD_S
    assert 0 < left_s[0] <= 0.4


# --- late -----------------------------------------------------------------------------------------


def late_after(n):
    """Reports that it is late from the `n`-th call on."""
    calls = itertools.count()
    return lambda: next(calls) >= n


def test_getting_ready_ends_when_it_is_late(endless, monkeypatch):
    monkeypatch.setattr(panel, "_TIMED_BLOCK_ROWS", 7)
    monkeypatch.setattr(
        panel, "blocks", lambda array, *_: (slice(at, at + 7) for at in range(0, len(array), 7))
    )
    n = endless.n_variations
    assert panel.first_alike(endless, late_after(0)).tolist() == list(range(n))
    assert panel.first_alike(endless, late_after(3))[:21].tolist() == endless.alias_of[:21].tolist()
    assert np.array_equal(panel.first_alike(endless, late_after(n)), endless.alias_of)
    assert not panel.buys_of(endless, late_after(0)).any()
    assert panel.buys_of(endless, late_after(2))[:15].tolist() == [*endless.n_buys[:14].tolist(), 0]


def test_a_budget_that_is_over_before_the_search_begins_is_a_wall(endless):
    result = package.search(endless, budget_s=1e-9)
    assert (result.status, result.attempts, result.n_exhausted, result.coverage) == (
        Status.WALL,
        0,
        0,
        0.0,
    )
    assert {str(starter.status) for starter in result.starters} == {"not_started"}
    assert result.warnings[-1].startswith("not all variations were compared for being identical")
    assert [starter.n_buys for starter in result.starters] == endless.n_buys.tolist()


def test_a_stop_before_the_search_begins_is_a_stop(endless):
    stop = threading.Event()
    stop.set()
    assert package.search(endless, stop=stop).status is Status.STOPPED


# --- halted ---------------------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_a_halted_search_ends_by_the_clock_that_went_on(endless_table):
    options = [option for option in ENDLESS if not option.startswith("--budget")]
    with start("search", endless_table, *options, "--budget=2s") as process:
        while " elapsed, " not in (line := process.stderr.readline()):
            assert line, "the search ended before its first heartbeat"
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(3)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=GUARD_S)
    document = strict_json(out)
    assert (process.returncode in {0, 4}, document["status"]) == (True, "wall")
    assert document["attempts"] > 0
    assert document["elapsed_s"] > 3
    assert document["overrun_s"] == pytest.approx(document["elapsed_s"] - 2)
    with package.Store("mp2.db", read_only=True) as store:
        assert [run.status for run in store.runs()] == ["wall"]


# --- signals in every phase -----------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys
from mp2.discovery import registry
numbers = [int(n) for n in sys.argv[1].split(",")]
module, name, method, after = sys.argv[2].split(":")
owner = __import__(module, fromlist=["x"])
owner = getattr(owner, name) if method else owner
real = getattr(owner, method or name)
def interrupted(*args, **kwargs):
    if not after:
        [os.kill(os.getpid(), number) for number in numbers]
    value = real(*args, **kwargs)
    if after:
        [os.kill(os.getpid(), number) for number in numbers]
    return value
setattr(owner, method or name, interrupted)
from mp2.cli.main import main
if sys.argv[3] in ("scan", "scanners"):
    from stub_scanners import naming
    registry._plug_ins = tuple
    registry.builtin_scanners = lambda: (naming("good", "A"), naming("other", "B"))
main(sys.argv[3:])
"""
READING = "mp2.data.signal_reader:read_signals::"
PREPARING = "mp2.groups.search:running_order::after"
STORING = "mp2.storage.runs:Store:finish:"
STORED = "mp2.storage.runs:Store:finish:after"
PRINTING = "mp2.cli.found:print_found::"
SEARCH = ("search", WEEK, *RULES, "--json")
INT, TERM, HUP = (int(getattr(signal, name, 0)) for name in ("SIGINT", "SIGTERM", "SIGHUP"))


def interrupted(numbers, where, *args):
    """Exit code, output and errors of a command that gets these signals in the function `where`."""
    paths = os.pathsep.join([*IMPORTS, *sys.path])
    command = [
        sys.executable,
        "-c",
        INTERRUPTED,
        ",".join(map(str, numbers)),
        where,
        *map(str, args),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD_S,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def is_whole(path="mp2.db"):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "where", "code", "status"),
    [
        ([INT], READING, 130, None),
        ([HUP], READING, 143, None),
        ([INT, INT], READING, 130, None),
        ([TERM], PREPARING, 143, "stopped"),
        ([INT], STORING, 130, "complete"),
        ([TERM], STORING, 143, "complete"),
        ([HUP], STORED, 143, "complete"),
        ([TERM], PRINTING, 143, "complete"),
        ([INT], PRINTING, 130, "complete"),
    ],
)
def test_a_signal_is_honoured_in_every_phase(here, numbers, where, code, status):
    exit_code, out, err = interrupted(numbers, where, *SEARCH)
    assert exit_code == code, err
    document = strict_json(out)
    if status is None:
        assert (document["status"], document["run_id"]) == ("failed", None)
        assert not (here / "mp2.db").exists()
        return
    assert document["status"] == status
    with package.Store("mp2.db", read_only=True) as store:
        assert [str(run.status) for run in store.runs()] == [status]
        assert json.loads(json.dumps(store.load(document["run_id"]).to_dict(20))) == document
    assert is_whole()


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "statuses"), [(STORING, {"complete", "interrupted"}), (PRINTING, {"complete"})]
)
def test_a_second_interruption_leaves_a_whole_store(where, statuses):
    code, out, err = interrupted([INT, INT], where, *SEARCH)
    assert code == 130
    # Two signals that arrive as one end the search, whose result is printed.
    assert out.strip() or err.strip()
    with package.Store("mp2.db", read_only=True) as store:
        assert {str(run.status) for run in store.runs()} <= statuses
    assert is_whole()


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "where", "code"),
    [
        ([HUP], "mp2.storage.runs:Store:finish_scan:", 143),
        ([INT], "mp2.storage.runs:Store:begin_scan:after", 130),
        ([TERM], "mp2.storage.runs:Store:add_outcome:", 143),
        ([TERM], "mp2.cli.scan_view:scan_view::", 143),
    ],
)
def test_a_signal_is_honoured_in_every_phase_of_a_scan(numbers, where, code):
    exit_code, out, err = interrupted(numbers, where, "scan")
    assert exit_code == code, err
    with package.Store("mp2.db", read_only=True) as store:
        (summary,) = store.scans()
        assert summary.status in {"complete", "stopped"}
        assert summary.scan_id in out
    assert is_whole()


# --- signals in the other commands ----------------------------------------------------------------

LENIENT = (
    "--min-pooled-pp=0",
    "--max-mad-pp=100",
    "--max-iqr-pp=100",
    "--max-cv-buys=10",
    "--min-wilson-lb=-100",
)
GRIDS = """enabled = false
[EMA]
fast = 5
slow = 16
[SMA]
period = 13
margin = 0
[RSI]
period = 9
level = 60
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with prices, a database of a run with picks for the last day, one of half a run."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "grids.toml").write_text(GRIDS)
    to_frame(walk(4, 60)).write_csv(folder / "prices.csv")
    options = (
        folder / "prices.csv",
        "--end",
        weekdays(60)[-2],
        "--grids",
        folder / "grids.toml",
        *LENIENT,
        "--workers=1",
    )
    for more in (["--db", folder / "mp2.db"], ["--db", folder / "half.db", "--max-attempts=1"]):
        with redirect_stdout(StringIO()), pytest.raises(SystemExit):
            main(["run", *map(str, options), "--min-daily-hits=0", "--max-size=3", *map(str, more)])
    return folder


@pytest.fixture
def stored(kept, here):
    """A copy of `kept` as the working directory."""
    shutil.copytree(kept, here, dirs_exist_ok=True)


def of_store(path="mp2.db"):
    """Runs with their status, how many days have picks, and how many outcomes there are."""
    with package.Store(path, read_only=True) as store:
        runs = store.runs()
        ids = [run.run_id for run in runs]
        picks, outcomes = (
            sum(len(load(run_id)) for run_id in ids)
            for load in (store.load_picks, store.load_outcomes)
        )
        return [str(run.status) for run in runs], picks, outcomes


UNTOUCHED = ["complete"], 1, 0
PICK = ("pick", "last", "--prices=prices.csv", "--grids=grids.toml", "--day", weekdays(61)[-1])


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "where", "words", "code", "expected"),
    [
        ([TERM], "mp2.storage.runs:Store:runs:", ("runs", "list"), 143, UNTOUCHED),
        ([INT], "mp2.cli.found:print_found::", ("runs", "show", "last"), 130, UNTOUCHED),
        (
            [HUP],
            "mp2.groups.result:SearchResult:to_frame:",
            ("runs", "export", "last"),
            143,
            UNTOUCHED,
        ),
        (
            [TERM],
            "mp2.storage.runs:Store:delete:after",
            ("runs", "delete", "last"),
            143,
            ([], 0, 0),
        ),
        ([TERM], "mp2.cli.scanners:describe_scanner::", ("scanners", "list"), 143, UNTOUCHED),
        (
            [INT],
            "mp2.storage.runs:Store:change_breaker:after",
            ("scanners", "reset", "good"),
            130,
            UNTOUCHED,
        ),
        ([HUP], "mp2.discovery.runner:scan::", ("scanners", "test", "good"), 143, UNTOUCHED),
        (
            [TERM],
            "mp2.cli.scanners:run_in_caller::",
            ("scanners", "test", "good", "--in-caller"),
            143,
            UNTOUCHED,
        ),
        (
            [TERM],
            "mp2.data.prices:read_prices::",
            ("signals", "prices.csv", "-o", "out.csv"),
            143,
            UNTOUCHED,
        ),
        (
            [INT],
            "mp2.cli.views:print_warnings::",
            ("walkforward", "prices.csv", "--weeks=1"),
            130,
            UNTOUCHED,
        ),
        (
            [TERM],
            "mp2.groups.search:search::",
            ("walkforward", "prices.csv", "--weeks=2"),
            143,
            UNTOUCHED,
        ),
        (
            [TERM],
            "mp2.signals.lookahead:check::after",
            ("check", "lookahead", "prices.csv"),
            143,
            UNTOUCHED,
        ),
        ([INT], "mp2.picks.pick:pick_day::", PICK, 130, (["complete"], 2, 0)),
        ([TERM], "mp2.storage.runs:Store:save_picks:after", PICK, 143, (["complete"], 2, 0)),
        ([INT, INT], "mp2.storage.runs:Store:save_picks:after", PICK, 130, (["complete"], 2, 0)),
        ([INT, INT], "mp2.storage.runs:Store:delete:", ("runs", "delete", "last"), 130, UNTOUCHED),
        (
            [TERM],
            "mp2.storage.runs:Store:save_outcome:",
            ("outcome", "last", "--prices=prices.csv"),
            143,
            (["complete"], 1, 1),
        ),
        (
            [HUP],
            "mp2.storage.runs:Store:load_request:",
            ("resume", "last", "--db=half.db"),
            143,
            UNTOUCHED,
        ),
    ],
)
def test_a_signal_is_honoured_in_every_command(stored, numbers, where, words, code, expected):
    grids = ("--grids=grids.toml",) if words[0] in ("signals", "walkforward", "check") else ()
    exit_code, _, err = interrupted(numbers, where, *words, *grids)
    assert (exit_code, of_store()) == (code, expected), err
    assert (of_store() == UNTOUCHED) or "nothing was stored" not in err
    assert of_store("half.db")[0] == ["work_limit"]
    assert is_whole()
    assert not Path("out.csv").exists()


@posix
@pytest.mark.slow
def test_a_signal_while_a_file_is_written_leaves_it_whole(stored):
    words = ("signals", "prices.csv", "--grids=grids.toml", "-o", "out.csv", "--json")
    code, out, err = interrupted([TERM], "mp2.cli.signals:write_table::", *words)
    assert code == 143, err
    assert strict_json(out)["n_rows"] == len(Path("out.csv").read_text().splitlines()) - 1


@posix
def test_a_hang_up_that_nohup_has_made_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().caught() as interrupts:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.stop.is_set()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with Interrupts().caught() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert (interrupts.stop.is_set(), interrupts.exit_code) == (True, 143)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


class Interrupting(threading.Event):
    """An event during whose `set`, which holds a lock, another signal arrives."""

    def __init__(self, number):
        super().__init__()
        self.number, self.n_set = number, 0

    def set(self):
        self.n_set += 1
        assert self.n_set == 1, "set inside of set: it would wait for its own lock"
        signal.raise_signal(self.number)
        super().set()


@posix
@pytest.mark.parametrize("second", [HUP, INT])
def test_a_second_signal_while_the_first_is_noted_changes_nothing(second):
    interrupts = Interrupts()
    interrupts.stop = Interrupting(second)
    with interrupts.caught():
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.stop.is_set()
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (interrupts.stop.n_set, interrupts.exit_code) == (1, 143)


@pytest.fixture
def searched(mp2, monkeypatch):
    """Runs a command in this process, where a short run and a scan are stored."""
    monkeypatch.setattr(registry, "builtin_scanners", lambda: (naming("good", "A"),))
    monkeypatch.setattr(registry, "_plug_ins", tuple)
    mp2("search", WEEK, *RULES, "--max-attempts", "20")
    mp2("scan")
    return mp2


@posix
@pytest.mark.parametrize(
    "error", [StoreError("mp2.db: locked"), InputError("locked"), RuntimeError("locked")], ids=repr
)
def test_a_signal_has_its_exit_code_even_if_an_error_follows(searched, monkeypatch, error):
    def fail(*_):
        signal.raise_signal(signal.SIGTERM)
        raise error

    monkeypatch.setattr(package.Store, "delete", fail)
    code, out, err = searched("runs", "delete", "last", "--json")
    assert (code, "locked" in err) == (143, True)
    assert "locked" in strict_json(out)["errors"][0]


# --- documents and files that a signal would cut --------------------------------------------------


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    "where", ["mp2.cli.runs:present::", "mp2.cli.runs:present::after", "click:echo::"]
)
def test_a_signal_around_the_printing_leaves_one_document(searched, where):
    code, out, _ = interrupted([TERM], where, "runs", "list", "--json")
    assert (code, strict_json(out)["status"] in {"ok", "failed"}) == (143, True)
    assert ("runs" in strict_json(out)) == (where != "mp2.cli.runs:present::")


def test_a_failure_after_the_document_is_reported_on_stderr_alone(searched, monkeypatch):
    def print_and_fail(*content):
        real(*content)
        raise StoreError("the store failed")

    real = cli_runs.present
    monkeypatch.setattr(cli_runs, "present", print_and_fail)
    code, out, err = searched("runs", "list", "--json")
    assert (code, strict_json(out)["status"], err) == (1, "ok", "mp2: the store failed\n")


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "kind"),
    [("pathlib:Path:write_text:after", "csv"), ("polars:DataFrame:write_parquet:after", "parquet")],
)
def test_a_signal_while_a_run_is_exported_leaves_the_file_as_it_was(here, searched, where, kind):
    (here / "out").write_text("before")
    code, _, err = interrupted(
        [TERM], where, "runs", "export", "last", "--format", kind, "-o", "out"
    )
    assert (code, err) == (143, "mp2: stopped by a signal; out is written, or as it was\n")
    assert ((here / "out").read_text(), list(here.glob("*.part"))) == ("before", [])


@posix
@pytest.mark.slow
def test_a_signal_while_a_pipe_is_written_reports_that_it_may_be_cut(here, searched):
    os.mkfifo("pipe")
    reader = threading.Thread(target=(here / "pipe").read_bytes)
    reader.start()
    code, _, err = interrupted(
        [HUP], "pathlib:Path:write_text:after", "runs", "export", "last", "-o", "pipe"
    )
    reader.join(GUARD_S)
    assert (code, err) == (143, "mp2: stopped by a signal; pipe may be cut short\n")
    code, _, err = interrupted([TERM], "mp2.cli.runs:note_kept::after", "runs", "export", "last")
    assert (code, err) == (143, "mp2: stopped by a signal; the output may be cut short\n")


@posix
def test_a_file_that_is_replaced_keeps_its_links_and_permissions(here):
    (here / "file").write_text("before")
    (here / "file").chmod(0o640)
    (here / "link").symlink_to("file")
    for name in ("link", "new", os.devnull):
        with writing(Path(name)) as path:
            path.write_text("after")
    assert (here / "link").is_symlink()
    assert ((here / "file").read_text(), (here / "file").stat().st_mode & 0o777) == ("after", 0o640)
    (here / "made").touch()
    assert (here / "new").stat().st_mode == (here / "made").stat().st_mode
    assert {path.name for path in here.iterdir()} == {"file", "link", "made", "new"}


@posix
@pytest.mark.slow
def test_an_interruption_reports_all_that_it_leaves_behind(stored):
    code, _, err = interrupted(
        [INT, INT], "mp2.cli.pick:write_picks::after", *PICK, "--csv", "out.csv"
    )
    assert code == 130
    remark = "the picks are stored with the run, or those before them stay; out.csv was written"
    assert err.splitlines()[-1] == f"mp2: stopped by a signal; {remark}"


# --- closed output --------------------------------------------------------------------------------

PRINTERS = (
    ("search", str(WEEK), *RULES, "--show", "100"),
    ("search", str(WEEK), "--dry-run"),
    ("runs", "list"),
    ("runs", "show", "last"),
    ("runs", "export", "last"),
    ("scan", "--no-store"),
    ("scans", "list"),
    ("scanners", "list"),
    ("doctor",),
    ("--help",),
)


@posix
@pytest.mark.slow
def test_an_output_that_is_closed_early_is_quiet(mp2):
    mp2("search", WEEK, *RULES, "--max-attempts", "20")
    command = """
from mp2.discovery import registry
registry.builtin_scanners = registry._plug_ins = tuple
from mp2.__main__ import script
script()
"""
    reader, writer = os.pipe()
    os.close(reader)  # no reader from the first byte on
    started = [
        subprocess.Popen(
            [sys.executable, "-c", command, *args], stdout=writer, stderr=subprocess.PIPE, text=True
        )
        for args in PRINTERS
    ]
    os.close(writer)
    errors = [process.communicate(timeout=GUARD_S)[1] for process in started]
    for args, process, err in zip(PRINTERS, started, errors, strict=True):
        assert process.returncode in {0, 4}, (args, err)
        assert not any(
            word in err for word in ("Traceback", "roken pipe", "BrokenPipe", "Exception ignored")
        ), (args, err)


@posix
@pytest.mark.parametrize(("handler", "expected"), [("default_int_handler", 130), ("SIG_IGN", 0)])
def test_ctrl_c_while_the_command_line_loads_ends_it_silently(handler, expected):
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.{handler})
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "mp2.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = ["--version"]
from mp2.__main__ import script
script()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=GUARD_S
    )
    assert (done.returncode, done.stderr) == (expected, "")


def test_a_broken_installation_is_reported():
    code = "import sys; sys.modules['click'] = None\nfrom mp2.__main__ import script; script()"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=GUARD_S
    )
    assert done.returncode == 1
    assert "click" in done.stderr


# --- from Python ----------------------------------------------------------------------------------


def in_thread(work):
    """The result of `work`, called in a thread other than the main one."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(GUARD_S)
    return results[0]


@pytest.mark.parametrize("words", ["runs delete last", "scans delete last", "scanners reset good"])
def test_a_command_runs_in_a_thread_that_is_not_main(searched, words):
    code, out, err = in_thread(lambda: searched(*words.split(), "--json"))
    assert (code, strict_json(out)["status"], err) == (0, "ok", "")


@pytest.mark.slow
def test_a_stop_from_a_thread_ends_a_search_in_another_that_is_not_main(endless):
    stop, begun = threading.Event(), threading.Event()
    threading.Thread(target=lambda: begun.wait(GUARD_S) and stop.set(), daemon=True).start()
    result = in_thread(
        lambda: package.search(
            endless,
            rules=ENDLESS_RULES,
            stop=stop,
            observe=lambda progress: progress.attempts and begun.set(),
        )
    )
    assert (result.status, result.attempts > 0) == (Status.STOPPED, True)


def test_searches_and_scans_in_a_running_loop_as_in_a_notebook(week):
    expected = package.search(week, rules=Rules(min_daily_hits=3))

    async def notebook():
        direct = package.search(week, rules=Rules(min_daily_hits=3))
        aside = await asyncio.to_thread(package.search, week, rules=Rules(min_daily_hits=3))
        found = await asyncio.to_thread(package.scan, [naming("good", "A")])
        return direct, aside, found, package.scan([naming("good", "A")])

    direct, aside, first, second = asyncio.run(notebook())
    for result in (direct, aside):
        assert (result.status, result.kept) == (Status.COMPLETE, expected.kept)
    assert (
        [one.ticker for one in first.candidates]
        == [one.ticker for one in second.candidates]
        == ["A"]
    )


@posix
def test_an_interruption_in_a_notebook_ends_every_kernel(endless):
    """Without the command line Ctrl-C raises an exception, once all kernels have returned."""

    def observe(progress):
        if progress.attempts:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        package.search(endless, rules=ENDLESS_RULES, observe=observe)
    assert not any(thread.name.startswith("mp2-worker") for thread in threading.enumerate())


def test_handlers_are_left_alone_from_python(week):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    package.search(week, rules=Rules(min_daily_hits=3))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
