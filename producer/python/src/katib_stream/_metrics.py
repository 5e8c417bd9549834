"""What a user reports → the JSON object of the metrics, on the training thread: so it is written to be fast.

Values come in every type that training code has. This module knows no library; what `float()` takes is a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ._contract import InvalidEvent, first_line, quote, show
from ._event import MAX_VALUE, check_name, encode_string, is_number

_MAX_NAMES = 4096
_EXACT = 2**63  # far below where float() refuses an int

# Names that were checked, each as it is written before its value. The work on a name is done once: training code
# reports the same few names over and over. Threads share it; dict's own operations are atomic.
_keys: dict[str, str] = {}


def metrics_json(metrics: Mapping[str, Any]) -> str:
    """Writes what was reported as a JSON object; raises InvalidEvent for what is not metrics.

    A value is written

    - as `repr` writes it, when it is a float (also a subclass, such as NumPy's float64): the shortest text that reads
      back as the same value;
    - digit by digit, when it is an int;
    - else as `str` writes it, where that is a JSON number that reads back as the same value, in the value's own
      precision: a Decimal or a text "0.9900" stays 0.9900, a NumPy or JAX float32 of 0.1 is 0.1;
    - else as its `float()` is written: True is 1.0, a tensor of one element is its number.

    NaN and the infinities are the strings "NaN", "+Inf" and "-Inf", since JSON has no numbers for them.

    >>> metrics_json({"loss": 0.1, "accuracy": "0.9900", "worst": float("nan")})
    '{"loss":0.1,"accuracy":0.9900,"worst":"NaN"}'
    """
    if type(metrics) is not dict:
        metrics = _as_dict(metrics)
    text = ""
    for name, value in metrics.items():
        try:
            key = _keys[name]
        except (KeyError, TypeError):
            key = _key(name)
        if type(value) is float and value - value == 0.0:  # finite, and quicker to find out so than by a call
            text += f"{key}{value!r}"
        else:
            text += key + _value(name, value)
    if not text:
        raise InvalidEvent('the event has no metrics; report at least one, like {"loss": 0.1}', code="metrics")
    return "{" + text[1:] + "}"


def _as_dict(metrics: Any) -> dict[str, Any]:
    if not hasattr(metrics, "keys"):
        raise InvalidEvent(f'metrics is {show(metrics)}, not a mapping like {{"loss": 0.1}}', code="metrics")
    # A mapping that gives a name twice would make a line that the contract refuses; a dict has each once.
    return dict(metrics)


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidEvent(f"the metric name {show(name)} is not a text", code="metric-name")
    name = str.__str__(name)  # what a subclass, such as an Enum of texts, holds, whatever it shows
    check_name(name)
    key = f",{encode_string(name)}:"
    if len(_keys) >= _MAX_NAMES:
        _keys.clear()
    _keys[name] = key
    return key


def _value(name: str, value: Any) -> str:
    if type(value) is int and -_EXACT < value < _EXACT:
        return str(value)
    try:
        number = float(value)
    except Exception as error:  # the value's own code may raise anything
        refusal = f"which float() refuses: {first_line(error)}"
        detail = f"the value of {quote(name)} is {show(value)}, {refusal}; report a number"
        raise InvalidEvent(detail, code="metric-value") from error
    if not isinstance(value, float):
        text = _own_text(value, number)
        if text is not None:
            return text
    if isfinite(number):
        return repr(number)
    return '"NaN"' if number != number else '"+Inf"' if number > 0 else '"-Inf"'


def _own_text(value: Any, number: float) -> str | None:
    """Gives the text that a value has for itself, if it is a JSON number that says no less than the value."""
    try:
        text = str(value)
        if len(text) > MAX_VALUE or not is_number(text):
            return None
        if float(text) == number:
            return text
        # The type of NumPy's that the value has: numbers of fewer bits than a float's have shorter texts.
        return text if float(value.dtype.type(text)) == number else None
    except Exception:  # the value's own code may raise anything; float() gave a number, and that is enough
        return None
