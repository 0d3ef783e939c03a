"""Dates as people write them: a text is read in every form that means one day only.

Forms: the year first (`2024-01-02`, `2024/1/2`, `20240102`), a month's name (`02-Jan-2024`,
`Jan 02, 2024`), the year last (`02.01.2024`, which may mean two days), each with or without a time
of day and a zone; seconds, milliseconds, microseconds or nanoseconds since 1970.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mp2.errors import InputError


class Readings(NamedTuple):
    """The times that a text may mean, with the day before the month and the other way round.

    A time is that on the clock of its place; it has a zone where the text names one. Both are the
    same where there is one way to read the text, and None where there is none.
    """

    day_first: datetime | None
    month_first: datetime | None

    @property
    def need_order(self) -> bool:
        """Whether the order of day and month makes a difference."""
        return self.day_first != self.month_first

    def days(self) -> list[date]:
        """Return the different days that may be meant."""
        return list(dict.fromkeys(time.date() for time in self if time is not None))


_NO_DATE = Readings(None, None)
# The second one: `strptime` makes a pattern of a format, which may be none.
_NO_MATCH = (ValueError, re.error)


def readings_of(text: str, date_format: str | None = None) -> Readings:
    """Return what a text may mean; in the `date_format` of `strptime`, if it is written so."""
    trimmed = text.strip()
    if date_format is None:
        return _readings(trimmed)
    try:
        time = datetime.strptime(trimmed, date_format)
    except _NO_MATCH:
        readings = _readings(trimmed)
        # The format has just excluded one of two orders.
        return _NO_DATE if readings.need_order else readings
    return Readings(time, time)


def parse_day(text: str, date_format: str | None = None) -> date | None:
    """Return the one day that a text means, else None."""
    days = readings_of(text, date_format).days()
    return days[0] if len(days) == 1 else None


def may_be_date(text: str) -> bool:
    """Return whether a text looks like a date; a number since 1970 may be any number."""
    return any(readings_of(text)) and _NUMBER.fullmatch(text.strip()) is None


def is_date_format(text: str) -> bool:
    """Return whether a format, as of `strptime`, has a whole date."""
    day = datetime(2024, 12, 31)
    try:
        return datetime.strptime(day.strftime(text), text).date() == day.date()
    except _NO_MATCH:
        return False


def setting_day(
    name: str,
    value: object,
    problems: list[str],
    date_format: str | None = None,
) -> date | None:
    """Return the day of a setting; adds what is wrong with it to `problems`."""
    days = readings_of(str(value), date_format).days()
    if len(days) == 1:
        return days[0]
    meaning = "is not a date"
    if days:
        meaning = f"may be {days[0]} or {days[1]}"
    problems.append(f"{name}: {value!r} {meaning}; write YYYY-MM-DD")
    return None


def iso_day(
    name: str,
    value: str | None,
    date_format: str | None = None,
) -> str | None:
    """Return the day of a setting as YYYY-MM-DD; raises `InputError` for what is no day."""
    if value is None:
        return None
    problems: list[str] = []
    day = setting_day(name, value, problems, date_format)
    if day is None:
        raise InputError(problems)
    return day.isoformat()


# --- zones ---------------------------------------------------------------------------------------

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?(?: ?\(.*\))?")


class _Abbreviation(tzinfo):
    """A zone that is written as EDT or IST: the clock is known, but not its offset."""

    def utcoffset(self, time: datetime | None) -> None:
        """Return None, as for a time without a zone."""

    dst = utcoffset
    tzname = utcoffset


_ABBREVIATION = _Abbreviation()


@lru_cache
def zone_of(name: str) -> tzinfo | None:
    """Return the zone that is called Asia/Tokyo, UTC, +05:30 or the like; None for others."""
    offset = _OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes = offset.groups(default="0")
        distance = timedelta(hours=int(hours), minutes=int(minutes))
        if distance < timedelta(days=1):
            return timezone(-distance if sign == "-" else distance)
    try:
        return UTC if name == "Z" else ZoneInfo(name)
    # The last one: a folder of zones, such as America.
    except (KeyError, ValueError, OSError):
        return None


def local_time(time: datetime | None, zone: tzinfo | None) -> datetime | None:
    """Return a time on the clock of a zone, or of its own place; None when that is unknown."""
    if time is None or (time.tzinfo is _ABBREVIATION and zone is not None):
        return None
    if zone is None:
        return time.replace(tzinfo=None)
    if time.tzinfo is None:
        # Midnight without a zone is a day and not an instant.
        if (time.hour, time.minute, time.second, time.microsecond) == (0, 0, 0, 0):
            return time
        time = time.replace(tzinfo=UTC)
    try:
        return time.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return None


@lru_cache(maxsize=1 << 14)  # a column repeats its few days in every batch
def local_readings(
    text: str,
    date_format: str | None,
    zone: tzinfo | None,
) -> Readings:
    """Return what a text may mean on the clock of a zone."""
    readings = readings_of(text, date_format)
    return Readings(
        local_time(readings.day_first, zone),
        local_time(readings.month_first, zone),
    )


# --- forms ---------------------------------------------------------------------------------------

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?|\d{8}([T ].+)?")
_CLOCK = r"(?:(?:T|[ ,;]+)(?P<clock>\S.*))?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,? +)?"
_NAME = r"(?P<month>[a-z]{3,9})\.?"
# The only form with two readings.
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _CLOCK)
_OTHERS = tuple(
    re.compile(pattern + _CLOCK, re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})([-/. ])(?P<month>\d{1,2}|[a-z]{3,9})\2(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?P<day>\d{1,2})日",
        _WEEKDAY + rf"(?P<day>\d{{1,2}})[-/. ]*{_NAME}[-/., ]*(?P<year>\d{{4}}|\d{{2}})",
        _WEEKDAY + rf"{_NAME}[-/. ]*(?P<day>\d{{1,2}})[-/., ]+(?P<year>\d{{4}})",
    )
)
_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)? *(?P<zone>[^\s:].*)?",
    re.IGNORECASE,
)
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
# Two digits of a year mean 1970 to 2069.
_FIRST_SHORT_YEAR = 70


def _readings(text: str) -> Readings:
    if _ISO.fullmatch(text):
        # A time that is not written as ISO has it is read below.
        with suppress(ValueError):
            time = datetime.fromisoformat(text)
            return Readings(time, time)
    number = _NUMBER.fullmatch(text)
    if number:
        instant = _instant(number[1])
        return Readings(instant, instant)
    year_last = _YEAR_LAST.fullmatch(text)
    if year_last:
        first, _, second, year, clock = year_last.groups()
        return Readings(
            _time(year, second, first, clock),
            _time(year, first, second, clock),
        )
    for form in _OTHERS:
        match = form.fullmatch(text)
        if match:
            meant = _time(match["year"], match["month"], match["day"], match["clock"])
            return Readings(meant, meant)
    return _NO_DATE


def _time(
    year: str,
    month: str,
    day: str,
    clock: str | None,
) -> datetime | None:
    """Return a time; None where a part is not in its range."""
    number = int(year)
    if len(year) == len("24"):
        number += 1900 if number >= _FIRST_SHORT_YEAR else 2000
    try:
        time = datetime(number, _month(month), int(day))
        return time if clock is None else _at_clock(time, clock)
    except ValueError:
        return None


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    for number, name in enumerate(_MONTHS, 1):
        # Three letters or more, as in Sept.
        if name.startswith(text.lower()):
            return number
    raise ValueError(text)


def _at_clock(day: datetime, clock: str) -> datetime:
    match = _TIME.fullmatch(clock)
    if match is None:
        raise ValueError(clock)
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + 12 * (match["half"] in "pP")
    name = match["zone"] or ""
    zone = zone_of(name) if name else None
    if name and zone is None:
        if not (name.isalpha() and name.isupper()):
            raise ValueError(clock)
        zone = _ABBREVIATION
    second = int(match["second"] or 0)
    return day.replace(hour=hour, minute=int(match["minute"]), second=second, tzinfo=zone)


# --- numbers -------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(\d{9,19})(?:\.\d+)?")
_CALENDAR = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d([0-5]\d)?"
)
# The years 1973 to 2099: a number of them in one unit is in no other unit a time of them.
_FIRST_S = 10**8
_STOP_S = 4_102_444_800


def _instant(digits: str) -> datetime | None:
    """Return the time of a number since 1970; its size decides the unit."""
    calendar = _CALENDAR.fullmatch(digits)
    if calendar and calendar[1]:
        return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}")
    # YYYYMMDDHHMM may as well be milliseconds of 1976.
    if calendar:
        return None
    for units_per_s in (1, 10**3, 10**6, 10**9):
        seconds = int(digits) // units_per_s
        if _FIRST_S <= seconds < _STOP_S:
            return datetime.fromtimestamp(seconds, UTC)
    return None
