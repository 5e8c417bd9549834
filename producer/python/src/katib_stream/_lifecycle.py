"""The ends of a process: normal, by an uncaught exception, by SIGTERM, and the beginning of a fork's child."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

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
        self.inherited: list[Any] = []
        self.finalizer = 0  # the process that has one of multiprocessing's


_process = _Process()


def register(reporter: Reporter) -> None:
    """Has a reporter's events delivered when the process ends."""
    _process.reporters[id(reporter)] = reporter
    _install_sigterm()


def unregister(reporter: Reporter) -> None:
    """Forgets a reporter that was closed."""
    _process.reporters.pop(id(reporter), None)


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
        if reporter._interrupt().after_append(lambda: _on_sigterm(number, frame)):
            return
    if callable(_process.previous):
        for reporter in list(_process.reporters.values()):
            reporter._settle(_FIRST_WAIT)
        _process.previous(number, frame)
        return
    _close_all()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _in_child() -> None:
    _process.failed = False
    for reporter in list(_process.reporters.values()):
        reporter._forked()


# Registered when the package is imported, which is before what training code registers: so it runs after that.
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
