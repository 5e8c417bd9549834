"""What a program hears when not everything is persisted: from flush(), in a line at its end, and in its exit status."""

from __future__ import annotations

import json
import signal
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from processes import Process
from servers import Stream
from sites import ALL, TRAINER, MakeSite, users
from training import Training

_AWAY: dict[str, Any] = {"KATIB_STREAM_SERVERS": "nats://127.0.0.1:1", "KATIB_STREAM_EXIT_TIMEOUT": 0.3}
_ANY = ">"


@pytest.mark.parametrize(
    ("word", "end", "status"),
    [("fail", "return", 74), ("fail", "raise", 74), ("fail", "exit", 74), ("warn", "return", 0), ("", "exit", 7)],
)
def test_the_exit_status_says_that_something_is_not_delivered(
    training: Training, word: str, end: str, status: int
) -> None:
    process = training.run("loop.py", 5, 0, end, status=status, KATIB_STREAM_ON_UNDELIVERED=word, **_AWAY)
    lines = [line for line in process.err.splitlines() if line.startswith("katib_stream:")]
    assert len(lines) == 1, process
    assert f"5 events of trial {training.trial} are not delivered (not connected: nats://127.0.0.1:1: " in lines[0]
    assert f"the next start delivers them from {training.spool}" in lines[0]
    training.start_next(KATIB_STREAM_ON_UNDELIVERED=word)
    training.check()


def test_sigterm_keeps_its_status(training: Training) -> None:
    process = training.start("loop.py", 0, 0.01, "return", KATIB_STREAM_ON_UNDELIVERED="fail", **_AWAY)
    process.said("ready")
    process.send(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert "not delivered" in process.err


def _flushed(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.out.splitlines() if line.startswith("{")]


def test_flush_returns_when_everything_is_persisted(training: Training) -> None:
    process = training.run("flushing.py", 100, 20, "")
    (told,) = _flushed(process)
    assert told.keys() == {"seconds"}
    training.check()


def test_flush_with_nats_away(training: Training) -> None:
    (told,) = _flushed(training.run("flushing.py", 7, 0.5, "", **_AWAY))
    assert told["events"] == 7
    assert "not connected" in told["cause"]
    assert 0.5 <= told["seconds"] < 2
    assert told.keys() == {"events", "cause", "seconds"}


def test_flush_of_a_deleted_trial(training: Training, shared_stream: Stream) -> None:
    process = training.start("flushing.py", 7, 20, "wait")
    process.said("waits")
    name = training.trial.encode()
    with grpc.insecure_channel(shared_stream.db_manager) as channel:
        # The message has one field, the trial's name: as it goes over the wire, so that no generated code is needed.
        delete = channel.unary_unary("/api.v1.beta1.DBManager/DeleteObservationLog")
        delete(b"\x0a" + bytes([len(name)]) + name, timeout=30)
    training.stop(process)
    first, second = _flushed(process)
    assert first.keys() == {"seconds"}
    assert second["cause"] == "the trial was deleted, and its reports with it"
    assert second.keys() == {"cause", "seconds"}
    assert training.database.values(training.trial) == []


def test_flush_of_what_became_a_dead_letter(training: Training) -> None:
    training.run("loop.py", 1, 0, "return")
    (told,) = _flushed(training.run("flushing.py", 7, 20, "", KATIB_STREAM_NAMESPACE="other"))
    assert told["dead_letters"] == 1
    assert told.keys() == {"dead_letters", "seconds"}
    assert len(training.database.values(training.trial)) == 1


@pytest.mark.parametrize(
    ("publish", "subscribe", "stored", "cause"),
    [
        pytest.param("katib.metrics.>", _ANY, True, "not permitted to publish to katib.flush.", id="to flush"),
        pytest.param("katib.flush.>", _ANY, False, "not permitted to publish to katib.metrics.", id="to publish"),
        pytest.param(_ANY, "mine.>", False, "not permitted to receive acknowledgements", id="to hear"),
    ],
)
def test_flush_without_the_permission(site: MakeSite, publish: str, subscribe: str, stored: bool, cause: str) -> None:
    training = site(users(publish, subscribe), **ALL).training
    process = training.run("flushing.py", 7, 3, "", KATIB_STREAM_EXIT_TIMEOUT=1, **TRAINER)
    (told,) = _flushed(process)
    assert cause in told["cause"]
    assert told.get("events", 0) == (0 if stored else 7)
    if stored:  # who may not ask did not want to know: the end says nothing
        assert process.err == ""
        training.check(waits=True)
        return
    assert f"7 events of trial {training.trial} are not delivered ({cause}" in process.err
    training.start_next(**ALL)
    training.check()


def test_flush_with_the_consumer_away(site: MakeSite) -> None:
    made = site(users(), **ALL)
    training = made.training
    made.consumer.kill()
    process = training.run("flushing.py", 7, 1, "", **TRAINER)
    (told,) = _flushed(process)
    assert told.keys() == {"cause", "seconds"}
    assert told["cause"] == "no consumer answers"
    assert "what was sent is stored: no consumer answers" in process.err
    made.consumer.start()
    training.check(waits=True)


def test_flush_without_the_stream(site: MakeSite) -> None:
    made = site(users(), **ALL)
    made.consumer.kill()
    training = made.training
    made.nats.kill()
    made.nats.start(users(), fresh=True)
    (told,) = _flushed(training.run("flushing.py", 7, 1, "", KATIB_STREAM_EXIT_TIMEOUT=0.3, **TRAINER))
    assert told["events"] == 7
    assert "no stream takes the subject" in told["cause"]
    made.consumer.start()
    training.start_next(**TRAINER)
    training.check()
