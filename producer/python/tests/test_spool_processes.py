"""A spool folder that several processes share, and one that does not take what it should."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from katib_stream._spool import Spool
from training import Training

_NOBODY = "nats://127.0.0.1:1"


def test_processes_that_share_a_folder_are_killed_at_random(training: Training) -> None:
    processes = [training.start("restarts.py", 1000) for _ in range(2)]
    kills = 0
    while kills < 10:
        at = random.randrange(2)
        time.sleep(random.uniform(0.05, 0.4))  # the moment is what is tried
        processes[at].kill()
        processes[at] = training.start("restarts.py", 1000)
        kills += 1
    for process in processes:
        assert process.wait() == 0
    training.start_next()
    training.check()


def test_a_bound_that_is_reached_is_told_and_the_rest_is_in_memory(training: Training) -> None:
    process = training.run("loop.py", 500, 0, "return", KATIB_STREAM_SPOOL_BYTES="512KiB")
    _told_once(process.err, "the spool takes no more")
    training.check()


def test_what_is_in_memory_only_is_told_to_be_lost(training: Training) -> None:
    settings: dict[str, Any] = {"KATIB_STREAM_SPOOL_BYTES": "1MiB", "KATIB_STREAM_EXIT_TIMEOUT": 0.5}
    process = training.run("loop.py", 30_000, 0, "return", KATIB_STREAM_SERVERS=_NOBODY, **settings)
    _told_once(process.err, "the spool takes no more")
    assert f"30000 events of trial {training.trial} are not delivered" in process.err
    lost = int(process.err.split(" events in memory only are lost")[0].rsplit(" ", 1)[1])
    assert 0 < lost < 30_000
    training.run("loop.py", 1, 0, "return")
    rows = training.database.values(training.trial)
    assert len(rows) == len(set(rows)) == 30_001 - lost


def test_none_keeps_everything_in_memory(training: Training) -> None:
    process = training.run("loop.py", 500, 0, "return", KATIB_STREAM_SPOOL="none")
    assert process.err == ""
    training.check()
    process = training.run(
        "loop.py",
        3,
        0,
        "return",
        KATIB_STREAM_SPOOL="none",
        KATIB_STREAM_SERVERS=_NOBODY,
        KATIB_STREAM_EXIT_TIMEOUT=0.5,
    )
    assert "they were in memory only, and are lost with this process" in process.err


def test_a_folder_that_cannot_be_made_is_told(training: Training, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    process = training.run("loop.py", 500, 0, "return", KATIB_STREAM_SPOOL=in_the_way / "spool")
    _told_once(process.err, "the spool cannot be used")
    training.check()


def test_no_spool_folder_of_somebody_else_is_used(training: Training, tmp_path: Path) -> None:
    default = tmp_path / f"katib-stream-spool-{os.getuid()}"
    default.mkdir()
    default.chmod(0o777)
    process = training.run("loop.py", 500, 0, "return", KATIB_STREAM_SPOOL="", TMPDIR=tmp_path)
    _told_once(process.err, "there is no spool")
    training.check()
    assert list(default.iterdir()) == []


def test_the_default_folder_is_made_for_this_user_alone(training: Training, tmp_path: Path) -> None:
    away: dict[str, Any] = {"KATIB_STREAM_SERVERS": _NOBODY, "KATIB_STREAM_EXIT_TIMEOUT": 0.2}
    training.run("loop.py", 5, 0, "return", KATIB_STREAM_SPOOL="", TMPDIR=tmp_path, **away)
    folder = tmp_path / f"katib-stream-spool-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 1
    training.run("loop.py", 1, 0, "return", KATIB_STREAM_SPOOL="", TMPDIR=tmp_path)
    assert list(folder.iterdir()) == []
    training.check()


def test_a_file_that_another_process_removes_meanwhile_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda folder: ["gone-1.spool.tmp"])
    made = Spool(str(tmp_path), 64 << 20, "default", "my-trial").create("0" * 32)
    assert made is not None
    made.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1.5 MiB, which holds one file of the spool."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1536k", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"this user mounts no disks: {err}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_rest_is_in_memory(training: Training, small_disk: Path) -> None:
    process = training.start("loop.py", 0, 0, "return", KATIB_STREAM_SPOOL=small_disk, KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(30_000)
    process.kill()  # what is in memory only is gone, as it must be
    _told_once(process.err, "No space left on device")
    lost = len(training.accepted())
    process = training.run("loop.py", 30_000, 0, "return", KATIB_STREAM_SPOOL=small_disk)
    rows = training.database.values(training.trial)
    assert len(rows) == len(set(rows))
    assert set(training.accepted()[lost:]) <= set(rows)
    assert set(training.accepted()[:5000]) <= set(rows)
    assert list(small_disk.iterdir()) == []


def test_a_damaged_file_is_set_aside_and_the_rest_of_it_is_delivered(training: Training) -> None:
    process = training.start("loop.py", 0, 0.001, "return", KATIB_STREAM_SERVERS=_NOBODY)
    training.reported(300)
    process.kill()
    (name,) = training.left()
    file = training.spool / name
    data = bytearray(file.read_bytes())
    data[data.index(str(int(training.accepted()[100])).encode())] = ord("x")
    file.write_bytes(data)
    process = training.run("loop.py", 1, 0, "return")
    assert training.left() == [name + ".aside"]
    _told_once(process.err, name + ".aside")
    lost = set(training.accepted()) - set(training.database.values(training.trial))
    assert lost == {training.accepted()[100]}


def test_what_is_no_file_of_the_spool_is_set_aside(training: Training) -> None:
    training.spool.mkdir()
    (training.spool / "somebody-1.spool").write_bytes(b"something else")
    process = training.run("loop.py", 1, 0, "return")
    assert training.left() == ["somebody-1.spool.aside"]
    assert "is no file of the spool" in process.err


def _told_once(text: str, line: str) -> None:
    assert text.count(line) == 1, text
