package integration

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// settled waits until the durable consumer has delivered everything and got every acknowledgement. It hears of a stored
// message a little after the publisher does, so what it has delivered is compared with what the stream holds.
func settled(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	eventually(t, "every message is acknowledged", func() bool {
		stream, err := js.Stream(t.Context(), schema.Stream)
		if err != nil {
			return false
		}
		info, err := durable(t, js)
		return err == nil && info.Delivered.Stream >= stream.CachedInfo().State.LastSeq && info.NumPending == 0 && info.NumAckPending == 0
	})
}

func durable(t testing.TB, js jetstream.JetStream) (*jetstream.ConsumerInfo, error) {
	t.Helper()
	cons, err := js.Consumer(t.Context(), schema.Stream, schema.Consumer)
	if err != nil {
		return nil, err
	}
	return cons.CachedInfo(), nil
}

func stored(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		return 0
	}
	return stream.CachedInfo().State.LastSeq
}

// checkTrial demands that the trial's rows, in the order in which Katib reads them, are the numbers from 0 to events-1.
func checkTrial(t *testing.T, db *sql.DB, trial string, events int) {
	t.Helper()
	checkNumbers(t, db, trial, 0, events)
}

// checkNumbers does so for the numbers from..to-1.
func checkNumbers(t testing.TB, db *sql.DB, trial string, from, to int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), fmt.Sprintf("SELECT value FROM observation_logs WHERE trial_name = '%s' AND metric_name = 'n' ORDER BY time, id", trial))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		got = append(got, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := make([]string, to-from)
	for i := range want {
		want[i] = fmt.Sprint(from + i)
	}
	if !slices.Equal(got, want) {
		distinct := map[string]bool{}
		for _, value := range got {
			distinct[value] = true
		}
		t.Errorf("%s: %d rows, %d of them distinct; want %d, each once and in order: %d lost, %d doubled",
			trial, len(got), len(distinct), to-from, to-from-len(distinct), len(got)-len(distinct))
	}
}

func checkCount(t testing.TB, db *sql.DB, want int, query string) {
	t.Helper()
	var got int
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Errorf("%s: %d, %v; want %d", query, got, err, want)
	}
}

func state(t testing.TB, js jetstream.JetStream) jetstream.StreamState {
	t.Helper()
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State
}
