package katibdb

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/katib-stream/katib-stream/schema"
)

// madeAt is a producer id that a library would have made then.
func madeAt(at time.Time) string {
	const digits = "0123456789abcdef"
	id := []byte("000000000000" + "7fff8eeeeeeeeeeeeeee")
	for millis, i := at.UnixMilli(), 11; i >= 0; millis, i = millis>>4, i-1 {
		id[i] = digits[millis&15]
	}
	return string(id)
}

func TestDeletionCovers(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	marked := Deletion{At: at, Epoch: "e", Sequence: 10}
	blind := Deletion{At: at}
	numbered := func(producer, epoch string, sequence uint64, stored time.Time) Message {
		m := Message{Epoch: epoch, Sequence: sequence, Time: stored}
		m.Subject.Producer = producer
		m.Identity = schema.Identity{Source: producer, Number: 1}
		return m
	}
	opaque := numbered(madeAt(at.Add(-time.Hour)), "e", 11, at)
	opaque.Identity = schema.IdentityOf(opaque.Subject.Producer, "mine", "e", 11)
	for _, c := range []struct {
		name     string
		deletion Deletion
		message  Message
		want     bool
	}{
		{"never deleted", Deletion{}, numbered(madeAt(time.UnixMilli(1)), "", 0, time.UnixMilli(1)), false},
		{"in the stream then", marked, numbered("me", "e", 10, at.Add(time.Hour)), true},
		{"stored after, by a clock that is behind", marked, numbered("me", "e", 11, at.Add(-time.Hour)), false},
		{"another epoch, stored before", marked, numbered("me", "f", 11, at.Add(-time.Millisecond)), true},
		{"another epoch, stored then", marked, numbered("me", "f", 11, at.Add(999*time.Microsecond)), true},
		{"another epoch, stored after", marked, numbered("me", "f", 9, at.Add(time.Millisecond)), false},
		{"another epoch, at an unknown time", marked, numbered("me", "f", 9, time.Time{}), false},
		{"blind, stored before", blind, numbered("me", "e", 9, at), true},
		{"blind, stored before, no epoch", blind, numbered("me", "", 0, at), true},
		{"blind, stored after", blind, numbered("me", "e", 9, at.Add(time.Millisecond)), false},
		{"blind, at an unknown time", blind, numbered("me", "", 0, time.Time{}), false},
		{"late spool of a producer made before", marked, numbered(madeAt(at.Add(-time.Minute-time.Millisecond)), "e", 11, at.Add(24*time.Hour)), true},
		{"the same, blind", blind, numbered(madeAt(at.Add(-time.Hour)), "f", 11, at.Add(24*time.Hour)), true},
		{"a pod whose clock is behind", marked, numbered(madeAt(at.Add(-time.Minute)), "e", 11, at.Add(time.Second)), false},
		{"made after", marked, numbered(madeAt(at.Add(time.Hour)), "e", 11, at.Add(2*time.Hour)), false},
		{"made after, but stored before", marked, numbered(madeAt(at.Add(time.Hour)), "e", 10, at), true},
		{"not numbered by the library", marked, opaque, false},
	} {
		if got := c.deletion.covers(&c.message); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBirth(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	text := id.String()
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if at, ok := birth(digits); !ok || at.Before(before) || time.Since(at) < 0 {
		t.Errorf("%s was made at %v, %v", digits, at, ok)
	}
	if at, ok := birth(madeAt(before)); !ok || !at.Equal(before) {
		t.Errorf("%s was made at %v, %v, want %v", madeAt(before), at, ok, before)
	}
	for _, id := range []string{
		"", "me", text, digits[:31], digits + "0", digits[:31] + "g", "*" + digits[:31],
		digits[:12] + "4" + digits[13:], // another version
		digits[:16] + "c" + digits[17:], // another variant
	} {
		if at, ok := birth(id); ok {
			t.Errorf("%q was made at %v", id, at)
		}
	}
}

func TestDeletionNeverGoesBack(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123).UTC()
	before := Deletion{At: at, Epoch: "e", Sequence: 10}
	for _, c := range []struct {
		name     string
		epoch    string
		sequence uint64
		at       time.Time
		want     Deletion
	}{
		{"later", "e", 11, at.Add(1500 * time.Microsecond), Deletion{at.Add(time.Millisecond), "e", 11}},
		{"the clock went back", "e", 11, at.Add(-time.Hour), Deletion{at, "e", 11}},
		{"a server that is behind", "e", 9, at.Add(time.Hour), Deletion{at.Add(time.Hour), "e", 10}},
		{"another stream", "f", 1, at.Add(time.Hour), Deletion{at.Add(time.Hour), "f", 1}},
		{"without a stream", "", 0, at.Add(-time.Hour), Deletion{at, "", 0}},
	} {
		if got := before.next(c.epoch, c.sequence, c.at); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestNameable(t *testing.T) {
	for name, want := range map[string]bool{"trial": true, "Trial.1": true, "": true, "trial ": false, "tríal": false, "a\x00": false} {
		if nameable(name) != want {
			t.Errorf("nameable(%q) is not %v", name, want)
		}
	}
}
