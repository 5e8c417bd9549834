"""The callback for LightGBM, with LightGBM itself; for the releases before 4.7 with the tuples that they give."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
import pytest

from katib_stream import MemoryTransport, Reporter, _default
from katib_stream.lightgbm import KatibCallback

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(200, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
PARAMETERS = {"objective": "binary", "metric": ["binary_logloss", "auc"], "verbosity": -1, "num_threads": 1}


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


def train(*callbacks: Any, **options: Any) -> dict[str, dict[str, list[float]]]:
    """Trains with one data set to validate with, and gives LightGBM's own record of it."""
    record: dict[str, dict[str, list[float]]] = {}
    training = lightgbm.Dataset(X[:150], Y[:150])
    validation = lightgbm.Dataset(X[150:], Y[150:], reference=training)
    options = {"num_boost_round": 5, "valid_sets": [validation], **options}
    lightgbm.train(PARAMETERS, training, callbacks=[*callbacks, lightgbm.record_evaluation(record)], **options)
    return record


@pytest.mark.parametrize(("names", "name"), [(None, "valid_0"), (["held out"], "held out")], ids=["default", "named"])
def test_every_iteration(names: list[str] | None, name: str, memory: MemoryTransport, reporter: Reporter) -> None:
    record = train(KatibCallback(reporter=reporter), valid_names=names)
    assert memory.metrics(f"{name}-auc") == list(enumerate(record[name]["auc"]))
    assert memory.metrics(f"{name}-binary_logloss") == list(enumerate(record[name]["binary_logloss"]))
    assert len(memory.events) == 5


def test_the_metrics_that_are_asked_for(memory: MemoryTransport, reporter: Reporter) -> None:
    train(KatibCallback(metrics=["valid_0-auc"], reporter=reporter))
    assert [[name for name, _ in event.metrics] for event in memory.events] == [["valid_0-auc"]] * 5


def test_a_metric_that_is_not_evaluated_is_told_once(reporter: Reporter, capsys: pytest.CaptureFixture[str]) -> None:
    train(KatibCallback(metrics=["auc"], reporter=reporter))
    assert capsys.readouterr().err.count("did not log auc, so nothing of it is reported; it logged valid_0-") == 1


def test_the_iteration_that_stops_early_is_reported(memory: MemoryTransport, reporter: Reporter) -> None:
    record = train(lightgbm.early_stopping(2, verbose=False), KatibCallback(reporter=reporter), num_boost_round=200)
    rounds = len(record["valid_0"]["auc"])
    assert 3 <= rounds < 200
    assert len(memory.events) == rounds


def test_cross_validation(memory: MemoryTransport, reporter: Reporter) -> None:
    result = lightgbm.cv(PARAMETERS, lightgbm.Dataset(X, Y), 4, nfold=3, callbacks=[KatibCallback(reporter=reporter)])
    assert {name.replace(" ", "-") for name in result} == {name for name, _ in memory.events[0].metrics}
    for name, values in result.items():
        assert dict(memory.metrics(name.replace(" ", "-"))) == pytest.approx(dict(enumerate(map(float, values))))


def test_the_interface_of_scikit_learn(memory: MemoryTransport, reporter: Reporter) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1)
    callbacks = [KatibCallback(reporter=reporter)]
    model.fit(X[:150], Y[:150], eval_X=X[150:], eval_y=Y[150:], callbacks=callbacks)
    assert memory.metrics("valid_0-binary_logloss") == list(enumerate(model.evals_result_["valid_0"]["binary_logloss"]))


TUPLES: dict[str, tuple[list[tuple[Any, ...]] | None, list[tuple[str, str]]]] = {
    "training": ([("valid_0", "auc", 0.5, True)], [("valid_0-auc", "0.5")]),
    "a metric with a space": ([("valid_0", "my auc", 0.5, True)], [("valid_0-my auc", "0.5")]),
    "cross-validation": (
        [("cv_agg", "valid auc", 0.5, True, 0.125)],
        [("valid-auc-mean", "0.5"), ("valid-auc-stdv", "0.125")],
    ),
    "nothing is evaluated": (None, []),
    "a list that is empty": ([], []),
}


@pytest.mark.parametrize(("results", "want"), TUPLES.values(), ids=TUPLES)
def test_tuples_of_older_releases(
    results: list[tuple[Any, ...]] | None, want: list[tuple[str, str]], memory: MemoryTransport, reporter: Reporter
) -> None:
    env = SimpleNamespace(iteration=0, begin_iteration=0, end_iteration=1, evaluation_result_list=results)
    KatibCallback(reporter=reporter)(env)
    assert [metric for event in memory.events for metric in event.metrics] == want


def test_without_a_trial_the_training_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        KatibCallback()
