"""Identity: which messages are the same message, however often they are stored; and the ids of producers."""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

#: The header that carries a message's identity; JetStream drops repeats of it within its duplicate window.
HEADER_MESSAGE_ID = "Nats-Msg-Id"
#: The header that is "true" on a producer's last message.
HEADER_FINAL = "Katib-Stream-Final"

_MAX_NUMBER = 2**63 - 1
_NUMBER = re.compile("[1-9][0-9]{0,18}")


class Identity(NamedTuple):
    """What identifies a message within its namespace and trial."""

    #: The producer of a numbered message; otherwise it begins with "*", which no producer's id does.
    source: str
    #: Counts a producer's messages from 1; else the message's sequence in the stream, or 0 beside an id of its own.
    number: int

    @property
    def numbered(self) -> bool:
        """Whether a producer numbered the message."""
        return not self.source.startswith("*")


def new_producer_id() -> str:
    """Makes an id that nobody has used: a UUIDv7 (RFC 9562) as 32 hex digits.

    Its first 48 bits are the time in milliseconds: who deletes a trial's log tells by them whether a producer is older.
    """
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    low = 0b10 << 62 | random & (1 << 62) - 1
    return f"{milliseconds << 80 | 7 << 76 | (random >> 62 & 0xFFF) << 64 | low:032x}"


def message_id(producer: str, number: int) -> str:
    """Gives the Nats-Msg-Id of a producer's message."""
    return f"{producer}:{number}"


def identity_of(producer: str, msg_id: str, epoch: str, sequence: int) -> Identity:
    """Derives a message's identity from its producer, its Nats-Msg-Id ("" without one) and its place in the stream.

    "<producer>:<number>" with the producer of its subject is a numbered message; any other id is opaque, and hashed.
    """
    if not msg_id:
        return Identity("*" + epoch, sequence)
    prefix, digits = msg_id[: len(producer) + 1], msg_id[len(producer) + 1 :]
    if prefix == producer + ":" and _NUMBER.fullmatch(digits) and int(digits) <= _MAX_NUMBER:
        return Identity(producer, int(digits))
    # Only those who look at messages that others published come here: training code is spared the import.
    from hashlib import sha256

    return Identity("*" + sha256(msg_id.encode("utf-8", "surrogateescape")).hexdigest()[:32], 0)
