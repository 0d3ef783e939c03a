"""A search resumed from any state ends as one that was never interrupted."""

import dataclasses
import threading

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_search import ALL_ELIGIBLE, panel_of

from mp2 import InputError
from mp2._recurse import STARTER_DTYPE, STOPPED, Kernel
from mp2.groups import pool, turns
from mp2.groups import search as group_search
from mp2.groups.checkpoint import SearchState
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings

QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
LASTING = (
    "kept",
    "picked_rank",
    "attempts",
    "tested",
    "eligible",
    "score_mean",
    "score_std",
    "coverage",
    "n_exhausted",
)


def lasting(result):
    """The fields that an interruption must not change."""
    return {name: getattr(result, name) for name in LASTING}


def merged(state, part):
    """A state with a later part: it has all groups, but only the starters that changed."""
    is_older = ~np.isin(state.records["variation_idx"], part.records["variation_idx"])
    return dataclasses.replace(
        part,
        records=np.concatenate([state.records[is_older], part.records], dtype=STARTER_DTYPE),
        times=np.concatenate([state.times[is_older], part.times]),
    )


class MemoryRecorder:
    """Records the state of a search in memory, part by part."""

    def __init__(self, state=None):
        self.resume_from = state
        self.search = None

    @property
    def state(self):
        return self.resume_from

    def watch(self, running):
        self.search = running

    def record(self, *_):
        self.resume_from = merged(self.resume_from or SearchState(), self.search.take())
        self.search.confirm()


def search(panel, *, recorder=None, stop=None, observe=None, **settings):
    """Search with a recorder; `observe` is called as often as possible."""
    return group_search.search(
        panel,
        SearchSettings(**settings),
        recorder=recorder,
        stop=stop,
        observe=observe,
        observe_every_s=0,
    )


def interrupted(panel, rules, lengths, **options):
    """Result of sessions of `lengths` more attempts a starter, and a last one without a limit."""
    recorder, limit = MemoryRecorder(), 0
    for length in lengths:
        limit += length
        search(
            panel,
            budget_s=600,
            rules=rules,
            max_attempts=limit,
            recorder=recorder,
            **options,
        )
        recorder.record()
    return search(
        panel,
        budget_s=600,
        rules=rules,
        recorder=recorder,
        **options,
    )


@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    as_inconsistent=st.booleans(),
    lengths=st.lists(st.integers(1, 40), max_size=4),
    workers=st.integers(1, 3),
)
@QUICK
def test_sessions_are_one_search(signals, rules, as_inconsistent, lengths, workers):
    panel = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    whole = search(panel, budget_s=600, rules=rules, workers=1)
    assert lasting(interrupted(panel, rules, lengths, workers=workers)) == lasting(whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_killed_search_had_kept_is_enough(workers):
    """Only the parts recorded while it ran are there; what came later is found again."""
    panel = panel_of((14,) * 5)
    whole = search(panel, budget_s=600, rules=ALL_ELIGIBLE)
    recorder = MemoryRecorder()
    stop = threading.Event()
    n_kept = 0
    for _ in range(1000):
        stop.clear()

        def keep_and_stop(progress):
            nonlocal n_kept
            recorder.record()
            n_kept += 1
            stop.set()

        result = search(
            panel,
            budget_s=600,
            rules=ALL_ELIGIBLE,
            workers=workers,
            stop=stop,
            observe=keep_and_stop,
            recorder=recorder,
        )
        if result.status is Status.COMPLETE:
            break
    assert lasting(result) == lasting(whole)
    assert n_kept >= 1


def test_an_abandoned_first_turn_is_no_part_of_the_state(monkeypatch):
    """The ledger booked the turn, but its record is still zero: it would be variation 0's."""
    panel = panel_of((6,) * 4)
    recorder = MemoryRecorder()
    stop = threading.Event()
    stuck = threading.Event()
    release = threading.Event()

    class Stuck(Kernel):
        def run(self, record, control, groups, max_attempts=0):
            if record["variation_idx"][0] != 5:
                return super().run(record, control, groups, max_attempts)
            stuck.set()
            release.wait(60)
            return STOPPED

    def stop_when_stuck(progress):
        if stuck.is_set() and progress.attempts:
            stop.set()

    with monkeypatch.context() as patched:
        patched.setattr(turns, "Kernel", Stuck)
        patched.setattr(pool, "GRACE_NS", 1)
        options = {
            "stop": stop,
            "observe": stop_when_stuck,
            "recorder": recorder,
        }
        result = search(panel, budget_s=600, rules=ALL_ELIGIBLE, workers=2, **options)
        release.set()
    assert (result.status, result.starters[5].n_turns) == (Status.STOPPED, 1)
    assert "was abandoned" in result.warnings[-1]
    recorder.record()
    assert (recorder.state.records["attempts"] > 0).all()
    assert 5 not in recorder.state.records["variation_idx"]
    again = search(panel, budget_s=600, rules=ALL_ELIGIBLE, recorder=MemoryRecorder(recorder.state))
    assert lasting(again) == lasting(search(panel, budget_s=600, rules=ALL_ELIGIBLE))


def test_times_and_budgets_are_sums():
    panel, recorder = panel_of((6,) * 4), MemoryRecorder()
    first = search(panel, budget_s=50, max_attempts=40, recorder=recorder)
    recorder.record()
    second = search(panel, budget_s=70, recorder=recorder)
    assert second.budget_s == 120
    assert second.elapsed_s > first.elapsed_s
    for earlier, later in zip(first.starters, second.starters, strict=True):
        assert later.n_turns == earlier.n_turns + (earlier.status.value != "exhausted")
        assert later.elapsed_s >= earlier.elapsed_s
        assert later.limit_start_s == earlier.limit_start_s
        assert later.limit_end_s >= earlier.limit_end_s


def test_an_unconfirmed_part_is_taken_again():
    panel, recorder = panel_of((3,) * 3), MemoryRecorder()
    search(panel, budget_s=600, recorder=recorder)
    first = recorder.search.take()
    assert len(first.records) == 9
    np.testing.assert_array_equal(recorder.search.take().records, first.records)
    recorder.search.confirm()
    assert len(recorder.search.take().records) == 0


@pytest.fixture
def cut_off():
    """A state in the middle of a search, with its panel."""
    panel, recorder = panel_of((5,) * 5), MemoryRecorder()
    search(panel, budget_s=600, rules=ALL_ELIGIBLE, max_attempts=200, recorder=recorder)
    recorder.record()
    assert (recorder.state.records["depth"] > 1).any()
    return panel, recorder.state


def broken(state, **changes):
    records = state.records.copy()
    deep = int(np.argmax(records["depth"]))
    for name, value in changes.items():
        if name == "cursor":
            records["cursor"][deep, value[0]] = value[1]
        else:
            records[name][deep] = value
    return dataclasses.replace(state, records=records)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variation_idx": 25}, "not those of this panel"),
        ({"variation_idx": -1}, "not those of this panel"),
        ({"variation_idx": 1}, "not those of this panel"),
        ({"depth": 4}, "a cursor points nowhere"),
        ({"depth": -1}, "a cursor points nowhere"),
        ({"depth": 0}, "a cursor points nowhere"),
        ({"exhausted": 1}, "a cursor points nowhere"),
        ({"attempts": -5}, "a cursor points nowhere"),
        ({"cursor": (0, 0)}, "a cursor points nowhere"),
        ({"cursor": (0, 26)}, "a cursor points nowhere"),
        ({"cursor": (1, 2)}, "a cursor points nowhere"),
        ({"cursor": (1, 2**31 - 1)}, "a cursor points nowhere"),
    ],
)
def test_a_damaged_record_is_refused(cut_off, changes, message):
    panel, state = cut_off
    if changes == {"variation_idx": 1}:
        assert 1 in state.records["variation_idx"]
    with pytest.raises(InputError, match=message):
        search(
            panel,
            budget_s=600,
            rules=ALL_ELIGIBLE,
            recorder=MemoryRecorder(broken(state, **changes)),
        )


@pytest.mark.parametrize(
    "damage",
    [
        lambda scores, members: (scores * np.nan, members),
        lambda scores, members: (scores, members[:, :-1]),
        lambda scores, members: (scores[:-1], members),
        lambda scores, members: (scores, members[:, ::-1]),
        lambda scores, members: (scores, members + 25),
        lambda scores, members: (np.repeat(scores, 50), np.repeat(members, 50, axis=0)),
    ],
)
def test_damaged_groups_are_refused(cut_off, damage):
    panel, state = cut_off
    kept = {size: damage(*groups) for size, groups in state.kept.items()}
    with pytest.raises(InputError, match="groups are not those of this panel"):
        search(
            panel,
            budget_s=600,
            rules=ALL_ELIGIBLE,
            recorder=MemoryRecorder(dataclasses.replace(state, kept=kept)),
        )


def test_groups_of_other_sizes_are_refused(cut_off):
    panel, state = cut_off
    with pytest.raises(InputError, match="groups are not those"):
        search(panel, budget_s=600, rules=Rules(retain_sizes=(4,)), recorder=MemoryRecorder(state))


def test_records_of_another_build_are_refused(cut_off):
    panel, state = cut_off
    other = dataclasses.replace(
        state, records=np.zeros(len(state.records), np.dtype([("variation_idx", "i4")]))
    )
    with pytest.raises(InputError, match="another build"):
        search(panel, budget_s=600, rules=ALL_ELIGIBLE, recorder=MemoryRecorder(other))


def test_a_state_taken_meanwhile_counts_the_session_it_is_from():
    panel, recorder, states = panel_of((14,) * 5), MemoryRecorder(), []

    def look(_):
        recorder.record()
        states.append(recorder.state)

    options = {
        "rules": ALL_ELIGIBLE,
        "recorder": recorder,
        "observe": look,
        "workers": 2,
    }
    search(panel, budget_s=30, max_attempts=100, **options)
    search(panel, budget_s=40, **options)
    assert {state.budget_ns for state in states} == {30 * 10**9, 70 * 10**9}
    assert [state.elapsed_ns for state in states] == sorted(state.elapsed_ns for state in states)
    for state in states:
        assert (state.times["used_ns"] <= state.times["limit_end_ns"]).all()
        assert state.times["used_ns"].sum() <= 2 * state.elapsed_ns


def test_starters_taken_over_are_counted_over_all_sessions():
    panel, recorder = panel_of((4,) * 4), MemoryRecorder()
    copies = dataclasses.replace(panel, buys=np.repeat(panel.buys[::2], 2, axis=0))
    whole = search(copies, budget_s=600, rules=ALL_ELIGIBLE, workers=1, recorder=recorder)
    recorder.record()
    again = search(
        copies, budget_s=600, rules=ALL_ELIGIBLE, recorder=MemoryRecorder(recorder.state)
    )
    assert whole.aliases
    assert (again.n_visited, again.n_decided) == (whole.n_visited, whole.n_decided)
