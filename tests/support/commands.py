"""Helpers to run the command as a process, its input, and to read its documents."""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
from places import GOLDEN

from mp2.cli.main import main

WEEK = GOLDEN / "week-prices.csv"
RULES = ("--min-daily-hits=3", "--replicates=19")
"""Of a search of the `WEEK` that keeps groups; the test for luck is as small as it can be."""
ENDLESS = (
    "-v",
    "--budget=100s",
    "--min-daily-hits=0",
    "--max-size=8",
    "--heartbeat=100ms",
    "--json",
    "--json-groups=1",
)
"""Options of a search of the `endless_table` that no test waits for."""


def strict_json(text):
    def refuse(name):
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=refuse)


def command_output(*args):
    """Run a command in this process, outside of a test; return what it prints."""
    with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    assert ended.value.code in {0, 4}
    return out.getvalue()


def start(*args, **kwargs):
    command = [sys.executable, "-m", "mp2", *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def plug_in(folder, code, classes):
    """Write a package with entry points to a folder, which the caller puts on the path."""
    (folder / "killed_plug_in.py").write_text(code)
    install(folder, {name.lower(): f"killed_plug_in:{name}" for name in classes})


def install(folder, scanners):
    """Write the metadata of a package with these scanners, as pip would."""
    info = folder / "killed_plug_in-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: killed-plug-in\nVersion: 1\n")
    lines = "".join(f"{name} = {place}\n" for name, place in scanners.items())
    (info / "entry_points.txt").write_text(f"[mp2.scanners]\n{lines}")
