package katibdb

import (
	"encoding/hex"
	"time"
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

// clockMargin is by how much a producer must be older than the deletion: its pod's clock may be behind, and to lose the
// metrics of a new trial is worse than to get some of an old one late.
const clockMargin = time.Minute

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
	if born, ok := birth(m.Identity.Source); ok && born.Before(d.At.Add(-clockMargin)) {
		return true
	}
	if d.Epoch != "" && m.Epoch == d.Epoch {
		return m.Sequence <= d.Sequence
	}
	return !m.Time.IsZero() && m.Time.UnixMilli() <= d.At.UnixMilli()
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
