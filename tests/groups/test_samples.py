"""Samples of a search cover all of it evenly, and are few."""

from itertools import pairwise

from mp2.groups.pool import Progress
from mp2.groups.samples import MOST_SAMPLES, ProgressSamples


def progress(number):
    return Progress(
        elapsed_ns=number * 10**9,
        wall_ns=10**12,
        n_waiting=0,
        n_running=1,
        n_cut_off=0,
        n_exhausted=number,
        limit_ns=5 * 10**8,
        bank_ns=0,
        n_turns=(number, 0),
    )


def sampled(n, **settings):
    samples = ProgressSamples(**settings)
    for number in range(n):
        samples.add(progress(number))
    return list(samples)


def test_few_are_all_there():
    assert [sample.n_exhausted for sample in sampled(10)] == list(range(10))
    assert sampled(2)[1].limit_s == 0.5
    assert sampled(2)[1].n_turns == (1, 0)
    assert sampled(0) == []


def test_many_are_thinned_out_evenly_and_end_with_the_last():
    times = [sample.elapsed_s for sample in sampled(10_000)]
    assert MOST_SAMPLES / 2 <= len(times) <= MOST_SAMPLES
    assert (times[0], times[-1]) == (0.0, 9999.0)
    steps = {later - earlier for earlier, later in pairwise(times)}
    assert len(steps - {times[-1] - times[-2]}) == 1


def test_times_go_on_from_earlier_sessions():
    assert sampled(1, before_ns=3 * 10**9)[0].elapsed_s == 3.0
