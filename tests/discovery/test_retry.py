"""When requests are sent again: clock, sleep and jitter are the test's."""

from __future__ import annotations

import pytest

from mp2.discovery.http.retry import Transient, delay_s, retry_after_s, retrying
from mp2.errors import SourceError


class Source:
    """Fails as given, then succeeds. Only sleeping moves its clock."""

    def __init__(self, *failures, budget_s=100.0):
        self.failures, self.budget_s = list(failures), budget_s
        self.n_calls, self.slept, self.seen = 0, [], []

    def __call__(self):
        self.n_calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "value"

    def call(self):
        return retrying(
            self,
            remaining_s=lambda: self.budget_s - sum(self.slept),
            sleep=self.slept.append,
            jitter=lambda: 0.0,
            observe=lambda error, wait_s: self.seen.append((error.code, wait_s)),
        )


def transient(wait_s=None, code="unavailable"):
    return Transient(SourceError(code, "HTTP 503", retry_after_s=wait_s), wait_s)


def test_waits_grow():
    source = Source(transient(), transient(), transient())
    assert source.call() == "value"
    assert source.slept == [0.25, 0.5, 1.0]
    assert source.seen == [("unavailable", wait_s) for wait_s in source.slept]


def test_jitter_takes_at_most_half_and_the_source_is_obeyed():
    assert [delay_s(n, None, 0.999999) for n in (1, 2, 20)] == pytest.approx(
        [0.5, 1.0, 30.0], rel=1e-5
    )
    assert delay_s(20, None, 0.0) == 15.0
    assert delay_s(1, 7.0, 0.5) == 7.0
    assert delay_s(1, 0.0, 0.0) == 0.25


def test_attempts_are_limited_and_the_last_error_is_the_failure():
    source = Source(*(Transient(SourceError("unavailable", f"HTTP 50{n}")) for n in range(9)))
    with pytest.raises(SourceError, match="HTTP 503") as caught:
        source.call()
    assert source.n_calls == 4
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_wait_that_would_not_end_in_time_is_not_begun():
    source = Source(transient(30.0, "rate_limited"), budget_s=30.0)
    with pytest.raises(SourceError) as caught:
        source.call()
    assert (source.slept, source.n_calls, caught.value.code, caught.value.retry_after_s) == (
        [],
        1,
        "rate_limited",
        30.0,
    )
    assert Source(transient(29.9), budget_s=30.0).call() == "value"


def test_lasting_errors_are_not_tried_again():
    source = Source(SourceError("forbidden", "no"))
    with pytest.raises(SourceError, match="no"):
        source.call()
    assert source.n_calls == 1


def test_a_sleep_may_end_it_all():
    def sleep(seconds):
        raise SourceError("timeout", "cancelled")

    with pytest.raises(SourceError, match="cancelled"):
        retrying(
            Source(transient()),
            remaining_s=lambda: 9.0,
            sleep=sleep,
            jitter=lambda: 0.0,
            observe=lambda error, wait_s: None,
        )


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Sun, 99 Nov 99999 08:49:37 GMT"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"x-ratelimit-reset": "784111787"}, 784111787.0),
        ({"x-ratelimit-reset": "42.5"}, 42.5),
        ({"x-ratelimit-reset": "-1"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset": "9"}, 9.0),
        ({"retry-after": "3", "x-ratelimit-reset": "9"}, 3.0),
    ],
)
def test_retry_after_of_a_response(headers, wait_s):
    assert retry_after_s(headers, now=784111767.0) == wait_s


def test_a_reset_is_a_point_in_time_or_seconds_to_go():
    assert retry_after_s({"x-ratelimit-reset": "1790000030"}, now=1790000000.0) == 30.0
    assert retry_after_s({"x-ratelimit-reset": "1790000030"}, now=1790000099.0) == 0.0
