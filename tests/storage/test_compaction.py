"""Compacted runs: what is left, what is said of the rest, and which runs stay whole."""

import json
import sqlite3
from contextlib import closing

import pytest
from commands import RULES, WEEK
from nights import FIRST, Nights

import mp2 as package
from mp2.storage import compaction
from mp2.storage.runs import Store

N_IDEAS = 3


@pytest.fixture
def few_ideas(monkeypatch):
    monkeypatch.setattr(compaction, "N_IDEAS", N_IDEAS)


@pytest.fixture
def searched(mp2):
    """A store with one complete run, as a document and as a result."""
    mp2("search", WEEK, *RULES, "--replicates=19")
    with Store("mp2.db", read_only=True) as store:
        run_id = store.find("last")
        return run_id, store.load(run_id)


def compact(run_id):
    with Store("mp2.db") as store:
        return store.compact(run_id)


def loaded(run_id, **settings):
    with Store("mp2.db", read_only=True) as store:
        return store.load(run_id, **settings)


def test_groups_of_the_best_ideas_stay_and_everything_else_is_whole(few_ideas, searched):
    run_id, whole = searched
    assert compact(run_id)
    left = loaded(run_id)
    for size, groups in whole.kept.items():
        picked = whole.picked_rank[size]
        expected = [one for one in groups if one.idea <= N_IDEAS or one.rank == picked]
        assert list(left.kept[size]) == expected
        assert 0 < len(expected) < len(groups)
        assert left.ideas[size] == whole.ideas[size][:N_IDEAS]
    for name in {*whole.__dataclass_fields__} - {"kept", "ideas", "warnings", "panel"}:
        assert getattr(left, name) == getattr(whole, name), name


def test_it_says_what_is_no_longer_there(few_ideas, searched):
    run_id, whole = searched
    compact(run_id)
    sentence = loaded(run_id).warnings[-1]
    n_ideas = {size: len(ideas) for size, ideas in whole.ideas.items()}
    assert sentence.startswith("compacted on ")
    for size in whole.kept:
        assert f"of {whole.n_kept[size]:,} groups of size {size} (3 of {n_ideas[size]} ideas)" in (
            sentence
        )
    assert whole.warnings == loaded(run_id).warnings[:-1]


def test_the_rows_are_gone_and_the_file_is_whole(searched):
    run_id, _ = searched
    compact(run_id)
    with closing(sqlite3.connect("mp2.db")) as connection:
        for table in ("starter", "kept_group"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_second_time_changes_nothing(searched):
    run_id, _ = searched
    assert [compact(run_id), compact(run_id)] == [True, False]


def test_a_run_that_can_be_resumed_is_never_compacted(mp2):
    mp2("search", WEEK, *RULES, "--max-attempts=3", "--replicates=0")
    with Store("mp2.db", read_only=True) as store:
        run_id = store.find("last")
    before = loaded(run_id)
    assert not compact(run_id)
    assert loaded(run_id) == before
    assert mp2("resume", "last")[0] == 0
    assert compact(run_id)


def test_a_deleted_run_takes_its_blobs_along(mp2, searched):
    run_id, _ = searched
    compact(run_id)
    mp2("runs", "delete", "last")
    with closing(sqlite3.connect("mp2.db")) as connection:
        assert connection.execute("SELECT count(*) FROM compacted").fetchone() == (0,)


# --- the commands --------------------------------------------------------------------------------


def test_show_and_export_work_and_say_it(mp2, few_ideas, searched):
    run_id, _ = searched
    compact(run_id)
    code, out, err = mp2("runs", "show", "last", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["warnings"][-1].startswith("compacted on ")
    code, out, err = mp2("runs", "show", "last")
    assert code == 0
    assert "compacted on" in out + err
    code, out, err = mp2("runs", "export", "last")
    assert (code, len(out.splitlines())) == (0, 1 + sum(map(len, loaded(run_id).kept.values())))
    assert f"run {run_id}: compacted on" in err
    _, out, _ = mp2("runs", "export", "last", "--format", "json")
    assert json.loads(out)["warnings"][-1].startswith("compacted on ")
    assert mp2("runs", "list")[0] == 0


def test_a_comparison_says_it(mp2, few_ideas, searched):
    run_id, _ = searched
    compact(run_id)
    _, out, _ = mp2("runs", "compare", run_id, run_id, "--json")
    assert json.loads(out)["warnings"][0].startswith(f"run {run_id}: compacted on ")


def test_a_test_for_luck_needs_the_whole_run(mp2, searched):
    run_id, _ = searched
    compact(run_id)
    code, _, err = mp2("test", "last", "--replicates", "19")
    assert code == 2
    assert "compacted on" in err
    assert "search again for all of it" in err


# --- nights --------------------------------------------------------------------------------------


def tables(path):
    names = ("starter", "kept_group", "compacted")
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names]


def test_nights_compact_their_runs(tmp_path):
    nights = Nights(tmp_path)
    first = nights.run(FIRST)
    assert tables(nights.db) == [0, 0, 1]
    night = nights.run(FIRST + 1)
    assert tables(nights.db) == [0, 0, 2]
    # What the picks rest on is still judged.
    assert [one.run_id for one in night.scored] == [first.last.picks.run_id]


def test_a_compacted_run_picks_for_later_days_as_a_whole_one(mp2, here):
    picked = []
    for name, compacted in (("small", True), ("whole", False)):
        (here / name).mkdir()
        nights = Nights(here / name)
        nights.run(FIRST, compact=compacted)
        nights.grow(FIRST + 2)
        code, out, _ = mp2(
            *("pick", "last", "--db", nights.db, "--prices", nights.bars),
            *("--grids", nights.folder / "grids.toml", "--json"),
        )
        document = json.loads(out)
        picked.append((code, document["day"], document["picks"], document["votes"]))
    assert picked[0] == picked[1]


def test_nights_may_keep_all(tmp_path):
    nights = Nights(tmp_path)
    nights.run(FIRST, compact=False)
    n_starters, n_groups, n_compacted = tables(nights.db)
    assert (n_starters > 0, n_groups > 0, n_compacted) == (True, True, 0)


def test_a_night_that_met_its_wall_is_not_compacted(tmp_path):
    nights = Nights(tmp_path)
    night = nights.run(FIRST, max_attempts=1)
    assert night.last.status == "work_limit"
    assert tables(nights.db)[2] == 0
    assert package.resume(store=nights.db).result.status == "complete"


def test_what_is_damaged_is_named(searched):
    run_id, _ = searched
    compact(run_id)
    with closing(sqlite3.connect("mp2.db", isolation_level=None)) as connection:
        connection.execute("UPDATE compacted SET kept_groups = x'00'")
    with pytest.raises(package.StoreError, match=f"run {run_id} is damaged"):
        loaded(run_id)
