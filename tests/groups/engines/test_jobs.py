"""Whole jobs over an engine: each comes home once, lost ones are sent again."""

import threading
import time
from dataclasses import dataclass

import pytest
from engines import FakeEngine, NeverError, other_version

from mp2.groups.engines import jobs, lease
from mp2.groups.engines.jobs import Jobs, LostClusterError, work_at


@dataclass(frozen=True)
class Squares:
    """Work for tests, which workers import by name."""

    offset: int = 0

    def run(self, job):
        return str(job.number * job.number + self.offset).encode() + job.given


@dataclass(frozen=True)
class Waiting:
    def run(self, job):
        job.stop.wait(20)
        return b"too late"


def answers(engine, work=None, numbers=range(12), is_over=lambda: False, warn=print, **more):
    jobs = Jobs(**{"numbers": numbers, "read": read, "job_s": 20} | more)
    with work_at(engine, work or Squares(), is_over=is_over, warn=warn) as queue:
        return dict(queue.answers(jobs))


def read(number, answer):
    return int(answer)


EXPECTED = {number: number * number for number in range(12)}


@pytest.mark.parametrize("n_slots", [1, 3, 40])
def test_every_job_comes_home(n_slots):
    engine = FakeEngine(n_slots)
    assert answers(engine) == EXPECTED
    assert len(engine.orders) == 12
    assert engine.told == ["stop", "end"]
    assert lease.HOMES == {}


def test_workers_that_lack_the_work_get_it():
    engine = FakeEngine(2, homes=False)
    assert answers(engine, Squares(5))[3] == 14
    assert 1 <= engine.n_contents <= 2


def test_lost_jobs_are_sent_again():
    n_sent = []

    def every_third_lost(order, run):
        n_sent.append(order)
        if len(n_sent) % 3 == 0:
            raise OSError("gone")
        return b"nonsense" if len(n_sent) % 7 == 0 else run()

    assert answers(FakeEngine(2, every_third_lost)) == EXPECTED
    assert len(n_sent) > 12


def test_answers_that_cannot_be_read_are_lost():
    refused = []

    def read(number, answer):
        if number == 3 and not refused:
            refused.append(answer)
            raise ValueError("no number")
        return int(answer)

    engine = FakeEngine(2)
    assert answers(engine, read=read) == EXPECTED
    assert engine.n_suspected == 1


def test_something_is_given_as_a_job_is_sent():
    found = answers(FakeEngine(1), numbers=(4, 5), give=lambda number: str(2 * number).encode())
    assert found == {4: 168, 5: 2510}


def test_late_jobs_are_sent_again(monkeypatch):
    monkeypatch.setattr(jobs, "LATENESS_S", 0.0)
    n_sent = []

    def first_never(order, run):
        n_sent.append(order)
        if len(n_sent) == 1:
            raise NeverError
        return run()

    engine = FakeEngine(1, first_never)
    assert answers(engine, job_s=0.3) == EXPECTED
    assert engine.n_suspected == 1


def test_a_lost_cluster_is_an_error():
    def broken(order, run):
        raise OSError("no route")

    with pytest.raises(LostClusterError, match=r"the cluster was lost \(OSError: no route\)"):
        answers(FakeEngine(2, broken))


def test_a_stop_reaches_the_workers():
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    started_s = time.monotonic()
    assert answers(FakeEngine(2), Waiting(), is_over=stop.is_set) == {}
    assert time.monotonic() - started_s < 10


def test_other_versions_are_left_out():
    engine = FakeEngine(2)
    engine.workers = [other_version(version="0.0.1"), *engine.workers]
    warnings = []
    assert answers(engine, warn=warnings.append) == EXPECTED
    assert "has mp2 version 0.0.1" in warnings[0]
    assert engine.n_slots == 1
