"""Values and files of settings: what is accepted, and the messages for the rest."""

import click
import pytest

from mp2.cli import settings
from mp2.cli.main import cli
from mp2.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[
            ("90", 90.0),
            (60, 60.0),
            (0.5, 0.5),
            ("30s", 30.0),
            ("1.5m", 90.0),
            ("2 min", 120.0),
            ("2h", 7200.0),
        ],
        *[("250ms", 0.25), ("1D", 86400.0)],
    ],
)
def test_durations(text, seconds):
    assert settings.DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 weeks", "-3s", "1e3", "nan", "inf", "3s 4s"])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter, match="is not a time; write it as 30s"):
        settings.DURATION.convert(text, None, None)


def test_names_sizes_and_pairs():
    assert settings.NAMES.convert(" a, b ,,c", None, None) == ("a", "b", "c")
    assert settings.NAMES.convert(["a b", "c"], None, None) == ("a b", "c")
    assert (
        settings.SIZES.convert("3,4", None, None)
        == settings.SIZES.convert([3, 4], None, None)
        == (3, 4)
    )
    assert settings.SIZES.convert(3, None, None) == (3,)
    assert settings.PAIRS.convert("day=date, ticker = symbol", None, None) == {
        "day": "date",
        "ticker": "symbol",
    }
    assert settings.PAIRS.convert({"day": "date"}, None, None) == {"day": "date"}
    with pytest.raises(click.BadParameter, match="list of whole numbers"):
        settings.SIZES.convert("3,x", None, None)
    with pytest.raises(click.BadParameter, match="algo=NAME"):
        settings.PAIRS.convert("day", None, None)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_file_no_settings(here):
    assert settings.find(None).defaults(cli) == {}


def test_the_working_directorys_file_is_found(here):
    (here / "mp2.toml").write_text(
        'verbose = 1\n[search]\nbudget = "5s"\nmin_daily_hits = 3\ntop = 7\nretain_sizes = [3]\n'
    )
    assert settings.find(None).defaults(cli) == {
        "verbose": "1",
        "search": {"budget_s": "5s", "min_daily_hits": "3", "top_k": "7", "retain_sizes": [3]},
    }


def test_the_projects_table_is_found(here):
    (here / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.mp2.search]\nworkers = 2\n')
    assert settings.find(None).defaults(cli) == {"search": {"workers": "2"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serach]\n", "mp2.toml: unknown key 'serach'; known are .*search"),
        (
            "[search]\nbugdet = 3\n",
            r"mp2.toml: \[search\] unknown key 'bugdet'; known are .*budget",
        ),
        ("debug = true\n", "mp2.toml: unknown key 'debug'"),
        ("search = 3\n", "mp2.toml: search has to be a table"),
        ("[search\n", "mp2.toml: not valid TOML"),
    ],
)
def test_a_wrong_file_is_named(here, text, message):
    (here / "mp2.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        settings.find(None).defaults(cli)


def test_a_file_that_cannot_be_read_is_named(here):
    with pytest.raises(InputError, match=r"absent\.toml: No such file"):
        settings.find(here / "absent.toml")
    (here / "latin.toml").write_bytes(b'log_file = "\xe9"\n')
    with pytest.raises(InputError, match=r"latin\.toml: not UTF-8 text at byte 12"):
        settings.find(here / "latin.toml")
