"""A disk that is really full: what was found is printed, and what was stored can be read."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import GOLDEN

WEEK = GOLDEN / "week-prices.csv"
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")

# A disk of 2 MB in the folder, as the folder for temporary files, too.
SCRIPT = """
mount -t tmpfs -o size=2m tmpfs "$0" && cd "$0" || exit 99
mp2() { "$PYTHON" -m mp2 "$@"; }
mp2 search "$WEEK" --min-daily-hits 3 --no-progress >/dev/null || exit 98
"$PYTHON" -c "$FILLING" search "$WEEK" --min-daily-hits 3 --no-progress --json
echo "search $?" >&2
mp2 runs list --json
echo "list $?" >&2
"""


# The disk is full from the moment at which the result is to be stored.
FILLING = """
from mp2.storage.runs import Store
from mp2.__main__ import script
finish = Store.finish
def finish_on_a_full_disk(*args):
    try:
        with open("fill", "wb", buffering=0) as fill:
            while fill.write(bytes(1024)):
                pass
    except OSError:
        finish(*args)
Store.finish = finish_on_a_full_disk
script()
"""


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_results_survive_a_full_disk(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs a mount namespace of its own: unshare --user --mount")
    env = os.environ | {
        "PYTHON": sys.executable,
        "WEEK": str(WEEK),
        "FILLING": FILLING,
        "TMPDIR": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ran = subprocess.run(
        [*UNSHARE, "sh", "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=120,
    )
    found, listed = map(json.loads, ran.stdout.splitlines())
    assert "search 1" in ran.stderr
    assert "list 0" in ran.stderr
    # Beside the full disk there is another one.
    rescued = re.search(
        "the disk is full.*; the whole result was written to (.*) instead", ran.stderr
    )
    assert rescued is not None
    Path(rescued[1]).unlink()
    assert found["status"] == "complete"
    assert found["groups"]["3"]
    assert [run["status"] for run in listed["runs"]] == ["interrupted", "complete"]
