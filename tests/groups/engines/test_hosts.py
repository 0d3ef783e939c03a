"""Hosts that are cut off, and hosts of other clocks, in namespaces of the kernel of Linux."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="pip install 'mp2[dask]'")

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "support" / "two_hosts.py"
DAY_S = 86_400


def may(*words):
    """Whether a command of namespaces works here."""
    try:
        return subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module", autouse=True)
def namespaces():
    tried = (
        ("unshare", "--net"),
        ("unshare", "--net", "--time", "--monotonic", str(DAY_S), "--fork"),
        ("unshare", "--net", "ip", "link", "add", "name", "bridge0", "type", "bridge"),
    )
    for words in tried[:2]:
        if not may(*words):
            pytest.skip(f"needs CAP_SYS_ADMIN: {' '.join(words)} is not allowed here")
    made = subprocess.run(list(tried[2]), capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no bridges of networks can be made here")


def scene(name, ahead_s):
    words = ["unshare", "--net", sys.executable, str(SCRIPT), name, str(ahead_s)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
    assert found.returncode == 0, found.stderr[-3000:]


@pytest.mark.parametrize("ahead_s", [0, DAY_S])
@pytest.mark.parametrize("name", ["wall", "complete"])
def test_a_host_that_is_cut_off(name, ahead_s):
    """The wall is kept, and a complete result is that of threads; dask notices half a minute on.

    Only durations travel, so the clocks of that host may be a day ahead.
    """
    scene(name, ahead_s)
