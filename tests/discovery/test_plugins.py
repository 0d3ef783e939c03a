"""The example of a plug-in: installed by pip, found by its entry point, run with the others."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

import mp2

EXAMPLE = ROOT / "examples" / "mp2-scanner-example"

pytestmark = pytest.mark.slow

SCAN = """
import datetime, json, sys
import mp2

found = {one.name: one for one in mp2.find_scanners()}
assert list(found)[-1] == "watch_list", "plug-ins come after the built-in scanners"
plug_in = found["watch_list"]
plug_in.scanner.isolation = sys.argv[1]
config = {"scanners": {"watch_list": {"file": "list.csv"}}}
scan = mp2.scan(only=["watch_list"], config=config, today=datetime.date(2026, 11, 24))
report = {"where": plug_in.where, "error": plug_in.error, "package": plug_in.scanner.__module__}
print(json.dumps({**report, "scan": scan.to_dict()}))
"""


def python(*args, folder, path):
    """Run the interpreter in another folder, with these folders first on its import path."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which pip has installed the example, without any network."""
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed, and nothing is downloaded here")
    if not EXAMPLE.is_dir():
        pytest.skip("the examples are not beside the tests")
    folder = tmp_path_factory.mktemp("plug-in")
    shutil.copytree(
        EXAMPLE,
        folder / "source",
        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"),
    )
    options = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
    ]
    python(
        "-m",
        "pip",
        "install",
        *options,
        "--target",
        folder / "site",
        folder / "source",
        folder=folder,
        path=(),
    )
    return folder / "site"


@pytest.fixture
def where_from(installed):
    """The import path of the interpreters in these tests: the plug-in and this mp2."""
    return installed, Path(mp2.__file__).parents[1]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_an_installed_scanner_is_found_and_run(isolation, where_from, tmp_path):
    (tmp_path / "list.csv").write_text(
        "ticker,reason,until\nKO,steady,\nNVDA,earnings,2026-11-25\nGE,over,2026-11-20\n"
    )
    report = json.loads(python("-c", SCAN, isolation, folder=tmp_path, path=where_from))
    assert report["error"] is None
    assert report["where"] == "plug-in watch_list (mp2_scanner_example:WatchList)"
    (outcome,) = report["scan"]["outcomes"]
    assert (outcome["scanner"], outcome["pipeline"], outcome["status"]) == (
        "watch_list",
        "personal",
        "ok",
    )
    assert [(one["ticker"], one["priority"]) for one in report["scan"]["candidates"]] == [
        ("NVDA", "high"),
        ("KO", "medium"),
    ]


def test_without_it_there_is_none(tmp_path):
    names = python(
        "-c",
        "import mp2; print([one.name for one in mp2.find_scanners()])",
        folder=tmp_path,
        path=[Path(mp2.__file__).parents[1]],
    )
    assert "watch_list" not in names
    assert "breakout_52w" in names


def test_the_tests_of_the_example(where_from, tmp_path):
    report = python(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        EXAMPLE / "tests",
        folder=tmp_path,
        path=where_from,
    )
    assert "7 passed" in report
