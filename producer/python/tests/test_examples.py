"""The examples, as a user runs them: what they report is in the database, each event once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from processes import Process
from rows import rows
from servers import Stream
from training import Training

EXAMPLES = Path(__file__).parents[3] / "examples" / "python"


def test_scikit_learn(training: Training, shared_stream: Stream) -> None:
    process = training.run(str(EXAMPLES / "digits_sklearn.py"), "--epochs", 6, "--rate", 0.1)
    printed = re.findall(r"(loss|accuracy)=(\S+)", process.out)
    assert len(printed) == 12
    assert rows(shared_stream, training.trial) == printed
    assert float(printed[-1][1]) > 0.8
    assert process.err == ""
    assert training.left() == []


def test_keras(training: Training, shared_stream: Stream) -> None:
    process = training.run(str(EXAMPLES / "digits_keras.py"), "--epochs", 3, KERAS_BACKEND="jax")
    persisted = rows(shared_stream, training.trial)
    printed = re.findall(r"(\w+): (\d\.\d+)", process.out)
    assert len(printed) == 12
    assert [name for name, _ in printed] == [name for name, _ in persisted]
    # What Keras prints is rounded.
    values = [float(value) for _, value in persisted]
    assert values == pytest.approx([float(value) for _, value in printed], abs=5e-5)
    assert "katib_stream" not in process.err
    assert training.left() == []


def search(training: Training, database: Path, **env: object) -> Process:
    """Starts a search for whose trials the database is read."""
    arguments = ["--trials", 3, "--epochs", 4, "--name", training.trial, "--db", database]
    return training.start(str(EXAMPLES / "search.py"), *arguments, **env)


def test_a_search_finds_the_best_trial(training: Training, shared_stream: Stream) -> None:
    process = search(training, shared_stream.folder / "data" / "katib.db")
    assert process.wait() == 0, process
    table = [line.split() for line in process.out.splitlines()[1:]]
    assert sorted(line[0] for line in table) == [f"{training.trial}-{number:02d}" for number in (1, 2, 3)]
    for name, *_, epochs, accuracy in table:
        values = [float(value) for metric, value in rows(shared_stream, name) if metric == "accuracy"]
        assert (len(values), epochs) == (4, "4")
        assert f"{max(values):.3f}" == accuracy
    assert [line[-1] for line in table] == sorted((line[-1] for line in table), reverse=True)
    assert training.left() == []


def test_a_search_without_a_database_says_what_to_do(training: Training, tmp_path: Path) -> None:
    process = search(training, tmp_path / "none.db")
    assert process.wait() == 2
    assert "start `katib-stream up`" in process.err


def test_a_search_whose_trial_fails_says_so(training: Training, shared_stream: Stream) -> None:
    process = search(training, shared_stream.folder / "data" / "katib.db", KATIB_STREAM_RANKS="some")
    assert process.wait() == 1
    assert process.err.splitlines()[-1].startswith("search.py: a trial failed")
