"""Reads one line of a message's body: an event as JSON.

The standard library parses; what it hides is kept: fields that stand twice, numbers as they were written, halves of
surrogate pairs. How deep the values of unknown fields may be nested is the one thing that the vectors do not pin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ._contract import InvalidEvent, quote
from ._event import MAX_STEP, Event, check_name, check_value, is_utf8
from ._time import UNSET, parse_time

_DIGITS = re.compile("[0-9]+")


class _Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class _Object(list["tuple[str, Any]"]):
    """A JSON object: its fields in their order, also those that stand twice."""

    __slots__ = ()


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_parse_json = json.JSONDecoder(
    object_pairs_hook=_Object, parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
).decode


def decode_line(line: bytes) -> Event:
    """Reads a line that is not blank. Raises InvalidEvent."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise InvalidEvent("the text is not valid UTF-8", code="utf8") from None
    try:
        fields = _parse_json(text)
    except (ValueError, RecursionError):
        raise InvalidEvent(f"{quote(text)} is not a JSON object{_hint_nan(text)}", code="json") from None
    if not isinstance(fields, _Object):
        raise InvalidEvent(f"the line is {quote(text)}, not an object", code="json")
    return _decode_event(fields)


def _hint_nan(text: str) -> str:
    # For those whose language writes what JSON has no number for; Python's does.
    if ":NaN" in text or ": NaN" in text or "Infinity" in text:
        return "; JSON has no NaN and no Infinity, write them as strings"
    return ""


def _decode_event(fields: _Object) -> Event:
    time, step, metrics = None, None, ()  # type: int | None, int | None, tuple[tuple[str, str], ...]
    seen = set()
    for name, value in fields:
        _check_text(name)
        if name in seen:
            raise InvalidEvent(f"field {quote(name)} stands twice", code="duplicate")
        seen.add(name)
        if name == "time":
            time = _decode_time(value)
        elif name == "step":
            step = _decode_step(value)
        elif name == "metrics":
            metrics = _decode_metrics(value)
    if not metrics:
        raise InvalidEvent("the event has no metrics", code="metrics")
    return Event(time, step, metrics)


def _decode_time(value: Any) -> int | None:
    if value is None:
        return None
    if not _is_text(value):
        raise InvalidEvent(f"time {_written(value)} is not a string", code="time")
    time = parse_time(_check_text(value))
    return None if time == UNSET else time


def _decode_step(value: Any) -> int | None:
    if value is None:
        return None
    # A number of more digits is too great, and int() would take its time for it, or refuse it.
    fits = isinstance(value, _Number) and _DIGITS.fullmatch(value) and len(value) <= len(str(MAX_STEP))
    if not fits or int(value) > MAX_STEP:
        raise InvalidEvent(f"step {_written(value)} is not an integer from 0 to 2^63-1", code="step")
    return int(value)


def _decode_metrics(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, _Object):
        raise InvalidEvent(f"metrics is {_written(value)}, not an object", code="metrics")
    metrics = tuple(_decode_metric(*field) for field in value)
    _check_unique(name for name, _ in metrics)
    return metrics


def _decode_metric(name: str, value: Any) -> tuple[str, str]:
    _check_text(name)
    if not isinstance(value, str):
        detail = f"the value of {quote(name)} is {_written(value)}, neither a number nor a string"
        raise InvalidEvent(detail, code="metric-value")
    text = str(_check_text(value))
    check_name(name)
    check_value(name, text)
    return name, text


def _check_unique(names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidEvent(f"metric {quote(name)} stands twice", code="duplicate")
        seen.add(name)


def _check_text(text: str) -> str:
    if not is_utf8(text):
        raise InvalidEvent(f"{quote(text)} escapes half a surrogate pair", code="utf8")
    return text


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _written(value: Any) -> str:
    """Gives what stood there, near enough for an error message."""
    if isinstance(value, _Number):
        return quote(value)
    if isinstance(value, list):
        return "an object" if isinstance(value, _Object) else "an array"
    return json.dumps(value)[:80]
