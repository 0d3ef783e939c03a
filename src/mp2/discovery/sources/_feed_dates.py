"""Read the dates of feeds.

feedparser reads only the year of `2026/11/25 15:07`, `2026年11月25日` and epochs, and returns the
first day of the current month in that year. So dates are read here, by the grammar of all dates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from mp2.data.date_texts import read_text
from mp2.data.dates import local_time, zone_of

# By the hours east of UTC. ET, CT, MT and PT are without summer time: days are what counts here,
# not an hour.
_ABBREVIATIONS = {
    -10: "HST",
    -9: "AKST",
    -8: "PT PST AKDT",
    -7: "MT MST PDT",
    -6: "CT CST MDT",
    -5: "ET EST CDT",
    -4: "AST EDT",
    -3.5: "NST",
    -3: "ADT",
    0: "Z UT UTC GMT WET",
    1: "BST CET MET",
    2: "CEST MEST EET SAST",
    3: "EEST MSK",
    5.5: "IST",
    8: "HKT SGT AWST",
    9: "JST KST",
    10: "AEST",
    11: "AEDT",
    12: "NZST",
    13: "NZDT",
}
_ZONES = {
    name: timezone(timedelta(hours=hours))
    for hours, names in _ABBREVIATIONS.items()
    for name in names.split()
}
_DOTTED = re.compile(r"\d\.\d{1,2}\.\d{4}")
_ANY_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


def read_instant(text: str) -> datetime | None:
    """Return the instant that a whole text gives, in UTC; None when it is not a date.

    A date without a time is its first instant. A text without a zone is taken as UTC.
    """
    # Digits and colons of full width become plain ones.
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    readings = read_text(line, _zone)
    meant = readings.day_first
    # Of two readings only a day above 12 decides. With dots the day is first.
    if readings.need_order and not _DOTTED.search(line):
        if readings.day_first and readings.month_first:
            return None
        meant = readings.day_first or readings.month_first
    instant = local_time(meant, UTC)
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC)


def has_other_year(text: str, years: Collection[int]) -> bool:
    """Return whether a text names years, and none of `years`."""
    named = {int(year) for year in _ANY_YEAR.findall(text)}
    return bool(named) and named.isdisjoint(years)


def _zone(name: str) -> tzinfo:
    """Return the zone of a name; raises `ValueError` when it is not known."""
    zone = _ZONES.get(name.upper()) or zone_of(name)
    if zone is None:
        raise ValueError(name)
    return zone
