"""Environment variables: all that are read are known, and others are reported."""

import re
from pathlib import Path

import pytest
from commands import RULES, WEEK, strict_json

from mp2.cli.main import cli
from mp2.cli.variables import SWITCHES, option_variables, unknown_variables

ROOT = Path(__file__).parents[2]
KNOWN = "MP2_SEARCH_BUDGET"


def test_every_option_has_its_variable():
    assert {KNOWN, "MP2_DB", "MP2_RUNS_LIST_LIMIT"} <= set(option_variables(cli))


def test_a_variable_that_nothing_reads_is_named_with_the_nearest_one():
    warnings = unknown_variables(cli, {"MP2_SEARCH_BUDGT": "5s", KNOWN: "5s", "MP2_X\n": "1"})
    assert warnings == [
        f"MP2_SEARCH_BUDGT in the environment: no setting has this variable; do you mean {KNOWN}?",
        "MP2_X\\x0a in the environment: no setting has this variable",
    ]


@pytest.mark.parametrize("name", ["MP2_FINNHUB_API_KEY", "MP2_SEC_USER_AGENT", "HOME", *SWITCHES])
def test_keys_of_scanners_and_switches_are_known(name):
    assert unknown_variables(cli, {name: "1"}) == []


@pytest.mark.skipif(not (ROOT / "noxfile.py").exists(), reason="a checkout")
def test_the_switches_are_those_that_build_and_tests_read():
    files = [ROOT / "setup.py", ROOT / "noxfile.py", *(ROOT / "tests").rglob("*.py")]
    files += (ROOT / "src").rglob("*.py*")
    read = set()
    for file in files:
        if file.suffix in (".py", ".pyx"):
            text = file.read_text(encoding="utf-8")
            read |= set(re.findall(r"environ(?:\.get)?[(\[]\"(MP2_\w+)", text))
    assert read - {"MP2_DEBUG"} == set(SWITCHES)


def test_the_warning_is_on_stderr_or_in_the_document(mp2, monkeypatch):
    monkeypatch.setenv("MP2_TYPO", "1")
    warning = "MP2_TYPO in the environment: no setting has this variable"
    code, _, err = mp2("search", WEEK, *RULES, "--dry-run")
    assert (code, err.count(warning)) == (0, 1)
    code, out, err = mp2("search", WEEK, *RULES, "--dry-run", "--json")
    assert (code, err) == (0, "")
    assert strict_json(out)["warnings"].count(warning) == 1
