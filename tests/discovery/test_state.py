"""The file of cache and quotas: private, shared; a bad one costs a warning and nothing else."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

from mp2.discovery import http
from mp2.discovery.http import state
from mp2.discovery.http.cache import Cache
from mp2.discovery.http.quota import Quotas, parse_rate
from mp2.discovery.http.state import FILE_NAME, StateBusyError, StateFile, state_folder
from mp2.errors import MissingExtraError, SourceError

KEY = "key of a request"


def never():
    pytest.fail("requested although there was an entry")


def works_in_memory(folder):
    """Uses cache and quotas; returns the one warning about the file."""
    warnings = []
    file = StateFile(folder, warn=warnings.append)
    cache, quotas = Cache(file), Quotas(file)
    quotas.limit("host", [parse_rate("1/day")])
    assert [quotas.take("host") > 0 for _ in range(3)] == [False, True, True]
    assert cache.fetch(KEY, 60, lambda: "1", wait=threading.Event.wait) == ("1", "fresh")
    assert cache.fetch(KEY, 60, never, wait=threading.Event.wait) == ("1", "cached")
    file.close()
    file.close()
    (warning,) = warnings
    assert warning.startswith(f"{folder / FILE_NAME}: responses and requests are not kept: ")
    return warning


@pytest.mark.skipif(os.name == "nt", reason="permissions as POSIX has them")
def test_the_file_is_private(tmp_path):
    file = StateFile(tmp_path / "new")
    Cache(file).clear()
    file.close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / FILE_NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but somebody's notes" * 50, b"SQLite format 3\0" + b"\xff" * 4000],
)
def test_a_damaged_file_is_left_alone(tmp_path, content):
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    assert "delete it" in works_in_memory(tmp_path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE response (of_mine)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert "another program" in works_in_memory(tmp_path)
    assert path.read_bytes() == before


def test_a_directory_or_a_file_in_the_way(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    works_in_memory(tmp_path)
    (tmp_path / "file").touch()
    works_in_memory(tmp_path / "file")


@pytest.mark.parametrize("is_open", [True, False])
def test_a_locked_file_keeps_its_counts(tmp_path, monkeypatch, is_open):
    monkeypatch.setattr(state, "_BUSY_S", 0.01)
    counted = StateFile(tmp_path)
    first = Quotas(counted)
    first.limit("host", [parse_rate("1/day")])
    assert first.take("host") == 0
    counted.close()
    file = StateFile(tmp_path, warn=pytest.fail)
    if not is_open:
        file.close()
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    if not is_open:
        file = StateFile(tmp_path, warn=pytest.fail)
    quotas = Quotas(file)
    quotas.limit("host", [parse_rate("1/day")])
    cache = Cache(file)
    assert 0 < quotas.take("host") < 1
    # Nothing can be looked up or kept meanwhile, so each asks for itself.
    assert cache.fetch(KEY, 60, lambda: "1", wait=threading.Event.wait) == ("1", "fresh")
    assert cache.fetch(KEY, 60, lambda: "2", wait=threading.Event.wait) == ("2", "fresh")
    with pytest.raises(StateBusyError, match="try again"):
        cache.clear()
    holder.close()
    assert quotas.take("host") > 80_000
    file.close()


def test_a_file_damaged_while_it_is_used(tmp_path):
    warnings = []
    file = StateFile(tmp_path, warn=warnings.append)
    cache = Cache(file)
    cache.fetch(KEY, 60, lambda: "1", wait=threading.Event.wait)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("DROP TABLE response")
    connection.close()
    assert cache.fetch(KEY, 60, lambda: "2", wait=threading.Event.wait) == ("2", "fresh")
    assert cache.fetch(KEY, 60, never, wait=threading.Event.wait) == ("2", "cached")
    assert len(warnings) == 1
    file.close()


def test_a_closed_file_is_not_opened_again(tmp_path):
    file = StateFile(tmp_path, warn=pytest.fail)
    file.close()
    with pytest.raises(SourceError, match="cancelled"):
        Cache(file).clear()


def test_the_state_folder_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "mp2"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_folder().name == "mp2"
    assert Path.home() in state_folder().parents


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    for name in ("client", "connection", "request"):
        path = f"mp2.discovery.http.{name}"
        # Restored at the end, for the modules of other tests.
        monkeypatch.setattr(http, name, import_module(path))
        monkeypatch.delitem(sys.modules, path)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mp2\[net\]'"):
        import_module("mp2.discovery.http.client")
