"""What a file of the spool holds: its messages, and whether something of it was lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from ._format import EVENT, FINAL, FRAME, HALVES, HEADER, MAGIC, MARK, MAX_DESCRIPTION, SETTLED, SPLIT, align

_WRITTEN = re.compile(rb"[^\0]")


class Left(NamedTuple):
    """A message that a segment holds."""

    number: int
    lines: list[bytes]  # of its events, each with its newline
    settled: bool
    final: bool


class Content(NamedTuple):
    """What a segment holds."""

    description: dict[str, str]
    messages: list[Left]  # in the order of their first records
    damaged: int  # places where something was lost that had been accepted
    end: int  # where the next record would begin


class BadSegmentError(Exception):
    """The file is no segment: its header is not valid."""


def read(data: bytes) -> Content:
    """Reads a segment. Raises BadSegmentError."""
    description, begin = _read_header(data)
    damaged, end = 0, begin
    lines: dict[int, list[bytes]] = {}
    settled, final = set(), set()
    for offset, kind, number, payload in _records(data, begin):
        if offset != end:
            damaged += 1
        end = align(offset + 17 + len(payload))
        known = lines.setdefault(number, [])
        if kind == EVENT:
            known.append(payload)
        elif kind == SPLIT:
            keeps, rest = HALVES.unpack(payload)
            lines[rest] = known[keeps:]
            del known[keeps:]
        elif kind == SETTLED:
            settled.add(number)
        else:
            final.add(number)
    messages = [Left(number, held, number in settled, number in final) for number, held in lines.items()]
    return Content(description, messages, damaged, end)


def _read_header(data: bytes) -> tuple[dict[str, str], int]:
    if len(data) < HEADER.size:
        raise BadSegmentError("it is too short")
    magic, length, checksum = HEADER.unpack_from(data)
    text = data[HEADER.size : HEADER.size + length]
    if magic != MAGIC:
        raise BadSegmentError("it is no spool file")
    if length > MAX_DESCRIPTION or len(text) != length or crc32(text) != checksum:
        raise BadSegmentError("its header is damaged")
    try:
        fields = json.loads(text)
        description = {name: str(fields[name]) for name in ("namespace", "trial", "producer")}
    except (ValueError, TypeError, KeyError) as err:
        raise BadSegmentError("its description is not what it should be") from err
    return description, align(HEADER.size + length)


def _records(data: bytes, offset: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Gives place, kind, message and payload of each valid record, passing over what is not valid."""
    found = _find(data, offset)
    while found is not None:
        place, (kind, number, payload) = found
        yield place, kind, number, payload
        found = _find(data, align(place + 17 + len(payload)))


def _find(data: bytes, offset: int) -> tuple[int, tuple[int, int, bytes]] | None:
    """Gives the first valid record from offset on, and its place."""
    while offset + 17 <= len(data):
        record = _record_at(data, offset)
        if record is not None:
            return offset, record
        if data[offset : offset + 8].strip(b"\0"):
            offset += 8
            continue
        written = _WRITTEN.search(data, offset)
        if written is None:
            return None
        offset = written.start() & ~7
    return None


def _record_at(data: bytes, offset: int) -> tuple[int, int, bytes] | None:
    if offset + 17 > len(data):
        return None
    length, checksum = FRAME.unpack_from(data, offset)
    if length < MARK.size or length > len(data) - offset - 8:
        return None
    body = data[offset + 8 : offset + 8 + length]
    if crc32(body) != checksum:
        return None
    kind, number = MARK.unpack_from(body)
    payload = body[MARK.size :]
    if not _fits(kind, payload):
        return None
    return kind, number, payload


def _fits(kind: int, payload: bytes) -> bool:
    if kind == EVENT:
        return payload.endswith(b"\n")
    if kind == SPLIT:
        return len(payload) == HALVES.size
    return kind in (SETTLED, FINAL) and not payload
