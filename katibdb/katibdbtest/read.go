package katibdbtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// wantPersisted asks for the messages together and each alone: "10" is persisted, not persisted.
func wantPersisted(t testing.TB, db *katibdb.DB, want string, batch ...katibdb.Message) {
	t.Helper()
	refs := make([]katibdb.Ref, len(batch))
	alone := make([]bool, len(batch))
	for i, m := range batch {
		refs[i] = ref(m)
		answers, err := db.Persisted(t.Context(), refs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		alone[i] = answers[0]
	}
	together, err := db.Persisted(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	if got := bits(together); got != want || bits(alone) != want {
		t.Errorf("persisted: %s together, %s alone, want %s", got, bits(alone), want)
	}
}

func bits(answers []bool) string {
	var out strings.Builder
	for _, yes := range answers {
		if yes {
			out.WriteByte('1')
		} else {
			out.WriteByte('0')
		}
	}
	return out.String()
}

func persisted(t *testing.T, url string) {
	db := migrated(t, url)
	dead := message(5)
	dead.Dead = true
	gone := numbered("team", "gone", "p", 3)
	persist(t, db, "PPPPP", message(1), message(3), dead, opaque("mine", 6), gone)
	wantPersisted(t, db, "")
	wantPersisted(t, db, "10101000", messages(1, 2, 3, 4, 5, 6, 7, 1<<63-1)...)
	wantPersisted(t, db, "100", opaque("mine", 6), opaque("other", 7), opaque("", 6))
	wantPersisted(t, db, "000", numbered("team", "unknown", "p", 1), numbered("team", "trial", "q", 1), numbered("foreign", "trial", "p", 1))
	wantPersisted(t, db, "01", numbered("team", "gone", "p", 2), gone)
	deleteTrial(t, db, "gone", 8)
	wantPersisted(t, db, "1110", gone, numbered("team", "gone", "p", 99), numbered("team", "gone", "unseen", 8), numbered("team", "gone", "new", 9))
	// What closes a gap moves the watermark over receipts.
	persist(t, db, "PP", messages(2, 4)...)
	wantPersisted(t, db, "111110", messages(1, 2, 3, 4, 5, 6)...)
}

// persistedMeanwhile asks for messages that are persisted while their watermark passes them and their receipts go.
func persistedMeanwhile(t *testing.T, url string) {
	const rounds, numbers = 20, 300
	db := migrated(t, url)
	for round := range rounds {
		batch := make([]katibdb.Message, numbers)
		refs := make([]katibdb.Ref, numbers)
		for i := range batch {
			batch[i] = numbered("team", "trial", fmt.Sprint("p", round), uint64(i+1))
			refs[i] = ref(batch[i])
		}
		persist(t, db, strings.Repeat("P", numbers-1), batch[1:]...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := db.Persist(t.Context(), batch[:1]); err != nil {
				t.Error(err)
			}
		}()
		for asking := true; asking; {
			select {
			case <-done:
				asking = false
			default:
			}
			answers, err := db.Persisted(t.Context(), refs[1:])
			if err != nil || slices.Contains(answers, false) {
				t.Fatalf("round %d: %s, %v", round, bits(answers), err)
			}
		}
	}
}

func trials(t *testing.T, url string) {
	db := migrated(t, url)
	wantTrial(t, db, "trial", katibdb.Trial{})
	wantTrial(t, db, "tríal", katibdb.Trial{})
	dead, final := message(7), numbered("team", "trial", "ended", 4)
	dead.Dead, final.Final = true, true
	persist(t, db, "PPPPPPPPPP", message(1), message(2), message(5), dead, final, numbered("team", "trial", "ended", 1),
		numbered("foreign", "other", "p", 9), numbered("_", "trial", "z", 1), numbered("team", "trial", "Z", 2), opaque("mine", 12))
	p := katibdb.Producer{Namespace: "team", ID: "p", Watermark: 2, Highest: 7, Missing: 3, Messages: 4, Events: 3, Dead: 1}
	ended := katibdb.Producer{Namespace: "team", ID: "ended", Watermark: 1, Highest: 4, Missing: 2, Messages: 2, Events: 2, Final: 4}
	low := katibdb.Producer{Namespace: "_", ID: "z", Watermark: 1, Highest: 1, Messages: 1, Events: 1}
	upper := katibdb.Producer{Namespace: "team", ID: "Z", Highest: 2, Missing: 1, Messages: 1, Events: 1}
	wantTrial(t, db, "trial", katibdb.Trial{Namespace: "team", Producers: []katibdb.Producer{low, upper, ended, p}})

	// A dead letter below the watermark is not missing, and not the highest.
	persist(t, db, "PPPPP", messages(3, 4, 6, 8, 9)...)
	p = katibdb.Producer{Namespace: "team", ID: "p", Watermark: 9, Highest: 9, Messages: 9, Events: 8, Dead: 1}
	wantTrial(t, db, "trial", katibdb.Trial{Namespace: "team", Producers: []katibdb.Producer{low, upper, ended, p}})

	at := time.Date(2026, 11, 24, 12, 0, 0, 123_999_999, time.UTC)
	deleteAt(t, db, "trial", epoch, 99, at)
	fresh := numbered("team-2", "trial", "fresh", 100)
	persist(t, db, "P", fresh)
	for _, gone := range []*katibdb.Producer{&low, &upper, &ended, &p} {
		gone.Highest, gone.Missing, gone.Deleted = gone.Watermark, 0, true
	}
	after := katibdb.Producer{Namespace: "team-2", ID: "fresh", Highest: 100, Missing: 99, Messages: 1, Events: 1}
	wantTrial(t, db, "trial", katibdb.Trial{
		Namespace: "team-2", DeletedAt: at.Truncate(time.Millisecond), DeletedEpoch: epoch, DeletedSequence: 99,
		Producers: []katibdb.Producer{low, upper, ended, p, after},
	})
}

func wantTrial(t testing.TB, db *katibdb.DB, name string, want katibdb.Trial) {
	t.Helper()
	got, err := db.Trial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("trial %s is\n%+v, want\n%+v", name, got, want)
	}
}

func watermarks(t *testing.T, url string) {
	const many = 1_234
	db := migrated(t, url)
	var batch []katibdb.Message
	asked := []schema.Subject{{Namespace: "team", Trial: "unknown", Producer: "p"}}
	for i := range many {
		subject := schema.Subject{Namespace: "team", Trial: fmt.Sprint("trial-", i%10), Producer: fmt.Sprint("p", i)}
		for n := range uint64(1 + i%3) {
			batch = append(batch, numbered(subject.Namespace, subject.Trial, subject.Producer, n+1))
		}
		asked = append(asked, subject)
	}
	asked = append(asked, asked[7], schema.Subject{Namespace: "foreign", Trial: "trial-0", Producer: "p0"})
	persist(t, db, strings.Repeat("P", len(batch)), batch...)
	deleteTrial(t, db, "trial-9", 3)
	got, err := db.Watermarks(t.Context(), asked)
	if err != nil || len(got) != len(asked) {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	for i, subject := range asked {
		want := katibdb.Producer{Namespace: subject.Namespace, ID: subject.Producer}
		var n uint64
		if _, err := fmt.Sscanf(subject.Producer, "p%d", &n); err == nil && subject.Namespace == "team" {
			want.Watermark = 1 + n%3
			want.Messages, want.Events, want.Deleted = want.Watermark, want.Watermark, subject.Trial == "trial-9"
		}
		if got[i] != want {
			t.Fatalf("answer %d is %+v, want %+v", i, got[i], want)
		}
	}
	if none, err := db.Watermarks(t.Context(), nil); len(none) > 0 || err != nil {
		t.Errorf("no question gives %v, %v", none, err)
	}
}

// logQueries read as Katib does: of one metric, between two times, names compared exactly.
func logQueries(t *testing.T, url string) {
	db := migrated(t, url)
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	m := message(1)
	m.Events = nil
	for n := range 5 {
		m.Events = append(m.Events, schema.Event{Time: second(n).Add(time.Microsecond), Metrics: []schema.Metric{
			{Name: "loss", Value: fmt.Sprint("l", n)}, {Name: "Loss", Value: fmt.Sprint("L", n)}, {Name: "loss ", Value: fmt.Sprint("s", n)},
		}})
	}
	m.Events = append(m.Events, event(time.Time{}, "loss", "unavailable"))
	upper := numbered("team", "Trial", "p", 1)
	persist(t, db, "PP", m, upper)
	micro := time.Microsecond
	tokyo := time.FixedZone("Tokyo", 9*60*60)
	for _, c := range []struct {
		query katibdb.LogQuery
		want  string
	}{
		{katibdb.LogQuery{}, "unavailable l0 L0 s0 l1 L1 s1 l2 L2 s2 l3 L3 s3 l4 L4 s4"},
		{katibdb.LogQuery{Metric: "loss"}, "unavailable l0 l1 l2 l3 l4"},
		{katibdb.LogQuery{Metric: "Loss"}, "L0 L1 L2 L3 L4"},
		{katibdb.LogQuery{Metric: "LOSS"}, ""},
		{katibdb.LogQuery{Metric: "loss' OR ''='"}, ""},
		{katibdb.LogQuery{Trial: "TRIAL"}, ""},
		{katibdb.LogQuery{Trial: "Trial"}, "1"},
		{katibdb.LogQuery{Metric: "loss", From: second(3)}, "l3 l4"},
		{katibdb.LogQuery{Metric: "loss", From: second(3).Add(micro)}, "l3 l4"},
		{katibdb.LogQuery{Metric: "loss", From: second(3).Add(2*micro - 1)}, "l3 l4"}, // truncated
		{katibdb.LogQuery{Metric: "loss", From: second(3).Add(2 * micro)}, "l4"},
		{katibdb.LogQuery{Metric: "loss", To: second(1)}, "unavailable l0"},
		{katibdb.LogQuery{Metric: "loss", To: second(1).Add(micro).In(tokyo)}, "unavailable l0 l1"},
		{katibdb.LogQuery{Metric: "loss", From: second(1).In(tokyo), To: second(2).Add(2*micro - 1)}, "l1 l2"},
		{katibdb.LogQuery{Metric: "loss", From: second(2), To: second(1)}, ""},
		{katibdb.LogQuery{Metric: "loss", To: time.Time{}.Add(micro)}, "unavailable"},
		{katibdb.LogQuery{Metric: "loss", From: time.Time{}.Add(micro), To: second(0).Add(micro)}, "l0"},
		{katibdb.LogQuery{Metric: "loss", From: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC)}, "unavailable l0 l1 l2 l3 l4"},
		{katibdb.LogQuery{Metric: "loss", From: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("west", -3600))}, ""},
	} {
		if c.query.Trial == "" {
			c.query.Trial = "trial"
		}
		var got []string
		err := db.Log(t.Context(), c.query, func(row katibdb.Row) error {
			got = append(got, row.Value)
			return nil
		})
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, %v, want %s", c.query, got, err, c.want)
		}
	}
}

// katibsRows were written by Katib itself, which writes no fractions of a second that are zero.
func katibsRows(t *testing.T, url string) {
	db := migrated(t, url)
	exec(t, db, "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('trial', '0001-01-01 00:00:00', 'loss', 'unavailable')")
	exec(t, db, "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('trial', '2026-11-24 12:00:00.5', 'loss', '')")
	rows, err := db.Rows(t.Context(), "trial")
	want := []katibdb.Row{{Metric: "loss", Value: "unavailable"}, {Time: start.Add(time.Second / 2), Metric: "loss"}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%+v, %v, want %+v", rows, err, want)
	}
}

// logEnds early, for an error or a context that ends, and leaves a usable database.
func logEnds(t *testing.T, url string) {
	const count = 1_000
	db := migrated(t, url)
	persist(t, db, strings.Repeat("P", count), wide(count)...)
	full := errors.New("that is enough")
	for range 30 { // more often than there are connections
		seen := 0
		err := db.Log(t.Context(), katibdb.LogQuery{Trial: "trial"}, func(katibdb.Row) error {
			if seen++; seen == 3 {
				return full
			}
			return nil
		})
		if err != full || seen != 3 {
			t.Fatalf("%v after %d rows", err, seen)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err := db.Log(ctx, katibdb.LogQuery{Trial: "trial"}, func(katibdb.Row) error {
		if seen++; seen == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen == 20*count {
		t.Fatalf("cancelled: %v after %d rows", err, seen)
	}
	wantValues(t, db, "trial", series(20*count)...)
}
