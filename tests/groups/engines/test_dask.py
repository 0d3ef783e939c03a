"""A cluster of dask: equal results with workers killed, stopped and replaced, and with no cluster.

One small cluster serves the module. Its workers are processes, its scheduler runs in this one.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import strategies
from comparison import lasting
from engines import panel_of

import mp2
from mp2._recurse import STARTER_DTYPE, TopGroups, now_ns
from mp2.errors import InputError
from mp2.groups.engines import lease, pace, remote
from mp2.groups.engines.choice import engine_of
from mp2.groups.engines.dask_client import TlsFiles, connected, survey
from mp2.groups.result import Status
from mp2.groups.rules import Rules
from mp2.groups.settings import SearchSettings
from mp2.groups.turns import LocalTurns

distributed = pytest.importorskip("distributed", reason="pip install 'mp2[dask]'")

pytestmark = [
    pytest.mark.slow,
    # Of connections that the tests cut on purpose, and of workers that are killed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:distributed"),
]

RULES = Rules(min_daily_hits=2, retain_sizes=(3, 4), **strategies.LOOSE)
ENDLESS_RULES = Rules(max_size=8, min_daily_hits=0, retain_sizes=(2, 8), **strategies.LOOSE)
LONG_S = 600
PEM = Path(__file__).parents[2] / "support" / "loopback.pem"
"""A certificate, its key and its authority in one file."""


@pytest.fixture(autouse=True)
def many_leases(monkeypatch):
    """Lease small starters too, and for 50 ms at a time."""
    monkeypatch.setattr(remote, "SMALL_WEIGHT", -1)
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 50 * pace.MS)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 50 * pace.MS)


@pytest.fixture(scope="module")
def panel():
    """About 2 core-seconds."""
    return panel_of((12,) * 6, n_tickers=600, density=0.5)


@pytest.fixture(scope="module")
def whole(panel):
    result = mp2.search(panel, budget_s=LONG_S, workers=2, rules=RULES)
    assert result.status is Status.COMPLETE
    return lasting(result)


@pytest.fixture(scope="module")
def endless():
    return panel_of((60,) * 10, n_tickers=64, density=0.95)


def two_workers():
    return distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        memory_limit=0,
    )


@pytest.fixture(scope="module")
def cluster():
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with connected(cluster.scheduler_address) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture
def victims():
    """A client whose workers may be killed: dask does not replace all of them."""
    with two_workers() as cluster, connected(cluster.scheduler_address) as client:
        yield client


def pids(client):
    return list(client.run(os.getpid).values())


class Once:
    """An observer that does something once, when so many starters are exhausted."""

    def __init__(self, n_exhausted, act):
        self.left = [(n, act) for n in n_exhausted]

    def __call__(self, progress):
        if self.left and progress.pool.n_exhausted >= self.left[0][0]:
            _, act = self.left.pop(0)
            act()


# ---- equal results


@pytest.mark.parametrize("slots", [1, 2, None])
def test_the_same_result(panel, whole, client, slots):
    result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=client, slots=slots)
    assert lasting(result) == whole
    assert result.workers == (slots or 2)
    assert client.status == "running"


def test_workers_that_are_killed_and_replaced(panel, whole, victims):
    """Three times a worker dies; those that take its place get the panel when they ask for it."""

    def kill():
        os.kill(pids(victims)[0], signal.SIGKILL)

    once = Once((5, 20, 40), kill)
    result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=victims, observe=once)
    assert once.left == []
    assert lasting(result) == whole


def test_a_worker_that_stands_still(panel, whole, victims):
    """Its lease is late, and goes to another worker."""
    stopped = []

    def stand_still():
        stopped.append(pids(victims)[0])
        os.kill(stopped[0], signal.SIGSTOP)

    once = Once((10,), stand_still)
    try:
        result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=victims, observe=once)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert lasting(result) == whole


def test_the_slots_that_a_home_is_made_for(client):
    counted = []
    for most in (None, 1):
        engine = engine_of(client, most)
        # Empty: workers say who they are, and keep nothing.
        engine.begin(bytes(16), lambda n_slots: counted.append(n_slots) or b"", lambda: False)
        engine.end(bytes(16))
    assert counted == [2, 1]


def test_a_large_panel_is_passed_on(panel, whole, client, monkeypatch):
    monkeypatch.setattr("mp2.groups.engines.dask.LARGE_BYTES", 100)
    monkeypatch.setattr("mp2.groups.engines.dask.FEW_WORKERS", 1)
    dropped = []

    def drop_homes():
        dropped.append(client.run(lease.HOMES.clear))

    once = Once((5,), drop_homes)
    result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=client, observe=once)
    assert lasting(result) == whole


def test_an_answer_above_10_mb(client, monkeypatch):
    """One lease that keeps 400,000 groups, of 32 bytes each, and what dask adds."""
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 60 * pace.S)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 60 * pace.S)
    large = panel_of((16,) * 6, n_tickers=64, density=0.95)
    rules = Rules(
        max_size=6, min_daily_hits=0, top_k=400_000, retain_sizes=(6,), **strategies.LOOSE
    )
    settings = SearchSettings(budget_s=LONG_S, rules=rules)
    there = remote.LeasedTurns(engine_of(client), large, settings, lambda: False)
    found = []
    for turns in (LocalTurns(large, settings), there):
        record = np.zeros(1, STARTER_DTYPE)
        heaps = {6: TopGroups(6, rules.top_k)}
        wall_ns = now_ns() + 60 * pace.S
        end = turns.run(record, turns.new_control(wall_ns, wall_ns), heaps, 0)
        scores, members = heaps[6].ranked()
        assert scores.nbytes + members.nbytes > 10_000_000
        found.append((int(end), record.tobytes(), scores.tobytes(), members.tobytes()))
        turns.end()
    assert found[0] == found[1]


def test_a_test_for_luck(panel, client, monkeypatch):
    """Ranges of starters with all replicates; the workers keep their kernels from job to job."""
    monkeypatch.setattr("mp2.evidence.elsewhere.SMALL_WEIGHT", 1)
    luck = {"budget_s": LONG_S, "rules": RULES, "replicates": 99}
    here = mp2.search(panel, workers=2, **luck).significance
    there = mp2.search(panel, executor=client, **luck).significance
    assert there.status == "complete"
    for size in RULES.retain_sizes:
        assert there.maxima[size].tobytes() == here.maxima[size].tobytes()
    assert (there.p, there.p_size, there.null) == (here.p, here.p_size, here.null)


# ---- endings


def test_the_wall(endless, client):
    started_s = time.monotonic()
    result = mp2.search(endless, budget_s=6, rules=ENDLESS_RULES, executor=client)
    assert result.status is Status.WALL
    assert result.kept[2]
    assert result.elapsed_s < 6.251
    assert time.monotonic() - started_s < 12


def test_a_lease_that_is_stale(endless, victims, monkeypatch):
    """dask runs the lease of a dead worker again, from its begin; the wall is not moved by that."""
    monkeypatch.setattr(pace, "LEAST_LEASE_NS", 4 * pace.S)
    monkeypatch.setattr(pace, "MOST_LEASE_NS", 4 * pace.S)
    victim = pids(victims)[0]
    killer = threading.Timer(3.0, os.kill, (victim, signal.SIGKILL))
    killer.start()
    result = mp2.search(endless, budget_s=7, rules=ENDLESS_RULES, executor=victims)
    killer.join()
    assert result.status is Status.WALL
    assert result.kept[2]
    assert result.elapsed_s < 7.251


def test_a_stop(endless, client):
    stop = threading.Event()
    stopped_s = []

    def stop_soon(progress):
        if progress.attempts and not stopped_s:
            stopped_s.append(time.monotonic())
            stop.set()

    result = mp2.search(
        endless, budget_s=LONG_S, rules=ENDLESS_RULES, executor=client, stop=stop, observe=stop_soon
    )
    assert result.status is Status.STOPPED
    assert result.kept[2]
    # One second for what is out, and what a loaded machine takes to build the result.
    assert time.monotonic() - stopped_s[0] < 5


def test_the_wall_with_all_workers_standing_still(endless, victims):
    stopped = []

    def stand_still():
        stopped.extend(pids(victims))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    try:
        result = mp2.search(
            endless,
            budget_s=8,
            rules=ENDLESS_RULES,
            executor=victims,
            observe=Once((0,), stand_still),
        )
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert result.elapsed_s < 8.251


def test_a_scheduler_that_dies(panel, whole, tmp_path, monkeypatch):
    """The search ends as stopped, keeps what came home, and is resumed without a cluster."""
    monkeypatch.setattr(remote, "MOST_DISCONNECTED_NS", 2 * pace.S)
    store = tmp_path / "mp2.db"
    file = tmp_path / "scheduler.json"
    named = ("--scheduler-file", file)
    children = [
        start(
            "dask",
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            file,
        )
    ]
    try:
        wait_for(file)
        worker = ("dask", "worker", *named, "--nthreads", "2", "--no-dashboard", "--no-nanny")
        children.append(start(*worker, "--memory-limit", "0"))
        with connected(str(file)) as client:
            client.wait_for_workers(1, timeout=60)
            result = mp2.search(
                panel,
                store=store,
                budget_s=LONG_S,
                rules=RULES,
                executor=client,
                observe=Once((20,), children[0].kill),
            )
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert result.status is Status.STOPPED
    assert result.n_exhausted >= 20
    assert any("the cluster was lost" in warning for warning in result.warnings)
    resumed = mp2.resume(store=store, source=panel, workers=2)
    values, starters = lasting(resumed)
    expected, expected_starters = whole
    assert values | {"run_id": None} == expected
    assert starters == expected_starters


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(path):
    for _ in range(600):
        if path.exists() and path.read_text().endswith("}"):
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} was not written")


# ---- who may work


def other_build():
    """Make this worker one of another build."""
    from mp2.groups.engines import handshake

    handshake.build_digest = lambda: "0123"


def own_build():
    from mp2.groups.engines import handshake

    handshake.build_digest = handshake.__dict__["_real_build_digest"]


def keep_build():
    from mp2.groups.engines import handshake

    handshake._real_build_digest = handshake.build_digest


@pytest.fixture
def differing(client):
    """The address of a worker of another build."""
    worker = next(iter(client.nthreads()))
    client.run(keep_build)
    client.run(other_build, workers=[worker])
    yield worker
    client.run(own_build)


def test_a_worker_of_another_build_gets_no_work(panel, whole, client, differing):
    result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=client)
    (warning,) = result.warnings
    assert "has mp2 build 0123, here it is " in warning
    assert result.workers == 1
    values, starters = lasting(result)
    assert (values | {"warnings": []}, starters) == whole


def test_no_worker_of_the_same_build(panel, client, differing):
    client.run(other_build)
    with pytest.raises(InputError, match="no worker has the same mp2 as this process"):
        mp2.search(panel, rules=RULES, executor=client)


def test_a_survey(client, differing):
    found = survey(client)
    scheduler, *workers = found["processes"]
    assert scheduler["name"] == "scheduler"
    assert scheduler["problem"] is None
    problems = {worker["name"]: worker["problem"] for worker in workers}
    assert "0123" in problems.pop(differing)
    assert list(problems.values()) == [None]
    assert all(worker["round_trip_ms"] > 0 for worker in workers)


def test_no_workers(panel):
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        connected(empty.scheduler_address) as client,
        pytest.raises(InputError, match=r"no worker responds \(none are connected\)"),
    ):
        mp2.search(panel, rules=RULES, executor=client)


def test_tls(panel, whole):
    """Both sides prove who they are; without the files nothing comes in."""
    files = TlsFiles(ca_file=PEM, cert=PEM, key=PEM)
    security = distributed.Security(
        require_encryption=True,
        tls_ca_file=str(PEM),
        tls_scheduler_cert=str(PEM),
        tls_scheduler_key=str(PEM),
        tls_worker_cert=str(PEM),
        tls_worker_key=str(PEM),
        tls_client_cert=str(PEM),
        tls_client_key=str(PEM),
    )
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        security=security,
        protocol="tls://",
        host="127.0.0.1",
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with pytest.raises(InputError, match="needs the files"), connected(address):
            pass
        with connected(address, files) as client:
            client.wait_for_workers(1, timeout=60)
            result = mp2.search(panel, budget_s=LONG_S, rules=RULES, executor=client)
        assert lasting(result) == whole


def test_the_command(cluster, tmp_path, capsys, monkeypatch):
    """`mp2 search --dask`, then `doctor`; the cluster is named by the environment there."""
    from signal_tables import make_signals

    from mp2.cli.main import main

    monkeypatch.chdir(tmp_path)
    make_signals().signals.write_parquet("signals.parquet")
    address = cluster.scheduler_address

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main([*words, "--json"])
        return caught.value.code, json.loads(capsys.readouterr().out)

    wanted = ("search", "signals.parquet", "--budget", "10s", "--replicates", "0", "--no-store")
    code, found = run(*wanted, "--dask", address, "--slots", "1")
    assert code == 0
    assert found["workers"] == 1
    assert found["attempts"] > 0
    monkeypatch.setenv("MP2_DOCTOR_DASK", address)
    code, found = run("doctor")
    assert code == 0
    assert [process["problem"] for process in found["processes"]] == [None] * 3
    monkeypatch.setenv("MP2_SEARCH_DASK", address)
    code, found = run(*wanted, "--workers", "3")
    assert code == 2
    assert found["errors"] == ["workers: with --dask the slots are elsewhere; use --slots"]
