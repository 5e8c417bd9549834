"""Signals in mid-run: the process ends, or goes on, as it would without us, and nothing is lost."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from processes import Process
from proxy import Proxy
from training import Training


def test_the_default_end_by_sigterm_delivers_everything(training: Training) -> None:
    process = training.start("loop.py", 0, 0.001, "return")
    training.reported(200)
    process.send(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert process.err == ""
    training.check()


def test_sigterm_anywhere_in_a_tight_loop(training: Training) -> None:
    for _ in range(8):
        process = training.start("loop.py", 0, 0, "return")
        process.said("ready")
        process.send(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        training.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_that_ends_the_process_keeps_its_status(training: Training, moment: str) -> None:
    process = training.start("signals.py", "leave", moment, 0)
    process.said("ready")
    process.send(signal.SIGTERM)
    assert process.wait() == 5
    assert (process.out, process.err) == ("begins\nready\nhandled\n", "")
    training.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_that_only_notes_lets_training_go_on(training: Training, moment: str) -> None:
    process = training.start("signals.py", "flag", moment, 0.001)
    process.said("ready")
    process.send(signal.SIGTERM)
    process.said("handled")
    training.reported(len(training.accepted()) + 200)
    training.stop(process)
    training.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_ignores_sigterm_does_not_end(training: Training, moment: str) -> None:
    process = training.start("signals.py", "ignore", moment, 0.001)
    process.said("ready")
    process.send(signal.SIGTERM)
    training.reported(len(training.accepted()) + 200)
    training.stop(process)
    training.check()


@pytest.mark.parametrize("handler", ["flag", "reports"])
def test_many_signals_in_the_midst_of_reports(training: Training, handler: str) -> None:
    process = training.start("signals.py", handler, "before", 0)
    process.said("ready")
    _hammer(process, signal.SIGTERM, 1000)
    before = len(training.accepted())
    training.reported(before + 1000)  # it still goes on
    training.stop(process)
    training.check()


def test_many_signals_in_the_midst_of_flushes(training: Training) -> None:
    process = training.start("flushes.py")
    process.said("ready")
    _hammer(process, signal.SIGTERM, 1000)
    training.reported(len(training.accepted()) + 20)
    training.stop(process)
    training.check()


@pytest.mark.parametrize("handler", ["flag", "reports"])
def test_signals_at_the_first_report(training: Training, handler: str) -> None:
    process = training.start("signals.py", handler, "before", 0.001)
    process.said("begins")
    pause = 0.0005
    while "ready" not in process.out:
        process.send(signal.SIGTERM)
        time.sleep(pause)
        pause *= 1.02  # else a slow machine would do nothing but handle signals
    training.reported(len(training.accepted()) + 100)
    training.stop(process)
    training.check()


def test_a_handler_that_ends_the_process_at_the_first_report(training: Training) -> None:
    for _ in range(4):
        process = training.start("signals.py", "leave", "before", 0.001)
        process.said("begins")
        process.send(signal.SIGTERM)
        assert process.wait() == 5
        training.check(emptied=False)  # a signal just after a file was made leaves it, without an event
    process = training.start("loop.py", 0, 0, "return")
    training.reported(len(training.accepted()) + 100)
    training.stop(process)
    training.check()  # the next start removes it


def _hammer(process: Process, number: int, times: int) -> None:
    for _ in range(times):
        process.send(number)
        time.sleep(0.0005)  # as often as they come through; what matters is that they hit everywhere


def test_a_second_sigterm_while_the_first_is_handled(training: Training) -> None:
    process = training.start("loop.py", 0, 0, "return")
    training.reported(1000)
    for _ in range(20):
        if process.running():
            process.send(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    training.check()


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.hang], ids=["is away", "hangs"])
def test_sigterm_ends_in_time_and_says_what_is_left_when_nats(
    training: Training, proxy: Proxy, fault: Callable[[Proxy], None]
) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=proxy.url, KATIB_STREAM_EXIT_TIMEOUT=1)
    training.stored(100)
    fault(proxy)
    training.reported(len(training.accepted()) + 100)
    begin = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert time.monotonic() - begin < 5
    text = rf"katib_stream: (\d+) events of trial {training.trial} are not delivered \((.*)\); (.*)"
    line = re.search(text, process.err)
    assert line is not None, process
    # What the stream took and could not acknowledge counts, too.
    missing = len(training.accepted()) - len(training.database.values(training.trial))
    assert max(100, missing) <= int(line[1]) <= len(training.begun())
    assert str(training.spool) in line[3]
    training.start_next()
    training.check()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_signal_while_the_end_waits_for_nats_does_not_end_it_in_silence(
    training: Training, number: int, status: int
) -> None:
    away: dict[str, Any] = {"KATIB_STREAM_SERVERS": "nats://127.0.0.1:1", "KATIB_STREAM_EXIT_TIMEOUT": 2}
    process = training.start("loop.py", 10, 0, "say", **away)
    process.said("ending")
    process.send(number)
    assert process.wait() == status
    assert f"10 events of trial {training.trial} are not delivered" in process.err
    training.start_next()
    training.check()


def test_keyboard_interrupt_in_a_tight_loop(training: Training) -> None:
    for _ in range(8):
        process = training.start("loop.py", 0, 0, "return")
        process.said("ready")
        process.send(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert "KeyboardInterrupt" in process.err
        training.check()
