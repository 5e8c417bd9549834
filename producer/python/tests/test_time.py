"""Times on the wire. What is refused, the vectors say; here the arithmetic is compared with the standard library's."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from katib_stream import InvalidEvent
from katib_stream._time import SECOND, UNSET, Stamper, format_time, parse_time

LAST = 253_402_300_799 * SECOND + 999_999_999
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("first", "last", "stride"),
    [
        pytest.param(1, 9999, 59, id="all years"),
        pytest.param(1, 5, 1, id="the first years"),
        pytest.param(1895, 2005, 1, id="a century without and one with a leap day"),
        pytest.param(9995, 9999, 1, id="the last years"),
    ],
)
def test_the_calendar_is_the_standard_librarys(first: int, last: int, stride: int) -> None:
    begin, end = datetime(first, 1, 1, tzinfo=timezone.utc), datetime(last, 12, 31, tzinfo=timezone.utc)
    for days in range(0, (end - begin).days + 1, stride):
        at = begin + timedelta(days=days)
        nanoseconds = (at - EPOCH).days * 86_400 * SECOND
        text = f"{at.year:04d}-{at.month:02d}-{at.day:02d}T00:00:00Z"
        assert format_time(nanoseconds) == text
        assert parse_time(text) == nanoseconds


def test_what_is_written_is_read_as_the_same_time() -> None:
    generator = random.Random(1)
    for _ in range(10_000):
        nanoseconds = generator.randint(UNSET, LAST)
        assert parse_time(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        pytest.param(0, "1970-01-01T00:00:00Z", id="the epoch"),
        pytest.param(-1, "1969-12-31T23:59:59.999999999Z", id="before the epoch"),
        pytest.param(1, "1970-01-01T00:00:00.000000001Z", id="a nanosecond"),
        pytest.param(120_000_000, "1970-01-01T00:00:00.12Z", id="without zeros at the end"),
        pytest.param(UNSET, "0001-01-01T00:00:00Z", id="the first"),
        pytest.param(LAST, "9999-12-31T23:59:59.999999999Z", id="the last"),
    ],
)
def test_format(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize("nanoseconds", [UNSET - 1, LAST + 1, 10**30], ids=["year 0", "year 10000", "far off"])
def test_format_refuses_other_years(nanoseconds: int) -> None:
    for write in (format_time, lambda at: Stamper()(at // 1000)):
        with pytest.raises(InvalidEvent, match="outside of the years 1 to 9999") as caught:
            write(nanoseconds)
        assert caught.value.code == "time"


def test_parse_takes_a_year_that_is_in_range_only_in_utc() -> None:
    assert parse_time("0000-12-31T23:30:00-01:00") == parse_time("0001-01-01T00:30:00Z")


def test_stamper_writes_as_format_time_does() -> None:
    stamp = Stamper()
    generator = random.Random(2)
    second = 1_795_521_600
    for _ in range(10_000):
        second += generator.choice((0, 0, 0, 1, -1, 3600))
        micros = second * 1_000_000 + generator.choice((0, 1, 10, 500_000, 120_000, generator.randrange(1_000_000)))
        assert stamp(micros) == format_time(micros * 1000)
    assert stamp(-1) == "1969-12-31T23:59:59.999999Z"
    assert stamp(0) == "1970-01-01T00:00:00Z"
