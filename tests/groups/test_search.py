"""Searches of a panel: settings, order, endings, results; no effect of the number of workers."""

import dataclasses
import itertools
import json
import math
import pickle
import threading

import numpy as np
import oracle
import pytest
import strategies
from comparison import lasting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import REAL_WEEK

from mp2 import _recurse
from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.data.signal_reader import read_signals
from mp2.errors import InputError, Mp2Error
from mp2.groups import kept as kept_groups
from mp2.groups import search as group_search
from mp2.groups import turns
from mp2.groups.kept import wins_of
from mp2.groups.result import StarterStatus, Status
from mp2.groups.rules import Rules
from mp2.groups.starters import running_order
from mp2.searching import search

QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
ALL_ELIGIBLE = Rules(min_daily_hits=1, top_k=40, retain_sizes=(2, 3, 4), **strategies.LOOSE)


def panel_of(sizes, *, n_days=5, n_tickers=100, density=0.6, seed=1, consistent=True):
    rng, n_variations = np.random.default_rng(seed), sum(sizes)
    buys = bitset.pack(rng.random((n_variations, n_days, n_tickers)) < density)
    wins = bitset.pack(
        rng.random((n_days, n_tickers) if consistent else (n_variations, n_days, n_tickers)) < 0.6
    )
    return SignalPanel(
        algos=tuple(f"A{a}" for a in range(len(sizes))),
        variations=tuple(f"v{i}" for size in sizes for i in range(size)),
        algo_of=np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
        days=tuple(f"2026-01-{day + 1:02d}" for day in range(n_days)),
        tickers=tuple(strategies.ticker_names(n_tickers)),
        buys=buys,
        wins=wins if consistent else buys & wins,
        base_win_rates=np.linspace(48.0, 55.0, n_days),
        warnings=("a warning of the panel",),
        fingerprint="f" * 64,
    )


@pytest.fixture(scope="module")
def small():
    return panel_of((4, 3, 5, 4, 3))


@pytest.fixture(scope="module")
def endless():
    """A panel of billions of groups, none pruned: its search ends by a stop or the wall."""
    return panel_of((60,) * 10, n_tickers=64, density=0.95)


ENDLESS_RULES = Rules(
    max_size=8, min_daily_hits=0, retain_sizes=(2, 8), top_k=10, **strategies.LOOSE
)
EARLY_S = 0.025


def check_invariants(result):
    """Check what holds for every result."""
    starters = list(result.starters)
    assert len(starters) == result.n_starters
    assert (
        (result.coverage == 1.0)
        == (result.status is Status.COMPLETE)
        == (result.n_exhausted == result.n_starters)
    )
    assert 0.0 <= result.coverage <= 1.0
    assert sum(starter.attempts for starter in starters) == result.attempts
    assert (
        sum(starter.status is StarterStatus.EXHAUSTED for starter in starters) == result.n_exhausted
    )
    assert sum(starter.n_branches for starter in starters) == result.n_branches
    assert sum(starter.n_branches_done for starter in starters) == result.n_branches_done
    assert result.overrun_s == max(0.0, result.elapsed_s - result.budget_s)
    for size in range(2, result.rules.max_size + 1):
        assert sum(starter.tested[size] for starter in starters) == result.tested[size]
    for size, kept in result.kept.items():
        n_eligible = result.eligible[size]
        assert sum(starter.eligible[size] for starter in starters) == n_eligible
        assert sum(starter.retained[size] for starter in starters) == len(kept)
        assert len(kept) == min(result.rules.top_k, n_eligible)
        assert [group.rank for group in kept] == list(range(1, len(kept) + 1))
        keys = [(-group.score, group.variation_idx) for group in kept]
        assert keys == sorted(set(keys))
        assert (result.pick(size) is None) == (not kept)
        assert (
            (result.score_mean[size] is None)
            == (result.score_std[size] is None)
            == (n_eligible == 0)
        )
    for starter in starters:
        assert (starter.status is StarterStatus.NOT_STARTED) == (starter.attempts == 0)
        assert (starter.cursor != ()) == (starter.status is StarterStatus.CUT_OFF)
        assert 0 <= starter.n_branches_done <= starter.n_branches
        assert (
            starter.status is not StarterStatus.EXHAUSTED
            or starter.n_branches_done == starter.n_branches
        )
    assert result.n_visited >= 0
    assert result.n_decided == max(0, result.attempts - result.n_visited)
    json.dumps(result.to_dict(), allow_nan=False)


# ---- settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget_s": 0}, "budget: 0 seconds"),
        ({"budget_s": -1.5}, r"budget: -1\.5 seconds"),
        ({"budget_s": math.nan}, "budget: nan seconds"),
        ({"budget_s": math.inf}, "budget: inf seconds"),
        ({"budget_s": 1e12}, "budget: "),
        ({"workers": 0}, "workers: 0"),
        ({"workers": -1}, "workers: -1"),
        ({"workers": 1025}, "workers: 1025"),
        ({"max_attempts": 0}, "max_attempts: 0"),
        ({"max_attempts": -5}, "max_attempts: -5"),
        ({"max_attempts": 2**62}, "max_attempts: "),
        ({"count": "quick"}, "count: 'quick' is unknown; choose from exact, fast"),
        (
            {"without": ("aliases", "bounds")},
            "without: no pruning 'bounds'; the prunings are aliases, hits_bound, cap_bound",
        ),
        ({"without": "aliases"}, "without: 'aliases' is a text; give a list of prunings"),
        ({"keep": "all"}, "keep: 'all' is unknown; choose from groups, ideas"),
        ({"family_overlap": 0}, "family_overlap: 0 is not above 0 and at most 1; give a share"),
        ({"family_overlap": 1.1}, "family_overlap: 1.1 is not above 0 and at most 1"),
        ({"family_overlap": float("nan")}, "family_overlap: nan is not above 0 and at most 1"),
        ({"special": "A1"}, "special: 'A1' is a text; give a list of algorithms"),
        (
            {"special": ("A1", "A9")},
            "special: no algorithm 'A9'; the algorithms are A0, A1, A2, A3, A4",
        ),
    ],
)
def test_unusable_settings(small, wrong, message):
    with pytest.raises(InputError, match=f"^{message}"):
        search(small, **wrong)


def test_all_unusable_settings_at_once(small):
    with pytest.raises(InputError) as raised:
        search(
            small,
            budget_s=-1,
            workers=0,
            max_attempts=0,
            special=("x", "y"),
            count="",
            without=("z",),
        )
    assert len(str(raised.value).splitlines()) == 7


# ---- order


def test_running_order_is_by_ticker_count_with_special_algorithms_last(small):
    order = running_order(small, special=("A3", "A0")).tolist()
    special = [small.algos[small.algo_of[v]] in {"A0", "A3"} for v in order]
    n_special = special.count(True)
    assert sorted(order) == list(range(19))
    assert special == [False] * (19 - n_special) + [True] * n_special
    for part in (order[: 19 - n_special], order[19 - n_special :]):
        keys = [(int(small.n_buys[v]), v) for v in part]
        assert keys == sorted(keys)


def test_running_order_breaks_ties_by_number(small):
    same = dataclasses.replace(small, buys=np.repeat(small.buys[:1], 19, axis=0))
    assert running_order(same).tolist() == list(range(19))
    assert running_order(same, ("A1",)).tolist() == [*range(4), *range(7, 19), 4, 5, 6]


def test_starters_run_in_that_order(small, monkeypatch):
    ran = []

    class Recording(_recurse.Kernel):
        def run(self, starter, *rest):
            ran.append(int(starter["variation_idx"][0]))
            return super().run(starter, *rest)

    monkeypatch.setattr(turns, "Kernel", Recording)
    search(small, workers=1, special=("A0",))
    assert ran == running_order(small, ("A0",)).tolist()


# ---- the same result for any number of workers


@pytest.mark.parametrize("max_attempts", [None, 1, 50, 400])
@pytest.mark.parametrize("consistent", [True, False])
def test_workers_change_nothing(consistent, max_attempts):
    panel = panel_of((4, 3, 5, 4, 3), consistent=consistent)
    results = [
        search(panel, workers=n, rules=ALL_ELIGIBLE, max_attempts=max_attempts)
        for n in (1, 2, 3, 8)
    ]
    first = lasting(results[0])
    for result in results:
        check_invariants(result)
        assert lasting(result) == first
    assert results[0].eligible[3] > ALL_ELIGIBLE.top_k or max_attempts == 1


@pytest.mark.slow
def test_slices_change_nothing(monkeypatch):
    """Every turn ends at the kernel's first check; many rounds find what single turns find."""

    class EndingAtOnce(_recurse.Control):
        def __init__(self, deadline_ns, wall_ns):
            super().__init__(0, wall_ns)

        def raise_deadline(self, deadline_ns):
            pass

    panel = panel_of((2, 2, 2, 2), n_days=6, n_tickers=4_000, density=0.7)
    whole = search(panel, workers=2, rules=ALL_ELIGIBLE)
    monkeypatch.setattr(turns, "Control", EndingAtOnce)
    sliced = search(panel, budget_s=600, workers=3, rules=ALL_ELIGIBLE)
    assert whole.status is sliced.status is Status.COMPLETE
    assert lasting(sliced) == lasting(whole)
    assert max(starter.n_turns for starter in whole.starters) == 1
    assert max(starter.n_turns for starter in sliced.starters) > 2


def test_special_algorithms_change_only_the_order(small):
    plain, special = (
        search(small, rules=ALL_ELIGIBLE),
        search(small, rules=ALL_ELIGIBLE, special=("A0", "A2")),
    )
    assert special.special == ("A0", "A2")
    assert lasting(dataclasses.replace(special, special=())) == lasting(plain)


@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    limit=st.one_of(st.none(), st.integers(1, 60)),
)
@QUICK
def test_invariants(signals, rules, limit):
    check_invariants(search(oracle.to_panel(signals), workers=2, rules=rules, max_attempts=limit))


@pytest.mark.parametrize(
    "constants",
    [{"weighted_pp_weight": 1e6, "mad_weight": 1e6}, {"wilson_z": 0.0}, {"wilson_z": 1e9}],
)
def test_json_has_no_nan_under_extreme_rules(small, constants):
    check_invariants(
        search(small, rules=Rules(min_daily_hits=1, **{**strategies.LOOSE, **constants}))
    )


# ---- counting


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("max_size", [2, 4])
def test_a_fast_count_is_a_lower_bound_of_one_number_alone(consistent, max_size):
    panel = panel_of((4, 3, 5, 4, 3), consistent=consistent)
    rules = Rules(max_size=max_size, min_daily_hits=4, top_k=40, **strategies.LOOSE)
    exact, fast = (
        search(panel, rules=rules, workers=2, count=count) for count in ("exact", "fast")
    )
    assert (exact.tested_exact, fast.tested_exact) == (True, False)
    assert 0 <= fast.tested[max_size] <= exact.tested[max_size] > 0
    starters = [
        dataclasses.replace(starter, tested={**starter.tested, max_size: 0})
        for starter in fast.starters
    ]
    wanted = [
        dataclasses.replace(starter, tested={**starter.tested, max_size: 0})
        for starter in exact.starters
    ]
    same = {"tested_exact": True, "tested": {**fast.tested, max_size: exact.tested[max_size]}}
    assert lasting(dataclasses.replace(fast, starters=starters, **same)) == lasting(
        dataclasses.replace(exact, starters=wanted)
    )
    check_invariants(fast)


def test_what_was_visited_is_part_of_the_attempts(small):
    result = search(small, rules=ALL_ELIGIBLE)
    assert result.n_starters <= result.n_visited <= result.attempts
    assert result.to_dict()["n_decided"] == result.attempts - result.n_visited
    assert dataclasses.replace(result, n_visited=None).n_decided is None
    assert dataclasses.replace(result, n_visited=result.attempts + 1).n_decided == 0


# ---- how a search ends


def test_complete(small):
    result = search(small, budget_s=600, rules=ALL_ELIGIBLE)
    check_invariants(result)
    assert result.status is Status.COMPLETE
    assert result.n_branches == result.n_branches_done
    assert result.overrun_s == 0.0
    assert result.warnings == small.warnings
    assert result.input_fingerprint == small.fingerprint


def test_work_limit(small):
    result = search(small, budget_s=600, rules=ALL_ELIGIBLE, max_attempts=30)
    check_invariants(result)
    assert result.status is Status.WORK_LIMIT
    assert all(starter.attempts <= 30 and starter.n_turns == 1 for starter in result.starters)
    assert {starter.status for starter in result.starters} == {
        StarterStatus.EXHAUSTED,
        StarterStatus.CUT_OFF,
    }


def test_a_work_limit_that_is_not_reached_is_complete(small):
    result = search(small, rules=ALL_ELIGIBLE, max_attempts=10**9)
    assert result.status is Status.COMPLETE
    assert lasting(dataclasses.replace(result, max_attempts=None)) == lasting(
        search(small, rules=ALL_ELIGIBLE)
    )


def test_a_work_limit_of_exactly_the_work_is_complete(small):
    attempts = [starter.attempts for starter in search(small, rules=ALL_ELIGIBLE).starters]
    assert search(small, rules=ALL_ELIGIBLE, max_attempts=max(attempts)).status is Status.COMPLETE
    assert (
        search(small, rules=ALL_ELIGIBLE, max_attempts=max(attempts) - 1).status
        is Status.WORK_LIMIT
    )


def test_wall(endless):
    result = search(endless, budget_s=0.2, workers=2, rules=ENDLESS_RULES)
    check_invariants(result)
    assert result.status is Status.WALL
    assert result.kept[2]
    assert result.elapsed_s >= 0.2 - EARLY_S
    assert 0.0 < result.coverage < 1.0


def test_a_session_is_over_at_the_wall_or_a_stop(monkeypatch):
    stop = threading.Event()
    session = group_search.Session(1_000, 80, stop)
    for t_ns, half, over in ((1_039, False, False), (1_040, True, False), (1_080, True, True)):
        monkeypatch.setattr(group_search, "now_ns", lambda t_ns=t_ns: t_ns)
        assert session.is_over(0.5) == half
        assert session.is_over() == over
    monkeypatch.setattr(group_search, "now_ns", lambda: 1_000)
    assert not session.is_over()
    stop.set()
    assert session.is_over()


def test_wall_before_anything_started(small):
    result = search(small, budget_s=1e-9)
    check_invariants(result)
    assert result.status is Status.WALL
    assert result.attempts == 0
    assert result.overrun_s > 0.0


def test_stopped_before_the_start(small):
    stop = threading.Event()
    stop.set()
    result = search(small, stop=stop)
    check_invariants(result)
    assert result.status is Status.STOPPED
    assert (result.attempts, result.coverage, result.n_branches_done) == (0, 0.0, 0)
    assert {starter.status for starter in result.starters} == {StarterStatus.NOT_STARTED}
    assert all(starter.n_turns == 0 and starter.cursor == () for starter in result.starters)
    assert (set(result.kept.values()), set(result.picked_rank.values())) == ({()}, {None})
    assert set(result.score_mean.values()) == set(result.score_std.values()) == {None}


def test_stopped_while_running(endless):
    stop, seen = threading.Event(), []

    def watch(progress):
        seen.append(progress)
        if progress.attempts > 0 and progress.pool.n_cut_off > 0:
            stop.set()

    result = search(
        endless,
        budget_s=60,
        workers=3,
        rules=ENDLESS_RULES,
        stop=stop,
        observe=watch,
        observe_every_s=0.0,
    )
    check_invariants(result)
    assert result.status is Status.STOPPED
    assert result.kept[2]
    assert result.elapsed_s < 60
    assert seen[-1].attempts == result.attempts
    assert seen[-1].best_score == {
        size: kept[0].score if kept else None for size, kept in result.kept.items()
    }


def test_progress_only_grows(endless):
    seen = []
    result = search(
        endless,
        budget_s=0.3,
        workers=2,
        rules=ENDLESS_RULES,
        observe=seen.append,
        observe_every_s=0.0,
    )
    attempts = [progress.attempts for progress in seen]
    best = [progress.best_score[2] or -math.inf for progress in seen]
    assert attempts == sorted(attempts)
    assert best == sorted(best)
    assert attempts[-1] == result.attempts
    assert {progress.n_starters for progress in seen} == {result.n_starters}


def test_a_kernel_that_fails_fails_the_search(small, monkeypatch):
    class Broken(_recurse.Kernel):
        def run(self, starter, control, heaps, max_attempts=0):
            raise MemoryError("no memory to search a starter")

    monkeypatch.setattr(turns, "Kernel", Broken)
    with pytest.raises(MemoryError, match="no memory"):
        search(small, workers=3)


# ---- parts of a result


@given(signals=strategies.signals(), data=st.data())
@QUICK
def test_consensus_and_wins(signals, data):
    panel = oracle.to_panel(signals, as_inconsistent=data.draw(st.booleans()))
    n_variations = len(panel.variations)
    size = data.draw(st.integers(1, min(4, n_variations)))
    group = st.lists(st.integers(0, n_variations - 1), min_size=size, max_size=size)
    groups = data.draw(st.lists(group, min_size=1, max_size=5))
    members = np.array(groups, dtype=np.int32)
    consensus = panel.consensus(members)
    hits = bitset.count(consensus & wins_of(panel, members))
    for group, words, counts in zip(groups, consensus, hits.tolist(), strict=True):
        expected = oracle.consensus_of(signals, group)
        members = bitset.unpack(words, len(signals.tickers))
        assert [frozenset(itertools.compress(signals.tickers, day)) for day in members] == expected
        assert counts == oracle.hits_of(signals, group, expected)


def test_groups_come_in_chunks_too(small, monkeypatch):
    whole = search(small, rules=ALL_ELIGIBLE)
    monkeypatch.setattr(kept_groups, "_CHUNK_BYTES", 3 * small.buys[:1].nbytes)
    assert lasting(search(small, rules=ALL_ELIGIBLE)) == lasting(whole)


def test_starter_table(small):
    result = search(small, rules=ALL_ELIGIBLE, max_attempts=40)
    starters, every = result.starters, list(result.starters)
    assert [starter.variation_idx for starter in every] == list(range(19))
    assert [(starter.algo, starter.variation) for starter in every[3:5]] == [
        ("A0", "v3"),
        ("A1", "v0"),
    ]
    assert [starter.n_buys for starter in every] == small.n_buys.tolist()
    assert [starters[v] for v in range(19)] == every
    assert starters[-1] == every[-1]
    assert starters[np.int64(2)] == every[2]
    assert starters[2:17:5] == every[2:17:5]
    assert starters[::-1] == every[::-1]
    assert starters[30:] == []
    assert every[4] in starters
    assert starters.index(every[4]) == 4
    for outside in (19, -20):
        with pytest.raises(IndexError):
            starters[outside]


def test_cursors_say_how_far_a_starter_got(small):
    """Three visits from starter 0: itself and two second members, or one and its first child."""
    rules = Rules(max_size=2, min_daily_hits=0, **strategies.LOOSE)
    first = search(small, rules=rules, max_attempts=3).starters[0]
    assert (first.cursor, first.n_branches_done, first.n_branches) == ((6,), 2, 15)
    deep = search(
        small, rules=Rules(min_daily_hits=0, **strategies.LOOSE), max_attempts=3
    ).starters[0]
    assert (deep.cursor, deep.n_branches_done) == ((5, 8, 12), 0)


KEYS = {
    "schema_version", "run_id", "status", "budget_s", "elapsed_s", "overrun_s", "read_s", "store_s",
    "workers", "n_starters", "n_exhausted", "coverage", "n_branches", "n_branches_done", "attempts",
    "tested_exact", "tested", "eligible", "score_mean", "score_std", "groups", "picks", "rules",
    "day_weights", "warnings", "n_visited", "n_decided", "aliases", "ideas", "n_ideas",
}  # fmt: skip
GROUP_KEYS = {
    "rank", "score", "members", "days", "pooled_pp", "weighted_pp", "median_pp", "second_worst_pp",
    "mad_pp", "iqr_pp", "cv_buys", "wilson_lb", "pp_slope", "repeat_factor", "consensus",
    "p", "p_size", "idea", "family",
}  # fmt: skip


def test_json(small):
    rules = Rules(max_size=5, retain_sizes=(2, 4), min_daily_hits=1, **strategies.LOOSE)
    document = json.loads(
        json.dumps(search(small, rules=rules).to_dict(n_groups=7), allow_nan=False)
    )
    assert set(document) >= KEYS
    assert set(document["tested"]) == {"2", "3", "4", "5"}
    for name in ("eligible", "score_mean", "score_std", "groups", "picks"):
        assert set(document[name]) == {"2", "4"}
    assert {len(groups) for groups in document["groups"].values()} == {7}
    for group in (*document["groups"]["4"], document["picks"]["4"]):
        assert set(group) == GROUP_KEYS
        assert [set(member) for member in group["members"]] == [
            {"algo", "variation", "variation_idx"}
        ] * 4
        assert [set(day) for day in group["days"]] == [{"day", "buys", "hits", "pp", "weight"}] * 5
        assert [set(day) for day in group["consensus"]] == [{"day", "tickers"}] * 5
        assert [len(day["tickers"]) for day in group["consensus"]] == [
            day["buys"] for day in group["days"]
        ]
    assert document["rules"] == rules.to_dict()


# ---- the real week


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_WEEK.exists(), reason="the market data is not there")
@pytest.mark.parametrize("as_inconsistent", [False, True])
def test_cut_of_the_real_week(as_inconsistent):
    import polars as pl

    table = pl.read_parquet(REAL_WEEK)
    variations = table.select("algo", "variation").unique(maintain_order=True)
    cut = variations.filter(pl.int_range(pl.len()).over("algo") < 12)
    panel = read_signals(
        table.join(cut, on=["algo", "variation"], how="semi", maintain_order="left")
    )
    if as_inconsistent:
        panel = dataclasses.replace(panel, wins=panel.buys & panel.wins)
    result = search(panel, budget_s=600, workers=2)
    check_invariants(result)
    assert result.status is Status.COMPLETE
    assert result.attempts == 1_660_332
    assert result.tested == {2: 3_841, 3: 56_933, 4: 476_503}
    assert result.eligible == {3: 3, 4: 12}
    best = result.groups(3)[0]
    assert best.score == pytest.approx(144.787534337, abs=5e-10)
    assert best.variation_idx == (11, 64, 87)


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not REAL_WEEK.exists(), reason="the market data is not there")
def test_real_week_ends_at_the_wall():
    # Long enough for a group of each size on a busy machine, a third of what the search takes.
    result = search(read_signals(REAL_WEEK), budget_s=2.0, workers=2)
    check_invariants(result)
    assert result.status is Status.WALL
    assert all(result.kept.values())
    assert 0.0 < result.coverage < 1.0


@pytest.mark.parametrize("n_left", [0, 1])
def test_fewer_threads_than_workers_do_the_work(small, monkeypatch, caplog, n_left):
    real = threading.Thread.start
    started = []

    def start(thread):
        if len(started) == n_left:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    if n_left:
        assert search(small, budget_s=30.0, workers=3).status is Status.COMPLETE
        assert "only 1 of 3 threads could be started" in caplog.text
    else:
        with pytest.raises(Mp2Error, match="no thread can be started"):
            search(small, budget_s=30.0, workers=3)


def test_a_result_equals_its_copy(small):
    result = search(small, budget_s=30.0)
    assert pickle.loads(pickle.dumps(result)) == result
    assert result.starters != search(small, budget_s=30.0, rules=Rules(max_size=3)).starters


@pytest.mark.parametrize("interval_s", [math.nan, -1.0, math.inf, True])
def test_an_interval_is_a_number_of_seconds(small, interval_s):
    with pytest.raises(InputError, match="is not a number of seconds from 0 up"):
        search(small, budget_s=30.0, observe=print, observe_every_s=interval_s)


@pytest.mark.parametrize("rules", [{}, {"max_size": 3}, "max_size=3"])
def test_rules_are_a_record(small, rules):
    with pytest.raises(InputError, match=r"rules: a (dict|str) is not mp2\.Rules"):
        search(small, budget_s=30.0, rules=rules)
