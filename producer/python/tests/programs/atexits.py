"""A handler of atexit that reports: `atexits.py before|after|only`.

It is registered before or after the package is imported, which is when the package registers its own; they run in
reverse order. With `only` nothing is reported before it.
"""

from __future__ import annotations

import atexit
import sys


def last_report() -> None:
    """Reports at the end of the process."""
    from noting import report

    report()


if sys.argv[1] != "after":
    atexit.register(last_report)

from noting import report  # noqa: E402

if sys.argv[1] == "after":
    atexit.register(last_report)
if sys.argv[1] != "only":
    report()
