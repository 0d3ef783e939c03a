"""An engine of a dask client: workers of a cluster that someone else has started.

Everything runs as coroutines on the client's own loop, so no call of this module blocks, and a
worker that does not respond holds up nothing but its own coroutine. Threads get a worker each, so
that leases never queue behind one another; dask may move a lease to another worker when that one is
gone.

Of dask only tasks and `Client.run` are used: what else reaches workers (events, queues, variables,
actors) costs a round trip through the scheduler at every look, or is lost with its worker.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from mp2.errors import InputError, named
from mp2.groups.engines import lease
from mp2.groups.engines.engine import ContentOf, EngineState, failed_future
from mp2.groups.engines.handshake import Hello, hello
from mp2.groups.settings import MAX_WORKERS

BEGIN_S = 10.0
LOOK_S = 5.0
"""How often workers that came and went are looked for: one round trip to the scheduler."""
_WAIT_S = 0.02

LARGE_BYTES = 1_000_000
FEW_WORKERS = 4
"""To more workers a large panel is passed on from one to the next."""


class DaskEngine:
    """The workers of a client, which stays open; one engine serves one search."""

    def __init__(self, client: Any, slots: int | None = None) -> None:
        if client.asynchronous:
            raise InputError("executor: give a dask Client that is not asynchronous")
        self.n_slots = slots or MAX_WORKERS
        self._most_slots = self.n_slots
        self._client = client
        self._threads_of: dict[str, int] = {}
        self._hello_of: dict[str, Hello] = {}
        self._left_out: set[str] = set()
        self._lock = threading.Lock()
        self._slot = threading.local()
        self._slot_numbers = itertools.count()
        self._worker_of: list[str] = []
        self._n_suspected: Counter[str] = Counter()
        self._ended = False

    # ---- at the begin

    def begin(
        self,
        key: bytes,
        content_of: ContentOf,
        is_over: Callable[[], bool],
    ) -> Sequence[Hello]:
        """Greet the workers there are; those that do not respond in time get no lease of ours."""
        greeting = self._spawn(self._greet_all(key, content_of))
        give_up_s = time.monotonic() + BEGIN_S
        while not greeting.done() and time.monotonic() < give_up_s and not is_over():
            time.sleep(_WAIT_S)
        if greeting.done():
            # What was wrong with the scheduler itself.
            greeting.result()
        with self._lock:
            greeted = dict(self._hello_of)
        if not greeted:
            known = named(list(self._threads_of), 3) or "none are connected"
            raise InputError(f"dask: no worker responds ({known}); start some with dask worker")
        self._place()
        self._spawn(self._keep_looking())
        return list(greeted.values())

    async def _greet_all(self, key: bytes, content_of: ContentOf) -> None:
        await self._check_scheduler()
        self._threads_of = dict(await self._client.nthreads())
        n_threads = sum(self._threads_of.values())
        content = content_of(min(self._most_slots, n_threads))
        data: Any = content
        is_large = len(content) > LARGE_BYTES and len(self._threads_of) > FEW_WORKERS
        # The replicas need not last: what `greet` keeps is a copy.
        if is_large:
            data = await self._client.scatter(content, broadcast=True, hash=False)
        greetings = [self._greet(worker, key, data, is_large) for worker in self._threads_of]
        # Who fails or never responds is not in `_hello_of`, and gets no lease.
        await asyncio.gather(*greetings, return_exceptions=True)

    async def _check_scheduler(self) -> None:
        """Check what unpickles our tasks on their way; raises `InputError`."""
        try:
            said = await self._client.run_on_scheduler(lease.introduce)
        except Exception as error:
            raise InputError(
                f"dask: the scheduler cannot import this mp2 ({type(error).__name__}: {error}); "
                "install the same version there"
            ) from None
        problem = Hello.from_bytes(said).problem(hello())
        if problem is not None:
            raise InputError(f"dask: the scheduler at {problem}; install the same version there")

    async def _greet(
        self,
        worker: str,
        key: bytes,
        data: Any,
        is_large: bool,
    ) -> None:
        if is_large:
            task = self._client.submit(
                lease.greet,
                key,
                data,
                pure=False,
                workers=[worker],
                allow_other_workers=False,
            )
            said = await task
        else:
            said = (await self._client.run(lease.greet, key, data, workers=[worker]))[worker]
        with self._lock:
            self._hello_of[worker] = Hello.from_bytes(said)

    def leave_out(self, workers: Sequence[Hello]) -> None:
        """Give no lease to these workers; `InputError` if none is left."""
        with self._lock:
            for worker, said in self._hello_of.items():
                if said in workers:
                    self._left_out.add(worker)
            is_left = self._hello_of.keys() - self._left_out
        if not is_left:
            places = named([said.place for said in workers], 3)
            raise InputError(
                f"dask: no worker has the same mp2 as this process ({places}); install the same "
                "version everywhere"
            )
        self._place()

    def _place(self) -> None:
        """Give each slot a thread of a worker: the first of each worker, then the second, ..."""
        with self._lock:
            workers = [name for name in self._hello_of if name not in self._left_out]
            threads = [self._threads_of[name] for name in workers]
            places = []
            # Few slots are spread over all workers, whose memory each has to itself.
            for thread in range(max(threads)):
                for name, n_threads in zip(workers, threads, strict=True):
                    if thread < n_threads:
                        places.append(name)
            self._worker_of = places[: self._most_slots]
            self.n_slots = len(self._worker_of)

    # ---- while it runs

    def submit(
        self,
        order: bytes,
        content: bytes | None,
    ) -> Future[bytes]:
        """Have a lease run at the worker of the calling thread, or at another if that is gone."""
        return self._spawn(self._lease(order, content, self._worker()))

    async def _lease(
        self,
        order: bytes,
        content: bytes | None,
        worker: str,
    ) -> bytes:
        data: Any = content
        # Within a task it would travel through the scheduler.
        if content is not None and len(content) > LARGE_BYTES:
            data = await self._client.scatter(content, hash=False)
        task = self._client.submit(
            lease.lease,
            order,
            data,
            pure=False,
            workers=[worker],
            allow_other_workers=True,
            priority=10,
            retries=0,
        )
        try:
            answer: bytes = await task
            return answer
        except asyncio.CancelledError:
            # Of a lease that is given up: it may still be queued.
            if not task.done():
                self._spawn(task.cancel())
            raise
        finally:
            # The client keeps failed tasks otherwise.
            task.release()

    def tell_stop(self, key: bytes) -> None:
        """Stop the leases at all workers that can be reached."""
        self._tell_all(lease.stop, key)

    def suspect(self, future: Future[bytes]) -> str:
        """Move the calling thread's slot to the worker that has been suspected least."""
        slot = self._own_slot()
        with self._lock:
            worker = self._worker_of[slot]
            # For good: a worker that was late once may stand still.
            self._n_suspected[worker] += 1
            self._move(slot)
            said = self._hello_of.get(worker)
        return said.place if said is not None else worker

    def end(self, key: bytes) -> None:
        """Have all workers forget the search."""
        self._ended = True
        self._tell_all(lease.forget, key)

    def state(self) -> EngineState:
        """Return the threads of the workers that are known to live."""
        with self._lock:
            alive = set(self._threads_of)
            n_alive = sum(worker in alive for worker in self._worker_of)
        return EngineState(n_alive, self._client.status == "running")

    def _own_slot(self) -> int:
        if not hasattr(self._slot, "number"):
            self._slot.number = next(self._slot_numbers) % len(self._worker_of)
        number: int = self._slot.number
        return number

    def _worker(self) -> str:
        """The worker of the calling thread; a lost one is replaced."""
        slot = self._own_slot()
        with self._lock:
            if self._worker_of[slot] not in self._threads_of:
                self._move(slot)
            return self._worker_of[slot]

    def _move(self, slot: int) -> None:
        """Give a slot another worker, with the lock held; it keeps its own if there is none."""
        n_used = Counter(self._worker_of)
        own = self._worker_of[slot]
        others = [name for name in self._threads_of if name not in self._left_out | {own}]
        if others:
            self._worker_of[slot] = min(
                others,
                key=lambda name: (
                    self._n_suspected[name],
                    n_used[name] / self._threads_of[name],
                ),
            )

    async def _keep_looking(self) -> None:
        """Follow which workers there are until the search ends."""
        while not self._ended:
            await asyncio.sleep(LOOK_S)
            try:
                threads_of = dict(await self._client.nthreads())
            # Disconnected; `state` says so.
            except Exception:
                continue
            with self._lock:
                self._threads_of = threads_of

    def _tell_all(self, call: Callable[[bytes], None], key: bytes) -> None:
        # One call each, so that one that does not respond holds up no other.
        for worker in list(self._threads_of):
            self._spawn(self._tell(worker, call, key))

    async def _tell(
        self,
        worker: str,
        call: Callable[[bytes], None],
        key: bytes,
    ) -> None:
        await self._client.run(call, key, workers=[worker], on_error="ignore")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine on the client's loop; one that cannot run there is a failed future."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._client.loop.asyncio_loop)
        except Exception as error:
            work.close()
            return failed_future(error)
