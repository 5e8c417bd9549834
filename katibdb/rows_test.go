package katibdb

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// A server limits the statements that all connections keep together.
func TestFewStatementsAreKept(t *testing.T) {
	cfg, err := ParseURL("sqlite:" + filepath.Join(t.TempDir(), "katib.db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for size := 1; size <= 300; size += 13 {
		m := msg(t, "n/t/p:1@1")
		m.Identity.Number = uint64(size)
		m.Events = make([]schema.Event, size)
		for i := range m.Events {
			m.Events[i].Metrics = []schema.Metric{{Name: "loss", Value: "1"}}
		}
		if _, err := db.Persist(t.Context(), []Message{m}); err != nil {
			t.Fatal(err)
		}
		rows += size
	}
	if found, err := db.Rows(t.Context(), "t"); err != nil || len(found) != rows {
		t.Fatalf("%d rows, %v, want %d", len(found), err, rows)
	}
	s := <-db.sessions
	defer db.release(s, true)
	if n := len(s.statements); n == 0 || n > 9 {
		t.Errorf("a connection keeps %d statements, want 1 to 9", n)
	}
}

func TestNumbered(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"SELECT 1", "SELECT 1"},
		{"a = ?", "a = $1"},
		{"VALUES " + values(2, 2), "VALUES ($1,$2),($3,$4)"},
		{"a IN " + list(3) + " AND " + anyOf("b = ?", 2), "a IN ($1,$2,$3) AND (b = $4) OR (b = $5)"},
	} {
		if got := numbered(c.query); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.query, got, c.want)
		}
	}
}

func TestFormatTime(t *testing.T) {
	for _, micro := range []time.Duration{0, 1, 10, 123_456, 500_000, 999_999} {
		for _, second := range []time.Time{{}, time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} {
			at := second.Add(micro * time.Microsecond)
			if got, want := formatTime(at), at.Format(timeText); got != want {
				t.Errorf("formatTime(%v) = %q, want %q", at, got, want)
			}
		}
	}
}
