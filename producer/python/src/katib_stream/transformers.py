"""The callback for the Trainer of Hugging Face's Transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import TrainerCallback

from ._callback import Log
from ._reporter import Reporter


class KatibCallback(TrainerCallback):  # type: ignore[misc] # read without its types
    """Reports what the Trainer logs, under its names: `loss`, `learning_rate`, `eval_loss`, `eval_accuracy`.

    ::

        from katib_stream.transformers import KatibCallback

        trainer = Trainer(model, arguments, callbacks=[KatibCallback(metrics=["eval_loss"])], ...)

    How often that is, `logging_steps` and `eval_strategy` say. The step is the Trainer's `global_step`. In distributed
    training the process of global rank 0 reports.

    Args:
        metrics: the names to report; by default every number that is logged.
        reporter: by default the one that `report_metrics` uses.

    Raises:
        ValueError: at the start of training: $KATIB_TRIAL_NAME is not set. Later: a metric that was asked for by name
            is no number.
    """

    def __init__(self, *, metrics: Iterable[str] | None = None, reporter: Reporter | None = None) -> None:
        super().__init__()
        self._log = Log(metrics, reporter)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Checks that there is something to report to."""
        if state.is_world_process_zero:
            self._log.begin()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Reports what was logged."""
        if state.is_world_process_zero:
            self._log.report(logs, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Says what was asked for and not logged."""
        if state.is_world_process_zero:
            self._log.end()
