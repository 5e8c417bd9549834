"""What a reporter accepted and the stream has not acknowledged: events → batches → numbered messages.

The training thread appends, the delivery thread takes and settles. With a spool every event is in a file before it is
accepted; what is in memory is the copy that is sent.
"""

from __future__ import annotations

from collections import deque
from threading import RLock, get_ident
from time import time_ns
from typing import TYPE_CHECKING, Callable

from ._errors import EventTooLarge
from ._event import event_line
from ._segment import event_mark
from ._time import Stamper, format_time

if TYPE_CHECKING:
    from ._content import Left
    from ._segment import Segment
    from ._spool import Spool

#: A batch is cut when it would hold more bytes than this.
BATCH_BYTES = 256 << 10
#: How many bytes of events may be accepted and not yet stored.
BUFFER_BYTES = 64 << 20
#: How long an event's line may be, in bytes: what a message can carry by the contract, less its headers.
MAX_LINE = 1_032_192 - 128

# From here on, the year 9999, a given time is not followed: what comes after it would leave the contract's range.
_LAST_YEAR = 253_370_764_800_000_000  # microseconds


class Message:
    """Events with their number: what is published, as often as it takes, under one id."""

    __slots__ = ("attempts", "body", "events", "final", "number", "probe", "segment", "sent", "uncertain", "waiting")

    def __init__(self, number: int, body: bytes, events: int, segment: Segment | None) -> None:
        self.number = number
        self.body = body
        self.events = events
        self.segment = segment  # None: only in memory
        self.final = False
        self.attempts = 0
        self.sent = 0.0  # the time of the last attempt, on the monotonic clock
        self.waiting = False  # for the answer to the last attempt
        self.probe = False  # the last attempt was sent to see whether it goes again
        self.uncertain = False  # the stream may hold it, although nobody has said so


class Outbox:
    """The messages of one producer on their way. Its methods are safe for concurrent use.

    :meth:`append` is also safe in a signal handler, whatever it interrupts. Everything else that takes the lock must
    not be waited for there while :meth:`after_append` takes work.
    """

    def __init__(
        self,
        producer: str,
        spool: Spool | None = None,
        batch_bytes: int = BATCH_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.producer = producer
        self.accepted = 0  # events, ever
        self.refused = 0  # events that the stream will never take
        self.stored = 0  # the greatest number that the stream acknowledged
        self._spool = spool
        self._batch_bytes = batch_bytes
        self._buffer_bytes = buffer_bytes
        self._lock = RLock()
        self._inside = 0  # the thread that is in append
        self._late: deque[tuple[str, int | None, int | None]] = deque()  # what a signal handler reported meanwhile
        self._after: Callable[[], None] | None = None  # what a signal handler wants done after append
        self._last = 0  # the time of the last event, in microseconds
        self._stamp = Stamper()
        self._number = 1  # of the open batch
        self._mark = event_mark(1)
        self._body = bytearray()
        self._events = 0
        self._waiting = 0  # bytes that are accepted and not settled
        self._cut: deque[Message] = deque()  # not taken
        self._unsettled: dict[int, Message] = {}  # cut, taken or not
        self._segment: Segment | None = None  # takes events
        self._next: Segment | None = None

    def append(self, metrics: str, step: int | None, given: int | None) -> bool:
        """Accepts an event: its metrics as JSON, its step, and its time in nanoseconds; without one it is now.

        False, and not accepted, when the buffer is full. Raises EventTooLarge, and InvalidEvent for the time.
        """
        with self._lock:
            if self._inside:
                self._late.append((metrics, step, given))
                return True
            self._inside = get_ident()
            try:
                taken = self._append(metrics, step, given)
                while self._late:
                    self._append(*self._late.popleft())
            finally:
                self._inside = 0
        if self._after is not None:
            do, self._after = self._after, None
            do()
        return taken

    def _append(self, metrics: str, step: int | None, given: int | None) -> bool:
        # Times strictly increase, so that Katib's order by time is the order of reporting. One that is given is kept.
        if given is None:
            last = time_ns() // 1000
            if last <= self._last:
                last = self._last + 1
            stamp = self._stamp(last)
        else:
            stamp = format_time(given)
            last = max(self._last, -(-given // 1000)) if given // 1000 < _LAST_YEAR else self._last
        line = (event_line(stamp, step, metrics) + "\n").encode()
        size = len(line)
        if size > MAX_LINE:
            raise EventTooLarge(size, MAX_LINE)
        if self._waiting + size > self._buffer_bytes and self._waiting:
            return False
        if self._events and len(self._body) + size > self._batch_bytes:
            self._close_batch()
        segment = self._segment
        if segment is not None and not segment.append(self._mark, line):
            self._rotate(line)
        self._body += line
        self._events += 1
        self._waiting += size
        self._last = last
        self.accepted += 1
        return True

    def after_append(self, do: Callable[[], None]) -> bool:
        """For signal handlers: has something done once the append that the signal interrupted is through.

        False when it interrupted none: then do it at once.
        """
        if self._inside != get_ident():
            return False
        self._after = do
        return True

    def _rotate(self, line: bytes) -> None:
        """Begins the next file with an event, or memory. All events of a message lie in one file, so the batch ends."""
        if self._events:
            self._close_batch()
        full = self._segment
        self._segment = self._next_with_room(len(line))
        if self._segment is not None:
            self._segment.append(self._mark, line)
        if full is not None and self._spool is not None:
            full.close_map()
            if full.messages == 0:
                self._spool.remove(full)

    def _next_with_room(self, size: int) -> Segment | None:
        made, self._next = self._next, None
        if self._spool is None or (made is not None and made.has_room(size)):
            return made
        if made is not None:
            self._spool.remove(made)
        return self._spool.create(self.producer, size)

    def _close_batch(self) -> None:
        self._add(Message(self._number, bytes(self._body), self._events, self._segment))
        self._body = bytearray()
        self._events = 0
        self._renumber()

    def _add(self, message: Message) -> None:
        if message.segment is not None:
            message.segment.messages += 1
        self._unsettled[message.number] = message
        self._cut.append(message)

    def _renumber(self) -> None:
        self._number += 1
        self._mark = event_mark(self._number)

    # What follows is for the delivery thread, but for open and close.

    def open(self) -> None:
        """Makes the first file."""
        if self._spool is None or self._segment is not None:
            return
        made = self._spool.create(self.producer)
        with self._lock:
            self._close_batch_if_any()  # in memory only: of a signal's handler
            self._segment = made

    def prepare(self) -> None:
        """Makes the next file before it is needed, so that the training thread does not have to."""
        segment = self._segment
        if self._spool is None or self._next is not None or (segment is not None and not segment.half_full()):
            return
        made = self._spool.create(self.producer)
        with self._lock:
            self._next = made
            if made is not None and self._segment is None:
                # The open batch is in memory only, and stays there; what comes next has a file again.
                self._close_batch_if_any()
                self._segment, self._next = made, None

    def cut(self) -> int:
        """Ends the open batch, and gives the greatest number so far; 0 when there is none."""
        with self._lock:
            self._close_batch_if_any()
            return self._number - 1

    def _close_batch_if_any(self) -> None:
        if self._events:
            self._close_batch()

    def batches(self) -> int:
        """Gives how many messages wait to be taken, the open batch not included."""
        return len(self._cut)

    def take(self) -> Message | None:
        """Gives the oldest message that was not taken."""
        with self._lock:
            return self._cut.popleft() if self._cut else None

    def finish(self) -> Message:
        """Gives the producer's last message, which has no events: the run ended with that many messages."""
        with self._lock:
            message = Message(self._number, b"", 0, self._segment)
            message.final = True
            self._add(message)
            self._cut.pop()
            self._renumber()
            self._note(message, lambda segment: segment.final(message.number))
            return message

    def split(self, message: Message) -> bool:
        """Cuts a message in two that the stream certainly does not hold; the second half is the next to be taken.

        False, and nothing done, when that can't be.
        """
        if message.events < 2 or message.uncertain:
            return False
        middle = message.body.rfind(b"\n", 0, len(message.body) // 2) + 1 or message.body.index(b"\n") + 1
        keeps = message.body.count(b"\n", 0, middle)
        with self._lock:
            self._close_batch_if_any()
            rest = Message(self._number, message.body[middle:], message.events - keeps, message.segment)
            if not self._note(message, lambda segment: segment.split(message.number, keeps, rest.number)):
                return False
            self._add(rest)
            self._cut.rotate(1)  # to the front
            self._renumber()
            message.body, message.events = message.body[:middle], keeps
            return True

    def settled(self, message: Message, *, stored: bool) -> None:
        """Ends a message, stored or given up."""
        with self._lock:
            self._waiting -= len(message.body)
            del self._unsettled[message.number]
            if stored:
                self.stored = max(self.stored, message.number)
                self._note(message, lambda segment: segment.settle(message.number))
            else:
                self.refused += message.events
            segment = message.segment
            if segment is None:
                return
            segment.messages -= 1
            segment.aside = segment.aside or not stored
            done = segment.messages == 0 and segment is not self._segment
        if done and self._spool is not None:
            self._spool.remove(segment)

    def _note(self, message: Message, write: Callable[[Segment], None]) -> bool:
        if message.segment is None or self._spool is None:
            return True
        return self._spool.note(message.segment, write)

    def waiting(self, upto: int | None = None) -> int:
        """Gives how many events are accepted and not settled, of the messages up to a number or of all."""
        with self._lock:
            cut = sum(message.events for n, message in self._unsettled.items() if upto is None or n <= upto)
            return cut if upto is not None else cut + self._events

    def settled_upto(self, number: int) -> bool:
        """Says whether every message up to this number is settled."""
        with self._lock:
            return all(n > number for n in self._unsettled)

    def in_memory_only(self) -> int:
        """Gives how many events that wait are in no file."""
        with self._lock:
            cut = sum(message.events for message in self._unsettled.values() if message.segment is None)
            return cut + (self._events if self._segment is None else 0)

    def close(self) -> None:
        """Lets go of the files: removes those that hold nothing that waits, and leaves the others."""
        with self._lock:
            self._close_batch_if_any()
            segments = {id(m.segment): m.segment for m in self._unsettled.values()}
            for segment in (self._segment, self._next):
                segments[id(segment)] = segment
            self._segment = self._next = None
        for segment in segments.values():
            if segment is None or self._spool is None:
                continue
            if segment.messages == 0:
                self._spool.remove(segment)
            else:
                segment.close()

    def forget(self) -> None:
        """For a fork's child: closes the files of the parent, which go on being the parent's."""
        segments = {m.segment for m in self._unsettled.values()} | {self._segment, self._next}
        for segment in segments:
            if segment is not None:
                segment.close()


def leftover(producer: str, spool: Spool, segment: Segment, messages: list[Left]) -> Outbox:
    """Makes the outbox of what a dead process left in a file. Any of it may be in the stream already."""
    outbox = Outbox(producer, spool)
    for left in messages:
        if left.settled or not (left.lines or left.final):
            continue
        message = Message(left.number, b"".join(left.lines), len(left.lines), segment)
        message.final = left.final
        message.uncertain = True
        outbox._waiting += len(message.body)
        outbox._add(message)
    return outbox
