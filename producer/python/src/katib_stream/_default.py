"""The functions for training code that holds no reporter: they share one, made from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from . import _lifecycle
from ._reporter import Reporter
from ._say import say

if TYPE_CHECKING:
    from datetime import datetime

_reporter: Reporter | None = None
_warned = False


def report_metrics(
    metrics: Mapping[str, Any],
    db_manager_address: str | None = None,
    timeout: float | None = None,
    *,
    step: SupportsIndex | None = None,
    time: datetime | None = None,
) -> None:
    """Reports metrics of the Trial that this process belongs to, as Katib's own `report_metrics` does.

    It returns within microseconds: what it accepted is delivered in the background, and when the process ends.

    >>> report_metrics({"loss": 0.1, "accuracy": 0.9}, step=3)  # doctest: +SKIP

    Args:
        metrics: name → number: whatever `float()` takes, also scalars of NumPy, torch and JAX.
        db_manager_address: accepted for Katib's sake, and without effect: reports go to NATS ($KATIB_STREAM_SERVERS).
        timeout: accepted for Katib's sake, and without effect: a report waits for nothing.
        step: the training step, an integer from 0 on.
        time: when it happened, with a time zone; by default now.

    Raises:
        ValueError: $KATIB_TRIAL_NAME is not set, or a name, value, step or time cannot be reported. It is one of
            ConfigError, InvalidEvent and EventTooLarge.
    """
    if db_manager_address is not None or timeout is not None:
        _warn()
    reporter = _reporter
    if reporter is None:
        reporter = default_reporter()
    reporter.report(metrics, step, time)


def flush(timeout: float = 20.0) -> None:
    """Waits until everything that `report_metrics` accepted is in Katib DB, at most `timeout` seconds.

    Raises:
        NotPersisted: it is not, or nobody says that it is.
    """
    if _reporter is not None:
        _reporter.flush(timeout)


def default_reporter() -> Reporter:
    global _reporter
    with _lifecycle.starting:
        if _reporter is None:
            made = Reporter()
            _reporter = _reporter or made  # of a signal's handler that reported meanwhile
        return _reporter


def _warn() -> None:
    global _warned
    if not _warned:
        say("db_manager_address and timeout do nothing here: reports go to NATS, see KATIB_STREAM_SERVERS")
    _warned = True
