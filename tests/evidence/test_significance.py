"""The test of a whole search: p-values, walls, its record and its sentence."""

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mp2
from mp2._replicates import ReplicateWorker
from mp2.demo.market import make_market
from mp2.evidence import replicates as replicates_module
from mp2.evidence import significance as significance_module
from mp2.evidence.settings import LuckSettings
from mp2.evidence.significance import PValues, SignificanceTest, null_summary
from mp2.groups.luck import NullSummary, Significance, TestStatus, shown_p
from mp2.groups.settings import SearchSettings

EXAMPLE = Path(__file__).parents[1] / "oracle" / "golden" / "significance"
EXPECTED = json.loads((EXAMPLE / "significance.json").read_text())
EXPECTED_DAYS = {name: EXPECTED["days_null"][name] for name in ("n_donors", "gap_days")}
SIZES = (2, 3)


def maxima_of(null):
    maxima = {}
    for size in SIZES:
        scores = [EXPECTED["observed"][str(size)], *null["maxima"][str(size)]]
        maxima[size] = np.array([-math.inf if score is None else score for score in scores])
    return maxima


@pytest.mark.parametrize("name", ["tickers", "sectors", "days"])
def test_p_values_are_those_of_the_worked_example(name):
    null = EXPECTED["nulls"][name]
    maxima = maxima_of(null)
    p_values = PValues(maxima)
    p_size = {size: p_values.of_score(size, maxima[size][0]) for size in SIZES}
    assert {str(size): p for size, p in p_size.items()} == null["p_size"]
    assert p_values.of_smallest(min(p_size.values())) == null["p"]
    for size in SIZES:
        for group in null["kept"][str(size)]:
            p_group = p_values.of_score(size, group["score"])
            assert p_group == group["p_size"]
            assert p_values.of_smallest(p_group) == group["p"]


def test_p_is_1_without_a_group_and_never_0():
    p_values = PValues({2: np.array([5.0, 1.0, 2.0]), 3: np.full(3, -math.inf)})
    assert p_values.of_score(2, 5.0) == pytest.approx(1 / 3)
    assert p_values.of_score(3, -math.inf) == 1.0
    assert p_values.of_smallest(1 / 3) == pytest.approx(1 / 3)


def test_one_size_gives_its_own_p():
    scores = np.array([3.0, 1.0, 2.0, 3.0, 4.0])
    p_values = PValues({4: scores})
    for score in scores:
        p_size = p_values.of_score(4, score)
        assert p_values.of_smallest(p_size) == p_size


def test_the_null_is_summarised_by_order_statistics():
    summary = null_summary(np.array([-math.inf, 3.0, 1.0, 2.0]))
    assert (summary.median, summary.mean, summary.q95, summary.max) == (1.0, 2.0, 3.0, 3.0)
    assert summary.none == 0.25
    empty = null_summary(np.full(20, -math.inf))
    assert (empty.median, empty.mean, empty.max, empty.none) == (None, None, None, 1.0)


# ---- the test of a search


RULES = mp2.Rules(**{**EXPECTED["rules"], "retain_sizes": SIZES})


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["tickers", "sectors", "days"])
def test_the_worked_example_in_every_field(panel, prices, name, workers):
    expected = EXPECTED["nulls"][name]
    found = mp2.significance(
        panel,
        prices,
        replicates=EXPECTED["replicates"],
        null=name,
        seed=EXPECTED["seed"],
        sectors=EXAMPLE / "sectors.csv",
        rules=RULES,
        workers=workers,
        **EXPECTED_DAYS,
    )
    assert (found.status, found.covered, found.null_model) == ("complete", 1.0, name)
    assert found.p == expected["p"]
    assert {str(size): p for size, p in found.p_size.items()} == expected["p_size"]
    for size in SIZES:
        drawn = [None if math.isinf(score) else score for score in found.maxima[size][1:]]
        assert drawn == [
            None if score is None else pytest.approx(score, abs=1e-9)
            for score in expected["maxima"][str(size)]
        ]
        assert found.observed[size] == pytest.approx(EXPECTED["observed"][str(size)], abs=1e-9)
        assert found.null[size].none == sum(score is None for score in drawn) / len(drawn)
    if name == "days":
        donors = found.donors[panel.days[0]]
        dates = EXPECTED["days_null"]["donors"][panel.days[0]]
        assert (donors.n, donors.first, donors.last) == (len(dates), min(dates), max(dates))
    else:
        assert found.donors is None


def test_groups_of_a_search_have_their_p(panel):
    result = mp2.search(panel, rules=RULES, replicates=49, seed=7)
    expected = EXPECTED["nulls"]["tickers"]["kept"]
    for size in SIZES:
        for group, other in zip(result.groups(size), expected[str(size)], strict=False):
            assert (group.p, group.p_size) == (other["p"], other["p_size"])
        by_score = [group.p for group in result.groups(size)]
        assert by_score == sorted(by_score)
    assert result.significance.p == min(group.p for group in result.groups(2))


def test_a_result_is_tested_as_its_panel_is(panel):
    result = mp2.search(panel, rules=RULES)
    again = mp2.significance(result, replicates=49, seed=7)
    from_panel = mp2.significance(panel, replicates=49, seed=7, rules=RULES)
    assert (again.p, again.p_size, again.null) == (from_panel.p, from_panel.p_size, from_panel.null)
    with pytest.raises(mp2.InputError, match="loaded without its signals"):
        mp2.significance(replace(result, panel=None))


def test_a_fault_of_the_kernel_gives_no_p(panel, monkeypatch):
    run = significance_module.run_replicates

    def faulty(*args, **kwargs):
        found = run(*args, **kwargs)
        found.maxima[0, 0] = np.nextafter(found.maxima[0, 0], -math.inf)
        return found

    monkeypatch.setattr(significance_module, "run_replicates", faulty)
    with pytest.raises(RuntimeError, match="contradicts the search: best score of size 2"):
        mp2.search(panel, rules=RULES, replicates=19)


def test_a_search_cut_off_is_tested_where_it_was_exhausted(panel):
    part = mp2.search(panel, rules=RULES, max_attempts=6, replicates=49)
    found = part.significance
    assert part.status == "work_limit"
    assert found.status == "partial"
    assert 0 < found.covered < 1
    assert found.sentence().startswith(f"Tested on {int(1000 * found.covered) / 10:.1f}% of the")
    done = {starter.variation_idx for starter in part.starters if starter.status == "exhausted"}
    for size in SIZES:
        for group in part.groups(size):
            assert (group.p is not None) == (group.variation_idx[0] in done)
    whole = mp2.significance(panel, replicates=49, rules=RULES)
    for size in SIZES:
        assert (found.maxima[size] <= whole.maxima[size]).all()


@pytest.mark.parametrize("status", ["wall", "stopped"])
def test_no_test_begins_after_a_wall_or_a_stop(panel, status):
    result = replace(mp2.search(panel, rules=RULES), status=mp2.Status(status))
    test = SignificanceTest(panel, LuckSettings(replicates=19))
    found = test.after_search(result, SearchSettings(), 0, None).significance
    assert found.status == "stopped"
    assert "mp2 test RUN --budget 2m tests what was exhausted" in found.reason
    assert found.sentence() == f"Not tested: {found.reason}."
    assert (found.p, found.p_size, found.covered) == (None, {}, 0.0)


def test_a_wall_before_the_first_starter_gives_no_p(panel):
    result = mp2.search(panel, rules=RULES)
    test = SignificanceTest(panel, LuckSettings(replicates=19))
    tested = test.run(result, workers=2, started_ns=0, budget_ns=1, stop=threading.Event())
    assert tested.significance.status == "stopped"
    assert all(group.p is None for group in tested.groups(2))


def test_fewer_replicates_when_the_wall_is_near(panel, monkeypatch):
    class SlowScoring:
        """Says that every look at it comes after a year of scoring."""

        def __init__(self, search):
            self._worker = ReplicateWorker(search)
            self._n_looks = 0

        def __getattr__(self, name):
            return getattr(self._worker, name)

        @property
        def scoring_ns(self):
            self._n_looks += 1
            return self._n_looks * 10**18

    class Search(replicates_module.ReplicateSearch):
        def worker(self):
            return SlowScoring(self)

    monkeypatch.setattr(replicates_module, "ReplicateSearch", Search)
    found = mp2.significance(panel, replicates=1500, rules=RULES)
    assert (found.replicates, found.replicates_asked) == (499, 1500)
    assert found.p_min == 1 / 500
    assert "499 replicates instead of 1,500" in found.reason
    fewer = mp2.significance(panel, replicates=499, rules=RULES)
    assert (found.p, found.null) == (fewer.p, fewer.null)


def test_inconsistent_wins_are_not_tested():
    frame = pl.DataFrame(
        {
            "algo": ["A", "B"],
            "variation": ["1", "1"],
            "day": ["2024-01-02"] * 2,
            "ticker": ["X", "X"],
            "win": [1, 0],
        }
    )
    result = mp2.search(frame, rules=mp2.Rules(min_daily_hits=0), replicates=19)
    assert result.significance.status == "unavailable"
    assert result.significance.sentence().startswith("Not tested: wins differ between variations")


def test_settings_that_cannot_be_used(panel):
    for settings in ({"replicates": 18}, {"replicates": 10**6 + 1}, {"seed": -1}, {"null": "x"}):
        with pytest.raises(mp2.InputError, match=next(iter(settings))):
            mp2.significance(panel, **settings)
    with pytest.raises(mp2.InputError, match="null: days needs daily bars"):
        mp2.search(panel, replicates=19, null="days")


# ---- the sentence


def record(**changes):
    null = NullSummary(median=154.3, mean=150.0, q95=170.0, max=180.0, none=0.0)
    values = {
        "status": TestStatus.COMPLETE,
        "reason": None,
        "null_model": "days",
        "seed": 0,
        "replicates": 999,
        "replicates_asked": 999,
        "p_min": 0.001,
        "covered": 1.0,
        "p": 0.012,
        "p_size": {3: 0.02, 4: 0.01},
        "observed": {3: 170.0, 4: 174.6},
        "null": {3: null, 4: null},
        "n_groups": {3: 3_521_578, 4: 474_271_561},
        "n_groups_exact": True,
        "donors": None,
        "elapsed_s": 1.0,
        "overrun_s": 0.0,
        "warnings": (),
    }
    return Significance(**(values | changes))


def test_the_sentence_says_what_came_out():
    searches = "of 999 searches of the same 477,793,139 groups with the winners of other days"
    typical = "Typical best by luck: 154.3; here: 174.6."
    assert record().sentence() == (
        f"Better than luck (p = 0.012): {searches}, 11 found a group as good. {typical}"
    )
    assert record(p=0.18).sentence() == (
        f"No better than luck (p = 0.18): {searches}, 179 found a group as good. {typical}"
    )
    assert record(p=0.001).sentence() == (
        f"Better than luck (p = 0.001, the least 999 replicates can show): {searches}, none found "
        f"a group as good. {typical}"
    )
    assert "searches of the same at least 477,793,139" in record(n_groups_exact=False).sentence()
    nothing = record(p=1.0, observed={3: None, 4: None})
    assert nothing.sentence() == "Nothing to test: no group is eligible."
    partial = record(status=TestStatus.PARTIAL, covered=0.62199)
    assert partial.sentence().startswith("Tested on 62.1% of the space only: Better than luck")
    none = NullSummary(median=None, mean=None, q95=None, max=None, none=1.0)
    assert "Typical best by luck: none." in record(null={3: none, 4: none}).sentence()


def test_shuffles_over_all_tickers_need_a_smaller_p():
    assert record(null_model="tickers").sentence().startswith("No better than luck (p = 0.012)")
    better = record(null_model="tickers", p=0.01).sentence()
    assert better.startswith("Better than luck (p = 0.01)")
    assert better.endswith("give a price history or sectors)")


@pytest.mark.parametrize(
    ("p", "text"), [(None, ""), (0.5, "0.500"), (0.001, "0.001*"), (0.0123, "0.012")]
)
def test_the_least_p_is_marked(p, text):
    assert shown_p(p, 0.001) == text


# ---- in the main job


def test_a_resumed_search_is_tested_when_it_ends(panel, tmp_path):
    store = tmp_path / "mp2.db"
    begun = mp2.search(panel, rules=RULES, max_attempts=6, replicates=49, store=store)
    assert begun.significance.status == "partial"
    ended = mp2.resume(store=store, source=panel)
    whole = mp2.search(panel, rules=RULES, replicates=49)
    assert (ended.status, ended.significance.status) == ("complete", "complete")
    assert ended.kept == whole.kept
    with mp2.Store(store) as opened:
        loaded = opened.load(ended.run_id)
    assert loaded.significance == ended.significance
    assert loaded.kept == ended.kept


def test_what_was_in_memory_is_passed_again(panel, prices, tmp_path):
    store = tmp_path / "mp2.db"
    sectors = dict.fromkeys(panel.tickers, "one")
    given = {"prices": prices, "sectors": sectors}
    mp2.search(
        panel, rules=RULES, max_attempts=6, replicates=19, null="sectors", store=store, **given
    )
    with pytest.raises(mp2.InputError, match="pass the price table again"):
        mp2.resume(store=store, source=panel)
    with pytest.raises(mp2.InputError, match="pass them again as sectors"):
        mp2.resume(store=store, source=panel, prices=prices)
    ended = mp2.resume(store=store, source=panel, **given)
    # One sector is a shuffle over all tickers that keeps every day's winners.
    assert ended.significance.null_model == "sectors"


@pytest.mark.slow
@pytest.mark.parametrize("plant", [True, False])
def test_the_demo_shows_both_worlds(plant):
    market = make_market(0, plant=plant)
    run = mp2.run(market.prices, grids=market.grids, budget_s=600, workers=2)
    found = run.result.significance
    assert (found.status, found.null_model) == ("complete", "days")
    assert found.p == 0.001 if plant else found.p > 0.05
