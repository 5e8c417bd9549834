"""What strangers can write, at random, always the same: bodies, subjects and files of the spool."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import get_args

import pytest

import vectors
from katib_stream import InvalidEvent, _content, _segment
from katib_stream._contract import Code
from katib_stream._event import encode_event
from katib_stream._message import decode_events
from katib_stream._subject import parse_subject

ROUNDS = 5_000
LONGEST = 2 << 10  # bytes of a seed: more finds little and takes long
PIECES = [b"\xff", *(bytes([c]) for c in b'\0\n"{},:e-0.%\\'), b"\\u", b"\\ud800", b"null", b"NaN", b"%2E"]


def seeds(file: str, fields: str, field: str) -> list[bytes]:
    texts = [vectors.data(row[field]) for row in vectors.load(file, fields)]
    return [text for text in texts if len(text) <= LONGEST]


def mutated(dice: random.Random, data: list[bytes]) -> bytes:
    """Gives one of the data with a few bytes changed, left out, put in, or followed by another's end."""
    text = bytearray(dice.choice(data))
    for _ in range(dice.randint(1, 4)):
        place = dice.randint(0, len(text))
        other = dice.choice(data)
        gone, come = dice.choice(
            [
                (dice.randint(0, 8), b""),
                (0, dice.choice(PIECES)),
                (1, bytes([dice.randrange(256)])),
                (len(text), other[dice.randint(0, len(other)) :]),
            ]
        )
        text[place : place + gone] = come
    return bytes(text)


def check_refusal(error: InvalidEvent) -> None:
    assert error.code in get_args(Code)
    assert len(str(error)) < 512
    assert not re.search(r"[\x00-\x1f]", str(error))


def test_bodies() -> None:
    dice = random.Random(1)
    bodies = seeds("events.json", "name body events code line beyond_schema", "body")
    bodies += seeds("encoded.json", "name event line", "line")
    accepted = 0
    for _ in range(ROUNDS):
        body = mutated(dice, bodies)
        try:
            events = decode_events(body)
        except InvalidEvent as error:
            check_refusal(error)
            continue
        accepted += len(events) > 0
        again = "\n".join(map(encode_event, events)).encode()
        assert decode_events(again) == events, body
    assert 100 < accepted < ROUNDS - 100


def test_subjects() -> None:
    dice = random.Random(2)
    subjects = seeds("subjects.json", "name subject namespace trial producer code", "subject")
    accepted = 0
    for _ in range(ROUNDS):
        text = mutated(dice, subjects).decode(errors="replace")
        try:
            subject = parse_subject(text)
        except InvalidEvent as error:
            check_refusal(error)
            continue
        accepted += 1
        assert str(subject) == text
    assert accepted > 50


def test_files(tmp_path: Path) -> None:
    dice = random.Random(3)
    folder = Path(__file__).parents[3] / "internal" / "spool" / "testdata"
    files = [path.read_bytes().rstrip(b"\0") for path in sorted(folder.glob("*.spool"))]
    path = tmp_path / "me-1.spool"
    read = 0
    for _ in range(ROUNDS // 4):
        path.write_bytes(mutated(dice, files))
        try:
            content = _content.read(path.read_bytes())
        except _content.BadSegmentError:
            continue
        read += 1
        numbers = [left.number for left in content.messages]
        assert numbers == sorted(set(numbers))
        assert 0 not in numbers
        assert all(left.lines or left.final for left in content.messages)
        # Where a writer would go on, its notes are found again.
        segment = _segment.claim(str(path))
        assert segment is not None
        segment.offset = content.end
        for number in numbers:
            segment.settle(number)
        segment.close()
        noted = _content.read(path.read_bytes())
        assert [left.number for left in noted.messages if left.settled] == numbers
    assert read > 100


@pytest.mark.parametrize("depth", [10, 100_000])
def test_nested_as_deep_as_anybody_likes(depth: int) -> None:
    body = b'{"x":' + b"[" * depth + b"]" * depth + b',"metrics":{"loss":1}}'
    try:
        assert len(decode_events(body)) == 1
    except InvalidEvent as error:
        check_refusal(error)
