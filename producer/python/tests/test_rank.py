"""Which rank a process is, from the variables that launchers really set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from katib_stream import MemoryTransport, Reporter
from katib_stream._rank import rank, silence

BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}
STEP = {**BATCH_SCRIPT, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}

SAID = {
    "torchrun": ({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "GROUP_RANK": "1"}, (5, "RANK")),
    "torchrun, rank 0": ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "8"}, (0, "RANK")),
    "torchrun, one process": ({"RANK": "0", "WORLD_SIZE": "1"}, (0, "RANK")),
    "RANK without a size": ({"RANK": "2"}, (2, "RANK")),
    "RANK with a size that is no number": ({"RANK": "2", "WORLD_SIZE": "many"}, (2, "RANK")),
    "spaces around": ({"RANK": " 2\n"}, (2, "RANK")),
    "mpirun of Open MPI": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}, (1, "OMPI_COMM_WORLD_RANK")),
    "mpirun of Open MPI 5, which sets PMIx's as well": (
        {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "1"},
        (1, "OMPI_COMM_WORLD_RANK"),
    ),
    "mpirun of MPICH": ({"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, "PMI_RANK")),
    "srun --mpi=pmix": ({**STEP, "PMIX_RANK": "5"}, (5, "PMIX_RANK")),
    "a step of several tasks": (STEP, (5, "SLURM_PROCID")),
    "torchrun on each node of a step": ({**STEP, "RANK": "17", "WORLD_SIZE": "32"}, (17, "RANK")),
    "torchrun alone in each task of a step": ({**STEP, "RANK": "0", "WORLD_SIZE": "1"}, (0, "RANK")),
    "mpirun in a batch script": (
        {**BATCH_SCRIPT, "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"},
        (2, "OMPI_COMM_WORLD_RANK"),
    ),
    "a RANK that is no launcher's under mpirun": ({"RANK": "low", "PMI_RANK": "3", "PMI_SIZE": "4"}, (3, "PMI_RANK")),
}

NOT_SAID = {
    "nothing": {},
    "a batch script of Slurm": BATCH_SCRIPT,
    "a shell in a step of one task": {**BATCH_SCRIPT, "SLURM_STEP_NUM_TASKS": "1"},
    "a step whose number of tasks is no number": {**STEP, "SLURM_STEP_NUM_TASKS": "?"},
    "a rank within a node only": {"LOCAL_RANK": "1"},
    "empty": {"RANK": ""},
    "no number": {"RANK": "gold"},
    "negative, which means unknown": {"RANK": "-1", "WORLD_SIZE": "4"},
    "a fraction": {"RANK": "1.0"},
    "what only Python takes for a number": {"RANK": "1_0"},
    "digits of another script": {"RANK": "\u0663"},
    "a number that no launcher has": {"RANK": "1" * 5000},
    "outside of the run": {"RANK": "4", "WORLD_SIZE": "4"},
    "another than 0 in a run of one": {"RANK": "3", "WORLD_SIZE": "1"},
    "outside of a step": {**STEP, "SLURM_PROCID": "8"},
}


@pytest.mark.parametrize(("environ", "want"), SAID.values(), ids=SAID)
def test_said(environ: dict[str, str], want: tuple[int, str]) -> None:
    assert rank(environ) == want


@pytest.mark.parametrize("environ", NOT_SAID.values(), ids=NOT_SAID)
def test_not_said(environ: dict[str, str]) -> None:
    assert rank(environ) is None


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
