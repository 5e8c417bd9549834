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
    messages: list[Left]  # by number
    damaged: bool  # something can no longer be read, or contradicts what was written before it
    torn: bool  # it ends in a record that its writer did not finish, and so had not accepted
    end: int  # where the next record would begin


class BadSegmentError(Exception):
    """The file is no segment: its header is not valid."""


def read(data: bytes) -> Content:
    """Reads a segment. What is damaged in it is passed over. Raises BadSegmentError."""
    description, end = _read_header(data)
    damaged = False
    drafts: dict[int, _Draft] = {}
    for offset, kind, number, payload in _records(data, end):
        fits = _apply(drafts, kind, number, payload)
        damaged = damaged or offset != end or not fits
        end = align(offset + 17 + len(payload))
    messages = [Left(number, d.lines, d.settled, d.final) for number, d in sorted(drafts.items())]
    return Content(description, messages, damaged, _WRITTEN.search(data, end) is not None, end)


class _Draft:
    """What the records said so far of a message."""

    def __init__(self, lines: list[bytes], *, split: bool = False, final: bool = False) -> None:
        self.lines = lines
        self.split = split
        self.final = final
        self.settled = False


def _apply(drafts: dict[int, _Draft], kind: int, number: int, payload: bytes) -> bool:
    """Takes a record in; false when it contradicts those before it, and is passed over."""
    draft = drafts.get(number)
    if kind in (SPLIT, SETTLED):
        if draft is None:
            return False
        if kind == SPLIT:
            return _split(drafts, draft, payload)
        draft.settled = True
        return True
    if draft is None:
        draft = drafts[number] = _Draft([])
    elif kind == EVENT and (draft.split or draft.final or draft.settled):
        return False  # what belongs to it was decided
    if kind == FINAL:
        draft.final = True
    else:
        draft.lines.append(payload)
    return True


def _split(drafts: dict[int, _Draft], draft: _Draft, payload: bytes) -> bool:
    """Parts a message. What was the last message is the first half of it now, so the mark goes to the second."""
    keeps, rest = HALVES.unpack(payload)
    if not 0 < keeps < len(draft.lines) or rest == 0 or rest in drafts or draft.settled:
        return False
    drafts[rest] = _Draft(draft.lines[keeps:], split=True, final=draft.final)
    draft.lines, draft.split, draft.final = draft.lines[:keeps], True, False
    return True


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
        description = {name: fields[name] for name in ("namespace", "trial", "producer")}
    except (ValueError, TypeError, KeyError, RecursionError) as err:
        raise BadSegmentError("its description is not what it should be") from err
    if not all(isinstance(value, str) and value for value in description.values()):
        raise BadSegmentError("its description lacks the namespace, the trial or the producer")
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
    if number == 0 or not _fits(kind, payload):
        return None
    return kind, number, payload


def _fits(kind: int, payload: bytes) -> bool:
    if kind == EVENT:
        return payload.endswith(b"\n")
    if kind == SPLIT:
        return len(payload) == HALVES.size
    return kind in (SETTLED, FINAL) and not payload
