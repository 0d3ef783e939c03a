"""Faults of a store, before a command and while it runs: one message, exit code, no damage."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from places import GOLDEN, TESTS

WEEK = GOLDEN / "week-prices.csv"
RULES = ("--min-daily-hits", "3")
ENDLESS = (
    "--min-daily-hits=0",
    "--max-size=6",
    "--checkpoint=20ms",
    "--no-progress",
    "--json",
)
SHORT = ("--budget=1s", "--top=1000", "--json-groups=1")
GUARD_S = 90

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits, locks and permissions"),
    pytest.mark.usefixtures("here"),
]

PRELUDE = """
import os, resource, sqlite3, sys, threading
from mp2.discovery import registry
from mp2.storage import database
from mp2.storage.runs import Store
registry._plug_ins, registry.builtin_scanners = tuple, tuple
{before}
from mp2.__main__ import script
script()
"""
SCANNERS = f"""
sys.path.insert(0, {str(TESTS / "support")!r})
from stub_scanners import make
def named(idx):
    def find(context):
        data = "x" * 5000
        return [context.candidate(f"T{{idx}}X{{n}}", "found", data=data) for n in range(9)]
    return find
registry.builtin_scanners = lambda: [make(f"s{{idx}}", named(idx)) for idx in range(8)]
"""
LIMIT_FILES = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, resource.RLIM_INFINITY))
"""
LIMIT_PAGES = """
real = Store.{method}
def limited(self, *args, **kwargs):
    (n_pages,) = self._connection.execute("PRAGMA page_count").fetchone()
    self._connection.execute(f"PRAGMA max_page_count = {{n_pages}}")
    return real(self, *args, **kwargs)
Store.{method} = limited
"""
LONG_SOURCE = """
begin = Store.begin
def with_long_source(self, request, **about):
    source = request.source.model_copy(update={"path": "x" * 100_000})
    return begin(self, request.model_copy(update={"source": source}), **about)
Store.begin = with_long_source
"""
LIMIT_FILES_AT_THE_END = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
real = Store.finish
def limited(*args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        return real(*args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
Store.finish = limited
"""
READ_ONLY = """
connect = sqlite3.connect
def only_reading(name, *args, **options):
    return connect(str(name).replace("mode=rw", "mode=ro"), *args, **options)
sqlite3.connect = only_reading
"""
WITHOUT_WAITING = "database.Database.__init__.__kwdefaults__['busy_timeout_s'] = 0.2\n"


def command(*args, before=""):
    """A command in a new process, which runs `before` first."""
    return [sys.executable, "-c", PRELUDE.format(before=before), *map(str, args)]


def ended(*args, before=""):
    """Exit code, standard output and the errors among the lines of standard error."""
    done = subprocess.run(
        command(*args, before=before), capture_output=True, text=True, timeout=GUARD_S, check=False
    )
    return outputs(done.returncode, done.stdout, done.stderr)


def outputs(code, out, err):
    assert "Traceback" not in err
    return code, out, [line for line in err.splitlines() if ".db" in line]


def contents(path="mp2.db"):
    """Every row of a file that is whole, by table."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {name: set(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in names}


def kept(before, path="mp2.db"):
    """Whether all earlier rows are still in the file."""
    after = contents(path)
    return all(rows <= after[name] for name, rows in before.items())


@pytest.fixture
def stored(mp2):
    """A store with a run."""
    assert mp2("search", WEEK, *RULES)[0] == 0
    return contents()


def rescued(document, folder):
    """The whole result, in a file beside the store that refused it."""
    (path,) = folder.glob("mp2-*.json")
    assert document["run_id"] is None
    assert path.name in document["errors"][0]
    whole = json.loads(path.read_text())
    assert {size: groups[:1] for size, groups in whole["groups"].items()} == document["groups"]
    return whole


# --- full -----------------------------------------------------------------------------------------

FULL = re.compile(
    r"mp2: mp2\.db: the disk "
    r"(is full; free some space|reports an error; check it) or pass "
)


@pytest.mark.parametrize(
    "limit", [LIMIT_FILES.format(n_bytes=1000), LIMIT_PAGES.format(method="begin") + LONG_SOURCE]
)
def test_a_disk_that_is_full_at_the_beginning(here, stored, limit):
    code, out, lines = ended("search", WEEK, *RULES, "--json", before=limit)
    assert (code, json.loads(out)["status"], len(lines)) == (1, "failed", 1)
    assert FULL.match(lines[0])
    assert contents() == stored
    assert not list(here.glob("mp2-*.json"))


def test_a_disk_that_is_full_while_searching_is_reported_once_and_the_result_rescued(
    here, stored, endless_table
):
    code, out, lines = ended(
        "search", endless_table, *ENDLESS, *SHORT, before=LIMIT_PAGES.format(method="save_state")
    )
    document = json.loads(out)
    assert (code, document["status"], document["attempts"] > 0) == (1, "wall", True)
    assert sum("could not be stored; retrying" in line for line in lines) == 1
    assert sum(bool(FULL.match(line)) for line in lines) == 1
    assert sum(map(len, rescued(document, here)["groups"].values())) > 1000
    assert kept(stored)


@pytest.mark.parametrize("limit", [LIMIT_FILES_AT_THE_END, LIMIT_PAGES.format(method="finish")])
def test_a_disk_that_is_full_at_the_end_costs_no_result(here, stored, limit, endless_table):
    code, out, lines = ended(
        "search", endless_table, *ENDLESS, *SHORT, "--checkpoint=100s", before=limit
    )
    document = json.loads(out)
    assert (code, document["status"], len(lines)) == (1, "wall", 1)
    assert FULL.match(lines[0])
    rescued(document, here)
    assert kept(stored)


def test_a_disk_that_is_full_while_scanning_ends_the_storing_only(stored):
    code, out, lines = ended(
        "scan", "--json", before=SCANNERS + LIMIT_PAGES.format(method="add_outcome")
    )
    document = json.loads(out)
    assert (code, document["status"], len(document["candidates"])) == (1, "complete", 72)
    assert len(document["errors"]) == 1
    assert sum(bool(FULL.match(line)) for line in lines) == 1
    assert kept(stored)


# --- not to be written ----------------------------------------------------------------------------


def test_a_store_that_may_only_be_read(stored):
    """Also for a superuser, whom permissions do not restrict."""
    with closing(sqlite3.connect("mp2.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = Path("mp2.db").read_bytes()
    for args in (("search", WEEK, *RULES), ("scan",), ("runs", "delete", "last")):
        code, out, lines = ended(*args, before=READ_ONLY + SCANNERS)
        assert (code, len(lines), "scan" in args or not out) == (1, 1, True)
        assert lines[0].startswith(
            "mp2: mp2.db: cannot be written; "
            "change the permissions of the file and its directory or pass"
        )
        assert Path("mp2.db").read_bytes() == before
    assert ended("runs", "show", "last")[0] == 0


def test_permissions_are_named(stored):
    os.chmod("mp2.db", 0o400)
    if os.access("mp2.db", os.W_OK):
        pytest.skip("permissions do not stop a superuser")
    code, _, lines = ended("search", WEEK, *RULES)
    assert (code, lines) == (
        1,
        ["mp2: mp2.db: cannot be written; change its permissions or pass another --db"],
    )


# --- locked ---------------------------------------------------------------------------------------

LOCKED = re.compile(
    r"mp2: mp2\.db: still locked by another program after 0\.2 s; try again when that has ended"
)


class Lock:
    """Another connection that holds a write lock until it is released."""

    def __enter__(self):
        self.connection = sqlite3.connect("mp2.db", isolation_level=None, check_same_thread=False)
        self.connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, *_):
        self.connection.close()


def test_a_store_that_stays_locked(stored):
    with Lock():
        for args in (("search", WEEK, *RULES), ("runs", "delete", "last")):
            code, out, lines = ended(*args, before=WITHOUT_WAITING)
            assert (code, out, len(lines)) == (1, "", 1)
            assert LOCKED.match(lines[0])
        assert ended("runs", "show", "last")[0] == 0
        code, out, lines = ended("scan", "--json", before=WITHOUT_WAITING + SCANNERS)
        assert (code, len(json.loads(out)["candidates"]), len(lines)) == (1, 72, 1)
    assert contents() == stored


def begun(*args, before=""):
    """A search that has stored some state."""
    process = subprocess.Popen(
        command("-vv", *args, before=before),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "stored the state of run" not in (line := process.stderr.readline()):
        assert line, "the search ended before it stored a state"
    return process


def test_a_store_locked_from_some_moment_on_costs_no_result(here, stored, endless_table):
    with (
        begun("search", endless_table, *ENDLESS, *SHORT, before=WITHOUT_WAITING) as process,
        Lock(),
    ):
        code, out, lines = outputs(0, *process.communicate(timeout=GUARD_S))
    code, document = process.returncode, json.loads(out)
    assert (code, document["status"]) == (1, "wall")
    assert sum(bool(LOCKED.match(line)) for line in lines) == 1
    rescued(document, here)
    assert kept(stored)
    listed = json.loads(ended("runs", "list", "--json")[1])["runs"]
    assert [run["status"] for run in listed] == ["interrupted", "complete"]


def test_a_store_locked_for_a_moment_is_waited_for(stored, endless_table):
    with begun(
        "search", endless_table, *ENDLESS, "--budget=6s", "--json-groups=1", before=WITHOUT_WAITING
    ) as process:
        with Lock():
            while "could not be stored; retrying" not in (line := process.stderr.readline()):
                assert line, "the search ended before it met the lock"
        out, err = process.communicate(timeout=GUARD_S)
    assert process.returncode == 0, err
    assert ended("runs", "show", json.loads(out)["run_id"])[0] == 0
    assert kept(stored)


# --- damaged --------------------------------------------------------------------------------------


def damage_header(path):
    with path.open("r+b") as file:
        file.write(b"\xff" * 100)


def damage_middle(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


def cut(path):
    os.truncate(path, path.stat().st_size // 8192 * 4096)


DAMAGED = (
    r"mp2: mp2\.db: "
    r"(is not a database; pass another|is damaged; restore a copy or pass another) --db"
)
DAMAGES = [damage_header, damage_middle, cut]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_reported_and_left_as_it_is(mp2, damage):
    mp2("search", WEEK, *RULES)
    damage(Path("mp2.db"))
    before = Path("mp2.db").read_bytes()
    for args in (
        ("runs", "list"),
        ("runs", "show", "last"),
        ("runs", "export", "last"),
        ("search", WEEK, *RULES),
        ("resume", "last"),
    ):
        code, _, err = mp2(*args)
        if code == 1:
            assert re.match(DAMAGED, err.splitlines()[-1]), err
            assert "Traceback" not in err
        else:  # the requested rows lie in undamaged pages
            assert code in {0, 2}, err
        assert Path("mp2.db").read_bytes() == before or args[0] == "search"
        Path("mp2.db").write_bytes(before)
    assert mp2("runs", "show", "last")[0] == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_store_that_is_damaged_while_searching_costs_no_result(
    here, stored, damage, endless_table
):
    with begun("search", endless_table, *ENDLESS, *SHORT) as process:
        damage(Path("mp2.db"))
        code, out, lines = outputs(0, *process.communicate(timeout=GUARD_S))
    code, document = process.returncode, json.loads(out)
    assert document["attempts"] > 0
    if code == 1:
        assert (
            sum("damaged" in line or "not a database" in line or "disk" in line for line in lines)
            >= 1
        )
        rescued(document, here)
    else:  # SQLite had the needed pages in memory
        assert (code, document["errors"]) == (0, [])


# --- of other versions ----------------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_left_alone(mp2, stored):
    with closing(sqlite3.connect("mp2.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = Path("mp2.db").read_bytes()
    for args in (
        ("search", WEEK, *RULES),
        ("runs", "list"),
        ("resume", "last"),
        ("scan",),
        ("scans", "list"),
    ):
        code, out, err = mp2(*args)
        assert (code, out) == (1, "")
        assert re.fullmatch(
            r"mp2: mp2\.db: was made by a newer mp2 "
            r"\(schema 99, this one knows \d+\); upgrade mp2 or .*\n",
            err,
        )
        assert Path("mp2.db").read_bytes() == before


# --- read while it is written ---------------------------------------------------------------------


def test_others_read_list_and_export_all_the_time_a_search_is_stored(mp2, stored, endless_table):
    whole = mp2("runs", "export", "last")
    n_rounds, seen = 0, set()
    with begun(
        "search", endless_table, *ENDLESS, "--budget=4s", "--top=1000", "--json-groups=1"
    ) as process:
        drained = threading.Thread(target=process.stderr.read)
        drained.start()
        complete = json.loads(mp2("runs", "list", "--json")[1])["runs"][-1]["run_id"]
        while process.poll() is None:
            code, out, err = mp2("runs", "list", "--json")
            assert (code, err) == (0, "")
            seen.add(json.loads(out)["runs"][0]["status"])
            assert mp2("runs", "export", complete) == whole
            assert mp2("runs", "show", complete)[0] == 0
            n_rounds += 1
        drained.join()
        document = json.loads(process.stdout.read())
    assert (process.returncode, document["errors"]) == (0, [])
    assert n_rounds > 3
    assert {"running"} <= seen <= {"running", "wall"}
    assert mp2("runs", "show", document["run_id"])[0] == 0
    assert kept(stored)
