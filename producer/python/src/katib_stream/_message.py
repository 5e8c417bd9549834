"""Reads messages: a body of one event a line, and a whole message as the stream holds it.

It takes and refuses what the Go package `schema` takes and refuses, which the test vectors pin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ._contract import InvalidEvent
from ._event import Event
from ._identity import HEADER_FINAL, HEADER_MESSAGE_ID, Identity, identity_of
from ._line import decode_line
from ._subject import Subject, parse_subject

_SPACE = b" \t\r"


class Stored(NamedTuple):
    """A message as the stream holds it."""

    subject: str
    headers: Mapping[str, Sequence[str]]
    body: bytes
    #: The stream's own, from its metadata.
    epoch: str
    sequence: int
    #: When the stream stored the message, in nanoseconds since the Unix epoch.
    time: int


class Message(NamedTuple):
    """A message that was read."""

    #: None when it could not be read.
    subject: Subject | None
    identity: Identity
    #: Whether the producer's run ended with this message.
    final: bool
    events: tuple[Event, ...]
    #: What breaks the contract; then there are no events, and the rest is what a dead letter is recorded under.
    broken: InvalidEvent | None


def decode(stored: Stored) -> Message:
    """Reads a stored message; it never raises. Events without a time get the message's.

    >>> decode(Stored("katib.metrics.default.my-trial.me", {}, b'{"metrics":{"loss":1}}', "epoch", 1, 0)).events
    (Event(time=0, step=None, metrics=(('loss', '1'),)),)
    """
    message_id = _first(stored.headers, HEADER_MESSAGE_ID)
    try:
        subject = parse_subject(stored.subject)
    except InvalidEvent as broken:
        return Message(None, identity_of("", "", stored.epoch, stored.sequence), False, (), broken)
    identity = identity_of(subject.producer, message_id, stored.epoch, stored.sequence)
    final = _first(stored.headers, HEADER_FINAL) == "true"
    try:
        events = decode_events(stored.body)
        if not events and not final:
            raise InvalidEvent("the message holds no event", code="empty")
    except InvalidEvent as broken:
        return Message(subject, identity, final, (), broken)
    stamped = (event._replace(time=stored.time) if event.time is None else event for event in events)
    return Message(subject, identity, final, tuple(stamped), None)


def _first(headers: Mapping[str, Sequence[str]], name: str) -> str:
    values = headers.get(name)
    return values[0] if values else ""


def decode_events(body: bytes) -> list[Event]:
    """Reads the body of a message: one event a line; blank lines are passed over. InvalidEvent names the line.

    >>> decode_events(b'{"step":3,"metrics":{"loss":0.9900}}')
    [Event(time=None, step=3, metrics=(('loss', '0.9900'),))]
    """
    events = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip(_SPACE):
            continue
        try:
            events.append(decode_line(line))
        except InvalidEvent as broken:
            raise broken.at(number) from None
    return events
