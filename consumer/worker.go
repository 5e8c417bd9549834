package consumer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/katib-stream/katib-stream/katibdb"
)

// worker takes what it is given to the database, one batch after the other.
type worker struct {
	*Consumer
	id     int
	log    *slog.Logger
	inHand int // messages; the dispatcher's

	mu      sync.Mutex
	waiting []*delivery
	ended   bool
	news    chan struct{}

	// stopping is closed when what fails is not to be tried again.
	stopping <-chan struct{}

	// store commits a batch; it is Persist of the database, or that with notes.
	store func(context.Context, []katibdb.Message) ([]katibdb.Outcome, error)
	// unended is how many attempts at messages that are suspect have not ended, by their sequence.
	unended map[uint64]uint64
	noted   map[uint64]bool // that an attempt has begun
}

func newWorker(c *Consumer, id int) *worker {
	w := &worker{Consumer: c, id: id, log: c.log.With("worker", id), news: make(chan struct{}, 1)}
	if c.db != nil {
		w.store = c.db.Persist
	}
	return w
}

// run settles what it is given until it is told the end. After ctx has ended it does so for a while only.
func (w *worker) run(ctx context.Context, from *dispatcher) {
	work, stop := outlive(ctx, w.cfg.StopTimeout)
	defer stop()
	w.stopping = ctx.Done()
	ahead := w.decodeAhead()
	for p := range ahead {
		p.addMore(ahead, w.cfg.BatchMessages)
		w.settle(work, p.items)
		for _, d := range p.deliveries {
			from.done(d)
			w.busy.Add(-1)
		}
	}
}

// decoded is what a worker does next.
type decoded struct {
	deliveries []*delivery
	items      []*item
}

// addMore adds what is decoded by now: a transaction of many rows is cheaper than several of few.
func (p *decoded) addMore(ahead <-chan decoded, messages int) {
	for len(p.items) < messages {
		select {
		case more, ok := <-ahead:
			if !ok {
				return
			}
			p.deliveries, p.items = append(p.deliveries, more.deliveries...), append(p.items, more.items...)
		default:
			return
		}
	}
}

// decodeAhead decodes while the database works on what was decoded before. It ends when the end has come; whoever reads it
// reads it to the end.
func (w *worker) decodeAhead() <-chan decoded {
	const most = 64 // the dispatcher's room ends it sooner
	next := make(chan decoded, most)
	go func() {
		defer close(next)
		for {
			part := w.take()
			if len(part) == 0 {
				return
			}
			w.busy.Add(int32(len(part)))
			next <- decoded{part, w.decodeAll(part)}
		}
	}()
	return next
}

// give adds to what waits for the worker.
func (w *worker) give(d *delivery) {
	w.mu.Lock()
	w.waiting = append(w.waiting, d)
	w.mu.Unlock()
	w.tell()
}

// end says that nothing more comes.
func (w *worker) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.tell()
}

func (w *worker) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// take waits for what to do next: at most about a batch, nothing when the end has come.
func (w *worker) take() []*delivery {
	for {
		w.mu.Lock()
		n, messages := 0, 0
		for n < len(w.waiting) && messages < w.cfg.BatchMessages {
			messages += len(w.waiting[n].messages)
			n++
		}
		taken := w.waiting[:n:n]
		w.waiting = w.waiting[n:]
		ended := w.ended
		w.mu.Unlock()
		if n > 0 || ended {
			return taken
		}
		<-w.news
	}
}

// outlive gives a context for work that may go on for a while after ctx ended.
func outlive(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		wait(work, while)
		cancel()
	})
	return work, func() { stop(); cancel() }
}

// newBackOff pauses 0.1 s at first and 15 s at most, a random half of it more or less.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 15 * time.Second
	return b
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
