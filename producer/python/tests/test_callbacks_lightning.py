"""The callback for PyTorch Lightning. Lightning needs torch, which is not here, so a double plays its Trainer.

The double calls what Lightning 2.6 calls, in its order, as far as the callback can see it: the hooks of callbacks
before those of the module (`FitLoop.on_advance_end`), validations within an epoch (`_EvaluationLoop.on_run_end`), a
validation before the training whose metrics are forgotten (`Trainer._run_sanity_check`), and `callback_metrics`, which
keeps what was logged last under each name until the next run (`_LoggerConnector`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from katib_stream import MemoryTransport, Reporter, _default


class Callback:
    """Lightning's base class: every hook does nothing."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None: ...
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None: ...
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None: ...
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None: ...
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None: ...
    def on_train_end(self, trainer: Any, pl_module: Any) -> None: ...
    def on_test_end(self, trainer: Any, pl_module: Any) -> None: ...
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None: ...


class Tensor:
    """A scalar of torch's: it has no dimensions, and float() takes it."""

    shape = ()

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Trainer:
    """Plays two epochs of four steps. What a module would log carries its step, so that what is stale shows."""

    def __init__(self, callback: Any, *, validations: int = 1, zero: bool = True, sanity: bool = True) -> None:
        self.callback = callback
        self.validations = validations  # in an epoch
        self.sanity = sanity
        self.is_global_zero = zero
        self.sanity_checking = False
        self.global_step = 0
        self.callback_metrics: dict[str, Any] = {}

    def call(self, hook: str, *args: Any, **options: Any) -> None:
        getattr(self.callback, hook)(self, None, *args, **options)

    def fit(self, interrupt: bool = False) -> None:
        self.call("setup", stage="fit")
        if self.sanity:
            self.sanity_checking = True
            self.callback_metrics = {}
            self.call("on_validation_start")
            self.callback_metrics["val_loss"] = Tensor(99.0)
            self.call("on_validation_end")
            self.callback_metrics = {}
            self.sanity_checking = False
        for epoch in range(2):
            self.call("on_train_epoch_start")
            self.epoch(epoch)
            if interrupt:
                self.call("on_exception", KeyboardInterrupt())
                return
        self.call("on_train_end")

    def epoch(self, epoch: int) -> None:
        for step in range(4):
            self.callback_metrics["train_loss_step"] = Tensor(float(self.global_step))
            self.global_step += 1
            if self.validations and (step + 1) % (4 // self.validations) == 0:
                self.validation("val_loss", float(self.global_step))
        self.callback_metrics["train_loss_epoch"] = Tensor(10.0 + epoch)
        self.call("on_train_epoch_end")
        self.callback_metrics["of_the_module"] = Tensor(20.0 + epoch)  # its own on_train_epoch_end

    def validation(self, name: str, value: float) -> None:
        self.call("on_validation_start")
        self.callback_metrics[name] = Tensor(value)
        self.call("on_validation_end")

    def validate(self, name: str = "val_loss") -> None:
        self.callback_metrics = {}
        self.call("setup", stage="validate")
        self.validation(name, 0.5)

    def test(self) -> None:
        self.callback_metrics = {}
        self.call("setup", stage="test")
        self.callback_metrics["test_loss"] = Tensor(0.25)
        self.call("on_test_end")


def double(monkeypatch: pytest.MonkeyPatch, *names: str) -> Any:
    """Puts modules with Lightning's names in place, and gives the callback's module as it is imported then."""
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "katib_stream.lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in names:
        module = ModuleType(name)
        vars(module).update(Callback=type(f"Callback of {name}", (Callback,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    return importlib.import_module("katib_stream.lightning")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    return double(monkeypatch, "lightning", "lightning.pytorch")


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


def test_each_epoch_and_each_validation_once(module: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    Trainer(module.KatibCallback(reporter=reporter)).fit()
    assert memory.metrics("val_loss") == [(4, 4.0), (8, 8.0)]
    assert memory.metrics("train_loss_epoch") == [(4, 10.0), (8, 11.0)]
    assert memory.metrics("train_loss_step") == [(4, 3.0), (8, 7.0)]


def test_what_the_module_logs_at_an_epochs_end_belongs_to_it(
    module: Any, memory: MemoryTransport, reporter: Reporter
) -> None:
    Trainer(module.KatibCallback(reporter=reporter)).fit()
    assert memory.metrics("of_the_module") == [(4, 20.0), (8, 21.0)]


def test_several_validations_in_an_epoch(module: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    Trainer(module.KatibCallback(reporter=reporter), validations=2).fit()
    assert memory.metrics("val_loss") == [(2, 2.0), (4, 4.0), (6, 6.0), (8, 8.0)]
    assert memory.metrics("train_loss_epoch") == [(4, 10.0), (8, 11.0)]


def test_no_validation(module: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    Trainer(module.KatibCallback(reporter=reporter), validations=0, sanity=False).fit()
    assert memory.metrics("train_loss_epoch") == [(4, 10.0), (8, 11.0)]
    assert len(memory.events) == 2


def test_the_metrics_that_are_asked_for(
    module: Any, memory: MemoryTransport, reporter: Reporter, capsys: pytest.CaptureFixture[str]
) -> None:
    Trainer(module.KatibCallback(metrics=["val_loss", "val_acc"], reporter=reporter)).fit()
    assert [event.metrics for event in memory.events] == [(("val_loss", "4.0"),), (("val_loss", "8.0"),)]
    assert "did not log val_acc, so" in capsys.readouterr().err


def test_a_validation_and_a_test_of_their_own(module: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    trainer = Trainer(module.KatibCallback(reporter=reporter))
    trainer.fit()
    before = len(memory.events)
    trainer.validate()
    trainer.test()
    assert [(event.step, event.metrics) for event in memory.events[before:]] == [
        (8, (("val_loss", "0.5"),)),
        (8, (("test_loss", "0.25"),)),
    ]


def test_a_validation_before_the_training_does_not_decide_what_validations_log(
    module: Any, memory: MemoryTransport, reporter: Reporter
) -> None:
    trainer = Trainer(module.KatibCallback(reporter=reporter))
    trainer.validate("train_loss_epoch")
    trainer.fit()
    assert memory.metrics("train_loss_epoch") == [(0, 0.5), (4, 10.0), (8, 11.0)]


def test_the_epoch_before_an_interruption_is_reported_once(
    module: Any, memory: MemoryTransport, reporter: Reporter
) -> None:
    trainer = Trainer(module.KatibCallback(reporter=reporter))
    trainer.fit(interrupt=True)
    assert memory.metrics("train_loss_epoch") == [(4, 10.0)]
    trainer.call("on_exception", KeyboardInterrupt())  # in the next epoch
    assert memory.metrics("train_loss_epoch") == [(4, 10.0)]


def test_only_global_rank_0_reports(
    module: Any, memory: MemoryTransport, reporter: Reporter, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(module.KatibCallback(metrics=["nothing"], reporter=reporter), zero=False)
    trainer.fit()
    trainer.test()
    assert memory.events == []
    assert capsys.readouterr().err == ""


def test_without_a_trial_the_training_does_not_begin(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    trainer = Trainer(module.KatibCallback())
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        trainer.fit()
    assert trainer.global_step == 0
    Trainer(module.KatibCallback(), zero=False).fit()  # who reports nothing needs no trial


@pytest.mark.parametrize(
    ("installed", "base"),
    [
        (["lightning", "lightning.pytorch"], "lightning.pytorch"),
        (["pytorch_lightning"], "pytorch_lightning"),
        (["lightning", "lightning.pytorch", "pytorch_lightning"], "lightning.pytorch"),
    ],
    ids=["lightning", "pytorch_lightning", "both"],
)
def test_both_names_of_lightning(installed: list[str], base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = double(monkeypatch, *installed)
    assert [cls.__name__ for cls in module.KatibCallback.__bases__] == [f"Callback of {base}"]


def test_the_name_that_the_training_code_has_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lightning").mkdir()
    (tmp_path / "lightning" / "__init__.py").touch()
    (tmp_path / "lightning" / "pytorch.py").write_text("class Callback: ...")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = double(monkeypatch, "pytorch_lightning")  # and lightning could be imported
    assert [cls.__name__ for cls in module.KatibCallback.__bases__] == ["Callback of pytorch_lightning"]


def test_without_lightning_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    monkeypatch.delitem(sys.modules, "katib_stream.lightning", raising=False)
    with pytest.raises(ModuleNotFoundError, match="lightning"):
        importlib.import_module("katib_stream.lightning")
