package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/flushclient"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

type flushOptions struct {
	client
	namespace, trial string
	wait             time.Duration
}

func newFlushCommand(a *app) *cobra.Command {
	var o flushOptions
	command := &cobra.Command{
		Use:   "flush TRIAL",
		Short: "Wait until a trial is persisted",
		Long: `Wait until everything that the stream holds of a trial is persisted in Katib DB, as a consumer answers; who reads the
trial's metrics then finds all of them, of whatever namespace. What is stored later is not waited for.

When not everything is persisted within --wait, or no consumer answers within --timeout, it ends with status 1. Dead
letters, and numbers that never reached the stream because their producer died before, are said, and not waited for.`,
		Example: `  katib-stream flush my-trial
  katib-stream flush my-trial --namespace kubeflow --wait 10m
  katib-stream flush my-trial -o json`,
		Args: onlyATrial,
		RunE: func(command *cobra.Command, args []string) error {
			o.trial = args[0]
			if err := o.check(); err != nil {
				return usageError{err}
			}
			return a.flush(command.Context(), o)
		},
	}
	flags := command.Flags()
	o.addFlags(flags, "flush")
	flags.StringVar(&o.namespace, "namespace", "default", "the `namespace` that is asked with; only permissions look at it")
	flags.DurationVar(&o.wait, "wait", time.Minute, "how long to wait until everything is persisted")
	return command
}

func (o flushOptions) check() error {
	if err := schema.ValidateTrial(o.trial); err != nil {
		return err
	}
	if o.wait <= 0 {
		return fmt.Errorf("--wait is %v, not above 0", o.wait)
	}
	return schema.ValidateNamespace(o.namespace)
}

func (a *app) flush(ctx context.Context, o flushOptions) error {
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	waiting, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	answer, err := flushclient.Ask(waiting, nc, flushclient.Question{Namespace: o.namespace, Trial: o.trial, Patience: o.timeout})
	if err != nil {
		return o.notPersisted(ctx, nc, answer.Pending, err)
	}
	if answer.Status == schema.FlushMissing {
		return fmt.Errorf("neither the stream nor the database knows trial %s; `katib-stream trials` lists what the stream holds", o.trial)
	}
	return a.printFlushed(flushed{o.namespace, o.trial, answer.Status, answer.DeadLetters, answer.Missing}, o.output)
}

// notPersisted says as far as one can know why the trial is not persisted, and what to do.
func (o flushOptions) notPersisted(ctx context.Context, nc *nats.Conn, pending uint64, err error) error {
	var denied *flushclient.DeniedError
	var refused *flushclient.RefusedError
	reason := err.Error()
	switch {
	case errors.As(err, &denied):
		reason = fmt.Sprintf("NATS at %s does not let this user %s", natsconn.Redact(nc.ConnectedUrl()), denied.What)
	case errors.Is(err, flushclient.ErrUnanswered):
		reason = "no consumer answers; is one running, and may it (allow_responses)? `katib-stream up` and `katib-stream consumer` answer"
	case errors.Is(err, nats.ErrDisconnected):
		reason = "the connection to NATS was lost, and was not back in time"
	case errors.As(err, &refused):
		reason = refused.Error()
	case pending > 0:
		reason = fmt.Sprintf("about %s on the way to the database; `katib-stream status %s` shows more", areMany(pending, "message"), o.trial)
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		reason = "no consumer has said yet how much is on the way, which can take 5s"
	}
	if ctx.Err() != nil {
		reason = "interrupted; " + reason
	} else if errors.Is(err, context.DeadlineExceeded) {
		reason = fmt.Sprintf("gave up after %v; %s", o.wait, reason)
	}
	return explained{fmt.Sprintf("trial %s is not known to be persisted: %s", o.trial, reason), err}
}

// diedOf counts messages that became dead letters, also those that were requeued or removed since.
func diedOf(n uint64) string {
	if n == 1 {
		return "1 message became a dead letter"
	}
	return fmt.Sprintf("%d messages became dead letters", n)
}

// areMany is "1 message is" or "2 messages are".
func areMany(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

// flushed is what flush prints.
type flushed struct {
	Namespace   string             `json:"namespace"`
	Trial       string             `json:"trial"`
	Status      schema.FlushStatus `json:"status"`
	DeadLetters uint64             `json:"dead_letters"`
	// Missing is how many numbers never reached the stream.
	Missing uint64 `json:"missing"`
}

func (a *app) printFlushed(f flushed, output cli.Format) error {
	if output == cli.JSON {
		return cli.WriteJSON(a.stdout, f)
	}
	text := "persisted: everything of trial " + f.Trial
	if f.Status == schema.FlushDeleted {
		text = "deleted: trial " + f.Trial + ", and what was reported of it"
	}
	if f.DeadLetters > 0 {
		text += "; " + diedOf(f.DeadLetters)
	}
	if f.Missing > 0 {
		text += "; " + areMany(f.Missing, "message") + " missing, for they never reached the stream"
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}
