"""The one thread that writes to the store: everybody else asks it, and a running search never waits for it.

SQLite before 3.51.3 can damage a write-ahead log when two connections of one file write at the same instant
(sqlite.org/wal.html#walresetbug), so a process has one connection, and the connection one thread.

While a search runs its state is written every `EVERY_S` seconds, or less often where writing takes long: never more than a
twentieth of the time. A part that could not be written is written with the next one; the search goes on meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from mp2._recurse import now_ns
from mp2.groups.checkpoint import Resumable
from mp2.storage.runs import Store

EVERY_S = 1.0
_SHARE = 20
_POLL_S = 0.2

ResultT = TypeVar("ResultT")
_log = logging.getLogger("mp2.storage.runs")


class Keeper:
    """A store in a thread of its own, closed by `with` or `close`. `open_store` is called in that thread.

    Raises here what `open_store` raises.
    """

    def __init__(self, open_store: Callable[[], Store], *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._asked: queue.SimpleQueue[tuple[Callable[[Store], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._kept: tuple[str, Resumable] | None = None
        self._warned = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(open_store, opened), name="mp2-store", daemon=True
        )
        self._thread.start()
        self._result(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file once all that was asked is done; calling it again does nothing."""
        self._asked.put(None)
        while self._thread.is_alive():
            self._thread.join(_POLL_S)

    def ask(self, what: Callable[[Store], ResultT]) -> ResultT:
        """What `what` returns, or raises, when the store's thread calls it."""
        answer: Future[ResultT] = Future()
        self._asked.put((what, answer))
        return self._result(answer)

    def post(self, what: Callable[[Store], object]) -> None:
        """Have the store's thread call `what`, in turn, without waiting for it; `what` has to mind its own errors."""
        self._asked.put((what, Future()))

    def keep(self, run_id: str, search: Resumable) -> None:
        """From now on write the state of a running run again and again, until it ends."""
        self._kept = run_id, search

    def release(self) -> None:
        """Write no more states."""
        self._kept = None

    def _result(self, answer: Future[ResultT]) -> ResultT:
        """The answer, waited for in short waits, so that signal handlers run."""
        while True:
            try:
                return answer.result(timeout=_POLL_S)
            except TimeoutError:
                if answer.done():
                    raise
                if not self._thread.is_alive() and not answer.done():
                    raise RuntimeError("the store's thread has ended") from None

    def _work(self, open_store: Callable[[], Store], opened: Future[None]) -> None:
        try:
            store = open_store()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        with store:
            self._serve(store)

    def _serve(self, store: Store) -> None:
        due_ns = now_ns() + round(self._every_s * 1e9)
        while True:
            try:
                asked = self._asked.get(timeout=max(0.0, (due_ns - now_ns()) / 1e9))
            except queue.Empty:
                started_ns = now_ns()
                self._write_state(store)
                wait_s = max(self._every_s, _SHARE * (now_ns() - started_ns) / 1e9)
                due_ns = now_ns() + round(wait_s * 1e9)
                continue
            if asked is None:
                return
            _answer(store, *asked)

    def _write_state(self, store: Store) -> None:
        kept = self._kept
        if kept is None:
            return
        run_id, search = kept
        try:
            part = search.take()
            n_exhausted = store.save_state(run_id, part)
            search.confirm()
        except Exception as error:  # also what no store raises, such as want of memory: whoever asks next wants an answer
            if not self._warned:
                _log.warning(
                    "the state of the search could not be stored, and is tried again: %s", error
                )
            self._warned = True
            return
        self._warned = False
        _log.debug("stored the state of run %s: %d more starters finished", run_id, n_exhausted)


def _answer(store: Store, what: Callable[[Store], Any], answer: Future[Any]) -> None:
    try:
        answer.set_result(what(store))
    except BaseException as error:
        answer.set_exception(error)
