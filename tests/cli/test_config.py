"""`mp2 config`: values, origins, problems, and no secrets."""

import json
from pathlib import Path

import pytest

from mp2.cli.setting_values import without_secrets

SETTINGS = """
db = "runs.db"
[run]
budget = "5s"
grids = "grids.toml"
[discovery.scanners.breakout_52w]
prices = "bars.parquet"
[discovery.scanners.news]
feeds = ["https://feeds.example/rss?api_key=hunter22"]
"""


@pytest.fixture
def file(here):
    """A settings file in another folder than the working directory."""
    (here / "job").mkdir()
    path = here / "job" / "mp2.toml"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    (here / "job" / "grids.toml").write_text("")
    return path


def shown(mp2, *args):
    code, out, _ = mp2("config", "show", "--json", *args)
    assert code == 0
    document = json.loads(out)
    return document, {(one["command"], one["key"]): one for one in document["settings"]}


def test_values_have_their_origin(mp2, file, monkeypatch):
    monkeypatch.setenv("MP2_RUN_WORKERS", "2")
    document, found = shown(mp2, "--config", file, "run", "--top", "7")
    assert document["file"] == str(file)
    assert found["", "db"]["origin"] == "file"
    assert (found["run", "budget"]["value"], found["run", "budget"]["origin"]) == (5.0, "file")
    assert found["run", "budget"]["where"] == f"[run] budget in {file}"
    assert (found["run", "workers"]["value"], found["run", "workers"]["origin"]) == (
        2,
        "environment",
    )
    assert (found["run", "top"]["value"], found["run", "top"]["origin"]) == (7, "option")
    assert found["run", "days"]["origin"] == "default"
    # The other commands are not those that were named.
    assert {command for command, _ in found} == {"", "run"}


def test_paths_are_relative_to_the_file(mp2, file):
    document, found = shown(mp2, "--config", file)
    assert found["", "db"]["value"] == str(file.parent / "runs.db")
    assert found["run", "grids"]["value"] == str(file.parent / "grids.toml")
    # The text of the file stays a path of the scanner's settings, relative to the file too.
    scanners = document["discovery"]["scanners"]
    assert scanners["breakout_52w"]["prices"] == str(file.parent / "bars.parquet")


def test_scanners_that_would_run_and_why_others_would_not(mp2, file):
    document, _ = shown(mp2, "--config", file)
    runs = {one["name"]: one["runs"] for one in document["scanners"]}
    whys = {one["name"]: one["why_not"] for one in document["scanners"]}
    assert (runs["breakout_52w"], runs["news"]) == (True, True)
    assert whys["volume_accumulation"] == "set prices in [discovery.scanners.volume_accumulation]"
    assert whys["insider_buying"] == "no key: FINNHUB_API_KEY"
    assert whys["reddit_trending"].startswith("switched off")


def test_nothing_is_executed_and_secrets_are_redacted(mp2, file, here):
    code, out, err = mp2("--config", file, "config", "show", "--all")
    assert (code, err) == (0, "")
    _, out_json, _ = mp2("--config", file, "config", "show", "--json")
    assert "hunter22" not in out + out_json
    assert "api_key=***" in out_json
    assert sorted(path.name for path in here.iterdir()) == ["job"]


def test_the_text_shows_what_differs_from_the_defaults(mp2, file):
    _, out, _ = mp2("--config", "job/mp2.toml", "config", "show")
    lines = [line.split() for line in out.splitlines() if line.startswith(("db", "run"))]
    assert [line[:2] for line in lines] == [
        ["db", str(Path("job/runs.db"))],
        ["run", "budget"],
        ["run", "grids"],
    ]
    assert "run workers" not in out


def test_check_accepts_what_can_be_used(mp2, file):
    code, out, err = mp2("config", "check", "--config", file)
    assert (code, err) == (0, "")
    assert "3 settings from the file, 0 from the environment: all can be used." in out
    assert "breakout_52w" in out


def test_check_names_all_problems(mp2, file, monkeypatch):
    (file.parent / "grids.toml").unlink()
    monkeypatch.setenv("MP2_SEARCH_TOP", "many")
    monkeypatch.setenv("MP2_RUN_MAX_SIZE", "1")
    code, out, err = mp2("config", "check", "--config", file)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "mp2: [run] rule max_size: 1 is outside 2..8",
        f"mp2: [run] grids in {file}: {file.parent / 'grids.toml'}: no such file",
        "mp2: MP2_SEARCH_TOP in the environment: 'many' is not a whole number; write one such as 3",
    ]


def test_check_parses_one_commands_options(mp2, here):
    code, _, err = mp2("config", "check", "run", "--budget", "soon")
    assert (code, err) == (
        2,
        "mp2: budget: 'soon' is not a time; write it as 30s, 5m, 1.5h or 250ms\n",
    )


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("https://u:pw@host/x?a=1&token=t1#f", "https://***@host/x?a=1&token=***#f"),
        ({"api_key": "abc", "keyword": "abc"}, {"api_key": "***", "keyword": "abc"}),
        ([{"client_secret": "s"}, 3], [{"client_secret": "***"}, 3]),
        ("a=1&token=t1", "a=1&token=t1"),
    ],
)
def test_secrets(value, safe):
    assert without_secrets(value) == safe
