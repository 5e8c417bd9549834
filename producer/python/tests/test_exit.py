"""The ends of a process that are no accident: what was reported is in the database when the process is gone."""

from __future__ import annotations

import pytest

from servers import Stream
from training import Training


@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param("return", 0, id="the end of the program"),
        pytest.param("raise", 1, id="an uncaught exception"),
        pytest.param("exit", 7, id="sys.exit"),
        pytest.param("flush", -9, id="flush, and then a kill"),
    ],
)
def test_everything_is_there_at_the_end(training: Training, end: str, status: int) -> None:
    process = training.run("loop.py", 500, 0, end, status=status)
    assert len(training.accepted()) == 500
    if end == "flush":  # who is killed leaves an empty file
        training.run("loop.py", 1, 0, "return")
        assert "left behind" not in process.err
    training.check()
    assert "katib_stream:" not in process.err


def test_rows_are_in_the_order_of_reporting(training: Training) -> None:
    training.run("loop.py", 500, 0, "return")
    assert training.database.values(training.trial) == training.accepted()


def test_the_end_of_a_run_is_marked(training: Training) -> None:
    training.run("loop.py", 3, 0, "return")
    assert training.database.ended(training.trial) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_exit_right_after_the_first_report(training: Training, shared_stream: Stream, host: str) -> None:
    for runs in range(1, 6):
        process = training.run("loop.py", 1, 0, "return", KATIB_STREAM_SERVERS=f"nats://{host}:{shared_stream.port}")
        assert len(training.accepted()) == runs
        assert process.err == ""
        training.check()


def test_an_exit_without_handlers_leaves_everything_to_the_next_start(training: Training) -> None:
    training.run("loop.py", 200, 0, "_exit", status=8)
    process = training.run("loop.py", 1, 0, "return")
    assert f"events of trial {training.trial} that a process left behind" in process.err
    training.check()


def test_threads_report_at_once(training: Training) -> None:
    training.run("threads.py", 8, 250)
    assert len(training.accepted()) == 2000
    training.check()


def test_a_report_in_a_handler_of_atexit_is_delivered(training: Training) -> None:
    process = training.run("atexits.py", "after")
    assert process.err == ""
    assert len(training.accepted()) == 2
    training.check()


def test_a_report_after_our_own_handler_of_atexit_is_refused(training: Training) -> None:
    process = training.run("atexits.py", "before")
    assert "ClosedError: the reporter is closed" in process.err
    assert (len(training.begun()), len(training.accepted())) == (2, 1)
    training.check()


def test_the_first_report_after_our_own_handler_of_atexit_is_left_to_the_next_start(training: Training) -> None:
    training.run("atexits.py", "only")
    assert len(training.accepted()) == 1
    training.start_next()
    training.check()


def test_the_end_of_an_interpreter_that_reported_nothing_waits_for_nothing(training: Training) -> None:
    process = training.run("loop.py", 0, 0, "return", STOP="/", KATIB_STREAM_SERVERS="nats://127.0.0.1:1")
    assert (process.err, training.left()) == ("", [])
