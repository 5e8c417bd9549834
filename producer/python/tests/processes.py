"""Processes of the tests, and how tests wait for them: with a deadline, never for a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

#: How long a test waits for what has to happen, in seconds: long, for a busy machine; only a bug makes it wait so.
PATIENCE = 30.0
_POLL = 0.01  # seconds

_T = TypeVar("_T")


def eventually(what: str, check: Callable[[], _T], timeout: float = PATIENCE) -> _T:
    """Waits until the check gives something, and gives that; fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(_POLL)


def free_port() -> int:
    """Gives a port of the loopback interface on which nobody listens."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Gives this process's environment without what would steer a producer or a server, and with `extra`."""
    steering = ("KATIB_", "NATS_", "RANK", "WORLD_SIZE", "OMPI_", "PMI", "SLURM_")
    return {name: text for name, text in os.environ.items() if not name.startswith(steering)} | dict(extra)


class Process:
    """A process in a session of its own; what it writes goes to files."""

    def __init__(self, command: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        self._files = [folder / f"{name}.out", folder / f"{name}.err"]
        with open(self._files[0], "ab") as out, open(self._files[1], "ab") as err:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(env or {}),
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def out(self) -> str:
        """What it wrote to standard output so far."""
        return self._files[0].read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it wrote to standard error so far."""
        return self._files[1].read_text(errors="replace")

    def said(self, text: str) -> None:
        """Waits until it has written a text, to either output; fails when it ends without."""

        def check() -> bool:
            ended = self._popen.poll() is not None
            found = text in self.out or text in self.err
            assert found or not ended, f"it ended without saying {text!r}: {self}"
            return found

        eventually(f"it says {text!r}: {self}", check)

    def send(self, number: int) -> None:
        """Sends a signal."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Waits for its end, and gives the status; that of a signal is negative."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end within {timeout:.0f} s: {self}") from None

    def running(self) -> bool:
        """Says whether it has not ended."""
        return self._popen.poll() is None

    def kill(self) -> None:
        """Kills it as the kernel does, without notice."""
        self._popen.kill()
        self._popen.wait()

    def clean_up(self) -> None:
        """Kills it, and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def __str__(self) -> str:
        """Tells, for a failure, what became of it."""
        return f"{self._popen.args!r}, status {self._popen.poll()}\n{self.out}\n{self.err}"
