"""The daemon thread that delivers, as the other threads see it.

What it needs, asyncio and nats-py, is slow to import, so it is imported when the first event is reported.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Callable

from . import _lifecycle
from ._errors import NotPersisted
from ._outbox import Outbox
from ._say import say
from ._settings import Settings
from ._spool import Spool

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ._sender import Sender

_POLL = 0.002  # seconds between looks at whether the thread has started
_SLACK = 1.0  # seconds that a caller waits longer than the thread was told


class Delivery:
    """Delivers an outbox, and what dead processes left in its spool, from :meth:`start` to :meth:`close`."""

    def __init__(self, settings: Settings, outbox: Outbox, spool: Spool | None) -> None:
        self._settings = settings
        self._outbox = outbox
        self._spool = spool
        self._sender: Sender | None = None
        self._trouble = "it is still starting"
        self._ready = False
        self._last_reason = ""  # when it was closed
        self._thread = threading.Thread(target=self._run, name="katib_stream", daemon=True)

    def start(self) -> None:
        """Starts the thread; when the interpreter is ending and takes no more threads, that is said."""
        # On the caller's thread, although it takes long, once: the child of a fork would have half of a module that
        # another thread was importing, and nobody to end it.
        if _lifecycle.is_crippled():
            self._trouble = "the process was forked while another thread was loading what delivers"
            self._ready = True
            return
        _lifecycle.importing(threading.get_ident())
        from . import _sender

        _sender.import_all(self._settings)
        _lifecycle.importing(0)
        try:
            self._thread.start()
        except RuntimeError as err:
            self._trouble = str(err)
            self._ready = True
            say(f"what is reported from now on is not delivered: {err}")

    def _run(self) -> None:
        try:
            from ._sender import Sender

            sender = Sender(self._settings, self._outbox, self._spool)
            self._sender = sender
            self._ready = True
            sender.run()
        except Exception as err:
            self._trouble = f"{type(err).__name__}: {err}"
            say(f"delivery has ended, and what is reported is only kept: {self._trouble}")
        finally:
            self._sender = None
            self._ready = True

    def flush(self, timeout: float) -> None:
        """Waits until what was accepted is persisted. Raises NotPersisted, within about `timeout` seconds."""
        left = self._call(lambda sender, deadline: sender.flush(deadline, patience=timeout), timeout)
        if left is not None:
            raise left

    def settle(self, timeout: float) -> None:
        """Waits, at most `timeout` seconds, until the stream has what was accepted."""
        self._call(lambda sender, deadline: sender.settle(deadline), timeout)

    def close(self, timeout: float) -> NotPersisted | None:
        """Delivers what is left, within about `timeout` seconds, and ends the thread. Gives what is not persisted."""
        left = self._call(lambda sender, deadline: sender.close(deadline), timeout)
        sender = self._sender
        if sender is not None:
            self._last_reason = sender.reason()
            sender.end()
            self._thread.join(2 * _SLACK)
        else:
            self._outbox.close()
        return left

    def _call(
        self, work: Callable[[Sender, float], Coroutine[Any, Any, NotPersisted | None]], timeout: float
    ) -> NotPersisted | None:
        deadline = monotonic() + timeout
        # It is no Event: a signal may interrupt a wait while it holds the Event's lock, and its handler wait as well.
        while not self._ready and monotonic() < deadline:
            sleep(_POLL)
        sender = self._sender
        if sender is None:
            return NotPersisted(events=self._outbox.waiting(), cause=self.reason())
        return sender.call(work(sender, deadline), max(0.0, deadline - monotonic()) + _SLACK)

    def reason(self) -> str:
        """Says why something is not delivered."""
        sender = self._sender
        if sender is not None:
            return sender.reason()
        return self._last_reason or f"delivery does not run: {self._trouble}"
