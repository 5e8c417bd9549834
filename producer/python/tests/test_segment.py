"""Files of the spool: the vectors that pin the format for Go and Python, written and read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from katib_stream import _content, _format, _segment
from katib_stream._spool import Spool

FOLDER = Path(__file__).parents[3] / "internal" / "spool" / "testdata"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text())["vectors"]
DESCRIPTION = {"namespace": "default", "trial": "my-trial", "producer": "0" * 32}


def each(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in vectors])


def test_every_file_is_named_by_a_vector() -> None:
    assert sorted(vector["file"] for vector in VECTORS) == sorted(path.name for path in FOLDER.glob("*.spool"))


@each(VECTORS)
def test_read(vector: dict[str, Any]) -> None:
    data = (FOLDER / vector["file"]).read_bytes()
    if "description" not in vector:
        with pytest.raises(_content.BadSegmentError):
            _content.read(data)
        return
    content = _content.read(data)
    assert content.description == vector["description"]
    assert [
        (left.number, [line.decode() for line in left.lines], left.settled, left.final) for left in content.messages
    ] == [
        (m["number"], m.get("lines", []), m.get("settled", False), m.get("final", False))
        for m in vector.get("messages", [])
    ]
    assert content.damaged == vector.get("damaged", False)
    assert content.torn == vector.get("torn", False)
    assert content.end == vector["end"]


@each([vector for vector in VECTORS if vector.get("writes") is not None])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "not mapped"])
def test_write(vector: dict[str, Any], mapped: bool, tmp_path: Path) -> None:
    segment = _segment.create(str(tmp_path / "x.spool"), 4096, vector["description"])
    segment.open_map()
    for write in vector["writes"]:
        number = write["number"]
        if write["op"] == "event":
            assert segment.append(_segment.event_mark(number), write["line"].encode())
            continue
        if not mapped:
            segment.close_map()
        if write["op"] == "split":
            segment.split(number, write["keep"], write["rest"])
        else:
            {"settled": segment.settle, "final": segment.final}[write["op"]](number)
        if not mapped:
            segment.open_map()
    segment.close()
    written = (tmp_path / "x.spool").read_bytes()
    expected = (FOLDER / vector["file"]).read_bytes()
    assert written.rstrip(b"\0") == expected.rstrip(b"\0")
    assert segment.offset == vector["end"]


def filled(path: Path, events: int) -> bytes:
    segment = _segment.create(str(path), 4096, DESCRIPTION)
    segment.open_map()
    for n in range(events):
        assert segment.append(_segment.event_mark(n + 1), b'{"metrics":{"loss":%d}}\n' % n)
    segment.close()
    return path.read_bytes()


def test_wherever_the_end_is_torn_only_the_torn_event_is_missing(tmp_path: Path) -> None:
    data = filled(tmp_path / "x.spool", 3)
    whole = _content.read(data)
    last = 17 + len(whole.messages[-1].lines[0])
    begin = whole.end - _format.align(last)
    for cut in range(begin, begin + last):
        content = _content.read(data[:cut] + bytes(len(data) - cut))
        assert [left.number for left in content.messages] == [1, 2]
        assert not content.damaged
        assert content.torn == (cut > begin)


def test_any_damaged_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    data = filled(tmp_path / "x.spool", 3)
    whole = _content.read(data)
    record = _format.align(17 + len(whole.messages[0].lines[0]))
    for place in range(whole.end - 3 * record, whole.end - record):
        broken = bytearray(data)
        broken[place] ^= 0x41
        content = _content.read(bytes(broken))
        assert content.messages == whole.messages or (content.damaged and len(content.messages) == 2)


def test_a_file_grows_for_notes(tmp_path: Path) -> None:
    segment = _segment.create(str(tmp_path / "x.spool"), 256, DESCRIPTION)
    segment.open_map()
    line = b'{"metrics":{"loss":1}}\n'
    number = 0
    while segment.append(_segment.event_mark(number + 1), line):
        number += 1
    for n in range(number):
        segment.settle(n + 1)
    segment.close()
    content = _content.read((tmp_path / "x.spool").read_bytes())
    assert [left.settled for left in content.messages] == [True] * number


def test_a_segment_that_somebody_has_is_not_claimed(tmp_path: Path) -> None:
    path = str(tmp_path / "x.spool")
    segment = _segment.create(path, 4096, DESCRIPTION)
    assert _segment.claim(path) is None
    segment.close()
    claimed = _segment.claim(path)
    assert claimed is not None
    claimed.remove()
    assert _segment.claim(path) is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"not a spool file at all", b"KSSPOOL1" + b"\xff" * 64])
def test_what_is_no_segment_is_set_aside(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "me-1.spool").write_bytes(content)
    assert list(Spool(str(tmp_path), 1 << 20, "default", "my-trial").leftovers()) == []
    assert os.listdir(tmp_path) == ["me-1.spool.aside"]
    assert (tmp_path / "me-1.spool.aside").read_bytes() == content
    assert "me-1.spool is no file of the spool" in capsys.readouterr().err


def test_a_start_that_failed_leaves_nothing_for_long(tmp_path: Path) -> None:
    old, young = tmp_path / "me-1.spool.tmp", tmp_path / "me-2.spool.tmp"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    list(Spool(str(tmp_path), 1 << 20, "default", "my-trial").leftovers())
    assert os.listdir(tmp_path) == [young.name]
