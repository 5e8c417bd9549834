package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// mostPatience is how many times Config.CommitTimeout an attempt may take in the end.
const mostPatience = 8

// item is one delivered message on its way through settle.
type item struct {
	msg     jetstream.Msg
	stored  schema.Stored
	message katibdb.Message
	rows    int
	// refused is why the message can never be persisted, and stage who said so; nil for a good one.
	refused error
	stage   string
	// kept says that the dead letter is stored.
	kept bool
}

// settle brings every message of a batch, decoded, to its end: persisted and acknowledged, or a dead letter, or left for
// redelivery when ctx ends before that.
func (w *worker) settle(ctx context.Context, items []*item) {
	for len(items) > 0 && ctx.Err() == nil {
		n := w.transactionOf(items)
		w.persist(ctx, items[:n])
		items = items[n:]
	}
}

func (w *worker) decodeAll(batch []*delivery) []*item {
	var items []*item
	for _, d := range batch {
		for _, msg := range d.messages {
			items = append(items, w.decode(d.session, msg))
		}
	}
	return items
}

// transactionOf counts how many of the items make the next transaction, at least one.
func (w *worker) transactionOf(items []*item) int {
	rows, bytes := 0, 0
	for i, it := range items {
		rows += it.rows
		bytes += sizeInHand(it.msg)
		if i > 0 && (rows > w.cfg.BatchRows || bytes > w.cfg.BatchBytes || i >= w.cfg.BatchMessages) {
			return i
		}
	}
	return len(items)
}

func newItem(s *session, msg jetstream.Msg) *item {
	meta, _ := msg.Metadata() // receive has read it before
	stored := schema.Stored{
		Subject:  msg.Subject(),
		Header:   msg.Headers(),
		Body:     msg.Data(),
		Epoch:    s.epoch,
		Sequence: meta.Sequence.Stream,
		Time:     meta.Timestamp,
	}
	return &item{msg: msg, stored: stored, message: katibdb.Message{Epoch: s.epoch, Sequence: stored.Sequence, Time: stored.Time}}
}

// decode never fails: a message that cannot be decoded is an item that was refused.
func (w *worker) decode(s *session, msg jetstream.Msg) *item {
	it := newItem(s, msg)
	decoded, err := schema.Decode(it.stored)
	it.message.Message = decoded
	for _, event := range decoded.Events {
		it.rows += len(event.Metrics)
	}
	if err != nil {
		it.refuse(schema.StageDecode, err)
	}
	return it
}

func (it *item) refuse(stage string, err error) {
	it.refused, it.stage = err, stage
	it.message.Dead = true
	it.message.Events = nil
	it.rows = 0
}

// persist commits the items in one transaction and acknowledges them. When the database finds bad data among them it
// halves them until the guilty stand alone.
func (w *worker) persist(ctx context.Context, items []*item) {
	if items = w.keepDeadLetters(ctx, items); len(items) == 0 {
		return
	}
	outcomes, err := w.commit(ctx, items)
	switch {
	case err == nil:
		w.cfg.AfterCommit()
		w.conclude(ctx, items, outcomes)
	case !errors.Is(err, katibdb.ErrData):
		return // stopping: what is not acknowledged will be delivered again
	case len(items) > 1:
		w.persist(ctx, items[:len(items)/2])
		w.persist(ctx, items[len(items)/2:])
	case items[0].refused != nil:
		// Not even the record of the dead letter is taken. It must not hold up the others.
		w.log.Error("dead letter cannot be recorded; it will be delivered again", "subject", items[0].stored.Subject, "sequence", items[0].stored.Sequence, "error", err)
		w.later(items[0])
	default:
		items[0].refuse(schema.StagePersist, err)
		w.persist(ctx, items)
	}
}

// commit persists the items in one transaction, or returns what is wrong with them.
func (w *worker) commit(ctx context.Context, items []*item) (outcomes []katibdb.Outcome, err error) {
	batch := make([]katibdb.Message, len(items))
	for i, it := range items {
		batch[i] = it.message
	}
	err = w.insist(ctx, func(ctx context.Context) (err error) {
		begin := time.Now()
		outcomes, err = w.store(ctx, batch)
		if err == nil || errors.Is(err, katibdb.ErrData) {
			w.metrics.commitSeconds.Observe(time.Since(begin).Seconds())
		}
		return err
	})
	return outcomes, err
}

// insist has the database do something until it succeeds, finds bad data, or the consumer stops: whatever else is wrong
// with a database passes.
func (w *worker) insist(ctx context.Context, do func(context.Context) error) error {
	pause := newBackOff()
	limit := w.cfg.CommitTimeout
	for {
		late, err := attempt(ctx, limit, do)
		if err == nil || errors.Is(err, katibdb.ErrData) {
			w.health.set(partDatabase, w.id, nil)
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		w.health.set(partDatabase, w.id, err)
		w.metrics.retries.Inc()
		if late {
			limit = min(2*limit, mostPatience*w.cfg.CommitTimeout)
		}
		select {
		case <-w.stopping:
			return err
		default:
			wait(ctx, pause.NextBackOff())
		}
	}
}

// attempt does it once. Late says that it failed because it was not done within the limit.
func attempt(ctx context.Context, limit time.Duration, do func(context.Context) error) (late bool, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = do(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return true, fmt.Errorf("not done within %v: %w", limit, err)
	}
	return false, err
}

// conclude acknowledges what a commit settled. What turned out to be of another namespace begins again as a dead letter.
func (w *worker) conclude(ctx context.Context, items []*item, outcomes []katibdb.Outcome) {
	epoch, err := w.currentEpoch()
	if err != nil {
		w.log.Debug("a batch is persisted and not acknowledged; it will be delivered again", "error", err)
	}
	var foreign []*item
	rows := 0
	for i, it := range items {
		outcome := outcomes[i]
		if outcome == katibdb.Foreign {
			it.refuse(schema.StageNamespace, errForeign(it.message.Subject))
			foreign = append(foreign, it)
			continue
		}
		if it.stored.Epoch == epoch {
			w.acknowledge(it)
		}
		if outcome == katibdb.Persisted {
			rows += it.rows
		}
		w.metrics.count(outcome, it.refused != nil)
	}
	w.metrics.rows.Add(float64(rows))
	w.metrics.batchRows.Observe(float64(rows))
	if len(foreign) > 0 {
		w.persist(ctx, foreign)
	}
}

func (w *worker) acknowledge(it *item) {
	if it.refused != nil {
		w.answered(it, it.msg.TermWithReason(cut(it.refused.Error(), 100)))
		return
	}
	w.answered(it, it.msg.Ack())
}

// later leaves an item for redelivery, not at once.
func (w *worker) later(it *item) {
	w.answered(it, it.msg.NakWithDelay(w.cfg.AckWait))
}

// answered notes an answer that could not be written: the message will be delivered again, as a duplicate.
func (w *worker) answered(it *item, err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		w.log.Debug("answer a message", "sequence", it.stored.Sequence, "error", err)
	}
}

// keepInProgress tells the server, every third of the acknowledgement wait, that the batch is being worked on, until the
// function it returns is called.
func (w *worker) keepInProgress(batch []jetstream.Msg) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(w.cfg.AckWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			for _, msg := range batch {
				if err := msg.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
					w.log.Debug("keep a message in progress", "error", err)
					break
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
