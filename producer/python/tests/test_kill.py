"""A training process that is killed in mid-run: the next one that starts delivers what it had accepted, once."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from processes import Process
from servers import Stream
from training import Training

_NOBODY = "nats://127.0.0.1:1"


@pytest.mark.parametrize("pause", [0, 0.001], ids=["a tight loop", "a loop that does something"])
def test_kill_in_mid_run(training: Training, pause: float) -> None:
    process = training.start("loop.py", 0, pause, "return")
    training.stored(100)
    process.kill()
    training.start_next()
    training.check()


def test_kill_with_nats_away(training: Training) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(300)
    process.kill()
    assert len(training.left()) == 1
    again = training.run("loop.py", 1, 0, "return")
    assert f"events of trial {training.trial} that a process left behind" in again.err
    training.check()


def test_many_files_of_a_killed_process_are_delivered(training: Training) -> None:
    process = training.start("loop.py", 0, 0, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(30_000)  # more than 1 MiB
    process.kill()
    assert len(training.left()) > 1
    training.start_next()
    training.check()


def test_a_process_that_only_starts_is_killed_while_it_delivers_what_another_left(training: Training) -> None:
    first = training.start("loop.py", 0, 0, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(10_000)
    first.kill()
    for _ in range(4):
        again = training.start("loop.py", 0, 0.01, "return")
        again.said("ready")
        with pytest.raises(AssertionError):  # it is the chance of the moment what it has sent by then
            again.wait(random.uniform(0, 0.1))
        again.kill()
    training.start_next()
    training.check()


def test_another_trial_delivers_what_was_left(training: Training) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(100)
    process.kill()
    training.start_next(KATIB_TRIAL_NAME=training.trial + "-next", NOTES="/dev/null")
    training.check()


def test_a_process_that_goes_on_delivers_what_another_left(training: Training) -> None:
    going = training.start("loop.py", 0, 0.01, "return")
    going.said("ready")
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(300)
    process.kill()
    training.stop(going)
    training.check()


def test_what_a_killed_process_started_holds_nothing_back(training: Training) -> None:
    process = training.start("popen.py", KATIB_STREAM_SERVERS=_NOBODY)
    process.said("ready")
    process.kill()
    training.start_next()
    training.check()


def test_nats_is_killed_under_load(own_training: Training, stream: Stream) -> None:
    training = own_training
    process = training.start("loop.py", 0, 0.0005, "return")
    for _ in range(3):
        training.stored(len(training.accepted()))
        stream.kill()
        training.reported(len(training.accepted()) + 200)
        stream.start()
    training.stored(len(training.accepted()))
    training.stop(process)
    training.check()


def test_nats_and_the_process_are_killed(own_training: Training, stream: Stream) -> None:
    training = own_training
    process = training.start("loop.py", 0, 0.0005, "return")
    training.stored(100)
    stream.kill()
    training.reported(len(training.accepted()) + 100)
    process.kill()
    stream.start()
    training.start_next()
    training.check()


def test_kill_while_a_report_is_written(training: Training) -> None:
    """Many processes, each killed at another moment: what a kill tears was not accepted, and harms nothing else."""
    for _ in range(8):
        process = training.start("loop.py", 0, 0, "return", KATIB_STREAM_SERVERS=_NOBODY)
        process.said("ready")
        process.send(signal.SIGKILL)
        process.wait()
    training.start_next()
    training.check()


def test_katib_stream_spool_send_delivers_what_was_left(training: Training) -> None:
    process = training.start("loop.py", 0, 0, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(3000)
    process.kill()
    subprocess.run([training.binary, "spool", "send", training.spool, "--server", training.url], check=True, timeout=60)
    training.check(waits=True)


def test_what_katib_stream_exec_left_is_delivered(training: Training, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo loss=$i; done; echo all; sleep 300"
    command = [str(training.binary), "exec", "--all-metrics", "--server", _NOBODY, "--spool", str(training.spool)]
    env = {"KATIB_TRIAL_NAME": training.trial}
    process = Process([*command, "--", "sh", "-c", script], tmp_path, "exec", env)
    process.said("all")
    process.clean_up()  # kills the command as well
    training.run("loop.py", 1, 0, "return")
    rows = training.database.values(training.trial)
    assert rows[:100] == [float(number) for number in range(1, 101)]
    assert len(rows) == 101
    assert training.left() == []
