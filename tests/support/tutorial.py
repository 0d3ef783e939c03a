"""Runs the tutorial as a newcomer does: its commands in order, in an empty folder.

`python tests/support/tutorial.py` writes what they print into the page.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"

_STEP = re.compile(
    r"(```sh\n(?P<commands>mp2 .*?)```\n\n```text\n)(?P<output>.*?)(?=```)", re.DOTALL
)
_VARYING = (r"\bin \d[\d.,]* (s|ms|min)\b", r"\b\d{8}-\d{6}-[0-9a-f]{4}\b", r"at\s+least\s+[\d,]+")
"""Times, ids of runs, and bounds that depend on what the workers did first."""


def steps(text):
    """Commands of the page, one string per block, and the output shown below them."""
    return [(match["commands"], match["output"]) for match in _STEP.finditer(text)]


def printed(commands, folder):
    """What a block of commands prints, warnings included."""
    program = str(Path(sys.executable).parent)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MP2_")}
    # A machine that is busy with other work must not reach the wall.
    env |= {"MP2_RUN_BUDGET": "10m", "MP2_WALKFORWARD_BUDGET_PER_WEEK": "10m"}
    env["PATH"] = os.pathsep.join((program, env["PATH"]))
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def masked(text):
    """The output without what differs from one time to the next."""
    for pattern in _VARYING:
        text = re.sub(pattern, "...", text)
    return text


def write():
    """Run the tutorial and put what it prints into the page."""
    with tempfile.TemporaryDirectory() as folder:
        text = PAGE.read_text(encoding="utf-8")
        text = _STEP.sub(lambda step: step[1] + printed(step["commands"], folder), text)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
