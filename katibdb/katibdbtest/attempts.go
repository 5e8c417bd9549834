package katibdbtest

import (
	"maps"
	"testing"

	"github.com/katib-stream/katib-stream/katibdb"
)

func attempts(t *testing.T, url string) {
	const another = "another epoch"
	db := migrated(t, url)
	wantAttempts(t, db, epoch, map[uint64]uint64{1: 0, 2: 0})
	noteAttempts(t, db, epoch, map[uint64]uint64{1: 1, 2: 3, 3: 1})
	noteAttempts(t, db, another, map[uint64]uint64{1: 7})
	noteAttempts(t, db, epoch, map[uint64]uint64{1: 0, 2: 4, 9: 0})
	wantAttempts(t, open(t, url), epoch, map[uint64]uint64{1: 0, 2: 4, 3: 1, 9: 0})
	wantAttempts(t, db, another, map[uint64]uint64{1: 7})

	// What has left the stream is forgotten, and so is what another stream had.
	if err := db.Forget(t.Context(), epoch, 3); err != nil {
		t.Fatal(err)
	}
	wantAttempts(t, db, epoch, map[uint64]uint64{2: 0, 3: 1})
	wantAttempts(t, db, another, map[uint64]uint64{1: 0})

	many := map[uint64]uint64{}
	for sequence := range uint64(1_001) {
		many[sequence] = 1 + sequence%3
	}
	noteAttempts(t, db, epoch, many)
	wantAttempts(t, db, epoch, many)
}

func noteAttempts(t *testing.T, db *katibdb.DB, epoch string, unended map[uint64]uint64) {
	t.Helper()
	if err := db.NoteAttempts(t.Context(), epoch, unended); err != nil {
		t.Fatal(err)
	}
}

func wantAttempts(t *testing.T, db *katibdb.DB, epoch string, want map[uint64]uint64) {
	t.Helper()
	var sequences []uint64
	for sequence := range want {
		sequences = append(sequences, sequence)
	}
	got, err := db.Attempts(t.Context(), epoch, sequences)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("attempts %v, %v; want %v", got, err, want)
	}
}
