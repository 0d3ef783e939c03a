"""Fixtures that tests of the HTTP client's parts share."""

import pytest


class Clock:
    """Seconds since the epoch that move only when a test sets `now`."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()
