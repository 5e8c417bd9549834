"""The reporter: what training code holds. Events go from here to the outbox, and the delivery thread does the rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, SupportsIndex

from . import _lifecycle
from ._contract import InvalidEvent
from ._delivery import Delivery
from ._errors import ClosedError, NotPersisted
from ._event import check_step
from ._identity import new_producer_id
from ._metrics import metrics_json
from ._outbox import Outbox
from ._rank import rank, silence
from ._say import say
from ._settings import Settings
from ._spool import Spool

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from ._memory import MemoryDelivery, MemoryTransport

#: How long a report waits for room when the buffer is full, in seconds.
_ROOM_WAIT = 5.0


class Reporter:
    """Reports the metrics of one trial.

    Inside a Katib Trial's pod it needs no parameters. A parameter that is not given is taken from its environment
    variable (docs/python.md lists them), else from its default.

    >>> from katib_stream import MemoryTransport, Reporter
    >>> with Reporter(trial="my-trial", transport=MemoryTransport()) as reporter:
    ...     for epoch in range(3):
    ...         reporter.report({"loss": 1 / (epoch + 1)}, step=epoch)

    Args:
        trial: the trial's name ($KATIB_TRIAL_NAME).
        namespace: its namespace ($KATIB_STREAM_NAMESPACE); by default the pod's own, outside of a pod "default".
        servers: URLs of NATS servers, a list or separated by commas ($KATIB_STREAM_SERVERS, $NATS_URL).
        credentials: a NATS credentials file ($KATIB_STREAM_CREDS); needs the extra `katib-stream[nkeys]`.
        user, password: what the server may ask for ($KATIB_STREAM_USER, $KATIB_STREAM_PASSWORD).
        token, token_file: a token, or the file that holds it and is read again for every connection
            ($KATIB_STREAM_TOKEN, $KATIB_STREAM_TOKEN_FILE).
        tls_ca, tls_cert, tls_key: PEM files ($KATIB_STREAM_TLS_CA, $KATIB_STREAM_TLS_CERT, $KATIB_STREAM_TLS_KEY).
        inbox_prefix: the prefix of the subjects that acknowledgements come to ($KATIB_STREAM_INBOX_PREFIX).
        spool: the folder where accepted events survive this process, or "none" ($KATIB_STREAM_SPOOL).
        spool_bytes: what the folder may hold, like 268435456 or "256MiB" ($KATIB_STREAM_SPOOL_BYTES).
        ranks: "0": of a distributed run only rank 0 reports; "all": every rank does ($KATIB_STREAM_RANKS).
        on_undelivered: "warn", or "fail" for exit status 74 when the process ends with events that were not delivered
            ($KATIB_STREAM_ON_UNDELIVERED).
        exit_timeout: how many seconds the end of the process may wait for delivery ($KATIB_STREAM_EXIT_TIMEOUT).
        transport: a MemoryTransport, in tests.

    Raises:
        ConfigError: a setting is missing or cannot be used. It is a ValueError.
        InvalidEvent: the trial or namespace is no Kubernetes name. It is a ValueError.
    """

    def __init__(
        self,
        trial: str | None = None,
        namespace: str | None = None,
        *,
        servers: str | Sequence[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        inbox_prefix: str | None = None,
        spool: str | os.PathLike[str] | None = None,
        spool_bytes: int | str | None = None,
        ranks: str | None = None,
        on_undelivered: str | None = None,
        exit_timeout: float | None = None,
        transport: MemoryTransport | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "transport")}
        self._settings = Settings(given, dict(os.environ))
        self._transport = transport
        self._silent = self._is_silent()
        self._closed = False
        self._told = 0  # dropped events that a flush has told of
        self._full = False  # the last event found no room
        self._begin()
        _lifecycle.register(self)

    def _is_silent(self) -> bool:
        found = rank(os.environ)
        if found is None or found[0] == 0 or self._settings.ranks == "all":
            return False
        say(silence(*found))
        return True

    def _begin(self) -> None:
        self._begun = False
        self._delivery: Delivery | MemoryDelivery | None = None
        spool = None if self._transport is not None or self._silent else self._open_spool()
        self._spool = spool
        self._outbox = Outbox(new_producer_id(), spool)

    def _open_spool(self) -> Spool | None:
        settings = self._settings
        try:
            folder = settings.spool_folder()
        except OSError as err:
            say(f"there is no spool ({err}); what is reported is kept in memory only")
            return None
        if folder is None:
            return None
        return Spool(folder, settings.spool_bytes, settings.namespace, settings.trial)

    @property
    def trial(self) -> str:
        """The trial's name."""
        return self._settings.trial

    @property
    def namespace(self) -> str:
        """The trial's namespace."""
        return self._settings.namespace

    @property
    def producer(self) -> str:
        """The id of this writer of the trial: 32 hex digits, and others in each process."""
        return self._outbox.producer

    def report(
        self, metrics: Mapping[str, Any], step: SupportsIndex | None = None, time: datetime | None = None
    ) -> None:
        """Accepts the metrics as one event, and returns within microseconds, whatever becomes of the network.

        When the buffer is full, because nothing was delivered for long, it waits up to 5 s for room. If there is none
        the event is dropped, which is said on standard error; `flush()` and the process's end tell how many were.

        Args:
            metrics: name → number. Names have 1 to 255 characters. Numbers are whatever `float()` takes: also scalars
                of NumPy, torch and JAX, and texts.
            step: the training step, an integer from 0 on.
            time: when it happened, with a time zone. By default now; each event then gets a later time than the last.

        Raises:
            InvalidEvent: a name, a value, the step or the time cannot be reported. It is a ValueError.
            EventTooLarge: the event is larger than a message can carry, 1 MB. It is a ValueError.
            ClosedError: the reporter is closed.
        """
        text = metrics_json(metrics)
        number = None if step is None else check_step(step)
        given = None if time is None else _nanoseconds(time)
        if self._silent:
            return
        if self._closed:
            raise ClosedError("the reporter is closed; report before close(), or make another")
        if self._delivery is None:
            self._start()
        if not self._outbox.append(text, number, given):
            self._append_later(text, number, given)

    def _start(self) -> None:
        with _lifecycle.starting:
            # A signal's handler that reports, and interrupted this, has its event delivered when this goes on.
            if self._delivery is not None or self._begun:
                return
            self._begun = True
            try:
                self._deliver()
            finally:
                self._begun = False

    def _deliver(self) -> None:
        self._outbox.open()
        delivery: Delivery | MemoryDelivery
        if self._transport is not None:
            delivery = self._transport.attach(self._outbox)
        else:
            delivery = Delivery(self._settings, self._outbox, self._spool)
        delivery.start()
        self._delivery = delivery
        _lifecycle.started()

    def _append_later(self, text: str, number: int | None, given: int | None) -> None:
        """Waits for room. After a wait in vain the next reports do not wait until there was room again."""
        deadline = monotonic() + (0.0 if self._full else _ROOM_WAIT)
        pause = threading.Event()
        while not self._outbox.append(text, number, given):
            if monotonic() >= deadline:
                self._outbox.dropped += 1
                if not self._full:
                    say(f"the buffer is full, and events are dropped: {self._reason()}")
                self._full = True
                return
            pause.wait(0.01)
        self._full = False

    def _reason(self) -> str:
        return self._delivery.reason() if self._delivery is not None else "nothing is being delivered"

    def flush(self, timeout: float = 20.0) -> None:
        """Waits until everything that was reported before is in Katib DB.

        Args:
            timeout: how many seconds to wait at most.

        Raises:
            NotPersisted: it is not, or nobody says that it is; the error says what is stored and what is not.
        """
        if self._delivery is None:
            return
        dropped, self._told = self._outbox.dropped - self._told, self._outbox.dropped
        try:
            self._delivery.flush(timeout)
        except NotPersisted as left:
            if not dropped:
                raise
            raise left.with_refused(dropped) from None
        if dropped:
            raise NotPersisted(refused=dropped)

    def close(self, timeout: float | None = None) -> None:
        """Ends the run: delivers what is left, says so in one line when that does not go, and accepts nothing more.

        It never raises because of the network. What was not delivered is in the spool, for the next start.

        Args:
            timeout: how many seconds to wait at most; by default `exit_timeout`, 20 s.
        """
        if self._closed:
            return
        self._closed = True
        _lifecycle.closing(self)
        left = None
        try:
            if self._delivery is None:
                self._outbox.close()
            else:
                left = self._delivery.close(self._settings.exit_timeout if timeout is None else timeout)
        finally:  # also when Ctrl-C ended the wait
            self._tell(left)
            _lifecycle.closed()

    def _tell(self, left: NotPersisted | None) -> None:
        outbox = self._outbox
        undelivered = outbox.waiting()
        gone = outbox.dropped + outbox.refused
        if undelivered:
            what = f"{_events(undelivered)} of trial {self.trial} {_are(undelivered)} not delivered"
            say(f"{what} ({self._reason()}); {self._where()}")
        if gone:
            say(f"{_events(gone)} of trial {self.trial} can never be delivered: see the lines above")
        if not undelivered and not gone and left is not None:
            say(f"trial {self.trial}: {left}")
        if (undelivered or gone) and self._settings.on_undelivered == "fail":
            _lifecycle.fail()

    def _where(self) -> str:
        lost = self._outbox.in_memory_only()
        if self._spool is None or lost == self._outbox.waiting():
            return "they were in memory only, and are lost with this process"
        folder = self._spool.folder
        text = f"the next start delivers them from {folder}, or `katib-stream spool send {folder}`"
        return f"{text}; {_events(lost)} in memory only {_are(lost)} lost" if lost else text

    def _settle(self, timeout: float) -> None:
        """Waits until the stream has what was accepted, without ending anything."""
        if self._delivery is not None and not self._closed:
            self._delivery.settle(timeout)

    def _forked(self) -> None:
        """Makes the copy in a fork's child a producer of its own. What the parent has not sent remains the parent's."""
        # The loop and its sockets are the parent's as well: they must not even be collected here.
        _lifecycle.keep(self._delivery)
        self._told = 0
        self._full = False
        self._begin()

    def __enter__(self) -> Reporter:
        """Begins a block at whose end the reporter is closed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the reporter, also when the block raised."""
        self.close()


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _nanoseconds(time: datetime) -> int:
    from datetime import datetime, timezone  # most reports have no time of their own

    if not isinstance(time, datetime):
        raise InvalidEvent(f"time {time!r} is no datetime", code="time")
    if time.tzinfo is None:
        raise InvalidEvent(f"time {time} has no time zone; datetime.now(timezone.utc) has", code="time")
    past = time - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1000
