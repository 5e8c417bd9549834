"""The rules of the contract on the wire, by name, and the error that says which of them was broken.

The codes are those of the Go package `schema`: they stand in the test vectors and in dead letters. Everything here that
reads or writes events, subjects and messages refuses with them.
"""

from __future__ import annotations

import json
import reprlib
from typing import Any, Literal

from ._errors import KatibStreamError

#: What can be broken. `schema/errors.go` says for each what the rule is.
Code = Literal[
    "subject",
    "namespace",
    "trial",
    "producer",
    "empty",
    "utf8",
    "json",
    "duplicate",
    "time",
    "step",
    "metrics",
    "metric-name",
    "metric-value",
]

_SHOWN = 64  # characters of a text that an error repeats


class InvalidEvent(KatibStreamError, ValueError):
    """An event, or a name that belongs to it, breaks the contract, so it was not accepted.

    It is a ValueError, which is what Katib's own `report_metrics` raises for a value that `float()` refuses::

        try:
            report_metrics({"loss": "n/a"})
        except ValueError as error:
            print(error)  # the value of "loss" is 'n/a' (str), which float() refuses: …

    Attributes:
        code: the rule that was broken, such as "metric-value".
        line: the 1-based line of the message's body, 0 for what is not in a body.
        detail: in words what is wrong, and with which value.
    """

    def __init__(self, detail: str, *, code: Code, line: int = 0) -> None:
        self.code: Code = code
        self.line = line
        self.detail = detail
        super().__init__(f"line {line}: {detail}" if line else detail)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive the pickling that exceptions have, and workers send them to their parent.
        return _invalid_event, (self.detail, self.code, self.line)

    def at(self, line: int) -> InvalidEvent:
        """Gives the same error with the line of the body that it is about."""
        return InvalidEvent(self.detail, code=self.code, line=line)


def _invalid_event(detail: str, code: Code, line: int) -> InvalidEvent:
    return InvalidEvent(detail, code=code, line=line)


def quote(text: str) -> str:
    """Cuts and quotes a text for an error message."""
    # Without non-ASCII characters: half a surrogate pair could be printed nowhere.
    shown = json.dumps(text[:_SHOWN], ensure_ascii=not text[:_SHOWN].isprintable())
    if len(text) <= _SHOWN:
        return shown
    return f"{shown}… ({len(text)} characters)"


def first_line(error: Exception) -> str:
    """Gives the beginning of what an error says: some of libraries' go on for a page."""
    lines = str(error).splitlines() or [""]
    return lines[0] if len(lines[0]) <= 2 * _SHOWN else lines[0][: 2 * _SHOWN] + "…"


def show(value: object) -> str:
    """Says what a value is, for an error message: cut, with its type. It never raises."""
    try:
        text = reprlib.repr(value)
    except Exception:  # whatever a foreign object's own code does
        text = "a value that cannot be shown"
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + "…"
    return f"{text} ({type(value).__name__})"
