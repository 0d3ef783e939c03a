"""What the money makes day after day: by hand, and as quantstats has it."""

import datetime
import math

import numpy as np
import pytest
from test_walkforward import Script

from mp2.errors import InputError
from mp2.groups.rules import Rules
from mp2.picks.performance import performance, returns_series, sharpe_error
from mp2.picks.records import Score
from mp2.picks.weeks import WalkDay

DAYS = ("2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08", "2026-01-09")
SIZE_2 = Rules(retain_sizes=(2,))


def test_every_figure_by_hand():
    # 1, 1.02, 1.02 * 0.9 = 0.918, then a day in cash, then 0.918 * 1.05, and 1% lost.
    money = performance(
        DAYS,
        [2.0, -10.0, None, 5.0, -1.0],
        [("A", "B"), ("A", "C"), (), ("C",), ("A", "B", "C")],
    )
    assert money.equity == pytest.approx(1.02 * 0.9 * 1.05 * 0.99)
    assert money.max_drawdown_pp == pytest.approx(-10.0)
    assert (money.worst_day, money.worst_day_pp) == ("2026-01-06", pytest.approx(-10.0))
    # Bought anew: all; C for B; all, after a day in cash; A and B for two thirds of C.
    assert money.turnover_pp == pytest.approx(100 * (1 + 1 / 2 + 1 + 2 / 3) / 4)
    daily = [0.02, -0.1, 0.0, 0.05, -0.01]
    mean = sum(daily) / 5
    centred = [returned - mean for returned in daily]
    deviation = math.sqrt(sum(d**2 for d in centred) / 4)
    assert money.sharpe == pytest.approx(math.sqrt(252) * mean / deviation)
    moments = [sum(d**power for d in centred) / 5 for power in (2, 3, 4)]
    skewness = moments[1] / moments[0] ** 1.5
    kurtosis = moments[2] / moments[0] ** 2
    ratio = mean / deviation
    variance = (1 + ratio**2 / 2 - skewness * ratio + (kurtosis - 3) / 4 * ratio**2) / 4
    assert money.sharpe_se == pytest.approx(math.sqrt(252 * variance))


def test_a_fall_counts_from_the_money_before_the_first_day():
    money = performance(DAYS[:2], [-4.0, 1.0], [("A",), ("A",)])
    assert money.max_drawdown_pp == pytest.approx(-4.0)
    assert money.turnover_pp == pytest.approx(50.0)
    rising = performance(DAYS[:2], [1.0, 2.0], [("A",), ("A",)])
    assert (rising.max_drawdown_pp, rising.worst_day_pp) == (0.0, pytest.approx(1.0))


def test_a_ratio_needs_two_different_days():
    one = performance(DAYS[:1], [-4.0], [("A",)])
    assert (one.equity, one.sharpe, one.sharpe_se) == (pytest.approx(0.96), None, None)
    assert one.text() == (
        "equity 0.960, drawdown -4.0%, worst day -4.00% (2026-01-05), turnover 100%"
    )
    same = performance(DAYS, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [("A",)] * 5)
    assert same.sharpe is None
    assert performance(DAYS, [None] * 5, [()] * 5) is None
    assert performance((), [], []) is None


def test_the_error_of_the_ratio_is_that_of_many_samples():
    # Student's t with 9 degrees of freedom: its fourth moment counts.
    rng = np.random.default_rng(3)
    samples = 0.05 + rng.standard_t(9, (4000, 250))
    ratios = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    errors = [sharpe_error(sample) for sample in samples[:200]]
    assert np.mean(errors) == pytest.approx(ratios.std(), rel=0.05)
    normal = rng.normal(0.5, 1.0, 100_000)
    assert sharpe_error(normal) == pytest.approx(math.sqrt(1.125 / 99_999), rel=0.01)


def days_of(*scores):
    """Judged days of one series; None for a day without a pick."""
    return [
        WalkDay(
            day=day,
            n_universe=3,
            universe_hit_rate_pp=50.0,
            universe_return_pp=0.0,
            scores={"2": score},
            tickers={"2": () if score is None else ("A",)},
        )
        for day, score in zip(DAYS, scores, strict=False)
    ]


def test_a_day_returns_what_is_left_after_costs():
    gross = Score(n_tickers=1, n_picks=1, mean_return_pp=1.0)
    net = Score(n_tickers=1, n_picks=1, mean_return_pp=1.0, cost_bps=10.0, net_return_pp=0.8)
    before, after, without = days_of(gross, net, None)
    assert before.net_return_pp("2") == 1.0
    assert after.net_return_pp("2") == 0.8
    assert (without.net_return_pp("2"), without.net_return_pp("3")) == (None, None)


def some_days_without():
    """A group that buys on two days of three, wins on the first and loses on the second."""
    return Script(
        {"A 1": ["AB", "AC", ""], "B 1": ["AB", "AC", ""]},
        [[2, 1, -1, -1, 0, 0, 0, 0], [-3, 1, -1, -1, 0, 0, 0, 0], [5] * 8],
        {2: ["A 1 + B 1"]},
    )


def test_a_walk_has_them_of_every_series_and_week():
    walk = some_days_without().walk(weeks=3, rules=SIZE_2, cost_bps=10.0)
    money = walk.total["all"].performance
    days = [day for week in walk.weeks for day in week.days]
    assert len(days) == 15
    kept = 0.999 / 1.001
    expected = 1.0
    for day in days:
        score = day.scores["all"]
        if score is not None:
            expected *= (1 + score.mean_return_pp / 100) * kept
    assert money.equity == pytest.approx(expected)
    assert money == walk.total["2"].performance
    assert walk.total["all"].n_days_without == 5
    weekly = [week.judged["all"].performance.equity for week in walk.weeks]
    assert math.prod(weekly) == pytest.approx(money.equity)

    frame = walk.to_frame()
    assert frame.filter(picks="all")["equity"].to_list() == pytest.approx(weekly)
    assert set(frame["worst_day"].to_list()) <= {datetime.date.fromisoformat(d.day) for d in days}
    document = walk.to_dict()["total"]["all"]["performance"]
    assert document["equity"] == money.equity
    nothing = Script({"A 1": [""], "B 1": [""]}, [[1] * 8], {2: ["A 1 + B 1"]})
    without = nothing.walk(weeks=1, rules=SIZE_2)
    assert without.total["all"].performance is None
    assert without.to_frame()["equity"].null_count() == without.to_frame().height


def test_the_returns_of_a_walk_are_a_series_by_date():
    walk = some_days_without().walk(weeks=3, rules=SIZE_2, cost_bps=10.0)
    series = walk.returns("2")
    assert series.equals(walk.returns().rename("2"))
    assert type(series.index).__name__ == "DatetimeIndex"
    assert (series.name, series.index.name, series.dtype) == ("2", "day", np.float64)
    frame = walk.daily_frame(backend="pandas").set_index("day")
    expected = frame["net_return_pp 2"].fillna(0.0) / 100
    np.testing.assert_allclose(series.to_numpy(), expected.to_numpy())
    assert list(series.index) == list(expected.index)
    assert (1 + series).prod() == pytest.approx(walk.total["2"].performance.equity)
    with pytest.raises(InputError, match="series: '3' is unknown; choose from 2, all, votes"):
        walk.returns("3")


def test_quantstats_has_the_same_figures():
    stats = pytest.importorskip("quantstats.stats")
    rng = np.random.default_rng(1)
    days = [str(np.busday_offset("2025-01-02", number)) for number in range(120)]
    returns = [*rng.normal(0.05, 1.0, 60), None, *rng.normal(-0.1, 2.0, 59)]
    money = performance(days, returns, [("A",)] * 120)
    series = returns_series(days, returns, "all")
    assert stats.sharpe(series) == pytest.approx(money.sharpe)
    assert stats.max_drawdown(series) == pytest.approx(money.max_drawdown_pp / 100)
    assert stats.worst(series) == pytest.approx(money.worst_day_pp / 100)
    assert 1 + stats.comp(series) == pytest.approx(money.equity)
