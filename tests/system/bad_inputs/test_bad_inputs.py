"""The catalogue of bad inputs: each ends with its message and exit code, and loses nothing."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import fixtures
import pytest

from mp2.cli.main import cli
from mp2.storage import database

HERE = Path(__file__).parent
USUAL = {
    "run": "prices.csv --grids grids.toml",
    "search": "signals.csv",
    "resume": "last --db stopped.db",
    "test": "last --db stopped.db",
    "daily": "prices.csv",
    "signals": "prices.csv --output out.csv",
    "pick": "last --prices prices.csv --grids grids.toml",
    "outcome": "last --prices prices.csv",
    "walkforward": "prices.csv --weeks 2",
    "check lookahead": "prices.csv",
    "check data": "prices.csv",
    "download": "AAPL --start 2024-01-02 --end 2024-01-05 --output out.csv",
    "scanners show": "market_movers",
    "scanners reset": "market_movers",
    "scanners test": "market_movers",
    "scans show": "last",
    "scans delete": "last",
    "walks show": "last",
    "walks delete": "last",
    "runs show": "last",
    "runs export": "last",
    "runs delete": "last",
    "runs prune": "--keep 60",
    "runs compare": "last last",
    "report": "last --output out.html",
}
"""What a command is given besides what is wrong."""

AFTER = {
    "": "search signals.csv",
    "runs": "list",
    "scans": "list",
    "walks": "list",
    "scanners": "reset market_movers",
}
"""The command that follows the options of a group."""

PRICES_COMMANDS = (
    "run",
    "daily",
    "signals",
    "pick",
    "outcome",
    "walkforward",
    "check lookahead",
    "check data",
)
HARMLESS = {
    ("", "version"): "prints and ends",
    ("", "debug"): "treats any text of its variable as yes",
    ("doctor", "db"): "shows the path of a database, also of a bad one",
    ("runs list", "source"): "a text that no run has is an empty list",
    ("scanners test", "db"): "a test of a scanner uses no database",
    ("pick", "scan_id"): "a missing scan prevents no pick; tests/cli/test_cli_scan.py",
    **{
        (command, "dask_insecure"): "a switch; tests/groups/engines/test_dask_client.py"
        for command in ("run", "search", "resume", "test", "walkforward", "doctor")
    },
    **{
        (command, "strict"): "a switch; what it refuses is in the tables"
        for command in (*PRICES_COMMANDS, "search")
    },
}
"""Parameters whose value cannot be bad, and why."""

LEFT_BEHIND = ("daily/daily.lock", "mp2.db-wal", "mp2.db-shm", "stopped.db-wal", "stopped.db-shm")
"""What reading a database leaves beside it."""


@dataclass(frozen=True, slots=True)
class Case:
    """Words of a command line, files, variables; lines of stderr without `mp2: `, the exit code.

    `at_fault`: (command, parameter) whose value is bad. `make` names functions of `fixtures` that
    make files.
    """

    name: str
    words: tuple[str, ...]
    says: tuple[str, ...]
    exit: int = 2
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    make: tuple[str, ...] = ()
    at_fault: tuple[str, str] | None = None
    again: bool = False
    """Another command whose option of this name is the same: not run by default."""


# --- the catalogue -------------------------------------------------------------------------------


@cache
def leaves() -> dict[str, click.Command]:
    """Every command and group by its words; the program itself is ''."""

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        yield " ".join(words), command
        for name, below in command.commands.items() if isinstance(command, click.Group) else ():
            yield from walk(below, (*words, name))

    return dict(walk(cli, ()))


def option_cases() -> Iterator[Case]:
    for commands, wrong, says, *code in read("options")["cases"]:
        for command in commands:
            words = {"C": f"mp2 {command}".strip(), "V": command.upper().replace(" ", "_")}
            case = option_case(command, fill(wrong, words), fill(says, words), *code)
            yield replace(case, again=command != commands[0])


def fill(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{([CV])\}", lambda found: words[found[1]], text)


def option_case(command: str, wrong: str, says: str, code: int = 2) -> Case:
    """The command with its usual words and one bad value."""
    first, *rest = shlex.split(wrong)
    usual, env = shlex.split(USUAL.get(command, "")), {}
    if variable := re.fullmatch(r"(MP2_\w+)=(.*)", first):
        env[variable[1]] = variable[2]
    elif first.startswith("<"):
        usual = [*rest, *usual[len(rest) :]]
    else:
        usual += [first, *rest]
    lines = tuple(says.split("\n"))
    words = (*shlex.split(command), *usual, *shlex.split(AFTER.get(command, "")))
    return Case(
        f"{command or 'mp2'} {wrong}",
        words,
        lines,
        code,
        env,
        at_fault=(command, parameter(command, first)),
    )


def parameter(command: str, word: str) -> str:
    """The parameter that a word sets: `--top`, `--top=3`, `MP2_SEARCH_TOP=3` or `<table>`."""
    word, _, _ = word.partition("=")
    for param in leaves()[command].params:
        if word in param.opts or word in (param.envvar, f"<{param.name}>"):
            return str(param.name)
    raise AssertionError(f"mp2 {command} has no {word}")


def file_cases(kind: str) -> Iterator[Case]:
    for case in read(kind)["case"]:
        says = case["says"] if isinstance(case["says"], list) else [case["says"]]
        yield Case(
            case["name"],
            tuple(shlex.split(case["run"])),
            tuple(says),
            case.get("exit", 2),
            case.get("env", {}),
            case.get("files", {}),
            tuple(case.get("make", ())),
        )


def read(kind: str) -> dict[str, Any]:
    return tomllib.loads((HERE / f"{kind}.toml").read_text(encoding="utf-8"))


KINDS = ("tables", "settings", "stores")
CASES = [*option_cases(), *(case for kind in KINDS for case in file_cases(kind))]


# --- running them --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def standard(tmp_path_factory):
    """The files that every case starts with."""
    folder = tmp_path_factory.mktemp("standard")
    fixtures.make_standard(folder)
    return folder


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.again else [])
        for case in CASES
    ],
)
def test_a_bad_input_is_reported_and_nothing_is_lost(case, mp2, here, standard, monkeypatch):
    prepare(case, here, standard)
    monkeypatch.setitem(database.Database.__init__.__kwdefaults__, "busy_timeout_s", 0.05)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    with fixtures.made(case.make, here):
        before = contents(here)
        code, out, err = mp2(*case.words)
        after = contents(here)
    assert_reported(err, case.says)
    assert (code, out) == (case.exit, "")
    assert {name: after.get(name) for name in before} == before
    assert {name for name in after if name not in before} <= set(LEFT_BEHIND)


def prepare(case: Case, folder: Path, standard: Path) -> None:
    shutil.copytree(standard, folder, dirs_exist_ok=True)
    for name, text in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_reported(err: str, says: tuple[str, ...]) -> None:
    """Check that every line begins with the program's name and is expected; `*`: any text."""
    lines = err.splitlines()
    reported = [line.removeprefix("mp2: ") for line in lines]
    fits = [
        re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), line)
        for wanted, line in zip(says, reported, strict=False)
    ]
    assert [len(reported), all(fits)] == [len(says), True], "\n".join(
        ("reported:", *reported, "expected:", *says)
    )
    assert all(line.startswith("mp2: ") for line in lines)


# --- completeness ------------------------------------------------------------------------


def test_every_option_and_argument_of_every_command_has_a_case():
    there = {
        (command, str(param.name))
        for command, found in leaves().items()
        for param in found.params
        if (command, param.name) not in HARMLESS
    }
    assert there - {case.at_fault for case in CASES} == set()


def test_the_catalogue_is_large_and_its_cases_are_different():
    assert (
        len(
            {
                (case.words, tuple(case.env.items()), tuple(case.files.items()), case.make)
                for case in CASES
            }
        )
        >= 120
    )
    rows = read("options")["cases"]
    assert len(rows) + sum(len(read(kind)["case"]) for kind in KINDS) >= 120
    assert len({case.name for case in CASES}) == len(CASES)
