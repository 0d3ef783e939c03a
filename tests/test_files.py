"""Files are made so that their owner can use them, and nobody else where they are private."""

import os
import sys

import pytest

from mp2._files import make_folder, make_new, make_private, write_private


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_owner_may_use_what_is_made_under_any_umask(tmp_path):
    former = os.umask(0o777)
    try:
        make_private(tmp_path / "private")
        make_new(tmp_path / "new")
        write_private(tmp_path / "written", "text")
        make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"private": 0o600, "new": 0o600, "written": 0o600, "a": 0o700, "b": 0o700}
