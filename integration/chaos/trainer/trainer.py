"""Training code for the chaos test, as trainer/main.go: it reports without end, and notes what it was promised.

SIGUSR1 makes its clock jump, by up to an hour to either side.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import zlib
from pathlib import Path


class _Clock:
    """The clock, which can jump."""

    def __init__(self) -> None:
        self.offset = 0
        self.real = time.time_ns

    def now(self) -> int:
        """Gives the time in nanoseconds."""
        return self.real() + self.offset


_clock = _Clock()
time.time_ns = _clock.now  # before the SDK takes it

from katib_stream import KatibStreamError, Reporter  # noqa: E402

TRIAL, NOTES, RATE = os.environ["KATIB_TRIAL_NAME"], Path(os.environ["CHAOS_NOTES"]), int(os.environ["CHAOS_RATE"])
_stopping = threading.Event()


def _jump(*_: object) -> None:
    _clock.offset = random.randint(-3600, 3600) * 10**9


def _next() -> int:
    """Gives the number after all that the notes have."""
    if not NOTES.exists():
        return 0
    numbers = [int(line[2:]) for line in NOTES.read_text().split("\n")[:-1] if line.startswith("r ")]
    return max(numbers, default=-1) + 1


def main() -> None:
    """Reports until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: _stopping.set())
    signal.signal(signal.SIGUSR1, _jump)
    n = flushed = _next()
    reporter = Reporter(namespace="default")
    with NOTES.open("ab", buffering=0) as notes:
        notes.write(b"s spool\n")
        while not _stopping.is_set():
            burst = random.randint(1, 20)
            for _ in range(burst):
                notes.write(b"r %d\n" % n)
                try:
                    reporter.report({"n": n, "check": zlib.crc32(f"{TRIAL}/{n}".encode()) % 1_000_000}, step=n)
                    notes.write(b"a %d\n" % n)
                except KatibStreamError:
                    notes.write(b"x %d\n" % n)
                n += 1
            if n - flushed > RATE and random.random() < 0.1:
                flushed = n
                try:
                    reporter.flush(random.uniform(1, 5))
                    notes.write(b"f %d\n" % (n - 1))
                except KatibStreamError:
                    pass
            time.sleep(burst / RATE)
        reporter.close(20)
        notes.write(b"c\n")


main()
