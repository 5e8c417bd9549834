package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/schema"
)

type trialsOptions struct {
	client
	namespace string
}

func newTrialsCommand(a *app) *cobra.Command {
	var o trialsOptions
	command := &cobra.Command{
		Use:   "trials",
		Short: "List the trials in the stream",
		Long: `List the trials in the stream: who reported, how much, when last, and whether it ended.

A trial has ended when every producer of it said so. One that is open and quiet may still compute, or may have crashed.
What the stream no longer holds because it is persisted and older than the consumers' --history is not counted.`,
		Example: `  katib-stream trials
  katib-stream trials --namespace kubeflow -o json`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return a.trials(command.Context(), o) },
	}
	o.addFlags(command.Flags(), "trials")
	command.Flags().StringVar(&o.namespace, "namespace", "", "only this `namespace` (default: all)")
	return command
}

func (a *app) trials(ctx context.Context, o trialsOptions) error {
	filter := schema.SubjectPrefix + ".>"
	if o.namespace != "" {
		if err := schema.ValidateNamespace(o.namespace); err != nil {
			return usageError{err}
		}
		filter = schema.SubjectPrefix + "." + schema.EncodeToken(o.namespace) + ".>"
	}
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	found, err := o.list(ctx, nc, filter)
	if err != nil {
		return err
	}
	switch found.strays {
	case 0:
	case 1:
		fmt.Fprintln(a.stderr, "katib-stream: trials: 1 message is on a subject that is no trial's; it becomes a dead letter")
	default:
		fmt.Fprintf(a.stderr, "katib-stream: trials: %d messages are on subjects that are no trial's; they become dead letters\n", found.strays)
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, found.trials)
	}
	if len(found.trials) == 0 {
		where := "yet"
		if o.namespace != "" {
			where = "in namespace " + o.namespace
		}
		_, err := fmt.Fprintln(a.stdout, "no trials", where)
		return err
	}
	rows := make([][]string, 0, len(found.trials))
	for _, t := range found.trials {
		rows = append(rows, []string{t.Namespace, t.Trial, strconv.Itoa(t.Producers), strconv.FormatUint(t.Messages, 10), t.Last.Format(time.RFC3339), t.state()})
	}
	return cli.WriteTable(a.stdout, []string{"NAMESPACE", "TRIAL", "PRODUCERS", "MESSAGES", "LAST", "STATE"}, rows)
}

// trial is a trial as its messages in the stream show it.
type trial struct {
	Namespace string `json:"namespace"`
	Trial     string `json:"trial"`
	Producers int    `json:"producers"`
	// EndedProducers is how many of them said that their run ended.
	EndedProducers int    `json:"ended_producers"`
	Messages       uint64 `json:"messages"`
	// Last is when the stream stored the last message.
	Last  time.Time `json:"last"`
	Ended bool      `json:"ended"`
}

func (t trial) state() string {
	switch {
	case t.Ended:
		return "ended"
	case t.EndedProducers > 0:
		return fmt.Sprintf("open (%d of %d ended)", t.EndedProducers, t.Producers)
	}
	return "open"
}
