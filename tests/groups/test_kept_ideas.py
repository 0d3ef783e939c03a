"""A search that keeps ideas: the best group of each, as brute force finds them."""

import dataclasses

import numpy as np
import oracle
import pytest
import strategies
from comparison import differences, shape_of, using
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from places import GOLDEN
from test_checkpoint import MemoryRecorder, interrupted, lasting, search
from test_search import panel_of

import mp2
from mp2 import InputError
from mp2._recurse import Control, Kernel, TopGroups, simd_available
from mp2.data import bitset
from mp2.groups.memory import memory_needed

FAR_NS = 2**62
QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# Many groups that are eligible and few that are kept, so that ideas come and go.
RULES = st.builds(
    lambda rules, top_k, limits: dataclasses.replace(rules, top_k=top_k, **limits),
    strategies.rules(),
    st.sampled_from((1, 2, 3, 1000)),
    st.sampled_from((strategies.LOOSE, {})),
)
PANELS = st.one_of(strategies.copied_signals(), strategies.signals())


def assert_as_expected(result, expected):
    if expected["doubtful"]:
        return
    shape = shape_of(result)
    for name in ("status", "attempts", "eligible", "score_mean", "score_std", "groups", "picks"):
        assert differences(shape[name], expected[name], name) == []
    for size, kept in result.kept.items():
        assert [idea.n_groups for idea in result.ideas[size]] == expected["n_groups"][size]
        numbers = list(range(1, len(kept) + 1))
        assert [idea.rank for idea in result.ideas[size]] == numbers
        assert [group.idea for group in kept] == numbers


@given(
    simd=st.sampled_from(simd_available()),
    signals=PANELS,
    rules=RULES,
    workers=st.sampled_from((1, 3)),
    as_inconsistent=st.booleans(),
    without=st.sampled_from(((), ("aliases",))),
    count=st.sampled_from(("exact", "fast")),
    limit=st.sampled_from((None, None, 7)),
)
@QUICK
def test_the_best_ideas_are_those_of_brute_force(
    simd, signals, rules, workers, as_inconsistent, without, count, limit
):
    expected = oracle.search(signals, rules, keep="ideas", max_attempts=limit)
    with using(simd):
        result = search(
            oracle.to_panel(signals, as_inconsistent=as_inconsistent),
            budget_s=600,
            workers=workers,
            rules=rules,
            max_attempts=limit,
            without=without,
            count=count,
            keep="ideas",
        )
    assert_as_expected(result, expected)


@given(
    signals=PANELS,
    rules=RULES,
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    workers=st.sampled_from((1, 3)),
)
@QUICK
def test_sessions_are_one_search(signals, rules, lengths, workers):
    panel = oracle.to_panel(signals)
    whole = search(panel, budget_s=600, rules=rules, workers=1, keep="ideas")
    resumed = interrupted(panel, rules, lengths, workers=workers, keep="ideas")
    assert lasting(resumed) == lasting(whole)
    assert resumed.ideas == whole.ideas


@given(order=st.permutations(range(12)), top_k=st.integers(1, 12), seed=st.integers(0, 2**32))
@example(order=list(range(12)), top_k=2, seed=0)
@QUICK
def test_the_order_of_starters_and_merges_does_not_count(order, top_k, seed):
    rng = np.random.default_rng(seed)
    # Few tickers and many copies: most ideas have several groups, and many tie.
    rows = rng.random((4, 2, 6)) < 0.7
    buys = bitset.pack(rows[rng.integers(0, 4, 12)])
    wins = bitset.pack(rng.random((2, 6)) < 0.8)
    rules = mp2.Rules(min_daily_hits=1, top_k=top_k, retain_sizes=(3,), **strategies.LOOSE)
    kernel = Kernel(buys, wins, np.repeat(np.arange(4), 3).astype(np.int32), np.ones(2), rules)

    def kept_of(starters, n_merged, top_k):
        """The ideas of all, merged by so many at a time: score, members, number of groups."""
        every = TopGroups(3, top_k, kernel)
        for first in range(0, len(starters), n_merged):
            some = TopGroups(3, top_k, kernel)
            for v in starters[first : first + n_merged]:
                record = np.zeros(1, mp2._recurse.STARTER_DTYPE)
                record["variation_idx"] = v
                one = TopGroups(3, top_k, kernel)
                kernel.run(record, Control(FAR_NS, FAR_NS), {3: one})
                some.merge(one)
            every.merge(some)
        columns = (*every.ranked(), every.n_groups())
        return list(zip(*map(np.ndarray.tolist, columns), strict=True))

    ideas = kept_of(list(range(12)), 1, 1000)
    best = ideas[:top_k]
    if len(ideas) > top_k:
        # Of those that tie with an idea that is not kept, not all groups were counted.
        lost = ideas[top_k][0]
        best = [(score, group, n if score > lost else 0) for score, group, n in best]
    assert kept_of(order, 5, top_k) == best


def test_ideas_of_one_key_are_told_apart():
    # On a consistent panel hits follow from the consensus; here two ideas differ in hits alone, and
    # have one key.
    rows = np.ones((3, 1, 9), bool)
    won = np.zeros((3, 1, 9), bool)
    won[1, 0, :8] = True
    won[2, 0, :7] = True
    algo_of = np.array([0, 1, 1], np.int32)
    rules = mp2.Rules(max_size=2, min_daily_hits=1, **strategies.LOOSE)
    kernel = Kernel(bitset.pack(rows), bitset.pack(won), algo_of, np.ones(1), rules)
    ideas = TopGroups(2, 10, kernel)
    record = np.zeros(1, mp2._recurse.STARTER_DTYPE)
    kernel.run(record, Control(FAR_NS, FAR_NS), {2: ideas})
    assert ideas.ranked()[1].tolist() == [[0, 1], [0, 2]]
    assert ideas.n_groups().tolist() == [1, 1]


def test_what_is_kept_is_stated():
    rules = mp2.Rules(min_daily_hits=3, top_k=5)
    path = GOLDEN / "aliases-and-ties.csv"
    groups = mp2.search(path, rules=rules)
    ideas = mp2.search(path, rules=rules, keep="ideas")
    assert (groups.keep, ideas.keep) == ("groups", "ideas")
    assert ideas.to_dict()["keep"] == "ideas"
    # Five groups that say the same, but two different ideas of eight groups each.
    assert [idea.n_groups for idea in groups.ideas[3]] == [5]
    assert [idea.n_groups for idea in ideas.ideas[3]] == [8, 8]
    assert (groups.n_kept[3], ideas.n_kept[3]) == (5, 2)
    assert "2 ideas kept" in repr(ideas)


def test_a_state_of_groups_is_no_state_of_ideas():
    recorder = MemoryRecorder()
    panel = panel_of((4,) * 4)
    rules = mp2.Rules(min_daily_hits=0, **strategies.LOOSE)
    search(panel, budget_s=600, rules=rules, max_attempts=20, recorder=recorder)
    recorder.record()
    with pytest.raises(InputError, match="it does not keep ideas"):
        search(panel, budget_s=600, rules=rules, recorder=recorder, keep="ideas")
    state = dataclasses.replace(
        recorder.state, n_groups={size: np.ones(1, np.int64) for size in recorder.state.kept}
    )
    with pytest.raises(InputError, match="it does not keep groups"):
        search(panel, budget_s=600, rules=rules, recorder=MemoryRecorder(state))


def test_restored_ideas_need_their_numbers():
    panel = panel_of((4,) * 4)
    kernel = Kernel(panel.buys, panel.wins, panel.algo_of, np.ones(len(panel.days)), mp2.Rules())
    ideas = TopGroups(3, 5, kernel)
    with pytest.raises(ValueError, match="0 n_groups are not those of 1 ideas"):
        ideas.restore(np.ones(1), np.array([[0, 4, 8]], np.int32))


def test_ideas_need_more_memory():
    panel = panel_of((4,) * 4)
    rules = mp2.Rules()
    assert memory_needed(panel, rules, 2, "ideas") > memory_needed(panel, rules, 2)
