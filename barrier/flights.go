package barrier

import (
	"context"
	"sync"
	"sync/atomic"
)

// flights lets those who have the same question share the work. Who comes when the stream has been asked already waits for
// the next flight: what was stored before a call must be persisted when it returns. A question has one flight at a time; the
// next would wait for all that it waits for.
type flights struct {
	fly func(ctx context.Context, q question, pending *atomic.Uint64) (found, error)

	mu       sync.Mutex
	airports map[question]*airport // while anybody waits
	air      sync.WaitGroup
	ctx      context.Context // of Run
	stop     context.CancelFunc
}

type airport struct {
	flying   bool
	boarding *flight // nil when nobody waits for the next
}

// flight is one wait, for one or more callers.
type flight struct {
	question question
	pending  atomic.Uint64 // about how many messages are waited for

	ctx     context.Context
	cancel  context.CancelFunc // called when nobody waits any longer
	callers int
	done    chan struct{}
	found   found
	err     error
}

func newFlights(fly func(context.Context, question, *atomic.Uint64) (found, error)) *flights {
	ctx, stop := context.WithCancel(context.Background())
	return &flights{fly: fly, airports: map[question]*airport{}, ctx: ctx, stop: stop}
}

// run lasts until ctx ends and every flight has.
func (s *flights) run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.stop() // nobody boards after this
	s.mu.Unlock()
	s.air.Wait()
	return nil
}

// join waits with others. When ctx ends first, pending is about how many messages are on their way.
func (s *flights) join(ctx context.Context, q question) (result found, pending uint64, err error) {
	f, err := s.board(q)
	if err != nil {
		return found{}, 0, err
	}
	select {
	case <-f.done:
		return f.found, f.pending.Load(), f.err
	case <-ctx.Done():
		s.leave(f)
		return found{}, f.pending.Load(), ctx.Err()
	}
}

func (s *flights) board(q question) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, ErrStopped
	}
	a := s.airports[q]
	if a == nil {
		a = &airport{}
		s.airports[q] = a
	}
	f := a.boarding
	if f == nil {
		f = &flight{question: q, done: make(chan struct{})}
		f.ctx, f.cancel = context.WithCancel(s.ctx)
		a.boarding = f
	}
	f.callers++
	if !a.flying {
		s.depart(a)
	}
	return f, nil
}

// depart starts the flight that is boarding. It is called with the lock.
func (s *flights) depart(a *airport) {
	f := a.boarding
	a.flying = true
	s.air.Add(1)
	go func() {
		defer s.air.Done()
		defer f.cancel()
		s.close(a, f)
		f.found, f.err = s.fly(f.ctx, f.question, &f.pending)
		if s.ctx.Err() != nil {
			f.err = ErrStopped
		}
		close(f.done)
		s.land(a, f.question)
	}()
}

// close ends the boarding of a flight.
func (s *flights) close(a *airport, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.boarding == f {
		a.boarding = nil
	}
}

func (s *flights) land(a *airport, q question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.flying = false
	if a.boarding != nil {
		s.depart(a)
		return
	}
	delete(s.airports, q)
}

func (s *flights) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.callers--; f.callers > 0 {
		return
	}
	f.cancel()
	if a := s.airports[f.question]; a != nil && a.boarding == f {
		a.boarding = nil // nobody may join a flight that is cancelled
	}
}
