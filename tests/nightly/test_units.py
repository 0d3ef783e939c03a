"""The settings, the cron line and the units of the page on nights are usable as they are."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mp2.cli.main import program_first

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "nightly.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="needs the pages of a checkout")


def blocks(language):
    """The code blocks of a language on the page."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_settings_pass_the_check(mp2, here):
    (settings,) = blocks("toml")
    (here / "mp2.toml").write_text(settings)
    (here / "prices.parquet").write_bytes(b"")
    code, out, err = mp2("config", "check")
    assert (code, err) == (0, "")
    assert out.startswith("7 settings from the file")


def test_cron_and_systemd_start_the_same_command():
    (line,) = blocks("crontab")
    service, _ = blocks("ini")
    command = re.search("^ExecStart=(.*)$", service, re.MULTILINE)[1]
    words = line.split(maxsplit=5)
    assert shlex.split(words[5].replace("$HOME", "%h")) == shlex.split(command)
    # Minute, hour, days from Monday to Friday.
    assert re.fullmatch(r"\d+ \d+ \* \* 1-5", " ".join(words[:5]))
    assert program_first(shlex.split(command)[1:])[::2] == ["--config", "daily"]


def test_systemd_accepts_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: the units of nightly.md are not verified here")
    paths = []
    for name, unit in zip(("mp2.service", "mp2.timer"), blocks("ini"), strict=True):
        path = tmp_path / name
        # The program has to exist where it is verified.
        path.write_text(unit.replace("%h/venv/bin/mp2", sys.executable))
        paths.append(str(path))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # It may also complain about units of this machine.
    own = [line for line in done.stderr.splitlines() if "mp2." in line]
    assert own == []
    assert done.returncode == 0, done.stderr
