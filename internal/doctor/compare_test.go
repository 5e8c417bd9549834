package doctor

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestCompare has a consumer write to one database, and looks at that and at another.
func TestCompare(t *testing.T) {
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	made(t, js)
	databases := testserver.Databases(t)
	right, wrong := databases[0].Fresh(t), databases[0].Fresh(t)
	if databases[0].Name == "sqlite" {
		right, wrong = "sqlite:"+t.TempDir()+"/right.db", "sqlite:"+t.TempDir()+"/wrong.db"
	}
	for _, database := range []string{right, wrong} {
		if err := open(t, database).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, run(t, withDatabase(t, configFor(url), right)), "same database", OK, "nothing is acknowledged yet")
	c, err := consumer.New(js, open(t, right), consumer.Config{Streams: small})
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return c.Run(ctx) })
	for _, subject := range []string{"katib.metrics.a.t.me", "katib.metrics.b.t.me", "katib.metrics.a.u.me"} {
		if _, err := js.Publish(t.Context(), subject, []byte(`{"metrics":{"loss":1}}`)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is acknowledged", func() bool { return acknowledged(t, js) })
	}
	report := run(t, withDatabase(t, configFor(url), right))
	wants(t, report, "same database", OK, "the last 3 messages that consumers acknowledged are in this database")
	wants(t, report, "namespaces", Warn, `trial t belongs to namespace "a", and b reported it, too`)
	wants(t, report, "running", Warn, "a consumer fetches, but none answers") // there is no flush service here
	report = run(t, withDatabase(t, configFor(url), wrong))
	wants(t, report, "same database", Fail, "of the last 3 messages that consumers acknowledged, 3 are not in this database")
	if strings.Contains(lines(report), "skip") {
		t.Errorf("something is skipped\n%s", lines(report))
	}
}

func acknowledged(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	durable, err := js.Consumer(t.Context(), schema.Stream, schema.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	info := durable.CachedInfo()
	return info.NumPending == 0 && info.NumAckPending == 0
}
