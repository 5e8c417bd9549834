package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/schema"
)

type tailOptions struct {
	client
	trial     string
	namespace string
	since     string
	lines     int
	noFollow  bool

	start   time.Time // of since; zero for all of it
	limited bool      // only the last lines are wanted
}

func newTailCommand(a *app) *cobra.Command {
	var o tailOptions
	command := &cobra.Command{
		Use:   "tail TRIAL",
		Short: "Print a trial's events as they come",
		Long: `Print the last events of a trial, then those that come, until Ctrl-C. They are read from the stream, so they show before
they are in the database; a message that is no valid report, and so becomes a dead letter, is shown with the reason.

With -o json each event is one line of JSON.`,
		Example: `  katib-stream tail my-trial
  katib-stream tail my-trial -n 100 --no-follow
  katib-stream tail my-trial --since 10m
  katib-stream tail my-trial --since all --no-follow -o json | jq .metrics.loss`,
		Args: onlyATrial,
		RunE: func(command *cobra.Command, args []string) error {
			o.trial = args[0]
			o.limited = o.since == "" || changed(command.Flags(), "lines")
			if err := o.check(time.Now()); err != nil {
				return usageError{err}
			}
			return a.tail(command.Context(), o)
		},
	}
	flags := command.Flags()
	o.addFlags(flags, "tail")
	flags.StringVar(&o.namespace, "namespace", "", "only this `namespace` (default: all)")
	flags.StringVar(&o.since, "since", "", "begin with what was stored within this `time`, like 10m, or with all (default: with the last lines)")
	flags.IntVarP(&o.lines, "lines", "n", 10, "how many events to begin with")
	flags.BoolVar(&o.noFollow, "no-follow", false, "end after what the stream holds now")
	return command
}

func (o *tailOptions) check(now time.Time) error {
	if err := schema.ValidateTrial(o.trial); err != nil {
		return err
	}
	if o.namespace == "" {
		o.namespace = "*"
	} else if err := schema.ValidateNamespace(o.namespace); err != nil {
		return err
	}
	if o.lines < 0 {
		return fmt.Errorf("--lines is %d, less than 0", o.lines)
	}
	if o.since == "" || o.since == "all" {
		return nil
	}
	ago, err := time.ParseDuration(o.since)
	if err != nil || ago < 0 {
		return fmt.Errorf("--since is %q, neither all nor a time like 10m", o.since)
	}
	o.start = now.Add(-ago)
	return nil
}

func (a *app) tail(ctx context.Context, o tailOptions) error {
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, _, info, err := o.stream(ctx, nc)
	if err != nil {
		return err
	}
	consumer, err := o.consumer(ctx, js, info.State)
	if err != nil {
		return err
	}
	pending := consumer.CachedInfo().NumPending
	if pending == 0 {
		if err := a.nothingYet(ctx, o, js); err != nil {
			return err
		}
	}
	f := &follower{tailOptions: &o, js: js, log: a.log}
	if first := consumer.CachedInfo().Config.OptStartSeq; first > 0 {
		f.sequence = first - 1
	}
	if err := f.open(consumer); err != nil {
		return err
	}
	defer func() { f.messages.Stop() }() // the last one
	print := newPrinter(a.stdout, o.output == cli.JSON)
	err = f.history(ctx, pending, print)
	if err == nil && !o.noFollow {
		f.watch(nc)
		err = f.follow(ctx, print)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// nothingYet is when the stream holds nothing to begin with: an error if it never will be more, or a note.
func (a *app) nothingYet(ctx context.Context, o tailOptions, js jetstream.JetStream) error {
	if !o.start.IsZero() {
		all := o
		all.start = time.Time{}
		older, err := all.from(ctx, js, 1)
		if err != nil || older.CachedInfo().NumPending > 0 {
			return err // the trial is there, only quiet
		}
	}
	where := o.trial
	if o.namespace != "*" {
		where += " in namespace " + o.namespace
	}
	if o.noFollow {
		return fmt.Errorf("the stream holds nothing of trial %s; `katib-stream trials` lists what it holds", where)
	}
	fmt.Fprintf(a.stderr, "katib-stream: tail: the stream holds nothing of trial %s yet; waiting\n", where)
	return nil
}

// history prints what the stream holds now.
func (f *follower) history(ctx context.Context, pending uint64, print *printer) error {
	var last []entry
	for range pending {
		reading, cancel := context.WithTimeout(ctx, f.timeout)
		entries, more, err := f.next(reading)
		cancel()
		if err != nil {
			return explain(f.js.Conn(), err)
		}
		last = append(last, entries...)
		if f.limited && len(last)/2-512 > f.lines {
			last = append(last[:0], last[len(last)-f.lines:]...)
		}
		if !f.limited && len(last) > 1024 {
			if err := print.all(last); err != nil {
				return err
			}
			last = last[:0]
		}
		if !more {
			break
		}
	}
	if f.limited && len(last) > f.lines {
		last = last[len(last)-f.lines:]
	}
	return print.all(last)
}
