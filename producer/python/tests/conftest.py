"""The servers that tests share, and those that they have for themselves.

`training` is a trial on a server that all tests share; who kills servers takes `stream`, a server of the test's own.
The binaries are built once, unless KATIB_STREAM_BIN names katib-stream's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from proxy import Proxy
from servers import Stream
from sites import MakeSite, Site
from training import Training, train

_ROOT = Path(__file__).parents[3]


def _build(package: str, target: Path) -> Path:
    subprocess.run(["go", "build", "-o", str(target), package], cwd=_ROOT, check=True)
    return target


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is built."""
    return tmp_path_factory.mktemp("bin")


@pytest.fixture(scope="session")
def katib_stream_binary(binaries: Path) -> Path:
    """The program katib-stream."""
    given = os.environ.get("KATIB_STREAM_BIN")
    return Path(given) if given else _build("./cmd/katib-stream", binaries / "katib-stream")


@pytest.fixture(scope="session")
def nats_binary(binaries: Path) -> Path:
    """The program nats-server, in the version that katib-stream embeds."""
    return _build("github.com/nats-io/nats-server/v2", binaries / "nats-server")


@pytest.fixture(scope="session")
def shared_stream(katib_stream_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """Everything in one process, for all tests. Nobody kills it."""
    stream = Stream(katib_stream_binary, tmp_path_factory.mktemp("shared"))
    yield stream
    stream.clean_up()


@pytest.fixture
def stream(katib_stream_binary: Path, tmp_path: Path) -> Iterator[Stream]:
    """Everything in one process, for one test, which may kill it."""
    stream = Stream(katib_stream_binary, tmp_path / "stream")
    yield stream
    stream.clean_up()


@pytest.fixture
def training(shared_stream: Stream, tmp_path: Path) -> Iterator[Training]:
    """A trial of the test's own on the shared server."""
    training = train(tmp_path / "training", shared_stream)
    yield training
    training.clean_up()


@pytest.fixture
def own_training(stream: Stream, tmp_path: Path) -> Iterator[Training]:
    """A trial on the test's own server."""
    training = train(tmp_path / "training", stream)
    yield training
    training.clean_up()


@pytest.fixture
def proxy(shared_stream: Stream) -> Iterator[Proxy]:
    """A way to the shared server that the test may cut."""
    proxy = Proxy(shared_stream.port)
    yield proxy
    proxy.cut()


@pytest.fixture
def site(katib_stream_binary: Path, nats_binary: Path, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes NATS servers with a configuration of the test's own, each with a consumer and a trial."""
    with ExitStack() as stack:

        def make(config: str, **env: Any) -> Site:
            variables = {name: str(value) for name, value in env.items()}
            made = Site(katib_stream_binary, nats_binary, Path(mkdtemp(dir=tmp_path)), config, variables)
            stack.callback(made.clean_up)
            made.consumer.start()
            return made

        yield make
