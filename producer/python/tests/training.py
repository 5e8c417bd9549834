"""Training processes, what they noted, and whether the database has exactly that.

A program of `programs/` notes each event in a file before it is reported and once it was accepted. So a test knows
what must be in the database, and what may be: one that was accepted when its process was killed
before it could note so.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import katib_stream
from processes import Process, eventually
from servers import Database, Stream, flush

_PROGRAMS = Path(__file__).parent / "programs"
_SOURCE = str(Path(katib_stream.__file__).parents[1])


class Training:
    """The processes of one trial, and what is persisted of it."""

    def __init__(self, folder: Path, binary: Path, url: str, database: Database) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.trial = f"t-{uuid4().hex[:12]}"
        self.spool = folder / "spool"
        self.url = url
        self.database = database
        self.env: dict[str, str] = {}  # for all programs
        self.flush_env: dict[str, str] = {}  # for who asks the stream beside them
        self._folder = folder
        self.binary = binary
        self._processes: list[Process] = []

    def start(self, program: str, *args: object, **env: Any) -> Process:
        """Starts a program of `programs/`."""
        command = [sys.executable, "-X", "faulthandler", str(_PROGRAMS / program), *map(str, args)]
        process = Process(command, self._folder, f"program-{len(self._processes)}", self._environment(env))
        self._processes.append(process)
        return process

    def _environment(self, env: Mapping[str, object]) -> dict[str, str]:
        own = {
            "KATIB_TRIAL_NAME": self.trial,
            "KATIB_STREAM_SERVERS": self.url,
            "KATIB_STREAM_SPOOL": str(self.spool),
            "NOTES": str(self._folder / "notes"),
            "STOP": str(self._folder / "stop"),
            "PYTHONPATH": _SOURCE,
            "PYTHONWARNINGS": "default",
        }
        return own | self.env | {name: str(value) for name, value in env.items()}

    def run(self, program: str, *args: object, status: int = 0, **env: Any) -> Process:
        """Runs a program to its end, which has to have this status."""
        process = self.start(program, *args, **env)
        assert process.wait() == status, process
        return process

    def start_next(self, **env: Any) -> None:
        """Runs a program that delivers what was left, beside an event of its own.

        At its end it gives that a second only, which a busy machine can use up: then the one after it goes on.
        """
        self.run("loop.py", 1, 0, "return", **env)
        for _ in range(4):
            if self.left():
                self.run("loop.py", 1, 0, "return", **env)

    def stop(self, *processes: Process) -> None:
        """Has programs that report until they are stopped end by themselves, in order."""
        flag = self._folder / "stop"
        flag.touch()
        for process in processes:
            assert process.wait() == 0, process
        flag.unlink()

    def begun(self) -> list[float]:
        """Gives the values that programs began to report."""
        return self._noted("begun")

    def accepted(self) -> list[float]:
        """Gives the values of which programs saw that they were accepted."""
        return self._noted("accepted")

    def _noted(self, word: str) -> list[float]:
        try:
            lines = (
                (self._folder / "notes").read_text().rpartition("\n")[0].splitlines()
            )  # not one that is being written
        except FileNotFoundError:
            return []
        return [float(value) for kind, _, value in (line.partition(" ") for line in lines) if kind == word]

    def reported(self, number: int) -> None:
        """Waits until programs have noted so many events."""
        self._wait(f"{number} events are noted", lambda: len(self.accepted()) >= number)

    def stored(self, number: int) -> None:
        """Waits until the database has so many events."""
        self._wait(f"{number} events are persisted", lambda: len(self.database.values(self.trial)) >= number)

    def _wait(self, what: str, check: Callable[[], bool]) -> None:
        def checked() -> bool:
            alone = not any(process.running() for process in self._processes)
            assert check() or not alone, f"everything has ended, and not {what}\n{self}"
            return check()

        eventually(f"{what}\n{self}", checked)

    def left(self) -> list[str]:
        """Gives the names of what is in the spool's folder."""
        return sorted(os.listdir(self.spool)) if self.spool.exists() else []

    def check(self, *, waits: bool = False, emptied: bool = True) -> None:
        """Fails unless what was accepted is in the database, each event once, nothing else, and the spool is empty.

        With `waits` it may still be on its way; without, it has to be there now. Without `emptied` a file may be left.
        """
        accepted = Counter(self.accepted())
        if waits:
            eventually("everything is persisted", lambda: not accepted - Counter(self.database.values(self.trial)))
            eventually("the spool is empty", lambda: not self.left())
        lost = accepted - Counter(self.database.values(self.trial))
        assert not lost, f"{sum(lost.values())} of {len(self.accepted())} events are lost: {sorted(lost)[:5]}\n{self}"
        if accepted:  # so that what was sent twice has arrived twice
            flush(self.binary, self.url, self.trial, self.flush_env)
        surplus = Counter(self.database.values(self.trial)) - Counter(self.begun())
        number = sum(surplus.values())
        assert not surplus, f"{number} events are doubled, or nobody reported them: {sorted(surplus)[:5]}\n{self}"
        assert self.database.dead(self.trial) == 0
        assert not emptied or self.left() == [], f"{self.left()} is left in the spool\n{self}"

    def clean_up(self) -> None:
        """Kills what still runs."""
        for process in self._processes:
            process.clean_up()

    def __str__(self) -> str:
        """Tells, for a failure, what became of its processes."""
        return "\n".join(map(str, self._processes))


def train(folder: Path, stream: Stream) -> Training:
    """Begins a trial that reports to a stream."""
    return Training(folder, stream.binary, stream.url, stream.database)
