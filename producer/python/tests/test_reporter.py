"""What training code calls, with a transport in memory."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest

import katib_stream
from katib_stream import (
    ClosedError,
    ConfigError,
    Event,
    EventTooLarge,
    InvalidEvent,
    MemoryTransport,
    NotPersisted,
    Reporter,
    _default,
    _outbox,
    _reporter,
)


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def reporter(memory: MemoryTransport) -> Reporter:
    return Reporter(trial="my-trial", transport=memory)


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch, memory: MemoryTransport) -> MemoryTransport:
    """Has report_metrics report to memory."""
    monkeypatch.setenv("KATIB_TRIAL_NAME", "my-trial")
    monkeypatch.setattr(_default, "_reporter", None)
    monkeypatch.setattr(_default, "_warned", False)
    monkeypatch.setattr(_default, "Reporter", lambda: Reporter(transport=memory))
    return memory


def test_what_is_exported() -> None:
    assert sorted(katib_stream.__all__) == katib_stream.__all__
    for name in katib_stream.__all__:
        thing = getattr(katib_stream, name)
        assert name == "__version__" or thing.__doc__


def test_importing_is_cheap() -> None:
    heavy = "asyncio nats ssl logging tempfile hashlib urllib.request numpy"
    program = f"import sys, katib_stream; print([m for m in '{heavy}'.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-S", "-c", program], env=plain(), capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def plain() -> dict[str, str]:
    source = os.path.dirname(os.path.dirname(katib_stream.__file__))
    return {"PYTHONPATH": source, "PATH": os.environ["PATH"]}


def test_a_report_becomes_an_event(reporter: Reporter, memory: MemoryTransport) -> None:
    before = datetime.now(timezone.utc)
    reporter.report({"loss": 0.125, "accuracy": 0.91}, step=3)
    (event,) = memory.events
    assert event.step == 3
    assert event.metrics == (("loss", "0.125"), ("accuracy", "0.91"))
    assert event.time is not None
    assert abs(event.time / 1e9 - before.timestamp()) < 10


def test_a_given_time_is_kept_in_its_zone(reporter: Reporter, memory: MemoryTransport) -> None:
    at = datetime(2026, 11, 24, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    reporter.report({"loss": 1}, time=at)
    assert memory.events == [Event(1_795_521_600_123_456_000, None, (("loss", "1"),))]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param({"metrics": {}}, "metrics", id="nothing"),
        pytest.param({"metrics": {"loss": "n/a"}}, "metric-value", id="no number"),
        pytest.param({"metrics": {"loss": None}}, "metric-value", id="None"),
        pytest.param({"metrics": {"": 1}}, "metric-name", id="no name"),
        pytest.param({"metrics": {"loss": 1}, "step": -1}, "step", id="negative step"),
        pytest.param({"metrics": {"loss": 1}, "step": 1.5}, "step", id="half a step"),
        pytest.param({"metrics": {"loss": 1}, "time": datetime(2026, 1, 1)}, "time", id="no time zone"),
        pytest.param({"metrics": {"loss": 1}, "time": 5}, "time", id="no datetime"),
    ],
)
def test_what_is_refused_is_a_value_error(
    reporter: Reporter, memory: MemoryTransport, arguments: dict[str, object], code: str
) -> None:
    with pytest.raises(InvalidEvent) as refused:
        reporter.report(**arguments)  # type: ignore[arg-type]
    assert isinstance(refused.value, ValueError)
    assert refused.value.code == code
    assert memory.events == []


def test_an_event_that_is_too_large(reporter: Reporter) -> None:
    with pytest.raises(EventTooLarge, match="report fewer metrics") as refused:
        reporter.report({f"metric-{i}-{'x' * 200}": 1 / (i + 1) for i in range(5000)})
    assert refused.value.size > refused.value.limit


def test_a_closed_reporter_refuses(reporter: Reporter) -> None:
    with reporter:
        reporter.report({"loss": 1})
    with pytest.raises(ClosedError):
        reporter.report({"loss": 1})
    reporter.close()


def test_producers_are_never_the_same(reporter: Reporter) -> None:
    assert reporter.producer != Reporter(trial="my-trial", transport=MemoryTransport()).producer
    assert (reporter.trial, reporter.namespace, len(reporter.producer)) == ("my-trial", "default", 32)


def test_a_full_buffer_waits_and_then_drops_aloud(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_reporter, "_ROOM_WAIT", 0.05)
    monkeypatch.setattr(reporter._outbox, "_buffer_bytes", 100)
    for step in range(5):
        reporter.report({"loss": 1.0}, step=step)
    assert capsys.readouterr().err.count("events are dropped") == 1
    with pytest.raises(NotPersisted) as left:
        reporter.flush()
    assert left.value.refused == 4
    reporter.flush()  # it was told


def test_a_full_buffer_waits_for_room(
    reporter: Reporter, memory: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter._outbox, "_buffer_bytes", 100)
    reporter.report({"loss": 1.0})
    timer = threading.Timer(0.05, lambda: memory.events)
    timer.start()
    reporter.report({"loss": 2.0})
    timer.join()
    assert memory.metrics("loss") == [(None, 1.0), (None, 2.0)]


def test_report_metrics_has_katibs_signature(default: MemoryTransport, capsys: pytest.CaptureFixture[str]) -> None:
    katib_stream.report_metrics({"loss": 1}, "katib-db-manager.kubeflow:6789", 120)
    katib_stream.report_metrics(metrics={"loss": 2}, timeout=5, step=1)
    katib_stream.flush()
    assert default.metrics("loss") == [(None, 1.0), (1, 2.0)]
    assert capsys.readouterr().err.count("do nothing here") == 1


def test_without_a_trial_it_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KATIB_TRIAL_NAME", raising=False)
    monkeypatch.setattr(_default, "_reporter", None)
    with pytest.raises(ValueError, match="KATIB_TRIAL_NAME"):
        katib_stream.report_metrics({"loss": 1})


def test_other_ranks_check_what_is_reported_and_report_nothing(
    memory: MemoryTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    silent = Reporter(trial="my-trial", transport=memory)
    silent.report({"loss": 1})
    with pytest.raises(ValueError, match="float"):
        silent.report({"loss": "n/a"})
    silent.flush()
    silent.close()
    assert len(capsys.readouterr().err.splitlines()) == 1
    loud = Reporter(trial="my-trial", transport=memory, ranks="all")
    loud.report({"loss": 2})
    assert memory.metrics("loss") == [(None, 2.0)]


def test_what_was_not_delivered_is_said_in_one_line(
    reporter: Reporter, memory: MemoryTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter.report({"loss": 1})
    monkeypatch.setattr(type(memory), "events", [])
    reporter.close()
    assert "1 event of trial my-trial" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        NotPersisted(events=1, refused=2, dead_letters=3, missing=4, cause="not connected"),
        EventTooLarge(2, 1),
        InvalidEvent("no", code="step", line=3),
        ConfigError("no"),
    ],
)
def test_errors_reach_other_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_what_not_persisted_says() -> None:
    assert str(NotPersisted(events=1, cause="not connected")) == (
        "not everything is persisted: 1 event is not stored: not connected"
    )
    assert str(NotPersisted(cause="no consumer answers")) == (
        "not everything is persisted: what was sent is stored: no consumer answers"
    )
    assert str(NotPersisted(refused=2, dead_letters=1)) == (
        "not everything is persisted: 2 events can never be stored, 1 message of this producer is a dead letter"
    )


def test_the_line_of_an_event_is_bounded_by_what_a_message_carries() -> None:
    assert _outbox.MAX_LINE < 1 << 20
