"""Report the metrics of a Katib Trial: they go to a stream, and from there to Katib DB, each once.

::

    from katib_stream import report_metrics

    for epoch in range(epochs):
        ...
        report_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)

`report_metrics` has the signature of Katib's own SDK, and returns within microseconds.
"""

from __future__ import annotations

from ._contract import InvalidEvent
from ._default import flush, report_metrics
from ._errors import ClosedError, ConfigError, EventTooLarge, KatibStreamError, NotPersisted
from ._event import Event
from ._memory import MemoryTransport
from ._reporter import Reporter
from ._version import __version__

__all__ = [
    "ClosedError",
    "ConfigError",
    "Event",
    "EventTooLarge",
    "InvalidEvent",
    "KatibStreamError",
    "MemoryTransport",
    "NotPersisted",
    "Reporter",
    "__version__",
    "flush",
    "report_metrics",
]

for _name in __all__:
    if hasattr(globals()[_name], "__qualname__"):
        globals()[_name].__module__ = __name__  # where they are imported from, and not where they are written
