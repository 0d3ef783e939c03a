"""Opening a database: private, marked, and a foreign file is refused unchanged."""

import sqlite3
import stat
import threading
from contextlib import closing

import pytest

from mp2._sqlite import ForeignFileError, connect

OURS, OTHER = 0x6D703254, 0x6D703255


def test_a_missing_file_is_created_private_and_marked(tmp_path):
    path = tmp_path / "new.db"
    with closing(connect(path, OURS)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (OURS,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with (
        closing(connect(path, OURS, read_only=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("CREATE TABLE t (x)")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_foreign_file_is_refused_and_unchanged(tmp_path, read_only):
    unmarked, marked = tmp_path / "unmarked.db", tmp_path / "marked.db"
    with closing(sqlite3.connect(unmarked)) as connection:
        connection.execute("CREATE TABLE t (x)")
    connect(marked, OTHER).close()
    for path, tables in ((unmarked, {"t"}), (marked, set())):
        before = path.read_bytes()
        with pytest.raises(ForeignFileError) as caught:
            connect(path, OURS, read_only=read_only)
        assert caught.value.tables == tables
        assert path.read_bytes() == before


def test_reading_creates_nothing(tmp_path):
    path = tmp_path / "absent.db"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(path, OURS, read_only=True)
    assert not path.exists()


def test_a_lock_is_waited_for_only_so_long(tmp_path):
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connect(path, OURS, busy_timeout_s=0.01)


def test_many_may_create_the_same_file_at_once(tmp_path):
    path = tmp_path / "shared.db"
    together = threading.Barrier(6)
    failures = []

    def create():
        try:
            together.wait(10)
            connect(path, OURS).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(connect(path, OURS, read_only=True)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (OURS,)
