"""The spellings of dates, as texts of a column and of settings."""

from __future__ import annotations

from datetime import date

import pytest

from mp2.data.dates import parse_day, readings_of


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02", "20240102", "2024/01/02", "2024.01.02", "2024-1-2", "2024/1/2",
        "02-JAN-2024", "2-Jan-24", "02JAN2024", "Jan 02, 2024", "January 2, 2024", "2 Jan. 2024",
        "2024-Jan-02", "Tue, 02 Jan 2024 00:00:00 GMT", "2024年1月2日",
        "Tue Jan 02 2024 00:00:00 GMT+0530 (India Standard Time)",
        "2024-01-02 00:00:00 UTC", "2024-01-02 16:00:00 EST", "2024-07-02 16:00 EDT",
        "2024-01-02 23:30:00.000+09:00", "2024-01-02T00:00:00Z", "2024-01-02 9:30 -0500",
        "20240102 00:00", "20240102  09:30:00 US/Eastern", "20240102 160000", "20240102000000",
        "1704153600", "1704153600.0", "1704153600000", "1704153600000000", "1704153600000000000",
        " 2024-01-02 12:00:00 AM ", "2024-01-02 4 p.m.", "2024-01-02 23:00 America/New_York",
        "2024-01-02 09:30:00 +0530 IST", "Tue Jan 02 09:30:00 EST 2024", "January 2nd, 2024",
        "2nd of January 2024", "Tuesday, 2 January 2024 at 9:30", "2024-01-02Z",
        "2024년 1월 2일 오후 3:30", "20240102000000Z",
    ],
)  # fmt: skip
def test_texts_with_one_reading(text: str) -> None:
    expected = date(2024, 7, 2) if "07" in text[:8] else date(2024, 1, 2)
    assert parse_day(text) == expected
    assert not readings_of(text).need_order


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "2024-01", "2024-02-30", "2024/13/01", "31 Foo 2024", "Ma 3, 2024",
        "01/02/24", "2024-W01-2", "2024-01-02 noon", "2024-01-02 25:00", "2024-01-02 10:00 nowhere",
        "2024-01-02 10", "2024-01-02 TSLA", "2024-01-02T10:00:00.123456789 nowhere",
        "45293", "-68400000000000", "-1704153600", "99999999999", "202401020000", "20240102.5",
    ],
)  # fmt: skip
def test_texts_that_are_no_dates(text: str) -> None:
    assert readings_of(text) == (None, None)


def test_numbers_since_1970_are_read_by_their_size() -> None:
    for day in (date(1975, 3, 3), date(1999, 12, 31), date(2026, 6, 1), date(2099, 12, 31)):
        seconds = (day - date(1970, 1, 1)).days * 86_400
        for units_per_s in (1, 10**3, 10**6, 10**9):
            assert parse_day(str(seconds * units_per_s)) == day


def test_a_zone_of_many_folders_is_no_zone() -> None:
    # Python's own search for it ends in a RecursionError.
    assert parse_day("2024-01-02 10:00 " + "a/" * 1000 + "a") is None
    assert parse_day("2024-01-02 23:00 America/Argentina/Buenos_Aires") == date(2024, 1, 2)
