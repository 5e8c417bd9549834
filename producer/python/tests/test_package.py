"""The distribution: what is in it, that it works where nothing else is installed, and what the package shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
import types
import venv
from collections.abc import Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from tarfile import open as open_tar
from zipfile import ZipFile

import pytest

import katib_stream

PROJECT = Path(__file__).parents[1]
IMPORT_LIMIT = 0.050  # seconds


def run(*command: object) -> str:
    """Runs a command and gives its output; what it said goes into the failure."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built of what is in it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PROJECT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and nothing else, not even its dependency."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    return python


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    (text,) = (text for name, text in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(text)


def sources() -> set[str]:
    folder = PROJECT / "src"
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(contents(wheel))
    about = f"katib_stream-{katib_stream.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(about)} == sources()
    assert "katib_stream/py.typed" in names
    assert about + "licenses/LICENSE" in names


def test_wheel_of_the_folder_is_that_of_the_source_archive(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, PROJECT)
    assert contents(tmp_path / wheel.name) == contents(wheel)


def test_source_archive_holds_what_it_is_built_of(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with open_tar(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    build_needs = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
    assert names - build_needs == {f"src/{name}" for name in sources()}


def test_metadata(wheel: Path) -> None:
    about = metadata(wheel)
    assert (about["Name"], about["Version"]) == ("katib-stream", katib_stream.__version__)
    assert (about["Requires-Python"], about["License-Expression"]) == (">=3.9", "Apache-2.0")
    assert about["Description-Content-Type"] == "text/markdown"
    required = [need for need in about.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert len(required) == 1, f"one dependency is what users were promised: {required}"
    assert required[0].startswith("nats-py")


def test_license_is_the_repositorys() -> None:
    assert (PROJECT / "LICENSE").read_bytes() == (PROJECT.parents[1] / "LICENSE").read_bytes()


def test_installed_alone_it_can_be_imported(clean: Path) -> None:
    script = "import katib_stream; print(katib_stream.__version__, katib_stream.__file__)"
    version, file = run(clean, "-I", "-c", script).split()
    assert version == katib_stream.__version__
    assert Path(file).is_relative_to(clean.parents[1])


def test_installed_alone_it_can_be_used_in_memory(clean: Path, tmp_path: Path) -> None:
    script = f"""
from katib_stream import MemoryTransport, Reporter
transport = MemoryTransport()
with Reporter(trial="my-trial", transport=transport, spool={str(tmp_path)!r}) as reporter:
    reporter.report({{"loss": 0.5}}, step=1)
print([(event.step, event.metrics) for event in transport.events])
"""
    assert run(clean, "-I", "-c", script).strip() == "[(1, (('loss', '0.5'),))]"


def test_import_is_quick_and_brings_no_client(clean: Path) -> None:
    script = """
import sys, time
before = time.perf_counter()
import katib_stream
print(time.perf_counter() - before, *sys.modules)
"""
    runs = [run(clean, "-I", "-c", script).split() for _ in range(5)]
    # The fastest: how fast it can be, whatever else the machine does at the moment.
    assert min(float(seconds) for seconds, *_ in runs) < IMPORT_LIMIT
    assert not {"nats", "asyncio", "ssl", "dataclasses", "uuid", "numpy"}.intersection(runs[0][1:])


def test_all_public_names_are_exported() -> None:
    hidden = (types.ModuleType, type(importlib.import_module("__future__").annotations))
    public = {name for name, value in vars(katib_stream).items() if name[0] != "_" and not isinstance(value, hidden)}
    assert public == set(katib_stream.__all__) - {"__version__"}
    assert list(katib_stream.__all__) == sorted(katib_stream.__all__)
    assert [name for name in public if not getattr(katib_stream, name).__doc__] == []


def own_modules() -> Sequence[str]:
    """The modules that need no framework: those with a leading underscore."""
    found = (module.name for module in pkgutil.iter_modules(katib_stream.__path__, "katib_stream."))
    return [name for name in found if name.rpartition(".")[2].startswith("_")]


@pytest.mark.parametrize("name", own_modules())
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
