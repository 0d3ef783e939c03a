"""Identical variations are found, searched once and reported; prunings change only time."""

import itertools
import threading
from pathlib import Path

import numpy as np
import oracle
import pytest
import strategies
from comparison import lasting, mismatches, using
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mp2 import _recurse
from mp2._recurse import (
    ENTRY_BYTES,
    EXHAUSTED,
    STARTER_DTYPE,
    STOPPED,
    WALL,
    Control,
    Kernel,
    TopGroups,
)
from mp2.cli.search_view import alias_hints, members_text
from mp2.data import bitset, panel
from mp2.data.panel import SignalPanel
from mp2.groups import aliases, turns
from mp2.groups import rules as rules_module
from mp2.groups import search as group_search
from mp2.groups.aliases import AliasCache, SearchedStarter
from mp2.groups.result import Member, Status
from mp2.groups.rules import PRUNINGS, Rules
from mp2.groups.settings import SearchSettings
from mp2.groups.starters import running_order
from mp2.groups.turns import LocalTurns
from mp2.searching import search

QUICK = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
FAR_NS = 2**62
*OTHER_SIMD, FASTEST = _recurse.simd_available()
SIMD = [*(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_SIMD), FASTEST]
WITHOUT = [(), *((name,) for name in PRUNINGS), PRUNINGS]
EVERYTHING = Rules(min_daily_hits=1, top_k=40, retain_sizes=(2, 3, 4), **strategies.LOOSE)
any_signals = st.one_of(
    strategies.copied_signals(), strategies.copied_signals(), strategies.signals()
)


def panel_of(buys, wins, sizes):
    """A panel from bool[V, D, T] and bool[D, T], or bool[V, D, T] when each has wins of its own."""
    _, n_days, n_tickers = buys.shape
    return SignalPanel(
        algos=tuple(f"A{a}" for a in range(len(sizes))),
        variations=tuple(f"v{i}" for size in sizes for i in range(size)),
        algo_of=np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
        days=tuple(f"2026-01-{day + 1:02d}" for day in range(n_days)),
        tickers=tuple(strategies.ticker_names(n_tickers)),
        buys=bitset.pack(buys),
        wins=bitset.pack(wins if wins.ndim == 2 else wins & buys),
        base_win_rates=np.linspace(48.0, 55.0, n_days),
        warnings=(),
        fingerprint="f" * 64,
    )


def copied_panel(
    sizes, n_originals, *, n_days=5, n_tickers=100, density=0.6, seed=1, consistent=True
):
    """`n_originals` different variations, each algorithm made of copies of some of them."""
    rng, n_variations = np.random.default_rng(seed), sum(sizes)
    source = rng.integers(0, n_originals, n_variations)
    buys = (rng.random((n_originals, n_days, n_tickers)) < density)[source]
    wins = (
        rng.random((n_days, n_tickers)) < 0.6
        if consistent
        else (rng.random((n_originals, n_days, n_tickers)) < 0.6)[source]
    )
    return panel_of(buys, wins, sizes)


@pytest.fixture
def ran(monkeypatch):
    """Variation numbers of the starters that a kernel ran, in order."""
    numbers = []

    class Recording(Kernel):
        def run(self, starter, *rest):
            numbers.append(int(starter["variation_idx"][0]))
            return super().run(starter, *rest)

    monkeypatch.setattr(turns, "Kernel", Recording)
    return numbers


# ---- found


@given(signals=any_signals, as_inconsistent=st.booleans())
@QUICK
def test_alias_of_is_the_first_alike(signals, as_inconsistent):
    def content(v):
        days = range(len(signals.days))
        return (
            signals.keys[v][0],
            [signals.buys[v, d] for d in days],
            [signals.wins[v, d] for d in days],
        )

    expected = [
        next(u for u in range(v + 1) if content(u) == content(v)) for v in range(len(signals.keys))
    ]
    found = oracle.to_panel(signals, as_inconsistent=as_inconsistent).alias_of
    assert found.dtype == np.int32
    assert found.tolist() == expected


def test_alias_of_needs_the_same_wins():
    buys = np.ones((4, 2, 70), bool)
    wins = np.ones((4, 2, 70), bool)
    wins[1, 1, 69] = False
    assert panel_of(buys, wins, (4,)).alias_of.tolist() == [0, 1, 0, 0]
    assert panel_of(buys, wins[0], (4,)).alias_of.tolist() == [0, 0, 0, 0]
    assert panel_of(buys, wins[0], (2, 2)).alias_of.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
def test_rows_with_equal_hashes_are_compared(monkeypatch, block_bytes):
    rows = np.random.default_rng(0).random((3, 2, 100)) < 0.5
    monkeypatch.setattr(panel, "hash", lambda row: 0, raising=False)
    monkeypatch.setattr(panel, "_TIMED_BLOCK_BYTES", block_bytes)
    assert panel_of(rows[[0, 1, 1, 0, 2, 0]], rows[0], (6,)).alias_of.tolist() == [0, 1, 2, 0, 4, 0]


# ---- searched once


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("simd", SIMD)
@given(
    signals=strategies.copied_signals(),
    rules=strategies.rules(),
    as_inconsistent=st.booleans(),
    limit=st.one_of(st.none(), st.integers(1, 60)),
)
@QUICK
def test_copied_starters_report_what_their_own_search_would(
    simd, workers, signals, rules, as_inconsistent, limit
):
    own = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    with using(simd):
        once = search(own, budget_s=60, workers=workers, rules=rules, max_attempts=limit)
        each = search(
            own, budget_s=60, workers=workers, rules=rules, max_attempts=limit, without=("aliases",)
        )
    assert lasting(once) == lasting(each)
    expected = oracle.search(signals, rules, max_attempts=limit)
    if not expected["doubtful"]:
        assert mismatches(once, expected) == []


@pytest.mark.parametrize("consistent", [True, False])
def test_one_starter_of_a_class_is_run(ran, consistent):
    copies = copied_panel((9, 7, 8, 9), 3, consistent=consistent)
    once = search(copies, workers=1, rules=EVERYTHING)
    first_of_class = {}
    for v in running_order(copies).tolist():
        first_of_class.setdefault(int(copies.alias_of[v]), v)
    assert len(first_of_class) < 33 / 2
    assert ran == list(first_of_class.values())
    ran.clear()
    each = search(copies, workers=1, rules=EVERYTHING, without=("aliases",))
    assert ran == running_order(copies).tolist()
    assert lasting(once) == lasting(each)
    assert once.eligible[4] > EVERYTHING.top_k
    assert once.n_visited < each.n_visited <= each.attempts


def test_a_starter_that_its_work_limit_ends_leaves_nothing(ran):
    copies = copied_panel((5, 4, 4), 1)
    limited = search(copies, workers=1, rules=EVERYTHING, max_attempts=20)
    assert ran == [*range(5), 5, 9]
    assert lasting(limited) == lasting(
        search(copies, workers=1, rules=EVERYTHING, max_attempts=20, without=("aliases",))
    )


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("consistent", [True, False])
def test_slices_change_nothing(monkeypatch, ran, workers, consistent):
    """Every turn ends at the kernel's first check; starters done in one turn are copied."""

    class EndingAtOnce(Control):
        def __init__(self, deadline_ns, wall_ns):
            super().__init__(0, wall_ns)

        def raise_deadline(self, deadline_ns):
            pass

    copies = copied_panel(
        (4, 4, 4), 2, n_days=6, n_tickers=20_000, density=0.7, consistent=consistent
    )
    rules = Rules(min_daily_hits=1, top_k=2, retain_sizes=(2, 3, 4), **strategies.LOOSE)
    whole = search(copies, workers=workers, rules=rules, without=("aliases",))
    monkeypatch.setattr(turns, "Control", EndingAtOnce)
    ran.clear()
    sliced = search(copies, budget_s=600, workers=workers, rules=rules)
    assert whole.status is sliced.status is Status.COMPLETE
    assert lasting(sliced) == lasting(whole)
    assert len(ran) > len(set(ran))
    assert workers > 1 or len(set(ran)) < 12


def run_of(copies):
    """A search that has been set up and has all the time it needs."""
    session = group_search.Session(0, FAR_NS, threading.Event())
    how = SearchSettings(rules=EVERYTHING)
    return group_search.SearchRun(copies, how, session, LocalTurns(copies, how))


@pytest.mark.parametrize(
    ("control", "end"),
    [
        (Control(FAR_NS, FAR_NS), STOPPED),
        (Control(FAR_NS, 0), WALL),
        (Control(0, FAR_NS), EXHAUSTED),
    ],
)
def test_a_copy_checks_stop_and_wall_but_not_the_deadline(control, end):
    run = run_of(copied_panel((2, 2), 1))
    assert run.turn(0, Control(FAR_NS, FAR_NS)) == EXHAUSTED
    if end == STOPPED:
        control.stop()
    assert run.turn(1, control) == end
    assert (run.records["attempts"][1] > 0) == (end == EXHAUSTED)


def test_a_closed_run_copies_nothing():
    run = run_of(copied_panel((2, 2), 1))
    run.turn(0, Control(FAR_NS, FAR_NS))
    run._closed = True
    before = (run.records.tobytes(), len(run.heaps[2]), run._n_taken_over)
    assert run.turn(1, Control(FAR_NS, FAR_NS)) == EXHAUSTED
    assert (run.records.tobytes(), len(run.heaps[2]), run._n_taken_over) == before


def test_without_room_each_alias_is_searched(monkeypatch, ran):
    copies = copied_panel((4, 3, 3), 1)
    expected = lasting(search(copies, workers=1, rules=EVERYTHING))
    ran.clear()
    monkeypatch.setattr(aliases, "MAX_BYTES", 100)
    assert lasting(search(copies, workers=1, rules=EVERYTHING)) == expected
    assert sorted(ran) == list(range(10))


def searched(v):
    record = np.zeros(1, STARTER_DTYPE)
    record["variation_idx"] = v
    record["n_rows_scanned"] = 5
    record["attempts"] = 7
    return SearchedStarter(record, {2: TopGroups(2, 10)})


def test_the_cache_drops_an_entry_with_its_last_alias():
    one = searched(0).n_bytes
    assert one >= ENTRY_BYTES
    cache = AliasCache(np.array([0, 0, 0, 3, 4, 4], np.int32), max_bytes=one)
    assert cache.begin(0) is None
    cache.add(0, searched(0))
    cache.add(4, searched(4))  # no room
    copied = cache.begin(2).for_alias(2).record[0]
    assert (copied["variation_idx"], copied["n_rows_scanned"], copied["attempts"]) == (2, 0, 7)
    assert cache.begin(4) is cache.begin(3) is None
    cache.add(3, searched(3))  # has no alias
    assert cache.begin(1) is not None
    assert not cache._searched
    cache.add(4, searched(4))
    assert cache.begin(5) is not None


# ---- the same groups under another first member


def test_with_first_is_a_heap_of_its_own():
    copies = copied_panel((4, 3, 4, 3), 5)
    rules = Rules(min_daily_hits=1, top_k=20, retain_sizes=(3,), **strategies.LOOSE)
    kernel = Kernel(copies.buys, copies.wins, copies.algo_of, np.ones(5), rules)

    def search_of(v):
        record, heaps = np.zeros(1, STARTER_DTYPE), {3: TopGroups(3, 20)}
        record["variation_idx"] = v
        assert kernel.run(record, Control(FAR_NS, FAR_NS), heaps) == EXHAUSTED
        return heaps[3]

    groups = search_of(0)
    scores, members = groups.ranked()
    renamed = groups.with_first(3)
    assert len(scores) == 20
    assert renamed.ranked()[0].tolist() == scores.tolist()
    assert renamed.ranked()[1].tolist() == [[3, *rest] for _, *rest in members.tolist()]
    more = search_of(1)
    pool = sorted(
        (
            (-score, group)
            for heap in (renamed, more)
            for score, group in zip(*map(np.ndarray.tolist, heap.ranked()), strict=True)
        ),
    )
    renamed.merge(more)
    assert [
        (-score, group)
        for score, group in zip(*map(np.ndarray.tolist, renamed.ranked()), strict=True)
    ] == pool[:20]
    assert groups.ranked()[1].tolist() == members.tolist()


def test_with_first_of_an_empty_heap_can_be_filled():
    empty = TopGroups(3, 20).with_first(7)
    assert (len(empty), empty.best(), empty.ranked()[1].shape) == (0, None, (0, 3))
    empty.merge(TopGroups(3, 20))
    assert len(empty) == 0


# ---- reported


def test_the_result_names_the_classes():
    rows = np.random.default_rng(3).random((3, 4, 40)) < 0.5
    alike = panel_of(rows[[0, 1, 0, 2, 1, 0, 0, 0]], rows[0], (5, 3))
    for without in ((), PRUNINGS):
        result = search(alike, without=without)
        assert [[member.variation_idx for member in members] for members in result.aliases] == [
            [0, 2],
            [1, 4],
            [5, 6, 7],
        ]
        assert result.aliases[1] == (Member("A0", "v1", 1), Member("A0", "v4", 4))
        assert result.to_dict()["aliases"][0][1] == {
            "algo": "A0",
            "variation": "v2",
            "variation_idx": 2,
        }
    assert search(panel_of(rows, rows[0], (3,))).aliases == ()


def test_hints_stay_short():
    alike = [
        tuple(Member("RSI", f"5-{v}", v) for v in members)
        for members in ((20, 21), (30, 31, 32, 33))
    ]
    hints = alias_hints(alike)
    members = [
        Member("RSI", "5-21", 21),
        Member("MACD", "x", 7),
        Member("RSI", "5-30", 30),
        Member("RSI", "5-32", 32),
    ]
    assert (
        members_text(members, hints)
        == "RSI 5-21 (= 5-20) + MACD x + RSI 5-30 (= 5-31, +2) + RSI 5-32 (= 5-30, +2)"
    )


# ---- every pruning


@pytest.mark.parametrize("without", WITHOUT, ids=lambda names: "+".join(names) or "nothing")
@pytest.mark.parametrize("simd", SIMD)
@given(
    signals=any_signals,
    rules=strategies.rules(),
    workers=st.sampled_from((1, 3)),
    limit=st.one_of(st.none(), st.none(), st.integers(1, 60)),
    as_inconsistent=st.booleans(),
)
@settings(QUICK, max_examples=12)
def test_no_pruning_changes_a_result(
    simd, without, signals, rules, workers, limit, as_inconsistent
):
    own = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    with using(simd):
        expected = lasting(
            search(own, budget_s=60, workers=workers, rules=rules, max_attempts=limit)
        )
        found = search(
            own, budget_s=60, workers=workers, rules=rules, max_attempts=limit, without=without
        )
    assert lasting(found) == expected


LARGER = {
    "all eligible": (EVERYTHING, {}),
    "floor and cap": (
        Rules(min_daily_hits=9, max_daily_buys=22, top_k=50, retain_sizes=(2, 3, 4, 5), max_size=5),
        {},
    ),
    "no floor": (Rules(min_daily_hits=0, top_k=5, min_pooled_pp=55.0), {"density": 0.3}),
    "wins of their own": (EVERYTHING, {"consistent": False}),
    "three words a day": (
        Rules(min_daily_hits=20, top_k=30, **strategies.LOOSE),
        {"n_tickers": 190},
    ),
}


@pytest.fixture(scope="module", params=LARGER)
def larger(request):
    """A panel of many blocks and copies, its rules, and what the default search finds."""
    rules, made = LARGER[request.param]
    copies = copied_panel((12, 9, 14, 11, 12, 8), 40, **made)
    expected = search(copies, budget_s=60, workers=2, rules=rules)
    assert expected.status is Status.COMPLETE
    assert sum(expected.eligible.values()) > rules.top_k
    return copies, rules, lasting(expected)


@pytest.mark.slow
@pytest.mark.parametrize("without", WITHOUT, ids=lambda names: "+".join(names) or "nothing")
@pytest.mark.parametrize("simd", SIMD)
def test_no_pruning_changes_a_larger_result(simd, without, larger):
    copies, rules, expected = larger
    with using(simd):
        assert (
            lasting(search(copies, budget_s=60, workers=2, rules=rules, without=without))
            == expected
        )


def test_the_kernel_knows_the_prunings():
    arrays = copied_panel((2, 2), 1)
    arguments = (arrays.buys, arrays.wins, arrays.algo_of, np.ones(5), Rules())
    for names in itertools.chain(WITHOUT, [set(PRUNINGS)]):
        Kernel(*arguments, count="fast", without=frozenset(names))
    for wrong in ({"count": "quick"}, {"without": {"bounds"}}):
        with pytest.raises(ValueError, match="choose from"):
            Kernel(*arguments, **wrong)


def test_each_pruning_is_described():
    text = Path(rules_module.__file__).read_text(encoding="utf-8")
    assert all(f"- `{name}`:" in text for name in PRUNINGS)
