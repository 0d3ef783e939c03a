"""`mp2 runs compare`: what differs between two runs, and what is in common."""

import pytest
from commands import RULES, WEEK, strict_json

from mp2.groups.result import Member
from mp2.picks.records import DayPicks, Outcome, PickStatus, Score, SizePick
from mp2.storage.runs import Store

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def two(mp2):
    """The ids of two searches of the week, the second one with other rules and a test."""
    assert mp2("search", WEEK, *RULES, "--replicates=0")[0] == 0
    assert mp2("search", WEEK, *RULES, "--replicates=19", "--top=20", "--max-size=3")[0] == 0
    runs = strict_json(mp2("runs", "list", "--json")[1])["runs"]
    return [run["run_id"] for run in reversed(runs)]


def pick_and_score(run_id):
    """Store a pick of 14 tickers, of which seven hit."""
    tickers = tuple(f"T{number:02d}" for number in range(14))
    pick = SizePick(rank=1, members=(Member("A", "1", 0),), tickers=tickers)
    figures = {
        "n_tickers": 14,
        "n_picks": 14,
        "n_hits": 7,
        "hit_rate_pp": 50.0,
        "mean_return_pp": 0.25,
        "hit_difference_pp": 0.0,
        "return_difference_pp": 0.125,
    }
    with Store("mp2.db") as store:
        picks = DayPicks(
            run_id=run_id,
            day="2026-01-05",
            assumed=False,
            picks={3: pick},
            votes=(),
            warnings=(),
        )
        store.save_picks(run_id, picks)
        outcome = Outcome(
            run_id=run_id,
            day="2026-01-05",
            status=PickStatus.SCORED,
            session="2026-01-05",
            n_universe=9,
            universe_hit_rate_pp=50.0,
            universe_return_pp=0.125,
            sizes={3: Score(**figures)},
            all_sizes=Score(**figures),
            votes=Score(),
        )
        store.save_outcome(run_id, outcome)


def test_what_differs_and_what_is_in_common(mp2, two):
    code, out, _ = mp2("runs", "compare", *two)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"A is run {two[0]}, B is run {two[1]}"
    rows = [line.split() for line in lines]
    assert ["search.rules.top_k", "1000", "20"] in rows
    assert ["search.rules.max_size", "4", "3"] in rows
    assert ["coverage", "100%", "100%"] in rows
    assert ["3", "58", "20", "20"] in [row[:4] for row in rows]
    assert "No day was picked for by both." in lines
    assert lines[-1] == "No day is scored in both; mp2 outcome scores them."
    document = strict_json(mp2("runs", "compare", *two, "--json")[1])
    assert document["settings"]["search.rules.top_k"] == [1000, 20]
    assert document["groups"]["4"]["n_kept"] == [22, 0]
    assert document["figures"]["p"][0] is None
    assert document["figures"]["p"][1] > 0


def test_a_run_is_the_same_as_itself(mp2, two):
    pick_and_score(two[1])
    _, out, _ = mp2("runs", "compare", "last", two[1][:-1], "--cost-bps=5")
    assert "All settings are the same." in out
    assert "2026-01-05  3      14  14  14      T00 T01 T02" in out
    assert " T11 and 2 more" in out
    assert "On 1 day scored in both:" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("3, B"))
    assert row[:6] == ["3,", "B", "14", "1", "0", "50.0%"]
    assert row[-1] == "0.15%"
