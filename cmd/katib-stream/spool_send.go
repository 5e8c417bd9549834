package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/producer"
)

// quietFor is how long a command may take before it shows its progress.
const quietFor = 2 * time.Second

type spoolSendOptions struct {
	client
	spoolFolder
}

func newSpoolSendCommand(a *app) *cobra.Command {
	var o spoolSendOptions
	command := &cobra.Command{
		Use:   "send [FOLDER]",
		Short: "Deliver what processes that died left in a spool",
		Long: `Deliver what processes that died left in a spool, under the same message ids, and remove each file when the stream has all
of it. Files of living processes are left to them. It may be repeated, and run beside others: nothing is persisted twice.

It ends with status 1 when something is left: because the stream took nothing for --timeout, because this user may not publish
for the trial, or because it can never be delivered and the file was set aside.`,
		Example: `  katib-stream spool send /spool
  katib-stream spool send /spool --server nats://nats:4222 -o json`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return err
			}
			return a.sendSpool(command.Context(), o)
		},
	}
	o.client.addFlags(command.Flags(), "spool send")
	o.addFlag(command.Flags())
	return command
}

// sent is what send prints.
type sent struct {
	Files    int      `json:"files"`
	Messages uint64   `json:"messages"`
	Events   uint64   `json:"events"`
	Live     []string `json:"live"` // files that living processes deliver
	Left     []left   `json:"left"`
}

// left is a file that was not delivered.
type left struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

func (a *app) sendSpool(ctx context.Context, o spoolSendOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	progress := a.progress()
	result, err := producer.Drain(ctx, nc, producer.DrainConfig{Spool: o.dir, Patience: o.timeout, Progress: progress.show})
	progress.end()
	if err != nil {
		return err
	}
	s := sent{Files: result.Files, Messages: result.Messages, Events: result.Events, Live: []string{}, Left: []left{}}
	for _, file := range result.Left {
		if errors.Is(file.Reason, producer.ErrHeld) {
			s.Live = append(s.Live, file.Name)
			continue
		}
		s.Left = append(s.Left, left{file.Name, o.why(nc, file.Reason)})
	}
	if err := a.printSent(s, o.output); err != nil {
		return err
	}
	if len(s.Left) > 0 {
		return fmt.Errorf("%s of %s not delivered, the first is %s: %s", countFiles(len(s.Left)), cli.Printable(o.dir), s.Left[0].File, s.Left[0].Reason)
	}
	return nil
}

func (o *spoolSendOptions) why(nc *nats.Conn, reason error) string {
	switch {
	case errors.Is(reason, nats.ErrNoResponders):
		return fmt.Sprintf("no stream of NATS at %s takes it; `katib-stream up` or `katib-stream consumer` makes it", natsconn.Redact(nc.ConnectedUrl()))
	case errors.Is(reason, context.Canceled):
		return "interrupted"
	}
	return oneLineOf(reason)
}

func (a *app) printSent(s sent, output cli.Format) error {
	if output == cli.JSON {
		return cli.WriteJSON(a.stdout, s)
	}
	text := "nothing was left to deliver"
	if s.Files > 0 || s.Events > 0 {
		text = fmt.Sprintf("delivered %s of %s", countOf(int(s.Events)), countFiles(s.Files))
	}
	if len(s.Live) > 0 {
		text += fmt.Sprintf("; %s of living processes left to them", countFiles(len(s.Live)))
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// sendProgress shows on a terminal how far it is, once it takes long.
type sendProgress struct {
	to    *os.File // nil: nobody looks
	began time.Time
	shown bool
}

func (a *app) progress() *sendProgress {
	p := &sendProgress{began: time.Now()}
	if file := own(a.stderr); file != nil && term.IsTerminal(int(file.Fd())) {
		p.to = file
	}
	return p
}

func (p *sendProgress) show(r producer.DrainResult) {
	if p.to == nil || time.Since(p.began) < quietFor {
		return
	}
	p.shown = true
	fmt.Fprintf(p.to, "\rdelivered %s, %s so far ", countFiles(r.Files), countOf(int(r.Events)))
}

func (p *sendProgress) end() {
	if p.shown {
		fmt.Fprintln(p.to)
	}
}
