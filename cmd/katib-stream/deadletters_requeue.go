package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/deadletter"
	"github.com/katib-stream/katib-stream/internal/flushclient"
)

type requeueOptions struct {
	client
	letterSelection
	change deadletter.Change
	body   string
	wait   time.Duration
	keep   bool
}

func newDeadLettersRequeueCommand(a *app) *cobra.Command {
	var o requeueOptions
	command := &cobra.Command{
		Use:   "requeue NUMBER...",
		Short: "Publish dead letters again, and remove them once they are persisted",
		Long: `Publish dead letters again, as they were or mended, wait until they are persisted, and remove them. What would become a dead
letter again is refused, and so is what nobody can tell the trial of.

Each is persisted once, however often it is requeued; the first time counts. When it is interrupted, run it again. What a
deleted trial reported before its deletion is not brought back.

When one is refused or not persisted, it ends with status 1, says why, and leaves that letter where it is.`,
		Example: `  katib-stream deadletters requeue 7 8 9
  katib-stream deadletters requeue --stage quarantine
  katib-stream deadletters show 7 --raw > body.json; vi body.json; katib-stream deadletters requeue 7 --body body.json
  katib-stream deadletters requeue 7 --to-namespace team-a`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return err
			}
			if o.wait <= 0 {
				return usagef("--wait is %v, not above 0", o.wait)
			}
			if o.body != "" && len(o.numbers) != 1 {
				return usagef("--body mends one dead letter, whose number has to be given")
			}
			return a.requeueLetters(command.Context(), o)
		},
	}
	flags := command.Flags()
	o.client.addFlags(flags, "deadletters")
	o.letterSelection.addFlags(flags)
	flags.StringVar(&o.body, "body", "", "`file` with the body that it gets instead, - for standard input")
	flags.StringVar(&o.change.Namespace, "to-namespace", "", "the `namespace` that it is reported from instead")
	flags.StringVar(&o.change.Trial, "to-trial", "", "the `trial` that it is reported of instead")
	flags.DurationVar(&o.wait, "wait", time.Minute, "how long to wait until one is persisted")
	flags.BoolVar(&o.keep, "keep", false, "leave what is persisted among the dead letters")
	return command
}

// requeued is what became of a dead letter.
type requeued struct {
	Number  uint64 `json:"number"`
	Subject string `json:"subject,omitempty"`
	Result  string `json:"result"`
	Error   string `json:"error,omitempty"`
}

func (a *app) requeueLetters(ctx context.Context, o requeueOptions) error {
	if err := a.readBody(&o); err != nil {
		return err
	}
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, letters, err := o.letters(ctx, nc)
	if err != nil {
		return err
	}
	numbers, err := o.find(ctx, js, o.timeout)
	if err != nil {
		return err
	}
	r := deadletter.Requeuer{JS: js, Letters: letters, Timeout: o.timeout, Wait: o.wait, Keep: o.keep}
	results := a.requeueEach(ctx, o, r, numbers)
	failed := 0
	for _, result := range results {
		if result.Error != "" {
			failed++
		}
	}
	if o.output == cli.JSON {
		if err := cli.WriteJSON(a.stdout, results); err != nil {
			return err
		}
	} else if len(numbers) == 0 {
		fmt.Fprintln(a.stdout, "no dead letters")
	}
	if failed > 0 || ctx.Err() != nil {
		return fmt.Errorf("%d of %d are persisted; run it again once the others can be", len(results)-failed, len(numbers))
	}
	return nil
}

func (a *app) readBody(o *requeueOptions) (err error) {
	switch o.body {
	case "":
		return nil
	case "-":
		o.change.Body, err = io.ReadAll(a.stdin)
	default:
		o.change.Body, err = os.ReadFile(o.body)
	}
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if o.change.Body == nil {
		o.change.Body = []byte{}
	}
	return nil
}

// requeueEach requeues several at a time: most of the time each waits for the consumer.
func (a *app) requeueEach(ctx context.Context, o requeueOptions, r deadletter.Requeuer, numbers []uint64) []requeued {
	const atOnce = 32
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	results := []requeued{}
	for _, number := range numbers {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			result := a.requeueOne(ctx, o, r, number)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, result)
			if o.output != cli.JSON {
				a.printRequeued(result)
			}
			return nil
		})
	}
	_ = group.Wait() // none of them returns an error
	slices.SortFunc(results, func(a, b requeued) int { return int(int64(a.Number) - int64(b.Number)) })
	return results
}

func (a *app) requeueOne(ctx context.Context, o requeueOptions, r deadletter.Requeuer, number uint64) requeued {
	reading, cancel := context.WithTimeout(ctx, o.timeout)
	l, err := deadletter.Get(reading, r.Letters, number)
	cancel()
	if err != nil {
		return requeued{Number: number, Result: "refused", Error: explainLetters(r.JS.Conn(), err).Error()}
	}
	out, err := r.Requeue(ctx, l, o.change)
	result := requeued{Number: number, Subject: out.Subject, Result: "persisted"}
	if out.Before {
		result.Result = "persisted before"
	}
	if out.Different {
		result.Result = "persisted before, with another body"
	}
	if err != nil {
		result.Result, result.Error = requeueFailure(r.JS.Conn(), err)
	}
	return result
}

// requeueFailure says in a word, and in a sentence, why a dead letter is not persisted.
func requeueFailure(nc *nats.Conn, err error) (result, reason string) {
	var denied *flushclient.DeniedError
	switch {
	case errors.Is(err, deadletter.ErrDeleted):
		return "deleted", err.Error() + "; `katib-stream deadletters rm` removes it"
	case errors.Is(err, deadletter.ErrDiedAgain):
		return "dead again", err.Error()
	case errors.As(err, &denied):
		return "pending", fmt.Sprintf("%v: NATS does not let this user %s", deadletter.ErrPending, denied.What)
	case errors.Is(err, flushclient.ErrUnanswered):
		return "pending", fmt.Sprintf("%v: no consumer answers; is one running?", deadletter.ErrPending)
	case errors.Is(err, deadletter.ErrPending):
		return "pending", err.Error()
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return "refused", explain(nc, jetstream.ErrStreamNotFound).Error()
	}
	return "refused", err.Error()
}

func (a *app) printRequeued(r requeued) {
	if r.Error != "" {
		fmt.Fprintf(a.stderr, "katib-stream: deadletters: %d: %s\n", r.Number, cli.Printable(r.Error))
		return
	}
	fmt.Fprintf(a.stdout, "%d: %s, as %s\n", r.Number, r.Result, r.Subject)
}
