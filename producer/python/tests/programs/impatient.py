"""Training that asks twice a second whether its connection lives: a test cannot wait for long. `impatient.py WIDE`."""

from __future__ import annotations

import sys
import time

from noting import report, say, stopped

from katib_stream import _connection

if __name__ == "__main__":
    _connection._PING_INTERVAL = 0.5  # type: ignore[assignment]
    report()
    say("ready")
    while not stopped():
        report(int(sys.argv[1]))
        time.sleep(0.001)
