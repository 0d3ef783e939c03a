"""`mp2 resume`: sessions of a run add up to one search; a run that cannot resume gives a reason."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from commands import RULES, WEEK, strict_json
from places import GOLDEN
from test_cli_prices import GRIDS, SEARCH

from mp2.data.prices import to_frame
from mp2.demo.market import make_market
from mp2.groups.settings import SearchSettings
from mp2.storage.request import InMemory, Request
from mp2.storage.runs import Store

LASTING = (
    "status",
    "coverage",
    "attempts",
    "tested",
    "eligible",
    "score_mean",
    "score_std",
    "groups",
    "picks",
    "n_exhausted",
)

pytestmark = pytest.mark.usefixtures("here")


def lasting(out):
    document = strict_json(out)
    return {name: document[name] for name in LASTING}


def begun(mp2, *args):
    """A run of few attempts a starter."""
    code, out, _ = mp2("search", WEEK, *RULES, "--json", "--max-attempts", "10", *args)
    assert code in {0, 4}
    document = strict_json(out)
    assert document["status"] == "work_limit"
    return document


def test_a_resumed_run_is_one_that_was_never_interrupted(mp2):
    whole = lasting(mp2("search", WEEK, *RULES, "--json", "--no-store")[1])
    first = begun(mp2)
    code, out, _ = mp2("resume", "last", "--json", "--max-attempts", "20")
    assert strict_json(out)["status"] == "work_limit"
    assert strict_json(out)["attempts"] > first["attempts"]
    more = ("--workers", "2", "--budget", "50s", "--table-memory", "0")
    code, out, _ = mp2("resume", "last", "--json", *more)
    assert code == 0
    assert lasting(out) == whole
    document = strict_json(out)
    assert document["run_id"] == first["run_id"]
    assert document["budget_s"] == 60 + 60 + 50
    assert document["elapsed_s"] > first["elapsed_s"]
    code, out, _ = mp2("runs", "show", "last", "--json")
    assert lasting(out) == whole
    with closing(sqlite3.connect("mp2.db")) as connection:
        for table in ("run_state", "starter_state", "kept_state"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_resumed_run_keeps_ideas_as_it_began(mp2):
    signals = GOLDEN / "aliases-and-ties.csv"
    searching = ("search", signals, *RULES, "--keep", "ideas", "--top", "1", "--json")
    whole = strict_json(mp2(*searching, "--no-store")[1])
    begun = strict_json(mp2(*searching, "--max-attempts", "10")[1])
    assert (whole["keep"], begun["keep"], begun["status"]) == ("ideas", "ideas", "work_limit")
    code, _, err = mp2("resume", "last", "--keep", "groups")
    assert code == 2
    assert "No such option" in err
    code, out, _ = mp2("resume", "last", "--json")
    assert code == 0
    document = strict_json(out)
    assert document["ideas"] == whole["ideas"]
    assert lasting(out) == {name: whole[name] for name in LASTING}
    shown = mp2("runs", "show", "last", "--groups")[1]
    assert "of ideas: 1 kept; groups: 16 eligible" in shown
    assert strict_json(mp2("runs", "show", "last", "--json")[1])["keep"] == "ideas"


def test_a_run_that_died_before_its_work_limit_resumes_up_to_it(mp2):
    whole = lasting(mp2("search", WEEK, *RULES, "--json", "--no-store", "--max-attempts", "30")[1])
    begun(mp2)
    with (
        closing(sqlite3.connect("mp2.db")) as connection,
        connection,
    ):  # as if the process was killed, with more attempts to do
        request = json.loads(connection.execute("SELECT request FROM run").fetchone()[0])
        assert request["search"]["max_attempts"] == 10
        request["search"]["max_attempts"] = 30
        connection.execute(
            "UPDATE run SET status = 'running', process_start = '1', request = ?",
            (json.dumps(request),),
        )
    assert lasting(mp2("resume", "last", "--json")[1]) == whole


def test_a_work_limit_that_was_exceeded_limits_no_later_session(mp2):
    begun(mp2)
    done = lasting(mp2("resume", "last", "--json", "--budget", "50s")[1])
    assert done["status"] == "complete"
    with closing(sqlite3.connect("mp2.db")) as connection, connection:
        request = json.loads(connection.execute("SELECT request FROM run").fetchone()[0])
    assert request["search"]["max_attempts"] is None


@pytest.mark.slow
def test_the_picks_of_a_resumed_run_are_made_again(mp2, here):
    (here / "grids.toml").write_text(GRIDS)
    to_frame(make_market(5, plant=False).prices).write_parquet("bars.parquet")
    options = ("bars.parquet", *SEARCH, "--json")
    whole = strict_json(mp2("run", *options, "--no-store")[1])
    assert strict_json(mp2("run", *options, "--max-attempts", "20")[1])["status"] == "work_limit"
    document = strict_json(mp2("resume", "last", "--json")[1])
    assert document["status"] == "complete"
    for name in ("groups", "next_day"):
        mine, its = ({**part[name]} for part in (document, whole))
        mine.pop("run_id", None), its.pop("run_id", None)
        assert mine == its


def test_the_output_names_the_command_that_resumes(mp2):
    _, out, _ = mp2("search", WEEK, *RULES, "--max-attempts", "30")
    run_id = strict_json(mp2("runs", "list", "--json")[1])["runs"][0]["run_id"]
    change = f"The picks will change when it completes: mp2 resume {run_id}"
    assert change in " ".join(out.split())


def test_a_complete_run_is_not_resumed(mp2):
    mp2("search", WEEK, *RULES)
    code, _, err = mp2("resume", "last")
    assert code == 2
    assert "cannot be resumed: it is complete" in err


def test_a_table_that_has_changed_is_refused_and_one_that_was_moved_is_found(mp2, tmp_path):
    table = tmp_path / "week.csv"
    shutil.copy(WEEK, table)
    mp2("search", table, *RULES, "--max-attempts", "30")
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    code, _, err = mp2("resume", "last")
    assert code == 2
    assert err.splitlines()[-1].startswith(f"mp2: {table}: is not what run ")
    other = shutil.copy(table, tmp_path / "other.csv")
    code, _, err = mp2("resume", "last", "--source", other)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"mp2: {other}: is not what run ")
    assert mp2("resume", "last", "--source", WEEK)[0] == 0


def test_a_run_of_a_living_process_is_not_taken_over(mp2):
    with Store("mp2.db") as store:
        request = Request(source=InMemory(holds="signals"), search=SearchSettings())
        store.begin(request, input_fingerprint="f")
    code, _, err = mp2("resume", "last")
    assert code == 2
    assert "cannot be resumed: it is still running" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE run_state SET layout = '{}'", "is damaged and cannot be read back"),
        ("UPDATE starter_state SET record = zeroblob(7)", "is damaged and cannot be read back"),
        (
            "UPDATE starter_state SET record = zeroblob(length(record))",
            "cannot resume from this state",
        ),
        (
            "UPDATE kept_state SET members = zeroblob(length(members))",
            "cannot resume from this state",
        ),
        ("UPDATE kept_state SET scores = zeroblob(3)", "is damaged and cannot be read back"),
        (
            "UPDATE run SET request = '{}'",
            "damaged and cannot be read back (source: Field required",
        ),
    ],
)
def test_a_run_that_cannot_be_resumed_is_reported_and_kept(mp2, change, message):
    before = begun(mp2)
    with closing(sqlite3.connect("mp2.db")) as connection, connection:
        connection.execute(change)
    code, _, err = mp2("resume", "last")
    assert code in {1, 2}
    assert message in err
    assert "Traceback" not in err
    assert json.loads(mp2("runs", "show", "last", "--json")[1])["attempts"] == before["attempts"]


@pytest.mark.slow
def test_a_demo_has_no_source(mp2):
    mp2("demo", "--max-attempts", "30")
    demo = ("resume", "last", "--db", "mp2-demo.db")
    code, _, err = mp2(*demo, "--source", WEEK)
    assert code == 2
    assert "reads no file; leave it out" in err
    assert mp2(*demo, "--json")[0] == 0


@pytest.mark.parametrize(
    ("args", "variable", "file"),
    [
        ([], None, "mp2-demo.db"),
        ([], ("MP2_DB", "mine.db"), "mine-demo.db"),
        (["--db", "named.db"], ("MP2_DB", "mine.db"), "named.db"),
        ([], ("MP2_DEMO_DB", "named.db"), "named.db"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_demo_has_a_database_of_its_own(mp2, here, monkeypatch, args, variable, file, first):
    stored = []
    monkeypatch.setattr(
        "mp2.cli.run._run", lambda source, signals, options: stored.append(options["db"])
    )
    if variable is not None:
        monkeypatch.setenv(*variable)
    words = [*args, "demo"] if first else ["demo", *args]
    _, out, _ = mp2(*words)
    assert [str(path) for path in stored] == [file]
    assert out == f"The database of the demo is {file}: mp2 --db {file} runs list\n"


def test_fewer_attempts_than_were_made_are_refused_and_nothing_is_lost(mp2):
    before = begun(mp2)
    code, _, err = mp2("resume", "last", "--max-attempts", "5")
    assert code == 2
    assert "max_attempts: 5 is less than the 10 already made; give more, or leave it out" in err
    assert json.loads(mp2("runs", "show", "last", "--json")[1])["attempts"] == before["attempts"]
    assert mp2("resume", "last")[0] == 0
