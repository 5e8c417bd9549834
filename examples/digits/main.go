// Command digits trains a small network to recognise handwritten digits, and reports its loss and accuracy at every step:
// an example of how training code in Go reports to katib-stream. What matters of it is in train.go.
//
// In a Katib Trial it finds the trial's name by itself ($KATIB_TRIAL_NAME). Elsewhere, with `katib-stream up` running:
//
//	KATIB_TRIAL_NAME=my-trial bin/digits --learning-rate 0.2
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
)

// options are the hyperparameters, and where to report.
type options struct {
	learningRate float64
	batchSize    int
	hidden       int
	steps        int
	seed         uint64
	server       string
	log          string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "digits:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("digits", flag.ExitOnError)
	flags.Float64Var(&o.learningRate, "learning-rate", 0.1, "how far a step goes")
	flags.IntVar(&o.batchSize, "batch-size", 32, "images of a step")
	flags.IntVar(&o.hidden, "hidden", 32, "units of the hidden layer")
	flags.IntVar(&o.steps, "steps", 1500, "steps to train")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of everything random")
	server := cmp.Or(os.Getenv("KATIB_STREAM_SERVERS"), os.Getenv("NATS_URL"), nats.DefaultURL)
	flags.StringVar(&o.server, "server", server, "`URLs` of the NATS servers [$KATIB_STREAM_SERVERS, $NATS_URL]")
	flags.StringVar(&o.log, "log", "", "`file` in which every reported event is noted, one a line")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case os.Getenv("KATIB_TRIAL_NAME") == "":
		return o, errors.New("no trial is given: set KATIB_TRIAL_NAME=my-trial, as Katib does in a Trial")
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag; see digits --help", flags.Arg(0))
	case !(o.learningRate > 0) || o.batchSize < 1 || o.hidden < 1 || o.steps < 1:
		return o, fmt.Errorf("--learning-rate, --batch-size, --hidden and --steps must be above 0")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	notes := io.Discard
	if o.log != "" {
		file, err := os.Create(o.log)
		if err != nil {
			return fmt.Errorf("make the log: %w", err)
		}
		defer file.Close() // every line is written at once; nothing is left to fail here
		notes = file
	}
	return trainAndReport(ctx, o, out, notes)
}
