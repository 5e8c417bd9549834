"""A distributed run of four processes: rank 0 reports, and the others say that they do not."""

from __future__ import annotations

import pytest

from training import Training

_RANKS = range(4)


def test_only_rank_0_reports_and_the_others_say_so_in_a_line(training: Training) -> None:
    processes = [training.start("loop.py", 50, 0, "return", RANK=rank, WORLD_SIZE=4) for rank in _RANKS]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    lines = [process.err.splitlines() for process in processes]
    assert lines[0] == []
    for rank, said in enumerate(lines[1:], start=1):
        assert len(said) == 1, said
        assert f"this is rank {rank} (RANK), which reports nothing" in said[0]
    rows = training.database.values(training.trial)
    assert len(rows) == 50
    assert {int(value) >> 24 for value in rows} == {processes[0].pid}
    assert training.left() == []


@pytest.mark.parametrize("end", ["return", "flush"])
def test_every_rank_reports_when_that_is_asked_for(training: Training, end: str) -> None:
    processes = [
        training.start("loop.py", 50, 0, end, RANK=rank, WORLD_SIZE=4, KATIB_STREAM_RANKS="all") for rank in _RANKS
    ]
    for process in processes:
        assert process.wait() == (-9 if end == "flush" else 0), process
        assert process.err == ""
    assert len(training.accepted()) == 200
    if end == "flush":
        training.start_next()
    training.check()


def test_a_silent_rank_flushes_and_ends_without_a_server(training: Training) -> None:
    away = {"KATIB_STREAM_SERVERS": "nats://127.0.0.1:1", "KATIB_STREAM_ON_UNDELIVERED": "fail"}
    process = training.run("loop.py", 50, 0, "flush", status=-9, RANK=1, WORLD_SIZE=2, **away)
    assert "flushed" in process.out
    assert training.left() == []
