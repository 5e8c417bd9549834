"""The one way in which this package talks: lines on standard error."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """Writes one line on standard error. It never raises, also in a signal handler that interrupted another write."""
    line = f"katib_stream: {text}\n"
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except Exception:
        try:
            os.write(2, line.encode(errors="replace"))
        except OSError:
            return
