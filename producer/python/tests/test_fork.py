"""Forks in mid-run: a child is a producer of its own, never hangs, and never sends again what is its parent's."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from processes import eventually
from training import Training

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

_NOBODY = "nats://127.0.0.1:1"


@pytest.mark.parametrize(
    ("kind", "events", "producers"),
    [
        pytest.param("child reports", 150, 2),
        pytest.param("child is silent", 100, 1),
        pytest.param("grandchildren", 350, 4),
        pytest.param("early", 21, 11),
        pytest.param("before", 100, 2),
        pytest.param("fork", 250, 4),
        pytest.param("spawn", 250, 4),
        pytest.param("forkserver", 250, 4),
    ],
)
def test_each_process_is_a_producer_and_delivers_at_its_end(
    training: Training, kind: str, events: int, producers: int
) -> None:
    process = training.run("forks.py", kind)
    assert (process.out, process.err) == ("", "")
    assert len(training.accepted()) == events
    training.check()
    assert training.database.ended(training.trial) == producers


def test_a_fork_while_another_thread_begins_to_deliver(training: Training) -> None:
    training.run("forks.py", "starting")
    assert len(training.accepted()) == 4
    training.check()


def test_what_a_child_leaves_is_delivered_at_the_end_of_its_parent(training: Training) -> None:
    process = training.run("forks.py", "child leaves")
    assert f"of trial {training.trial} that a process left behind" in process.err
    training.check()


def test_a_child_that_outlives_its_parent(training: Training) -> None:
    process = training.run("forks.py", "child outlives")
    eventually("the child ends", lambda: "child ends" in process.out)
    training.check(waits=True)
    assert process.err == ""


def test_forks_while_threads_report(training: Training) -> None:
    process = training.run("forks.py", "busy")
    assert process.out == ""
    training.check()


def test_sigterm_ends_a_child_that_has_delivered(training: Training) -> None:
    process = training.start("forks.py", "terminated")
    process.said("child")
    training.reported(100)
    training.stop(process)
    assert f"status {-signal.SIGTERM}" in process.out
    assert process.err == ""
    training.check()


def test_workers_that_are_terminated_lose_nothing(training: Training) -> None:
    process = training.run("forks.py", "loader")
    assert process.out == ""
    assert len(training.accepted()) == 300
    training.check()


@pytest.mark.parametrize("kind", ["child reports", "early"])
def test_with_nats_away_the_next_start_delivers_what_each_left(training: Training, kind: str) -> None:
    away: dict[str, Any] = {"KATIB_STREAM_SERVERS": _NOBODY, "KATIB_STREAM_EXIT_TIMEOUT": 0.1}
    training.run("forks.py", kind, **away)
    training.start_next()
    training.check()
