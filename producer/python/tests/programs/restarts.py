"""Training that can be killed at any moment, and says when it has come to its end: `restarts.py EVENTS`."""

from __future__ import annotations

import sys
import time

from noting import report, say

if __name__ == "__main__":
    for done in range(int(sys.argv[1])):
        report()
        if done % 50 == 0:
            time.sleep(0.01)
    say("done")
