"""Writing events: the vectors, and the parts of a line."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

import vectors
from katib_stream import Event, InvalidEvent, KatibStreamError
from katib_stream._event import check_step, encode_event, event_line
from katib_stream._message import decode_events

ENCODED = vectors.load("encoded.json", "name event line")


@pytest.mark.parametrize("row", ENCODED, ids=vectors.names(ENCODED))
def test_encoded(row: vectors.Row) -> None:
    event, line = vectors.event(row["event"]), vectors.data(row["line"])
    assert encode_event(event).encode() == line
    assert decode_events(line) == [event]


def test_the_first_instant_is_no_time_at_all() -> None:
    (event,) = decode_events(b'{"time":"0001-01-01T00:00:00Z","metrics":{"loss":1}}')
    assert event.time is None
    assert encode_event(event._replace(time=-62_135_596_800 * 10**9)) == '{"metrics":{"loss":1}}'


@pytest.mark.parametrize("step", [0, 3, 2**63 - 1])
def test_step(step: int) -> None:
    assert check_step(step) == step


def test_step_of_numpy() -> None:
    np = pytest.importorskip("numpy")
    assert type(check_step(np.int32(3))) is int


@pytest.mark.parametrize("step", [-1, 2**63, True, 1.0, "1", None], ids=repr)
def test_refused_step(step: Any) -> None:
    with pytest.raises(InvalidEvent, match="is not an integer from 0") as caught:
        check_step(step)
    assert caught.value.code == "step"


@pytest.mark.parametrize("stamp", [None, "2026-11-24T12:00:00Z"])
@pytest.mark.parametrize("step", [None, 0])
def test_line(stamp: str | None, step: int | None) -> None:
    fields = {"time": stamp, "step": step, "metrics": {"loss": 1}}
    wanted = {name: value for name, value in fields.items() if value is not None}
    assert event_line(stamp, step, '{"loss":1}') == json.dumps(wanted, separators=(",", ":"))


def test_invalid_event_is_a_value_error_that_can_be_sent_to_another_process() -> None:
    error = InvalidEvent("no good", code="step", line=3)
    again: InvalidEvent = pickle.loads(pickle.dumps(error))
    assert (type(again), InvalidEvent.__bases__) == (InvalidEvent, (KatibStreamError, ValueError))
    assert (str(again), again.code, again.line, again.detail) == ("line 3: no good", "step", 3, "no good")


def test_event_is_a_value() -> None:
    event = Event(1, None, (("loss", "0.5"),))
    assert event == pickle.loads(pickle.dumps(event))
    assert len({event, Event(1, None, (("loss", "0.5"),))}) == 1
