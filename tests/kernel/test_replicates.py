"""The kernel of replicates: equal maxima, bit for bit, as separate searches with other labels."""

import dataclasses
import threading

import differential
import numpy as np
import pytest
from comparison import using
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import LOOSE, TIGHT

from mp2 import _recurse
from mp2._recurse import EXHAUSTED, STOPPED, WALL, Control
from mp2._replicates import ReplicateSearch
from mp2.data import bitset
from mp2.data.panel import signal_panel
from mp2.evidence.replicates import memory_needed
from mp2.groups.rules import Rules
from mp2.groups.search import search
from mp2.groups.settings import SearchSettings

FAR_NS = 2**62
SIMD = _recurse.simd_available()
QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(QUICK, max_examples=1_000, derandomize=False, print_blob=True)


def far():
    return Control(FAR_NS, FAR_NS)


def panel_of(buys, algo_of, base_win_rates):
    n_variations, n_days, n_tickers = buys.shape
    return signal_panel(
        algos=[f"A{algo}" for algo in range(algo_of.max() + 1)],
        variations=[f"v{v}" for v in range(n_variations)],
        algo_of=algo_of.astype(np.int32),
        days=[f"2026-01-{day + 1:02d}" for day in range(n_days)],
        tickers=[f"T{ticker:04d}" for ticker in range(n_tickers)],
        buys=bitset.pack(buys),
        wins=bitset.pack(buys.any(axis=0)),
        base_win_rates=np.asarray(base_win_rates, float),
    )


def labels_of(wins):
    """Labels uint64[D, T + 1, words] of bool wins[B, D, T], padded to whole blocks."""
    n_replicates, n_days, n_tickers = wins.shape
    padded = np.zeros((n_days, n_tickers + 1, -(-n_replicates // 512) * 512), bool)
    padded[:, :-1, :n_replicates] = wins.transpose(1, 2, 0)
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)


def maxima_of_searches(panel, rules, wins):
    """What one search for every replicate finds, float64[sizes, B]."""
    best = np.full((len(rules.retain_sizes), len(wins)), -np.inf)
    for r in range(len(wins)):
        relabelled = dataclasses.replace(panel, wins=bitset.pack(wins[r]))
        setup = SearchSettings(rules=dataclasses.replace(rules, top_k=1), workers=1, budget_s=60)
        found = search(relabelled, setup)
        assert found.status == "complete"
        for k, size in enumerate(rules.retain_sizes):
            if found.kept[size]:
                best[k, r] = found.kept[size][0].score
    return best


def run_all(panel, tested, n_workers=1):
    """Maxima, counts and whether these are exact, after all starters."""
    workers = [tested.worker() for _ in range(n_workers)]
    for starter in range(panel.n_variations):
        assert workers[starter % n_workers].run(starter, far()) == EXHAUSTED
    maxima = np.max([worker.maxima for worker in workers], axis=0)
    exact = all(worker.n_groups_exact for worker in workers)
    return maxima, sum(worker.n_groups for worker in workers), exact


def groups_within(panel, rules):
    """Groups within the limits on buys by retained size, one after the other."""
    buys = bitset.unpack(panel.buys, len(panel.tickers))
    counts = dict.fromkeys(range(2, rules.max_size + 1), 0)

    def visit(size, last, consensus):
        n_buys = consensus.sum(axis=1)
        if n_buys.min() < rules.min_daily_hits or not n_buys.any():
            return
        active = n_buys[n_buys > 0]
        cv = active.std(ddof=1) / n_buys.mean() if len(active) > 1 else 0.0
        if size >= 2 and n_buys.max() <= rules.max_daily_buys and cv <= rules.max_cv_buys:
            counts[size] += 1
        if size < rules.max_size:
            for v in np.flatnonzero(panel.algo_of > panel.algo_of[last]):
                visit(size + 1, v, consensus & buys[v])

    for v in range(panel.n_variations):
        visit(1, v, buys[v])
    return [counts[size] for size in rules.retain_sizes]


@st.composite
def rules_of(draw, n_algos):
    max_size = draw(st.integers(2, min(5, max(2, n_algos))))
    limits = draw(st.sampled_from((LOOSE, {}, TIGHT, {"max_cv_buys": 0.3217})))
    limits = dict(limits)
    if draw(st.booleans()):
        limits["max_daily_buys"] = draw(st.sampled_from((0, 1, 3, 8, 20, 40, 2**31 - 1)))
    # Signs with which the bound does not hold, or holds in another form.
    odd = ("mad_weight", "iqr_weight", "falling_weight", "rising_weight", "median_pp_weight",
           "second_worst_pp_weight", "wilson_weight", "weighted_pp_weight")  # fmt: skip
    for name in draw(st.sets(st.sampled_from(odd), max_size=2)):
        limits[name] = draw(st.sampled_from((-3.0, 0.0, 0.5, 7.0)))
    return Rules(
        max_size=max_size,
        retain_sizes=tuple(draw(st.sets(st.integers(2, max_size)))),
        min_daily_hits=draw(st.sampled_from((0, 1, 1, 2, 3, 5))),
        **limits,
    )


@st.composite
def cases(draw):
    """A panel, rules and the wins of some replicates."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=6))
    n_days = draw(st.integers(1, 12))
    n_tickers = draw(st.sampled_from((1, 2, 5, 12, 30, 63, 64, 65, 130, 600)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        common = rng.random((n_days, n_tickers)) < min(1.0, 14 / n_tickers)
        shape = (sum(sizes), n_days, n_tickers)
        buys = (common & (rng.random(shape) < 0.85)) | (rng.random(shape) < 0.05)
    else:
        buys = differential.draw_buys(rng, tuple(sizes), n_days, n_tickers)
    # Ties, aliases and equal sets across algorithms.
    for v in draw(st.sets(st.integers(0, sum(sizes) - 1), max_size=5)):
        buys[v] = buys[rng.integers(sum(sizes))]
    if draw(st.booleans()):
        buys[:, rng.integers(n_days)] &= rng.random(n_tickers) < 0.2
    algo_of = np.repeat(np.arange(len(sizes)), sizes)
    rates = draw(st.sampled_from(("none", "usual", "far")))
    base = {"none": np.zeros(n_days), "usual": rng.uniform(40, 60, n_days),
            "far": rng.uniform(0, 100, n_days)}[rates]  # fmt: skip
    panel = panel_of(buys, algo_of, base)
    n_replicates = draw(st.sampled_from((1, 3, 8)))
    wins = rng.random((n_replicates, n_days, n_tickers)) < rng.uniform(0.3, 1.0)
    return panel, draw(rules_of(len(sizes))), wins


def check(case):
    panel, rules, wins = case
    expected = maxima_of_searches(panel, rules, wins)
    n_groups = np.array(groups_within(panel, rules))
    # The same replicates again beyond the first block.
    n_more = 600
    many = np.concatenate([wins, np.zeros((n_more - len(wins), *wins.shape[1:]), bool), wins])
    for name in SIMD:
        with using(name):
            tested = ReplicateSearch(panel, rules, labels_of(many), len(many))
            maxima, found, exact = run_all(panel, tested)
            assert np.array_equal(maxima[:, : len(wins)], expected)
            assert np.array_equal(maxima[:, n_more:], expected)
            assert (found == n_groups).all() if exact else (found <= n_groups).all()


@given(cases())
@QUICK
def test_maxima_are_those_of_separate_searches(case):
    check(case)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(cases())
@LONG
def test_maxima_are_those_of_many_separate_searches(case):
    check(case)


@pytest.mark.parametrize("n_days", [4, 5])
def test_a_rise_that_costs_is_bounded_for_any_number_of_days(n_days):
    # One set is steady from the second day on, and the other one buys on a day in the middle only.
    buys = np.zeros((3, n_days, 5), bool)
    for day in range(1, n_days):
        buys[0, day, day] = True
    buys[1, n_days // 2, :2] = True
    buys[2] = buys[0] | buys[1]
    lenient = {"min_pooled_pp": -1.0, "max_mad_pp": 1e3, "max_iqr_pp": 1e3, "max_cv_buys": 1e3}
    rules = Rules(
        max_size=2,
        retain_sizes=(2,),
        min_daily_hits=0,
        min_wilson_lb=-1.0,
        rising_weight=-3.0,
        **lenient,
    )
    wins = np.ones((2, n_days, 5), bool)
    wins[1, :, 1] = False
    for order in ([0, 1, 2], [1, 0, 2]):
        check((panel_of(buys[order], np.array([0, 0, 1]), np.zeros(n_days)), rules, wins))


def nested_case(n_replicates, seed=1, sizes=(12, 16, 14, 10), n_tickers=130):
    """Thresholds of a few rankings: many groups of equal consensus."""
    rng = np.random.default_rng(seed)
    n_days = 5
    shared = rng.random((n_days, n_tickers))
    parts = []
    for size in sizes:
        rank = 0.6 * shared + 0.4 * rng.random((n_days, n_tickers))
        parts.append(rank[None] < np.sort(rng.uniform(0.2, 0.45, size)).round(2)[:, None, None])
    panel = panel_of(
        np.concatenate(parts), np.repeat(np.arange(len(sizes)), sizes), [55, 48, 50, 52, 45]
    )
    wins = rng.random((n_replicates, n_days, n_tickers)) < 0.55
    return panel, Rules(min_daily_hits=3, retain_sizes=(2, 3, 4)), wins


@pytest.fixture(scope="module")
def nested():
    panel, rules, wins = nested_case(24)
    return panel, rules, wins, maxima_of_searches(panel, rules, wins)


@pytest.fixture(scope="module")
def n_nested_groups(nested):
    panel, rules, _, _ = nested
    return groups_within(panel, rules)


@pytest.mark.parametrize("name", SIMD)
def test_what_is_skipped_changes_nothing(nested, n_nested_groups, name):
    panel, rules, wins, expected = nested
    with using(name):
        tested = ReplicateSearch(panel, rules, labels_of(wins), len(wins))
        worker = tested.worker()
        for starter in range(panel.n_variations):
            assert worker.run(starter, far()) == EXHAUSTED
    assert np.array_equal(worker.maxima, expected)
    assert not worker.n_groups_exact
    assert (worker.n_groups <= n_nested_groups).all()
    assert worker.n_groups[0] > 0


@pytest.mark.parametrize("name", SIMD)
def test_groups_without_a_hit_are_skipped_where_signals_are_noise(name):
    rng = np.random.default_rng(5)
    sizes = (9, 11, 12, 11)
    buys = rng.random((sum(sizes), 5, 60)) < 0.72
    panel = panel_of(buys, np.repeat(np.arange(4), sizes), np.zeros(5))
    rules = Rules(min_daily_hits=5, retain_sizes=(2, 3, 4), **LOOSE)
    wins = rng.random((6, 5, 60)) < 0.2
    with using(name):
        worker = ReplicateSearch(panel, rules, labels_of(wins), len(wins)).worker()
        for starter in range(panel.n_variations):
            assert worker.run(starter, far()) == EXHAUSTED
    assert np.array_equal(worker.maxima, maxima_of_searches(panel, rules, wins))
    assert np.isfinite(worker.maxima[0]).any()
    assert worker.counts["groups"] > 1024 > worker.counts["dead_of_first"] > 1024 / 3
    assert not worker.n_groups_exact


@pytest.mark.parametrize("n_workers", [2, 3, 7])
def test_workers_share_the_starters(nested, n_workers):
    panel, rules, wins, expected = nested
    tested = ReplicateSearch(panel, rules, labels_of(wins), len(wins), n_workers=n_workers)
    workers = [tested.worker() for _ in range(n_workers)]
    statuses = []

    def work(k):
        starters = range(k, panel.n_variations, n_workers)
        statuses.extend(workers[k].run(starter, far()) for starter in starters)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(n_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [EXHAUSTED] * panel.n_variations
    assert np.array_equal(np.max([worker.maxima for worker in workers], axis=0), expected)


def test_fewer_replicates_are_a_prefix(nested):
    panel, rules, wins, expected = nested
    tested = ReplicateSearch(panel, rules, labels_of(wins), len(wins))
    worker = tested.worker()
    for starter in range(panel.n_variations):
        if starter == 5:
            tested.lower(7)
        assert worker.run(starter, far()) == EXHAUSTED
    assert np.array_equal(worker.maxima, expected[:, :7])


def test_stops_and_walls_lose_nothing(nested):
    """Interrupted again and again, a starter that is run to its end has met everything."""
    panel, rules, wins, expected = nested
    tested = ReplicateSearch(panel, rules, labels_of(wins), len(wins), check_words=64)
    worker = tested.worker()
    stopped = Control(FAR_NS, FAR_NS)
    stopped.stop()
    n_interrupted = 0
    for starter in np.unique(panel.alias_of).tolist():
        assert worker.run(starter, stopped) == STOPPED
        for delay_ns in (0, 20_000, 100_000):
            status = worker.run(starter, Control(FAR_NS, _recurse.now_ns() + delay_ns))
            assert status in {WALL, EXHAUSTED}
            n_interrupted += status == WALL
            assert (worker.maxima <= expected).all()
        assert worker.run(starter, far()) == EXHAUSTED
    assert n_interrupted > panel.n_variations // 2
    assert np.array_equal(worker.maxima, expected)


def test_time_is_split(nested):
    panel, rules, wins, _ = nested
    worker = ReplicateSearch(panel, rules, labels_of(wins), len(wins)).worker()
    assert (worker.enumeration_ns, worker.scoring_ns) == (0, 0)
    worker.run(0, far())
    assert worker.enumeration_ns > 0
    assert worker.scoring_ns > 0


def test_what_does_not_belong_together_is_an_error(nested):
    panel, rules, wins, _ = nested
    labels = labels_of(wins)
    for wrong in (labels[:-1], labels[:, :-1], labels[..., :7], labels.astype(np.int64)):
        with pytest.raises(ValueError, match=r"labels are|do not fit"):
            ReplicateSearch(panel, rules, wrong, len(wins))
    for n_replicates in (0, 513):
        with pytest.raises(ValueError, match="do not fit"):
            ReplicateSearch(panel, rules, labels, n_replicates)
    mixed = dataclasses.replace(panel, wins=panel.buys)
    with pytest.raises(ValueError, match="consistent"):
        ReplicateSearch(mixed, rules, labels, len(wins))
    worker = ReplicateSearch(panel, rules, labels, len(wins)).worker()
    for starter in (-1, panel.n_variations):
        with pytest.raises(ValueError, match="does not belong"):
            worker.run(starter, far())


@pytest.mark.parametrize("max_size", [2, 4, 6])
def test_the_memory_stated_is_enough_for_the_lists_of_a_worker(max_size):
    """They grow with the square of the variations: every candidate has a mask."""
    buys = np.random.default_rng(1).random((3_000, 2, 70)) < 0.3
    panel = panel_of(buys, np.repeat(np.arange(6), 500), [50, 50])
    rules = Rules(max_size=max_size, retain_sizes=(max_size,))
    labels = labels_of(np.zeros((20, 2, 70), bool))
    worker = ReplicateSearch(panel, rules, labels, 20).worker()
    one, two = (memory_needed(panel, rules, 19, n_workers) for n_workers in (1, 2))
    assert worker.counts["bytes"] <= two - one <= worker.counts["bytes"] + 2**20
