"""Paths as users name them."""

from pathlib import Path

import pytest

from mp2._files import expanded
from mp2.cli.settings import find
from mp2.data.opening import open_table
from mp2.errors import InputError


def test_a_tilde_is_the_home_and_an_unknown_user_stays_a_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/a.csv") == Path("/home/me/a.csv")
    assert expanded("~nosuch/a.csv") == Path("~nosuch/a.csv")


def test_a_file_named_like_the_home_of_an_unknown_user_is_read(here):
    Path("~s.csv").write_text("a,b\n1,2\n")
    with open_table("~s.csv", "table") as table:
        assert table.columns == ("a", "b")


def test_a_null_character_is_reported():
    with pytest.raises(InputError, match=r"^a\\x00b\.csv: holds a null character; take it out$"):
        expanded("a\0b.csv")


def test_settings_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mp2.toml").write_bytes(b"\xef\xbb\xbf[search]\nbudget = '5s'\n")
    assert find(tmp_path / "mp2.toml").tables == {"search": {"budget": "5s"}}


def test_a_settings_file_whose_name_is_too_long_is_reported():
    with pytest.raises(
        InputError, match=r"x: File name too long; name a settings file that can be read$"
    ):
        find(Path("x" * 300))
