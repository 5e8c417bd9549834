// Trainer is training code for the chaos test: it reports events without end, notes what it was promised, and closes its
// producer on SIGTERM.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "trainer:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	nc, err := nats.Connect(os.Getenv("CHAOS_SERVERS"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	trial, spool := os.Getenv("KATIB_TRIAL_NAME"), os.Getenv("CHAOS_SPOOL")
	p, err := producer.New(nc, producer.Config{
		Namespace: "default", Trial: trial, Spool: spool, AckWait: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	w, next, err := notes.Begin(os.Getenv("CHAOS_NOTES"), spool != "")
	if err != nil {
		return err
	}
	defer w.Close()
	if err := train(ctx, p, w, trial, next); err != nil {
		return err
	}
	closing, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Close(closing); err != nil {
		return err
	}
	return w.Closed()
}

// train reports in bursts, at a rate on the average, and flushes now and then.
func train(ctx context.Context, p *producer.Producer, w *notes.Writer, trial string, n int) error {
	rate, err := strconv.Atoi(os.Getenv("CHAOS_RATE"))
	if err != nil {
		return err
	}
	flushed := n
	for ctx.Err() == nil {
		burst := 1 + rand.IntN(20)
		for range burst {
			err := w.Report(n, func() error { return p.Report(ctx, event(trial, n)) })
			if err != nil {
				return err
			}
			n++
		}
		if n-flushed > rate && rand.IntN(10) == 0 {
			flushing, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(4))*time.Second)
			err := p.Flush(flushing)
			cancel()
			if flushed = n; err == nil {
				if err := w.Flushed(n - 1); err != nil {
					return err
				}
			}
		}
		wait(ctx, time.Duration(burst)*time.Second/time.Duration(rate))
	}
	return nil
}

func event(trial string, n int) schema.Event {
	return schema.Event{Step: new(int64(n)), Metrics: []schema.Metric{
		{Name: "n", Value: strconv.Itoa(n)}, {Name: "check", Value: strconv.Itoa(notes.Check(trial, n))},
	}}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
