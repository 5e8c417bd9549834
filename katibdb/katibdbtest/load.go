package katibdbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func manyTrials(t *testing.T, url string) {
	const trials = 2_000
	db := migrated(t, url)
	batch := make([]katibdb.Message, trials)
	for i := range batch {
		batch[i] = numbered("team", fmt.Sprintf("trial-%d", i), "p", 1)
	}
	persist(t, db, strings.Repeat("P", trials), batch...)
	persist(t, migrated(t, url), strings.Repeat("D", trials), batch...)
	wantNumber(t, db, trials, logs)
	wantNumber(t, db, trials, producers)
	wantNumber(t, db, trials, "SELECT COUNT(*) FROM stream_trials WHERE namespace = 'team' AND seen_at > 0")
}

// wide is count messages of 20 points each.
func wide(count int) []katibdb.Message {
	const points = 20
	batch := make([]katibdb.Message, count)
	for i := range batch {
		batch[i] = message(uint64(i + 1))
		batch[i].Events = nil
		for p := range points {
			at := start.Add(time.Duration(i*points+p) * time.Microsecond)
			batch[i].Events = append(batch[i].Events, event(at, "loss", fmt.Sprint(i*points+p+1)))
		}
	}
	return batch
}

func manyRows(t *testing.T, url string) {
	const count = 2_503 // no round number: the last statement is a smaller one
	db := migrated(t, url)
	batch := wide(count)
	persist(t, db, strings.Repeat("P", count), batch...)
	persist(t, db, strings.Repeat("D", count), batch...)
	wantValues(t, db, "trial", series(20*count)...)
	wantNumber(t, db, 20*count, "SELECT events FROM stream_producers")
	deleteTrial(t, db, "trial", 1)
	wantNumber(t, db, 0, logs)
}

// largeValues need statements cut by their bytes.
func largeValues(t *testing.T, url string) {
	db := migrated(t, url)
	m := message(1)
	m.Events = nil
	for i := range 300 {
		m.Events = append(m.Events, event(start.Add(time.Duration(i)*time.Second), "loss", strings.Repeat("v", i*65_535/299)))
	}
	persist(t, db, "PD", m, m)
	for i, value := range valuesOf(t, db, "trial") {
		if want := i * 65_535 / 299; len(value) != want {
			t.Fatalf("value %d has %d bytes, want %d", i, len(value), want)
		}
	}
	wantNumber(t, db, 300, logs)
}

// cancelled calls leave nothing behind, or everything, and no broken connection.
func cancelled(t *testing.T, url string) {
	const count = 500
	db := open(t, url, func(cfg *katibdb.Config) { cfg.MaxConns = 2 })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Persist(ctx, messages(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled before: %v", err)
	}
	wantNumber(t, db, 0, logs)
	batch := wide(count)
	failed := 0
	for pause := 50 * time.Microsecond; pause < 20*time.Millisecond; pause = pause * 5 / 4 {
		ctx, cancel := context.WithTimeout(t.Context(), pause)
		_, err := db.Persist(ctx, batch)
		cancel()
		if err == nil {
			break
		}
		if errors.Is(err, katibdb.ErrData) {
			t.Fatalf("a cancelled call is taken for a data error: %v", err)
		}
		failed++
	}
	if failed == 0 {
		t.Fatal("no call was cut off")
	}
	if _, err := db.Persist(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	wantValues(t, db, "trial", series(20*count)...)
	wantNumber(t, db, count, watermark)
}

func closed(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Persist(t.Context(), messages(2)); err == nil {
		t.Error("a closed database persists")
	}
	if _, err := db.Persisted(t.Context(), []katibdb.Ref{{Subject: schema.Subject{Trial: "trial"}}}); err == nil {
		t.Error("a closed database answers")
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a closed database is pinged")
	}
}
