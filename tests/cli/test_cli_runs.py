"""Lists of runs: figures, order, filters; runs that are pruned; the days a run was picked for."""

import datetime
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from commands import RULES, WEEK, command_output, strict_json
from places import STORES

from mp2.cli.runs import STATUSES, sorted_runs
from mp2.groups.result import Member, Status
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score, SizePick
from mp2.storage.picked import PickedOutcome
from mp2.storage.runs import RunSummary, Store

pytestmark = pytest.mark.usefixtures("here")


def summary(run_id, **values):
    return RunSummary(
        run_id=run_id,
        started_at="2026-01-01T00:00:00Z",
        source="a.csv",
        status="complete",
        budget_s=5.0,
        elapsed_s=values.pop("elapsed_s", None),
        coverage=None,
        attempts=None,
        n_kept={},
        **{"best_score": {}, **values},
    )


@pytest.fixture(scope="module")
def db_of_four(tmp_path_factory):
    """A database of four runs: two long ago, one that made its attempts, a complete one."""
    db = tmp_path_factory.mktemp("four") / "mp2.db"
    for options in ([], ["--max-size=3"], ["--replicates=0", "--max-attempts=10"], []):
        command_output("search", WEEK, *RULES, *options, "--db", db)
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE run SET started_at = '2020-01-01T00:00:00Z' WHERE run <= 2")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return db


@pytest.fixture
def four(mp2, here, db_of_four):
    """The ids of four runs of `mp2.db`, newest first."""
    shutil.copy(db_of_four, here / "mp2.db")
    return [run["run_id"] for run in strict_json(mp2("runs", "list", "--json")[1])["runs"]]


def test_the_list_has_day_budget_score_and_p(mp2):
    # A path as long as that of a checkout may be would take a second line.
    shutil.copy(WEEK, "week.csv")
    assert mp2("search", "week.csv", *RULES, "--replicates=19", "--budget=30s")[0] == 0
    (run,) = strict_json(mp2("runs", "list", "--json")[1])["runs"]
    header, row = mp2("runs", "list")[1].splitlines()
    assert header.split()[:8] == [
        "run",
        "last",
        "day",
        "status",
        "budget",
        "time",
        "coverage",
        "best",
    ]
    best = ", ".join(f"{size}: {score:.2f}" for size, score in run["best_score"].items())
    assert f"{run['run_id']}  {run['last_day']}  complete  30.0 s" in row
    assert f"100%      {best}  {run['p']:.3g} " in row
    shown = strict_json(mp2("runs", "show", "last", "--json")[1])
    assert (run["last_day"], run["p"]) == (shown["days"][-1], shown["significance"]["p"])


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (None, "abc"),
        ("day", "bac"),
        ("time", "cab"),
        ("score", "acb"),
        ("p", "bac"),
        ("budget", "abc"),
        ("coverage", "abc"),
        ("outcome", "cab"),
    ],
)
def test_the_order_of_a_list(by, order):
    runs = [
        summary("a", last_day="2026-01-02", elapsed_s=1.0, best_score={3: 1.0, 4: 9.0}, p=0.5),
        summary("b", last_day="2026-01-03", best_score={3: None}, p=0.01),
        summary("c", elapsed_s=2.0, best_score={3: 5.0}),
    ]
    outcome = PickedOutcome(n_days=1, hit_rate_pp=50.0, universe_hit_rate_pp=55.0)
    runs[0] = replace(runs[0], outcome=outcome)
    runs[2] = replace(runs[2], outcome=replace(outcome, universe_hit_rate_pp=45.0))
    assert "".join(run.run_id for run in sorted_runs(runs, by)) == order


def test_a_list_is_sorted_filtered_and_cut(mp2, four):
    def listed(*args):
        return [
            run["run_id"] for run in strict_json(mp2("runs", "list", "--json", *args)[1])["runs"]
        ]

    assert listed("--status", "work_limit") == [four[1]]
    assert listed("--source", "WEEK-prices") == four
    assert listed("--source", "other") == []
    assert listed("--status", "complete", "--limit", "2") == [four[0], four[2]]
    assert mp2("runs", "list", "--status", "complete", "--limit", "2")[1].endswith(
        "\n1 more are not shown; --limit 0 lists all\n"
    )


def test_all_statuses_can_be_asked_for():
    assert set(Status) <= set(STATUSES)


@pytest.mark.parametrize(
    ("args", "deleted"),
    [
        (["--keep", "3"], [3]),
        (["--keep", "0"], [0, 1, 2, 3]),
        (["--older", "90d"], [2, 3]),
        (["--older", "90d", "--keep", "3"], [3]),
        (["--older", "90d", "--keep", "1"], [2, 3]),
        (["--older", "9000000d"], []),
    ],
)
def test_old_runs_are_pruned(mp2, four, args, deleted):
    expected = [four[idx] for idx in deleted]
    code, out, _ = mp2("runs", "prune", *args, "--dry-run", "--json")
    assert (code, strict_json(out)["deleted"]) == (0, expected)
    assert len(strict_json(mp2("runs", "list", "--json")[1])["runs"]) == 4
    code, out, _ = mp2("runs", "prune", *args)
    lines = [*expected, f"Deleted {len(deleted)} run{'s' if len(deleted) != 1 else ''}."]
    assert (code, out.splitlines()) == (0, lines)
    left = strict_json(mp2("runs", "list", "--json")[1])["runs"]
    assert [run["run_id"] for run in left] == [run for run in four if run not in expected]


def test_a_running_run_is_not_pruned(mp2, four):
    with closing(sqlite3.connect("mp2.db", isolation_level=None)) as connection:
        connection.execute("UPDATE run SET status = 'running', host = 'elsewhere'")
        connection.execute(
            "UPDATE run SET heartbeat_at = ?", (datetime.datetime.now(datetime.UTC).isoformat(),)
        )
    assert mp2("runs", "prune", "--keep", "0")[1] == "Deleted 0 runs.\n"


def test_every_day_picked_is_shown_with_its_outcome(mp2):
    assert mp2("search", WEEK, *RULES)[0] == 0
    with Store("mp2.db") as store:
        run_id = store.find("last")
        member = Member(algo="A", variation="1", variation_idx=0)
        for day, tickers in (("2026-01-05", ("T1", "T2")), ("2026-01-06", ("T3",))):
            pick = SizePick(rank=1, members=(member,), tickers=tickers)
            picks = DayPicks(
                run_id=run_id,
                day=day,
                assumed=False,
                picks={3: pick, 4: None},
                votes=(),
                warnings=(),
            )
            store.save_picks(run_id, picks)
        score = Score(
            n_tickers=2,
            n_picks=2,
            n_hits=1,
            hit_rate_pp=50.0,
            mean_return_pp=0.25,
            hit_difference_pp=-5.0,
            return_difference_pp=0.125,
            cost_bps=5.0,
            net_return_pp=0.15,
        )
        outcome = Outcome(
            run_id=run_id,
            day="2026-01-05",
            status=PickStatus.SCORED,
            session="2026-01-05",
            n_universe=9,
            universe_hit_rate_pp=55.0,
            universe_return_pp=0.125,
            sizes={3: score, 4: None},
            all_sizes=score,
            votes=Score(),
        )
        store.save_outcome(run_id, outcome)
    rows = mp2("runs", "show", "last")[1].splitlines()[-4:]
    assert [row.split() for row in rows] == [
        [
            "2026-01-05",
            "3",
            "1",
            "of",
            "2",
            "50.0%",
            "55.0%",
            "-5.0",
            "0.25%",
            "+0.12",
            "0.15%",
            "T1",
            "T2",
        ],
        ["2026-01-05", "4", "no", "pick"],
        ["2026-01-06", "3", "T3"],
        ["2026-01-06", "4", "no", "pick"],
    ]
    first, second = strict_json(mp2("runs", "show", "last", "--json")[1])["days_picked"]
    assert (first["day"], first["tickers"]) == ("2026-01-05", {"3": ["T1", "T2"], "4": None})
    assert first["outcome"]["sizes"]["3"]["n_hits"] == 1
    assert second["outcome"] is None
    (listed,) = strict_json(mp2("runs", "list", "--json")[1])["runs"]
    assert listed["outcome"] == {
        "n_days": 1,
        "hit_rate_pp": 50.0,
        "universe_hit_rate_pp": 55.0,
    }
    assert "  50.0% vs 55.0%  " in mp2("runs", "list")[1]


def test_a_run_of_an_earlier_version_lists_groups_in_place_of_ideas(mp2, here):
    shutil.copy(STORES / "v2.sqlite", here / "mp2.db")
    code, out, _ = mp2("runs", "show", "last", "--show", "2", "--groups")
    assert code == 0
    assert "Size 3: best 2 of 3 kept, 21 eligible" in out
    assert "Rests on  A0 v1" in out
    assert "(rank 1)" in out
    _, out, _ = mp2("runs", "show", "last", "--json")
    assert json.loads(out)["n_ideas"] == {}


def test_the_picked_idea_is_marked_and_its_rule_said_once(mp2):
    mp2("search", WEEK, *RULES, "--replicates=0")
    _, out, _ = mp2("runs", "show", "last", "--show", "1000", "--groups")
    document = strict_json(mp2("runs", "show", "last", "--json")[1])
    for size, picked in document["picks"].items():
        place = f"(rank {picked['rank']}, idea {picked['idea']}/{document['n_ideas'][size]}"
        assert place in " ".join(out.split())
    marked = [line.split()[0] for line in out.splitlines() if line.lstrip().startswith("*")]
    ranks = []
    for size, picked in document["picks"].items():
        (idea,) = [one for one in document["ideas"][size] if one["idea"] == picked["idea"]]
        ranks.append(f"*{idea['rank']}")
    assert marked == ranks
    rule = "Rule      of the 40% steadiest kept groups the score next above mean + 1 sd"
    assert out.splitlines().count(rule) == 1
