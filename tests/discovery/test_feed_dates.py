"""The spellings of dates in feeds."""

from __future__ import annotations

import pytest

from mp2.discovery.sources._feed_dates import has_other_year, read_instant

NOON = "2026-11-25T12:00:00+00:00"
MIDNIGHT = "2026-11-25T00:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wed, 25 Nov 2026 12:00:00 GMT", NOON),
        ("Wed, 25 Nov 2026 07:00:00 EST", NOON),
        ("Wed, 25 Nov 2026 13:00:00 +0100 (CET)", NOON),
        ("25 Nov 26 12:00 UT", NOON),
        ("25 Jul 2026 14:00 EDT", "2026-07-25T18:00:00+00:00"),
        ("25 Jul 2026 14:00 CET", "2026-07-25T13:00:00+00:00"),
        ("2026-11-25 07:00 America/New_York", NOON),
        ("Wed,25 Nov 2026 12:00 GMT", NOON),
        ("2026-11-25 12:00:00 +0000 UTC", NOON),
        ("2026-11-25T12:00:00Z", NOON),
        ("2026-11-25T12:00:00.123456Z", NOON),
        ("2026-11-25T17:30:00+05:30", NOON),
        ("2026-11-25 12:00:00 UTC", NOON),
        ("2026-11-25 12:00:00", NOON),
        ("2026-11-25 20:00 GMT+8", NOON),
        ("2026-11-25", MIDNIGHT),
        ("2026/11/25 12:00:00", NOON),
        ("2026/11/25", MIDNIGHT),
        ("2026.11.25 12:00", NOON),
        ("20261125", MIDNIGHT),
        ("20261125T120000Z", NOON),
        ("20261125120000", NOON),
        ("2026年11月25日", MIDNIGHT),
        ("2026年11月25日 12:00", NOON),
        ("2026年11月25日 星期三 12时00分", NOON),
        ("2026年11月25日 下午8:00 +0800", NOON),
        ("２０２６年１１月２５日", MIDNIGHT),
        ("2026년 11월 25일 오후 12:00:00", NOON),
        ("1795608000", NOON),
        ("1795608000.5", NOON),
        ("1795608000123", NOON),
        ("1795608000123456", NOON),
        ("1795608000123456789", NOON),
        ("November 25, 2026", MIDNIGHT),
        ("Nov. 25th, 2026, 12 p.m.", NOON),
        ("Wednesday, November 25, 2026 - 12:00 AM", MIDNIGHT),
        ("25 November 2026", MIDNIGHT),
        ("25-Nov-2026 12:00", NOON),
        ("Wed Nov 25 12:00:00 2026", NOON),
        ("Wed Nov 25 07:00:00 EST 2026", NOON),
        ("Feb 3, 2019 09:30 AM EST", "2019-02-03T14:30:00+00:00"),
        ("2026/2/3 10:00:00", "2026-02-03T10:00:00+00:00"),
        ("25/11/2026 12:00", NOON),
        ("11/25/2026 12:00", NOON),
        ("25.11.2026", MIDNIGHT),
        ("03.04.2026", "2026-04-03T00:00:00+00:00"),
        ("03/03/2026", "2026-03-03T00:00:00+00:00"),
    ],
)
def test_dates_of_feeds(text, expected):
    instant = read_instant(text)
    assert instant is not None
    assert instant.replace(microsecond=0).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026",
        "2026-11",
        "2026-02-31",
        "2026-11-25 25:00",
        "2026-11-25 12",
        "2026-11-25 12:00 and more",
        "Wed, 25 Nov 2026 12:00:00 XYZ",
        "03/04/2026",
        "25 Foo 2026",
        "12",
        "99999999999999999999",
        "-1795608000",
    ],
)
def test_texts_that_are_not_used_up_are_no_dates(text):
    assert read_instant(text) is None


def test_years_in_a_text():
    assert has_other_year("3 février 2019", {2026})
    assert not has_other_year("3 février 2026", {2026})
    assert not has_other_year("soon", {2026})
