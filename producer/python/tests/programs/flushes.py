"""Training that flushes after each report, and has a handler of SIGTERM of its own, which reports, too."""

from __future__ import annotations

import signal
from types import FrameType

from noting import report, say, stopped

from katib_stream import flush


def reports(number: int, frame: FrameType | None) -> None:
    """Reports, whatever the signal interrupted."""
    report()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, reports)
    report()
    say("ready")
    while not stopped():
        report()
        flush()
    say("stopped")
