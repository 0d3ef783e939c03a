"""Stress test of everything that threads share, for the thread sanitizer.

`nox -s tsan` builds the kernel with the sanitizer and runs this.

    python tests/oracle/races.py --minutes 3

It uses 4 to 8 threads on small random panels. Whole searches end by themselves, by the wall, by a
work limit or by a stop, and are watched and checkpointed throughout. Kernels run directly while
other threads raise their deadlines, stop them and read what they publish. A search that ended by
itself or at its work limit must equal the search of a single worker.

A report of the sanitizer ends the process with `RACE_EXIT_CODE`. A separate process first proves
that the sanitizer reports: two threads run the same starter, which `Kernel.run` forbids, and the
race must be detected (`--seeded-race`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import differential
import numpy as np
from comparison import lasting, using

from mp2 import _recurse
from mp2._recurse import Control, Kernel
from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.groups import turns
from mp2.groups.checkpoint import Resumable
from mp2.groups.result import SearchResult, Status
from mp2.groups.rules import Rules
from mp2.groups.search import search
from mp2.groups.settings import SearchSettings

RACE_EXIT_CODE = 66
"""What `TSAN_OPTIONS=exitcode=` is set to by `nox -s tsan`."""

REPORT = "WARNING: ThreadSanitizer: data race"
HurriedKernel = partial(Kernel, check_words=64)
"""Looks at the flags far more often than a search does by itself."""

RULES = Rules(
    max_size=4, retain_sizes=(2, 3, 4), min_daily_hits=2, max_mad_pp=60.0, max_iqr_pp=90.0, top_k=50
)


def draw_panel(rng: np.random.Generator) -> SignalPanel:
    """Three to six algorithms whose whole search takes a fraction of a second."""
    n_algos, n_each, n_days, n_tickers = (
        int(rng.integers(3, 7)),
        int(rng.integers(3, 9)),
        3,
        int(rng.choice((30, 64, 130))),
    )
    buys = rng.random((n_algos * n_each, n_days, n_tickers)) < rng.uniform(0.2, 0.7)
    buys[rng.integers(len(buys))] = buys[rng.integers(len(buys))]  # identical variations share work
    wins = rng.random((n_days, n_tickers)) < 0.6
    return SignalPanel(
        algos=tuple(f"A{algo}" for algo in range(n_algos)),
        variations=tuple(str(v % n_each) for v in range(len(buys))),
        algo_of=np.repeat(np.arange(n_algos, dtype=np.int32), n_each),
        days=tuple(f"2026-01-0{day + 5}" for day in range(n_days)),
        tickers=tuple(f"T{ticker:03}" for ticker in range(n_tickers)),
        buys=bitset.pack(buys),
        wins=bitset.pack(wins),
        base_win_rates=100.0 * wins.mean(axis=1),
        warnings=(),
        fingerprint="races",
    )


def beside(*works: Callable[[], object]) -> list[BaseException]:
    """Run these at once, each in a thread; return the errors they raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


# ---- whole searches


class Watcher:
    """Take the state of a running search repeatedly, as the writer thread of the store does."""

    def __init__(self) -> None:
        self.resume_from = None
        self._search: Resumable | None = None
        self._over = threading.Event()

    def watch(self, search: Resumable) -> None:
        self._search = search

    def take_again_and_again(self) -> None:
        while not self._over.wait(0.003):
            if self._search is not None:
                self._search.take()
                self._search.confirm()

    def end(self) -> None:
        self._over.set()


def searched(
    rng: np.random.Generator, panel: SignalPanel
) -> tuple[SearchResult, list[BaseException]]:
    """Watch one search with 4 to 8 workers; a stop, the wall or a work limit may end it."""
    stop, watcher, found = threading.Event(), Watcher(), list[SearchResult]()
    kind, wait_s = str(rng.choice(("whole", "wall", "stop", "work"))), float(rng.uniform(0, 0.2))

    def run() -> None:
        try:
            found.append(
                search(
                    panel,
                    SearchSettings(
                        budget_s=wait_s if kind == "wall" else 600.0,
                        workers=int(rng.integers(4, 9)),
                        rules=RULES,
                        max_attempts=int(rng.integers(1, 5000)) if kind == "work" else None,
                    ),
                    stop=stop,
                    observe=lambda progress: None,
                    observe_every_s=0.002,
                    recorder=watcher,
                )
            )
        finally:
            watcher.end()

    def stopping() -> None:
        if kind == "stop":
            time.sleep(wait_s)
            stop.set()

    errors = beside(run, watcher.take_again_and_again, stopping)
    return found[0] if found else None, errors  # type: ignore[return-value]


def check_search(rng: np.random.Generator) -> list[str]:
    """Return the errors in a search under stress."""
    panel = draw_panel(rng)
    result, errors = searched(rng, panel)
    if errors:
        return [f"search: {error!r}" for error in errors]
    if result.status not in (Status.COMPLETE, Status.WORK_LIMIT):
        return []
    alone = search(
        panel,
        SearchSettings(budget_s=600.0, workers=1, rules=RULES, max_attempts=result.max_attempts),
    )
    return (
        []
        if lasting(result) == lasting(alone)
        else [f"search: {result.workers} workers found something else than one"]
    )


# ---- kernels


def check_kernels(rng: np.random.Generator) -> list[str]:
    """Kernels of one panel in parallel: merges under a lock, deadlines raised, stops, attempts."""
    panel = draw_panel(rng)
    kernel = HurriedKernel(panel.buys, panel.wins, panel.algo_of, np.ones(len(panel.days)), RULES)
    kept, lock, over = differential.heaps_of(RULES), threading.Lock(), threading.Event()
    queue, running = list(range(len(panel.buys))), dict[int, Control]()
    n_threads, stopped = int(rng.integers(4, 9)), bool(rng.random() < 0.3)

    def work() -> None:
        while not over.is_set():
            with lock:
                if not queue:
                    return
                first = queue.pop()
                control = running[first] = Control(_recurse.now_ns() + 20_000, differential.FAR_NS)
            record = differential.starter_of(first)
            end = _recurse.LIMIT
            while end == _recurse.LIMIT:
                found = differential.heaps_of(RULES)
                end = kernel.run(record, control, found)
                with lock:
                    for size, groups in found.items():
                        kept[size].merge(groups)
            with lock:
                del running[first]

    def meddle() -> None:
        until_s = time.monotonic() + 0.3
        while time.monotonic() < until_s or not stopped:
            with lock:
                controls = list(running.values())
                if not queue and not controls:
                    return
            for control in controls:
                control.raise_deadline(_recurse.now_ns() + 30_000)
                if control.attempts < 0:
                    raise AssertionError("attempts published below zero")
        over.set()
        with lock:
            for control in running.values():
                control.stop()

    return [f"kernels: {error!r}" for error in beside(*[work] * n_threads, meddle)]


# ---- the sanitizer itself


def race() -> None:
    """Two threads run the same starter into the same heaps, which is forbidden."""
    rng = np.random.default_rng(1)
    buys = rng.random((60, 3, 130)) < 0.6
    arrays = (
        bitset.pack(buys),
        bitset.pack(rng.random((3, 130)) < 0.6),
        np.repeat(np.arange(6, dtype=np.int32), 10),
        np.ones(3),
    )
    kernel, record, heaps = (
        Kernel(*arrays, RULES),
        differential.starter_of(0),
        differential.heaps_of(RULES),
    )
    gate = threading.Barrier(2)

    def run() -> None:
        gate.wait()
        kernel.run(record, Control(differential.FAR_NS, _recurse.now_ns() + 300_000_000), heaps)

    beside(run, run)


def is_seen() -> bool:
    """Whether the sanitizer reports `race`, in the kernel."""
    # The process may crash.
    command = [sys.executable, __file__, "--seeded-race"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return REPORT in ended.stderr and "_recurse" in ended.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    parser.add_argument(
        "--seeded-race",
        action="store_true",
        help="do what the sanitizer has to report, and nothing else",
    )
    parser.add_argument(
        "--unwatched",
        action="store_true",
        help="without the sanitizer: leave out the proof that it reports",
    )
    options = parser.parse_args(arguments)
    if options.seeded_race:
        race()
        return 0
    if not options.unwatched and not is_seen():
        print(
            "a seeded race was not reported: "
            "the kernel or the process is not under the thread sanitizer (nox -s tsan)"
        )
        return 1
    turns.Kernel = HurriedKernel  # type: ignore[misc]
    end_s, seed, n_failed = time.monotonic() + 60 * options.minutes, options.seed, 0
    while time.monotonic() < end_s:
        rng = np.random.default_rng(seed)
        with using(str(rng.choice(differential.SIMD))):
            lines = [*check_search(rng), *check_kernels(rng)]
        n_failed += bool(lines)
        print(*(f"seed {seed}: {line}\n" for line in lines), sep="", end="", flush=True)
        seed += 1
    seen = "not looked for" if options.unwatched else "reported"
    print(
        f"{seed - options.seed} rounds of a search and of shared kernels, {n_failed} failed; "
        f"the seeded race was {seen}"
    )
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
