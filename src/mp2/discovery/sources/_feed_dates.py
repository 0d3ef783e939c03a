"""Read the dates of feeds.

feedparser reads only the year of `2026/11/25 15:07`, `2026年11月25日` and epochs, and returns the
first day of the current month in that year. So dates are read here, and a text that is not read to
its end is no date.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Collection

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month_name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?"
    r"|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = (
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?(?:,|\.,?\s|\s)\s?"
    r"|(?:星期|周|週)[一二三四五六日天],?\s*)?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})(?!\d)"

# `03/04/2026` has two readings; only a day above 12 decides. With dots the day is first.
_DATES = [
    re.compile(_WEEKDAY + form, re.IGNORECASE)
    for form in (
        rf"{_YEAR}([-/.])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}})(?!\d)",
        rf"{_YEAR}\s?[年년]\s?(?P<month>\d{{1,2}})\s?[月월]\s?(?P<day>\d{{1,2}})\s?[日号號일]"
        r"(?:\s?\(?(?:星期|周|週)[一二三四五六日天]\)?)?",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?!\d)",
        rf"{_YEAR}[-/\s]{_MONTH}[-/\s](?P<day>\d{{1,2}})(?!\d)",
        rf"{_DAY}[-/.\s]\s?(?:of\s)?{_MONTH},?[-/\s](?P<year>\d{{4}}|\d{{2}})(?!\d)",
        rf"{_MONTH}[-/\s]{_DAY},?[-/\s]{_YEAR}",
        rf"(?P<month>\d{{1,2}})([-/])(?P<day>1[3-9]|2\d|3[01])\2{_YEAR}",
        rf"(?P<day>1[3-9]|2\d|3[01])([-/])(?P<month>\d{{1,2}})\2{_YEAR}",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}",
        # Both readings are the same day.
        rf"(?P<month>\d{{1,2}})([-/])(?P<day>(?P=month))\2{_YEAR}",
    )
]
# `Wed Nov 25 10:00:00 EST 2026`: the year goes to where the others have it.
_YEAR_LAST = re.compile(
    rf"({_WEEKDAY}{_MONTH}\s\d{{1,2}})\s(\d{{1,2}}:\d\d(?::\d\d)?(?:\s[a-z]{{1,5}})?)\s(\d{{4}})",
    re.IGNORECASE,
)
_COMPACT_TIME = re.compile(r"(\d{8})T?(\d{2})(\d{2})(\d{2})?(?=\D|$)", re.IGNORECASE)
_TIME = re.compile(
    r"(?:\s?(?:T|,|@|\||-|at)?\s?(?P<half_before>上午|下午|오전|오후)?\s?"
    r"(?P<hour>\d{1,2})(?:\s?[:时時点點시]\s?(?P<minute>\d{1,2})"
    r"(?:\s?[:分분]\s?(?:(?P<second>\d{1,2})(?:[.,]\d{1,9})?\s?[秒초]?)?)?)?"
    r"\s?(?P<half>[ap]\.?m\.?(?![a-z]))?)?"
    r"\s?(?P<zone>(?:GMT|UTC)?\s?(?P<sign>[+-])(?P<zone_hours>\d{1,2})(?::?(?P<zone_minutes>\d\d))?"
    r"(?:\s[a-z]{2,5})?"
    r"|[a-z]{1,5})?(?:\s?\([a-z ]{1,40}\))?",
    re.IGNORECASE,
)

_ZONE_HOURS: dict[str, float] = {
    "Z": 0,
    "UT": 0,
    "UTC": 0,
    "GMT": 0,
    "WET": 0,
    "BST": 1,
    "CET": 1,
    "MET": 1,
    "CEST": 2,
    "MEST": 2,
    "EET": 2,
    "SAST": 2,
    "EEST": 3,
    "MSK": 3,
    "IST": 5.5,
    "HKT": 8,
    "SGT": 8,
    "AWST": 8,
    "JST": 9,
    "KST": 9,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
    "NST": -3.5,
    "ADT": -3,
    "AST": -4,
    "EDT": -4,
    # ET, CT, MT and PT without summer time: days are what counts here, not an hour.
    "ET": -5,
    "EST": -5,
    "CDT": -5,
    "CT": -6,
    "CST": -6,
    "MDT": -6,
    "MT": -7,
    "MST": -7,
    "PDT": -7,
    "PT": -8,
    "PST": -8,
    "AKDT": -8,
    "AKST": -9,
    "HST": -10,
}

_EPOCH = re.compile(r"(\d{9,10}|\d{13}|\d{16}|\d{19})(?:\.\d{1,9})?")
# Digits of a second, of its thousandth, millionth and billionth.
_EPOCH_UNITS = {9: 1, 10: 1, 13: 10**3, 16: 10**6, 19: 10**9}

_ANY_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


def read_instant(text: str) -> datetime.datetime | None:
    """Return the instant that a whole text gives, in UTC; None when it is not a date.

    A date without a time is its first instant. A text without a zone is taken as UTC.
    """
    # Digits and colons of full width become plain ones.
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    try:
        epoch = _EPOCH.fullmatch(line)
        if epoch:
            digits = epoch[1]
            seconds = int(digits) // _EPOCH_UNITS[len(digits)]
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        line = _YEAR_LAST.sub(r"\1 \4 \3", line)
        line = _COMPACT_TIME.sub(_with_colons, line, count=1)
        for form in _DATES:
            date = form.match(line)
            if date:
                return _instant(date.groupdict(), line[date.end() :])
    except (ValueError, OverflowError):  # the 31st of June, 25 o'clock
        return None
    return None


def has_other_year(text: str, years: Collection[int]) -> bool:
    """Return whether a text names years, and none of `years`."""
    named = {int(year) for year in _ANY_YEAR.findall(text)}
    return bool(named) and named.isdisjoint(years)


def _with_colons(match: re.Match[str]) -> str:
    date, hour, minute, second = match.groups()
    return f"{date} {hour}:{minute}:{second or '00'}"


def _instant(date: dict[str, str], rest: str) -> datetime.datetime | None:
    """Return the instant of a date and the text behind it; None when that is not a time."""
    time = _TIME.fullmatch(rest)
    if time is None:
        return None
    hour = int(time["hour"] or 0)
    half = (time["half"] or time["half_before"] or "").lower()
    # An hour alone is a time only with its half of the day.
    if time["hour"] and not time["minute"] and not half:
        return None
    is_morning = half.startswith(("a", "上", "오전"))
    if is_morning and hour == 12:
        hour = 0
    # `15:07 PM` is written too.
    elif half and not is_morning and hour < 12:
        hour += 12
    offset = _offset(time)
    if offset is None:
        return None
    year = date["year"]
    if len(year) == 2:
        year = f"20{year}"
    if "month" in date:
        month = int(date["month"])
    else:
        month = _MONTHS.index(date["month_name"][:3].lower()) + 1
    local = datetime.datetime(
        int(year),
        month,
        int(date["day"]),
        hour,
        int(time["minute"] or 0),
        # A leap second.
        min(int(time["second"] or 0), 59),
        tzinfo=datetime.UTC,
    )
    return local - offset


def _offset(time: re.Match[str]) -> datetime.timedelta | None:
    """Return the offset from UTC of a time's zone; None when the zone is not known."""
    if time["sign"]:
        hours = int(time["zone_hours"])
        minutes = int(time["zone_minutes"] or 0)
        offset = datetime.timedelta(hours=hours, minutes=minutes)
        if time["sign"] == "-":
            return -offset
        return offset
    zone_hours = _ZONE_HOURS.get((time["zone"] or "UTC").upper())
    if zone_hours is None:
        return None
    return datetime.timedelta(hours=zone_hours)
