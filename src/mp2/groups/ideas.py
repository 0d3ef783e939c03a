"""Distinct ideas among the kept groups, since a thousand groups may say a few things.

Groups of one size with the same consensus and the same hits on all days are one *idea*, whose
representative is the best of them. Ideas that buy nearly the same are a *family*: it holds every
idea that overlaps one of its others enough. Both are numbered from 1 by their best group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mp2.data import bitset
from mp2.data.arrays import BoolArray, IndexArray, WordArray
from mp2.groups.result import Group, Idea, SearchResult
from mp2.groups.settings import FAMILY_OVERLAP

MAX_IDEAS = 5000
"""Ideas of one size that are compared with each other; with more, families are not known."""


def with_ideas(
    result: SearchResult,
    family_overlap: float = FAMILY_OVERLAP,
    n_groups_of: Mapping[int, IndexArray] | None = None,
) -> SearchResult:
    """Return the result with its ideas, and with the number of its idea in every kept group.

    `family_overlap` is that of `SearchSettings`. All kept groups have to be there. `n_groups_of`:
    by size, how many groups each kept one stands for, 0 where not known; by default itself alone.
    """
    kept = {}
    ideas = {}
    for size, groups in result.kept.items():
        numbers = idea_numbers(groups)
        n_groups: Mapping[int, int] = Counter(numbers)
        if n_groups_of is not None:
            # Each kept group is an idea.
            n_groups = dict(zip(numbers, n_groups_of[size].tolist(), strict=True))
        # Ideas are numbered in rank order, so a number beyond the last is that of a new idea.
        best: list[Group] = []
        for group, number in zip(groups, numbers, strict=True):
            if number > len(best):
                best.append(group)
        families = family_numbers(best, family_overlap)
        distinct: list[Idea] = []
        for group, family in zip(best, families, strict=True):
            number = len(distinct) + 1
            idea = Idea(
                idea=number,
                family=family,
                rank=group.rank,
                n_groups=n_groups[number] or None,
            )
            distinct.append(idea)
        numbered = []
        for group, number in zip(groups, numbers, strict=True):
            family = families[number - 1]
            numbered.append(replace(group, idea=number, family=family))
        ideas[size] = tuple(distinct)
        kept[size] = tuple(numbered)
    return replace(result, kept=kept, ideas=ideas)


def idea_numbers(groups: Sequence[Group]) -> list[int]:
    """Return the number of the idea of each group, from 1; groups come best first."""
    number_of: dict[object, int] = {}
    numbers = []
    for group in groups:
        hits = tuple(day.hits for day in group.days)
        said = (hits, group.consensus)
        number = number_of.setdefault(said, len(number_of) + 1)
        numbers.append(number)
    return numbers


def family_numbers(
    ideas: Sequence[Group],
    overlap: float,
) -> list[int] | list[None]:
    """Return the number of the family of each idea, from 1; None for all of too many.

    Ideas are given by a group each, best first. Two are near when `overlap` or more of the (day,
    ticker) pairs that either buys are bought by both.
    """
    # The time grows with the square.
    if len(ideas) > MAX_IDEAS:
        return [None] * len(ideas)
    pairs = pairs_of(ideas)
    family = np.zeros(len(ideas), np.int64)
    n_families = 0
    left = np.arange(len(ideas))
    while len(left):
        n_families += 1
        added = left[:1]
        left = left[1:]
        while len(added):
            family[added] = n_families
            is_near = are_near(pairs[left], pairs[added], overlap)
            added = left[is_near]
            left = left[~is_near]
    numbers: list[int] = family.tolist()
    return numbers


def are_near(
    pairs: WordArray,
    others: WordArray,
    overlap: float,
) -> BoolArray:
    """Return which of n ideas are near any of the others, bool[n], both given by `pairs_of`."""
    n_pairs = bitset.count(pairs)
    # A row per word: sums over rows are several times as fast as sums over short columns.
    words = np.ascontiguousarray(pairs.T)
    is_near = np.zeros(len(pairs), np.bool_)
    for other, n_others in zip(others, bitset.count(others), strict=True):
        both = words & other[:, None]
        n_both = np.bitwise_count(both).sum(axis=0, dtype=np.uint32)
        n_either = n_pairs + n_others - n_both
        is_near |= n_both / n_either >= overlap
    return is_near


def pairs_of(groups: Sequence[Group]) -> WordArray:
    """Return the (day, ticker) pairs that each of n groups buys as sets uint64[n, W].

    Only pairs that some group buys have a number.
    """
    number_of: dict[tuple[str, str], int] = {}
    rows = []
    bits = []
    for row, group in enumerate(groups):
        for day in group.consensus:
            rows += [row] * len(day.tickers)
            for ticker in day.tickers:
                pair = (day.day, ticker)
                bits.append(number_of.setdefault(pair, len(number_of)))
    width = bitset.n_words(len(number_of))
    words = np.zeros((len(groups), width), np.uint64)
    row_starts = np.array(rows, np.int64) * width
    bitset.set_bits(words.reshape(-1), row_starts, np.array(bits, np.int64))
    return words
