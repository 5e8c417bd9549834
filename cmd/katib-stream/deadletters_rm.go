package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/deadletter"
)

type lettersRemoveOptions struct {
	client
	letterSelection
	yes bool
}

func newDeadLettersRemoveCommand(a *app) *cobra.Command {
	var o lettersRemoveOptions
	command := &cobra.Command{
		Use:   "rm NUMBER...",
		Short: "Remove dead letters for good",
		Long:  `Remove dead letters for good, by number or by filter. It asks first, on a terminal; elsewhere --yes has to be said.`,
		Example: `  katib-stream deadletters rm 7
  katib-stream deadletters rm --trial my-trial --yes
  katib-stream deadletters rm --all --until 720h`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return err
			}
			return a.removeLetters(command.Context(), o)
		},
	}
	o.client.addFlags(command.Flags(), "deadletters")
	o.letterSelection.addFlags(command.Flags())
	command.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return command
}

func (a *app) removeLetters(ctx context.Context, o lettersRemoveOptions) error {
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
	for _, number := range o.numbers { // who mistypes one should hear of it
		reading, cancel := context.WithTimeout(ctx, o.timeout)
		_, err := deadletter.Get(reading, letters, number)
		cancel()
		if err != nil {
			return explainLetters(nc, err)
		}
	}
	if len(numbers) > 0 && !o.yes {
		yes, err := a.confirmed(fmt.Sprintf("remove %s for good?", countOfLetters(len(numbers))))
		if err != nil {
			return err
		}
		if !yes {
			return errors.New("nothing is removed")
		}
	}
	removed, err := o.remove(ctx, letters, numbers)
	if err != nil {
		return fmt.Errorf("removed %d of %s: %w", removed, countOfLetters(len(numbers)), explainLetters(nc, err))
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, map[string]int64{"removed": removed})
	}
	_, err = fmt.Fprintf(a.stdout, "removed %s\n", countOfLetters(int(removed)))
	return err
}

// remove removes several at a time, until one cannot be.
func (o lettersRemoveOptions) remove(ctx context.Context, letters jetstream.Stream, numbers []uint64) (int64, error) {
	const atOnce = 32
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var removed atomic.Int64
	for _, number := range numbers {
		group.Go(func() error {
			limited, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			if err := deadletter.Remove(limited, letters, number); err != nil {
				return err
			}
			removed.Add(1)
			return nil
		})
	}
	err := group.Wait()
	return removed.Load(), err
}

func countOfLetters(n int) string {
	if n == 1 {
		return "1 dead letter"
	}
	return fmt.Sprintf("%d dead letters", n)
}
