"""The test vectors of the contract, from the very files that the Go package `schema` runs; they have a README."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from katib_stream import Event
from katib_stream._time import format_time, parse_time

SCHEMA = Path(__file__).parents[3] / "schema"
FOLDER = SCHEMA / "testdata" / "vectors"

Row = dict[str, Any]


def load(file: str, fields: str) -> list[Row]:
    """Reads a file of vectors, strictly: a field that no test looks at, so none of `fields`, would pin nothing."""
    rows: list[Row] = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    known = set(fields.split())
    for row in rows:
        unknown = row.keys() - known
        if unknown:
            raise ValueError(f"{file}: no test looks at {unknown} of {row['name']!r}")
    if len({row["name"] for row in rows}) != len(rows) or not rows:
        raise ValueError(f"{file}: there are no rows, or a name stands twice")
    return rows


def names(rows: Iterable[Row]) -> list[str]:
    """Gives the rows' names, for pytest's ids."""
    return [row["name"] for row in rows]


def data(value: Any) -> bytes:
    """Gives the bytes of a text, which is a string, or parts that are joined."""
    parts = value if isinstance(value, list) else [value]
    return b"".join(_part(part) for part in parts)


def _part(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if "base64" in part:
        return b64decode(part["base64"], validate=True)
    repeat, times = str(part["repeat"]), int(part["times"])
    return repeat.encode() * times


def text(value: Any) -> str:
    """Gives a text that is valid UTF-8."""
    return data(value).decode()


def event(row: Row) -> Event:
    """Gives an event as vectors write it."""
    time = None
    if row["time"] is not None:
        time = parse_time(row["time"])
        if format_time(time) != row["time"]:
            raise ValueError(f"the vector's time {row['time']} is not written as this package writes it")
    return Event(time, row["step"], tuple((text(name), text(value)) for name, value in row["metrics"]))


def events(rows: Iterable[Row]) -> tuple[Event, ...]:
    """Gives events as vectors write them."""
    return tuple(event(row) for row in rows)
