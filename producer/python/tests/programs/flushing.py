"""Training that flushes at its end and tells, as JSON, what became of that: `flushing.py COUNT TIMEOUT WAIT`.

With WAIT it flushes twice, and is stopped in between.
"""

from __future__ import annotations

import json
import sys
import time

from noting import report, say, stopped

from katib_stream import NotPersisted, flush


def tell(timeout: float) -> None:
    """Flushes, and tells what is not persisted."""
    begin = time.monotonic()
    try:
        flush(timeout)
        left = {}
    except NotPersisted as error:
        left = {name: value for name, value in vars(error).items() if value}
    say(json.dumps({**left, "seconds": time.monotonic() - begin}))


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        report()
    tell(float(sys.argv[2]))
    if sys.argv[3] == "wait":
        say("waits")
        while not stopped():
            time.sleep(0.01)
        tell(float(sys.argv[2]))
