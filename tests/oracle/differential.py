"""Random adversarial searches, each run in every possible way and compared with `brute.py`.

    python tests/oracle/differential.py --minutes 5 --seed 1

prints one line per failure, with the seed that repeats it, and a summary. `test_recurse.py` runs a
few of the same cases.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import brute
import numpy as np
import numpy.typing as npt
from comparison import using
from strategies import LOOSE, TIGHT

from mp2 import _recurse
from mp2._recurse import EXHAUSTED, LIMIT, STOPPED, WALL, WORK_LIMIT, Control, Kernel, TopGroups
from mp2._replicates import ReplicateSearch
from mp2.data import bitset
from mp2.data.panel import signal_panel
from mp2.groups.kept import day_weights
from mp2.groups.rules import PRUNINGS, Rules

FAR_NS = 2**62
SIMD = _recurse.simd_available()
MAX_WORDS = 20_000_000
ROWS = ("n_rows_scanned", "n_rows_rescanned")
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One panel, its rules and a starter, and what brute force finds for them."""

    name: str
    arrays: tuple[Any, ...]
    rules: Rules
    first: int
    found: brute.Found


@dataclass(frozen=True)
class Way:
    """How a kernel is run."""

    simd: str
    without: frozenset[str]
    count: str = "exact"
    turn_bytes: int = _recurse.TURN_BYTES
    check_words: int = _recurse.CHECK_WORDS


def small_checks(rng: np.random.Generator) -> int:
    """Words of work between two looks at the clock: as usual, or far fewer."""
    return int(rng.choice((1, 64, 1000, _recurse.CHECK_WORDS)))


def small_tables(rng: np.random.Generator) -> int:
    """Memory of a turn that suffices for everything, for some of it, or for nothing."""
    return int(rng.choice((0, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, _recurse.TURN_BYTES)))


# ---- panels


def draw_sizes(rng: np.random.Generator) -> tuple[int, ...]:
    """Sizes of algorithms: a few large ones that fill one to three blocks, or many small ones."""
    kind = rng.integers(5)
    if kind == 0:
        total = int(rng.choice((63, 64, 65, 127, 128, 129, 192, 193, 250)))
        cut = int(rng.integers(1, total))
        return (int(rng.integers(1, 4)), cut, total - cut)
    if kind == 1:
        return tuple(int(n) for n in rng.integers(1, 40, size=int(rng.integers(3, 7))))
    if kind == 2:
        return (
            int(rng.integers(1, 4)),
            64,
            *(int(n) for n in rng.integers(1, 70, size=int(rng.integers(1, 4)))),
        )
    if kind == 3:
        return tuple(int(n) for n in rng.integers(1, 5, size=int(rng.integers(1, 12))))
    return tuple(int(n) for n in rng.integers(1, 12, size=int(rng.integers(3, 9))))


def draw_buys(
    rng: np.random.Generator, sizes: tuple[int, ...], n_days: int, n_tickers: int
) -> Bools:
    kind = str(rng.choice(("random", "crowd", "nested", "nested", "copies", "sparse")))
    n_variations = sum(sizes)
    shape = (n_variations, n_days, n_tickers)
    density = rng.choice((0.3, 0.6, 0.9, 0.99, 1.0))
    if kind == "random":
        return rng.random(shape) < density
    if kind == "sparse":
        return rng.random(shape) < rng.uniform(0, 0.2)
    if kind == "crowd":
        common = rng.random((n_days, n_tickers)) < min(1.0, rng.uniform(8, 40) / n_tickers)
        return (common & (rng.random(shape) < 0.9)) | (rng.random(shape) < 0.05)
    parts = [
        nested_rows(rng, size, n_days, n_tickers)
        if kind == "nested"
        else copied_rows(rng, size, n_days, n_tickers)
        for size in sizes
    ]
    return np.concatenate(parts)


def nested_rows(rng: np.random.Generator, size: int, n_days: int, n_tickers: int) -> Bools:
    """An algorithm with a threshold: each variation buys a subset of a laxer one's tickers.

    The variations are in any order; some occur twice.
    """
    rank = rng.random((n_days, n_tickers))
    low = rng.uniform(0, 0.8)
    thresholds = np.round(rng.uniform(low, 1.0, size), int(rng.integers(1, 4)))
    if rng.random() < 0.6:
        thresholds = np.sort(thresholds)[:: int(rng.choice((-1, 1)))]
    return rank[None] < thresholds[:, None, None]


def copied_rows(rng: np.random.Generator, size: int, n_days: int, n_tickers: int) -> Bools:
    different = rng.random((int(rng.integers(1, 4)), n_days, n_tickers)) < rng.uniform(0.4, 1.0)
    return different[rng.integers(len(different), size=size)]


def spoil(rng: np.random.Generator, buys: Bools, winners: Bools) -> None:
    """Days without buys, variations without buys, days on which all or none win; in place."""
    n_variations, n_days = buys.shape[:2]
    if rng.random() < 0.2:
        buys[rng.integers(n_variations, size=int(rng.integers(1, 4)))] = False
    if rng.random() < 0.15:
        buys[:, rng.integers(n_days)] = False
    if rng.random() < 0.25:
        winners[rng.integers(n_days)] = False
    if rng.random() < 0.25:
        winners[rng.integers(n_days)] = True
    if rng.random() < 0.2:
        one = rng.integers(n_days)
        buys[:, one] &= rng.random(buys.shape[2]) < 0.1


def draw_rules(rng: np.random.Generator) -> Rules:
    max_size = int(rng.choice((2, 3, 3, 4, 4, 4, 5, 6)))
    limits = dict(LOOSE if rng.random() < 0.6 else {} if rng.random() < 0.5 else TIGHT)
    if rng.random() < 0.7:
        limits["max_daily_buys"] = int(
            rng.choice((0, 1, 5, 12, 20, 63, 64, 200, 254, 255, 256, 600, 2**31 - 1))
        )
    retained = [size for size in range(2, max_size + 1) if rng.random() < 0.7]
    floor = int(rng.choice((0, 0, 1, 2, 4, 5, 8, 9, 16, 40, 100, 254, 255, 256, 257, 400)))
    return Rules(
        max_size=max_size,
        retain_sizes=tuple(retained),
        min_daily_hits=floor,
        top_k=int(rng.choice((1, 3, 64, 1000, 1_000_000))),
        **limits,
    )


def draw_case(seed: int, max_words: int = MAX_WORDS) -> Case | None:
    """The case of a seed, or None where brute force would take too long."""
    rng = np.random.default_rng(seed)
    sizes, rules = draw_sizes(rng), draw_rules(rng)
    n_days = int(rng.choice((1, 2, 3, 5, 5, 6, 7, 8, 9, 10, 15, 16, 17, 20)))
    n_tickers = int(rng.choice((1, 5, 30, 63, 64, 65, 120, 200, 300, 600, 1000, 2000)))
    buys = draw_buys(rng, sizes, n_days, n_tickers)
    winners = rng.random((n_days, n_tickers)) < rng.choice((0.0, 0.4, 0.7, 0.9, 1.0))
    spoil(rng, buys, winners)
    if rng.random() < 0.15:  # nested among the winners only
        buys &= winners | (rng.random(buys.shape) < 0.5)
    if rng.random() < 0.6:  # a floor and a cap that matter: near what groups have
        rules = replace(rules, min_daily_hits=middle_floor(rng, buys, winners))
    packed, wins = bitset.pack(buys), bitset.pack(winners)
    if rng.random() < 0.1:
        wins = packed & bitset.pack(rng.random(buys.shape) < 0.7)
    algo_of = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    arrays = (packed, wins, algo_of, rng.uniform(0.5, 1.5, n_days))
    # The first starter that brute force can manage: later algorithms leave less to do.
    for algo in range(len(sizes)):
        first = int(rng.choice(np.flatnonzero(algo_of == algo)))
        with contextlib.suppress(brute.TooLarge):
            found = brute.search(*arrays, rules, first, max_words)
            name = (
                f"seed {seed}: {sizes} x {n_days} days x {n_tickers} tickers, "
                f"starter {first}, {rules_of(rules)}"
            )
            return Case(name, arrays, rules, first, found)
    return None


def middle_floor(rng: np.random.Generator, buys: Bools, winners: Bools) -> int:
    """About as many winners as a random group of three has on its worst day."""
    groups = rng.integers(len(buys), size=(20, 3))
    hits = (buys[groups].all(axis=1) & winners).sum(axis=2).min(axis=1)
    return int(np.quantile(hits, rng.uniform(0.3, 1.0)))


def rules_of(rules: Rules) -> str:
    names = ("max_size", "retain_sizes", "min_daily_hits", "max_daily_buys", "top_k")
    return ", ".join(f"{name}={getattr(rules, name)}" for name in names)


# ---- runs


def ways(rng: np.random.Generator) -> list[Way]:
    """Every instruction set with all, no, and all but one of the prunings; some in fast mode."""
    one = frozenset({str(rng.choice(PRUNINGS))})
    some = frozenset(name for name in PRUNINGS if rng.random() < 0.5)
    every = frozenset(PRUNINGS)
    return [
        Way(simd, without, count)
        for simd in SIMD
        for without in (frozenset(), every, one, some)
        for count in ("exact", "fast")
    ]


def starter_of(first: int) -> npt.NDArray[np.void]:
    record = np.zeros(1, dtype=_recurse.STARTER_DTYPE)
    record["variation_idx"] = first
    return record


def heaps_of(rules: Rules) -> dict[int, TopGroups]:
    return {size: TopGroups(size, rules.top_k) for size in rules.retain_sizes}


def kernel_of(case: Case, way: Way) -> Kernel:
    return Kernel(
        *case.arrays,
        case.rules,
        count=way.count,
        without=way.without,
        turn_bytes=way.turn_bytes,
        check_words=way.check_words,
    )


def whole_run(case: Case, way: Way) -> tuple[npt.NDArray[np.void], dict[int, TopGroups]]:
    record, heaps = starter_of(case.first), heaps_of(case.rules)
    with using(way.simd):
        end = kernel_of(case, way).run(record, Control(FAR_NS, FAR_NS), heaps)
    assert end == EXHAUSTED, end
    return record, heaps


def sliced_run(
    case: Case, rng: np.random.Generator, max_turns: int = 400
) -> tuple[npt.NDArray[np.void], dict[int, TopGroups]]:
    """The starter turn by turn, each turn with a new kernel.

    A turn is ended by a work limit, a deadline, a wall or a stop.
    """
    record, kept = starter_of(case.first), heaps_of(case.rules)
    end, n_turns = None, 0
    while end != EXHAUSTED:
        n_turns += 1
        way = Way(
            str(rng.choice(SIMD)),
            frozenset(name for name in PRUNINGS if rng.random() < 0.25),
            turn_bytes=small_tables(rng),
            check_words=small_checks(rng),
        )
        found = heaps_of(case.rules)
        left = case.found.attempts - int(record["attempts"][0])
        step = 0 if n_turns >= max_turns else int(rng.integers(1, 2 + left))
        with using(way.simd):
            end = turn(kernel_of(case, way), record, found, int(rng.integers(5)), step)
        for size, groups in found.items():
            kept[size].merge(groups)
    return record, kept


def turn(
    kernel: Kernel, record: npt.NDArray[np.void], found: dict[int, TopGroups], kind: int, step: int
) -> int:
    """One turn; `step` 0 lets it run to the end."""
    before = int(record["attempts"][0])
    if step == 0 or kind <= 1:
        limit = before + step if step else 0
        end = kernel.run(record, Control(FAR_NS, FAR_NS), found, limit)
        assert end == EXHAUSTED or (end == WORK_LIMIT and record["attempts"][0] == limit), (
            end,
            record["attempts"],
            limit,
        )
    elif kind == 2:
        end = kernel.run(record, Control(0, FAR_NS), found)
        assert end in (EXHAUSTED, LIMIT), end
        assert record["attempts"][0] > before
    elif kind == 3:
        end = kernel.run(record, Control(FAR_NS, _recurse.now_ns() + 1000 * (step % 3000)), found)
        assert end in (EXHAUSTED, WALL), end
    else:
        control = Control(FAR_NS, FAR_NS)
        timer = threading.Timer((step % 2000) * 1e-6, control.stop)
        timer.start()
        end = kernel.run(record, control, found)
        timer.join()
        assert end in (EXHAUSTED, STOPPED), end
    return end


# ---- comparison


def problems(
    case: Case, record: npt.NDArray[np.void], heaps: dict[int, TopGroups], count: str = "exact"
) -> list[str]:
    """Where a run differs from brute force."""
    found, rules, lines = case.found, case.rules, []
    if record["attempts"][0] != found.attempts:
        lines.append(f"attempts {record['attempts'][0]}, expected {found.attempts}")
    for size, expected in found.tested.items():
        tested = int(record["tested"][0, size])
        if tested != expected and not (
            count == "fast" and size == rules.max_size and tested <= expected
        ):
            lines.append(f"tested[{size}] {tested}, expected {expected}")
    for size in rules.retain_sizes:
        lines += score_problems(size, found, record, heaps[size], rules.top_k)
    return lines


def score_problems(
    size: int, found: brute.Found, record: npt.NDArray[np.void], heap: TopGroups, top_k: int
) -> list[str]:
    n = int(record["eligible"][0, size])
    if n != found.eligible(size):
        return [f"eligible[{size}] {n}, expected {found.eligible(size)}"]
    if n == 0:
        return [f"{len(heap)} groups of size {size} kept of none"] if len(heap) else []
    lines = []
    mean, deviation = found.scores[size].mean(), found.scores[size].std(ddof=1) if n > 1 else 0.0
    kernel_deviation = (record["score_m2"][0, size] / (n - 1)) ** 0.5 if n > 1 else 0.0
    if not np.allclose(
        [record["score_mean"][0, size], kernel_deviation], [mean, deviation], rtol=1e-9, atol=1e-7
    ):
        lines.append(
            f"scores[{size}] {record['score_mean'][0, size]} +- {kernel_deviation}, "
            f"expected {mean} +- {deviation}"
        )
    scores, members = heap.ranked()
    best, best_members = (column[:top_k] for column in found.ranked(size))
    if len(scores) != len(best) or not np.allclose(scores, best, rtol=1e-9, atol=1e-9):
        lines.append(f"kept scores of size {size}: {scores[:5]}.., expected {best[:5]}..")
    elif not same_groups(members, scores, best_members):
        lines.append(f"kept groups of size {size} differ")
    return lines


def same_groups(
    members: npt.NDArray[np.int32], scores: npt.NDArray[np.float64], expected: npt.NDArray[np.int32]
) -> bool:
    """The same groups, except those that rounding may swap.

    These have neighbours within 1e-9 or are at the end of the list.
    """
    if np.array_equal(members, expected):
        return True
    sure = scores > scores[-1] + 1e-9 * max(1.0, abs(scores[-1]))
    return {tuple(group) for group in members[sure].tolist()} <= {
        tuple(group) for group in expected.tolist()
    }


def content(record: npt.NDArray[np.void], but: tuple[str, ...] = ROWS) -> dict[str, bytes]:
    return {name: record[name].tobytes() for name in record.dtype.names or () if name not in but}


def plain(heaps: dict[int, TopGroups]) -> dict[int, list[bytes]]:
    return {size: [array.tobytes() for array in groups.ranked()] for size, groups in heaps.items()}


def check(case: Case, rng: np.random.Generator) -> list[str]:
    """Every way of running a case against brute force and, to the last bit, against each other."""
    lines: list[str] = []
    first: tuple[Any, Any] | None = None
    for plain_way in ways(rng):
        way = replace(plain_way, turn_bytes=small_tables(rng), check_words=small_checks(rng))
        record, heaps = whole_run(case, way)
        lines += [f"{way}: {line}" for line in problems(case, record, heaps, way.count)]
        if way.count == "fast":
            record["tested"][0, case.rules.max_size] = case.found.tested[case.rules.max_size]
        seen = content(record), plain(heaps)
        first = first or seen
        if seen != first:
            lines.append(f"{way}: not bit-identical with the first way")
    for _ in range(2):
        record, heaps = sliced_run(case, rng)
        if (content(record), plain(heaps)) != first:
            lines += [
                f"sliced: {line}"
                for line in problems(case, record, heaps) or ["not bit-identical with a whole run"]
            ]
    return lines


def replicate_problems(case: Case, rng: np.random.Generator) -> list[str]:
    """The maxima of a starter over replicates against searches with other wins, interrupted too."""
    buys, wins, algo_of, weights = case.arrays
    n_variations, n_days, n_words = buys.shape
    panel = signal_panel(
        algos=[str(algo) for algo in range(algo_of.max() + 1)],
        variations=[str(v) for v in range(n_variations)],
        algo_of=algo_of,
        days=[f"{day:04d}" for day in range(n_days)],
        tickers=[str(ticker) for ticker in range(64 * n_words)],
        buys=buys,
        wins=wins if wins.ndim == 2 else wins[0],
        base_win_rates=50 * weights,
    )
    labels = rng.random((n_days, 64 * n_words, 1024)) < rng.uniform(0.3, 1.0)
    labels[..., 0] = bitset.unpack(panel.wins, 64 * n_words)
    chosen = [0, 1, 511, 512]
    expected = []
    for r in chosen:
        heaps = heaps_of(replace(case.rules, top_k=1))
        other = bitset.pack(labels[..., r])
        kernel = Kernel(buys, other, algo_of, day_weights(50 * weights, case.rules), case.rules)
        kernel.run(starter_of(case.first), Control(FAR_NS, FAR_NS), heaps)
        expected.append(
            [-np.inf if heap.best() is None else heap.best() for heap in heaps.values()]
        )
    rows = np.pad(bitset.pack(labels), ((0, 0), (0, 1), (0, 0)))
    lines = []
    for simd in SIMD:
        tested = ReplicateSearch(panel, case.rules, rows, 513, check_words=small_checks(rng))
        worker = tested.worker()
        with using(simd):
            worker.run(case.first, Control(FAR_NS, _recurse.now_ns() + int(rng.integers(300_000))))
            assert worker.run(case.first, Control(FAR_NS, FAR_NS)) == EXHAUSTED
        if not np.array_equal(worker.maxima[:, chosen].T, expected):
            lines.append(f"replicates, {simd}: {worker.maxima[:, chosen].T} instead of {expected}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    parser.add_argument("--one", action="store_true", help="only that seed")
    parser.add_argument("--max-words", type=int, default=MAX_WORDS)
    options = parser.parse_args()
    end_s, seed, n_cases, n_failed, n_eligible = (
        time.monotonic() + 60 * options.minutes,
        options.seed,
        0,
        0,
        0,
    )
    while time.monotonic() < end_s:
        case = draw_case(seed, options.max_words)
        if case is not None:
            lines = check(case, np.random.default_rng(seed))
            lines += replicate_problems(case, np.random.default_rng(seed))
            n_cases, n_failed = n_cases + 1, n_failed + bool(lines)
            n_eligible += any(case.found.eligible(size) for size in case.rules.retain_sizes)
            print(
                *([case.name, *lines] if lines else []),
                sep="\n  ",
                end="\n" if lines else "",
                flush=True,
            )
        seed += 1
        if options.one:
            break
    print(
        f"{n_cases} cases of {seed - options.seed} seeds, {n_eligible} with eligible groups, "
        f"{n_failed} failed; {', '.join(SIMD)}"
    )
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
