"""The grammar of dates: a text is read in every form that means one day only, or two.

Forms: the year first (`2024-01-02`, `2024/1/2`, `20240102`, `2024年1月2日`), a month's name
(`02-Jan-2024`, `January 2nd, 2024`), the year last (`02.01.2024`, which may mean two days), each
with or without a weekday, a time of day and a zone; seconds, milliseconds, microseconds or
nanoseconds since 1970. A text that is not read to its end is no date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any, NamedTuple

ZoneOf = Callable[[str], tzinfo]
"""Returns the zone of a name; raises `ValueError` for what is no zone."""


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
        return list(dict.fromkeys(meant.date() for meant in self if meant is not None))


NO_DATE = Readings(None, None)


def read_text(text: str, zone_of: ZoneOf) -> Readings:
    """Return what a text without blanks around it may mean."""
    if _ISO.fullmatch(text):
        # A time that is not written as ISO has it is read below.
        with suppress(ValueError):
            meant = datetime.fromisoformat(text)
            return Readings(meant, meant)
    spaced = _COMPACT.sub(r"\1 \2:\3:\4", text)
    if is_number(spaced):
        instant = _instant(spaced.partition(".")[0])
        return Readings(instant, instant)
    for form in _FORMS:
        match = form.fullmatch(spaced)
        if match:
            with suppress(ValueError):
                return _readings(match.groupdict(), zone_of)
    return NO_DATE


def is_number(text: str) -> bool:
    """Return whether a text may be a number since 1970."""
    return _NUMBER.fullmatch(text) is not None


# --- forms ---------------------------------------------------------------------------------------

# An hour alone is no time of day, though it is one of ISO. Of a fraction with nine digits Python
# ignores what comes behind it.
_ISO = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{8})(?:[T ]\d\d:?\d\d[\d:.,+Z-]*)?")
_COMPACT = re.compile(r"^(\d{8})[T ]*(\d\d)(\d\d)(\d\d)(?!\d)")

_CHINESE_WEEKDAY = "(?:星期|周|週)[一二三四五六日天]"
_WEEKDAY = (
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?[, ]+"
    rf"|{_CHINESE_WEEKDAY},? *)?"
)
_YEAR = r"(?P<year>\d{4})"
_ANY_YEAR = r"(?P<year>\d{4}|\d{2})"
_MONTH = r"(?P<month>\d{1,2}|[a-z]{3,9})"
_NAME = r"(?P<month>[a-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
# XML has dates with a zone and without a time.
_CLOCK = (
    r"(?:(?P<zone>Z|[+-]\d\d:\d\d| GMT| UTC)"
    r"|(?:T|[ ,;]+(?:[@|] *|(?:-|at) +)?)(?P<clock>\S.*))?"
)
_FORMS = tuple(
    re.compile(_WEEKDAY + form, re.IGNORECASE)
    for form in (
        rf"{_YEAR}([-/. ]){_MONTH}\2{_DAY}{_CLOCK}",
        rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d){_CLOCK}",
        rf"{_YEAR} ?[年년] ?{_MONTH} ?[月월] ?{_DAY} ?[日号號일]"
        rf" ?(?:{_CHINESE_WEEKDAY}|\({_CHINESE_WEEKDAY}\))?[T ,;]*(?P<clock>\S.*)?",
        rf"{_DAY}[-/. ]*(?:of )?{_NAME}[-/., ]*{_ANY_YEAR}{_CLOCK}",
        rf"{_NAME}[-/. ]*{_DAY}[-/., ]+{_YEAR}{_CLOCK}",
        # As asctime writes it.
        rf"{_NAME} +{_DAY} (?P<clock>\d\d?:\S+(?: \S+)?) {_YEAR}",
        # The only form with two readings.
        rf"(?P<first>\d\d?)([-/.])(?P<second>\d\d?)\2{_YEAR}{_CLOCK}",
    )
)
_TIME = re.compile(
    r"(?P<half_before>上午|下午|오전|오후)? ?"
    r"(?P<hour>\d{1,2})(?: ?[:时時点點시] ?(?P<minute>\d{1,2})"
    r"(?: ?[:分분] ?(?:(?P<second>\d{1,2})(?:[.,]\d+)? ?[秒초]?)?)?)?"
    r" ?(?P<half>[ap]\.?m\.?(?![a-z]))?"
    # JavaScript puts the zone's name behind it.
    r" *(?P<zone>[^\s:(][^(]*)?(?:\(.*\))?",
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


def _readings(parts: dict[str, Any], zone_of: ZoneOf) -> Readings:
    """Return what the parts of a text mean; raises `ValueError` for what is no month or clock."""
    clock = time()
    if parts.get("zone"):
        clock = time(tzinfo=zone_of(parts["zone"].strip()))
    elif parts["clock"]:
        clock = _clock(parts["clock"], zone_of)
    year = int(parts["year"])
    if len(parts["year"]) == len("24"):
        year += 1900 if year >= _FIRST_SHORT_YEAR else 2000
    if "first" in parts:
        first = int(parts["first"])
        second = int(parts["second"])
        return Readings(_at(year, second, first, clock), _at(year, first, second, clock))
    meant = _at(year, _month(parts["month"]), int(parts["day"]), clock)
    return Readings(meant, meant)


def _at(year: int, month: int, day: int, clock: time) -> datetime | None:
    try:
        return datetime.combine(date(year, month, day), clock)
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


def _clock(text: str, zone_of: ZoneOf) -> time:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    half = (match["half"] or match["half_before"] or "").lower()
    # An hour alone is a time only with its half of the day.
    if not (match["minute"] or half):
        raise ValueError(text)
    hour = int(match["hour"])
    if half:
        hour %= 12
    if half.startswith(("p", "下", "오후")):
        hour += 12
    zone = None
    if match["zone"]:
        zone = zone_of(match["zone"].strip())
    return time(hour, int(match["minute"] or 0), int(match["second"] or 0), tzinfo=zone)


# --- numbers -------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(\d{9,19})(?:\.\d+)?")
# YYYYMMDDHHMM may as well be milliseconds of 1976.
_MINUTE = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d"
)
# The years 1973 to 2099: a number of them in one unit is in no other unit a time of them.
_FIRST_S = 10**8
_STOP_S = 4_102_444_800


def _instant(digits: str) -> datetime | None:
    """Return the time of a number since 1970; its size decides the unit."""
    if _MINUTE.fullmatch(digits):
        return None
    for units_per_s in (1, 10**3, 10**6, 10**9):
        seconds = int(digits) // units_per_s
        if _FIRST_S <= seconds < _STOP_S:
            return datetime.fromtimestamp(seconds, UTC)
    return None
