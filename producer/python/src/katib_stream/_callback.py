"""What the callbacks of all frameworks share: which entries of a framework's log are reported, and by whom.

A log holds more than what Katib asks for, and more than numbers: texts, arrays, nothing at all. This module knows no
framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

from ._default import default_reporter
from ._reporter import Reporter
from ._say import say

_SHOWN = 10  # names that were logged, in the line on those that were not


class Log:
    """Reports what a framework logs, as its callback hands it over.

    Args:
        metrics: the names that are reported; None for every entry that is a number. A text is a single name.
        reporter: who reports; None for the one that `report_metrics` uses.
    """

    def __init__(self, metrics: Iterable[str] | None, reporter: Reporter | None) -> None:
        names = [metrics] if isinstance(metrics, str) else metrics
        self._wanted = None if names is None else tuple(names)
        self._reporter = reporter
        self._logged: dict[str, None] = {}  # names, in the order in which they came

    def begin(self) -> None:
        """Finds out before the first epoch, and not after it, that nothing can be reported: raises ConfigError."""
        if self._reporter is None:
            default_reporter()

    def report(self, log: Mapping[str, Any] | None, step: SupportsIndex) -> None:
        """Reports one event. Raises InvalidEvent when a metric that was asked for by name is no number."""
        log = log or {}
        self._logged.update(dict.fromkeys(log))
        if self._wanted is None:
            found = {name: value for name, value in log.items() if _is_number(value)}
        else:
            found = {name: log[name] for name in self._wanted if name in log}
        if found:
            (self._reporter or default_reporter()).report(found, step)

    def end(self) -> None:
        """Says which metrics were asked for and never logged: their names are easily misspelt."""
        missing = [name for name in self._wanted or () if name not in self._logged]
        if missing:
            logged = ", ".join(list(self._logged)[:_SHOWN]) or "nothing"
            say(f"this training did not log {', '.join(missing)}, so nothing of it is reported; it logged {logged}")

    def __deepcopy__(self, memo: dict[int, Any]) -> Log:
        # scikit-learn copies a model with its callbacks. A reporter, like a file, is not copied with them.
        return Log(self._wanted, self._reporter)


def _is_number(value: object) -> bool:
    if isinstance(value, (int, float)):
        return True
    # An array of one element may be a number by accident; text would have to be parsed.
    if value is None or isinstance(value, (str, bytes)) or getattr(value, "shape", ()) != ():
        return False
    try:
        float(value)  # type: ignore[arg-type]
    except Exception:  # the value's own code may raise anything
        return False
    return True
