"""Walk-forwards: the weeks, what is judged, and verdicts with and without an edge."""

import datetime
import json
import math
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import strategies
from places import REAL_BARS
from sheets import prices_of, result_of, sheet_of

from mp2.data import bitset
from mp2.data.prices import price_table, read_prices, to_frame
from mp2.errors import InputError
from mp2.evidence.intervals import Interval
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.picks.judging import judge, verdict_on
from mp2.picks.weeks import Verdict, WalkStatus
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of, load_grids
from mp2.signals.sheet import SignalSheet
from mp2.walking import walk_forward

TICKERS = "ABCDEFGH"


def weekdays(n, first="2026-01-05"):
    start = datetime.date.fromisoformat(first)
    days = (start + datetime.timedelta(days=d) for d in range(2 * n))
    return tuple(day.isoformat() for day in days if day.weekday() < 5)[:n]


DATES = weekdays(31)
PRICES = prices_of(DATES, {ticker: [1.0] * len(DATES) for ticker in TICKERS})


class Script:
    """A sheet in place of signals, and a result with constant groups in place of search."""

    def __init__(self, buys, moves_pp, kept, **result):
        self.buys, self.moves, self.kept, self.result = (
            buys,
            np.array(moves_pp, float),
            kept,
            result,
        )
        self.requested, self.searched, self.searched_with = None, [], []

    def signals(self, prices, *, n_days, end, grids, stop, hold):
        self.requested = (n_days, end, grids)
        idx = len(prices.dates) if end is None else prices.dates.index(end) + 1
        days = prices.dates[idx - n_days : idx]
        open = np.full((n_days, len(TICKERS)), 100.0)
        close = open + np.resize(self.moves, open.shape)
        buys = {
            key: list(np.resize(np.array(words, dtype=object), n_days))
            for key, words in self.buys.items()
        }
        return sheet_of(buys, days, TICKERS, open=open, close=close, warnings=("short history",))

    def search(self, panel, settings, stop=None):
        self.searched.append(panel.days)
        self.searched_with.append((settings, stop))
        return result_of(self.kept, days=panel.days, **self.result)

    def walk(self, **settings):
        return walk_forward(PRICES, signals=self.signals, search=self.search, **settings)


def constant_script():
    """A and B agree on tickers A, B; A, B win and gain 2%, C, D lose 1%, the others stay."""
    return Script(
        {"A 1": ["ABC"], "B 1": ["ABD"]}, [[2, 2, -1, -1, 0, 0, 0, 0]], {2: ["A 1 + B 1"]}
    )


# --- time


@pytest.mark.parametrize("end", [None, DATES[-1], DATES[22]])
def test_every_week_is_searched_and_the_next_one_judged(end):
    script = constant_script()
    rules, stop, grids = Rules(retain_sizes=(2,)), threading.Event(), load_grids()
    counted = {"count": "fast", "keep": "ideas", "without": ("aliases",)}
    walk = script.walk(
        weeks=3,
        end=end,
        budget_s_per_week=0.5,
        workers=3,
        rules=rules,
        stop=stop,
        grids=grids,
        **counted,
    )
    last = DATES.index(end or DATES[-1]) + 1
    blocks = [DATES[last - 20 + 5 * k : last - 15 + 5 * k] for k in range(4)]
    assert script.requested == (20, end, grids)
    assert script.searched == blocks[:3]
    settings = SearchSettings(budget_s=0.5, workers=3, rules=rules, **counted)
    assert script.searched_with == [(settings, stop)] * 3
    assert [week.searched for week in walk.weeks] == blocks[:3]
    assert [tuple(day.day for day in week.days) for week in walk.weeks] == blocks[1:]
    assert (walk.status, walk.n_weeks, walk.warnings) == (
        WalkStatus.COMPLETE,
        3,
        ("short history",),
    )


def test_groups_meet_the_signals_and_bars_of_the_day_judged():
    words = [TICKERS[d % 8] for d in range(10)]
    moves = np.full((10, 8), -1.0)
    for d in range(10):
        moves[d, d % 8] = d + 1.0
    script = Script({"A 1": words, "B 1": words}, moves, {2: ["A 1 + B 1"]})
    (week,) = script.walk(weeks=1, rules=Rules(retain_sizes=(2,))).weeks
    assert [day.scores["2"].mean_return_pp for day in week.days] == pytest.approx(
        [6.0, 7.0, 8.0, 9.0, 10.0]
    )
    assert [day.scores["2"].n_hits for day in week.days] == [1] * 5


def test_progress_counts_weeks():
    seen = []
    constant_script().walk(
        weeks=2,
        rules=Rules(retain_sizes=(2,)),
        observe=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("n_before", [0, 2])
def test_a_stop_keeps_the_weeks_that_were_finished(n_before):
    script, stop = constant_script(), threading.Event()
    if not n_before:
        stop.set()

    def searching(panel, settings, stop):
        if len(script.searched) == n_before:
            stop.set()
        return script.search(panel, settings)

    walk = walk_forward(
        PRICES,
        weeks=4,
        rules=Rules(retain_sizes=(2,)),
        stop=stop,
        signals=script.signals,
        search=searching,
    )
    assert (walk.status, len(walk.weeks), walk.n_weeks) == (WalkStatus.STOPPED, n_before, 4)
    assert walk.total["all"].n_days == 5 * n_before
    assert walk.sentence().startswith(f"{n_before} of 4 weeks, {5 * n_before} days with picks")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weeks": 0}, "weeks: 0 is below 1; give 1 or more"),
        ({"weeks": 6}, "weeks: 6 need 36 dates; the prices have 31; ask for 5 weeks or fewer"),
        (
            {"weeks": 5, "end": DATES[29]},
            f"weeks: 5 need 31 dates; the prices have 30 up to {DATES[29]}; ask for 4",
        ),
        (
            {"end": DATES[9], "weeks": 1},
            "weeks: 1 need 11 dates; the prices have 10 up to .*; give a longer history",
        ),
    ],
)
def test_too_short_a_history_is_reported_before_anything_is_computed(settings, message):
    script = constant_script()
    with pytest.raises(InputError, match=message):
        script.walk(**settings)
    assert script.requested is None


def test_the_longest_walk_a_history_allows():
    assert len(constant_script().walk(weeks=5, rules=Rules(retain_sizes=(2,))).weeks) == 5


# --- what is judged


def test_the_numbers_by_hand():
    """Of five days, picks hit 100, 0, 100, 0 percent, the universe 25, 25, 50, 25."""
    words = {
        "A 1": ["AB", "E", "AB", "E", ""],
        "B 1": ["ABC", "ED", "AB", "EF", "ABCD"],
        "C 1": ["B", "", "", "", ""],
    }
    moves = [
        [2, 2, -1, -1, 0, 0, 0, 0],
        [2, 2, -1, -1, -4, 0, 0, 0],
        [2, 2, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [9] * 8,
    ]
    script = Script(words, moves, {2: ["A 1 + B 1"], 3: ["A 1 + B 1 + C 1"]})
    walk = script.walk(weeks=2, rules=Rules(retain_sizes=(2, 3)))
    two, three, union, votes = (walk.total[series] for series in ("2", "3", "all", "votes"))
    assert list(walk.total) == ["2", "3", "all", "votes"]
    assert (two.n_days, two.n_days_without, two.n_picks, two.n_hits) == (8, 2, 12, 8)
    assert (two.hit_rate_pp, two.universe_hit_rate_pp) == (50.0, 31.25)
    margin = (
        2.3646 * math.sqrt(2 * (56.25**2 + 43.75**2 + 31.25**2 + 43.75**2) / 7) / math.sqrt(8)
    )  # t at 7 degrees
    low, high = pytest.approx(18.75 - margin, abs=0.01), pytest.approx(18.75 + margin, abs=0.01)
    assert two.hit_difference == Interval(18.75, low, high, 8)
    assert (two.verdict, two.return_verdict) == (Verdict.NO_BETTER, Verdict.NO_BETTER)
    assert (two.mean_return_pp, two.universe_return_pp) == (pytest.approx(0.0), pytest.approx(0.25))
    assert two.return_difference.mean == pytest.approx(two.mean_return_pp - two.universe_return_pp)
    assert (three.n_days, three.n_days_without, three.n_picks, three.n_hits) == (2, 8, 2, 2)
    assert union == two == votes
    assert walk.weeks[0].judged["3"].verdict is Verdict.TOO_FEW_DAYS
    assert walk.weeks[0].judged["2"].n_days_without == 1
    assert [day.scores["2"] is None for day in walk.weeks[1].days] == [False] * 4 + [True]


def test_the_union_holds_a_ticker_once():
    script = Script(
        {"A 1": ["ABC"], "B 1": ["AB"], "C 1": ["BC"]},
        [[1, -1, -1, 0, 0, 0, 0, 0]],
        {2: ["A 1 + B 1"], 3: ["A 1 + C 1"]},
    )
    day = script.walk(weeks=1, rules=Rules(retain_sizes=(2, 3))).weeks[0].days[0]
    assert {series: score.n_picks for series, score in day.scores.items()} == {
        "2": 2,
        "3": 2,
        "all": 3,
        "votes": 3,
    }


def test_replacements_are_counted_and_the_settings_of_the_picks_apply():
    script = Script(
        {"A 1": ["A"], "B 1": ["AB"], "C 1": ["BC"]},
        [[1.0] * 8],
        {2: ["A 1 + B 1", "B 1 + B 1"], 3: []},
    )
    rules = Rules(retain_sizes=(2, 3))
    week = script.walk(weeks=1, rules=rules, min_tickers=2).weeks[0]
    assert (week.n_fallbacks, week.judged["2"].n_picks, week.n_kept) == (5, 10, {2: 2, 3: 0})
    assert week.judged["3"].n_days == 0
    week = script.walk(weeks=1, rules=rules, top_groups=1).weeks[0]
    assert (week.n_fallbacks, week.judged["2"].n_picks, week.judged["votes"].n_picks) == (0, 5, 5)


def test_no_pick_at_all_is_too_few_days():
    script = Script({"A 1": [""], "B 1": ["AB"]}, [[1.0] * 8], {2: ["A 1 + B 1"]})
    walk = script.walk(weeks=2, rules=Rules(retain_sizes=(2,)))
    assert walk.verdict is Verdict.TOO_FEW_DAYS
    total = walk.total["all"]
    assert (total.n_days, total.n_days_without, total.hit_rate_pp, total.hit_difference) == (
        0,
        10,
        None,
        None,
    )
    assert (
        walk.sentence()
        == "2 of 2 weeks, 0 days with picks, 10 without: too few days to compare with the universe."
    )


def test_one_day_has_a_difference_but_no_interval():
    script = Script(
        {"A 1": ["A", "", "", "", ""], "B 1": ["AB"]},
        [[1, 0, 0, 0, 0, 0, 0, 0]],
        {2: ["A 1 + B 1"]},
    )
    total = script.walk(weeks=1, rules=Rules(retain_sizes=(2,))).total["all"]
    assert (total.n_days, total.n_days_without, total.verdict) == (1, 4, Verdict.TOO_FEW_DAYS)
    assert total.hit_difference == Interval(87.5, None, None, 1)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (None, "too few days"),
        (Interval(5.0, None, None, 1), "too few days"),
        (Interval(2.0, 0.1, 3.9, 9), "better than the universe"),
        (Interval(2.0, 0.0, 4.0, 9), "no better than the universe"),
        (Interval(-1.0, -3.0, 1.0, 9), "no better than the universe"),
        (Interval(-2.0, -4.0, 0.0, 9), "no better than the universe"),
        (Interval(-2.0, -3.9, -0.1, 9), "worse than the universe"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(interval, verdict):
    assert verdict_on(interval) == verdict


def test_the_document_is_plain_json():
    walk = constant_script().walk(weeks=2, rules=Rules(retain_sizes=(2,)))
    document = json.loads(json.dumps(walk.to_dict(), allow_nan=False))
    assert (document["schema_version"], document["status"], document["verdict"]) == (
        1,
        "complete",
        "better than the universe",
    )
    assert document["rules"] == walk.rules.to_dict()
    assert document["weeks"][0]["n_kept"] == {"2": 1}
    assert document["weeks"][1]["days"][4]["scores"]["all"]["n_picks"] == 2
    assert document["total"]["all"]["hit_difference"] == {
        "mean": 75.0,
        "low": 75.0,
        "high": 75.0,
        "n": 10,
    }
    assert document["sentence"] == (
        "2 of 2 weeks, 10 days with picks, 0 without: "
        "hit rate 100.0% against 25.0% of the universe, "
        "difference +75.0 points (95% interval +75.0 to +75.0): better than the universe."
    )


def test_every_week_can_be_tested_for_luck():
    script = constant_script()
    rules = Rules(max_size=2, retain_sizes=(2,), min_daily_hits=0, **strategies.LOOSE)
    search = {"signals": script.signals, "weeks": 2, "rules": rules}
    walk = walk_forward(PRICES, replicates=19, **search)
    assert [week.p is not None and 0.05 <= week.p <= 1 for week in walk.weeks] == [True, True]
    weeks = [replace(week, p=p) for week, p in zip(walk.weeks, (0.05, 0.2), strict=True)]
    line = "In 1 of 2 weeks the best group had p <= 0.05 (0.1 expected by luck)."
    assert replace(walk, weeks=tuple(weeks)).luck_sentence() == line
    untested = walk_forward(PRICES, **search)
    assert [week.p for week in untested.weeks] == [None, None]
    assert untested.to_dict()["luck_sentence"] is None


# --- the verdict is honest

N_WEEKS, N_TICKERS = 4, 60
LENIENT = Rules(max_size=3, retain_sizes=(2, 3), min_daily_hits=0, top_k=8, **strategies.LOOSE)
LONG = weekdays(5 * (N_WEEKS + 1) + 1)
MARKET = prices_of(
    LONG, {ticker: [1.0] * len(LONG) for ticker in strategies.ticker_names(N_TICKERS)}
)


def crowd(seed, edge):
    """Three algorithms of three variations that mostly agree on 12 tickers a day.

    These tickers win more often by `edge`.
    """
    rng = np.random.default_rng(seed)
    n_days = len(LONG) - 1
    liked = np.argsort(rng.random((n_days, N_TICKERS)), axis=1) < 12
    buys = np.where(
        liked, rng.random((9, n_days, N_TICKERS)) < 0.8, rng.random((9, n_days, N_TICKERS)) < 0.1
    )
    climate = rng.uniform(0.3, 0.6, (n_days, 1))
    won = rng.random((n_days, N_TICKERS)) < climate + edge * liked
    close = 100.0 + np.where(won, 1.0, -1.0) * rng.uniform(0.1, 3.0, won.shape)
    return SignalSheet(
        algos=("A", "B", "C"),
        variations=tuple(map(str, range(9))),
        algo_of=np.repeat(np.arange(3, dtype=np.int32), 3),
        days=LONG[1:],
        tickers=tuple(strategies.ticker_names(N_TICKERS)),
        buys=bitset.pack(buys),
        open=np.full(close.shape, 100.0),
        close=close,
        assumed_day=False,
        warnings=(),
    )


def shuffled(sheet, seed):
    """The same signals, the outcomes of each day permuted among its tickers."""
    return replace(sheet, close=np.random.default_rng(seed).permuted(sheet.close, axis=1))


def verdict_of(sheet):
    walk = walk_forward(
        MARKET,
        weeks=N_WEEKS,
        budget_s_per_week=5.0,
        workers=1,
        rules=LENIENT,
        signals=lambda *_, **__: sheet,
    )
    assert all(week.status is Status.COMPLETE for week in walk.weeks)
    assert walk.total["all"].n_days == 5 * N_WEEKS
    return walk.verdict


def test_a_planted_edge_is_recognised_and_its_opposite_too():
    verdicts = {edge: {verdict_of(crowd(seed, edge)) for seed in range(3)} for edge in (0.35, -0.3)}
    assert verdicts == {0.35: {Verdict.BETTER}, -0.3: {Verdict.WORSE}}


@pytest.mark.slow
def test_shuffled_outcomes_are_no_better_at_about_the_nominal_rate():
    n_seeds = 60
    planted = crowd(1, 0.35)
    verdicts = Counter(verdict_of(shuffled(planted, seed)) for seed in range(n_seeds))
    assert verdicts[Verdict.NO_BETTER] >= 0.9 * n_seeds, verdicts
    assert verdicts.total() == n_seeds


def test_judging_an_empty_walk():
    assert judge((), "all").verdict is Verdict.TOO_FEW_DAYS


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_BARS.exists(), reason="the market data are not here")
def test_two_weeks_of_the_market():
    prices = read_prices(REAL_BARS)
    walk = walk_forward(
        prices, weeks=2, end="2019-06-28", budget_s_per_week=1.0, workers=2, top_groups=10
    )
    assert (walk.status, walk.weeks[-1].days[-1].day) == ("complete", "2019-06-28")
    days = [day for week in walk.weeks for day in week.days]
    assert [day.day for day in days] == [
        day for day in prices.dates if "2019-06-17" <= day <= "2019-06-28"
    ]
    assert all(day.n_universe > 490 and 0 < day.universe_hit_rate_pp < 100 for day in days)
    for judged in walk.total.values():
        assert judged.n_days + judged.n_days_without == 10
        assert judged.n_hits <= judged.n_picks
    assert walk.total["all"].n_days > 0


@pytest.mark.slow
def test_filled_days_of_random_markets_are_no_edge():
    """Weekends that repeat Friday let a signal see the move it is judged by."""
    moving = [one for one in ALGORITHMS if one.name in ("EMA", "SMA", "Breakout")]
    grids = grids_of(
        replace(one, parameters=tuple(replace(p, values=p.values[:2]) for p in one.parameters))
        for one in moving
    )
    rules = Rules(max_size=2, retain_sizes=(2,), min_daily_hits=2)
    for seed in range(5):
        plain = to_frame(random_market(seed)).to_pandas()
        days = [bars.set_index("date").asfreq("D").ffill() for _, bars in plain.groupby("ticker")]
        filled = pd.concat(days).reset_index()
        walk = walk_forward(
            read_prices(filled),
            weeks=30,
            budget_s_per_week=5.0,
            workers=1,
            rules=rules,
            grids=grids,
        )
        assert walk.verdict != Verdict.BETTER, seed


def random_market(seed):
    """Random walks that open near the last close, so that a repeated bar is a known outcome."""
    rng = np.random.default_rng(seed)
    session, night = rng.normal(0, 0.015, (2, 40, 260))
    close = 50 * np.exp(np.cumsum(session + 0.2 * night, axis=1))
    open = close / np.exp(session)
    columns = [open, np.maximum(open, close), np.minimum(open, close), close, open]
    return price_table(weekdays(260), [f"T{ticker:02d}" for ticker in range(40)], columns)
