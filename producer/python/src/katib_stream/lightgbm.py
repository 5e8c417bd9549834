"""The callback for LightGBM, in `lightgbm.train`, `lightgbm.cv` and the scikit-learn interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ._callback import Log
from ._reporter import Reporter


class KatibCallback:
    """Reports every evaluation, under names that are made of the data set's and the metric's: `valid_0-auc`.

    ::

        from katib_stream.lightgbm import KatibCallback

        lightgbm.train(parameters, train, valid_sets=[valid], callbacks=[KatibCallback()])

    LightGBM itself prints such a metric as `valid_0's auc`. `valid_names` gives data sets other names. `lightgbm.cv`
    gives mean and deviation: `valid-auc-mean` and `valid-auc-stdv`, as in its result. The step is the iteration,
    counted from 0.

    Args:
        metrics: the names to report, like `["valid_0-auc"]`; by default all.
        reporter: by default the one that `report_metrics` uses.

    Raises:
        ValueError: $KATIB_TRIAL_NAME is not set.
    """

    def __init__(self, *, metrics: Iterable[str] | None = None, reporter: Reporter | None = None) -> None:
        self._log = Log(metrics, reporter)
        self._log.begin()

    def __call__(self, env: Any) -> None:
        """Reports an iteration; `env` is LightGBM's CallbackEnv.

        Who has no `order` of its own is called before `early_stopping`, which ends the training by raising.
        """
        self._log.report(dict(_entries(env.evaluation_result_list or ())), env.iteration)
        # Nobody calls at the end, and a metric that is evaluated at all is evaluated in the first iteration.
        if env.iteration == env.begin_iteration:
            self._log.end()


def _entries(results: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    # A result is (data set, metric, value, whether higher is better), of cv with a deviation behind. Before 4.7 cv
    # gives data set and metric in one text, and a word of its own for the data set.
    for data, metric, value, _, *deviation in results:
        name = metric.replace(" ", "-", 1) if data == "cv_agg" else f"{data}-{metric}"
        if deviation:
            yield f"{name}-mean", value
            yield f"{name}-stdv", deviation[0]
        else:
            yield name, value
