"""The demo's table: its size, that nothing but the consensus gives a planted group away, and that a search finds it."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from mp2.data import bitset
from mp2.data.panel import read_signals
from mp2.demo.signals_table import (
    DAYS,
    N_TICKERS,
    PLANTED_SIZES,
    DemoTable,
    Find,
    check_finds,
    make_signals,
    sentence,
)
from mp2.errors import InputError
from mp2.groups.result import SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.search import search

QUICK_SEEDS, MORE_SEEDS = range(2), range(2, 20)
CLEAR_GAP = 10.0
"""Points of score between the worst planted group and the luckiest other one; over 150 seeds the smallest seen was 16."""


@dataclass(frozen=True)
class Demo:
    table: DemoTable
    result: SearchResult


@cache
def demo(seed, plant=True):
    table = make_signals(seed, plant)
    return Demo(table, search(read_signals(table.signals), budget_s=60, workers=2))


def seeds(quick=QUICK_SEEDS, more=MORE_SEEDS):
    return pytest.mark.parametrize(
        "seed", [*quick, *(pytest.param(seed, marks=pytest.mark.slow) for seed in more)]
    )


def names_of(group):
    return tuple((member.algo, member.variation) for member in group.members)


def sets_of(table):
    """Buys bool[V, D, T], wins bool[D, T] and the number of each (algo, variation)."""
    panel = read_signals(table.signals)
    names = zip((panel.algos[a] for a in panel.algo_of), panel.variations, strict=True)
    n_tickers = len(panel.tickers)
    return (
        bitset.unpack(panel.buys, n_tickers),
        bitset.unpack(panel.wins, n_tickers),
        {key: v for v, key in enumerate(names)},
    )


# ---- the table


def test_the_table_is_as_large_as_promised():
    signals = make_signals().signals
    assert signals.columns == ["algo", "variation", "day", "ticker", "open", "close"]
    assert signals["algo"].n_unique() == 8
    assert signals.select("algo", "variation").n_unique() >= 600
    assert signals["ticker"].n_unique() == N_TICKERS == 400
    assert sorted(signals["day"].unique()) == list(DAYS)
    assert [day.weekday() for day in DAYS] == [0, 1, 2, 3, 4]


def test_the_table_is_clean():
    table = make_signals(3)
    assert table.signals.null_count().sum_horizontal().item() == 0
    assert not table.signals.select("algo", "variation", "day", "ticker").is_duplicated().any()
    assert (table.signals["open"] > 1).all()
    panel = read_signals(table.signals)
    assert panel.warnings == ()
    assert panel.consistent


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_no_price_stays_unchanged_and_days_win_about_half(seed):
    signals = make_signals(seed).signals
    assert (signals["open"] != signals["close"]).all()
    prices = (
        signals.unique(["day", "ticker"])
        .group_by("day")
        .agg((pl.col("close") > pl.col("open")).mean().alias("rate"))
    )
    assert prices["rate"].is_between(0.45, 0.55).all()
    assert prices["rate"].n_unique() > 1


@pytest.mark.parametrize("plant", [True, False])
def test_the_same_seed_makes_the_same_table(plant):
    one, two = make_signals(7, plant), make_signals(7, plant)
    assert one.signals.equals(two.signals)
    assert one.planted == two.planted


def test_another_seed_changes_everything():
    tables = [make_signals(seed) for seed in range(5)]
    assert len({table.planted for table in tables}) == 5
    first, second = (sets_of(table) for table in tables[:2])
    assert (first[0] != second[0]).mean() > 0.2
    assert (first[1] != second[1]).mean() > 0.4
    assert set(tables[0].signals["close"]) != set(tables[1].signals["close"])


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed: -1 is negative"):
        make_signals(-1)


# ---- the planted groups


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_planted_groups_have_the_promised_shape(seed):
    table = make_signals(seed)
    members = [member for group in table.planted for member in group]
    algos = list(table.signals["algo"].unique(maintain_order=True))
    assert tuple(map(len, table.planted)) == PLANTED_SIZES == (3, 4, 4)
    assert len(set(members)) == len(members) == 11
    assert set(members) <= set(table.signals.select("algo", "variation").unique().rows())
    for group in table.planted:
        places = [algos.index(algo) for algo, _ in group]
        assert places == sorted(set(places))


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_a_planted_consensus_is_a_dozen_tickers_that_nearly_all_win(seed):
    table = make_signals(seed)
    buys, wins, number_of = sets_of(table)
    for group in table.planted:
        consensus = buys[[number_of[member] for member in group]].all(axis=0)
        n_losers = (consensus & ~wins).sum(axis=1)
        assert set(consensus.sum(axis=1)) <= {12, 13, 14}
        assert n_losers.sum() == 1
        assert consensus.sum(axis=0).max() == 1


@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_a_member_buys_and_wins_exactly_as_often_as_chance_gave_it(seed):
    """Without planting, the same seed gives the draw each member was made from: daily buys and winners are untouched."""
    table = make_signals(seed)
    buys, wins, number_of = sets_of(table)
    chance, chance_wins, _ = sets_of(make_signals(seed, plant=False))
    members = [number_of[member] for group in table.planted for member in group]
    assert np.array_equal(wins, chance_wins)
    assert np.array_equal(buys[members].sum(axis=2), chance[members].sum(axis=2))
    assert np.array_equal((buys & wins)[members].sum(axis=2), (chance & wins)[members].sum(axis=2))
    ordinary = np.delete(np.arange(len(buys)), members)
    assert np.array_equal(buys[ordinary], chance[ordinary])
    assert (buys != chance)[members].any(axis=(1, 2)).all()


@pytest.mark.slow
def test_members_win_at_the_base_rate_within_sampling_error():
    """220 members of 20 seeds: their mean excess over the days' base rates is within four standard errors of nothing."""
    excess = []
    for seed in range(20):
        table = make_signals(seed)
        buys, wins, number_of = sets_of(table)
        members = buys[[number_of[member] for group in table.planted for member in group]]
        expected = (members.sum(axis=2) * wins.mean(axis=1)).sum(axis=1)
        excess += (
            ((members & wins).sum(axis=(1, 2)) - expected) / members.sum(axis=(1, 2))
        ).tolist()
    assert abs(np.mean(excess)) < 4 * np.std(excess) / np.sqrt(len(excess))
    assert np.abs(excess).max() < 0.1


def test_ordinary_variations_win_at_the_base_rate():
    buys, wins, _ = sets_of(make_signals(0, plant=False))
    rates = (buys & wins).sum(axis=(0, 2)) / buys.sum(axis=(0, 2))
    assert rates == pytest.approx(wins.mean(axis=1), abs=0.01)


# ---- the search


@seeds()
def test_the_search_finds_every_planted_group_and_says_so(seed):
    table, result = demo(seed).table, demo(seed).result
    finds = check_finds(result, table.planted)
    assert result.status is Status.COMPLETE
    assert [find.members for find in finds] == list(table.planted)
    assert sorted((find.size, find.rank) for find in finds) == [(3, 1), (4, 1), (4, 2)]
    assert (
        sentence(finds, result) == "found all 3 planted groups: size 3 rank 1, size 4 ranks 1 and 2"
    )


@seeds()
def test_planted_groups_stand_clear_of_luck(seed):
    result, planted = demo(seed).result, set(demo(seed).table.planted)
    for groups in result.kept.values():
        scores = [group.score for group in groups if names_of(group) in planted]
        luck = [group.score for group in groups if names_of(group) not in planted]
        assert luck, "there is always a lucky group to be told apart from"
        assert min(scores) - max(luck) > CLEAR_GAP


@pytest.mark.slow
@seeds(quick=range(2), more=range(2, 20))
def test_without_planting_nothing_is_claimed(seed):
    table, result = demo(seed, plant=False).table, demo(seed, plant=False).result
    finds = check_finds(result, table.planted)
    said = sentence(finds, result)
    n_tested = result.tested[3] + result.tested[4]
    assert table.planted == ()
    assert finds == []
    assert (
        said
        == f"nothing was planted: the groups above are the luckiest of {n_tested:,} tested, not a find"
    )


@seeds(quick=range(1), more=range(1, 20))
def test_without_planting_the_best_scores_are_far_lower(seed):
    with_plant, without = demo(seed).result, demo(seed, plant=False).result
    n_planted = {3: 1, 4: 2}
    for size, n in n_planted.items():
        luckiest = max((group.score for group in without.kept[size]), default=0.0)
        assert with_plant.kept[size][n - 1].score - luckiest > CLEAR_GAP


# ---- what is said


def find(size, rank):
    return Find(tuple((f"A{i}", str(i)) for i in range(size)), size, rank)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        (
            [(3, 1), (4, 2), (4, 1)],
            "found all 3 planted groups: size 3 rank 1, size 4 ranks 1 and 2",
        ),
        (
            [(4, 9), (3, 5), (4, 1), (4, 3)],
            "found all 4 planted groups: size 3 rank 5, size 4 ranks 1, 3 and 9",
        ),
    ],
)
def test_finds_are_said_with_their_ranks(ranks, said):
    assert sentence([find(*rank) for rank in ranks], demo(0).result) == said


def test_a_missed_group_is_named_with_the_reason():
    finds = [find(3, 1), find(4, None)]
    complete = demo(0).result
    said = "found 1 of 2 planted groups: size 3 rank 1; missed: size 4 (A0 0 + A1 1 + A2 2 + A3 3)"
    assert sentence(finds, complete) == f"{said} (luckier groups, or these rules, kept them out)"
    assert (
        sentence(finds, replace(complete, status=Status.WALL))
        == f"{said} (the search ended early: wall)"
    )


def test_nothing_found_is_not_dressed_up():
    said = sentence([find(3, None)], demo(0).result)
    assert said.startswith("found 0 of 1 planted groups; missed: size 3 (")


def test_an_empty_search_without_planting_claims_nothing():
    empty = replace(demo(0, plant=False).result, kept={3: (), 4: ()}, tested={2: 7, 3: 5, 4: 1})
    assert sentence([], empty) == "nothing was planted: none of the 6 groups tested was kept"


def test_a_size_that_is_not_kept_has_no_rank():
    table = demo(0).table
    pairs_only = search(
        read_signals(table.signals), budget_s=60, workers=2, rules=Rules(max_size=2)
    )
    assert [find.rank for find in check_finds(pairs_only, table.planted)] == [None, None, None]
