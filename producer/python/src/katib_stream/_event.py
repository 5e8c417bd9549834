"""What an event is, the rules for its parts, and how it is written as one line of JSON.

The bytes are those that the Go package `schema` writes for the same event. What a user reports is turned into such a
line by :mod:`katib_stream._metrics`; :mod:`katib_stream._message` reads lines.
"""

from __future__ import annotations

import json
import operator
import re
from typing import NamedTuple, SupportsIndex

from ._contract import InvalidEvent, quote, show
from ._time import UNSET, format_time

MAX_NAME = 255  # characters
MAX_VALUE = 65_535  # bytes
MAX_STEP = 2**63 - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

#: Tells whether a text is a JSON number as a whole.
is_number = _NUMBER.fullmatch

#: Writes a text as a JSON string that escapes only what JSON makes it escape, as shortly as it can.
encode_string = json.JSONEncoder(ensure_ascii=False).encode


class Event(NamedTuple):
    """What one report says.

    >>> Event(time=1_795_521_600_000_000_000, step=3, metrics=(("loss", "0.125"),)).metrics
    (('loss', '0.125'),)
    """

    #: When it happened, in nanoseconds since the Unix epoch; years 1 to 9999. None: when the stream stored the message.
    time: int | None
    #: The training step, from 0 to 2^63-1; None when there is none.
    step: int | None
    #: At least one name with its value, the text that Katib DB gets to the letter; no name stands twice.
    metrics: tuple[tuple[str, str], ...]


def encode_event(event: Event) -> str:
    """Writes a valid event as one line of JSON, without the newline. Raises InvalidEvent for a time out of range.

    A value that is a JSON number is written as one, any other as a string.

    >>> encode_event(Event(None, 3, (("loss", "0.9900"), ("state", "unavailable"))))
    '{"step":3,"metrics":{"loss":0.9900,"state":"unavailable"}}'
    """
    stamp = None if event.time is None or event.time == UNSET else format_time(event.time)
    fields = (
        f"{encode_string(name)}:{value if is_number(value) else encode_string(value)}" for name, value in event.metrics
    )
    return event_line(stamp, event.step, "{" + ",".join(fields) + "}")


def event_line(stamp: str | None, step: int | None, metrics: str) -> str:
    """Puts a line together of a time as it is written, a step that was checked, and the JSON object of the metrics."""
    if stamp is not None and step is None:  # what training code nearly always reports
        return f'{{"time":"{stamp}","metrics":{metrics}}}'
    time_field = "" if stamp is None else f'"time":"{stamp}",'
    step_field = "" if step is None else f'"step":{step},'
    return f'{{{time_field}{step_field}"metrics":{metrics}}}'


def check_step(step: SupportsIndex) -> int:
    """Gives a step as an int, also one of NumPy. Raises InvalidEvent unless it is an integer from 0 to 2^63-1."""
    if not isinstance(step, bool):
        try:
            number = operator.index(step)
        except Exception:  # TypeError, or whatever an array of several elements raises
            number = -1
        if 0 <= number <= MAX_STEP:
            return number
    raise InvalidEvent(f"step {show(step)} is not an integer from 0 to 2^63-1", code="step")


def check_name(name: str) -> None:
    """Raises InvalidEvent unless the metric's name is 1 to 255 characters, none of them a control character."""
    if not is_utf8(name):
        raise InvalidEvent(f"metric {quote(name)} is not valid UTF-8", code="utf8")
    if not 1 <= len(name) <= MAX_NAME or _CONTROL.search(name):
        detail = f"metric name {quote(name)} is not 1 to {MAX_NAME} characters without control characters"
        raise InvalidEvent(detail, code="metric-name")


def check_value(name: str, value: str) -> None:
    """Raises InvalidEvent unless the value's text is at most 65,535 bytes of UTF-8 without NUL."""
    size = len(value) if value.isascii() else len(value.encode())
    if size > MAX_VALUE:
        raise InvalidEvent(f"the value of {quote(name)} has {size} bytes; at most {MAX_VALUE} fit", code="metric-value")
    if "\0" in value:
        raise InvalidEvent(f"the value of {quote(name)} contains NUL", code="metric-value")


def is_utf8(text: str) -> bool:
    """Tells whether a text can be written as UTF-8: one with half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
