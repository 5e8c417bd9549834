package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

type publishOptions struct {
	client
	subject schema.Subject // its producer is made by the library
	step    int64
	hasStep bool
	time    string
}

func newPublishCommand(a *app) *cobra.Command {
	var o publishOptions
	command := &cobra.Command{
		Use:   "publish TRIAL [NAME=VALUE ...]",
		Short: "Report metrics of a trial",
		Long: `Report metrics of a trial, and wait until they are stored in the stream: one event of the pairs, or, without pairs or
with "-", the events on standard input, one a line, as they come:

  {"time":"2026-11-24T12:00:00.123456Z","step":12,"metrics":{"loss":0.125,"accuracy":0.91}}

time and step may be left out. A line that is no event ends it with status 1; the events before that line are stored,
nothing after it is sent.`,
		Example: `  katib-stream publish my-trial loss=0.125 accuracy=0.91 --step 12
  katib-stream publish my-trial --namespace kubeflow loss=0.125
  train | katib-stream publish my-trial -
  katib-stream publish my-trial -o json < events.ndjson`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 0 && strings.Contains(args[0], "=") {
				return usagef("the first argument is %q where the trial's name should be", args[0])
			}
			return aTrial(command, args)
		},
		RunE: func(command *cobra.Command, args []string) error {
			o.subject.Trial = args[0]
			o.hasStep = changed(command.Flags(), "step")
			source, err := a.source(o, args[1:])
			if err != nil {
				return usageError{err}
			}
			return a.publish(command.Context(), o, source)
		},
	}
	flags := command.Flags()
	o.addFlags(flags, "publish")
	flags.StringVar(&o.subject.Namespace, "namespace", "default", "the trial's `namespace`")
	flags.Int64Var(&o.step, "step", 0, "training `step` of the event, 0 or more (default: none)")
	flags.StringVar(&o.time, "time", "", "`time` of the event, like 2026-11-24T12:00:00.123456Z (default: now)")
	return command
}

// source is where the events come from: the pairs, or standard input.
func (a *app) source(o publishOptions, pairs []string) (source, error) {
	if err := schema.ValidateTrial(o.subject.Trial); err != nil {
		return nil, err
	}
	if err := schema.ValidateNamespace(o.subject.Namespace); err != nil {
		return nil, err
	}
	asked := len(pairs) == 1 && pairs[0] == "-"
	if len(pairs) > 0 && !asked {
		event, err := eventOf(o, pairs)
		return &single{event: event}, err
	}
	if o.hasStep || o.time != "" {
		return nil, fmt.Errorf("--step and --time are for NAME=VALUE pairs; lines on standard input carry their own")
	}
	if file, ok := a.stdin.(*os.File); ok && !asked && term.IsTerminal(int(file.Fd())) {
		return nil, fmt.Errorf("there is nothing to report: give NAME=VALUE pairs, or events on standard input")
	}
	return &lines{in: a.stdin}, nil
}

func eventOf(o publishOptions, pairs []string) (schema.Event, error) {
	var event schema.Event
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return event, fmt.Errorf("%q is no NAME=VALUE pair", pair)
		}
		if value == "" {
			return event, fmt.Errorf("%q has no value", pair)
		}
		event.Metrics = append(event.Metrics, schema.Metric{Name: name, Value: value})
	}
	if o.hasStep {
		event.Step = &o.step
	}
	if o.time != "" {
		if err := event.Time.UnmarshalText([]byte(o.time)); err != nil {
			return event, fmt.Errorf("--time is %q, not RFC 3339 like 2026-11-24T12:00:00.123456Z", o.time)
		}
	}
	return event, event.Validate()
}

// errNoEvents: a pipe whose first part failed must not look like a report that arrived.
var errNoEvents = errors.New("there was no event on standard input; nothing was stored")

// published is what publish prints.
type published struct {
	Namespace string `json:"namespace"`
	Trial     string `json:"trial"`
	Producer  string `json:"producer"`
	Events    int    `json:"events"`
}

func (a *app) publish(ctx context.Context, o publishOptions, events source) error {
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := producer.New(nc, producer.Config{Namespace: o.subject.Namespace, Trial: o.subject.Trial, Logger: a.log})
	if err != nil {
		return err
	}
	accepted, reportErr := reportAll(ctx, p, events)
	// Whatever happened, what was accepted is stored if it can be.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
	defer cancel()
	if err := p.Close(closing); err != nil {
		return o.notStored(ctx, nc, p.Stats().Stored, accepted, err, reportErr)
	}
	if reportErr != nil {
		return stoppedAt(reportErr, accepted)
	}
	if accepted == 0 {
		return errNoEvents
	}
	result := published{Namespace: o.subject.Namespace, Trial: o.subject.Trial, Producer: p.ID(), Events: accepted}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, result)
	}
	_, err = fmt.Fprintf(a.stdout, "stored %s of trial %s in namespace %s\n", countOf(accepted), result.Trial, result.Namespace)
	return err
}
