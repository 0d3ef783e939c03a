"""Two runs side by side: what differs, what both kept and picked, and how it did."""

from dataclasses import replace

import pytest
from sheets import MONDAY, TUESDAY, prices_of, result_of

from mp2.errors import InputError
from mp2.groups.result import Member
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.picks.outcome import score
from mp2.picks.records import DayPicks, SizePick
from mp2.storage.comparison import compare_runs
from mp2.storage.request import PricesFile, Request
from mp2.storage.runs import Store

PRICES = prices_of((MONDAY, TUESDAY), {"A": [2, 1], "B": [-1, -1], "C": [1, 1], "D": [0, -1]})


def stored(store, kept, picked, **search):
    """Store a run with these groups, and picks of size 2 by day; Monday's are scored."""
    request = Request(source=PricesFile(path="bars.csv"), search=SearchSettings(**search))
    run_id = store.begin(request, input_fingerprint="f" * 64)
    numbers = dict.fromkeys(kept, 1)
    result = replace(result_of(kept), tested=numbers, eligible=numbers, run_id=None)
    store.finish(run_id, result)
    for day, tickers in picked.items():
        pick = SizePick(rank=1, members=(Member("A", "1", 0),), tickers=tuple(tickers))
        picks = DayPicks(
            run_id=run_id, day=day, assumed=False, picks={2: pick}, votes=(), warnings=()
        )
        store.save_picks(run_id, picks)
        if day == MONDAY:
            store.save_outcome(run_id, score(picks, PRICES))
    return run_id


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "mp2.db") as store:
        yield store


def test_two_runs_side_by_side(store):
    first = stored(
        store, {2: ["A 1 + B 1", "A 2 + B 1"], 3: []}, {MONDAY: "AB", TUESDAY: "AC"}, budget_s=5.0
    )
    second = stored(
        store, {2: ["A 2 + B 1", "A 3 + B 3"]}, {MONDAY: "AC"}, rules=Rules(top_k=7), budget_s=9.0
    )
    compared = compare_runs(store, first, second, cost_bps=10.0)
    assert compared.run_ids == (first, second)
    assert compared.settings == {
        "search.budget_s": (5.0, 9.0),
        "search.rules.top_k": (1000, 7),
    }
    assert compared.figures["status"] == ("complete", "complete")
    assert compared.figures["p"] == (None, None)
    two = compared.groups[2]
    assert (two.n_kept, two.n_common) == ((2, 2), 1)
    assert (two.best_score, two.picked_score) == ((99.0, 99.0), (99.0, 99.0))
    assert compared.groups[3].n_kept == (0, 0)
    common = {one.picks: one for one in compared.picks}
    assert {one.day for one in compared.picks} == {MONDAY}
    assert (common["2"].n_tickers, common["2"].common) == ((2, 2), ("A",))
    assert (common["all"].n_tickers, common["votes"].n_tickers) == ((2, 2), (0, 0))
    assert compared.scored_days == (MONDAY,)
    of_first, of_second = compared.outcomes["2"]
    assert (of_first.hit_rate_pp, of_second.hit_rate_pp) == (50.0, 100.0)
    assert of_first.net_return_pp == pytest.approx(0.5 - 0.2, abs=0.01)
    assert of_first.n_days == of_second.n_days == 1
    assert compared.outcomes["3"][0].n_days == 0
    assert compared.to_dict()["groups"]["2"]["n_common"] == 1
    assert "days scored in both  1" in repr(compared)


def test_a_run_without_a_result_is_not_compared(store):
    first = stored(store, {2: ["A 1 + B 1"]}, {})
    request = Request(source=PricesFile(path="bars.csv"), search=SearchSettings())
    second = store.begin(request, input_fingerprint="f" * 64)
    with pytest.raises(InputError, match="has no result: it is still running"):
        compare_runs(store, first, second)
