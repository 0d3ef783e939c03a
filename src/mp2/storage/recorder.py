"""Storing a search while it runs: the thread that writes, and what is written when.

SQLite before 3.51.3 can damage a write-ahead log when two connections of one file write at the same
moment (sqlite.org/wal.html#walresetbug). Therefore a process has one writing connection, and the
connection one thread. All others call into that thread, and a running search never waits for it.

The state of a search is written every second, or less often where writing takes long: never more
than a twentieth of the time. A part that could not be written is written with the next one, while
the search goes on. When its result cannot be stored, it is written to a JSON file instead.
"""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from mp2._files import write_private
from mp2._intervals import DISPLAY_S
from mp2._json import encode
from mp2._recurse import now_ns
from mp2.errors import Mp2Error, StoreError
from mp2.groups.checkpoint import Resumable, SearchState
from mp2.groups.result import SearchResult
from mp2.picks.records import DayPicks
from mp2.storage.request import Request
from mp2.storage.runs import Store

CHECKPOINT_S = 1.0
# Writing may take one part in so many of the time.
_SHARE = 20

ResultT = TypeVar("ResultT")
Work = Callable[[Store], object]
_log = logging.getLogger("mp2.storage.runs")


class WriterThread:
    """A store in a thread of its own, closed by `with` or `close`.

    `open_store` is called in that thread; what it raises is raised here.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._calls: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._repeated: Work | None = None
        self._every_s = CHECKPOINT_S
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(open_store, opened), name="mp2-store", daemon=True
        )
        self._thread.start()
        self._wait(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store once all calls are done; calling it again does nothing."""
        # Ends the thread once the calls before it are done.
        self._calls.put(None)
        while self._thread.is_alive():
            self._thread.join(DISPLAY_S)

    def call(self, work: Callable[[Store], ResultT]) -> ResultT:
        """Call `work` in the store's thread; return what it returns, raise what it raises."""
        result: Future[ResultT] = Future()
        self._calls.put((work, result))
        return self._wait(result)

    def post(self, work: Work) -> None:
        """Have the store's thread call `work` in turn, without waiting; its errors are dropped."""
        self._calls.put((work, Future()))

    def repeat(
        self,
        work: Work | None,
        every_s: float = CHECKPOINT_S,
    ) -> None:
        """Call `work` every `every_s` seconds from now on, until replaced; None ends it.

        `work` handles its own errors.
        """
        self._repeated = work
        self._every_s = every_s
        # Wakes the thread, which waits by the interval of before.
        self.post(lambda store: None)

    def _wait(self, result: Future[ResultT]) -> ResultT:
        while True:
            try:
                return result.result(timeout=DISPLAY_S)
            except TimeoutError:
                if result.done():
                    # Raised by the work itself.
                    raise
                if not self._thread.is_alive() and not result.done():
                    raise RuntimeError("the store's thread has ended") from None

    def _run(
        self,
        open_store: Callable[[], Store],
        opened: Future[None],
    ) -> None:
        try:
            store = open_store()
        except BaseException as error:
            # Not only `Exception`: the constructor waits for an answer.
            opened.set_exception(error)
            return
        opened.set_result(None)
        with store:
            self._serve(store)

    def _serve(self, store: Store) -> None:
        last_ns = now_ns()
        wait_s = self._every_s
        while True:
            left_s = wait_s - (now_ns() - last_ns) / 1e9
            try:
                call = self._calls.get(timeout=max(0.0, left_s))
            except queue.Empty:
                started_ns = now_ns()
                if self._repeated is not None:
                    self._repeated(store)
                last_ns = now_ns()
                wait_s = max(self._every_s, _SHARE * (last_ns - started_ns) / 1e9)
                continue
            if call is None:
                return
            work, result = call
            try:
                result.set_result(work(store))
            except BaseException as error:
                # Raised where the call was made; this thread goes on serving.
                result.set_exception(error)
            wait_s = min(wait_s, self._every_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """Where and how a run is stored.

    - `db`: the database, None for no storing.
    - `run_id`: the stored run to resume; None begins one.
    - `every_s`: seconds between two writes of a running search's state.
    - `on_begin(run_id)` is called once the run is in the store.
    """

    db: Path | None = None
    run_id: str | None = None
    every_s: float = CHECKPOINT_S
    on_begin: Callable[[str], None] | None = None


class Recorder:
    """Follows a search without storing it. `RunRecorder` stores it in the same steps.

    A search gets it as its recorder; `keep` takes the result, `finish` ends the run.

    - `run_id`: the id of the run, None when nothing is stored.
    - `resume_from`: the state that the search continues, None for a new one.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.resume_from: SearchState | None = None
        self._result: SearchResult | None = None

    def watch(self, search: Resumable) -> None:
        """Receive the search before it begins."""

    def keep(self, result: SearchResult) -> SearchResult:
        """Take the result, which is stored from now on even if what follows fails.

        Returns it with the run's id.
        """
        self._result = replace(result, run_id=self.run_id)
        return self._result

    def finish(self, picks: DayPicks | None = None) -> SearchResult:
        """End the run. Returns the result; with `store_error` when it could not be stored."""
        if self._result is None:
            raise RuntimeError("there is no result yet: call keep first")
        return self._result


class RunRecorder(Recorder):
    """Stores one search: its state while it runs, then its result and picks."""

    def __init__(
        self,
        writer: WriterThread,
        db: Path,
        every_s: float = CHECKPOINT_S,
    ) -> None:
        super().__init__()
        self._writer = writer
        self._db = db
        self._every_s = every_s
        self._search: Resumable | None = None
        self._warned = False

    def begin(
        self,
        request: Request,
        input_fingerprint: str,
        run_id: str | None = None,
    ) -> None:
        """Begin a run, or resume the stored run `run_id`; raises what the store raises."""
        if run_id is None:
            begin = partial(Store.begin, request=request, input_fingerprint=input_fingerprint)
            self.run_id = self._writer.call(begin)
            return
        self.run_id = run_id
        self.resume_from = self._writer.call(
            lambda store: store.resume(run_id, request, input_fingerprint=input_fingerprint)
        )

    def watch(self, search: Resumable) -> None:
        """Write the state of the search from now on, while it runs."""
        self._search = search
        self._writer.repeat(self._checkpoint, self._every_s)

    def finish(self, picks: DayPicks | None = None) -> SearchResult:
        """Store the result and the picks. Returns the result with the time that took.

        When the store fails the result is of no stored run. It is written whole to a file, and
        `store_error` says where.
        """
        result = super().finish(picks)
        started_ns = now_ns()
        # The state goes with the result: a checkpoint after it would find an ended run.
        self._writer.repeat(None)
        state = None if self._search is None else self._search.take()
        run_id = str(self.run_id)
        try:
            self._writer.call(lambda store: store.finish(run_id, result, state, picks))
        except StoreError as error:
            problem = f"{error}; {_rescue(result, self._db)}"
            return replace(result, run_id=None, store_error=problem)
        store_s = (now_ns() - started_ns) / 1e9
        # The result is stored by now; only its storing time may be lost.
        with suppress(Mp2Error):
            self._writer.call(lambda store: store.set_store_s(run_id, store_s))
        return replace(result, store_s=store_s)

    def end_after_error(self) -> None:
        """Store the result if there is one, else mark the run as failed; its state stays."""
        if self._result is not None:
            self.finish()
            return
        self._writer.repeat(None)
        self._writer.call(lambda store: store.abandon(str(self.run_id)))

    def _checkpoint(self, store: Store) -> None:
        """Write what has changed since the last time; report a failure once in a row."""
        search = self._search
        if search is None:
            return
        try:
            n_exhausted = store.save_state(str(self.run_id), search.take())
            search.confirm()
        except Exception as error:
            # Any error, such as a lack of memory: the thread has to serve the calls that follow.
            if not self._warned:
                _log.warning("the state of the search could not be stored; retrying: %s", error)
            self._warned = True
            return
        self._warned = False
        _log.debug(
            "stored the state of run %s: %d more starters finished", str(self.run_id), n_exhausted
        )


@contextmanager
def recording(
    request: Request,
    input_fingerprint: str,
    storing: Storing,
) -> Iterator[Recorder]:
    """Record a search as `storing` says.

    A block that raises before its result was kept leaves a failed run, which can be resumed.
    """
    db = storing.db
    if db is None:
        yield Recorder()
        return
    with WriterThread(lambda: Store(db)) as writer:
        recorder = RunRecorder(writer, db, storing.every_s)
        recorder.begin(request, input_fingerprint, storing.run_id)
        if storing.on_begin is not None:
            storing.on_begin(str(recorder.run_id))
        try:
            yield recorder
        except BaseException:
            recorder.end_after_error()
            raise


def _rescue(result: SearchResult, db: Path) -> str:
    """Write the whole result beside the database, or where there is room. Returns where it is."""
    text = encode(result.to_dict())
    # The database's own folder first, then others: its disk may be the one that is full.
    folders = [db.parent, Path()]
    # Looking for the temporary folder writes a file, which raises where every disk is full.
    with suppress(OSError):
        folders.append(Path(tempfile.gettempdir()))
    for folder in folders:
        path = folder / f"mp2-{result.run_id}.json"
        with suppress(OSError):
            write_private(path, text)
            return f"the whole result was written to {path} instead"
    return "nor could it be written to a file: only the output has it"
