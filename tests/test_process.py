"""Memory is the least that any limit leaves; polars is not called where it would abort or hang."""

import multiprocessing
import subprocess
import sys

import polars as pl
import pytest

from mp2 import read_signals
from mp2._process import available_bytes
from mp2.errors import InputError

resource = pytest.importorskip("resource")

MB = 1 << 20
MACHINE = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8192 kB\n"}
NEW = {
    "proc/self/cgroup": "0::/box/inner\n",
    "sys/fs/cgroup/box/memory.max": f"{6 * MB}\n",
    "sys/fs/cgroup/box/memory.current": f"{5 * MB}\n",
    "sys/fs/cgroup/box/memory.stat": f"anon 7\ninactive_file {2 * MB}\n",
    "sys/fs/cgroup/box/inner/memory.max": "max\n",
}
OLD = {
    "proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/box\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{4 * MB}\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{2 * MB}\n",
    "sys/fs/cgroup/memory/box/memory.stat": "inactive_file 0\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MACHINE, 8 * MB),
        (MACHINE | NEW, 3 * MB),
        (MACHINE | OLD, 2 * MB),
    ],
)
def test_the_least_limit_counts(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert available_bytes(tmp_path) == expected


TABLE = "algo,variation,day,ticker,win\nA,1,2024-01-02,AAA,1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_a_small_address_space_is_one_line(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (900 * MB, 900 * MB))

    ran = subprocess.run(
        [sys.executable, "-m", "mp2", "search", "table.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("mp2: the address space is limited to 900 MB")
    assert len(ran.stderr.splitlines()) == 1


def message_of_reading(path):
    try:
        read_signals(path)
    except InputError as error:
        return str(error)
    return "read"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_to_spawn(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    assert pl.read_csv(path).height == 1
    with multiprocessing.get_context("fork").Pool(1) as pool:
        message = pool.apply_async(message_of_reading, (path,)).get(timeout=30)
    assert "get_context('spawn')" in message
