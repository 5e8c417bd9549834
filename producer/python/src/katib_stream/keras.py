"""The callback for Keras 3, on each of its backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from ._callback import Log
from ._reporter import Reporter


class KatibCallback(keras.callbacks.Callback):  # type: ignore[misc] # Keras has no types
    """Reports what Keras logs at the end of every epoch, under Keras' own names: `loss`, `accuracy`, `val_accuracy`.

    ::

        from katib_stream.keras import KatibCallback

        model.fit(x, y, validation_data=(x_val, y_val), epochs=10, callbacks=[KatibCallback()])

    The step is the epoch, counted from 0. With `every`, it is the number of batches so far, in both kinds of reports.

    Args:
        metrics: the names to report, like `["val_accuracy"]`; by default every number that is logged.
        every: also report after every so many batches, from 1 on; by default epochs only. What Keras logs of a batch
            is the mean since the epoch began. It costs a copy of the metrics from the device for each batch.
        reporter: by default the one that `report_metrics` uses.

    Raises:
        ValueError: `every` is less than 1. At the start of training: $KATIB_TRIAL_NAME is not set. Later: a metric
            that was asked for by name is no number.
    """

    def __init__(
        self, *, metrics: Iterable[str] | None = None, every: int | None = None, reporter: Reporter | None = None
    ) -> None:
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(f"every is {every}; give a number of batches from 1 on, or none for epochs only")
        self._log = Log(metrics, reporter)
        self._every = every
        self._before = 0  # batches of the epochs before this one
        self._batches = 0  # batches so far
        self._reported: tuple[int, Mapping[str, Any]] = (0, {})  # what was reported last of a batch, after how many
        if every is not None:
            # Not a method of the class: who has one makes Keras wait for the device after every batch.
            self.on_train_batch_end = self._on_train_batch_end

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Checks that there is something to report to."""
        self._log.begin()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts the batches of the epochs before, also of those before a restart, where Keras knows how many."""
        steps = (self.params or {}).get("steps")
        self._before = self._batches = epoch * steps if steps else self._batches

    def _on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        every, last = self._every or 1, self._batches
        # With steps_per_execution it is called once for several batches.
        self._batches = self._before + batch + 1
        if self._batches // every > last // every:
            self._log.report(logs, self._batches)
            self._reported = (self._batches, logs or {})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports the epoch."""
        if self._every is None:
            self._log.report(logs, epoch)
            return
        batches, known = self._reported
        again = known if batches == self._batches else {}
        self._log.report({name: value for name, value in (logs or {}).items() if name not in again}, self._batches)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Says what was asked for and never logged."""
        self._log.end()
