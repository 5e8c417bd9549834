package consumer

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// delivery is what one fetch brought for one worker.
type delivery struct {
	session  *session
	messages []jetstream.Msg
	bytes    int64
	trials   map[string]int // how many messages of each trial; none of suspects
	release  func()         // ends keeping the messages in progress
}

// dispatcher spreads what was fetched over the workers. A trial's messages go to one worker as long as it has any of
// them: two workers with the same trial would wait for each other at its lock, and commit its messages out of order,
// which costs a receipt each. A trial that no worker has goes to the one with the least to do. Messages that may kill the
// process go to a worker of their own, whatever their trial.
type dispatcher struct {
	workers  []*worker
	suspects *worker
	// room bounds what all workers together have in hand, in bytes, so that one that has to wait does not at once make the
	// others wait, too. size is all of it.
	room *semaphore.Weighted
	size int64

	mu     sync.Mutex
	trials map[string]*placement
}

// placement is where a trial's messages go while some are in hand.
type placement struct {
	worker *worker
	inHand int
}

func newDispatcher(c *Consumer) *dispatcher {
	d := &dispatcher{size: c.cfg.inHand(), trials: map[string]*placement{}}
	d.room = semaphore.NewWeighted(d.size)
	for id := range c.cfg.Workers {
		d.workers = append(d.workers, newWorker(c, id))
	}
	d.suspects = newWorker(c, c.cfg.Workers)
	return d
}

// dispatch hands messages to the workers, when there is room for them. They are kept in progress from now on. It returns
// an error only when ctx ends while there is none; what is not handed over then is left for redelivery.
func (d *dispatcher) dispatch(ctx context.Context, s *session, batch []jetstream.Msg) error {
	parts := d.place(s, batch)
	for w, part := range parts {
		part.release = w.keepInProgress(part.messages)
	}
	var err error
	for w, part := range parts {
		if err == nil {
			err = d.acquire(ctx, part.bytes)
		}
		if err != nil {
			d.drop(part)
			w.giveBack(part.messages)
			continue
		}
		w.give(part)
	}
	return err
}

// acquire waits for room until ctx ends. Where there is room it is had even then: what was fetched is better finished than
// given back, which a server that stops at the same time forgets.
func (d *dispatcher) acquire(ctx context.Context, bytes int64) error {
	if d.room.TryAcquire(bytes) {
		return nil
	}
	return d.room.Acquire(ctx, bytes)
}

// end tells the workers that nothing more comes.
func (d *dispatcher) end() {
	for _, w := range d.workers {
		w.end()
	}
	d.suspects.end()
}

// place decides which worker gets which messages.
func (d *dispatcher) place(s *session, batch []jetstream.Msg) map[*worker]*delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := map[*worker]*delivery{}
	for _, msg := range batch {
		w := d.suspects
		trial := trialToken(msg.Subject())
		if !isSuspect(msg) {
			w = d.placeTrial(trial)
		}
		part := parts[w]
		if part == nil {
			part = &delivery{session: s, trials: map[string]int{}}
			parts[w] = part
		}
		part.messages = append(part.messages, msg)
		part.bytes += int64(sizeInHand(msg))
		if w != d.suspects {
			part.trials[trial]++
		}
	}
	for _, part := range parts {
		part.bytes = min(part.bytes, d.size) // a large one has all the room to itself
	}
	return parts
}

// placeTrial decides which worker gets the next message of a trial.
func (d *dispatcher) placeTrial(trial string) *worker {
	at := d.trials[trial]
	if at == nil {
		at = &placement{worker: d.idlest()}
		d.trials[trial] = at
	}
	at.inHand++
	at.worker.inHand++
	return at.worker
}

// sizeInHand is about what a message takes in memory.
func sizeInHand(msg jetstream.Msg) int {
	const beside, besideHeader, besideValue = 512, 64, 32
	size := beside + len(msg.Subject()) + len(msg.Data())
	for name, values := range msg.Headers() {
		size += besideHeader + len(name)
		for _, value := range values {
			size += besideValue + len(value)
		}
	}
	return size
}

func (d *dispatcher) idlest() *worker {
	idlest := d.workers[0]
	for _, w := range d.workers[1:] {
		if w.inHand < idlest.inHand {
			idlest = w
		}
	}
	return idlest
}

// done says that a worker has nothing more to do with a delivery.
func (d *dispatcher) done(part *delivery) {
	d.room.Release(part.bytes)
	d.drop(part)
}

func (d *dispatcher) drop(part *delivery) {
	part.release()
	d.mu.Lock()
	defer d.mu.Unlock()
	for trial, n := range part.trials {
		at := d.trials[trial]
		at.worker.inHand -= n
		if at.inHand -= n; at.inHand == 0 {
			delete(d.trials, trial)
		}
	}
}

// trialToken is the subject's token of the trial, as it is written there; what has none shares the empty one.
func trialToken(subject string) string {
	rest := subject
	for range 3 { // katib.metrics.<namespace>.
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return ""
		}
		rest = after
	}
	trial, _, _ := strings.Cut(rest, ".")
	return trial
}
