package katibdb

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// Deletion is the mark that a trial's deletion leaves: it says which messages are from before.
type Deletion struct {
	// At is when it was, in whole milliseconds of the stream's clock, or of ours where the stream could not be asked. Zero
	// means never.
	At time.Time
	// Epoch and Sequence are the last message that the stream held; Epoch is "" where it could not be asked.
	Epoch    string
	Sequence uint64
}

// next is the mark of a deletion that follows. It never goes back, whatever the clocks and the servers say.
func (d Deletion) next(epoch string, sequence uint64, at time.Time) Deletion {
	next := Deletion{At: fromMillis(at.UnixMilli()), Epoch: epoch, Sequence: sequence}
	if next.At.Before(d.At) {
		next.At = d.At
	}
	if epoch == d.Epoch {
		next.Sequence = max(sequence, d.Sequence)
	}
	return next
}

// covers reports whether a message is from before the deletion: by its producer's birth, which also tells of messages that
// reach the stream long after; by its place in the stream; where that says nothing, by the stream's time.
func (d Deletion) covers(m *Message) bool {
	if d.At.IsZero() {
		return false
	}
	if d.tooOld(m.Identity.Source) {
		return true
	}
	return d.before(m.Epoch, m.Sequence, m.Time)
}

// before reports whether a place in the stream is one from before the deletion; a zero time is not known to be.
func (d Deletion) before(epoch string, sequence uint64, at time.Time) bool {
	if d.Epoch != "" && epoch == d.Epoch {
		return sequence <= d.Sequence
	}
	return !at.IsZero() && at.UnixMilli() <= d.At.UnixMilli()
}

// tooOld reports whether a producer was made so long before the deletion that nothing of it is taken for new.
func (d Deletion) tooOld(producer string) bool {
	born, ok := birth(producer)
	return ok && born.Before(d.At.Add(-schema.ClockMargin))
}

// DeletedAfter reports whether the trial was deleted after a message was stored at that place of the stream. A zero time is
// one that is not known.
func (t Trial) DeletedAfter(epoch string, sequence uint64, at time.Time) bool {
	d := Deletion{At: t.DeletedAt, Epoch: t.DeletedEpoch, Sequence: t.DeletedSequence}
	return !d.At.IsZero() && d.before(epoch, sequence, at)
}

// Retired reports whether what a producer sends from now on is discarded, because its trial was deleted.
func (db *DB) Retired(ctx context.Context, producer schema.Subject) (bool, error) {
	retired := false
	err := db.read(ctx, func(s *session) error {
		trials, err := s.readTrials(ctx, []string{producer.Trial}, "")
		if err != nil {
			return err
		}
		key := producerKey{producer.Trial, producer.Namespace, producer.Producer}
		producers, err := s.readProducers(ctx, []producerKey{key})
		deletion := trials[producer.Trial].deletion
		retired = producers[key].deleted || (!deletion.At.IsZero() && deletion.tooOld(producer.Producer))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look up producer %s: %w", producer.Producer, err)
	}
	return retired, nil
}

// birth gives when a producer was made, by its id; ok is false for one that is none of our libraries': those are the hex
// digits of a UUID of version 7, which begins with its milliseconds since 1970.
func birth(producer string) (at time.Time, ok bool) {
	var id [16]byte
	if len(producer) != hex.EncodedLen(len(id)) {
		return time.Time{}, false
	}
	if _, err := hex.Decode(id[:], []byte(producer)); err != nil {
		return time.Time{}, false
	}
	if version, variant := id[6]>>4, id[8]>>6; version != 7 || variant != 0b10 {
		return time.Time{}, false
	}
	var millis int64
	for _, b := range id[:6] {
		millis = millis<<8 | int64(b)
	}
	return time.UnixMilli(millis), true
}

// fromMillis reads a column of milliseconds since 1970, where 0 is no time.
func fromMillis(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
