"""Ideas and families of kept groups."""

import itertools
import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from places import GOLDEN
from sheets import WEEK, group_of, result_of

import mp2
from mp2.data import bitset
from mp2.groups import ideas as ideas_module
from mp2.groups.ideas import family_numbers, idea_numbers, pairs_of, with_ideas
from mp2.groups.result import DayConsensus, DayStats, Idea

MONDAY, TUESDAY = WEEK[:2]


def group(rank, *tickers, hits=(1, 1)):
    """A group of two days, which buys these texts of one-letter tickers."""
    days = zip(WEEK, tickers, strict=False)
    return replace(
        group_of(rank, "A 1", "B 1"),
        idea=None,
        family=None,
        consensus=tuple(DayConsensus(day, tuple(sorted(names))) for day, names in days),
        days=tuple(
            DayStats(day, len(names), n_hits, 50.0, 1.0)
            for day, names, n_hits in zip(WEEK, tickers, hits, strict=False)
        ),
    )


KEPT = (
    group(1, "ABCDE", "ABCDE"),
    group(2, "XYZ", "XYZ"),
    group(3, "ABCDE", "ABCDE"),
    # Other hits are another idea, though it buys the same.
    group(4, "ABCDE", "ABCDE", hits=(1, 2)),
    # Nine of ten pairs.
    group(5, "ABCDE", "ABCD"),
    group(6, "XYZ", "XYZ"),
    group(7, "ABCDE", "ABCDE"),
)


def test_ideas_are_counted_and_numbered_by_their_best_group():
    result = with_ideas(replace(result_of({2: []}), kept={2: KEPT, 3: ()}))
    assert [one.idea for one in result.kept[2]] == [1, 2, 1, 3, 4, 2, 1]
    assert [one.family for one in result.kept[2]] == [1, 2, 1, 1, 1, 2, 1]
    assert result.ideas == {
        2: (
            Idea(idea=1, family=1, rank=1, n_groups=3),
            Idea(idea=2, family=2, rank=2, n_groups=2),
            Idea(idea=3, family=1, rank=4, n_groups=1),
            Idea(idea=4, family=1, rank=5, n_groups=1),
        ),
        3: (),
    }
    assert [replace(one, idea=None, family=None) for one in result.kept[2]] == list(KEPT)


def test_a_higher_overlap_parts_families():
    result = with_ideas(replace(result_of({2: []}), kept={2: KEPT}), 0.95)
    assert [idea.family for idea in result.ideas[2]] == [1, 2, 1, 3]


def test_the_day_counts_as_well_as_the_ticker():
    assert family_numbers([group(1, "AB", "CD"), group(2, "CD", "AB")], 0.8) == [1, 2]


def test_a_family_is_linked_through_its_members():
    # Each is near the next, the first and the last are not; the last comes second.
    chain = [group(1, "ABCDEFGHIJ"), group(2, "CDEFGHIJKL"), group(3, "BCDEFGHIJK")]
    assert family_numbers(chain[:2], 0.8) == [1, 2]
    assert family_numbers(chain, 0.8) == [1, 1, 1]


def test_the_overlap_itself_is_near():
    assert family_numbers([group(1, "ABCDE"), group(2, "ABCD")], 0.8) == [1, 1]
    assert family_numbers([group(1, "ABCDE"), group(2, "ABC")], 0.6) == [1, 1]
    assert family_numbers([group(1, "ABCDE"), group(2, "ABCD")], 0.81) == [1, 2]


def test_too_many_ideas_have_no_families(monkeypatch):
    monkeypatch.setattr(ideas_module, "MAX_IDEAS", 3)
    result = with_ideas(replace(result_of({2: []}), kept={2: KEPT}))
    assert [idea.family for idea in result.ideas[2]] == [None] * 4
    assert [one.family for one in result.kept[2]] == [None] * 7
    assert [one.idea for one in result.kept[2]] == [1, 2, 1, 3, 4, 2, 1]


def brute_families(bought, overlap):
    """Single linkage as it is defined: two near ideas have one family, until nothing changes."""
    first = list(range(len(bought)))
    near = []
    for one, other in itertools.combinations(first, 2):
        n_both = len(bought[one] & bought[other])
        if Fraction(n_both, len(bought[one] | bought[other])) >= overlap:
            near.append((one, other))
    for _ in bought:
        for one, other in near:
            first[one] = first[other] = min(first[one], first[other])
    # Families are numbered by their first idea.
    numbers = {idea: number for number, idea in enumerate(sorted(set(first)), 1)}
    return [numbers[idea] for idea in first]


TICKERS = "ABCDEFGH"
SETS = st.frozensets(st.tuples(st.sampled_from((MONDAY, TUESDAY)), st.sampled_from(TICKERS)))


@given(
    st.lists(SETS.filter(bool), max_size=12, unique=True),
    st.sampled_from([Fraction(n, 20) for n in range(1, 21)]),
)
@example([frozenset((MONDAY, t) for t in TICKERS[:n]) for n in (5, 4, 3)], Fraction(4, 5))
def test_families_are_those_of_single_linkage(bought, overlap):
    groups = []
    for rank, pairs in enumerate(bought, 1):
        by_day = ["".join(t for day, t in pairs if day == one) for one in (MONDAY, TUESDAY)]
        groups.append(group(rank, *by_day))
    assert family_numbers(groups, float(overlap)) == brute_families(bought, overlap)
    # The sets are those of the groups, whatever the numbers of their pairs.
    sets = bitset.unpack(pairs_of(groups), 64 * pairs_of(groups).shape[1])
    for one, pairs in zip(sets, bought, strict=True):
        assert one.sum() == len(pairs)
        assert [int((one & other).sum()) for other in sets] == [len(pairs & b) for b in bought]


def test_pairs_beyond_one_word():
    rng = random.Random(3)
    tickers = [chr(0x4E00 + number) for number in range(150)]
    groups = [group(rank, rng.sample(tickers, 60), rng.sample(tickers, 50)) for rank in (1, 2, 3)]
    sets = pairs_of(groups)
    assert bitset.count(sets).tolist() == [110] * 3
    for one, other in ((0, 1), (1, 2)):
        both = 0
        for this, that in zip(groups[one].consensus, groups[other].consensus, strict=True):
            both += len(set(this.tickers) & set(that.tickers))
        assert int(bitset.count(sets[one] & sets[other])) == both


def test_a_search_numbers_its_ideas():
    rules = mp2.Rules(min_daily_hits=3)
    result = mp2.search(GOLDEN / "aliases-and-ties.csv", rules=rules)
    meanings = {}
    for one in result.groups(3):
        meaning = (one.consensus, tuple(day.hits for day in one.days))
        assert meanings.setdefault(one.idea, meaning) == meaning
    assert len(set(meanings.values())) == len(meanings) < len(result.groups(3))
    assert [result.groups(3)[idea.rank - 1].idea for idea in result.ideas[3]] == sorted(meanings)
    document = result.to_dict(n_groups=1)
    assert {size: len(ideas) for size, ideas in document["ideas"].items()} == {"3": 1, "4": 0}
    assert document["n_ideas"] == {"3": len(meanings), "4": 0}
    apart = mp2.search(GOLDEN / "week-prices.csv", rules=rules, family_overlap=1.0)
    assert [i.family for i in apart.ideas[3]] == [i.idea for i in apart.ideas[3]]
    near = mp2.search(GOLDEN / "week-prices.csv", rules=rules, family_overlap=0.01)
    assert {i.family for i in near.ideas[3]} == {1}


def test_nothing_kept_has_no_ideas():
    assert idea_numbers([]) == family_numbers([], 0.8) == []
    assert pairs_of([]).shape[0] == 0
    assert np.array_equal(pairs_of([group(1, "", "")]), np.zeros((1, 0), np.uint64))
