"""A transport that needs no server: for the tests of training code."""

from __future__ import annotations

from ._errors import NotPersisted
from ._event import Event
from ._outbox import Outbox


class MemoryTransport:
    """Keeps what is reported in memory, so that training code can be tested without a server.

    >>> from katib_stream import MemoryTransport, Reporter
    >>> memory = MemoryTransport()
    >>> with Reporter(trial="my-trial", transport=memory) as reporter:
    ...     reporter.report({"loss": 0.5}, step=1)
    ...     reporter.report({"loss": 0.25}, step=2)
    >>> memory.metrics("loss")
    [(1, 0.5), (2, 0.25)]
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._outboxes: list[Outbox] = []

    @property
    def events(self) -> list[Event]:
        """Everything that was reported so far, in this order of reporting, as it goes over the wire."""
        from ._message import decode_events  # for tests only

        for outbox in self._outboxes:
            outbox.cut()
            message = outbox.take()
            while message is not None:
                self._events += decode_events(message.body)
                outbox.settled(message, stored=True)
                message = outbox.take()
        return list(self._events)

    def metrics(self, name: str) -> list[tuple[int | None, float]]:
        """Gives step and value of each event that has the metric."""
        return [(event.step, float(value)) for event in self.events for n, value in event.metrics if n == name]

    def attach(self, outbox: Outbox) -> MemoryDelivery:
        """Takes what a reporter accepts; the reporter calls it."""
        self._outboxes.append(outbox)
        return MemoryDelivery(self)


class MemoryDelivery:
    """What stands in place of the delivery thread."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    def start(self) -> None:
        """Starts nothing."""

    def flush(self, timeout: float) -> None:
        """Takes over what was reported; it is persisted as much as it ever will be."""
        _ = self._transport.events

    def settle(self, timeout: float) -> None:
        """Takes over what was reported."""
        self.flush(timeout)

    def close(self, timeout: float) -> NotPersisted | None:
        """Takes over what was reported."""
        self.flush(timeout)
        return None

    def reason(self) -> str:
        """Says why something is not delivered: it always is."""
        return ""
