"""An engine of any executor of PEP 3148: threads, processes, loky, MPI, batch systems.

Executors cannot say which worker runs a call, and have no way to reach a busy one. So panels go to
workers when they ask for them, and a stop waits for running leases at most as long as `remote`
does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from typing import Any

from mp2.errors import InputError
from mp2.groups.engines import lease
from mp2.groups.engines.engine import ContentOf, EngineState, failed_future
from mp2.groups.engines.handshake import Hello

BEGIN_S = 10.0
_LOOK_S = 0.05


class ExecutorEngine:
    """An executor's workers; the executor stays the caller's, and stays open."""

    def __init__(self, executor: Executor, n_slots: int) -> None:
        self.n_slots = n_slots
        self._executor = executor

    def begin(
        self,
        key: bytes,
        content_of: ContentOf,
        is_over: Callable[[], bool],
    ) -> Sequence[Hello]:
        """Greet so many times as there are slots: it starts the workers of most executors."""
        content = content_of(self.n_slots)
        pending = {self._submit(lease.greet, key, content) for _ in range(self.n_slots)}
        greeted: list[Hello] = []
        failures: list[BaseException] = []
        for _ in range(round(BEGIN_S / _LOOK_S)):
            done, pending = wait(pending, timeout=_LOOK_S)
            for future in done:
                failure = future.exception()
                if failure is not None:
                    failures.append(failure)
                else:
                    greeted.append(Hello.from_bytes(future.result()))
            # Who is not greeted yet may start later: it gets the panel when it asks for it.
            if not pending or is_over():
                break
        if failures and not greeted:
            raise InputError(
                f"executor: no worker could begin ({type(failures[0]).__name__}: {failures[0]}); "
                "mp2 has to be installed where it runs, and a script that starts processes needs "
                'its calls below if __name__ == "__main__":'
            )
        return greeted

    def leave_out(self, workers: Sequence[Hello]) -> None:
        """Raise `InputError`: an executor chooses workers itself."""
        places = ", ".join(worker.place for worker in workers)
        raise InputError(
            f"executor: {places} has another build of mp2 than this process; install the same "
            "version everywhere"
        )

    def submit(
        self,
        order: bytes,
        content: bytes | None,
    ) -> Future[bytes]:
        """Have a lease run."""
        return self._submit(lease.lease, order, content)

    def tell_stop(self, key: bytes) -> None:
        """Stop the leases of threads; other processes cannot be reached."""
        # A call that is submitted now would wait for the leases that it is to stop.
        lease.stop(key)

    def suspect(self, future: Future[bytes]) -> str:
        """Do nothing: an executor chooses workers itself."""
        return ""

    def end(self, key: bytes) -> None:
        """Have the workers forget the search; those that are missed do it by themselves."""
        lease.forget(key)
        # Which worker gets a call is up to the executor: some may get two of them, some none.
        for _ in range(self.n_slots):
            self._submit(lease.forget, key)

    def state(self) -> EngineState:
        """Return all slots: an executor does not say which of them live."""
        return EngineState(self.n_slots)

    def _submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        try:
            return self._executor.submit(call, *args)
        # A broken executor raises what it likes.
        except Exception as error:
            return failed_future(error)
