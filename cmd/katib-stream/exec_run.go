package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/child"
	"github.com/katib-stream/katib-stream/internal/flushclient"
	"github.com/katib-stream/katib-stream/internal/metricline"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/internal/rank"
	"github.com/katib-stream/katib-stream/producer"
)

// unanswered is how long a consumer may take to answer when everything is stored.
const unanswered = 2 * time.Second

// statusUndelivered is the exit status when that was asked for: EX_IOERR of sysexits, as the Python SDK's.
const statusUndelivered = 74

// exitStatus is the status of a command that was run; there is nothing more to say about it.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func (a *app) exec(ctx context.Context, o execOptions, args []string) error {
	reader, err := metricline.New(o.lines)
	if err != nil {
		return usageError{err}
	}
	if r, found := rank.Find(a.getenv); found && r.Number > 0 && o.ranks != "all" {
		a.execSays(r.Silence())
		status, err := child.Run(ctx, a.command(o, args))
		return a.ended(status, err)
	}
	// A signal is the command's affair, and ends us only with it.
	signalled, ctx := ctx, context.WithoutCancel(ctx)
	nc, err := natsconn.Connect(ctx, o.nats, a.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := producer.New(nc, o.producerConfig(a))
	if err != nil {
		return usageError{err}
	}
	c := newCollector(reader, p)
	status, err := a.runChild(signalled, o, args, c)
	c.close()
	delivered := o.deliver(ctx, p)
	if err != nil {
		return a.ended(status, err)
	}
	a.execSays(append(c.summary(), delivered.say()...)...)
	if status == 0 && o.undelivered == "fail" && (delivered.lost != nil || c.dropped() > 0) {
		status = statusUndelivered
	}
	return a.ended(status, nil)
}

func (a *app) execSays(lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(a.stderr, "katib-stream: exec: %s\n", line)
	}
}

// ended gives the command's end as ours.
func (a *app) ended(status int, err error) error {
	var not *child.NotStartedError
	switch {
	case errors.As(err, &not):
		a.execSays(not.Error())
		return exitStatus(not.Status)
	case err != nil:
		return err
	case status == 0:
		return nil
	}
	return exitStatus(status)
}

func (a *app) command(o execOptions, args []string) child.Command {
	return child.Command{Args: args, Stdin: own(a.stdin), Stdout: own(a.stdout), Stderr: own(a.stderr), Terminal: o.terminal}
}

// runChild runs the command with the collector where it is to look: at the output or at files.
func (a *app) runChild(ctx context.Context, o execOptions, args []string, c *collector) (int, error) {
	command := a.command(o, args)
	if len(o.files) == 0 {
		command.Taps = [2]io.Writer{c.stream(), c.stream()}
		return child.Run(ctx, command)
	}
	var followers []*fileFollower
	for _, path := range o.files {
		f, err := newFileFollower(path, c.stream())
		if err != nil {
			return 0, err
		}
		followers = append(followers, f)
	}
	var following sync.WaitGroup
	done := make(chan struct{})
	for _, f := range followers {
		following.Go(func() { f.run(done) })
	}
	status, err := child.Run(ctx, command)
	close(done)
	following.Wait()
	return status, err
}

// delivery is what became of what was reported.
type delivery struct {
	lost   error // not stored
	unsure error // stored, and not known to be persisted
}

// deliver waits until everything is stored and, if a consumer answers, persisted.
func (o *execOptions) deliver(ctx context.Context, p *producer.Producer) delivery {
	ctx, cancel := context.WithTimeout(ctx, o.flushTimeout)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		return delivery{lost: err}
	}
	first, cancelFirst := context.WithTimeout(ctx, unanswered)
	defer cancelFirst()
	err := p.Flush(first)
	if err != nil && !isAnswer(err) && first.Err() != nil {
		err = p.Flush(ctx)
	}
	return delivery{unsure: err}
}

// isAnswer says that waiting for longer is of no use: it is over, or nobody is there to answer.
func isAnswer(err error) bool {
	return errors.Is(err, flushclient.ErrUnanswered) || errors.Is(err, nats.ErrDisconnected) || !errors.Is(err, context.DeadlineExceeded)
}

func (d delivery) say() []string {
	err := cmp.Or(d.lost, d.unsure)
	if err == nil {
		return nil
	}
	return []string{strings.Replace(oneLineOf(err), context.DeadlineExceeded.Error(), "time is up", 1)}
}

func oneLineOf(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
