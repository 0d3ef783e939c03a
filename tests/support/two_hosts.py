"""A cluster of two hosts in network namespaces, run by `test_hosts.py` as `unshare --net python`.

The scheduler and the search are in the namespace of this process, each worker in one of its own,
joined by a bridge. Arguments: what happens, and how many seconds the clocks of one worker, of the
wall and the monotonic one, are ahead of those here.
Exits with 0 when all that was promised holds.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

# As pytest has it: the other modules of the tests are imported by name.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "oracle")]

import strategies
from comparison import lasting
from distributed import LocalCluster
from engines import panel_of

import mp2
from mp2.groups.engines import pace, remote
from mp2.groups.engines.dask_client import connected
from mp2.groups.result import Status
from mp2.groups.rules import Rules

RULES = Rules(min_daily_hits=2, retain_sizes=(3, 4), **strategies.LOOSE)
ENDLESS_RULES = Rules(max_size=8, min_daily_hits=0, retain_sizes=(2, 8), **strategies.LOOSE)
HERE = "10.77.0.1"
BUDGET_S = 8.0

# A worker whose wall clock is ahead: seconds come as the argument.
AHEAD = """
import sys, time
ahead_s = float(sys.argv[1])
del sys.argv[1]
now = time.time
time.time = lambda: now() + ahead_s
from distributed.cli.dask_worker import main
main()
"""


def sh(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True)


class Host:
    """A worker in a namespace of its own, at address 10.77.0.NUMBER."""

    def __init__(self, number: int, scheduler: str, ahead_s: int) -> None:
        self.link = f"link{number}"
        worker = [
            sys.executable,
            "-c",
            AHEAD,
            ahead_s,
            scheduler,
            *("--nthreads", 1, "--no-nanny", "--no-dashboard", "--memory-limit", 0),
        ]
        namespaces = ["--net", "--kill-child", "--fork", "--time", "--monotonic", ahead_s]
        # It waits for its network.
        begin = ("sh", "-c", 'read _; exec "$@"', "worker", *worker)
        self.process = subprocess.Popen(
            list(map(str, ("unshare", *namespaces, *begin))),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pid = self.process.pid
        # The process is in its namespace once that differs from this one.
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{pid}/ns/net").readlink() == own:
            time.sleep(0.01)
        sh("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        sh("ip", "link", "set", self.link, "master", "bridge", "up")
        inside = ("nsenter", "-t", pid, "-n", "ip")
        sh(*inside, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        sh(*inside, "link", "set", "eth0", "up")
        sh(*inside, "link", "set", "lo", "up")
        self.process.stdin.write(b"\n")
        self.process.stdin.close()

    def cut_off(self) -> None:
        """Take its network away; it lives on."""
        sh("ip", "link", "set", self.link, "down")


def wall(client, cut_off) -> None:
    """A search to its wall, in the middle of which a host is cut off."""
    panel = panel_of((60,) * 10, n_tickers=64, density=0.95)
    timer = threading.Timer(2.0, cut_off)
    timer.start()
    started_s = time.monotonic()
    result = mp2.search(panel, budget_s=BUDGET_S, rules=ENDLESS_RULES, executor=client)
    took_s = time.monotonic() - started_s
    timer.join()
    assert result.status is Status.WALL, result.status
    assert result.kept[2]
    assert result.elapsed_s < BUDGET_S + 0.251, result.elapsed_s
    assert took_s < BUDGET_S + 5, took_s


def complete(client, cut_off) -> None:
    """A search to its end, in the middle of which a host is cut off: the result of threads."""
    pace.LEAST_LEASE_NS = pace.MOST_LEASE_NS = 50 * pace.MS
    panel = panel_of((12,) * 6, n_tickers=600, density=0.5)
    here = mp2.search(panel, budget_s=600, workers=2, rules=RULES)
    cut = []

    def observe(progress):
        if progress.pool.n_exhausted > 10 and not cut:
            cut.append(cut_off())

    there = mp2.search(panel, budget_s=600, rules=RULES, executor=client, observe=observe)
    assert cut
    assert lasting(there) == lasting(here)


SCENES = {"wall": wall, "complete": complete}


def main(scene: str, ahead_s: int) -> None:
    remote.SMALL_WEIGHT = -1
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "bridge", "type", "bridge")
    sh("ip", "addr", "add", f"{HERE}/24", "dev", "bridge")
    sh("ip", "link", "set", "bridge", "up")
    with LocalCluster(n_workers=0, host=HERE, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        hosts = [Host(2, address, ahead_s), Host(3, address, 0)]
        try:
            with connected(address, insecure=True) as client:
                client.wait_for_workers(2, timeout=60)
                for clock in (time.time, time.monotonic):
                    ahead = [there - clock() for there in client.run(clock).values()]
                    assert max(ahead) > ahead_s - 10, ahead
                SCENES[scene](client, hosts[0].cut_off)
        finally:
            for host in hosts:
                host.process.kill()
                host.process.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
