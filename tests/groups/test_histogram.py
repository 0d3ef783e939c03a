"""Scores of all eligible groups are counted by bins, however the search is cut into turns."""

from dataclasses import replace

import numpy as np
from places import GOLDEN

import mp2
from mp2._recurse import TopGroups
from mp2.groups.histogram import BIN_START, BIN_WIDTH, N_BINS, counted_scores
from mp2.groups.search import search
from mp2.groups.settings import SearchSettings


def searched(**changes):
    rules = mp2.Rules(min_daily_hits=0, top_k=100_000)
    panel = mp2.read_signals(GOLDEN / "aliases-and-ties.csv")
    return mp2.search(panel, rules=replace(rules, **changes), replicates=0, budget_s=60)


def test_all_eligible_groups_are_counted():
    result = searched()
    for size, groups in result.kept.items():
        assert len(groups) == result.eligible[size]
        scores = np.array([group.score for group in groups])
        assert result.n_scores[size] == counted_scores(scores)


def test_groups_that_are_not_kept_are_counted_as_well():
    assert searched(top_k=1).n_scores == searched().n_scores


def test_what_is_beyond_the_ends_is_in_the_first_and_the_last_bin():
    inner = BIN_START + BIN_WIDTH * np.arange(N_BINS)
    scores = np.concatenate([inner, inner - 1e-9, [-1e300, 1e300, -80.0, 240.0]])
    counts = counted_scores(scores)
    assert sum(counts) == len(scores)
    assert counts[0] == 1 + 1 + 1 + 1 + 1
    assert counts[-1] == 1 + 1 + 1


def test_scores_that_are_not_finite_are_of_no_group():
    assert sum(counted_scores(np.array([-np.inf, np.nan, 1.0]))) == 1


def test_counts_are_merged_and_restored():
    heap = TopGroups(2, 5)
    counts = np.arange(N_BINS)
    heap.add_scores(counts)
    other = TopGroups(2, 5)
    other.merge(heap)
    other.merge(heap.with_first(3))
    assert other.n_scores().tolist() == (2 * counts).tolist()


class Kept:
    """A recorder that keeps the whole state of one search, and resumes from it."""

    resume_from = None

    def watch(self, search):
        self.search = search

    def keep(self, **changes):
        self.resume_from = replace(self.search.take(), **changes)


def resumed(**changes):
    """A search of several sessions, before the last of which the state is changed."""
    panel = mp2.read_signals(GOLDEN / "aliases-and-ties.csv")
    settings = SearchSettings(rules=mp2.Rules(min_daily_hits=0), max_attempts=12)
    recorder = Kept()
    first = search(panel, settings, recorder=recorder)
    assert first.status is mp2.Status.WORK_LIMIT
    recorder.keep(**changes)
    return search(panel, replace(settings, max_attempts=None), recorder=recorder)


def test_a_resumed_search_continues_the_counts():
    assert resumed().n_scores == searched().n_scores


def test_a_state_without_counts_leaves_them_unknown():
    result = resumed(n_scores={})
    assert result.eligible == searched().eligible
    # Of size 4 none had been found by then.
    assert 3 not in result.n_scores
