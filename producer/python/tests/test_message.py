"""Reading messages: the vectors of bodies and of whole messages, and what no vector can hold."""

from __future__ import annotations

import pytest

import vectors
from katib_stream import Event, InvalidEvent
from katib_stream._contract import Code
from katib_stream._event import encode_event
from katib_stream._identity import Identity
from katib_stream._message import Stored, decode, decode_events
from katib_stream._subject import Subject
from katib_stream._time import parse_time

BODIES = vectors.load("events.json", "name body events code line beyond_schema")
MESSAGES = vectors.load(
    "messages.json", "name subject headers body epoch sequence time identity to final events code line"
)


@pytest.mark.parametrize("row", BODIES, ids=vectors.names(BODIES))
def test_body(row: vectors.Row) -> None:
    body = vectors.data(row["body"])
    if "code" not in row:
        assert tuple(decode_events(body)) == vectors.events(row["events"])
        return
    with pytest.raises(InvalidEvent) as caught:
        decode_events(body)
    assert (caught.value.code, caught.value.line) == (row["code"], row["line"])


@pytest.mark.parametrize("row", MESSAGES, ids=vectors.names(MESSAGES))
def test_message(row: vectors.Row) -> None:
    body, time = vectors.data(row["body"]), parse_time(row["time"])
    message = decode(Stored(row["subject"], row["headers"], body, row["epoch"], row["sequence"], time))
    identity = row["identity"]
    assert message.identity == Identity(identity["source"], identity["number"])
    assert message.identity.numbered == identity["numbered"]
    assert message.subject == (Subject(**row["to"]) if "to" in row else None)
    if "code" in row:
        assert message.broken is not None
        assert (message.broken.code, message.broken.line) == (row["code"], row["line"])
        assert message.events == ()
    else:
        assert message.broken is None
        assert (message.final, message.events) == (row["final"], vectors.events(row["events"]))


@pytest.mark.parametrize("row", BODIES, ids=vectors.names(BODIES))
def test_what_is_read_can_be_written_and_read_again(row: vectors.Row) -> None:
    events = list(vectors.events(row.get("events", [])))
    lines = "".join(encode_event(event) + "\n" for event in events)
    assert decode_events(lines.encode()) == events


def test_nesting_neither_overflows_nor_escapes_as_another_error() -> None:
    def body(depth: int) -> bytes:
        return b'{"x":' + b"[" * depth + b"]" * depth + b',"metrics":{"loss":1}}'

    assert len(decode_events(body(100))) == 1
    with pytest.raises(InvalidEvent) as caught:
        decode_events(body(500_000))
    assert caught.value.code == "json"


@pytest.mark.parametrize(
    ("line", "code", "detail"),
    [
        pytest.param('{"metrics":{"loss":NaN}}', "json", "write them as strings", id="bare NaN"),
        pytest.param('{"metrics":{"loss":-Infinity}}', "json", "write them as strings", id="bare infinity"),
        pytest.param('{"metrics":{"loss":[]}}', "metric-value", '"loss" is an array', id="array"),
        pytest.param('{"metrics":{"loss":{}}}', "metric-value", '"loss" is an object', id="object"),
        pytest.param('{"step":"1","metrics":{"loss":1}}', "step", 'step "1" is not an integer', id="step as text"),
        pytest.param('{"time":12,"metrics":{"loss":1}}', "time", 'time "12" is not a string', id="time as number"),
        pytest.param('{"x":1,"x":2}', "duplicate", 'field "x" stands twice', id="field twice"),
        pytest.param("nonsense" * 20, "json", "(160 characters)", id="long line"),
    ],
)
def test_errors_say_what_is_wrong_and_where(line: str, code: Code, detail: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_events(b"\n" + line.encode())
    assert caught.value.code == code
    assert detail in caught.value.detail
    assert str(caught.value) == f"line 2: {caught.value.detail}"


def test_events_hold_plain_texts() -> None:
    # A subclass from inside the parser would show in users' assertions and break their pickles.
    (event,) = decode_events(b'{"metrics":{"loss":0.5,"state":"ok"}}')
    assert event == Event(None, None, (("loss", "0.5"), ("state", "ok")))
    assert {type(text) for metric in event.metrics for text in metric} == {str}
