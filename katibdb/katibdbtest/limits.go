package katibdbtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func names(t *testing.T, url string) {
	db := migrated(t, url)
	long := strings.Repeat("n", 252)
	trials := []string{"trial", "Trial", "TRIAL", long + "a", long + "b", long + "A", strings.Repeat("n", 255)}
	for i, trial := range trials {
		m := numbered("team", trial, "p", 1)
		m.Events[0].Metrics[0].Value = fmt.Sprint(i)
		persist(t, db, "PD", m, m)
	}
	upper := numbered("team", "trial", "P", 1)
	persist(t, db, "PP", upper, numbered("team", "trial", strings.Repeat("p", 64), 1))
	wantNumber(t, db, len(trials)+2, producers)
	deleteTrial(t, db, "trial", 1)
	wantValues(t, db, "trial")
	for i, trial := range trials[1:] {
		wantValues(t, db, trial, fmt.Sprint(i+1))
	}
}

func values(t *testing.T, url string) {
	db := migrated(t, url)
	m := message(1)
	m.Events = nil
	want := []schema.Metric{
		{Name: strings.Repeat("📈", 255), Value: "0.9900"},
		{Name: "loss ' \" \\ ? $1 % `", Value: "unavailable"},
		{Name: "empty", Value: ""},
		{Name: "emoji", Value: "🧪 \u00e9 e\u0301 \u202e"},
		{Name: "lines", Value: "tab\tnew\nline\r\\N \\. ' \" \\ ; --"},
		{Name: "longest", Value: strings.Repeat("v", 65_535)},
		{Name: "longest of four bytes", Value: strings.Repeat("📈", 65_535/4)},
		{Name: "spaces", Value: "  0.5  "},
		{Name: "exact", Value: "1e-400"},
	}
	for i, metric := range want {
		m.Events = append(m.Events, schema.Event{Time: start.Add(time.Duration(i) * time.Second), Metrics: []schema.Metric{metric}})
	}
	persist(t, db, "P", m)
	rows, err := db.Rows(t.Context(), "trial")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		if row.Metric != want[i].Name || row.Value != want[i].Value {
			t.Errorf("metric %.40q with value %.40q came back as %.40q, %.40q", want[i].Name, want[i].Value, row.Metric, row.Value)
		}
	}
}

func times(t *testing.T, url string) {
	db := migrated(t, url)
	tokyo := time.FixedZone("Tokyo", 9*60*60)
	m := message(1)
	m.Events = nil
	var want []time.Time
	for _, c := range []struct{ given, want time.Time }{
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}, // Katib's "unavailable"
		{time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
		{time.Date(2026, 3, 29, 2, 30, 0, 1_999, time.UTC), time.Date(2026, 3, 29, 2, 30, 0, 1_000, time.UTC)}, // skipped by summer time
		{time.Date(2026, 11, 24, 9, 0, 0, 0, tokyo), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
	} {
		m.Events = append(m.Events, event(c.given, "loss", "1"))
		want = append(want, c.want)
	}
	persist(t, db, "P", m)
	rows, err := db.Rows(t.Context(), "trial")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		if !row.Time.Equal(want[i]) || row.Time.Location() != time.UTC {
			t.Errorf("time %v came back as %v", want[i], row.Time)
		}
	}
}

// equalTimes keep the order of reporting: Katib takes the later row of equal times for the latest.
func equalTimes(t *testing.T, url string) {
	db := migrated(t, url)
	var batch []katibdb.Message
	for n := uint64(1); n <= 50; n++ {
		m := message(n)
		m.Events = []schema.Event{event(start, "loss", fmt.Sprint(2*n-1)), event(start, "loss", fmt.Sprint(2*n))}
		batch = append(batch, m)
	}
	slices.Reverse(batch)
	persist(t, db, strings.Repeat("P", 50), batch...)
	wantValues(t, db, "trial", series(100)...)
}

func dataErrors(t *testing.T, url string) {
	db := migrated(t, url)
	good := uint64(1)
	for _, c := range []struct {
		name      string
		at        time.Time
		metric    string
		value     string
		refusedBy string // SQLite takes anything
	}{
		{"metric of 256 characters", start, strings.Repeat("m", 256), "1", "mysql postgres"},
		{"value of 65,536 bytes", start, "loss", strings.Repeat("v", 65_536), "mysql"},
		{"metric that is no UTF-8", start, "lo\xffss", "1", "mysql postgres"},
		{"value that is no UTF-8", start, "loss", "\xc3(", "mysql postgres"},
		{"NUL in a value", start, "loss", "a\x00b", "postgres"},
		{"year 10000", time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), "loss", "1", "mysql"},
	} {
		bad := numbered("team", "bad", "bad "+c.name[:8], good)
		bad.Events = []schema.Event{event(c.at, c.metric, c.value)}
		_, err := db.Persist(t.Context(), []katibdb.Message{message(good), bad, message(good + 1)})
		if !strings.Contains(c.refusedBy, kind(url)) {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			good += 2
			continue
		}
		if !errors.Is(err, katibdb.ErrData) {
			t.Errorf("%s: %v is no data error", c.name, err)
		}
		wantNumber(t, db, int(good-1), "SELECT COUNT(*) FROM observation_logs WHERE trial_name = 'trial'")
		persist(t, db, "PP", messages(good, good+1)...)
		good += 2
	}
}

// exhaustedIDs are no data error: a good message must not become a dead letter of it.
func exhaustedIDs(t *testing.T, url string) {
	db := migrated(t, url)
	persist(t, db, "P", message(1))
	switch kind(url) {
	case "mysql":
		exec(t, db, "ALTER TABLE observation_logs AUTO_INCREMENT = 2147483646")
	case "postgres":
		exec(t, db, "SELECT setval('observation_logs_id_seq', 2147483645)")
	case "sqlite":
		exec(t, db, "UPDATE sqlite_sequence SET seq = 2147483645 WHERE name = 'observation_logs'")
	}
	batch := messages(2, 3, 4, 5, 6)
	if kind(url) != "sqlite" {
		_, err := db.Persist(t.Context(), batch)
		if err == nil || errors.Is(err, katibdb.ErrData) {
			t.Fatalf("exhausted ids: %v, want an error that is no data error", err)
		}
		wantNumber(t, db, 1, logs)
	}
	for range 2 {
		if err := db.WidenID(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	persist(t, db, "PPPPP", batch...)
	wantValues(t, db, "trial", series(6)...)
	deleteTrial(t, db, "trial", 6)
	wantNumber(t, db, 0, logs)
}
