"""What a shell completes behind a command."""

import os
import shutil

import pytest
from commands import RULES, WEEK
from places import STORES


@pytest.fixture
def completed(mp2, monkeypatch):
    """Returns the values that a shell gets for a line, whose last word is to be completed."""

    def complete(line):
        monkeypatch.setenv("_MP2_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        code, out, _ = mp2()
        monkeypatch.delenv("_MP2_COMPLETE")
        assert code == 0
        return [entry.split(",", 1)[1] for entry in out.split()]

    return complete


def test_ids_of_runs_of_the_named_database(mp2, completed):
    assert mp2("search", WEEK, *RULES, "--db", "mine.db")[0] == 0
    (run_id,) = completed("mp2 --db mine.db runs show ")
    assert completed(f"mp2 pick --db mine.db {run_id[:9]}") == [run_id]
    assert completed("mp2 runs export --db mine.db 1999") == []
    assert completed("mp2 runs show ") == []


@pytest.mark.parametrize("line", ["mp2 --db broken.db test ", "mp2 --db broken.db scans show "])
def test_a_database_that_cannot_be_read_completes_nothing(completed, here, line):
    (here / "broken.db").write_text("no database")
    assert completed(line) == []
    assert os.listdir(here) == ["broken.db"]


def test_names_of_scanners_also_after_a_comma(completed):
    assert completed("mp2 scanners show vol") == ["volume_accumulation", "volatility_contraction"]
    assert completed("mp2 scan --only sql,break") == ["sql,breakout_52w"]


def test_ids_of_scans(mp2, completed):
    mp2("scan", "--only", "sql")
    (scan_id,) = completed("mp2 scans delete ")
    assert completed("mp2 pick last --scan-id ") == [scan_id]


def test_ids_of_walks_and_of_two_runs(completed, here):
    shutil.copy(STORES / "v11.sqlite", here / "mp2.db")
    (walk_id,) = completed("mp2 walks show ")
    assert completed("mp2 walkforward --resume ") == [walk_id]
    runs = completed("mp2 runs compare ")
    assert len(runs) == 3
    assert completed(f"mp2 runs compare {runs[0]} ") == runs
