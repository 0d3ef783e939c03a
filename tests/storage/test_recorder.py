"""The writer thread serves its calls and survives a failing disk; a recorder stores one search."""

import errno
import json
import logging
import sys
import threading

import pytest
from test_runs import build_picks, build_result

from mp2.errors import InputError, StoreError
from mp2.groups.checkpoint import SearchState
from mp2.groups.settings import SearchSettings
from mp2.storage import recorder as recorder_module
from mp2.storage.recorder import RunRecorder, Storing, WriterThread, recording
from mp2.storage.request import InMemory, Request
from mp2.storage.runs import Store

REQUEST = Request(source=InMemory(holds="signals"), search=SearchSettings(budget_s=5.0, workers=2))


class FakeStore:
    """A store that counts; `save_state` fails the first `n_failures` times."""

    def __init__(self, n_failures=0):
        self.n_failures = n_failures
        self.n_tries = 0
        self.saved = threading.Semaphore(0)
        self.closed = False
        self.thread = threading.get_ident()

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


class FakeSearch:
    """A search whose parts are counted."""

    def __init__(self):
        self.n_taken = 0
        self.n_confirmed = 0

    def take(self):
        self.n_taken += 1
        return SearchState()

    def confirm(self):
        self.n_confirmed += 1


def test_calls_run_in_one_thread_and_errors_come_back():
    stores = []
    with WriterThread(lambda: stores.append(FakeStore()) or stores[0]) as writer:
        assert writer.call(lambda store: store) is stores[0]
        thread = writer.call(lambda _: threading.get_ident())
        assert thread == stores[0].thread != threading.get_ident()
        for error in (StoreError("no"), TimeoutError("of its own"), KeyboardInterrupt()):

            def fail(_, error=error):
                raise error

            with pytest.raises(type(error)):
                writer.call(fail)
        assert writer.call(lambda _: "still there") == "still there"
    assert stores[0].closed
    writer.close()


def test_errors_of_opening_are_raised_to_the_caller(tmp_path):
    with pytest.raises(StoreError, match="is a directory"):
        WriterThread(lambda: Store(tmp_path))
    assert not any(thread.name == "mp2-store" for thread in threading.enumerate())


def test_states_are_written_until_the_search_ends(tmp_path):
    store, search = FakeStore(), FakeSearch()
    with WriterThread(lambda: store) as writer:
        RunRecorder(writer, tmp_path / "runs.db", every_s=0.001).watch(search)
        for _ in range(3):
            assert store.saved.acquire(timeout=30)
        writer.repeat(None)
        n_taken = writer.call(lambda _: search.n_taken)
        assert writer.call(lambda _: None) is None
    assert search.n_taken == search.n_confirmed == n_taken >= 3


def test_a_failed_write_is_retried_and_reported_once(tmp_path, caplog):
    store, search = FakeStore(n_failures=3), FakeSearch()
    with (
        caplog.at_level(logging.DEBUG, "mp2.storage.runs"),
        WriterThread(lambda: store) as writer,
    ):
        RunRecorder(writer, tmp_path / "runs.db", every_s=0.001).watch(search)
        assert store.saved.acquire(timeout=30)
        writer.repeat(None)
        writer.call(lambda _: None)
    assert search.n_taken == search.n_confirmed + 3
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert warnings == [
        "the state of the search could not be stored; retrying: runs.db: the disk is full"
    ]


def test_a_recorded_search_is_stored_with_its_picks(tmp_path):
    db, ids = tmp_path / "runs.db", []
    with recording(REQUEST, "f" * 64, Storing(db=db, on_begin=ids.append)) as recorder:
        assert recorder.resume_from is None
        result = recorder.keep(build_result())
        assert ids == [recorder.run_id] == [result.run_id]
        result = recorder.finish(build_picks(run_id=result.run_id))
    assert result.store_s > 0
    with Store(db, read_only=True) as store:
        assert store.load(result.run_id) == result
        assert store.load_picks(result.run_id) == (build_picks(run_id=result.run_id),)


def test_without_a_database_nothing_is_stored():
    with recording(REQUEST, "f" * 64, Storing()) as recorder:
        recorder.watch(FakeSearch())
        recorder.keep(build_result())
        assert recorder.finish() == build_result()


def test_a_search_that_raises_leaves_a_failed_run(tmp_path):
    db = tmp_path / "runs.db"
    with pytest.raises(MemoryError), recording(REQUEST, "f" * 64, Storing(db=db)):
        raise MemoryError
    with Store(db, read_only=True) as store:
        assert [run.status for run in store.runs()] == ["failed"]


def test_a_result_is_stored_even_if_what_follows_raises(tmp_path):
    db = tmp_path / "runs.db"
    ids = []

    def search_and_fail():
        with recording(REQUEST, "f" * 64, Storing(db=db, on_begin=ids.append)) as recorder:
            recorder.keep(build_result())
            raise InputError("no picks")

    with pytest.raises(InputError, match="no picks"):
        search_and_fail()
    with Store(db, read_only=True) as store:
        assert [run.status for run in store.runs()] == ["wall"]
        assert store.load_picks(ids[0]) == ()


def test_a_result_that_cannot_be_stored_is_written_to_a_file(tmp_path, monkeypatch):
    def full(*_):
        raise StoreError("runs.db: the disk is full")

    monkeypatch.setattr(Store, "finish", full)
    with recording(REQUEST, "f" * 64, Storing(db=tmp_path / "runs.db")) as recorder:
        recorder.keep(build_result())
        result = recorder.finish()
    path = tmp_path / f"mp2-{recorder.run_id}.json"
    assert result.run_id is None
    assert result.store_error == (
        f"runs.db: the disk is full; the whole result was written to {path} instead"
    )
    document = json.loads(path.read_text())
    assert (document["run_id"], document["attempts"]) == (recorder.run_id, 2**70)


def test_a_result_that_no_disk_takes_is_still_returned(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def store_is_full(*_):
        raise StoreError("runs.db: the disk is full")

    monkeypatch.setattr(Store, "finish", store_is_full)
    monkeypatch.setattr(recorder_module, "write_private", full)
    # Looking for the temporary folder writes a file, too.
    monkeypatch.setattr(recorder_module.tempfile, "gettempdir", full)
    with recording(REQUEST, "f" * 64, Storing(db=tmp_path / "runs.db")) as recorder:
        recorder.keep(build_result())
        result = recorder.finish()
    assert result.attempts == 2**70
    assert str(result.store_error).endswith("only the output has it")


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved")
@pytest.mark.parametrize("change", ["delete", "move", "replace"])
def test_a_database_that_is_moved_while_a_run_goes_on_is_a_failure(tmp_path, change):
    db = tmp_path / "runs.db"
    with recording(REQUEST, "f" * 64, Storing(db=db)) as recorder:
        if change == "delete":
            db.unlink()
        else:
            db.rename(tmp_path / "moved.db")
        if change == "replace":
            db.touch()
        recorder.keep(build_result())
        result = recorder.finish()
    assert "was deleted, moved or replaced meanwhile; the whole result" in result.store_error
    assert (tmp_path / f"mp2-{recorder.run_id}.json").exists()
