"""The kernel: against brute force, cut into turns, watched from other threads; and its heaps."""

import itertools
import math
import random
import threading
import time
from dataclasses import replace

import differential
import numpy as np
import oracle
import pytest
import strategies
from comparison import differences, mismatches, shape_of, using
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mp2 import _recurse
from mp2._recurse import EXHAUSTED, LIMIT, STOPPED, WALL, WORK_LIMIT, Control, Kernel, TopGroups
from mp2.data import bitset
from mp2.errors import InputError
from mp2.groups.rules import Rules
from mp2.groups.starters import running_order
from mp2.searching import search

FAR_NS = 2**62
SIMD = _recurse.simd_available()
CHECKED = _recurse.build_info() == "checked"
QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
LONG = settings(QUICK, max_examples=1_500, derandomize=False, print_blob=True)
# Rounding cannot change these, so they are compared even where a statistic lies on a limit or
# two scores differ only by rounding.
EXACT = (
    "status",
    "n_starters",
    "n_exhausted",
    "attempts",
    "tested",
    "coverage",
    "n_branches",
    "n_branches_done",
)
ROWS = ("n_rows_scanned", "n_rows_rescanned")


WIDEST_BY_DEFAULT = [*(pytest.param(one, marks=pytest.mark.slow) for one in SIMD[:-1]), SIMD[-1]]


@pytest.fixture(params=SIMD)
def simd(request):
    with using(request.param):
        yield request.param


def seeded_arrays(seed, sizes, n_days, n_tickers, density=0.6, win_rate=0.6):
    """The arguments of `Kernel` except the rules, from numpy's generator."""
    rng, n_variations = np.random.default_rng(seed), sum(sizes)
    buys = bitset.pack(rng.random((n_variations, n_days, n_tickers)) < density)
    wins = bitset.pack(rng.random((n_days, n_tickers)) < win_rate)
    return (
        buys,
        wins,
        np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
        np.linspace(0.75, 1.25, n_days),
    )


def arrays_of(panel, rules):
    return (
        panel.buys,
        panel.wins,
        panel.algo_of,
        np.array(oracle.day_weights(panel.base_win_rates.tolist(), rules)),
    )


def starter_of(v):
    record = np.zeros(1, dtype=_recurse.STARTER_DTYPE)
    record["variation_idx"] = v
    return record


def heaps_of(rules):
    return {size: TopGroups(size, rules.top_k) for size in rules.retain_sizes}


def whole_run(kernel, rules, v, max_attempts=0):
    record, heaps = starter_of(v), heaps_of(rules)
    end = kernel.run(record, Control(FAR_NS, FAR_NS), heaps, max_attempts)
    assert end == EXHAUSTED or max_attempts
    return record, heaps


def plain(heaps):
    """Kept groups best first, to the last bit."""
    return {size: [array.tolist() for array in groups.ranked()] for size, groups in heaps.items()}


def content(record, but=ROWS):
    """A starter's record as bytes by field; NaN, the sign of zero and the last bit count."""
    return {name: record[name].tobytes() for name in record.dtype.names if name not in but}


# ---- against brute force


def compare(
    signals, rules, *simds, workers=2, max_attempts=None, as_inconsistent=False, special=()
):
    """One brute force, one search by every instruction set of `simds`."""
    expected = oracle.search(signals, rules, max_attempts=max_attempts, special=special)
    panel = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    assert running_order(panel, special).tolist() == expected["running_order"]
    for simd in simds:
        with using(simd):
            result = search(
                panel,
                budget_s=600,
                workers=workers,
                rules=rules,
                max_attempts=max_attempts,
                special=special,
            )
        assert result.tested_exact
        assert_as_expected(result, expected)


def assert_as_expected(result, expected):
    if expected["doubtful"]:
        shape = shape_of(result)
        assert [
            line for name in EXACT for line in differences(shape[name], expected[name], name)
        ] == []
        return
    assert mismatches(result, expected) == []
    for size, kept in result.kept.items():
        firsts = [group.variation_idx[0] for group in kept]
        assert [starter.retained[size] for starter in result.starters] == [
            firsts.count(v) for v in range(result.n_starters)
        ]


workers = st.integers(1, 4)
limits = st.one_of(st.none(), st.integers(1, 200), st.integers(1, 20))


@pytest.mark.parametrize("simd", SIMD)
@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    workers=workers,
    as_inconsistent=st.booleans(),
    data=st.data(),
)
@QUICK
def test_search_is_the_recursion(simd, signals, rules, workers, as_inconsistent, data):
    special = data.draw(st.lists(st.sampled_from(signals.algos), unique=True))
    compare(signals, rules, simd, workers=workers, as_inconsistent=as_inconsistent, special=special)


@pytest.mark.parametrize("simd", SIMD)
@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    workers=workers,
    limit=limits,
    as_inconsistent=st.booleans(),
)
@QUICK
def test_work_limit_cuts_the_recursion(simd, signals, rules, workers, limit, as_inconsistent):
    compare(
        signals, rules, simd, workers=workers, max_attempts=limit, as_inconsistent=as_inconsistent
    )


@pytest.mark.slow
@given(signals=strategies.planted_signals(), rules=strategies.rules_with_constants())
@settings(QUICK, max_examples=25)
def test_every_constant_counts(signals, rules):
    compare(
        signals,
        replace(rules, **{**strategies.LOOSE, "min_daily_hits": 1}),
        *SIMD,
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    workers=workers,
    limit=limits,
    as_inconsistent=st.booleans(),
)
@LONG
def test_search_is_the_recursion_at_length(signals, rules, workers, limit, as_inconsistent):
    compare(
        signals, rules, *SIMD, workers=workers, max_attempts=limit, as_inconsistent=as_inconsistent
    )


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 600))]
)
def test_every_way_of_running_is_the_recursion(seed):
    """Adversarial panels, any prunings, counts, turns and instructions, against brute force."""
    case = differential.draw_case(seed)
    assert case is not None
    assert differential.check(case, np.random.default_rng(seed)) == []


def seeded_signals(seed, sizes, n_days, n_tickers, *, density=0.8, win_rate=0.7, consistent=True):
    rng, names = random.Random(seed), strategies.ticker_names(n_tickers)
    cells = strategies.cells_of(sizes, n_days)
    winners = [strategies.chosen(rng, names, win_rate) for _ in range(n_days)]
    buys = {cell: strategies.chosen(rng, names, density) for cell in cells}
    wins = {
        (v, d): buys[v, d] & (winners[d] if consistent else strategies.chosen(rng, names, win_rate))
        for v, d in cells
    }
    return oracle.Signals(
        algos=tuple(f"A{a}" for a in range(len(sizes))),
        variations=tuple(tuple(f"v{i}" for i in range(size)) for size in sizes),
        days=tuple(f"2026-{1 + d // 28:02d}-{1 + d % 28:02d}" for d in range(n_days)),
        tickers=tuple(names),
        buys=buys,
        wins=wins,
        base_win_rates=tuple(rng.uniform(40, 60) for _ in range(n_days)),
    )


SHAPES = {
    "one variation": ((1,), 5, 10, 4),
    "one algorithm": ((5,), 5, 10, 4),
    "pairs": ((3, 4, 5), 5, 30, 2),
    "one ticker": ((3, 3, 2, 2), 3, 1, 4),
    "one day": ((3, 3, 2, 2), 1, 40, 4),
    "two days": ((3, 3, 2, 2), 2, 40, 4),
    "70 days": ((1, 2, 1, 2), 70, 20, 4),
    "130 days of 66 tickers": ((1, 2, 1), 130, 66, 3),
    "words full to the last bit": ((2, 3, 2, 3), 3, 192, 4),
    "size 7": ((1, 2, 1, 2, 1, 2, 1), 2, 66, 7),
    "size 8 of 8": ((1, 1, 2, 1, 1, 1, 1, 2), 2, 66, 8),
    "size 8 of 10": ((1,) * 10, 2, 30, 8),
    "64 algorithms": ((1,) * 64, 1, 8, 2),
}


@pytest.mark.parametrize(
    "consistent",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["consistent", "inconsistent"],
)
@pytest.mark.parametrize("floor", [pytest.param(0, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_extreme_shapes(shape, floor, consistent):
    sizes, n_days, n_tickers, max_size = SHAPES[shape]
    signals = seeded_signals(7, sizes, n_days, n_tickers, consistent=consistent)
    rules = Rules(
        max_size=max_size,
        min_daily_hits=floor,
        retain_sizes=tuple(range(2, max_size + 1)),
        **strategies.LOOSE,
    )
    for limit in (None, 9):
        compare(signals, rules, *SIMD, max_attempts=limit)


@pytest.mark.parametrize("floor", [0, 2])
def test_starters_without_buys(simd, floor):
    signals = seeded_signals(3, (2, 2, 2, 2), 3, 70)
    idle = {(v, d): frozenset() for v in (0, 3, 7) for d in range(3)}
    signals = oracle.Signals(
        **{**vars(signals), "buys": signals.buys | idle, "wins": signals.wins | idle}
    )
    for limit in (None, 1, 2, 7):
        compare(
            signals,
            Rules(min_daily_hits=floor, **strategies.LOOSE),
            simd,
            workers=3,
            max_attempts=limit,
        )


@pytest.mark.slow
def test_panels_too_wide_to_project(simd):
    """Rows too large for a turn: the same groups as with one set of wins per variation."""
    sizes, rules = (1, 4, 3400), Rules(max_size=3, min_daily_hits=4, top_k=50, **strategies.LOOSE)
    buys, wins, algo_of, weights = seeded_arrays(5, sizes, 2, 20_000, density=0.02)
    buys[0] |= ~np.uint64(0) >> np.uint64(1)
    assert buys.nbytes > _recurse.TURN_BYTES // 4
    record, heaps = whole_run(Kernel(buys, wins, algo_of, weights, rules), rules, 0)
    other, other_heaps = whole_run(Kernel(buys, buys & wins, algo_of, weights, rules), rules, 0)
    assert record["tested"][0].tolist()[2:4] == other["tested"][0].tolist()[2:4]
    assert 0 < record["tested"][0, 3] < 4 * 3400
    assert record["attempts"] == other["attempts"] == 1 + 3404 + 4 * 3400
    assert plain(heaps) == plain(other_heaps)
    assert content(record) == content(other)


def test_read_only_arrays_are_welcome_and_stay_as_they_are(simd):
    arrays, rules = seeded_arrays(1, (4, 4, 4), 5, 100), Rules(min_daily_hits=2)
    for array in arrays:
        array.setflags(write=False)
    before = [array.tobytes() for array in arrays]
    whole_run(Kernel(*arrays, rules), rules, 0)
    assert [array.tobytes() for array in arrays] == before


# ---- turns: a starter cut anywhere gives what an uninterrupted one gives


def in_slices(kernel, rules, v, turn):
    """Run a starter turn by turn into new heaps each, as a search does.

    Returns the record, the kept groups and the number of turns.
    """
    record, kept, n_turns = starter_of(v), heaps_of(rules), 0
    end = None
    while end != EXHAUSTED:
        found, before = heaps_of(rules), int(record["attempts"][0])
        end = turn(record, found)
        merge_into(kept, found)
        n_turns += 1
        assert record["exhausted"][0] == (end == EXHAUSTED)
        assert (record["depth"][0] > 0) == (end != EXHAUSTED and record["attempts"][0] > 0)
        assert record["attempts"][0] >= before
    return record, kept, n_turns


def assert_same_run(kernel, rules, v, turn):
    record, heaps = whole_run(kernel, rules, v)
    sliced, kept, n_turns = in_slices(kernel, rules, v, turn)
    assert content(sliced) == content(record)
    assert plain(kept) == plain(heaps)
    assert record["n_rows_rescanned"] == 0
    return sliced, n_turns


@pytest.mark.parametrize("simd", SIMD)
@given(
    signals=strategies.signals(),
    rules=strategies.rules(),
    as_inconsistent=st.booleans(),
    data=st.data(),
)
@QUICK
def test_resumed_at_any_attempt(simd, signals, rules, as_inconsistent, data):
    panel = oracle.to_panel(signals, as_inconsistent=as_inconsistent)
    kernel = Kernel(*arrays_of(panel, rules), rules)
    v = data.draw(st.integers(0, len(panel.variations) - 1))
    steps = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    lengths = itertools.cycle(steps)

    def turn(record, heaps):
        limit = int(record["attempts"][0]) + next(lengths)
        end = kernel.run(record, Control(FAR_NS, FAR_NS), heaps, limit)
        assert end == EXHAUSTED or record["attempts"] == limit
        assert end in {EXHAUSTED, WORK_LIMIT}
        return end

    with using(simd):
        assert_same_run(kernel, rules, v, turn)


WIDE = ((5,) * 6, 12, 9_000, 0.7)
LOOSE_RULES = Rules(min_daily_hits=2, top_k=50, **strategies.LOOSE)


def wide_kernel(seed, *, as_inconsistent=False, rules=LOOSE_RULES):
    """A panel with rows so long that a kernel looks at its deadline every few rows."""
    sizes, n_days, n_tickers, density = WIDE
    buys, wins, algo_of, weights = seeded_arrays(seed, sizes, n_days, n_tickers, density)
    return Kernel(buys, buys & wins if as_inconsistent else wins, algo_of, weights, rules)


@pytest.mark.slow
@pytest.mark.parametrize("as_inconsistent", [False, True])
@pytest.mark.parametrize("v", [0, 7])
def test_every_turn_gets_on_however_short(simd, v, as_inconsistent):
    def turn(record, heaps):
        attempts = int(record["attempts"][0])
        end = kernel.run(record, Control(0, FAR_NS), heaps)
        assert record["attempts"] > attempts
        assert end in {EXHAUSTED, LIMIT}
        return end

    kernel = wide_kernel(v, as_inconsistent=as_inconsistent)
    record, n_turns = assert_same_run(kernel, LOOSE_RULES, v, turn)
    assert n_turns > 10
    assert record["n_rows_rescanned"] > 0


@pytest.mark.slow
def test_a_thousand_slices_are_one_run(simd):
    rules = Rules(min_daily_hits=2, max_daily_buys=100, top_k=100)
    kernel = Kernel(*seeded_arrays(1, (62,) * 6, 5, 100), rules)
    record, n_turns = assert_same_run(
        kernel, rules, 0, lambda record, heaps: kernel.run(record, Control(0, FAR_NS), heaps)
    )
    assert n_turns > 1000
    assert record["n_rows_scanned"] <= 1.05 * whole_run(kernel, rules, 0)[0]["n_rows_scanned"]
    assert record["eligible"][0, 3:5].min() > rules.top_k


@pytest.mark.slow
def test_turns_in_other_threads_with_other_instructions():
    kernel, names = wide_kernel(2), itertools.cycle(SIMD)

    def turn(record, heaps):
        ends = []
        with using(next(names)):
            thread = threading.Thread(
                target=lambda: ends.append(kernel.run(record, Control(0, FAR_NS), heaps))
            )
            thread.start()
            thread.join()
        return ends[0]

    assert_same_run(kernel, LOOSE_RULES, 0, turn)


@pytest.mark.parametrize("simd", WIDEST_BY_DEFAULT, indirect=True)
def test_stops_and_walls_between_turns_change_nothing(simd):
    kernel, rng = wide_kernel(3), random.Random(3)

    def turn(record, heaps):
        before = record.tobytes()
        for _ in range(rng.randrange(3)):
            stopped = Control(FAR_NS, FAR_NS)
            stopped.stop()
            assert kernel.run(record, stopped, heaps) == STOPPED
            assert kernel.run(record, Control(FAR_NS, 0), heaps) == WALL
            assert record.tobytes() == before
            assert not any(len(groups) for groups in heaps.values())
        return kernel.run(record, Control(0, FAR_NS), heaps)

    assert_same_run(kernel, LOOSE_RULES, 0, turn)


@pytest.mark.slow
def test_stopped_from_another_thread_again_and_again(simd):
    """Stops at any point, also while lists are rebuilt; every other turn makes progress."""
    kernel, turns = wide_kernel(4), itertools.count()

    def turn(record, heaps):
        if next(turns) % 2:
            return kernel.run(record, Control(0, FAR_NS), heaps)
        control = Control(FAR_NS, FAR_NS)
        timer = threading.Timer(random.Random(next(turns)).uniform(0, 0.002), control.stop)
        timer.start()
        end = kernel.run(record, control, heaps)
        timer.join()
        assert end in {EXHAUSTED, STOPPED}
        return end

    assert_same_run(kernel, LOOSE_RULES, 0, turn)


@pytest.mark.parametrize("simd", WIDEST_BY_DEFAULT, indirect=True)
def test_walls_anywhere(simd):
    kernel, turns = wide_kernel(5), itertools.count()

    def turn(record, heaps):
        number = next(turns)
        if number % 2:
            return kernel.run(record, Control(0, FAR_NS), heaps)
        end = kernel.run(record, Control(FAR_NS, _recurse.now_ns() + 40_000 * (number % 40)), heaps)
        assert end in {EXHAUSTED, WALL}
        return end

    assert_same_run(kernel, LOOSE_RULES, 0, turn)


# ---- how a turn ends


def endless():
    """A kernel whose starter 0 takes far longer than any test, and its rules."""
    rules = Rules(max_size=8, min_daily_hits=0, retain_sizes=(2,), top_k=5)
    return Kernel(*seeded_arrays(9, (40,) * 12, 5, 64, density=0.95), rules), rules


def in_thread(kernel, rules, control, v=0):
    """Start a turn in a thread; return it, the record and the list that receives its end."""
    record, ends = starter_of(v), []
    thread = threading.Thread(
        target=lambda: ends.append(kernel.run(record, control, heaps_of(rules))), daemon=True
    )
    thread.start()
    return thread, record, ends


def wait_until(condition, timeout_s=60.0):
    """Wait for a condition; the generous limit only catches one that never comes true."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "gave up waiting"
        time.sleep(0.0005)


@pytest.mark.parametrize(
    ("deadline_ns", "wall_ns", "stopped", "end"),
    [
        (0, FAR_NS, False, LIMIT),
        (0, 0, False, WALL),
        (FAR_NS, 0, False, WALL),
        (FAR_NS, 0, True, STOPPED),
        (0, FAR_NS, True, STOPPED),
        (0, 0, True, STOPPED),
    ],
)
def test_what_ended_a_turn(deadline_ns, wall_ns, stopped, end):
    kernel, rules = endless()
    control, record, heaps = Control(deadline_ns, wall_ns), starter_of(0), heaps_of(rules)
    if stopped:
        control.stop()
    assert kernel.run(record, control, heaps) == end
    assert (record["attempts"][0] > 0) == (end == LIMIT)
    assert control.attempts == record["attempts"][0]
    assert end == LIMIT or record.tobytes() == starter_of(0).tobytes()


def test_stop_is_seen_while_running(simd):
    kernel, rules = endless()
    control = Control(FAR_NS, FAR_NS)
    thread, record, ends = in_thread(kernel, rules, control)
    wait_until(lambda: control.attempts > 0)
    assert not control.stopped
    control.stop()
    thread.join(60)
    assert ends == [STOPPED]
    assert control.stopped
    assert control.attempts == record["attempts"][0] > 0


def test_wall_is_seen_while_running(simd):
    kernel, rules = endless()
    wall_ns = _recurse.now_ns() + 20_000_000
    control = Control(FAR_NS, wall_ns)
    record = starter_of(0)
    assert kernel.run(record, control, heaps_of(rules)) == WALL
    assert _recurse.now_ns() >= wall_ns == control.wall_ns
    assert record["attempts"][0] > 0


def test_deadline_raised_while_running():
    kernel, rules = endless()
    # On a busy machine the first deadline can have passed before it is raised.
    for first_in_ns in (50_000_000, 500_000_000, 5_000_000_000):
        first_ns = _recurse.now_ns() + first_in_ns
        control = Control(first_ns, FAR_NS)
        thread, _, ends = in_thread(kernel, rules, control)
        raised_ns = first_ns + 150_000_000
        control.raise_deadline(raised_ns)
        in_time = _recurse.now_ns() < first_ns
        thread.join(60)
        assert ends == [LIMIT]
        if in_time:
            break
    assert _recurse.now_ns() >= raised_ns


@pytest.mark.slow
@pytest.mark.skipif(not CHECKED, reason="only checked builds count the words")
@pytest.mark.parametrize("density", [0.4, 0.9])
@pytest.mark.parametrize(
    ("sizes", "n_days", "n_tickers"), [((700,) * 6, 5, 300), ((250,) * 4, 20, 3_000)]
)
def test_work_between_two_looks_is_bounded(simd, sizes, n_days, n_tickers, density):
    """Counted in words, not in time: wide rows, many candidates, all of them eligible.

    One visit may take 8 checks' worth of scores.
    """
    rules = Rules(min_daily_hits=1, top_k=10, **strategies.LOOSE)
    kernel = Kernel(*seeded_arrays(2, sizes, n_days, n_tickers, density), rules)
    _recurse.most_words_between_checks(reset=True)
    kernel.run(starter_of(0), Control(FAR_NS, _recurse.now_ns() + 100_000_000), heaps_of(rules))
    assert 0 < _recurse.most_words_between_checks() <= 12 * _recurse.CHECK_WORDS


def test_deadlines_only_rise():
    control = Control(1_000, FAR_NS)
    control.raise_deadline(500)
    assert control.deadline_ns == 1_000
    control.raise_deadline(1_500)
    control.raise_deadline(1_200)
    assert control.deadline_ns == 1_500


def test_deadline_raised_by_many_threads_ends_at_the_latest():
    control = Control(0, FAR_NS)
    threads = [
        threading.Thread(
            target=lambda start=start: [control.raise_deadline(ns) for ns in range(start, 4_000, 4)]
        )
        for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert control.deadline_ns == 3_999


def test_work_limit_is_exact_and_can_be_raised(simd):
    kernel, rules = endless()
    record, heaps = starter_of(0), heaps_of(rules)
    for limit in (1, 2, 40, 41, 1_000, 123_457):
        assert kernel.run(record, Control(FAR_NS, FAR_NS), heaps, limit) == WORK_LIMIT
        assert record["attempts"] == limit
        assert kernel.run(record, Control(FAR_NS, FAR_NS), heaps, limit) == WORK_LIMIT
        assert record["attempts"] == limit


def test_an_exhausted_starter_stays_exhausted():
    rules = Rules(min_daily_hits=2)
    kernel = Kernel(*seeded_arrays(1, (3, 3, 3), 5, 100), rules)
    record, heaps = whole_run(kernel, rules, 0)
    before, kept = record.tobytes(), plain(heaps)
    assert kernel.run(record, Control(0, 0), heaps) == EXHAUSTED
    assert record.tobytes() == before
    assert plain(heaps) == kept


# ---- without the GIL


def test_four_kernels_and_python_run_at_once(simd):
    kernel, rules = endless()
    controls = [Control(FAR_NS, FAR_NS) for _ in range(4)]
    running = [in_thread(kernel, rules, control, v) for v, control in enumerate(controls)]
    n_python_loops = 0

    def all_advance(seen):
        nonlocal n_python_loops
        n_python_loops += 1
        return all(control.attempts > n for control, n in zip(controls, seen, strict=True))

    for _ in range(3):
        seen = [control.attempts for control in controls]
        before = n_python_loops
        wait_until(lambda seen=seen: all_advance(seen))
        assert n_python_loops > before
    assert all(thread.is_alive() for thread, _, _ in running)
    for control in controls:
        control.stop()
    for thread, _, _ in running:
        thread.join(60)
    assert [ends for _, _, ends in running] == [[STOPPED]] * 4


# ---- heaps


def scored_by(kernel, rules, n_starters):
    """Every starter's eligible groups in heaps of its own, none dropped."""
    everything = replace(rules, top_k=1_000_000)
    return [whole_run(kernel, everything, v)[1] for v in range(n_starters)]


def best_of(heaps, size, top_k):
    """The groups in `heaps` that a heap of `top_k` must keep."""
    columns = [[array.tolist() for array in heap[size].ranked()] for heap in heaps]
    groups = sorted(
        (-score, members)
        for scores, groups in columns
        for score, members in zip(scores, groups, strict=True)
    )
    return [-score for score, _ in groups[:top_k]], [members for _, members in groups[:top_k]]


@given(
    signals=strategies.signals(),
    top_k=st.sampled_from((1, 2, 3, 7, 64, 65, 200)),
    floor=st.integers(0, 2),
    random=st.randoms(use_true_random=False),
)
@QUICK
def test_top_groups_are_the_same_in_any_order(signals, top_k, floor, random):
    """Heaps merged in any order keep the best `top_k`, ties by the smaller group."""
    rules = Rules(min_daily_hits=floor, top_k=top_k, retain_sizes=(2, 3), **strategies.LOOSE)
    panel = oracle.to_panel(signals)
    kernel = Kernel(*arrays_of(panel, rules), rules)
    n_starters = len(panel.variations)
    scored = scored_by(kernel, rules, n_starters)
    kept, unmerged = heaps_of(rules), []
    for v in random.sample(range(n_starters), n_starters):
        found = heaps_of(rules)
        kernel.run(starter_of(v), Control(FAR_NS, FAR_NS), found)
        unmerged.append(found)
        while unmerged and random.random() < 0.6:
            merge_into(kept, unmerged.pop(random.randrange(len(unmerged))))
    for found in unmerged:
        merge_into(kept, found)
    for size, groups in kept.items():
        scores, members = best_of(scored, size, top_k)
        assert [array.tolist() for array in groups.ranked()] == [scores, members]
        assert len(groups) == len(scores) <= top_k
        assert groups.best() == (scores[0] if scores else None)


@given(
    signals=strategies.copied_signals(),
    top_k=st.sampled_from((1, 2, 3, 7, 200)),
    keeps_ideas=st.booleans(),
    random=st.randoms(use_true_random=False),
)
@QUICK
def test_thresholds_change_nothing_but_what_is_kept_on_the_way(signals, top_k, keeps_ideas, random):
    """A starter that knows what the others have kept leaves out only what they would drop."""
    rules = Rules(min_daily_hits=1, top_k=top_k, retain_sizes=(2, 3), **strategies.LOOSE)
    panel = oracle.to_panel(signals)
    kernel = Kernel(*arrays_of(panel, rules), rules)
    ideas_of = kernel if keeps_ideas else None
    kept, informed = [
        {size: TopGroups(size, top_k, ideas_of) for size in rules.retain_sizes} for _ in range(2)
    ]
    n_starters = len(panel.variations)
    for v in random.sample(range(n_starters), n_starters):
        found = {size: TopGroups(size, top_k, ideas_of) for size in rules.retain_sizes}
        record = starter_of(v)
        kernel.run(record, Control(FAR_NS, FAR_NS), found)
        merge_into(kept, found)
        fewer = {size: TopGroups(size, top_k, ideas_of) for size in rules.retain_sizes}
        for size, groups in fewer.items():
            threshold = informed[size].threshold
            assert threshold == -math.inf or threshold == informed[size].ranked()[0][-1]
            groups.raise_threshold(threshold)
            groups.raise_threshold(threshold - 1.0)
            assert groups.threshold == threshold
        other = starter_of(v)
        kernel.run(other, Control(FAR_NS, FAR_NS), fewer)
        for size, groups in fewer.items():
            assert all(score >= informed[size].threshold for score in groups.ranked()[0])
        merge_into(informed, fewer)
        assert content(record) == content(other)
        assert plain(kept) == plain(informed)
    for size, groups in kept.items():
        assert groups.n_groups().tolist() == informed[size].n_groups().tolist()
        assert groups.n_scores().tolist() == informed[size].n_scores().tolist()


def merge_into(kept, found):
    for size, groups in found.items():
        kept[size].merge(groups)


@pytest.mark.parametrize("top_k", [1, 2, 63, 64, 65, 500])
def test_ties_go_to_the_smaller_group(simd, top_k):
    """All variations are copies, so all groups of a size tie; starters come in descending order."""
    buys, wins, algo_of, weights = seeded_arrays(11, (3,) * 6, 5, 100)
    rules = Rules(min_daily_hits=0, top_k=top_k, **strategies.LOOSE)
    kernel = Kernel(np.repeat(buys[:1], 18, axis=0), wins, algo_of, weights, rules)
    kept = heaps_of(rules)
    for v in reversed(range(18)):
        found = heaps_of(rules)
        kernel.run(starter_of(v), Control(FAR_NS, FAR_NS), found)
        merge_into(kept, found)
    for size, groups in kept.items():
        scores, members = groups.ranked()
        every = [
            group
            for group in itertools.combinations(range(18), size)
            if len({v // 3 for v in group}) == size
        ]
        assert len(set(scores.tolist())) == 1
        assert [tuple(group) for group in members.tolist()] == every[:top_k]


@pytest.mark.parametrize("seed", range(6))
def test_negative_zero_ties_with_zero(seed):
    """Scores of 0.0 and -0.0 are equal: neither may keep the other out."""
    zeros = {name: 0.0 for name in strategies.CONSTANTS if "weight" in name or "slope" in name}
    negative = ("weighted_pp", "median_pp", "second_worst_pp", "wilson", "rising", "coverage_log")
    zeros |= {f"{name}_weight": -0.0 for name in negative} | {"sweet_low": 6.5, "sweet_peak": 90.0}
    rules = Rules(min_daily_hits=0, top_k=3, retain_sizes=(3,), **strategies.LOOSE, **zeros)
    kernel, n_starters = Kernel(*seeded_arrays(seed, (2,) * 5, 3, 30), rules), 10
    every = np.concatenate([heaps[3].ranked()[0] for heaps in scored_by(kernel, rules, n_starters)])
    assert set(np.signbit(every).tolist()) == {False, True}
    assert not every.any()
    kept = heaps_of(rules)
    for v in reversed(range(n_starters)):
        found = heaps_of(rules)
        kernel.run(starter_of(v), Control(FAR_NS, FAR_NS), found)
        merge_into(kept, found)
    assert kept[3].ranked()[1].tolist() == [[0, 2, 4], [0, 2, 5], [0, 2, 6]]


def test_an_empty_heap():
    groups = TopGroups(3, 10)
    scores, members = groups.ranked()
    assert groups.best() is None
    assert len(groups) == 0
    assert (scores.shape, scores.dtype) == ((0,), np.float64)
    assert (members.shape, members.dtype) == ((0, 3), np.int32)


# ---- what is refused


@pytest.mark.parametrize(("size", "top_k"), [(1, 5), (9, 5), (3, 0), (3, -1)])
def test_impossible_heaps(size, top_k):
    with pytest.raises(ValueError, match="size must be"):
        TopGroups(size, top_k)


def changed(position, change):
    arrays = list(seeded_arrays(1, (2, 2), 3, 70))
    arrays[position] = change(arrays[position])
    return arrays


@pytest.mark.parametrize(
    "arrays",
    [
        changed(0, lambda buys: buys[0]),
        changed(0, lambda buys: buys[:, :2].copy()),
        changed(1, lambda wins: wins[:, :1].copy()),
        changed(1, lambda wins: wins[0]),
        changed(2, lambda algo_of: algo_of[:-1]),
        changed(3, lambda weights: weights[:-1]),
    ],
)
def test_arrays_that_do_not_belong_together(arrays):
    with pytest.raises(ValueError, match="do not belong together"):
        Kernel(*arrays, Rules())


def test_records_that_do_not_belong_here():
    rules = Rules()
    kernel = Kernel(*seeded_arrays(1, (2, 2), 3, 70), rules)
    for v in (-1, 4):
        with pytest.raises(ValueError, match="does not belong to this panel"):
            kernel.run(starter_of(v), Control(FAR_NS, FAR_NS), heaps_of(rules))
    too_deep = starter_of(0)
    too_deep["depth"] = rules.max_size
    with pytest.raises(ValueError, match="does not belong to this panel"):
        kernel.run(too_deep, Control(FAR_NS, FAR_NS), heaps_of(rules))
    with pytest.raises(ValueError, match="one record"):
        kernel.run(
            np.zeros(2, dtype=_recurse.STARTER_DTYPE), Control(FAR_NS, FAR_NS), heaps_of(rules)
        )
    with pytest.raises(KeyError):
        kernel.run(starter_of(0), Control(FAR_NS, FAR_NS), {})


def test_work_limits_that_are_behind_already():
    rules = Rules(min_daily_hits=0)
    kernel = Kernel(*seeded_arrays(1, (2, 2, 2), 3, 70), rules)
    record = starter_of(0)
    assert kernel.run(record, Control(FAR_NS, FAR_NS), heaps_of(rules), 5) == WORK_LIMIT
    for limit in (-1, 4):
        with pytest.raises(ValueError, match="less than the 5 attempts"):
            kernel.run(record, Control(FAR_NS, FAR_NS), heaps_of(rules), limit)
    assert record["attempts"] == 5


def test_unknown_instruction_sets():
    with pytest.raises(InputError, match="portable"):
        _recurse.use_simd("mmx")
    assert SIMD[0] == "portable"
    assert _recurse.simd() in SIMD
    assert _recurse.build_info() in {"release", "checked"}
