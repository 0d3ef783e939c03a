"""Returns after costs: by the money paid and received, hits as they were."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console
from test_outcome import PICKS, PRICES
from test_walkforward import constant_script

from mp2.cli.pick_view import outcome_view, walk_view
from mp2.errors import InputError
from mp2.groups.rules import Rules
from mp2.picks.costs import check_cost, net_return_pp
from mp2.picks.outcome import score
from mp2.picks.records import Score
from mp2.picks.scored import scored_days


def shown(view):
    screen = Console(file=io.StringIO(), width=200)
    screen.print(view)
    return screen.file.getvalue()


def test_a_buyer_pays_more_and_a_seller_gets_less():
    # 100 shares for 10 each with 1% cost 1,010; sold for 11 each they bring 1,089.
    one = Score(n_tickers=1, n_picks=1, mean_return_pp=10.0)
    assert net_return_pp(one, 100.0) == pytest.approx(100 * (1089 / 1010 - 1))
    assert net_return_pp(one, 0.0) == pytest.approx(10.0)
    # Of two tickers one is not traded and costs nothing.
    half = Score(n_tickers=2, n_picks=1, mean_return_pp=5.0)
    assert net_return_pp(half, 100.0) == pytest.approx(50 * (1089 / 1010 - 1))


@pytest.mark.parametrize("cost_bps", [-0.1, 1000.1, math.nan, math.inf, True, "5"])
def test_a_cost_has_to_be_one(cost_bps):
    with pytest.raises(InputError, match=r"cost_bps: .* is not between 0 and 1000; give"):
        check_cost(cost_bps)
    with pytest.raises(InputError, match="cost_bps"):
        score(PICKS, PRICES, cost_bps=cost_bps)
    with pytest.raises(InputError, match="cost_bps"):
        constant_script().walk(weeks=2, cost_bps=cost_bps)


def test_an_outcome_has_net_returns_beside_its_own():
    gross = score(PICKS, PRICES)
    net = score(PICKS, PRICES, cost_bps=10.0)
    assert net.gross() == gross
    assert gross.agrees_with(net)
    # As an earlier version stored it.
    assert replace(gross, all_sizes=None).agrees_with(net)
    assert not replace(gross, n_universe=9).agrees_with(net)
    kept = 0.999 / 1.001
    # Of five tickers four have a bar, whose moves sum up to 2; the fifth costs nothing.
    assert net.votes.net_return_pp == pytest.approx((402 * kept - 400) / 5)
    assert net.sizes[3] is None
    assert (gross.votes.net_return_pp, gross.votes.cost_bps) == (None, 0.0)
    assert "after 10 bps a side" in shown(outcome_view(net))
    assert "bps" not in shown(outcome_view(gross))


def test_a_walk_has_net_returns_beside_its_own():
    rules = Rules(retain_sizes=(2,))
    walk = constant_script().walk(weeks=2, rules=rules, cost_bps=10.0)
    gross = constant_script().walk(weeks=2, rules=rules)
    judged = walk.total["all"]
    kept = 0.999 / 1.001
    expected = 100 * ((1 + judged.mean_return_pp / 100) * kept - 1)
    assert judged.net_return_pp == pytest.approx(expected)
    assert judged.hit_difference == gross.total["all"].hit_difference
    assert gross.total["all"].net_return_pp is None
    assert (walk.to_dict()["cost_bps"], gross.cost_bps) == (10.0, 0.0)
    frame = walk.daily_frame()
    assert frame["net_return_pp all"].mean() == pytest.approx(judged.net_return_pp)
    assert walk.to_frame()["net_return_pp"].null_count() == 0
    assert shown(walk_view(walk)).count("after 10 bps a side") == 3
    assert "money, before costs" in shown(walk_view(gross))
    assert "bps" not in shown(walk_view(gross))


def test_the_record_of_a_run_is_of_the_days_before():
    first = score(PICKS, PRICES)
    second = replace(first, day="2026-01-13", universe_hit_rate_pp=60.0)
    later = replace(first, day="2026-01-14")
    picks = [PICKS, replace(PICKS, day="2026-01-13")]
    record = scored_days([first, second, later], picks, before="2026-01-14", cost_bps=10.0)
    assert list(record) == [2]
    days = record[2]
    assert (days.n_days, days.n_tickers, days.n_hits) == (2, 6, 2)
    assert (days.hit_rate_pp, days.universe_hit_rate_pp) == (pytest.approx(100 / 3), 50.0)
    kept = 0.999 / 1.001
    assert days.net_return_pp == pytest.approx(100 * ((1 + days.mean_return_pp / 100) * kept - 1))
    assert days.sentence() == (
        "2 days, hit rate 33.3% against 50.0% of the universe, mean return +0.33%, "
        "+0.13% after 10 bps a side, equity 1.003, drawdown 0.0%, worst day +0.13% (2026-01-12), "
        "turnover 50%"
    )
    assert scored_days([first], picks, before=first.day) == {}
    assert scored_days([first], picks)[2].n_days == 1
