"""The main job in one call is its parts one after the other."""

import pytest

import mp2
from mp2.demo.market import make_market


def test_run_is_signals_search_and_picks():
    market, rules = make_market(0, plant=False), mp2.Rules(min_daily_hits=6, max_size=3)
    whole = mp2.run(
        market.prices,
        budget_s=60,
        workers=2,
        rules=rules,
        grids=market.grids,
        min_tickers=3,
        top_groups=7,
    )
    sheet = mp2.compute_signals(market.prices, n_days=5, include_next=True, grids=market.grids)
    result = mp2.search(sheet.panel(0, 5), budget_s=60, workers=1, rules=rules)
    assert whole.result.status is mp2.Status.COMPLETE
    assert whole.result.kept == result.kept
    assert whole.result.kept[3]
    assert whole.next_day == mp2.pick_day(
        result, sheet, market.later.dates[-1], min_tickers=3, top_groups=7
    )
    assert whole.next_day.votes


@pytest.mark.slow
def test_run_counts_as_it_is_told():
    market, rules = make_market(0, plant=False), mp2.Rules(min_daily_hits=6, max_size=2)
    given = {"count": "fast", "without": ("aliases",)}
    result = mp2.run(
        market.prices, budget_s=60, workers=2, rules=rules, grids=market.grids, **given
    ).result
    assert (result.tested_exact, result.status) == (False, mp2.Status.COMPLETE)
