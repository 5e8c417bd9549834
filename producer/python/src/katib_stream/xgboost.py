"""The callback for XGBoost, in `xgboost.train`, `xgboost.cv` and the scikit-learn interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xgboost
from xgboost import collective

from ._callback import Log
from ._reporter import Reporter


class KatibCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc] # read without its types
    """Reports every evaluation, under the names that XGBoost prints: `train-rmse`, `valid-auc`.

    ::

        from katib_stream.xgboost import KatibCallback

        xgboost.train(parameters, train, evals=[(train, "train"), (valid, "valid")], callbacks=[KatibCallback()])

    The data set's name is the one given in `evals`; the scikit-learn interface calls them `validation_0`,
    `validation_1`, …. `xgboost.cv` gives mean and deviation: `test-rmse-mean` and `test-rmse-std`, as in its result.
    The step is the iteration, counted from 0. In distributed training the worker of rank 0 reports.

    Args:
        metrics: the names to report, like `["valid-auc"]`; by default all.
        reporter: by default the one that `report_metrics` uses.

    Raises:
        ValueError: at the start of training: $KATIB_TRIAL_NAME is not set.
    """

    def __init__(self, *, metrics: Iterable[str] | None = None, reporter: Reporter | None = None) -> None:
        super().__init__()
        self._log = Log(metrics, reporter)

    def before_training(self, model: Any) -> Any:
        """Checks that there is something to report to."""
        if collective.get_rank() == 0:
            self._log.begin()
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]) -> bool:
        """Reports the iteration, and never stops the training."""
        if collective.get_rank() == 0:
            self._log.report(dict(_latest(evals_log)), epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Says what was asked for and never evaluated."""
        if collective.get_rank() == 0:
            self._log.end()
        return model


def _latest(evals_log: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, Any]]:
    for data, metrics in evals_log.items():
        for metric, values in metrics.items():
            value = values[-1]
            if isinstance(value, tuple):
                yield f"{data}-{metric}-mean", value[0]
                yield f"{data}-{metric}-std", value[1]
            else:
                yield f"{data}-{metric}", value
