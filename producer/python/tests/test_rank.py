"""Which rank a process is, from the variables that launchers really set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from katib_stream import MemoryTransport, Reporter
from katib_stream._rank import rank, silence

VECTORS = json.loads(
    (Path(__file__).parents[3] / "internal" / "rank" / "testdata" / "ranks.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])
def test_rank(vector: dict[str, Any]) -> None:
    want = (vector["rank"], vector["variable"]) if "rank" in vector else None
    assert rank(vector["environment"]) == want


def test_a_number_that_int_refuses() -> None:
    assert rank({"RANK": "1" * 5000}) is None


def test_silence_says_who_and_what_to_do() -> None:
    line = silence(3, "RANK")
    assert "rank 3 (RANK)" in line
    assert "KATIB_STREAM_RANKS=all" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("number", "ranks", "reported"), [("0", None, 1), ("1", None, 0), ("1", "all", 1)], ids=["rank 0", "rank 1", "all"]
)
def test_the_reporter_holds_to_it(
    number: str, ranks: str | None, reported: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", number)
    memory = MemoryTransport()
    with Reporter(trial="t", ranks=ranks, transport=memory) as reporter:
        reporter.report({"loss": 1.0})
        with pytest.raises(ValueError, match="float"):
            reporter.report({"loss": "n/a"})  # also where it would not be reported
    assert len(memory.events) == reported
    assert ("reports nothing" in capsys.readouterr().err) == (not reported)


def test_imports_nothing_slow() -> None:
    source = Path(__file__).parents[1] / "src"
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import katib_stream; "
        "print(sorted({'asyncio', 'nats', 'keras', 'numpy', 'xgboost', 'lightgbm', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
