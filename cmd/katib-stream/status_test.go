package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// printedStatus is a part of what `status -o json` prints.
type printedStatus struct {
	Persisted bool
	Pending   int
	DeletedAt *time.Time `json:"deleted_at"`
	Producers []struct {
		Producer  string
		Stored    int
		Watermark *int
	}
}

func statusOf(t testing.TB, trial, url, db string) printedStatus {
	t.Helper()
	got := katibStream(t, "status", trial, "--server", url, "--db", db, "-o", "json")
	var s printedStatus
	if err := json.Unmarshal([]byte(got.stdout), &s); err != nil || got.status != statusOK || got.stderr != "" {
		t.Fatalf("%v: %v", err, got)
	}
	return s
}

// tableOf is what `status` prints, with single blanks and without ids that are made.
func tableOf(t testing.TB, got result) string {
	t.Helper()
	if got.status != statusOK {
		t.Fatal(got)
	}
	var lines []string
	for line := range strings.Lines(got.stdout) {
		fields := strings.Fields(line)
		for i, field := range fields {
			if len(field) == 32 {
				fields[i] = "id"
			}
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	return strings.Join(lines, "\n")
}

// putNumbered stores a producer's message.
func putNumbered(t testing.TB, js jetstream.JetStream, trial string, number int, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), "katib.metrics.a."+trial+".me", []byte(body), jetstream.WithMsgID(fmt.Sprintf("me:%d", number))); err != nil {
		t.Fatal(err)
	}
}

const good = `{"metrics":{"a":1}}`

// TestStatus follows a trial on its way.
func TestStatus(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	db := "sqlite:" + filepath.Join(t.TempDir(), "katib.db")
	args := []string{"status", "t", "--server", ns.URL(), "--db", db}
	if got := katibStream(t, "migrate", "--db", db); got.status != statusOK {
		t.Fatal(got)
	}
	report(t, ns.URL(), "a", "t")
	putNumbered(t, js, "t", 1, good)
	putNumbered(t, js, "t", 5, good+"\n"+good) // 2 to 4 never come
	put(t, js, "katib.metrics.a.t.hand", good)

	want := `NAMESPACE PRODUCER STORED PERSISTED PENDING WATERMARK MISSING DEAD EVENTS STATE
a id 1 0 1 0 0 0 0 ended
a hand 1 0 1 0 0 0 0 open
a me 2 0 2 0 3 0 0 open
4 messages are on the way to the database; 3 messages are missing, for they never reached the stream`
	if got := tableOf(t, katibStream(t, args...)); got != want {
		t.Errorf("with everything on its way: got\n%s\nwant\n%s", got, want)
	}

	consumer := consume(t, nil, "--server", ns.URL(), "--db", db)
	eventually(t, "it is persisted", func() bool { return statusOf(t, "t", ns.URL(), db).Persisted })
	want = `NAMESPACE PRODUCER STORED PERSISTED PENDING WATERMARK MISSING DEAD EVENTS STATE
a id 1 1 0 1 0 0 1 ended
a hand 1 1 0 0 0 0 0 open
a me 2 2 0 1 3 0 3 open
everything that the stream holds of trial t is persisted; 3 messages are missing, for they never reached the stream`
	if got := tableOf(t, katibStream(t, args...)); got != want {
		t.Errorf("with everything persisted: got\n%s\nwant\n%s", got, want)
	}

	putNumbered(t, js, "t", 6, "no event")
	eventually(t, "it is a dead letter", func() bool { return statusOf(t, "t", ns.URL(), db).Persisted })
	if status := consumer.finish(); status != statusOK {
		t.Errorf("the consumer ends with status %d", status)
	}
	putNumbered(t, js, "t", 3, good)
	putNumbered(t, js, "t", 8, good)
	want = `NAMESPACE PRODUCER STORED PERSISTED PENDING WATERMARK MISSING DEAD EVENTS STATE
a id 1 1 0 1 0 0 1 ended
a hand 1 1 0 0 0 0 0 open
a me 5 3 2 1 3 1 3 open
2 messages are on the way to the database; 3 messages are missing, for they never reached the stream; 1 message became a dead letter`
	if got := tableOf(t, katibStream(t, args...)); got != want { // 2, 4 and 7 are missing
		t.Errorf("with some on their way: got\n%s\nwant\n%s", got, want)
	}

	deleteTrial(t, js, db, "t")
	want = "\na me 5 3 0 1 0 1 3 deleted\n"
	if got := tableOf(t, katibStream(t, args...)); !strings.Contains(got, want) || statusOf(t, "t", ns.URL(), db).DeletedAt == nil {
		t.Errorf("deleted: got\n%s\nwant %s", got, want)
	}
	purge(t, js)
	if got := tableOf(t, katibStream(t, args...)); !strings.Contains(got, "\ntrial t was deleted at 20") || !strings.HasSuffix(got, ", with everything that was reported of it") {
		t.Errorf("deleted and purged: got\n%s", got)
	}
}

func deleteTrial(t testing.TB, js jetstream.JetStream, url, trial string) {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stream, err := js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	err = db.DeleteTrial(t.Context(), trial, func(context.Context) (string, uint64, time.Time, error) {
		return info.Config.Metadata["katib-stream-epoch"], info.State.LastSeq, time.Now(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func purge(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStatusWithoutADatabase(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	report(t, ns.URL(), "a", "t")
	putNumbered(t, js, "t", 1, good)
	got := katibStream(t, "status", "t", "--server", ns.URL())
	want := "NAMESPACE PRODUCER STORED STATE\na id 1 ended\na me 1 open\n2 messages are stored of trial t"
	if table := tableOf(t, got); table != want || !strings.Contains(got.stderr, "no database is given") {
		t.Errorf("got\n%s\n%s", table, got.stderr)
	}
	asJSON := katibStream(t, "status", "t", "--server", ns.URL(), "-o", "json")
	var printed printedStatus
	if err := json.Unmarshal([]byte(asJSON.stdout), &printed); err != nil {
		t.Fatalf("%v: %v", err, asJSON)
	}
	if first := printed.Producers[0]; first.Stored != 1 || first.Watermark != nil || !strings.Contains(asJSON.stdout, `"persisted": null`) {
		t.Errorf("printed %s", asJSON.stdout)
	}
	failsWith(t, katibStream(t, "status", "none", "--server", ns.URL()), statusError, "the stream holds nothing of trial none, and no database is given")
}

func TestStatusOfAnUnknownTrial(t *testing.T) {
	t.Parallel()
	ns, _ := withStreams(t)
	db := "sqlite:" + filepath.Join(t.TempDir(), "katib.db")
	if got := katibStream(t, "migrate", "--db", db); got.status != statusOK {
		t.Fatal(got)
	}
	failsWith(t, katibStream(t, "status", "t", "--server", ns.URL(), "--db", db), statusError, "neither the stream nor the database knows trial t")
}

// TestStatusOfALargeTrial asks the database more than once.
func TestStatusOfALargeTrial(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	db := "sqlite:" + filepath.Join(t.TempDir(), "katib.db")
	if got := katibStream(t, "migrate", "--db", db); got.status != statusOK {
		t.Fatal(got)
	}
	const messages = 2*refsAtOnce + 17
	putMany(t, js, "t", messages)
	put(t, js, "katib.metrics.A.t.me", good) // no namespace's name
	got := katibStream(t, "status", "t", "--server", ns.URL(), "--db", db, "--timeout", patience.String())
	want := fmt.Sprintf("default me %d 0 %[1]d 0 0 0 0 open\n%d messages are on the way to the database; 1 message is on a subject that is no producer's", messages, messages+1)
	if table := tableOf(t, got); !strings.HasSuffix(table, want) {
		t.Errorf("got\n%s\nwant\n%s", table, want)
	}
}

func TestStatusSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	put(t, js, "katib.metrics.a.t.me", good)
	file := filepath.Join(t.TempDir(), "katib.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "sqlite:" + file
	tests := map[string]struct{ server, db, says string }{
		"nobody listens":    {"me:" + secret + "@" + freeAddress(t), empty, "cannot reach NATS at nats://***@127.0.0.1:"},
		"no stream":         {testserver.NATS(t).URL(), empty, "has no stream KATIB_METRICS"},
		"no tables":         {ns.URL(), empty, "check --db"},
		"no such file":      {ns.URL(), empty + "x", "no such file or directory; check --db"},
		"no database there": {ns.URL(), "postgres://me:" + secret + "@" + freeAddress(t) + "/katib", "check --db"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStream(t, "status", "t", "--server", tt.server, "--db", tt.db, "--timeout", "5s"), statusError, "katib-stream: status: ", tt.says)
		})
	}
}
