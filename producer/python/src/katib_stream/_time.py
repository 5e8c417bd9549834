"""Times on the wire: nanoseconds since the Unix epoch ↔ RFC 3339 in UTC, as the Go package `schema` has them.

The calendar is computed here, because `datetime` neither keeps nanoseconds nor has the year 0, which a time with an
offset may be written in, and because `time.gmtime` does not know times before 1970 on every system.
"""

from __future__ import annotations

import re

from ._contract import InvalidEvent, quote

SECOND = 1_000_000_000  # nanoseconds
_DAY = 86_400  # seconds

#: 0001-01-01T00:00:00Z, which on the wire means that there is no time.
UNSET = -62_135_596_800 * SECOND
_END = 253_402_300_800 * SECOND  # the year 10000 begins

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def format_time(nanoseconds: int) -> str:
    """Writes a time since the Unix epoch as RFC 3339 in UTC, without zeros at the end of its fraction.

    Raises InvalidEvent outside of the years 1 to 9999.

    >>> format_time(1_795_521_600_120_000_000)
    '2026-11-24T12:00:00.12Z'
    """
    seconds, fraction = divmod(_check_range(nanoseconds), SECOND)
    text = _format_seconds(seconds)
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


class Stamper:
    """Writes times as :func:`format_time` does, from microseconds, and fast when they lie in the same second.

    Threads may share one.
    """

    __slots__ = ("_second",)

    def __init__(self) -> None:
        # When the second begins, and its times with a place for the microseconds. In a single attribute, so that no
        # thread sees one half of it changed.
        self._second = (0, "1970-01-01T00:00:00.%06dZ")

    def __call__(self, microseconds: int) -> str:
        """Writes a time since the Unix epoch. Raises InvalidEvent outside of the years 1 to 9999."""
        begin, form = self._second
        fraction = microseconds - begin
        if not 0 <= fraction < 1_000_000:
            seconds = _check_range(microseconds * 1000) // SECOND
            begin, form = seconds * 1_000_000, _format_seconds(seconds) + ".%06dZ"
            self._second = (begin, form)
            fraction = microseconds - begin
        if fraction % 10:
            return form % fraction
        return (form % fraction)[:-1].rstrip("0").rstrip(".") + "Z"


def parse_time(text: str) -> int:
    """Reads RFC 3339 with up to nanoseconds as nanoseconds since the Unix epoch.

    Raises InvalidEvent for anything else, and outside of the years 1 to 9999 in UTC.

    >>> parse_time("2026-11-24T13:00:00.12+01:00")
    1795521600120000000
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise _not_rfc3339(text)
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    offset = (int(offset_hour or 0), int(offset_minute or 0))
    if not (_is_date(year, month, day) and _is_clock(hour, minute, second) and _is_clock(*offset, 0)):
        raise _not_rfc3339(text)
    seconds = _days_before(year, month, day) * _DAY + hour * 3600 + minute * 60 + second
    ahead = offset[0] * 3600 + offset[1] * 60
    seconds += ahead if sign == "-" else -ahead
    return _check_range(seconds * SECOND + int((fraction or "").ljust(9, "0")))


def _check_range(nanoseconds: int) -> int:
    if not UNSET <= nanoseconds < _END:
        raise InvalidEvent(f"a time of {nanoseconds} ns since 1970 is outside of the years 1 to 9999", code="time")
    return nanoseconds


def _not_rfc3339(text: str) -> InvalidEvent:
    detail = f"time {quote(text)} is not RFC 3339 with up to nanoseconds, like 2026-11-24T12:00:00.123456Z"
    return InvalidEvent(detail, code="time")


def _is_clock(hour: int, minute: int, second: int) -> bool:
    return hour < 24 and minute < 60 and second < 60


def _is_date(year: int, month: int, day: int) -> bool:
    if not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month - 1]:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return leap or (month, day) != (2, 29)


# Both ways count in years that begin with March, so that a leap day is a year's last, and in eras of 400 years, after
# which the calendar repeats: 146,097 days, and 719,468 days from the first one to 1970.


def _days_before(year: int, month: int, day: int) -> int:
    """Counts the days from 1970-01-01 to a date of the proleptic Gregorian calendar."""
    if month <= 2:
        year -= 1
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _format_seconds(seconds: int) -> str:
    days, second = divmod(seconds, _DAY)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = (month_from_march + 2) % 12 + 1
    year = era * 400 + year_of_era + (month <= 2)
    return f"{year:04d}-{month:02d}-{day:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
