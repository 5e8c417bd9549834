"""The callback for Keras, with Keras 3 itself on the JAX backend."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported

import keras

from katib_stream import MemoryTransport, Reporter, _default
from katib_stream.keras import KatibCallback

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")  # Keras' and JAX's own


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


def fit(*callbacks: Any, **options: Any) -> dict[str, list[float]]:
    """Trains on 50 points, in 5 batches an epoch, and gives Keras' own record of it."""
    keras.utils.set_random_seed(1)
    x = np.linspace(-1, 1, 50, dtype="float32").reshape(-1, 1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    steps_per_execution = options.pop("steps_per_execution", 1)
    model.compile("sgd", "mse", metrics=["mae"], steps_per_execution=steps_per_execution)
    options = {"epochs": 3, "validation_data": (x, 2 * x), **options}
    history: dict[str, list[float]] = model.fit(
        x, 2 * x, batch_size=10, verbose=0, callbacks=list(callbacks), **options
    ).history
    return history


def test_every_epoch_with_all_that_keras_logs(memory: MemoryTransport, reporter: Reporter) -> None:
    history = fit(KatibCallback(reporter=reporter))
    assert set(history) == {"loss", "mae", "val_loss", "val_mae"}
    for name, values in history.items():
        assert memory.metrics(name) == list(enumerate(values))
    assert len(memory.events) == 3


def test_the_metrics_that_are_asked_for(memory: MemoryTransport, reporter: Reporter) -> None:
    history = fit(KatibCallback(metrics=["val_mae"], reporter=reporter))
    assert memory.metrics("val_mae") == list(enumerate(history["val_mae"]))
    assert memory.metrics("loss") == []


def test_a_metric_that_keras_does_not_log(reporter: Reporter, capsys: pytest.CaptureFixture[str]) -> None:
    fit(KatibCallback(metrics=["val_accuracy"], reporter=reporter), epochs=1)
    assert "did not log val_accuracy" in capsys.readouterr().err


BATCHES: dict[str, tuple[dict[str, Any], int, list[int], list[int]]] = {
    # what fit() gets, every, steps with a loss, steps with a val_loss
    "each batch": ({}, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [5, 10]),
    "every second batch, and the end of each epoch": ({}, 2, [2, 4, 5, 6, 8, 10], [5, 10]),
    "as often as there are epochs": ({}, 5, [5, 10], [5, 10]),
    "less often than there are epochs": ({}, 8, [5, 8, 10], [5, 10]),
    "after a restart": ({"initial_epoch": 1}, 2, [6, 8, 10], [10]),
    "several batches in one execution": ({"steps_per_execution": 5}, 2, [5, 10], [5, 10]),
}


@pytest.mark.parametrize(("options", "every", "losses", "validations"), BATCHES.values(), ids=BATCHES)
def test_every_so_many_batches(
    options: dict[str, Any],
    every: int,
    losses: list[int],
    validations: list[int],
    memory: MemoryTransport,
    reporter: Reporter,
) -> None:
    fit(KatibCallback(every=every, reporter=reporter), **{"epochs": 2, **options})
    assert [step for step, _ in memory.metrics("loss")] == losses
    assert [step for step, _ in memory.metrics("val_loss")] == validations


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_batches_of_a_generator_are_counted(memory: MemoryTransport, reporter: Reporter) -> None:
    def batches() -> Iterator[tuple[Any, Any]]:
        for _ in range(3):
            yield np.ones((2, 1), "float32"), np.ones((2, 1), "float32")

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches(), shuffle=False, verbose=0, callbacks=[KatibCallback(every=1, reporter=reporter)])
    assert [step for step, _ in memory.metrics("loss")] == [1, 2, 3]


def test_epochs_alone_leave_batches_asynchronous(reporter: Reporter) -> None:
    for callback, asynchronous in (
        (KatibCallback(reporter=reporter), True),
        (KatibCallback(every=9, reporter=reporter), False),
    ):
        batch_end = callback.on_train_batch_end
        assert keras.src.utils.python_utils.is_default(batch_end) == asynchronous


@pytest.mark.parametrize("every", [0, -1])
def test_every_is_a_number_of_batches(every: int) -> None:
    with pytest.raises(ValueError, match="every is"):
        KatibCallback(every=every)


def test_without_a_trial_the_training_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    begun = []
    counting = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        fit(counting, KatibCallback())
    assert begun == []


def test_a_copy_works(memory: MemoryTransport, reporter: Reporter) -> None:
    fit(copy.deepcopy(KatibCallback(every=5, reporter=reporter)), epochs=1)
    assert [step for step, _ in memory.metrics("loss")] == [5]
