"""One producer's way to the stream: which of its messages may be sent now, and what the answers mean.

The rules are those of the Go library (producer/delivery.go, answer.go, gate.go): a bounded number in flight, every
attempt under the same id, and after a failure one message at a time that probes whether it goes again.
"""

from __future__ import annotations

import json
import random

from ._outbox import Message, Outbox
from ._say import say
from ._subject import Subject

#: The stream that takes reports.
STREAM = "KATIB_METRICS"
#: How many messages of a producer may be published and not acknowledged.
MAX_IN_FLIGHT = 64
#: How long an attempt waits for its answer, in seconds, and how long when the server has said that it is not permitted.
ACK_WAIT = 10.0
DENIED_WAIT = 1.0
#: How far the largest message stays under the server's payload limit, in bytes: a dead letter is larger. And headers.
PAYLOAD_RESERVE = (16 << 10) + 128

_FIRST_BACKOFF, _MAX_BACKOFF = 0.1, 5.0  # seconds
_EXCEEDS_MAXIMUM = 10054  # JetStream's code for a message that is larger than the stream takes


class Answer:
    """What the stream said to an attempt."""

    def __init__(
        self, *, error: str = "", duplicate: bool = False, too_large: bool = False, nobody: bool = False
    ) -> None:
        self.error = error
        self.duplicate = duplicate
        self.too_large = too_large
        self.nobody = nobody  # nobody was there, so the stream certainly does not hold it


def read_answer(data: bytes, headers: dict[str, str] | None) -> Answer:
    """Reads the answer of JetStream, or of the server in its place."""
    if not data and (headers or {}).get("Status") == "503":
        return Answer(error=f"no stream takes the subject; is {STREAM} there?", nobody=True)
    try:
        ack = json.loads(data)
        error = ack.get("error")
        if error:
            code = error.get("err_code")
            text = f"{error.get('description')} ({error.get('code')}/{code})"
            return Answer(error=text, too_large=code == _EXCEEDS_MAXIMUM)
        if ack.get("stream") != STREAM:
            return Answer(error=f"stream {ack.get('stream')!r} takes the subject, not {STREAM}")
        return Answer(duplicate=bool(ack.get("duplicate")))
    except (ValueError, AttributeError) as err:
        return Answer(error=f"the acknowledgement cannot be read: {err}")


class Lane:
    """The messages of one outbox in flight. It belongs to the delivery thread."""

    def __init__(self, outbox: Outbox, namespace: str, trial: str, *, leftover: bool, path: str = "") -> None:
        self.outbox = outbox
        self.path = path  # of the file that a dead process left
        self.subject = str(Subject(namespace, trial, outbox.producer))
        self.leftover = leftover
        self.closing = leftover  # nothing is added any more
        self.ended = leftover  # the last message is on its way, or there is none to send
        self.denied = ""  # what the server does not permit
        self.stuck = ""  # why nothing goes
        self.failures = 0  # of probes, one after the other
        self.opens = 0.0  # when the next probe may go
        self._in_flight: dict[int, Message] = {}

    def complete(self) -> bool:
        """Says whether everything is settled, and nothing will come."""
        return self.closing and self.ended and not self._in_flight and not self.outbox.batches()

    def lost(self) -> None:
        """Gives up waiting for answers: the connection that they would have come by is gone."""
        for message in self._in_flight.values():
            if message.waiting:
                message.waiting = message.probe = False
                message.uncertain = True

    def reopen(self) -> None:
        """Lets the next probe go at once: something has changed."""
        if self.denied:  # nobody answers what was not permitted
            self.lost()
        self.opens = 0.0
        self.denied = ""

    def next(self, now: float) -> Message | None:
        """Gives the message to be published now, noted as sent; None when there is none."""
        if self.failures and (now < self.opens or any(m.probe for m in self._in_flight.values())):
            return None
        message = next((m for m in self._in_flight.values() if not m.waiting), None) or self._new()
        if message is None:
            return None
        message.attempts += 1
        message.sent, message.waiting, message.probe = now, True, self.failures > 0
        return message

    def _new(self) -> Message | None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return None
        message = self._last() if self.closing and not self.ended else self.outbox.take()
        if message is not None:
            self._in_flight[message.number] = message
        return message

    def _last(self) -> Message | None:
        """Gives what is left, and when all of it is settled the mark of the run's end: who sees that, sees all."""
        self.outbox.cut()
        message = self.outbox.take()
        if message is None and not self._in_flight:
            message = self.outbox.finish()
            self.ended = self.outbox.ended
        return message

    def keeps_up(self) -> bool:
        """Says whether what is cut now goes out now."""
        return not self.failures and len(self._in_flight) + self.outbox.batches() < MAX_IN_FLIGHT

    def expire(self, now: float) -> None:
        """Has messages sent again whose answer is overdue."""
        for message in self._in_flight.values():
            if message.waiting and now - message.sent >= (DENIED_WAIT if self.denied else ACK_WAIT):
                message.uncertain = True
                self._retry(message, self.denied or f"no acknowledgement within {ACK_WAIT:.0f} s", now)

    def answered(self, number: int, answer: Answer, now: float) -> None:
        """Settles the message that an answer is about, or has it sent again."""
        message = self._in_flight.get(number)
        if message is None:
            return  # settled by the answer to another attempt
        if answer.too_large:
            self.too_large(message, answer.error, now)
        elif answer.error:
            message.uncertain = message.uncertain or not answer.nobody
            self._retry(message, answer.error, now)
        elif answer.duplicate and message.attempts == 1 and not message.uncertain:
            self._give_up(message, "its id was used twice: somebody else publishes as this producer")
        else:
            self._settle(message, stored=True)

    def too_large(self, message: Message, why: str, now: float) -> None:
        """Cuts a message in two that the stream finds too large; what cannot be cut is given up."""
        if message.events == 0:  # only a stream for nothing at all refuses it
            self._retry(message, why, now)
        elif self.outbox.split(message):
            message.waiting = message.probe = False
            message.attempts = 0
        else:
            self._give_up(message, f"it is too large for the stream: {why}")

    def _give_up(self, message: Message, why: str) -> None:
        say(f"message {message.number} with {message.events} events can never be stored: {why}")
        self._settle(message, stored=False)

    def failed(self, message: Message, why: str, now: float) -> None:
        """Has a message sent again that could not be published."""
        message.uncertain = True
        self._retry(message, why, now)

    def _settle(self, message: Message, *, stored: bool) -> None:
        del self._in_flight[message.number]
        self.outbox.settled(message, stored=stored)
        # While messages probe, only an answer to a probe says that it goes again.
        if message.probe or not self.failures or not self._in_flight:
            self.failures = 0
            self.stuck = ""

    def _retry(self, message: Message, why: str, now: float) -> None:
        # Only the first failure and those of probes say anything new.
        if message.probe or not self.failures:
            self.failures += 1
            backoff = min(_MAX_BACKOFF, _FIRST_BACKOFF * 2 ** min(self.failures - 1, 10))
            self.opens = now + backoff * random.uniform(0.5, 1)
        message.waiting = message.probe = False
        self.stuck = why

    def due(self, now: float) -> float:
        """Gives how many seconds until a deadline passes or a probe may go."""
        at = [m.sent + (DENIED_WAIT if self.denied else ACK_WAIT) for m in self._in_flight.values() if m.waiting]
        if self.failures and now < self.opens:
            at.append(self.opens)
        return max(0.0, min(at, default=now + 3600.0) - now)
