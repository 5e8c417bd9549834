package barrier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// The pause between two looks at the database: short when somebody has just come or got an answer, longer when nothing
	// happens.
	shortPause = 5 * time.Millisecond
	longPause  = 100 * time.Millisecond

	refsOfOne  = 500   // messages that are asked of one who waits, in a look
	refsInLook = 5_000 // and of all
)

// poller asks the database for all who wait.
type poller struct {
	db   Database
	wake chan struct{}

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	stopped bool
	trouble error // of the last look
}

// waiter waits for messages, for a producer's watermark, or for a message of a producer of which it wants to know more.
type waiter struct {
	refs    []katibdb.Ref // that are not persisted yet
	subject schema.Subject
	number  uint64
	known   katibdb.Producer // of subject, at the last look
	done    chan struct{}    // closed when there is nothing more to wait for
}

func newPoller(db Database) *poller {
	return &poller{db: db, wake: make(chan struct{}, 1), waiting: map[*waiter]struct{}{}}
}

// waitRefs waits until all of the messages are persisted.
func (p *poller) waitRefs(ctx context.Context, refs []katibdb.Ref) error {
	return p.wait(ctx, &waiter{refs: refs, done: make(chan struct{})})
}

// waitNumber waits until the producer's watermark has reached the number, or the producer is deleted.
func (p *poller) waitNumber(ctx context.Context, subject schema.Subject, number uint64) (katibdb.Producer, error) {
	w := &waiter{subject: subject, number: number, done: make(chan struct{})}
	err := p.wait(ctx, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.known, err
}

// waitRef waits until a message is persisted, and gives what is known of its producer then.
func (p *poller) waitRef(ctx context.Context, ref katibdb.Ref) (katibdb.Producer, error) {
	w := &waiter{refs: []katibdb.Ref{ref}, subject: ref.Subject, done: make(chan struct{})}
	err := p.wait(ctx, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.known, err
}

func (p *poller) wait(ctx context.Context, w *waiter) error {
	if err := p.join(w); err != nil {
		return err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	return p.leave(ctx, w)
}

func (p *poller) join(w *waiter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return ErrStopped
	}
	p.waiting[w] = struct{}{}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

func (p *poller) leave(ctx context.Context, w *waiter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, still := p.waiting[w]; !still {
		return nil
	}
	delete(p.waiting, w)
	if p.stopped {
		return ErrStopped
	}
	if p.trouble != nil {
		return fmt.Errorf("%w; the database: %w", ctx.Err(), p.trouble)
	}
	return ctx.Err()
}

func (p *poller) run(ctx context.Context) error {
	defer p.stop()
	pause := shortPause
	for {
		if !p.anybody() {
			select {
			case <-ctx.Done():
				return nil
			case <-p.wake:
				pause = shortPause
			}
		}
		progress := p.look(ctx)
		if pause = min(pause*3/2, longPause); progress {
			pause = shortPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		select {
		case <-p.wake: // somebody came meanwhile
			pause = shortPause
		default:
		}
	}
}

func (p *poller) anybody() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

// stop sends away who still waits.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for w := range p.waiting {
		close(w.done)
	}
}

// look asks the database once and tells who need not wait any longer. It reports whether anybody got nearer to that.
func (p *poller) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	refsOf, refs, numbersOf, subjects := p.questions()
	var persisted []bool
	var producers []katibdb.Producer
	var err error
	if len(refs) > 0 {
		persisted, err = p.db.Persisted(ctx, refs)
	}
	if err == nil && len(subjects) > 0 { // after the other, so that what is persisted is known of its producer
		producers, err = p.db.Watermarks(ctx, subjects)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble = err; err != nil {
		return false
	}
	progress := false
	for i, w := range numbersOf {
		progress = p.noteNumber(w, producers[i]) || progress
	}
	for _, w := range refsOf {
		n := min(len(w.refs), refsOfOne)
		progress = p.noteRefs(w, persisted[:n]) || progress
		persisted = persisted[n:]
	}
	return progress
}

// questions gathers what to ask. Those for whom there is no room in this look come at random in a later one.
func (p *poller) questions() (refsOf []*waiter, refs []katibdb.Ref, numbersOf []*waiter, subjects []schema.Subject) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.waiting {
		if len(refs)+len(subjects) >= refsInLook {
			break
		}
		if len(w.refs) > 0 {
			refsOf, refs = append(refsOf, w), append(refs, w.refs[:min(len(w.refs), refsOfOne)]...)
		}
		if w.subject != (schema.Subject{}) {
			numbersOf, subjects = append(numbersOf, w), append(subjects, w.subject)
		}
	}
	return refsOf, refs, numbersOf, subjects
}

func (p *poller) noteNumber(w *waiter, producer katibdb.Producer) (progress bool) {
	progress = producer.Watermark > w.known.Watermark
	w.known = producer
	if len(w.refs) > 0 {
		return progress
	}
	if producer.Deleted || producer.Watermark >= w.number {
		p.answer(w)
		return true
	}
	return progress
}

// noteRefs forgets those that are persisted: they stay so.
func (p *poller) noteRefs(w *waiter, persisted []bool) (progress bool) {
	left := w.refs[:0]
	for i, ref := range w.refs {
		if i >= len(persisted) || !persisted[i] {
			left = append(left, ref)
		}
	}
	progress = len(left) < len(w.refs)
	if w.refs = left; len(left) == 0 {
		p.answer(w)
	}
	return progress
}

func (p *poller) answer(w *waiter) {
	if _, still := p.waiting[w]; still {
		delete(p.waiting, w)
		close(w.done)
	}
}
