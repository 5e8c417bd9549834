"""What a reporter accepted and the stream has not acknowledged: events → batches → numbered messages.

The training thread appends, the delivery thread takes and settles. With a spool every event is in a file before it is
accepted; what is in memory is the copy that is sent.
"""

from __future__ import annotations

from collections import deque
from threading import RLock
from time import time_ns
from typing import TYPE_CHECKING, Callable

from ._errors import ClosedError, EventTooLarge
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

    __slots__ = (
        "attempts",
        "body",
        "events",
        "final",
        "mark",
        "number",
        "open",
        "previous",
        "probe",
        "segment",
        "sent",
        "uncertain",
        "upto",
        "waiting",
    )

    def __init__(self, number: int, segment: Segment | None, previous: Message | None = None) -> None:
        self.number = number
        self.upto = number  # what is reported later is in messages that have a greater one
        self.mark = event_mark(number)
        self.segment = segment  # None: only in memory
        self.previous = previous  # the one that ended when this began, until it is among those to be taken
        self.open = bytearray()  # what it has while it takes events
        self.body = b""  # once it takes no more
        self.events = 0
        self.final = False
        self.attempts = 0
        self.sent = 0.0  # the time of the last attempt, on the monotonic clock
        self.waiting = False  # for the answer to the last attempt
        self.probe = False  # the last attempt was sent to see whether it goes again
        self.uncertain = False  # the stream may hold it, although nobody has said so

    def close(self, body: bytes) -> None:
        """Says what it holds for good."""
        self.body = body
        self.events = body.count(b"\n")


class Wave:
    """What was accepted before a flush: the messages up to a number, and the greatest that is stored of them."""

    def __init__(self, number: int, stored: int) -> None:
        self.number = number
        self.stored = stored


class Outbox:
    """The messages of one producer on their way. Its methods are safe for concurrent use.

    :meth:`append` is also safe in a signal handler, whatever it interrupts; everything else must not be waited for
    there while :meth:`after` takes work. An exception may interrupt the training thread anywhere (Ctrl-C does): so what
    that thread changes it changes with one assignment, after which the rest can be caught up on.
    """

    def __init__(
        self,
        producer: str,
        spool: Spool | None = None,
        batch_bytes: int = BATCH_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.producer = producer
        self.dropped = 0  # events that were refused because the buffer was full
        self.refused = 0  # events that the stream will never take
        self.stored = 0  # the greatest number that the stream acknowledged
        self._spool = spool
        self._batch_bytes = batch_bytes
        self._buffer_bytes = buffer_bytes
        self._lock = RLock()
        self._ended = False
        self._late: deque[tuple[str, int | None, int | None]] = deque()  # what a signal handler reported meanwhile
        self._after: Callable[[], None] | None = None  # what a signal handler wants done
        self._last = 0  # the time of the last event, in microseconds
        self._stamp = Stamper()
        self._bytes = 0  # that are cut and not settled
        self._open = Message(1, None)
        self._cut: list[Message] = []  # the last of them stays when it is taken
        self._next_cut = 0  # the place of the oldest that was not taken
        self._taken: dict[int, Message] = {}  # and not settled
        self._waves: list[Wave] = []
        self._segments: list[Segment] = []  # that are not removed
        self._spare: Segment | None = None  # for when the open message's is full

    def append(self, metrics: str, step: int | None, given: int | None) -> bool:
        """Accepts an event: its metrics as JSON, its step, and its time in nanoseconds; without one it is now.

        False, and not accepted, when the buffer is full. Raises EventTooLarge, ClosedError, and InvalidEvent for a
        time.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined] # a signal's handler, which interrupted its own thread
            self._late.append((metrics, step, given))
            return True
        try:
            with self._lock:
                return self._append(metrics, step, given)
        finally:
            if self._late or self._after is not None:
                self._catch_up()

    def after(self, do: Callable[[], None]) -> bool:
        """For signal handlers: has something done once what the signal interrupted has given the lock back.

        False when it had not taken it: then do it at once.
        """
        if not self._lock._is_owned():  # type: ignore[attr-defined]
            return False
        self._after = do
        return True

    def _catch_up(self) -> None:
        """Does what a signal's handler had to leave."""
        while self._late:
            with self._lock:
                late = self._late.popleft() if self._late else None
                try:
                    taken = late is None or self._append(*late)
                except (EventTooLarge, ClosedError):
                    taken = False
                self.dropped += not taken
        if self._after is not None:
            do, self._after = self._after, None
            do()

    def _append(self, metrics: str, step: int | None, given: int | None) -> bool:
        if self._ended:
            raise ClosedError("the reporter is closed; report before close(), or make another")
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
        message = self._open
        if message.previous is not None:
            self._queue()
        before = len(message.open)
        if before + size + self._bytes > self._buffer_bytes and before + self._bytes:
            return False
        if before and before + size > self._batch_bytes:
            message = self._turn(message.segment)
        if message.segment is not None and not message.segment.append(message.mark, line):
            message = self._turn(self._file_with_room(size))
            if message.segment is not None:
                message.segment.append(message.mark, line)
        message.open += line
        self._last = last
        return True

    def _turn(self, segment: Segment | None) -> Message:
        """Begins the next message. All events of a message lie in one file, so a new file begins one as well."""
        ended = self._open
        if ended.previous is not None:
            self._queue()
        if ended.open:
            self._open = Message(ended.number + 1, segment, ended)
            self._queue()
        elif ended.segment is not segment:
            self._open = Message(ended.number, segment)
        return self._open

    def _queue(self) -> None:
        """Puts the message that ended last among those to be taken, if it is not there yet."""
        ended = self._open.previous
        if ended is not None and not (self._cut and self._cut[-1].number >= ended.number):
            ended.close(bytes(ended.open))
            self._cut.append(ended)
            self._bytes += len(ended.body)
        self._open.previous = None

    def _file_with_room(self, size: int) -> Segment | None:
        spare, self._spare = self._spare, None
        if spare is not None and spare.has_room(size):
            return spare
        return self._make_file(size)

    def _make_file(self, size: int = 0) -> Segment | None:
        made = self._spool.create(self.producer, size) if self._spool is not None else None
        if made is not None:
            self._segments.append(made)
        return made

    # What follows is for the delivery thread; the training thread may call it, but must not wait for it in a handler.

    def open(self) -> None:
        """Makes the first file."""
        made = self._make_file()
        with self._lock:
            self._turn(made)
        self._caught_up()

    def prepare(self) -> None:
        """Makes the next file before it is needed, so that the training thread does not have to; removes old ones."""
        segment = self._open.segment
        if self._spool is not None and self._spare is None and (segment is None or segment.half_full()):
            made = self._make_file()
            with self._lock:
                self._spare = made
                if made is not None and self._open.segment is None:
                    # The open message is in memory only, and stays there; what comes next has a file again.
                    self._turn(made)
                    self._spare = None
        self.sweep()

    def sweep(self) -> None:
        """Removes the files from which everything is settled, and gives the memory of full ones back."""
        if self._spool is None:
            return
        with self._lock:
            used = {id(message.segment) for message in self._unsettled()} | {id(self._open.segment), id(self._spare)}
            done = [segment for segment in self._segments if id(segment) not in used]
            self._segments = [segment for segment in self._segments if id(segment) in used]
            full = [s for s in self._segments if s is not self._open.segment and s is not self._spare]
        for segment in full:
            segment.close_map()
        for segment in done:
            self._spool.remove(segment)

    def _unsettled(self) -> list[Message]:
        """Gives what is cut and not settled, taken or not."""
        if self._open.previous is not None:
            self._queue()
        return [*self._taken.values(), *self._cut[self._next_cut :]]

    def cut(self) -> int:
        """Ends the open message, and gives the greatest number so far; 0 when there is none."""
        with self._lock:
            self._turn(self._open.segment)
            number = self._open.number - 1
        self._caught_up()
        return number

    def batches(self) -> int:
        """Gives how many messages wait to be taken, the open one not included."""
        return len(self._cut) - self._next_cut

    def take(self) -> Message | None:
        """Gives the oldest message that was not taken."""
        with self._lock:
            if self._next_cut >= len(self._cut):
                return None
            message = self._cut[self._next_cut]
            message.open = bytearray()
            self._taken[message.number] = message
            self._next_cut += 1
            if self._next_cut > 64:  # the last stays, for its number
                del self._cut[: self._next_cut - 1]
                self._next_cut = 1
            return message

    def finish(self) -> Message | None:
        """Gives the producer's last message, which has no events: the run ended with that many messages.

        Nothing is accepted from then on. None while there is something to be taken.
        """
        with self._lock:
            if self._open.open or self._unsettled():
                return None
            self._ended = True
            message = self._open
            if message.number == 1:  # a run in which nothing was accepted has no end to mark
                return None
            message.final = True
            self._taken[message.number] = message
            self._open = Message(message.number + 1, message.segment)
            self._note(message, lambda segment: segment.final(message.number))
            return message

    def split(self, message: Message) -> bool:
        """Cuts a message in two that the stream certainly does not hold; the second half is the next to be taken.

        False, and nothing done, when that can't be.
        """
        if message.events < 2 or message.uncertain:
            return False
        body = message.body
        middle = body.rfind(b"\n", 0, len(body) // 2) + 1 or body.index(b"\n") + 1
        keeps = body.count(b"\n", 0, middle)
        with self._lock:
            self._turn(self._open.segment)
            rest = Message(self._open.number, message.segment)
            rest.upto = message.upto
            rest.close(body[middle:])
            self._open = Message(rest.number + 1, self._open.segment)
            noted = self._note(message, lambda segment: segment.split(message.number, keeps, rest.number))
            if not noted and message.segment is not None and self._spool is not None:
                # Who found the file later would send the whole under the number of the first half.
                self._spool.hide(message.segment)
            self._cut.insert(self._next_cut, rest)
            message.close(body[:middle])
            return True

    def settled(self, message: Message, *, stored: bool) -> None:
        """Ends a message, stored or given up."""
        with self._lock:
            self._bytes -= len(message.body)
            self._taken.pop(message.number, None)
            if stored:
                self.stored = max(self.stored, message.number)
                self._note(message, lambda segment: segment.settle(message.number))
            else:
                self.refused += message.events
                if message.segment is not None:
                    message.segment.aside = True
            for wave in self._waves:
                if stored and message.upto <= wave.number:
                    wave.stored = max(wave.stored, message.number)
        if message.segment is not self._open.segment:
            self.sweep()

    def _note(self, message: Message, write: Callable[[Segment], None]) -> bool:
        if message.segment is None or self._spool is None:
            return True
        return self._spool.note(message.segment, write)

    def begin_wave(self) -> Wave:
        """Ends the open message, and follows what becomes of all until now."""
        with self._lock:
            wave = Wave(self.cut(), self.stored)
            self._waves.append(wave)
            return wave

    def end_wave(self, wave: Wave) -> None:
        """Follows it no more."""
        with self._lock:
            self._waves.remove(wave)

    def waiting(self, upto: int | None = None) -> int:
        """Gives how many events are accepted and not settled, of what was accepted up to a number or of all."""
        with self._lock:
            cut = sum(message.events for message in self._unsettled() if upto is None or message.upto <= upto)
            all_of_it = cut + self._open.open.count(b"\n")
        self._caught_up()
        return cut if upto is not None else all_of_it

    def settled_upto(self, number: int) -> bool:
        """Says whether everything that was accepted up to this number is settled."""
        with self._lock:
            return all(message.upto > number for message in self._unsettled())

    def below(self, number: int) -> int:
        """Gives how many messages that are not settled have a lower number."""
        with self._lock:
            return sum(message.number < number for message in self._unsettled())

    def in_memory_only(self) -> int:
        """Gives how many events that wait are in no file."""
        with self._lock:
            cut = sum(message.events for message in self._unsettled() if message.segment is None)
            return cut + (self._open.open.count(b"\n") if self._open.segment is None else 0)

    def idle(self) -> bool:
        """Says whether everything that was accepted is settled."""
        return not (self._open.open or self._taken or self.batches() or self._open.previous)

    @property
    def ended(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._ended

    def _caught_up(self) -> None:
        if (self._late or self._after is not None) and not self._lock._is_owned():  # type: ignore[attr-defined]
            self._catch_up()

    def close(self) -> None:
        """Accepts nothing more, and lets go of the files: those that hold nothing that waits go, the others stay."""
        with self._lock:
            self._turn(self._open.segment)
            self._ended = True
            self._open = Message(self._open.number, None)
            self._spare = None
        self.sweep()
        for segment in self._segments:
            segment.close()
        self._segments = []


def leftover(producer: str, spool: Spool, segment: Segment, messages: list[Left]) -> Outbox:
    """Makes the outbox of what a dead process left in a file. Any of it may be in the stream already."""
    outbox = Outbox(producer, spool)
    outbox._segments = [segment]
    # The one that marks the run's end goes last.
    for left in sorted(messages, key=lambda left: left.final):
        if left.settled or not (left.lines or left.final):
            continue
        message = Message(left.number, segment)
        message.close(b"".join(left.lines))
        message.final = left.final
        message.uncertain = True
        outbox._bytes += len(message.body)
        outbox._cut.append(message)
    return outbox
