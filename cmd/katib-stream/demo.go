package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
)

// demoOptions is what `demo` is told.
type demoOptions struct {
	dir        string
	keep       bool
	trialCount int
	steps      int
	parallel   int
	seed       uint64
	trainer    string
	output     cli.Format
	// program is this program, for the consumer's process, and killAt the commit at which that kills itself, 0 for none.
	// No flag sets them: without the kill there is no demo.
	program string
	killAt  int
}

func newDemoCommand(a *app) *cobra.Command {
	o := demoOptions{killAt: 4}
	command := &cobra.Command{
		Use:   "demo",
		Short: "Run a real search, with the consumer killed in the middle",
		Long: `Run a real search on this machine: an embedded NATS server and SQLite, the consumer as a process of its own, and trials,
each a process of its own, that train a network on handwritten digits and report loss and accuracy at every step. A first
round is random; a second tries what is near the best of the first, as observation_logs has it.

While they train, the consumer is killed with SIGKILL between a commit and its acknowledgements, and another takes its
place. At the end what each trainer noted in a file of its own is compared with plain SQL on observation_logs. The status
is 1 if anything was lost, doubled or altered, or if the kill caused no redelivery.`,
		Example: `  katib-stream demo
  katib-stream demo --dir demo-data                 keep stream, database and logs
  katib-stream demo --trials 16 --parallel 4 --seed 7
  katib-stream demo -o json`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.demo(command.Context(), o)
		},
	}
	o.addFlags(command.Flags())
	command.AddCommand(newDemoConsumerCommand(a))
	return command
}

func (o *demoOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.dir, "dir", "", "new or empty `folder` for everything, which is kept (default: a temporary one, which is removed)")
	flags.BoolVar(&o.keep, "keep", false, "keep the temporary folder, too")
	flags.IntVar(&o.trialCount, "trials", 10, "trials to run, 8 to 99")
	flags.IntVar(&o.steps, "steps", 2000, "steps that each trial trains")
	flags.IntVar(&o.parallel, "parallel", 2, "trials that train at the same time")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the search and of its trials; the same one gives the same search")
	flags.StringVar(&o.trainer, "trainer", "", "`path` of the trainer (default: digits beside this program)")
	o.output.AddFlag(flags)
}

// check finds what cannot be meant, and the programs to run.
func (o *demoOptions) check() error {
	switch {
	case o.trialCount < 8 || o.trialCount > 99:
		return usagef("--trials is %d, not 8 to 99", o.trialCount)
	case o.steps < 1:
		return usagef("--steps is %d, not above 0", o.steps)
	case o.parallel < 1:
		return usagef("--parallel is %d, not above 0", o.parallel)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	o.program = program
	if o.trainer == "" {
		o.trainer = filepath.Join(filepath.Dir(program), "digits"+filepath.Ext(program))
	}
	if info, err := os.Stat(o.trainer); err != nil || info.IsDir() {
		return fmt.Errorf("there is no trainer at %s; run `make demo`, or `make build` to have it built, or name it with --trainer", o.trainer)
	}
	o.trainer = absolute(o.trainer) // a name without a folder would be looked up in $PATH
	return nil
}

// demo runs the search in its folder, prints what came of it, and returns an error when that is not as promised.
func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	dir, kept, err := o.folder()
	if err != nil {
		return err
	}
	if !kept {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	d := &demoRun{app: a, demoOptions: o, dir: dir, show: a.newDisplay(o.output)}
	result, err := d.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted; every process it started has ended" + whatIsKept(dir, kept))
	}
	if err != nil {
		return err
	}
	if kept {
		result.Folder = dir
	}
	if o.output == cli.JSON {
		err = cli.WriteJSON(a.stdout, result)
	} else {
		err = a.printDemo(result)
	}
	return errors.Join(err, result.verdict())
}

// folder makes the folder that everything is kept in.
func (o *demoOptions) folder() (dir string, kept bool, err error) {
	if o.dir == "" {
		dir, err = os.MkdirTemp("", "katib-stream-demo-")
		if err != nil {
			return "", false, fmt.Errorf("make a temporary folder: %w; give another with --dir", err)
		}
		return dir, o.keep, nil
	}
	dir = absolute(o.dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, fmt.Errorf("make the folder: %w; give another with --dir", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false, fmt.Errorf("read the folder: %w; give another with --dir", err)
	}
	if len(entries) > 0 {
		return "", false, usagef("--dir %s is not empty; the demo needs a new or an empty folder", dir)
	}
	return dir, true, nil
}

func whatIsKept(dir string, kept bool) string {
	if kept {
		return ", what they wrote is in " + dir
	}
	return ", and their files are removed"
}
