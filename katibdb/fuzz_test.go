package katibdb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// What the contract accepts each database takes, to the letter, and what is written of it again makes the same rows.
func FuzzPersist(f *testing.F) {
	for _, seed := range []string{
		`{"metrics":{"loss":0.9900,"accuracy":1e-400}}`,
		`{"time":"0001-01-01T00:00:00.0000009Z","metrics":{"loss":"unavailable"}}` + "\n" + `{"time":"9999-12-31T23:59:59.999999999Z","metrics":{"loss":""}}`,
		`{"time":"0099-03-01T00:00:00+23:59","step":9223372036854775807,"metrics":{" ":" ","é":"e\u0301","\u202e":"\u0001\u001b\r\n\t","\\N":"\\N"}}`,
		`{"metrics":{"A":1,"a":2,"a ":3,"ß":4,"ss":5,"📈":"' \" \\ ; -- $1 ? %"}}`,
	} {
		f.Add([]byte(seed))
	}
	databases := map[string]*katibdb.DB{}
	for _, database := range testserver.Databases(f) {
		databases[database.Name] = migrated(f, database.Fresh(f))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := schema.DecodeEvents(body)
		if err != nil || len(events) == 0 {
			return
		}
		at := time.Date(2026, 11, 24, 12, 0, 0, 1_999, time.UTC)
		m := katibdb.Message{Message: schema.Message{
			Subject:  schema.Subject{Namespace: "default", Trial: "my-trial", Producer: "me"},
			Identity: schema.Identity{Source: "me", Number: 1},
			Events:   events,
		}, Epoch: "epoch", Sequence: 1}
		again := m
		again.Events = rewritten(t, events)
		for _, m := range []katibdb.Message{m, again} {
			for i := range m.Events {
				if m.Events[i].Time.IsZero() {
					m.Events[i].Time = at
				}
			}
		}
		want := rowsOf(again)
		for name, db := range databases {
			if got := kept(t, db, m); !slices.Equal(got, want) {
				t.Errorf("%s keeps\n%q of\n%q", name, got, want)
			}
		}
	})
}

func migrated(f *testing.F, url string) *katibdb.DB {
	f.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		f.Fatal(err)
	}
	db, err := katibdb.Open(f.Context(), cfg)
	if err == nil {
		f.Cleanup(func() { _ = db.Close() })
		err = db.Migrate(f.Context())
	}
	if err != nil {
		f.Fatal(err)
	}
	return db
}

// rewritten is what a consumer reads of the events when they are written once more.
func rewritten(t *testing.T, events []schema.Event) []schema.Event {
	t.Helper()
	var body []byte
	for _, e := range events {
		body = append(schema.AppendEvent(body, e), '\n')
	}
	again, err := schema.DecodeEvents(body)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func rowsOf(m katibdb.Message) (rows []string) {
	for _, e := range m.Events {
		for _, metric := range e.Metrics {
			rows = append(rows, fmt.Sprintf("%v %q=%q", e.Time.UTC().Truncate(time.Microsecond), metric.Name, metric.Value))
		}
	}
	slices.Sort(rows)
	return rows
}

// kept is what a database has of a message, which it is told to forget.
func kept(t *testing.T, db *katibdb.DB, m katibdb.Message) (rows []string) {
	t.Helper()
	outcomes, err := db.Persist(t.Context(), []katibdb.Message{m})
	if err != nil || !slices.Equal(outcomes, []katibdb.Outcome{katibdb.Persisted}) {
		t.Fatalf("outcome %v, %v", outcomes, err)
	}
	err = db.Log(t.Context(), katibdb.LogQuery{Trial: m.Subject.Trial}, func(row katibdb.Row) error {
		rows = append(rows, fmt.Sprintf("%v %q=%q", row.Time, row.Metric, row.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	for _, table := range []string{"observation_logs", "stream_producers", "stream_receipts"} {
		if _, err := db.SQL().ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// However a URL is written, what is said of it does not repeat the password.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"mysql://katib:%s@host:3306/katib", "postgres://katib:%s@host/katib?sslmode=disable", "postgres://host/katib?password=%s", "sqlite:katib.db",
		"mysql://katib:%s@/katib", "%s://host/katib", "postgres://katib:%s@[::1/katib", "mariadb://%s@host/katib", "mysql:%s", "postgresql://katib:%s@host:x/katib",
	} {
		f.Add(seed)
	}
	const secret = "s3cr3t"
	f.Fuzz(func(t *testing.T, text string) {
		before, after, ok := strings.Cut(text, ":%s@")
		_, user, named := strings.Cut(before, "://")
		if !ok || !named || strings.ContainsAny(user, "?@") || strings.Contains(text, secret) {
			secretless(t, text)
			return
		}
		cfg, err := katibdb.ParseURL(before + ":" + secret + "@" + after)
		if strings.Contains(cfg.String(), secret) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q is called %q, %v", text, cfg, err)
		}
	})
}

// secretless holds a URL that may have no password to what holds for each.
func secretless(t *testing.T, text string) {
	t.Helper()
	cfg, err := katibdb.ParseURL(text)
	if err == nil && cfg.String() == "no database" || err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is read as %v, %v", text, cfg, err)
	}
}
