"""What this package raises.

::

    KatibStreamError
    ├── InvalidEvent (also a ValueError)     the event, or a name, breaks the contract
    ├── EventTooLarge (also a ValueError)    the event is larger than a message can be
    ├── ConfigError (also a ValueError)      a setting cannot be used, or is missing
    ├── ClosedError                          reported after close()
    └── NotPersisted                         flush(): not everything is known to be in Katib DB
"""

from __future__ import annotations


class KatibStreamError(Exception):
    """The base of all errors of this package."""


class EventTooLarge(KatibStreamError, ValueError):
    """The event is larger than a message can carry, so it was not accepted.

    Attributes:
        size: its bytes, as JSON.
        limit: how many bytes a message can carry.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"the event has {size} bytes, and a message carries at most {limit}; report fewer metrics at a time"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return EventTooLarge, (self.size, self.limit)


class ConfigError(KatibStreamError, ValueError):
    """A setting is missing or cannot be used; the text says which and what to do."""


class ClosedError(KatibStreamError):
    """The reporter was closed before the event was reported."""


class NotPersisted(KatibStreamError):
    """Not everything that was reported before is known to be in Katib DB.

    Attributes:
        events: how many accepted events the stream has not acknowledged.
        refused: how many events can never be stored: too large for the stream, or dropped because the buffer was full.
        dead_letters: how many messages of this producer Katib DB can never take.
        missing: how many messages, acknowledged by the stream, neither it nor Katib DB has.
        cause: in words, what kept flush() from waiting on; empty when everything else is persisted.
    """

    def __init__(
        self, *, events: int = 0, refused: int = 0, dead_letters: int = 0, missing: int = 0, cause: str = ""
    ) -> None:
        self.events = events
        self.refused = refused
        self.dead_letters = dead_letters
        self.missing = missing
        self.cause = cause
        super().__init__(self._text())

    def with_refused(self, events: int) -> NotPersisted:
        """Gives the same with more events that can never be stored."""
        return _not_persisted(self.events, self.refused + events, self.dead_letters, self.missing, self.cause)

    def __reduce__(self) -> tuple[object, ...]:
        return _not_persisted, (self.events, self.refused, self.dead_letters, self.missing, self.cause)

    def _text(self) -> str:
        counts = (
            (self.events, "1 event is not stored", "{} events are not stored"),
            (self.refused, "1 event can never be stored", "{} events can never be stored"),
            (
                self.dead_letters,
                "1 message of this producer is a dead letter",
                "{} messages of this producer are dead letters",
            ),
            (
                self.missing,
                "1 message is neither in the stream nor in Katib DB",
                "{} messages are neither in the stream nor in Katib DB",
            ),
        )
        parts = [one if n == 1 else many.format(n) for n, one, many in counts if n]
        if not self.events and self.cause:
            parts.insert(0, "what was sent is stored")
        text = "not everything is persisted"
        if parts:
            text += ": " + ", ".join(parts)
        if self.cause:
            text += ": " + self.cause
        return text


def _not_persisted(events: int, refused: int, dead_letters: int, missing: int, cause: str) -> NotPersisted:
    return NotPersisted(events=events, refused=refused, dead_letters=dead_letters, missing=missing, cause=cause)
