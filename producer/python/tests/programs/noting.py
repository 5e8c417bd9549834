"""What the training programs share: a report that is noted in a file, before it and once it was accepted.

The notes are written with a system call each, so they survive a kill, and processes and threads can share the file.
Each process has values of its own, so that the database can be compared with the notes value by value.
"""

from __future__ import annotations

import itertools
import os

from katib_stream import report_metrics

_file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_count = itertools.count()
#: How many other metrics each event has.
_WIDE = int(os.environ.get("WIDE", "0"))


def report(wide: int = _WIDE) -> None:
    """Reports one event with a value that no other has. It has `wide` other metrics, of 45 bytes each."""
    value = os.getpid() << 24 | next(_count)
    note("begun", value)
    report_metrics({"loss": value, **{f"{number:040}": 0 for number in range(wide)}})
    note("accepted", value)


def note(word: str, value: int) -> None:
    """Notes what became of a value."""
    os.write(_file, f"{word} {value}\n".encode())


def stopped() -> bool:
    """Says whether the test wants no more."""
    return os.path.exists(os.environ["STOP"])


def say(text: str) -> None:
    """Tells the test something."""
    print(text, flush=True)
