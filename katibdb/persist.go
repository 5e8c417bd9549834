package katibdb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errUnknown says that a row which was thought to exist does not: somebody removed it.
var errUnknown = errors.New("a trial's row is gone")

// Persist commits a batch in one transaction, each message exactly once however often it is given, and returns what
// became of each. Any number of callers may hold the same messages: the lock on the trial decides.
//
// After an error nothing was committed, or else the answer of the commit was lost; calling it again is safe either way.
// An error that is ErrData comes from the batch: it holds something that the database will never take. Any other may
// pass: an unreachable, full or read-only database.
func (db *DB) Persist(ctx context.Context, batch []Message) ([]Outcome, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var outcomes []Outcome
	err := db.retry(ctx, func() (err error) {
		outcomes, err = db.persist(ctx, batch)
		return err
	})
	switch {
	case err == nil:
		return outcomes, nil
	case db.dialect.isData(err):
		return nil, fmt.Errorf("persist %d messages: %w: %w", len(batch), ErrData, err)
	default:
		return nil, fmt.Errorf("persist %d messages: %w", len(batch), err)
	}
}

func (db *DB) persist(ctx context.Context, batch []Message) ([]Outcome, error) {
	keys := keysOf(batch)
	if err := db.ensure(ctx, keys); err != nil {
		return nil, err
	}
	var outcomes []Outcome
	err := db.transaction(ctx, func(ctx context.Context, s *session) error {
		trials, err := db.lock(ctx, s, keys)
		if err != nil {
			return err
		}
		known, err := s.lookUp(ctx, keys, batch)
		if err != nil {
			return err
		}
		known.trials = trials
		p := filter(batch, known, time.Now())
		outcomes = p.outcomes
		return s.write(ctx, p)
	})
	return outcomes, err
}

// lock locks the trials; when somebody removed a row, what is thought to exist is forgotten.
func (db *DB) lock(ctx context.Context, s *session, keys keys) (map[string]trialRow, error) {
	trials, err := s.lockTrials(ctx, keys.trials)
	if err == nil && len(trials) < len(keys.trials) {
		db.known.forget(keys)
		return nil, errUnknown
	}
	return trials, err
}

// lookUp reads what the database knows of the batch's producers and messages. While the trials are locked it stays true.
func (s *session) lookUp(ctx context.Context, keys keys, batch []Message) (state, error) {
	producers, err := s.readProducers(ctx, keys.producers)
	if err != nil {
		return state{}, err
	}
	var asked []receiptKey
	for i := range batch {
		key := keyOf(batch[i].Subject, batch[i].Identity)
		if onlyReceipt(key, batch[i].Identity.Numbered(), producers[key.producerKey]) {
			asked = append(asked, key)
		}
	}
	receipts, err := s.readReceipts(ctx, asked)
	return state{producers: producers, receipts: receipts}, err
}

// onlyReceipt reports whether only a receipt can say that a message is persisted: of most the watermark says it all.
func onlyReceipt(key receiptKey, numbered bool, producer producerRow) bool {
	return !numbered || (producer.receipts > 0 && key.number > producer.watermark)
}

// write carries a plan out.
func (s *session) write(ctx context.Context, p plan) error {
	if len(p.rows) > 0 {
		if err := s.dialect.insertRows(ctx, s, newRowIterator(p.rows)); err != nil {
			return fmt.Errorf("insert rows: %w", err)
		}
	}
	if err := s.insertReceipts(ctx, p.receipts); err != nil {
		return err
	}
	for _, producer := range p.producers {
		if err := s.advance(ctx, producer); err != nil {
			return err
		}
	}
	if err := s.writeProducers(ctx, p.producers); err != nil {
		return err
	}
	return s.writeTrials(ctx, p.trials)
}

// advance moves a watermark on over the receipts that follow it, and deletes those that it makes superfluous.
func (s *session) advance(ctx context.Context, producer *producerRow) error {
	const page = 1_000
	from := producer.watermark
	for producer.moved && producer.receipts > 0 {
		numbers, err := s.receiptsAbove(ctx, producer.producerKey, producer.watermark, page)
		if err != nil {
			return err
		}
		moved := 0
		for _, number := range numbers {
			if number != producer.watermark+1 {
				break
			}
			producer.watermark = number
			moved++
		}
		producer.receipts -= min(producer.receipts, uint64(moved))
		if moved < page {
			break
		}
	}
	if producer.watermark == from {
		return nil
	}
	return s.deleteReceipts(ctx, producer.producerKey, from, producer.watermark)
}
