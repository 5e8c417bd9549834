"""Training that starts a program that outlives it, and that inherits what it can."""

from __future__ import annotations

import subprocess
import sys
import time

from noting import report, say

if __name__ == "__main__":
    for _ in range(100):
        report()
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    with subprocess.Popen(command, close_fds=False) as program:
        report()
        say("ready")
        time.sleep(300)
        program.kill()
