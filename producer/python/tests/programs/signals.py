"""Training that does something about SIGTERM of its own: `signals.py HANDLER MOMENT PAUSE`.

The handler is installed before the first report, or after it.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Any

from noting import report, say, stopped

_flags: list[int] = []


def leave(number: int, frame: FrameType | None) -> None:
    """Ends the process with a status of its own."""
    say("handled")
    sys.exit(5)


def flag(number: int, frame: FrameType | None) -> None:
    """Only notes that there was a signal."""
    if not _flags:
        say("handled")
    _flags.append(number)


def reports(number: int, frame: FrameType | None) -> None:
    """Reports, whatever the signal interrupted."""
    flag(number, frame)
    report()


_HANDLERS: dict[str, Any] = {"leave": leave, "flag": flag, "reports": reports, "ignore": signal.SIG_IGN}


def main(handler: str, moment: str, pause: float) -> None:
    """Trains until it is stopped."""
    if moment == "before":
        signal.signal(signal.SIGTERM, _HANDLERS[handler])
    say("begins")
    report()
    if moment == "after":
        signal.signal(signal.SIGTERM, _HANDLERS[handler])
    say("ready")
    while not stopped():
        report()
        if pause:
            time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
