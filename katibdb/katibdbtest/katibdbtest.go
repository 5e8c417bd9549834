// Package katibdbtest is the conformance suite of Katib DB: what has to hold in every database, on real servers.
package katibdbtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// Run runs the suite. fresh makes a new, empty database for one test, which removes it when it ends, and returns its URL
// as katibdb.ParseURL takes it.
func Run(t *testing.T, fresh func(testing.TB) string) {
	for _, c := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"duplicates", duplicates},
		{"another process repeats a batch", anotherProcess},
		{"shuffled numbers", shuffled},
		{"a gap is filled", gapFilled},
		{"final number", finalNumber},
		{"messages without a number", unnumbered},
		{"workers", workers},
		{"namespaces", namespaces},
		{"unbinding", unbinding},
		{"dead letters", deadLetters},
		{"deletion", deletion},
		{"deletion without a stream", deletionWithoutStream},
		{"a second deletion", secondDeletion},
		{"a late spool", lateSpool},
		{"purges", purges},
		{"deletion of Katib's own", katibsTrials},
		{"deletion and workers", deletionAndWorkers},
		{"deletion race", deletionRace},
		{"a trial's row is gone", rowGone},
		{"persisted", persisted},
		{"persisted meanwhile", persistedMeanwhile},
		{"many refs", manyRefs},
		{"trials", trials},
		{"watermarks", watermarks},
		{"log queries", logQueries},
		{"Katib's rows", katibsRows},
		{"a log ends early", logEnds},
		{"forgetting", forgetting},
		{"attempts", attempts},
		{"names", names},
		{"values", values},
		{"times", times},
		{"equal times", equalTimes},
		{"data errors", dataErrors},
		{"exhausted ids", exhaustedIDs},
		{"many trials", manyTrials},
		{"many rows", manyRows},
		{"large values", largeValues},
		{"cancelled", cancelled},
		{"closed", closed},
		{"migrations at once", migrationsAtOnce},
		{"an interrupted migration", interruptedMigration},
		{"Katib's table is exact", exactTable},
		{"Katib's table is found", foundTable},
		{"Katib's table is missing", missingTable},
		{"index", index},
		{"inspection", inspection},
		{"inspection of what is missing", inspectionMissing},
		{"inspection of Katib's table", inspectionTable},
		{"inspection of ids", inspectionIDs},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, fresh(t))
		})
	}
}

const epoch = "0193a1c2-0000-7000-8000-000000000001"

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// open opens a database without migrating it; it is closed when the test ends.
func open(t testing.TB, url string, edit ...func(*katibdb.Config)) *katibdb.DB {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(&cfg)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func migrated(t testing.TB, url string) *katibdb.DB {
	t.Helper()
	db := open(t, url)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// numbered is a message of one event; its number is its sequence, its value and the microseconds of its time.
func numbered(namespace, trial, producer string, number uint64) katibdb.Message {
	return katibdb.Message{
		Message: schema.Message{
			Subject:  schema.Subject{Namespace: namespace, Trial: trial, Producer: producer},
			Identity: schema.Identity{Source: producer, Number: number},
			Events:   []schema.Event{event(start.Add(time.Duration(number)*time.Microsecond), "loss", strconv.FormatUint(number, 10))},
		},
		Epoch: epoch, Sequence: number,
	}
}

// message is a message of the trial "trial" from the producer "p".
func message(number uint64) katibdb.Message { return numbered("team", "trial", "p", number) }

func messages(numbers ...uint64) []katibdb.Message {
	batch := make([]katibdb.Message, len(numbers))
	for i, number := range numbers {
		batch[i] = message(number)
	}
	return batch
}

// opaque is a message with a Nats-Msg-Id of somebody's own.
func opaque(id string, sequence uint64) katibdb.Message {
	m := message(sequence)
	m.Identity = schema.IdentityOf("p", id, epoch, sequence)
	return m
}

func event(at time.Time, metric, value string) schema.Event {
	return schema.Event{Time: at, Metrics: []schema.Metric{{Name: metric, Value: value}}}
}

func ref(m katibdb.Message) katibdb.Ref {
	return katibdb.Ref{Subject: m.Subject, Identity: m.Identity, Epoch: m.Epoch, Sequence: m.Sequence, Time: m.Time}
}

// persist persists a batch and checks the outcomes: "PPD" is Persisted, Persisted, Duplicate; X is Deleted, F Foreign.
func persist(t testing.TB, db *katibdb.DB, want string, batch ...katibdb.Message) {
	t.Helper()
	outcomes, err := db.Persist(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if got := letters(outcomes); got != want {
		t.Fatalf("outcomes %s, want %s", got, want)
	}
}

func letters(outcomes []katibdb.Outcome) string {
	var out strings.Builder
	for _, o := range outcomes {
		out.WriteByte("PDXF"[o])
	}
	return out.String()
}

// wantValues checks a trial's values, in the order in which Katib reads them.
func wantValues(t testing.TB, db *katibdb.DB, trial string, want ...string) {
	t.Helper()
	if got := valuesOf(t, db, trial); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("values of %s: %v, want %v", trial, got, want)
	}
}

func valuesOf(t testing.TB, db *katibdb.DB, trial string) []string {
	t.Helper()
	rows, err := db.Rows(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, len(rows))
	for i, row := range rows {
		found[i] = row.Value
	}
	return found
}

// number runs a query that gives one number.
func number(t testing.TB, db *katibdb.DB, query string) int {
	t.Helper()
	var n int
	if err := db.SQL().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func wantNumber(t testing.TB, db *katibdb.DB, want int, query string) {
	t.Helper()
	if got := number(t, db, query); got != want {
		t.Fatalf("%d, want %d: %s", got, want, query)
	}
}

func exec(t testing.TB, db *katibdb.DB, statement string) {
	t.Helper()
	if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// deleteTrial deletes a trial when the stream's last sequence is the given one.
func deleteTrial(t testing.TB, db *katibdb.DB, trial string, sequence uint64) {
	t.Helper()
	deleteAt(t, db, trial, epoch, sequence, time.Now())
}

func deleteAt(t testing.TB, db *katibdb.DB, trial, epoch string, sequence uint64, at time.Time) {
	t.Helper()
	look := func(context.Context) (string, uint64, time.Time, error) { return epoch, sequence, at, nil }
	if err := db.DeleteTrial(t.Context(), trial, look); err != nil {
		t.Fatal(err)
	}
}

func kind(url string) string {
	scheme, _, _ := strings.Cut(url, ":")
	return scheme
}

// series gives "1", "2", … up to n.
func series(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i + 1)
	}
	return out
}
