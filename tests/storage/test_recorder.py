"""The store's own thread: it answers, keeps states while a search runs, and outlives a disk that fails for a while."""

import logging
import threading

import pytest

from mp2.errors import StoreError
from mp2.groups.checkpoint import SearchState
from mp2.storage.recorder import Keeper
from mp2.storage.runs import Store


class Recorder:
    """A store that only notes; `save_state` fails as often as it is told to."""

    def __init__(self, n_failures=0):
        self.n_failures, self.saved, self.closed, self.thread = (
            n_failures,
            threading.Semaphore(0),
            False,
            threading.get_ident(),
        )
        self.n_tries = 0

    def save_state(self, run_id, part):
        self.n_tries += 1
        if self.n_tries <= self.n_failures:
            raise StoreError("runs.db: the disk is full")
        self.saved.release()
        return len(part.records)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


class Search:
    """A search whose parts are counted."""

    def __init__(self):
        self.n_taken = self.n_confirmed = 0

    def take(self):
        self.n_taken += 1
        return SearchState()

    def confirm(self):
        self.n_confirmed += 1


def test_answers_come_from_one_thread_and_errors_come_back():
    stores = []
    with Keeper(lambda: stores.append(Recorder()) or stores[0]) as keeper:
        assert keeper.ask(lambda store: store) is stores[0]
        assert (
            keeper.ask(lambda _: threading.get_ident()) == stores[0].thread != threading.get_ident()
        )
        for error in (StoreError("no"), TimeoutError("of its own"), KeyboardInterrupt()):

            def fail(_, error=error):
                raise error

            with pytest.raises(type(error)):
                keeper.ask(fail)
        assert keeper.ask(lambda _: "still there") == "still there"
    assert stores[0].closed
    keeper.close()


def test_what_opening_raises_is_raised_here(tmp_path):
    with pytest.raises(StoreError, match="is a directory"):
        Keeper(lambda: Store(tmp_path))
    assert not any(thread.name == "mp2-store" for thread in threading.enumerate())


def test_states_are_kept_until_released():
    store, search = Recorder(), Search()
    with Keeper(lambda: store, every_s=0.001) as keeper:
        keeper.keep("run", search)
        for _ in range(3):
            assert store.saved.acquire(timeout=30)
        keeper.release()
        n_taken = keeper.ask(lambda _: search.n_taken)
        assert keeper.ask(lambda _: None) is None
    assert search.n_taken == search.n_confirmed == n_taken >= 3


def test_a_state_that_could_not_be_written_is_written_later_and_told_once(caplog):
    store, search = Recorder(n_failures=3), Search()
    with (
        caplog.at_level(logging.DEBUG, "mp2.storage.runs"),
        Keeper(lambda: store, every_s=0.001) as keeper,
    ):
        keeper.keep("run", search)
        assert store.saved.acquire(timeout=30)
        keeper.release()
        keeper.ask(lambda _: None)
        n_confirmed = search.n_confirmed
    assert search.n_taken == n_confirmed + 3
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert warnings == [
        "the state of the search could not be stored, and is tried again: runs.db: the disk is full"
    ]
