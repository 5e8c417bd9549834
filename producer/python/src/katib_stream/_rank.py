"""Which process of a distributed run this is, where its launcher says so in the environment.

All ranks of a run belong to one trial and mostly measure the same, so by default only rank 0 reports. Who is in doubt
reports: a metric that stands there once for each rank does less harm than one that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional


class _Launcher(NamedTuple):
    variable: str  # the rank among all processes of the run; a rank within a node (LOCAL_RANK) says nothing here
    size: Optional[str]  # noqa: UP045 - how many processes the run has; evaluated by Python 3.9
    alone: bool = True  # the rank counts also when there is one process, or nothing says how many


# From the innermost launcher to the outermost: torchrun may run under mpirun, and mpirun in a step of Slurm; the rank
# that the training code sees is then the inner one's. RANK is torchrun's, accelerate's, DeepSpeed's and a PyTorchJob's.
_LAUNCHERS = (
    _Launcher("RANK", "WORLD_SIZE"),
    _Launcher("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI, and so an MPIJob
    _Launcher("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, srun --mpi=pmi2
    _Launcher("PMIX_RANK", None),
    # Slurm sets SLURM_PROCID in a plain batch script, too; and what a task starts inherits it. Several tasks are a run.
    _Launcher("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", alone=False),
)


def rank(environ: Mapping[str, str]) -> tuple[int, str] | None:
    """Gives this process's rank in its run, from 0 on, and the variable that says so; None when nothing does.

    A value that is no number from 0 on, or that lies outside of the run's size, is not a launcher's, and says nothing.

    >>> rank({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    (3, 'RANK')
    >>> rank({"SLURM_PROCID": "0"}) is None
    True
    """
    for launcher in _LAUNCHERS:
        found = _rank_of(launcher, environ)
        if found is not None:
            return found, launcher.variable
    return None


def _rank_of(launcher: _Launcher, environ: Mapping[str, str]) -> int | None:
    number = _number(environ.get(launcher.variable))
    size = _number(environ.get(launcher.size)) if launcher.size else None
    if number is None or (size is not None and number >= size):
        return None
    if not launcher.alone and (size is None or size < 2):
        return None
    return number


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    # What int() takes beyond digits no launcher writes; and it raises for a number of thousands of digits.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def silence(rank: int, variable: str) -> str:
    """Says, in a line for people, that this process reports nothing, why, and how to change it.

    >>> silence(3, "RANK")
    'this is rank 3 (RANK), which reports nothing: rank 0 does; KATIB_STREAM_RANKS=all has every rank report'
    """
    why = f"this is rank {rank} ({variable}), which reports nothing: rank 0 does"
    return f"{why}; KATIB_STREAM_RANKS=all has every rank report"
