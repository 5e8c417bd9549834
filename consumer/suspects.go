package consumer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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
	// deadlyAttempts is how many unended attempts end a message's way: one in company, and three at it alone.
	deadlyAttempts = 4
)

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

// settleSuspects handles those together of which no attempt is known to have failed, then each of the others alone, those
// last that most attempts at have not ended.
func (w *worker) settleSuspects(ctx context.Context, d *delivery) {
	w.metrics.suspects.Add(float64(len(d.messages)))
	if !w.lookUpAttempts(ctx, d) {
		return // stopping: they will be delivered again
	}
	ordered := slices.SortedStableFunc(slices.Values(d.messages), func(a, b jetstream.Msg) int {
		return cmp.Compare(w.unended[sequenceOf(a)], w.unended[sequenceOf(b)])
	})
	n := 0
	for n < len(ordered) && w.unended[sequenceOf(ordered[n])] == 0 {
		n++
	}
	if n > 0 {
		w.try(ctx, d.session, ordered[:n])
	}
	for _, msg := range ordered[n:] {
		w.try(ctx, d.session, []jetstream.Msg{msg})
	}
}

func (w *worker) lookUpAttempts(ctx context.Context, d *delivery) bool {
	sequences := make([]uint64, len(d.messages))
	for i, msg := range d.messages {
		sequences[i] = sequenceOf(msg)
	}
	return nil == w.insist(ctx, func(ctx context.Context) (err error) {
		w.unended, err = w.db.Attempts(ctx, d.session.epoch, sequences)
		return err
	})
}

// try settles suspects with a note in the database while they are decoded, and while they are persisted.
func (w *worker) try(ctx context.Context, s *session, messages []jetstream.Msg) {
	sequences := make([]uint64, len(messages))
	for i, msg := range messages {
		sequences[i] = sequenceOf(msg)
	}
	var items []*item
	err := w.insist(ctx, func(ctx context.Context) error {
		return w.noted(ctx, s.epoch, sequences, func() error {
			items = items[:0]
			for _, msg := range messages {
				items = append(items, w.decodeSuspect(s, msg))
			}
			return nil
		})
	})
	if err == nil {
		w.settle(ctx, items)
	}
}

// decodeSuspect does not decode what has killed its process again and again. It keeps its identity, so that nobody waits
// for it, and becomes a dead letter.
func (w *worker) decodeSuspect(s *session, msg jetstream.Msg) *item {
	unended := w.unended[sequenceOf(msg)]
	if unended == 0 {
		return w.decode(s, msg)
	}
	w.log.Warn("a message is handled alone: attempts at it have not ended", "subject", msg.Subject(), "sequence", sequenceOf(msg), "attempts", unended)
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

// persistSuspects is Persist with a note in the database meanwhile.
func (w *worker) persistSuspects(ctx context.Context, batch []katibdb.Message) (outcomes []katibdb.Outcome, err error) {
	sequences := make([]uint64, len(batch))
	for i := range batch {
		sequences[i] = batch[i].Sequence
	}
	err = w.noted(ctx, batch[0].Epoch, sequences, func() error {
		outcomes, err = w.db.Persist(ctx, batch)
		if err == nil {
			for _, sequence := range sequences {
				w.unended[sequence] = 0
			}
		}
		return err
	})
	return outcomes, err
}

// noted notes that attempts begin, runs f, and notes that they have ended. That a note stays does harm only when it happens
// to the same message again and again, so it is no error.
func (w *worker) noted(ctx context.Context, epoch string, sequences []uint64, f func() error) error {
	begun := make(map[uint64]uint64, len(sequences))
	for _, sequence := range sequences {
		begun[sequence] = w.unended[sequence] + 1
	}
	if err := w.db.NoteAttempts(ctx, epoch, begun); err != nil {
		return err
	}
	err := f()
	for sequence := range maps.Keys(begun) {
		begun[sequence] = w.unended[sequence]
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if noteErr := w.db.NoteAttempts(ending, epoch, begun); noteErr != nil {
		w.log.Warn("attempts at messages are still noted as unended", "messages", len(begun), "error", noteErr)
	}
	return err
}

func sequenceOf(msg jetstream.Msg) uint64 {
	meta, _ := msg.Metadata() // receive has read it before
	return meta.Sequence.Stream
}
