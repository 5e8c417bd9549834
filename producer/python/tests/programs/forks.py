"""Training that forks in its midst: `forks.py KIND`. Each kind is a function here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from typing import Any

from noting import report, say, stopped


def some(events: int = 50) -> None:
    """Reports some events."""
    for _ in range(events):
        report()


def child_reports() -> None:
    """A child reports beside its parent, and ends as a program does."""
    some()
    child = os.fork()
    some()
    if child:
        os.waitpid(child, 0)


def child_is_silent() -> None:
    """A child never reports."""
    some()
    if os.fork():
        some()
        os.wait()


def child_leaves() -> None:
    """A child ends without any handler; what it reported is in its file."""
    some()
    if not os.fork():
        some()
        os._exit(0)
    some()
    os.wait()


def child_outlives() -> None:
    """A child goes on when its parent has ended."""
    some()
    parent = os.getpid()
    if os.fork():
        return
    while os.getppid() == parent:
        time.sleep(0.01)
    some()
    say("child ends")


def grandchildren() -> None:
    """Each generation reports."""
    some()
    for _ in range(3):
        child = os.fork()
        some()
        if child:
            os.waitpid(child, 0)
            return


def early() -> None:
    """Forks right after the first report, while the delivery thread starts, many times; each child reports."""
    report()
    children = []
    for _ in range(10):
        child = os.fork()
        report()
        if not child:
            return
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def starting() -> None:
    """Forks while another thread makes its first report, which takes a while: it imports what delivers."""
    import threading

    thread = threading.Thread(target=report)
    thread.start()
    for _ in range(3):
        time.sleep(0.02)
        child = os.fork()
        if not child:
            report()
            return
        if os.waitpid(child, 0)[1]:
            say("a child failed")
    thread.join()


def before() -> None:
    """Forks before anything is reported."""
    child = os.fork()
    some()
    if child:
        os.waitpid(child, 0)


def busy() -> None:
    """Forks while other threads report and the delivery thread writes and removes files."""
    import threading

    ends = threading.Event()

    def work() -> None:
        while not ends.is_set():
            report()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        child = os.fork()
        if not child:
            some()
            sys.exit()
        if os.waitpid(child, 0)[1]:
            say("a child failed")
    ends.set()
    for thread in threads:
        thread.join()


def terminated() -> None:
    """A child of fork that is told to end by SIGTERM in mid-run."""
    some()
    child = os.fork()
    if not child:
        some()
        say("child")
        while True:
            time.sleep(1)
    while not stopped():
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    say(f"status {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


def work(number: int) -> int:
    """What a worker of a pool does."""
    some(10)
    return number


def processes(method: str) -> None:
    """Starts processes of multiprocessing, as `method` has it."""
    context: Any = multiprocessing.get_context(method)
    some()
    children = [context.Process(target=some) for _ in range(3)]
    for child in children:
        child.start()
    some()
    for child in children:
        child.join()
        if child.exitcode:
            say(f"a child failed: {child.exitcode}")


def loader() -> None:
    """Has daemons that work, as a DataLoader has, which are terminated when the program ends."""
    some()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        if pool.map(work, range(20)) != list(range(20)):
            say("a worker failed")
        some()


_KINDS = {
    "child reports": child_reports,
    "child is silent": child_is_silent,
    "child leaves": child_leaves,
    "child outlives": child_outlives,
    "grandchildren": grandchildren,
    "early": early,
    "starting": starting,
    "before": before,
    "busy": busy,
    "terminated": terminated,
    "fork": lambda: processes("fork"),
    "spawn": lambda: processes("spawn"),
    "forkserver": lambda: processes("forkserver"),
    "loader": loader,
}

if __name__ == "__main__":
    _KINDS[sys.argv[1]]()
