"""Simulate searches at 10 to 10,000 slots: the real coordinator, a clock and workers made up.

Usage: `python benchmarks/bench_coordinator.py [--slots 10 100 1000] [--json]`, and with `--measure`
first to measure the starters again.

Pool, ledger, turns, leases and their messages are those of a search. The clock jumps to the next
event; workers answer orders after the time that a starter takes, by `starter_costs.json`: CPU
seconds of starters of 1,140 variations on 3,000 tickers, in running order. The large search is
stretched from that to 10,000 variations: as many starters more, each as many times longer as the
cube of the variations has it. What the coordinator does for a lease passes one after the other.

A row tells the efficiency (work over slots and time) of a complete search, and of one that ends by
its wall after a third of the work. `split`: the same with starters cut beforehand, by second
members, into pieces of at most a quarter of the work of a slot, the largest first; the sizes of the
pieces are known, so this is the most that cutting can give. `CPU a lease`: of this program, with
all that makes up workers.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import generator
import measured
import numpy as np

from mp2._recurse import STARTER_DTYPE, TopGroups
from mp2.groups.engines import remote
from mp2.groups.engines.engine import EngineState, RemoteControl
from mp2.groups.engines.handshake import Hello, hello
from mp2.groups.engines.messages import Answer, How, Order
from mp2.groups.ledger import Ledger
from mp2.groups.pool import _Pool
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.groups.starters import running_order

COSTS = Path(__file__).parent / "starter_costs.json"
N_MEASURED = 1140
STEP = 6
N_LARGE = 10_000
S = 1_000_000_000
US = 1_000

ROUND_TRIP_S = 0.010
LEASE_S = 0.002
"""What the client and dask's scheduler do for a lease, one after the other."""
MOST_OF_SMALL = 100
"""More slots than that have nothing to do in the small search."""
SMALL_S = 0.02
"""Starters below are searched by the client."""
LARGE_SET_UP_S = 1.0
SMALL_SET_UP_S = 0.01
"""What a resumed starter costs: measured with large tables and with those of 48 MB."""

RULES = Rules(max_size=3, retain_sizes=(3,), top_k=1)


# ---- the clock


class World:
    """A clock that jumps to the next event, and threads of which one runs at a time."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._ready: deque[threading.Semaphore] = deque()
        self._n_alive = 0
        # Released by the thread that runs when it waits or ends.
        self._yielded = threading.Semaphore(0)

    def clock_ns(self) -> int:
        return self.now_ns

    def at(self, t_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (t_ns, next(self._counter), act))

    def resume(self, thread: threading.Semaphore) -> None:
        """Let a thread go on when the one that runs waits."""
        self._ready.append(thread)

    def wait(self, thread: threading.Semaphore) -> None:
        """Let others run until this thread is resumed."""
        self._yielded.release()
        thread.acquire()

    def sleep(self, ns: int) -> None:
        thread = threading.Semaphore(0)
        self.at(self.now_ns + ns, lambda: self.resume(thread))
        self.wait(thread)

    def run(self, works: Sequence[Callable[[], None]]) -> None:
        """Run threads to their end."""

        def body(own: threading.Semaphore, work: Callable[[], None]) -> None:
            own.acquire()
            work()
            self._n_alive -= 1
            self._yielded.release()

        threading.stack_size(256 * 1024)
        self._n_alive = len(works)
        for work in works:
            own = threading.Semaphore(0)
            threading.Thread(target=body, args=(own, work), daemon=True).start()
            self.resume(own)
        while self._n_alive:
            while self._ready:
                self._ready.popleft().release()
                self._yielded.acquire()
            if self._n_alive:
                t_ns, _, act = heapq.heappop(self._events)
                self.now_ns = max(self.now_ns, t_ns)
                act()


class WorldEvent:
    """The part of `threading.Event` that turns use."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_set = False
        self._waiting: threading.Semaphore | None = None

    def set(self) -> None:
        self._is_set = True
        if self._waiting is not None:
            self._world.resume(self._waiting)
            self._waiting = None

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        if self._is_set:
            return True
        thread = self._waiting = threading.Semaphore(0)

        def give_up() -> None:
            if self._waiting is thread:
                self._waiting = None
                self._world.resume(thread)

        self._world.at(self._world.now_ns + round(timeout * S), give_up)
        self._world.wait(thread)
        return self._is_set


# ---- workers


class MadeUpEngine:
    """Workers that need for each starter the time that is known; nothing is lost."""

    def __init__(
        self,
        world: World,
        costs_us: np.ndarray,
        n_slots: int,
        set_up_ns: int,
    ) -> None:
        self.n_slots = n_slots
        self.n_leases = 0
        self._world = world
        self._costs_us = costs_us
        self._set_up_ns = set_up_ns

    def begin(self, key: bytes, content: bytes, is_over: Any) -> Sequence[Hello]:
        return [hello()]

    def submit(self, order: bytes, content: bytes | None) -> Future[bytes]:
        world = self._world
        world.now_ns += round(LEASE_S * S)
        self.n_leases += 1
        asked = Order.from_bytes(order)
        record = asked.record.copy()
        # Attempts of this record are microseconds of work.
        left_ns = US * int(self._costs_us[record["variation_idx"][0]] - record["attempts"][0])
        used_ns = min(asked.lease_ns, self._set_up_ns + left_ns)
        # A lease makes one attempt at least.
        done_ns = min(left_ns, max(US, used_ns - self._set_up_ns))
        record["attempts"] += done_ns // US
        is_done = done_ns == left_ns
        record["exhausted"] = is_done
        record["depth"] = not is_done
        # At the first member of the next algorithm, as a cursor has to be.
        record["cursor"][0, 0] = 0 if is_done else len(self._costs_us)
        answer = Answer(
            key=asked.key,
            number=asked.number,
            how=How.EXHAUSTED if is_done else How.LIMIT,
            record=record,
            used_ns=used_ns,
            set_up_ns=min(used_ns, self._set_up_ns),
        )
        message = answer.to_bytes()
        future: Future[bytes] = Future()
        came_ns = world.now_ns + used_ns + round(ROUND_TRIP_S * S)
        world.at(came_ns, lambda: future.set_result(message))
        return future

    def tell_stop(self, key: bytes) -> None:
        pass

    def suspect(self, future: Future[bytes]) -> str:
        return ""

    def end(self, key: bytes) -> None:
        pass

    def state(self) -> EngineState:
        return EngineState(self.n_slots)


class WorldTurns(remote.LeasedTurns):
    """Turns by the world's clock; those of small starters only take their time."""

    world: World
    costs_us: np.ndarray

    def new_control(self, deadline_ns: int, wall_ns: int) -> RemoteControl:
        control = super().new_control(deadline_ns, wall_ns)
        control.changed = WorldEvent(self.world)  # type: ignore[assignment]
        return control

    def run(self, record: Any, control: Any, heaps: Any, max_attempts: int) -> int:
        cost_us = int(self.costs_us[record["variation_idx"][0]])
        if cost_us < SMALL_S * 1e6:
            self.world.sleep(US * cost_us)
            record["attempts"] = cost_us
            record["exhausted"] = 1
            return How.EXHAUSTED
        return remote._Turn(self, record, control, heaps, max_attempts).run()


# ---- one search


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated search; `efficiency`: work done over slots and time."""

    efficiency: float
    seconds: float
    leases_per_s: float
    cpu_ms_a_lease: float


def simulate(costs_s: Sequence[float], n_slots: int, budget_s: float, set_up_s: float) -> Run:
    """Search starters of these costs, in this order."""
    world = World()
    n = len(costs_s)
    costs_us = np.maximum(1, np.round(1e6 * np.array(costs_s))).astype(np.int64)
    # The first algorithm's are searched, the others are there for cursors to point to.
    panel = with_starters(generator.make_week(n_algos=10, n_variations=1, n_tickers=64), n)
    engine = MadeUpEngine(world, costs_us, n_slots, round(set_up_s * S))
    settings = SearchSettings(budget_s=budget_s, rules=RULES)
    began_s = time.process_time()
    turns = WorldTurns(engine, panel, settings, lambda: False, world.clock_ns)
    turns.world = world
    turns.costs_us = costs_us
    records = np.zeros(n, STARTER_DTYPE)
    records["variation_idx"] = np.arange(n)

    def turn(starter_idx: int, control: RemoteControl) -> int:
        record = records[starter_idx : starter_idx + 1].copy()
        how = turns.run(record, control, {3: TopGroups(3, 1)}, 0)
        records[starter_idx] = record[0]
        return how

    pool = _Pool(
        Ledger(n, n_slots, round(budget_s * S), min_grant_ns=turns.min_grant_ns),
        turn,
        turns.new_control,
        world.clock_ns,
        0,
        threading.Event(),
    )
    world.run([lambda idx=idx: pool.work(idx) for idx in range(min(n_slots, n))])
    if pool.error is not None:
        raise pool.error
    seconds = pool.outcome().ended_ns / S
    work_s = float(np.minimum(records["attempts"], costs_us).sum()) / 1e6
    run = Run(
        efficiency=work_s / (n_slots * seconds),
        seconds=seconds,
        leases_per_s=engine.n_leases / seconds,
        cpu_ms_a_lease=1e3 * (time.process_time() - began_s) / max(1, engine.n_leases),
    )
    print(n, n_slots, run, file=sys.stderr, flush=True)
    return run


def with_starters(panel: Any, n: int) -> Any:
    """A panel of n variations of one algorithm, and one of each other."""
    counts = [n, *[1] * (len(panel.algos) - 1)]
    rows = np.repeat(np.arange(len(counts)), counts)
    return replace(
        panel,
        variations=tuple(map(str, range(len(rows)))),
        algo_of=rows.astype(np.int32),
        buys=panel.buys[rows],
    )


# ---- the starters


def measure() -> None:
    """Measure every sixth starter of the generated week, in running order."""
    panel = generator.make_week(n_variations=N_MEASURED // 10, n_tickers=3000)
    kernel = measured.plain_kernel(panel, Rules())
    seconds = []
    for starter in running_order(panel)[STEP // 2 :: STEP]:
        run = measured.run_once(kernel, Rules(), [int(starter)])
        seconds.append(round(run.seconds, 5))
    COSTS.write_text(json.dumps(seconds) + "\n")


def measured_costs() -> list[float]:
    """Seconds of the starters of 1,140 variations."""
    return [seconds for seconds in json.loads(COSTS.read_text()) for _ in range(STEP)]


def large_costs() -> list[float]:
    """Seconds of those of 10,000 variations."""
    known = measured_costs()
    times = N_LARGE / N_MEASURED
    return [known[int(starter / times)] * times**3 for starter in range(N_LARGE)]


def pieces(costs_s: Sequence[float], n_slots: int, set_up_s: float) -> list[float]:
    """Cut starters into pieces of a quarter of a slot's work, of 20 set-ups at least."""
    largest_s = max(sum(costs_s) / (4 * n_slots), 20 * set_up_s)
    cut: list[float] = []
    for cost_s in costs_s:
        n = max(1, int(-(-cost_s // largest_s)))
        cut += [cost_s / n] * n
    return sorted(cut, reverse=True)


# ---- the table


@dataclass(frozen=True, slots=True)
class Row:
    """Searches of one panel at so many slots."""

    panel: str
    n_slots: int
    whole: Run
    walled: Run
    split: Run


def row(name: str, costs_s: Sequence[float], n_slots: int, set_up_s: float) -> Row:
    total_s = sum(costs_s)
    # Enough for all, in whatever order the last ones come.
    enough_s = 3 * total_s / n_slots + 5 * max(costs_s) + 60
    third_s = max(10.0, total_s / n_slots / 3)
    return Row(
        name,
        n_slots,
        simulate(costs_s, n_slots, enough_s, set_up_s),
        simulate(costs_s, n_slots, third_s, set_up_s),
        simulate(pieces(costs_s, n_slots, set_up_s), n_slots, enough_s, set_up_s),
    )


def table(rows: Sequence[Row]) -> str:
    header = (
        "panel",
        "slots",
        "complete",
        "takes",
        "split: complete",
        "gain",
        "to its wall",
        "leases/s",
        "CPU a lease, ms",
    )
    return measured.markdown(header, map(cells, rows))


def cells(found: Row) -> list[str]:
    """Format a row."""
    whole = found.whole
    return [
        found.panel,
        f"{found.n_slots:,}",
        f"{whole.efficiency:.0%}",
        duration(whole.seconds),
        f"{found.split.efficiency:.0%}",
        f"{whole.seconds / found.split.seconds:.2f}",
        f"{found.walled.efficiency:.0%}",
        f"{whole.leases_per_s:.1f}",
        f"{whole.cpu_ms_a_lease:.2f}",
    ]


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="*", default=[10, 100, 1000, 3000, 10_000])
    parser.add_argument("--measure", action="store_true", help="measure the starters again")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args()
    if arguments.measure:
        measure()
    # A look of every proxy at the world once a second is not simulated.
    remote.TICK_NS = 3600 * S
    few = [n_slots for n_slots in arguments.slots if n_slots <= MOST_OF_SMALL]
    rows = [row("1,140 x 3,000", measured_costs(), n_slots, SMALL_SET_UP_S) for n_slots in few]
    rows += [
        row("10,000 x 3,000", large_costs(), n_slots, LARGE_SET_UP_S) for n_slots in arguments.slots
    ]
    if arguments.json:
        measured.print_json([asdict(found) for found in rows])
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
