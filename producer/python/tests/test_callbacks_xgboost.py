"""The callback for XGBoost, with XGBoost itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone

from katib_stream import MemoryTransport, Reporter, _default
from katib_stream.xgboost import KatibCallback

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(200, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
PARAMETERS = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "nthread": 1}


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


def train(*callbacks: Any, **options: Any) -> dict[str, dict[str, list[float]]]:
    """Trains with two data sets, and gives XGBoost's own record of it."""
    record: dict[str, dict[str, list[float]]] = {}
    sets = [(xgboost.DMatrix(X[:150], Y[:150]), "train"), (xgboost.DMatrix(X[150:], Y[150:]), "valid")]
    options = {"num_boost_round": 5, "verbose_eval": False, **options}
    xgboost.train(PARAMETERS, sets[0][0], evals=sets, evals_result=record, callbacks=list(callbacks), **options)
    return record


def test_every_iteration_under_the_names_that_are_printed(
    memory: MemoryTransport, reporter: Reporter, capsys: pytest.CaptureFixture[str]
) -> None:
    record = train(KatibCallback(reporter=reporter), verbose_eval=1)
    printed = capsys.readouterr().out.splitlines()[0].split("\t")[1:]
    assert [text.split(":")[0] for text in printed] == [name for name, _ in memory.events[0].metrics]
    for data, metrics in record.items():
        for metric, values in metrics.items():
            assert memory.metrics(f"{data}-{metric}") == list(enumerate(values))
    assert len(memory.events) == 5


def test_the_metrics_that_are_asked_for(memory: MemoryTransport, reporter: Reporter) -> None:
    record = train(KatibCallback(metrics=["valid-auc"], reporter=reporter))
    assert [event.metrics for event in memory.events] == [
        (("valid-auc", repr(value)),) for value in record["valid"]["auc"]
    ]


def test_a_metric_that_is_not_evaluated(reporter: Reporter, capsys: pytest.CaptureFixture[str]) -> None:
    train(KatibCallback(metrics=["test-auc"], reporter=reporter))
    assert "did not log test-auc, so nothing of it is reported; it logged train-logloss," in capsys.readouterr().err


def test_it_does_not_stop_the_training_and_sees_early_stopping(memory: MemoryTransport, reporter: Reporter) -> None:
    record = train(KatibCallback(reporter=reporter), num_boost_round=200, early_stopping_rounds=2)
    rounds = len(record["valid"]["auc"])
    assert 3 <= rounds < 200
    assert len(memory.events) == rounds


def test_cross_validation(memory: MemoryTransport, reporter: Reporter) -> None:
    result = xgboost.cv(
        PARAMETERS, xgboost.DMatrix(X, Y), 4, nfold=3, as_pandas=False, callbacks=[KatibCallback(reporter=reporter)]
    )
    assert set(result) == {name for name, _ in memory.events[0].metrics}
    for name, values in result.items():
        assert dict(memory.metrics(name)) == pytest.approx(dict(enumerate(values)))


def test_the_interface_of_scikit_learn(memory: MemoryTransport, reporter: Reporter) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, callbacks=[KatibCallback(reporter=reporter)])
    model = clone(model)  # as GridSearchCV does
    model.fit(X[:150], Y[:150], eval_set=[(X[150:], Y[150:])], verbose=False)
    assert memory.metrics("validation_0-logloss") == list(enumerate(model.evals_result()["validation_0"]["logloss"]))


def test_no_evaluation_is_no_event(memory: MemoryTransport, reporter: Reporter) -> None:
    xgboost.train(PARAMETERS, xgboost.DMatrix(X, Y), 2, callbacks=[KatibCallback(reporter=reporter)])
    assert memory.events == []


def test_only_rank_0_reports(memory: MemoryTransport, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgboost.collective, "get_rank", lambda: 1)
    train(KatibCallback(reporter=reporter))
    assert memory.events == []


def test_without_a_trial_the_training_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    begun = []

    class Counting(xgboost.callback.TrainingCallback):  # type: ignore[misc] # read without its types
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            begun.append(epoch)
            return False

    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        train(Counting(), KatibCallback())
    assert begun == []
