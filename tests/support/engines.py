"""An engine for tests: leases run in threads of this process, and go wrong by script."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import strategies

from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.groups.engines import lease
from mp2.groups.engines.engine import EngineState
from mp2.groups.engines.handshake import Hello, hello
from mp2.groups.engines.jobs import is_job
from mp2.groups.engines.messages import Order


def panel_of(sizes, n_tickers=100, density=0.6, copies=False):
    """Make a panel by chance; with copies, every second variation is that before it."""
    rng = np.random.default_rng(1)
    n_variations = sum(sizes)
    buys = bitset.pack(rng.random((n_variations, 5, n_tickers)) < density)
    if copies:
        buys[1::2] = buys[::2]
    return SignalPanel(
        algos=tuple(f"A{a}" for a in range(len(sizes))),
        variations=tuple(f"v{i}" for size in sizes for i in range(size)),
        algo_of=np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
        days=tuple(f"2026-01-{day + 1:02d}" for day in range(5)),
        tickers=tuple(strategies.ticker_names(n_tickers)),
        buys=buys,
        wins=bitset.pack(rng.random((5, n_tickers)) < 0.6),
        base_win_rates=np.linspace(48.0, 55.0, 5),
        warnings=(),
        fingerprint="f" * 64,
    )


Script = Callable[[Order, Callable[[], bytes]], bytes]
"""Gets an order and what runs it; returns its answer, or raises what the future raises."""


class NeverError(Exception):
    """Raised by a script: the future is never done."""


def honest(order: Order, run: Callable[[], bytes]) -> bytes:
    """Run every order."""
    return run()


@dataclass
class FakeEngine:
    """Slots in threads; `script` decides about each lease, `greet` about the begin."""

    n_slots: int = 2
    script: Script = honest
    workers: list[Hello] = field(default_factory=lambda: [hello()])
    connected: bool = True
    orders: list[Order] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    n_suspected: int = 0
    n_contents: int = 0
    homes: bool = True

    def begin(self, key, content_of, is_over):
        content = content_of(self.n_slots)
        if self.homes:
            lease.greet(key, content)
        return self.workers

    def leave_out(self, workers):
        self.workers = [worker for worker in self.workers if worker not in workers]
        self.n_slots -= len(workers)

    def submit(self, order, content):
        future = Future()
        # Whole jobs are not read: a script gets their bytes.
        read = order if is_job(order) else Order.from_bytes(order)
        self.orders.append(read)
        self.n_contents += content is not None

        def work():
            try:
                answer = self.script(read, lambda: lease.lease(order, content))
            except NeverError:
                return
            except Exception as error:
                future.set_exception(error)
            else:
                # One that was given up may have been cancelled.
                if future.set_running_or_notify_cancel():
                    future.set_result(answer)

        threading.Thread(target=work, daemon=True).start()
        return future

    def tell_stop(self, key):
        self.told.append("stop")
        lease.stop(key)

    def suspect(self, future):
        self.n_suspected += 1
        return "worker-7"

    def end(self, key):
        self.told.append("end")
        lease.forget(key)

    def state(self):
        return EngineState(self.n_slots, self.connected)


def other_version(**changes: object) -> Hello:
    """A worker that differs from this process."""
    return replace(hello(), host="elsewhere", **changes)


def after(seconds: float) -> Script:
    """Run every order, and send each answer so much later."""

    def late(order: Order, run: Callable[[], bytes]) -> bytes:
        answer = run()
        time.sleep(seconds)
        return answer

    return late
