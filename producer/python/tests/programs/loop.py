"""Training as it mostly is: a loop that reports. `loop.py COUNT PAUSE END`.

It reports COUNT events, or until it is stopped when that is 0, with PAUSE seconds between them, and ends as END says.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import time

from noting import report, say, stopped

from katib_stream import flush


def main(count: int, pause: float, end: str) -> None:
    """Trains."""
    for done in range(count) if count else itertools.takewhile(lambda _: not stopped(), itertools.count()):
        report()
        if done == 0:
            say("ready")
        if pause:
            time.sleep(pause)
    if end == "raise":
        raise RuntimeError("the training went wrong")
    if end == "exit":
        sys.exit(7)
    if end == "_exit":
        os._exit(8)
    if end == "say":
        atexit.register(say, "ending")
    if end == "flush":
        flush()
        say("flushed")
        os.kill(os.getpid(), 9)  # what is not there by now never comes


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
