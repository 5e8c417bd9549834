package katibdb

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// keys are the rows that a batch needs, sorted: locking in one order keeps transactions from deadlocking.
type keys struct {
	trials    []string
	producers []producerKey
}

func keysOf(batch []Message) keys {
	trials := map[string]bool{}
	producers := map[producerKey]bool{}
	for i := range batch {
		key := keyOf(batch[i].Subject, batch[i].Identity)
		trials[key.trial] = true
		if batch[i].Identity.Numbered() {
			producers[key.producerKey] = true
		}
	}
	return keys{slices.Sorted(maps.Keys(trials)), slices.SortedFunc(maps.Keys(producers), compareProducers)}
}

func compareProducers(a, b producerKey) int {
	return cmp.Or(cmp.Compare(a.trial, b.trial), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.producer, b.producer))
}

// known remembers which rows exist, so that they need not be made for each batch again.
type known struct {
	mu        sync.Mutex
	trials    map[string]bool
	producers map[producerKey]bool
}

// maxKnown bounds the memory: about 200 bytes an entry. Past it everything is forgotten, which costs an insert each.
const maxKnown = 100_000

func newKnown() *known {
	return &known{trials: map[string]bool{}, producers: map[producerKey]bool{}}
}

// missing gives those of the keys that are not known to exist.
func (k *known) missing(all keys) keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	var missing keys
	for _, trial := range all.trials {
		if !k.trials[trial] {
			missing.trials = append(missing.trials, trial)
		}
	}
	for _, producer := range all.producers {
		if !k.producers[producer] {
			missing.producers = append(missing.producers, producer)
		}
	}
	return missing
}

func (k *known) add(more keys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.trials)+len(k.producers) > maxKnown {
		clear(k.trials)
		clear(k.producers)
	}
	for _, trial := range more.trials {
		k.trials[trial] = true
	}
	for _, producer := range more.producers {
		k.producers[producer] = true
	}
}

func (k *known) forget(gone keys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, trial := range gone.trials {
		delete(k.trials, trial)
	}
	for _, producer := range gone.producers {
		delete(k.producers, producer)
	}
}

// ensure makes the rows that do not exist yet, in autocommit: made inside the transaction they deadlock on InnoDB.
func (db *DB) ensure(ctx context.Context, all keys) (err error) {
	missing := db.known.missing(all)
	if len(missing.trials)+len(missing.producers) == 0 {
		return nil
	}
	s, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { db.release(s, err == nil) }()
	if err := s.makeTrials(ctx, missing.trials); err != nil {
		return err
	}
	if err := s.makeProducers(ctx, missing.producers); err != nil {
		return err
	}
	db.known.add(missing)
	return nil
}
