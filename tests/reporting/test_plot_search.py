"""Figures of scores, of the course of a search, of runs compared and of the market."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from commands import RULES, WEEK
from market_bars import walk
from sheets import result_of

import mp2 as package
from mp2 import plot
from mp2.errors import InputError
from mp2.groups.histogram import N_BINS, counted_scores
from mp2.groups.luck import NullSummary, Significance, TestStatus
from mp2.groups.result import ProgressSample
from mp2.picks.records import DayPicks, SizePick
from mp2.storage.runs import RunSummary


def result_with_luck():
    """A result of size 2 whose best score is 99, tested with two searches by luck."""
    counts = counted_scores(np.array([50.0, 99.0]))
    null = NullSummary(median=50.0, mean=74.5, q95=99.0, max=99.0, none=0.0, n_scores=counts)
    significance = Significance(
        status=TestStatus.COMPLETE,
        reason=None,
        null_model="days",
        seed=0,
        replicates=2,
        replicates_asked=2,
        p_min=1 / 3,
        covered=1.0,
        p=2 / 3,
        p_size={2: 2 / 3},
        observed={2: 99.0},
        null={2: null},
        n_groups={2: 3},
        n_groups_exact=True,
        donors=None,
        elapsed_s=0.1,
        overrun_s=0.0,
        warnings=(),
    )
    return result_of(
        {2: ["A 1 + B 1", "A 1 + B 2"]},
        n_scores={2: counted_scores(np.array([99.0, 98.0, 10.0]))},
        significance=significance,
    )


def bars(figure):
    return {one.name: one for one in figure.data}


def test_scores_are_counts_of_groups_above_those_of_luck():
    drawn = bars(plot.scores(result_with_luck(), 2))
    groups = drawn["eligible groups (logarithmic)"]
    filled = {x: y for x, y in zip(groups.x, groups.y, strict=True) if y}
    assert filled == {12.5: 1, 97.5: 2}
    below = drawn["best score of one search by luck"]
    as_good = drawn["about as good as the best tested, 99.0"]
    assert {x for x, y in zip(below.x, below.y, strict=True) if y} == {52.5}
    assert {x for x, y in zip(as_good.x, as_good.y, strict=True) if y} == {97.5}


def test_a_test_of_a_part_is_measured_by_the_best_group_of_that_part():
    result = result_with_luck()
    part = replace(result.significance, covered=0.1, observed={2: 52.0})
    drawn = bars(plot.scores(replace(result, significance=part), 2))
    as_good = drawn["about as good as the best tested, 52.0"]
    assert {x for x, y in zip(as_good.x, as_good.y, strict=True) if y} == {52.5, 97.5}
    page = package.report(replace(result, significance=part))
    assert "They cover 10% of the space: compare them with the best group of that part." in page


def test_a_single_group_is_a_bar_on_the_logarithmic_axis():
    figure = plot.scores(result_with_luck(), 2)
    lowest, highest = figure.layout.yaxis.range
    assert lowest < np.log10(1) < np.log10(2) < highest


def test_without_a_test_there_is_no_empty_half():
    figure = plot.scores(replace(result_with_luck(), significance=None), 2)
    # A trace on the lower axis, though empty, would paint its ground over the bars.
    assert {one.yaxis for one in figure.data} == {"y"}
    assert tuple(figure.layout.yaxis.domain) == (0, 1)


def test_a_real_search_has_scores_of_all_its_groups():
    result = package.search(WEEK, rules=package.Rules(min_daily_hits=3), replicates=19)
    for size, groups in result.kept.items():
        counts = result.significance.null[size].n_scores
        assert len(counts) == N_BINS
        with_groups = 1 - result.significance.null[size].none
        assert sum(counts) == round(with_groups * result.significance.replicates)
        if groups:
            drawn = bars(plot.scores(result, size))["eligible groups (logarithmic)"]
            assert sum(y or 0 for y in drawn.y) == result.eligible[size]


def test_progress_stacks_the_starters():
    samples = tuple(
        ProgressSample(
            elapsed_s=float(number),
            n_waiting=3 - number,
            n_running=1,
            n_cut_off=0,
            n_exhausted=number,
            limit_s=0.5,
            bank_s=0.25,
            n_turns=(number, 2 * number),
        )
        for number in range(3)
    )
    drawn = bars(plot.progress(result_of({2: []}, progress=samples)))
    assert list(drawn["exhausted"].y) == [0, 1, 2]
    assert list(drawn["not begun"].y) == [3, 2, 1]
    assert list(drawn["bank"].y) == [0.25] * 3
    assert list(drawn["turns of worker 1"].y) == [0, 1, 2]
    assert list(drawn["turns of worker 2"].y) == [0, 2, 4]


def test_progress_of_an_earlier_version_has_no_turns():
    sample = ProgressSample(
        elapsed_s=1.0,
        n_waiting=0,
        n_running=0,
        n_cut_off=0,
        n_exhausted=3,
        limit_s=0.5,
        bank_s=0.25,
    )
    drawn = bars(plot.progress(result_of({2: []}, progress=[sample])))
    assert "turns of worker 1" not in drawn


def test_runs_are_compared_from_the_oldest():
    def summary(run_id, day, **values):
        return RunSummary(
            run_id=run_id,
            started_at=f"2026-01-0{day}T00:00:00Z",
            source="a.csv",
            status="complete",
            budget_s=1.0,
            elapsed_s=1.0,
            attempts=1,
            n_kept={},
            **values,
        )

    newer = summary("b", 2, coverage=0.5, best_score={3: 1.0, 4: None})
    older = summary("a", 1, coverage=None, best_score={3: 2.0})
    drawn = bars(plot.runs([newer, older]))
    assert list(drawn["size 3"].x) == ["a", "b"]
    assert list(drawn["size 3"].y) == [2.0, 1.0]
    assert list(drawn["size 4"].y) == [None, None]
    assert list(drawn["coverage in %"].y) == [None, 50.0]


def test_returns_stand_beside_those_of_all_tickers(picks, outcome):
    figure = plot.returns(picks, outcome)
    box, size_2, size_3 = figure.data
    assert outcome.returns_pp == pytest.approx({"A": 1.0, "B": -2.0, "C": 3.0})
    assert outcome.universe_quantiles_pp[0] == outcome.returns_pp["B"]
    assert outcome.universe_quantiles_pp[-1] == outcome.returns_pp["C"]
    assert list(box.median) == [outcome.returns_pp["A"]]
    for trace, tickers in ((size_2, "BC"), (size_3, "B")):
        drawn = dict(zip(trace.text, trace.x, strict=True))
        assert drawn == {ticker: outcome.returns_pp[ticker] for ticker in tickers}


@pytest.fixture(scope="module")
def market():
    """Prices, and picks of the day after them by two members of the default grids."""
    prices = walk(6, 80)
    grids = package.load_grids()
    sheet = package.compute_signals(prices, n_days=0, include_next=True, grids=grids)
    members = []
    for number, (algo, variation) in enumerate(sheet.keys[:2]):
        members.append(package.Member(algo, variation, number))
    pick = SizePick(rank=1, members=tuple(members), tickers=prices.tickers[:2])
    picks = DayPicks(
        run_id=None, day=sheet.days[-1], assumed=True, picks={2: pick}, votes=(), warnings=()
    )
    return prices, picks, sheet


def test_candles_have_a_lane_for_each_member(market):
    prices, picks, expected = market
    sheet = plot.recent_signals(picks, prices)
    assert sheet.days[-1] == picks.day
    ticker = prices.tickers[0]
    figure = plot.candles(picks, prices, sheet, ticker)
    candles, *lanes = figure.data
    assert list(candles.x) == list(sheet.days[:-1])
    assert list(candles.close) == prices.close[0, -len(candles.x) :].tolist()
    assert len(lanes) == 2
    # The signals of the day are those of a computation of the day alone.
    for number, lane in enumerate(lanes):
        bought = expected.buys[number, -1, 0] & 1
        assert lane.z[0][-1] == bought


def test_a_ticker_without_prices_has_no_candles(market):
    prices, picks, sheet = market
    with pytest.raises(InputError, match=r"^candles: no ticker 'NONE' in the prices$"):
        plot.candles(picks, prices, sheet, "NONE")


def test_prices_after_the_day_are_not_used_for_signals(market):
    prices, picks, _ = market
    earlier = replace(picks, day=prices.dates[-10])
    sheet = plot.recent_signals(earlier, prices)
    assert sheet.days[-1] == prices.dates[-10]
    assert sheet.days == plot.recent_signals(earlier, prices.until(prices.dates[-11])).days
    with pytest.raises(InputError, match="the prices begin at"):
        plot.recent_signals(replace(picks, day="1990-01-02"), prices)


def test_the_page_has_candles_where_there_are_prices(market, result):
    prices, picks, _ = market
    page = package.report(result, picks=picks, prices=prices)
    assert "What did the picks look like?" in page
    assert "What did the picks look like?" not in package.report(result, picks=picks)


def test_all_results_of_a_database_have_pages(mp2, here):
    assert mp2("search", WEEK, *RULES, "--replicates=0")[0] == 0
    code, out, _ = mp2("report", "--all", "-o", "pages", "--json")
    document = json.loads(out)
    assert (code, document["kind"], len(document["pages"])) == (0, "all", 1)
    index = (here / "pages" / "index.html").read_text(encoding="utf-8")
    assert f'<a href="{document["pages"][0]}">' in index
    assert str(here) not in index
    # One library for all pages, which each of them may load and nothing else.
    assert (here / "pages" / "plotly.min.js").stat().st_size > 1_000_000
    for name in ("index.html", *document["pages"]):
        page = unescape((here / "pages" / name).read_text(encoding="utf-8"))
        assert re.findall(r'src="(.*?)"', page) == ["plotly.min.js"]
        assert re.search(r"default-src 'none'; script-src 'sha256-\S+' 'self' file:; ", page)
        assert len(page) < 500_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "report: name a run, a walk-forward or a scan, or 'last', or give --all"),
        (["--all"], "report --all: name a folder with --output, no run and no --prices"),
        (["last", "--all", "-o", "x"], "report --all: name a folder with --output, no run and no "),
    ],
)
def test_what_is_to_be_reported_must_be_named(mp2, words, message):
    code, _, err = mp2("report", *words)
    assert code == 2
    assert err.startswith(f"mp2: {message}")
