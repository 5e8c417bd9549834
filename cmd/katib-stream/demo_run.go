package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/internal/embedded"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// settleTimeout is how long the consumer may take to persist what the trainers left.
const settleTimeout = 30 * time.Second

// demoRun is one run of the demo.
type demoRun struct {
	*app
	demoOptions
	dir    string
	show   *display
	server *embedded.Server
	js     jetstream.JetStream
	db     *katibdb.DB

	training atomic.Int32 // trainers that run now

	mu       sync.Mutex
	consumer *consumerProcess // the present one
	killed   bool             // the first one was, at its failpoint
}

// run starts everything, searches, and stops everything in the opposite order.
func (d *demoRun) run(ctx context.Context) (result demoResult, err error) {
	defer d.show.clear()
	d.show.say("all files are in %s", d.dir)
	if d.server, err = embedded.Start(embedded.Config{Dir: filepath.Join(d.dir, "nats"), Logger: d.log}); err != nil {
		return result, err
	}
	defer d.server.Shutdown()
	nc, err := natsconn.ConnectOnce(ctx, natsconn.Config{Name: "katib-stream demo", InProcess: d.server})
	if err != nil {
		return result, err
	}
	defer nc.Close()
	if d.js, err = jetstream.New(nc); err != nil {
		return result, fmt.Errorf("use JetStream: %w", err)
	}
	d.show.say("NATS is up in this process: %s", d.server.URL())
	cfg, err := katibdb.ParseURL("sqlite:" + d.database())
	if err != nil {
		return result, err
	}
	if d.db, err = katibdb.Open(ctx, cfg); err != nil {
		return result, err
	}
	defer d.closeDatabase(d.db)
	if d.consumer, err = d.startConsumer(ctx, d.killAt); err != nil {
		return result, err
	}
	d.show.say("the consumer is up, process %d, and writes to SQLite", d.consumer.pid())
	stopWatching, err := d.show.watch(nc, d.db)
	if err != nil {
		d.consumer.stop()
		return result, err
	}
	defer stopWatching()
	return d.searchWithConsumer(ctx)
}

// searchWithConsumer runs the search, the consumers meanwhile, and the check.
func (d *demoRun) searchWithConsumer(ctx context.Context) (result demoResult, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.keepConsumer(ctx) })
	group.Go(func() (err error) {
		defer stop()
		result, err = d.searchAndCheck(ctx)
		return err
	})
	return result, group.Wait()
}

// keepConsumer sees the consumer die at its failpoint, and starts another in its place.
func (d *demoRun) keepConsumer(ctx context.Context) error {
	first := d.consumer
	if !lives(ctx, first) {
		return nil
	}
	if !first.killed() {
		return d.because(d.consumerLog(), errors.New("the consumer ended without being killed"))
	}
	d.sayKilled(ctx, first.pid())
	next, err := d.startConsumer(ctx, 0)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.mu.Lock()
	d.consumer, d.killed = next, true
	d.mu.Unlock()
	d.show.say("another consumer is up, process %d", next.pid())
	if lives(ctx, next) {
		return d.because(d.consumerLog(), errors.New("the second consumer ended, too"))
	}
	return nil
}

// lives waits until the consumer ended by itself, and says so; when ctx ends before, it stops the consumer.
func lives(ctx context.Context, p *consumerProcess) (ended bool) {
	select {
	case <-p.exited:
		// Ctrl-C reaches the consumer, too, and may be faster there.
		return ctx.Err() == nil
	case <-ctx.Done():
		p.stop()
		return false
	}
}

func (d *demoRun) sayKilled(ctx context.Context, pid int) {
	trainers := d.training.Load()
	d.show.say("KILLED: the consumer, process %d, by SIGKILL, between a commit", pid)
	info, err := d.durable(ctx)
	if err != nil {
		return // the search meets the same trouble, and says so
	}
	d.show.more("and its acknowledgements: %d messages are not acknowledged", info.NumAckPending)
	d.show.more("%d trainers go on training", trainers)
}

// durable is how the durable consumer is.
func (d *demoRun) durable(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	durable, err := d.js.Consumer(ctx, schema.Stream, schema.Consumer)
	if err != nil {
		return nil, fmt.Errorf("look at the durable consumer: %w", err)
	}
	return durable.CachedInfo(), nil // which has just been asked for
}

// settle waits until every message in the stream is acknowledged. That none is pending does not say so: the server notes
// that after it has stored a message.
func (d *demoRun) settle(ctx context.Context) error {
	stream, err := d.js.Stream(ctx, schema.Stream)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", schema.Stream, err)
	}
	last := stream.CachedInfo().State.LastSeq // which has just been asked for
	timeout := time.NewTimer(settleTimeout)
	defer timeout.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		info, err := d.durable(ctx)
		if err != nil {
			return err
		}
		if info.Delivered.Stream >= last && info.NumPending == 0 && info.NumAckPending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return d.because(d.consumerLog(), fmt.Errorf("the consumer left %d messages undelivered and %d unacknowledged within %v", info.NumPending, info.NumAckPending, settleTimeout))
		case <-ticker.C:
		}
	}
}

func (d *demoRun) presentConsumer() (p *consumerProcess, killed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.consumer, d.killed
}
