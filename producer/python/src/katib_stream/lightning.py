"""The callback for PyTorch Lightning, under both of its names: `lightning` and `pytorch_lightning`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from ._callback import Log
from ._reporter import Reporter

# Where both are installed, it is the one that the training code has imported already.
if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError as missing:
        try:
            from pytorch_lightning import Callback
        except ModuleNotFoundError:
            raise missing from None


class KatibCallback(Callback):  # type: ignore[misc] # read without its types
    """Reports what a LightningModule logs with `self.log`, under its names, once for each epoch and each validation.

    ::

        from katib_stream.lightning import KatibCallback

        trainer = lightning.Trainer(max_epochs=10, callbacks=[KatibCallback(metrics=["val_accuracy"])])

    What a validation logged is reported at its end, also when there are several in an epoch; the rest when the epoch
    has ended; what a test logged, at the test's end. The step is the trainer's `global_step`. The process of global
    rank 0 reports, also where Lightning starts the others itself. The validation before the training is no result.

    Args:
        metrics: the names to report; by default every number that is logged.
        reporter: by default the one that `report_metrics` uses.

    Raises:
        ValueError: at the start: $KATIB_TRIAL_NAME is not set. Later: a metric that was asked for by name is no number.
    """

    def __init__(self, *, metrics: Iterable[str] | None = None, reporter: Reporter | None = None) -> None:
        super().__init__()
        self._log = Log(metrics, reporter)
        self._before: set[str] = set()  # names that were logged before the validation that runs
        self._validated: set[str] = set()  # names that validations log
        self._ended: int | None = None  # the step of an epoch that has ended and is not reported

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Checks that there is something to report to."""
        self._validated = set()
        if trainer.is_global_zero:
            self._log.begin()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Remembers what is logged already: `callback_metrics` keeps it."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Reports a validation."""
        if trainer.sanity_checking:
            return
        self._validated |= set(trainer.callback_metrics) - self._before
        self._report(trainer, self._validated, trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Waits: the module's own `on_train_epoch_end` is called after this, and what it logs belongs to the epoch."""
        self._ended = trainer.global_step

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Reports the epoch before."""
        self._report_epoch(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Reports the last epoch, and says what was asked for and never logged."""
        self._report_epoch(trainer)
        if trainer.is_global_zero:
            self._log.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Reports the epoch that ended before an interruption, such as SIGTERM."""
        self._report_epoch(trainer)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Reports a test."""
        self._report(trainer, set(trainer.callback_metrics), trainer.global_step)

    def _report_epoch(self, trainer: Any) -> None:
        step, self._ended = self._ended, None
        if step is not None:
            self._report(trainer, set(trainer.callback_metrics) - self._validated, step)

    def _report(self, trainer: Any, names: set[str], step: int) -> None:
        if trainer.is_global_zero:
            self._log.report({name: value for name, value in trainer.callback_metrics.items() if name in names}, step)
