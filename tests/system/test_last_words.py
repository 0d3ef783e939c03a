"""A library that aborts the process: what is still said, with which exit code, and that nothing stored is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from commands import RULES, WEEK, strict_json

from mp2 import _last_words, last_words

DAMAGED = Path(__file__).parent / "bad_inputs" / "damaged_page.parquet"
"""A page says that it holds 2^61 values; polars 2.1 aborts when it cannot have the memory."""
GUARD_S = 60

pytestmark = [
    pytest.mark.usefixtures("here"),
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGABRT comes from an abort in Rust"),
]


def python(*args):
    paths = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "PYTHONPATH": paths, "RUST_BACKTRACE": "0"}
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD_S,
        env=env,
    )
    return done.returncode, done.stdout, done.stderr


def mp2_of_its_own(*args):
    return python("-m", "mp2", *args)


def assert_file_named(code, err):
    """The last line names the file; a version of polars that raises instead of aborting gets the ordinary message."""
    assert code == 2
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"mp2: {DAMAGED}: ")


def test_a_page_that_is_damaged_is_told_and_nothing_stored_is_lost(mp2):
    mp2("search", WEEK, *RULES, "--max-attempts", "10")
    before = mp2("runs", "list", "--json")
    for command in (("search", DAMAGED), ("resume", "last", "--source", DAMAGED)):
        code, out, err = mp2_of_its_own(*command)
        assert_file_named(code, err)
        assert out == ""
    assert mp2("runs", "list", "--json") == before
    with closing(sqlite3.connect("mp2.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert mp2("resume", "last")[0] == 0


def test_asked_for_json_the_last_words_are_json_too():
    code, out, err = mp2_of_its_own("run", DAMAGED, "--json", "--no-store")
    assert_file_named(code, err)
    document = strict_json(out)
    assert document["status"] == "failed"
    assert [f"mp2: {line}" for line in document["errors"]] == err.splitlines()[
        -len(document["errors"]) :
    ]


ABORTED = """
import os, sys
from contextlib import ExitStack
from mp2.cli.main import main
from mp2 import last_words
from mp2.data import signal_reader
def aborting(*args, **options):
    with ExitStack() as files:
        for name in sys.argv[1].split(","):
            files.enter_context(last_words.reading(name))
        with last_words.reading("read before.parquet"):
            pass
        os.abort()
signal_reader.read_signals = aborting
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("files", "named"),
    [("a.parquet", "a.parquet"), ("a.parquet,b\n.pq,a.parquet", "a.parquet or b\\x0a.pq")],
)
def test_every_file_that_is_being_read_is_named(files, named):
    code, out, err = python("-c", ABORTED, files, "search", "x.csv", "--json")
    problem = f"{named}: damaged inside, or larger than the memory: the library that reads it gave up; write the file anew"
    assert (code, err) == (2, f"mp2: {problem}\n")
    assert [error.replace("\n", "\\x0a") for error in strict_json(out)["errors"]] == [problem]


def test_debug_shows_where_the_reading_began():
    code, _, err = python("-c", ABORTED, "a.parquet", "--debug", "search", "x.csv")
    assert code == 2
    assert "in aborting" in err
    assert err.splitlines()[-1].startswith("mp2: a.parquet: ")


HANDLED = """
import os, subprocess, sys
from mp2 import last_words
def teller(problem):
    return problem.encode(), b"out"
if sys.argv[1] == "before":
    os.abort()
with last_words.told_by(teller):
    if sys.argv[1] == "beside":
        os.abort()
    if sys.argv[1] == "interrupted":
        last_words.reading("c.parquet").__enter__()
    with last_words.reading("a.parquet"):
        if sys.argv[1] == "inside":
            os.abort()
        if sys.argv[1] == "outside":
            subprocess.run(["kill", "-ABRT", str(os.getpid())])
with last_words.reading("b.parquet"):
    os.abort()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["inside", "before", "beside", "after", "interrupted", "outside"])
def test_an_abort_elsewhere_stays_one(where):
    ended = 2 if where == "inside" else -signal.SIGABRT
    code, out, err = python("-c", HANDLED, where)
    assert code == ended
    assert (out == "out", "a.parquet: " in err) == (ended == 2,) * 2


LENGTHY = """
import os, sys
from mp2 import _last_words, last_words
def teller(problem):
    return ("Traceback \u20ac\\n" * 5000 + problem).encode(), b"x" * (_last_words.MAX_BYTES + int(sys.argv[1]))
with last_words.told_by(teller), last_words.reading("a.parquet"):
    os.abort()
"""


@pytest.mark.parametrize("n_more", [0, 1])
def test_what_is_too_long_loses_its_beginning(n_more):
    code, out, err = python("-c", LENGTHY, n_more)
    assert code == 2
    assert err.splitlines()[-1].startswith("a.parquet: damaged inside")
    assert set(err.splitlines()[:-1]) == {"Traceback \u20ac"}
    assert len(out) == (0 if n_more else _last_words.MAX_BYTES)


def test_an_error_while_reading_takes_the_words_back():
    with (
        last_words.told_by(lambda problem: (b"", b"")),
        pytest.raises(ValueError, match="wrong"),
        last_words.reading(Path("a")),
    ):
        raise ValueError("wrong")
    assert last_words._paths == []
