package katibdb

import (
	"cmp"
	"slices"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// seenEvery is how often a trial's seen_at moves; it is only for ending bindings after days.
const seenEvery = time.Hour

// producerKey names a producer. The namespace belongs to it: with a key of the trial and the producer alone, a tenant that
// learned another's producer id could use its numbers up.
type producerKey struct{ trial, namespace, producer string }

// receiptKey names a message.
type receiptKey struct {
	producerKey // of a message without a number, producer is the identity's source
	number      uint64
}

// trialRow is a row of stream_trials.
type trialRow struct {
	name      string
	namespace string // "" while no real namespace reported
	seenAt    int64  // seconds since 1970
	deletion  Deletion
}

// producerRow is a row of stream_producers.
type producerRow struct {
	producerKey
	watermark uint64
	receipts  uint64 // how many receipts stand above the watermark
	final     uint64 // the final message's number, 0 while there is none
	messages  uint64
	events    uint64
	dead      uint64
	deleted   bool
	moved     bool // the watermark moves in this transaction
}

// state is what the database knows of a batch's messages.
type state struct {
	trials    map[string]trialRow
	producers map[producerKey]producerRow
	receipts  map[receiptKey]bool
}

// receiptRow is a row of stream_receipts.
type receiptRow struct {
	receiptKey
	dead     bool
	epoch    string
	sequence uint64
}

// plan is what a transaction has to write.
type plan struct {
	outcomes  []Outcome  // by the message's place in the batch
	rows      []*Message // whose rows are inserted, in order
	receipts  []receiptRow
	producers []*producerRow
	trials    []trialRow
}

func keyOf(subject schema.Subject, id schema.Identity) receiptKey {
	return receiptKey{producerKey{subject.Trial, subject.Namespace, id.Source}, id.Number}
}

// filter decides what of a batch is news. It changes nothing but what it returns.
func filter(batch []Message, known state, now time.Time) plan {
	p := plan{outcomes: make([]Outcome, len(batch))}
	trials := map[string]*trialRow{}
	producers := map[producerKey]*producerRow{}
	seen := make(map[receiptKey]bool, len(batch))
	bind(batch, known, trials)
	for _, i := range order(batch) {
		m := &batch[i]
		key := keyOf(m.Subject, m.Identity)
		trial := entry(trials, known.trials, key.trial)
		numbered := m.Identity.Numbered()
		before := known.producers[key.producerKey]
		if row, met := producers[key.producerKey]; met {
			before.deleted = row.deleted
		}
		switch {
		case deleted(m, *trial, before):
			p.outcomes[i] = Deleted
			if numbered && !before.deleted {
				// The deletion did not know of this producer. What it sends from now on is from before, too.
				p.producer(producers, key.producerKey, before).deleted = true
			}
			continue
		case seen[key] || known.has(key, numbered):
			p.outcomes[i] = Duplicate
			continue
		case !m.Dead && !mayWrite(key.namespace, trial):
			p.outcomes[i] = Foreign
			continue
		}
		p.outcomes[i] = Persisted
		seen[key] = true
		if !m.Dead {
			touch(trial, now)
			p.rows = append(p.rows, m)
		}
		if !numbered {
			p.receipts = append(p.receipts, receiptRow{key, m.Dead, m.Epoch, m.Sequence})
			continue
		}
		p.account(p.producer(producers, key.producerKey, before), m, key)
	}
	for _, trial := range trials {
		before := known.trials[trial.name]
		if trial.namespace != before.namespace || trial.seenAt != before.seenAt {
			p.trials = append(p.trials, *trial)
		}
	}
	slices.SortFunc(p.trials, func(a, b trialRow) int { return cmp.Compare(a.name, b.name) })
	return p
}

// producer is the row of a producer that this transaction changes.
func (p *plan) producer(met map[producerKey]*producerRow, key producerKey, before producerRow) *producerRow {
	if row := met[key]; row != nil {
		return row
	}
	before.producerKey = key
	met[key] = &before
	p.producers = append(p.producers, &before)
	return &before
}

// order sorts a batch by producer and number, so that of a producer's rows with equal times the later gets the higher id;
// what has no number goes by its place in the stream.
func order(batch []Message) []int {
	places := make([]int, len(batch))
	for i := range places {
		places[i] = i
	}
	group := func(m *Message) (string, uint64) {
		if m.Identity.Numbered() {
			return m.Identity.Source, m.Identity.Number
		}
		return "*", m.Sequence
	}
	slices.SortStableFunc(places, func(i, j int) int {
		a, b := &batch[i], &batch[j]
		if c := cmp.Or(cmp.Compare(a.Subject.Trial, b.Subject.Trial), cmp.Compare(a.Subject.Namespace, b.Subject.Namespace)); c != 0 {
			return c
		}
		sourceA, numberA := group(a)
		sourceB, numberB := group(b)
		return cmp.Or(cmp.Compare(sourceA, sourceB), cmp.Compare(numberA, numberB))
	})
	return places
}

func entry(met map[string]*trialRow, known map[string]trialRow, name string) *trialRow {
	trial, ok := met[name]
	if !ok {
		row := known[name]
		row.name = name
		trial = &row
		met[name] = trial
	}
	return trial
}

// deleted reports whether a message is from before its trial's deletion.
func deleted(m *Message, trial trialRow, producer producerRow) bool {
	return (m.Identity.Numbered() && producer.deleted) || trial.deletion.covers(m)
}

// has reports whether a message is persisted.
func (s state) has(key receiptKey, numbered bool) bool {
	return s.receipts[key] || (numbered && key.number <= s.producers[key.producerKey].watermark)
}

// bind gives the trials that no namespace has yet to the one whose message was stored first: the order in which the batch
// is sorted must not let a tenant take a trial by the letters of its namespace.
func bind(batch []Message, known state, trials map[string]*trialRow) {
	first := map[string]*Message{}
	for i := range batch {
		m := &batch[i]
		trial := known.trials[m.Subject.Trial]
		if m.Dead || trial.namespace != "" || m.Subject.Namespace == schema.NamespaceUnknown {
			continue
		}
		if before, met := first[m.Subject.Trial]; met && before.Sequence <= m.Sequence {
			continue
		}
		key := keyOf(m.Subject, m.Identity)
		if !deleted(m, trial, known.producers[key.producerKey]) && !known.has(key, m.Identity.Numbered()) {
			first[m.Subject.Trial] = m
		}
	}
	for name, m := range first {
		entry(trials, known.trials, name).namespace = m.Subject.Namespace
	}
}

// mayWrite reports whether the namespace may write the trial.
func mayWrite(namespace string, trial *trialRow) bool {
	return namespace == schema.NamespaceUnknown || namespace == trial.namespace
}

func touch(trial *trialRow, now time.Time) {
	if now.Sub(time.Unix(trial.seenAt, 0)) > seenEvery {
		trial.seenAt = now.Unix()
	}
}

// account notes a numbered message: the watermark covers it, or else a receipt.
func (p *plan) account(producer *producerRow, m *Message, key receiptKey) {
	producer.messages++
	if m.Dead {
		producer.dead++
	} else {
		producer.events += uint64(len(m.Events))
	}
	if m.Final {
		producer.final = max(producer.final, key.number)
	}
	above := key.number > producer.watermark+1
	if above {
		producer.receipts++
	} else {
		producer.watermark, producer.moved = key.number, true
	}
	if above || m.Dead {
		p.receipts = append(p.receipts, receiptRow{key, m.Dead, m.Epoch, m.Sequence})
	}
}
