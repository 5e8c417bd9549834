"""Brings messages to the stream: one event loop, one connection at a time, a lane per producer. It runs in a thread.

It looks at the outbox ten times a second instead of being woken by each report: waking it would cost the training
thread more than the report.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from nats import errors

from ._connection import abort, connect
from ._errors import NotPersisted
from ._flush import ask
from ._identity import HEADER_FINAL, HEADER_MESSAGE_ID, message_id
from ._lane import MAX_IN_FLIGHT, PAYLOAD_RESERVE, Lane, read_answer
from ._outbox import Message, Outbox, leftover
from ._say import say
from ._settings import Settings, redact
from ._spool import Spool
from ._subject import flush_subject

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from ._content import Content
    from ._segment import Segment

#: How old an event becomes at most before it is sent, in seconds.
BATCH_WAIT = 0.1
#: How long the end of the process waits, when everything is stored, for a consumer that does not answer, in seconds.
PATIENCE = 2.0

_LEFTOVERS_AT_ONCE = 4  # files
_GRACE = 1.0  # seconds that what others left has when everything of our own is through
_LEFTOVERS_EVERY = 10.0  # seconds between looks for what processes left that died meanwhile
_QUIET = 2.0  # seconds that delivery may be stuck before that is said
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 2.0  # seconds between attempts to connect
_CLOSE_WAIT = 1.0  # seconds that the connection has to close
_LOOK = 0.25  # seconds between looks at whether the connection has ended
_POLL = 0.002  # seconds between looks at what is settled, while somebody waits for it


class Sender:
    """Delivers an outbox, and what dead processes left in its spool. Made and run in a thread of its own."""

    def __init__(self, settings: Settings, outbox: Outbox, spool: Spool | None) -> None:
        self._settings = settings
        self._outbox = outbox
        self._spool = spool
        self._own = Lane(outbox, settings.namespace, settings.trial, leftover=False)
        self._lanes: dict[str, Lane] = {"0": self._own}
        self._named = 0  # lanes so far
        self._servers = list(settings.servers)
        self._client: Client | None = None
        self._inbox = ""
        self._trouble = ""  # why there is no connection
        self._stuck = time.monotonic()  # when delivery went the last time
        self._said = False  # that it is stuck
        self._told = 0  # refused events that a flush has told of
        self._flush_subject = flush_subject(settings.namespace, settings.trial)
        self._flush_denied = ""
        self._deaf = False  # acknowledgements may not be received, which the server says once for a connection
        self._look_at = float("-inf")  # when to look for what others left
        self._leftovers: Iterator[tuple[Segment, Content]] = iter(())
        self._more = False  # there may be more of it
        self._loop = _Loop()
        # What nats-py's own tasks end with when a connection breaks; that it broke is seen, and said, elsewhere.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        asyncio.set_event_loop(self._loop)
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()

    def run(self) -> None:
        """Delivers until :meth:`end` is called."""
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    # These are for other threads.

    def end(self) -> None:
        """Ends :meth:`run`."""
        self._loop.call_soon_threadsafe(self._ending.set)

    def call(self, work: Coroutine[Any, Any, NotPersisted | None], timeout: float) -> NotPersisted | None:
        """Has work done in the loop, and waits for it.

        The caller never holds a lock that the loop takes, as it would with the library's futures: a signal's handler
        could interrupt it there, and wait for the loop as well.
        """
        tasks: list[asyncio.Task[NotPersisted | None]] = []
        done = threading.Lock()
        done.acquire()

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda _: done.release())

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the loop is closed
            work.close()
            return NotPersisted(events=self._outbox.waiting(), cause="delivery has ended")
        if not done.acquire(timeout=min(timeout, threading.TIMEOUT_MAX)):
            return NotPersisted(events=self._outbox.waiting(), cause="the connection hangs")
        if tasks[0].cancelled():
            return NotPersisted(events=self._outbox.waiting(), cause="delivery has ended")
        return tasks[0].result()

    def reason(self) -> str:
        """Says why something is not delivered."""
        if self._client is None:
            return f"not connected: {self._trouble or 'still connecting'}"
        return self._own.denied or self._own.stuck or "no acknowledgement yet"

    async def _main(self) -> None:
        parts = [asyncio.ensure_future(part) for part in (self._keep_connected(), self._keep_sending())]
        await self._ending.wait()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        if self._client is not None:
            await asyncio.wait({asyncio.ensure_future(self._client.close())}, timeout=_CLOSE_WAIT)
        for lane in self._lanes.values():
            lane.outbox.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            for server in random.sample(self._servers, len(self._servers)):
                if await self._connect(server):
                    pause = _FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(_MAX_PAUSE, pause * 2)

    async def _connect(self, server: str) -> bool:
        """Connects to one server, and stays until the connection ends; false when there was none."""
        ended = asyncio.Event()
        try:
            client = await connect(self._settings, server, ended.set, self._server_says)
        except Exception as err:  # also of what reads credentials; the next attempt may find them mended
            self._trouble = f"{redact(server)}: {_plain(err)}"
            return False
        ending = asyncio.ensure_future(ended.wait())
        try:
            await self._use(client)
            # nats-py calls back only when all that was written is through, which never is when the connection hangs.
            while not (ending.done() or client.is_closed):
                await asyncio.wait({ending}, timeout=_LOOK)
            abort(client)
        except Exception as err:  # it broke at once
            self._trouble = f"{redact(server)}: {_plain(err)}"
            abort(client)
        finally:
            ending.cancel()
            self._lose()
        return True

    async def _use(self, client: Client) -> None:
        self._inbox = client.new_inbox()
        self._deaf = False
        await client.subscribe(self._inbox + ".*", cb=self._answered)
        for lane in self._lanes.values():
            lane.reopen()
        self._servers = list(
            dict.fromkeys(self._settings.servers + [url.geturl() for url in client.discovered_servers])
        )
        self._client = client
        self._trouble = ""
        self._wake.set()

    def _lose(self) -> None:
        if self._ending.is_set():
            return  # it is closed in order
        self._client = None
        self._trouble = self._trouble or "the connection was lost"
        for lane in self._lanes.values():
            lane.lost()
        self._wake.set()

    def _server_says(self, err: Exception) -> None:
        text = str(err).lower()  # as nats-py has already made it
        if "permissions violation" not in text:
            if self._client is not None:  # else who connects hears it as well, and knows from which server
                self._trouble = _plain(err)
            return
        if self._inbox and self._inbox.lower() in text:
            self._deaf = True
            for lane in self._lanes.values():
                lane.denied = f"not permitted to receive acknowledgements on {self._inbox}.*"
        for lane in self._lanes.values():
            if lane.subject.lower() in text:
                lane.denied = f"not permitted to publish to {lane.subject}"
        if self._flush_subject.lower() in text:
            self._flush_denied = f"not permitted to publish to {self._flush_subject}"
        self._wake.set()

    async def _answered(self, msg: Msg) -> None:
        name, _, number = msg.subject[len(self._inbox) + 1 :].partition("-")
        lane = self._lanes.get(name)
        if lane is not None and number.isdigit():
            lane.answered(int(number), read_answer(msg.data, msg.headers), time.monotonic())
            self._wake.set()

    async def _keep_sending(self) -> None:
        while True:
            try:
                wait = await self._tick()
            except Exception as err:  # a bug must not end delivery
                say(f"delivery failed, and goes on: {type(err).__name__}: {err}")
                wait = 1.0
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except asyncio.TimeoutError:
                continue
            self._wake.clear()

    async def _tick(self) -> float:
        now = time.monotonic()
        self._outbox.prepare()
        self._look_for_leftovers(now)
        for lane in self._lanes.values():
            lane.expire(now)
        if self._client is not None:
            if self._own.keeps_up() and not self._outbox.batches():
                self._outbox.cut()
            await self._send(self._client)
        self._drop_complete()
        self._tell(time.monotonic())
        now = time.monotonic()
        return min([BATCH_WAIT, *(lane.due(now) for lane in self._lanes.values())])

    async def _send(self, client: Client) -> None:
        for name, lane in list(self._lanes.items()):
            for _ in range(MAX_IN_FLIGHT):
                message = lane.next(time.monotonic())
                if message is None:
                    break
                await self._publish(client, name, lane, message)

    async def _publish(self, client: Client, name: str, lane: Lane, message: Message) -> None:
        limit = client.max_payload - PAYLOAD_RESERVE
        if len(message.body) > limit:
            lane.too_large(message, f"the server takes {limit} bytes", time.monotonic())
            return
        headers = {HEADER_MESSAGE_ID: message_id(lane.outbox.producer, message.number)}
        if message.final:
            headers[HEADER_FINAL] = "true"
        try:
            await client.publish(
                lane.subject, message.body, reply=f"{self._inbox}.{name}-{message.number}", headers=headers
            )
        except (errors.Error, OSError) as err:
            lane.failed(message, _plain(err), time.monotonic())

    def _look_for_leftovers(self, now: float) -> None:
        """Takes up a few files at a time: each is open, and its messages are in memory."""
        if self._spool is None or self._client is None:
            return
        if now >= self._look_at:
            self._look_at = now + _LEFTOVERS_EVERY
            self._leftovers = self._spool.leftovers()
            self._more = True
        while self._more and len(self._lanes) <= _LEFTOVERS_AT_ONCE:
            found = next(self._leftovers, None)
            self._more = found is not None
            if found is not None:
                self._take_up(self._spool, *found)

    def _take_up(self, spool: Spool, segment: Segment, content: Content) -> None:
        of = content.description
        outbox = leftover(of["producer"], spool, segment, content.messages)
        if not outbox.batches():
            spool.remove(segment)
            return
        self._named += 1
        self._lanes[str(self._named)] = Lane(outbox, of["namespace"], of["trial"], leftover=True, path=segment.path)
        events = "1 event" if outbox.waiting() == 1 else f"{outbox.waiting()} events"
        say(f"delivering {events} of trial {of['trial']} that a process left behind in {spool.folder}")

    def _drop_complete(self) -> None:
        for name, lane in list(self._lanes.items()):
            if not lane.leftover:
                continue
            if lane.denied and self._spool is not None:
                say(f"what a process left of another producer stays in the spool: {lane.denied}")
                self._spool.skip(lane.path)
            elif not lane.complete():
                continue
            lane.outbox.close()
            del self._lanes[name]

    def _tell(self, now: float) -> None:
        """Says once that delivery is stuck, and once that it goes again."""
        if self._outbox.idle() or not (self._client is None or self._own.stuck):
            if self._said:
                say("delivery goes again")
            self._said = False
            self._stuck = now
        elif not self._said and now - self._stuck >= _QUIET:
            say(f"delivery is stuck ({self.reason()}); what is reported is kept, and sent when it goes again")
            self._said = True

    # These are what other threads have done.

    async def settle(self, deadline: float) -> None:
        """Waits until the stream has what was accepted, or the deadline passes."""
        number = self._outbox.cut()
        self._wake.set()
        while not self._outbox.settled_upto(number) and not self._own.denied and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)

    async def flush(self, deadline: float, patience: float) -> NotPersisted | None:
        """Waits until what was accepted is persisted; gives what is not."""
        wave = self._outbox.begin_wave()
        try:
            await self.settle(deadline)
            refused, self._told = self._outbox.refused - self._told, self._outbox.refused
            if not self._outbox.settled_upto(wave.number):
                return NotPersisted(events=self._outbox.waiting(wave.number), refused=refused, cause=self.reason())
            if not wave.stored:
                return NotPersisted(refused=refused) if refused else None
            return await self._ask(wave.stored, refused, deadline, patience)
        finally:
            self._outbox.end_wave(wave)

    async def _ask(self, number: int, refused: int, deadline: float, patience: float) -> NotPersisted | None:
        self._flush_denied = ""
        answer = await ask(
            lambda: self._client,
            self._flush_subject,
            self._outbox.producer,
            number,
            deadline=deadline,
            patience=patience,
            denied=lambda: self._flush_denied,
        )
        cause = answer.trouble
        if answer.status == "deleted":
            cause = "the trial was deleted, and its reports with it"
        # Missing are also messages that were given up, and younger ones below the rest of a message that was split.
        missing = 0 if self._outbox.refused else max(0, answer.missing - self._outbox.below(number))
        if answer.status == "missing":
            missing = max(1, missing)
        if cause or refused or answer.dead_letters or missing:
            return NotPersisted(refused=refused, dead_letters=answer.dead_letters, missing=missing, cause=cause)
        return None

    async def close(self, deadline: float) -> NotPersisted | None:
        """Delivers everything, and the mark of the run's end; gives what is not persisted."""
        self._look_at = float("-inf")  # what children left is delivered as well
        self._own.closing = True
        if not self._deaf:
            self._own.reopen()
        self._wake.set()
        await self._until(deadline, lambda: self._own.complete() or bool(self._own.denied))
        left = await self.flush(deadline, patience=PATIENCE)
        # What others left is for the next start, if it takes long.
        await self._until(min(deadline, time.monotonic() + _GRACE), lambda: len(self._lanes) == 1 and not self._more)
        # Who may not ask whether it is persisted did not want to know.
        return None if self._flush_denied and self._own.complete() else left

    async def _until(self, deadline: float, done: Callable[[], bool]) -> None:
        while time.monotonic() < deadline and not done():
            await asyncio.sleep(_POLL)


def import_all(settings: Settings) -> None:
    """Imports what would be imported later on, in the thread: what a name look-up needs, and credentials."""
    import encodings.idna  # noqa: F401
    import ssl  # noqa: F401

    if settings.credentials:
        import nkeys  # noqa: F401


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        # asyncio resolves names in a pool of threads, which takes no work once the interpreter has begun to exit. That
        # is when the last reports are delivered; and this thread has nothing else to do meanwhile.
        return socket.getaddrinfo(host, port, **options)


def _plain(err: BaseException) -> str:
    text = str(err).strip() or type(err).__name__
    return text[len("nats: ") :] if text.startswith("nats: ") else text
