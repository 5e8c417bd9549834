// Package rank says which process of a distributed run this is, where its launcher says so in the environment. All ranks of a
// run belong to one trial and mostly measure the same, so by default only rank 0 reports. Who is in doubt reports: a metric
// that stands there once for each rank does less harm than one that is missing.
package rank

import (
	"fmt"
	"strconv"
	"strings"
)

type launcher struct {
	variable string // the rank among all processes of the run; a rank within a node (LOCAL_RANK) says nothing here
	size     string // how many processes the run has; empty: nothing says so
	several  bool   // the rank counts only when there are several processes
}

// From the innermost launcher to the outermost: torchrun may run under mpirun, and mpirun in a step of Slurm; the rank that
// the training code sees is then the inner one's. RANK is torchrun's, accelerate's, DeepSpeed's and a PyTorchJob's.
var launchers = []launcher{
	{variable: "RANK", size: "WORLD_SIZE"},
	{variable: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE"}, // Open MPI, and so an MPIJob
	{variable: "PMI_RANK", size: "PMI_SIZE"},                         // MPICH, Intel MPI, srun --mpi=pmi2
	{variable: "PMIX_RANK"},
	// Slurm sets SLURM_PROCID in a plain batch script, too; and what a task starts inherits it. Several tasks are a run.
	{variable: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS", several: true},
}

// Rank is one process of a distributed run.
type Rank struct {
	Number   int    // from 0 on
	Variable string // that says so
}

// Find gives this process's rank; false when nothing says one. A value that is no number from 0 on, or that lies outside of
// the run's size, is not a launcher's.
func Find(getenv func(string) string) (Rank, bool) {
	for _, l := range launchers {
		if number, found := l.rank(getenv); found {
			return Rank{number, l.variable}, true
		}
	}
	return Rank{}, false
}

func (l launcher) rank(getenv func(string) string) (int, bool) {
	number, found := parse(getenv(l.variable))
	if !found {
		return 0, false
	}
	size, sized := 0, false
	if l.size != "" {
		size, sized = parse(getenv(l.size))
	}
	if sized && number >= size || l.several && (!sized || size < 2) {
		return 0, false
	}
	return number, true
}

// parse takes digits alone: what else Atoi takes no launcher writes.
func parse(text string) (int, bool) {
	text = strings.TrimSpace(text)
	if len(text) == 0 || len(text) > 9 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.Atoi(text)
	return number, err == nil
}

// Silence says in a line for people that this process reports nothing, why, and how to change it.
func (r Rank) Silence() string {
	return fmt.Sprintf("this is rank %d (%s), which reports nothing: rank 0 does; KATIB_STREAM_RANKS=all has every rank report", r.Number, r.Variable)
}
