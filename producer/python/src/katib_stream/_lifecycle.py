"""The ends of a process: normal, by an uncaught exception, by SIGTERM, and the beginning of a fork's child."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from . import _segment

if TYPE_CHECKING:
    from ._reporter import Reporter

#: The exit status of a process that was told to fail when something was not delivered: sysexits' EX_IOERR.
EXIT_UNDELIVERED = 74

_FIRST_WAIT = 2.0  # seconds that a handler of the program's own waits, on SIGTERM, for ours


class _Process:
    """What is known of this process."""

    def __init__(self) -> None:
        self.reporters: dict[int, Reporter] = {}  # that are not closed, in the order of their making
        self.failed = False
        self.previous: Any = None  # the handler of SIGTERM before ours
        self.installed = False
        self.settling = False  # a handler of SIGTERM is
        self.importing = 0  # the thread that imports what delivers
        self.crippled = False
        self.closing = 0  # reporters that are
        self.terminated = False  # by a SIGTERM that came meanwhile
        self.inherited: list[Any] = []
        self.finalizer = 0  # the process that has one of multiprocessing's


_process = _Process()

#: Held by a thread that makes or starts a reporter.
starting = threading.RLock()


def register(reporter: Reporter) -> None:
    """Has a reporter's events delivered when the process ends."""
    _process.reporters[id(reporter)] = reporter
    _install_sigterm()


def closing(reporter: Reporter) -> None:
    """Forgets a reporter that is being closed; SIGTERM ends the process when it is :func:`closed`."""
    _process.closing += 1
    _process.reporters.pop(id(reporter), None)


def closed() -> None:
    """Lets a SIGTERM end the process that came while a reporter was being closed."""
    _process.closing -= 1
    if _process.terminated and not _process.closing:
        _process.terminated = False
        os.kill(os.getpid(), signal.SIGTERM)


def keep(thing: Any) -> None:
    """Keeps something of the parent's from being collected in the child."""
    _process.inherited.append(thing)


def fail() -> None:
    """Has the process end with EXIT_UNDELIVERED."""
    _process.failed = True


def started() -> None:
    """Prepares for the end of a child of multiprocessing, which runs no atexit handlers when it was forked."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _process.finalizer == os.getpid():
        return
    _process.finalizer = os.getpid()
    util.Finalize(None, _at_exit, exitpriority=0)


def _close_all() -> None:
    reporters = list(_process.reporters.values())
    began = time.monotonic()
    for reporter in reporters:
        reporter.close(max(0.0, reporter._settings.exit_timeout - (time.monotonic() - began)))


def _at_exit() -> None:
    with contextlib.suppress(KeyboardInterrupt):  # who does not want to wait has been told what is left
        _close_all()
    if _process.failed:
        _exit_now()


def _exit_now() -> None:
    """Ends the process with a status of its own, which a handler of atexit can do in no other way."""
    atexit.unregister(_at_exit)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
    os._exit(EXIT_UNDELIVERED)


def _install_sigterm() -> None:
    if _process.installed or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.getsignal(signal.SIGTERM)
    # None is a handler that is not Python's: it could not be called. Who ignores the signal does not end by it.
    if previous is None or previous == signal.SIG_IGN:
        return
    _process.previous = previous
    _process.installed = True
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: Any) -> None:
    for reporter in list(_process.reporters.values()):
        # In the middle of a report the delivery thread would wait for the report, and the report for us.
        if reporter._outbox.after(lambda: _on_sigterm(number, frame)):
            return
    if callable(_process.previous):
        _settle_all()
        _process.previous(number, frame)
        return
    if _process.closing:  # which is bounded in time; `timeout` and others send the signal twice
        _process.terminated = True
        return
    _close_all()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _settle_all() -> None:
    """Has what was accepted stored before the program's own handler ends it; not once more inside of itself."""
    if _process.settling:
        return
    _process.settling = True
    try:
        for reporter in list(_process.reporters.values()):
            reporter._settle(_FIRST_WAIT)
    finally:
        _process.settling = False


def importing(thread: int) -> None:
    """Notes which thread imports what delivers; 0 when none does any more."""
    _process.importing = thread


def is_crippled() -> bool:
    """Says whether nothing can be delivered here: a fork's child may have the half of a module.

    Another thread of its parent was importing it.
    """
    return _process.crippled


def _in_child() -> None:
    global starting  # noqa: PLW0603 - another thread of the parent may have held it
    starting = threading.RLock()
    _process.crippled = _process.crippled or _process.importing not in (0, threading.get_ident())
    _process.failed = _process.settling = _process.terminated = False
    _process.closing = 0
    _segment.close_all()
    for reporter in list(_process.reporters.values()):
        reporter._forked()


# Registered when the package is imported, which is before what training code registers: so it runs after that.
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
