"""Real servers for the tests, as processes that tests can kill, stop and start again.

`Stream` is all of katib-stream in one process. `Nats` is a NATS server with a configuration of the test's own, beside
which a `Consumer` runs. What they wrote stands in the test's folder.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from processes import PATIENCE, Process, environment, free_port


class Database:
    """Katib DB, as plain SQL sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def values(self, trial: str) -> list[float]:
        """Gives the values of a trial's loss, in Katib's order."""
        query = """SELECT value FROM observation_logs WHERE trial_name = ? AND metric_name = 'loss' ORDER BY time, id"""
        return [float(value) for (value,) in self._ask(query, trial)]

    def dead(self, trial: str) -> int:
        """Counts a trial's dead letters."""
        return sum(dead for (dead,) in self._ask("SELECT dead FROM stream_producers WHERE trial_name = ?", trial))

    def ended(self, trial: str) -> int:
        """Counts a trial's producers that have marked the end of their run."""
        return len(self._ask("SELECT 1 FROM stream_producers WHERE trial_name = ? AND final_number > 0", trial))

    def _ask(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=PATIENCE)) as database:
            try:
                return database.execute(query, values).fetchall()
            except sqlite3.OperationalError as err:
                if "no such table" in str(err):  # a consumer that is still starting
                    return []
                raise


class Service:
    """A server that can be killed and started again on the same port and data."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        self.process: Process | None = None

    def launch(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Starts the process."""
        self.process = Process(command, self.folder, self.name, env)
        return self.process

    def kill(self) -> None:
        """Kills it as the kernel does."""
        assert self.process is not None
        self.process.kill()

    def pause(self) -> None:
        """Stops it: connections stay, and nobody answers."""
        assert self.process is not None
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        assert self.process is not None
        self.process.send(signal.SIGCONT)

    def clean_up(self) -> None:
        """Kills it for good."""
        if self.process is not None:
            self.process.clean_up()


class Stream(Service):
    """NATS, the consumer, SQLite and the db-manager in one process: `katib-stream up`."""

    def __init__(self, binary: Path, folder: Path) -> None:
        super().__init__(folder, "up")
        self.binary = binary
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.database = Database(folder / "data" / "katib.db")
        self.db_manager = ""  # host:port
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it is up."""
        args = ["up", "--data", str(self.folder / "data"), "--port", str(self.port), "--listen", "", "-o", "json"]
        (self.folder / "up.out").unlink(missing_ok=True)
        process = self.launch([str(self.binary), *args, "--listen-address", "127.0.0.1:0"])
        process.said("}")
        self.db_manager = json.loads(process.out)["katib"]

    def flush(self, trial: str) -> None:
        """Waits until everything that the stream has of a trial is in the database."""
        flush(self.binary, self.url, trial)


def flush(binary: Path, url: str, trial: str, env: Mapping[str, str] | None = None) -> None:
    """Waits until everything that a stream has of a trial is in the database."""
    command = [str(binary), "flush", trial, "--server", url, "--timeout", f"{PATIENCE:.0f}s"]
    subprocess.run(command, env=environment(env or {}), check=True, capture_output=True, timeout=2 * PATIENCE)


class Nats(Service):
    """A NATS server with JetStream and a configuration of the test's own."""

    def __init__(self, binary: Path, folder: Path, config: str) -> None:
        super().__init__(folder, "nats")
        self.binary = binary
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._starts = 0
        self.start(config)

    def start(self, config: str, *, fresh: bool = False) -> None:
        """Starts it with a configuration, and with `fresh` without what it stored; waits until it listens."""
        path = self.folder / "nats.conf"
        self._starts += fresh
        store = json.dumps(str(self.folder / f"nats-{self._starts}"))
        own = f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: {store} }}\n'
        path.write_text(own + config)
        (self.folder / "nats.err").unlink(missing_ok=True)
        self.launch([str(self.binary), "-c", str(path)]).said("Server is ready")


class Consumer(Service):
    """A consumer beside a NATS server, with a database of its own."""

    def __init__(self, binary: Path, folder: Path, url: str, env: Mapping[str, str]) -> None:
        super().__init__(folder, "consumer")
        self._command = [str(binary), "consumer", "--server", url, "--db", f"sqlite:{folder / 'katib.db'}"]
        self._command += ["--listen", "", "--stream-max-bytes", "64MiB", "--dead-letter-max-bytes", "64MiB"]
        self.env = dict(env)
        self.database = Database(folder / "katib.db")

    def start(self) -> None:
        """Starts it, and waits until it takes messages."""
        (self.folder / "consumer.err").unlink(missing_ok=True)
        self.launch(self._command, self.env).said("msg=consuming")
