package consumer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// A message may kill the process that handles it, by a defect or by what it takes in memory. It would come back for ever,
// and take what else is in hand with it each time. A delivery count proves nothing: a restart raises it as well. So what
// was delivered often is handled apart, by one worker of each process, after the database noted that an attempt begins.
// The note goes when the attempt ends, well or with an error. Notes that stay are of processes that were killed in just
// that moment, though the database had answered just before.
const (
	// suspectDelivery is the delivery from which on a message is handled apart.
	suspectDelivery = 3
	// deadlyAttempts is how many unended attempts end a message's way: three in ever smaller company, two at it alone.
	deadlyAttempts = 5
)

// company is how many messages may be handled together of which that many attempts have not ended. It becomes smaller so
// fast that few are kept back by one, and so slowly that those who were with it are not each handled alone.
func company(unended uint64) int {
	switch unended {
	case 0:
		return math.MaxInt
	case 1:
		return 64
	case 2:
		return 8
	}
	return 1
}

// isSuspect says that a message was delivered too often to be handled together with others.
func isSuspect(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err == nil && meta.NumDelivered >= suspectDelivery
}

// runSuspects settles suspects until it is told the end. It does not decode ahead: one thing at a time.
func (w *worker) runSuspects(ctx context.Context, from *dispatcher) {
	work, stop := outlive(ctx, w.cfg.StopTimeout)
	defer stop()
	w.stopping, w.store = ctx.Done(), w.persistSuspects
	for part := w.take(); len(part) > 0; part = w.take() {
		w.busy.Add(int32(len(part)))
		for _, d := range part {
			w.settleSuspects(work, d)
			from.done(d)
			w.busy.Add(-1)
		}
	}
}

// settleSuspects handles them in company, those last that most attempts at have not ended.
func (w *worker) settleSuspects(ctx context.Context, d *delivery) {
	w.metrics.suspects.Add(float64(len(d.messages)))
	if !w.lookUpAttempts(ctx, d) {
		return // stopping: they will be delivered again
	}
	unended := func(msg jetstream.Msg) uint64 { return w.unended[sequenceOf(msg)] }
	left := slices.SortedStableFunc(slices.Values(d.messages), func(a, b jetstream.Msg) int { return cmp.Compare(unended(a), unended(b)) })
	for len(left) > 0 {
		n := 1
		for n < min(len(left), company(unended(left[0]))) && unended(left[n]) == unended(left[0]) {
			n++
		}
		w.try(ctx, d.session, left[:n])
		left = left[n:]
	}
}

func (w *worker) lookUpAttempts(ctx context.Context, d *delivery) bool {
	w.noted = map[uint64]bool{}
	return nil == w.insist(ctx, func(ctx context.Context) (err error) {
		w.unended, err = w.db.Attempts(ctx, d.session.epoch, sequencesOf(d.messages))
		return err
	})
}

// try settles suspects with a note in the database from before they are decoded until they are persisted.
func (w *worker) try(ctx context.Context, s *session, messages []jetstream.Msg) {
	sequences := sequencesOf(messages)
	err := w.insist(ctx, func(ctx context.Context) error { return w.noteBegin(ctx, s.epoch, sequences) })
	if err != nil {
		return // stopping
	}
	var items []*item
	for _, msg := range messages {
		items = append(items, w.decodeSuspect(s, msg))
	}
	w.settle(ctx, items)
	w.noteEnd(ctx, s.epoch, sequences)
}

// decodeSuspect does not decode what has killed its process again and again. It keeps its identity, so that nobody waits
// for it, and becomes a dead letter.
func (w *worker) decodeSuspect(s *session, msg jetstream.Msg) *item {
	unended := w.unended[sequenceOf(msg)]
	if company(unended) == 1 {
		w.log.Warn("a message is handled alone: attempts at it have not ended", "subject", msg.Subject(), "sequence", sequenceOf(msg), "attempts", unended)
	}
	if unended < deadlyAttempts {
		return w.decode(s, msg)
	}
	it := newItem(s, msg)
	bodiless := it.stored
	bodiless.Body = nil
	identified, _ := schema.Decode(bodiless)
	it.message.Message = identified
	it.refuse(schema.StageQuarantine, fmt.Errorf("the consumer died %d times while it handled this message, so it is not tried again; requeue it when a consumer runs that can", unended))
	return it
}

// persistSuspects is Persist with a note in the database meanwhile. It goes after an error as well: a database that is away
// for long must not leave it standing.
func (w *worker) persistSuspects(ctx context.Context, batch []katibdb.Message) (outcomes []katibdb.Outcome, err error) {
	sequences := make([]uint64, len(batch))
	for i := range batch {
		sequences[i] = batch[i].Sequence
	}
	if err := w.noteBegin(ctx, batch[0].Epoch, sequences); err != nil {
		return nil, err
	}
	if outcomes, err = w.db.Persist(ctx, batch); err == nil {
		for _, sequence := range sequences {
			w.unended[sequence] = 0
		}
	}
	w.noteEnd(ctx, batch[0].Epoch, sequences)
	return outcomes, err
}

// noteBegin notes that attempts begin, where that is not noted.
func (w *worker) noteBegin(ctx context.Context, epoch string, sequences []uint64) error {
	begun := map[uint64]uint64{}
	for _, sequence := range sequences {
		if !w.noted[sequence] {
			begun[sequence] = w.unended[sequence] + 1
		}
	}
	if len(begun) == 0 {
		return nil
	}
	if err := w.db.NoteAttempts(ctx, epoch, begun); err != nil {
		return err
	}
	for sequence := range begun {
		w.noted[sequence] = true
	}
	return nil
}

// noteEnd notes that attempts have ended. That a note stays does harm only when it happens to the same message again and again,
// so it is no error.
func (w *worker) noteEnd(ctx context.Context, epoch string, sequences []uint64) {
	ended := map[uint64]uint64{}
	for _, sequence := range sequences {
		if w.noted[sequence] {
			ended[sequence] = w.unended[sequence]
			delete(w.noted, sequence)
		}
	}
	if len(ended) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.db.NoteAttempts(ctx, epoch, ended); err != nil {
		w.log.Warn("attempts at messages are still noted as unended", "messages", len(ended), "error", err)
	}
}

func sequencesOf(messages []jetstream.Msg) []uint64 {
	sequences := make([]uint64, len(messages))
	for i, msg := range messages {
		sequences[i] = sequenceOf(msg)
	}
	return sequences
}

func sequenceOf(msg jetstream.Msg) uint64 {
	meta, _ := msg.Metadata() // receive has read it before
	return meta.Sequence.Stream
}
