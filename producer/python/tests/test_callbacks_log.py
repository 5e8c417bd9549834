"""What all callbacks share: what of a log is reported."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from katib_stream import InvalidEvent, MemoryTransport, Reporter, _default
from katib_stream._callback import Log


class Tensor:
    """A scalar, or an array, as frameworks have them."""

    def __init__(self, value: float, *shape: int) -> None:
        self.value, self.shape = value, shape

    def __float__(self) -> float:
        return self.value


class Refusing:
    """A value whose own code fails."""

    def __float__(self) -> float:
        raise RuntimeError("the device is gone")


NUMBERS: dict[str, Any] = {
    "a float": 0.5,
    "an int": 3,
    "a bool": True,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "a Decimal": Decimal("0.50"),
    "NumPy's float32": np.float32(0.5),
    "NumPy's int64": np.int64(3),
    "an array without dimensions": np.array(0.5),
    "a tensor without dimensions": Tensor(0.5),
}
OTHERS: dict[str, Any] = {
    "nothing": None,
    "a text": "cosine",
    "a text of a number": "0.5",
    "bytes": b"0.5",
    "an array": np.array([0.5, 0.25]),
    "an array of one": np.array([0.5]),
    "a tensor of one": Tensor(0.5, 1),
    "a list": [0.5],
    "a value that fails": Refusing(),
    "a complex number": 1j,
}


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Iterator[Reporter]:
    with Reporter(trial="t", transport=memory) as reporter:
        yield reporter


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_reported(value: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    Log(None, reporter).report({"metric": value}, 7)
    ((step, got),) = memory.metrics("metric")
    assert step == 7
    assert got == pytest.approx(float(value), nan_ok=True)


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_other_entries_are_left_out(value: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    log = Log(None, reporter)
    log.report({"other": value, "loss": 1.0}, 0)
    log.report({"other": value}, 1)
    assert [event.metrics for event in memory.events] == [(("loss", "1.0"),)]


@pytest.mark.parametrize("log", [None, {}], ids=["none", "empty"])
def test_an_empty_log_is_no_event(log: dict[str, Any] | None, memory: MemoryTransport, reporter: Reporter) -> None:
    Log(None, reporter).report(log, 0)
    assert memory.events == []


@pytest.mark.parametrize("metrics", [["loss", "missing"], ("loss",), {"loss"}, iter(["loss"]), "loss"], ids=type)
def test_only_what_is_asked_for(metrics: Any, memory: MemoryTransport, reporter: Reporter) -> None:
    log = Log(metrics, reporter)
    log.report({"loss": 1.0, "lr": 0.1}, 0)
    log.report({"lr": 0.1}, 1)
    log.report({"loss": 2.0}, 2)
    assert [(event.step, event.metrics) for event in memory.events] == [
        (0, (("loss", "1.0"),)),
        (2, (("loss", "2.0"),)),
    ]


def test_what_is_asked_for_must_be_a_number(reporter: Reporter) -> None:
    with pytest.raises(InvalidEvent, match='"histogram"'):
        Log(["histogram"], reporter).report({"histogram": np.array([1.0, 2.0])}, 0)


def test_a_misspelt_name_is_told(reporter: Reporter, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(["val_acuracy", "loss"], reporter)
    log.report({"loss": 1.0, "val_accuracy": 0.5}, 0)
    log.end()
    line = capsys.readouterr().err
    assert "did not log val_acuracy, so" in line
    assert "it logged loss, val_accuracy\n" in line


def test_nothing_is_told_when_all_was_logged(reporter: Reporter, capsys: pytest.CaptureFixture[str]) -> None:
    for metrics in (["loss"], None):
        log = Log(metrics, reporter)
        log.report({"loss": 1.0}, 0)
        log.end()
    assert capsys.readouterr().err == ""


def test_a_copy_reports_to_the_same_reporter(memory: MemoryTransport, reporter: Reporter) -> None:
    copied = copy.deepcopy({"log": Log(["loss"], reporter)})["log"]
    copied.report({"loss": 1.0, "lr": 0.1}, 0)
    assert memory.metrics("loss") == [(0, 1.0)]
    assert memory.metrics("lr") == []


def test_without_a_trial_it_fails_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        Log(None, None).begin()


def test_by_default_it_reports_to_the_reporter_of_report_metrics(
    memory: MemoryTransport, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_default, "_reporter", reporter)
    log = Log(None, None)
    log.begin()
    log.report({"loss": 1.0}, 0)
    assert memory.metrics("loss") == [(0, 1.0)]
