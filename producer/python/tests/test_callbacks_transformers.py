"""The callback for Transformers, called by its own CallbackHandler: the Trainer needs torch, which is not here.

What is logged, and when, is as the Trainer of Transformers 5 does it: `log` is `_maybe_log_save_evaluate`'s, for the
training and each evaluation, and `train`'s at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler

from katib_stream import MemoryTransport, Reporter, _default
from katib_stream.transformers import KatibCallback


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


def train(callback: KatibCallback, folder: Path, zero: bool = True) -> None:
    """Calls the callback as a training of four steps does that logs after each second one, and evaluates at the end."""
    handler = CallbackHandler([callback], model=None, processing_class=None, optimizer=None, lr_scheduler=None)
    args, control = TrainingArguments(output_dir=str(folder)), TrainerControl()
    state = TrainerState(is_world_process_zero=zero, is_local_process_zero=True)

    def log(**logs: Any) -> None:
        handler.on_log(args, state, control, {**logs, "epoch": state.epoch})

    handler.on_train_begin(args, state, control)
    for step in range(1, 5):
        handler.on_step_begin(args, state, control)
        state.global_step, state.epoch = step, step / 4
        handler.on_step_end(args, state, control)
        if step % 2 == 0:
            log(loss=1 / step, grad_norm=0.5, learning_rate=1e-05)
    log(eval_loss=0.25, eval_accuracy=0.75, eval_report="a text")
    handler.on_evaluate(args, state, control, {"eval_loss": 0.25})
    log(train_runtime=1.5, train_loss=0.375)
    handler.on_train_end(args, state, control)


def test_all_that_is_logged_under_its_names(memory: MemoryTransport, reporter: Reporter, tmp_path: Path) -> None:
    train(KatibCallback(reporter=reporter), tmp_path)
    assert memory.metrics("loss") == [(2, 0.5), (4, 0.25)]
    assert memory.metrics("learning_rate") == [(2, 1e-05), (4, 1e-05)]
    assert memory.metrics("epoch") == [(2, 0.5), (4, 1.0), (4, 1.0), (4, 1.0)]
    assert memory.metrics("eval_accuracy") == [(4, 0.75)]
    assert memory.metrics("eval_report") == []
    assert memory.metrics("train_loss") == [(4, 0.375)]


def test_the_metrics_that_are_asked_for(memory: MemoryTransport, reporter: Reporter, tmp_path: Path) -> None:
    train(KatibCallback(metrics=["eval_accuracy"], reporter=reporter), tmp_path)
    assert [(event.step, event.metrics) for event in memory.events] == [(4, (("eval_accuracy", "0.75"),))]


def test_a_metric_that_is_not_logged(reporter: Reporter, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(KatibCallback(metrics=["accuracy"], reporter=reporter), tmp_path)
    assert "did not log accuracy, so" in capsys.readouterr().err


def test_only_the_first_process_reports(
    memory: MemoryTransport, reporter: Reporter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(KatibCallback(metrics=["loss", "accuracy"], reporter=reporter), tmp_path, zero=False)
    assert memory.events == []
    assert "did not log" not in capsys.readouterr().err


def test_without_a_trial_the_training_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    handler = CallbackHandler([KatibCallback()], model=None, processing_class=None, optimizer=None, lr_scheduler=None)
    args = TrainingArguments(output_dir=str(tmp_path))
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        handler.on_train_begin(args, TrainerState(is_world_process_zero=True), TrainerControl())
