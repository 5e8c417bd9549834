package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestCluster(t *testing.T) {
	cluster := testserver.Cluster(t)
	cfg := configFor(cluster.NodeURL(0))
	cfg.Fix = true // it makes the streams, with one copy
	report := run(t, cfg)
	wants(t, report, schema.Stream, Warn, "one copy in a cluster")
	wants(t, report, schema.DeadLetterStream, Warn, "one copy in a cluster")

	js := connect(t, cluster.NodeURL(0))
	for _, name := range []string{schema.Stream, schema.DeadLetterStream} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		sc := stream.CachedInfo().Config
		sc.Replicas = 3
		if _, err := js.UpdateStream(t.Context(), sc); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Fix = false
	clean := func() bool {
		report = run(t, cfg)
		return !strings.Contains(lines(report), "one copy") && !strings.Contains(lines(report), "not current") && report.Count(Fail) == 0
	}
	eventually(t, "three copies are current", clean)
	wants(t, report, schema.Stream, OK, "R3, leader node-")

	cluster.StopNode(2)
	eventually(t, "a replica is away", func() bool {
		return strings.Contains(lines(run(t, cfg)), "warn "+schema.Stream+": replicas are not current: node-2")
	})
	cluster.StopNode(1)
	cfg.Timeout = 2 * time.Second
	eventually(t, "most servers are away", func() bool { return run(t, cfg).Count(Fail) > 0 })
	report = run(t, cfg) // sooner or later nobody answers any more
	if text := lines(report); !strings.Contains(text, "takes nothing") && !strings.Contains(text, "fail account: JetStream does not say") {
		t.Errorf("most servers are away\n%s", text)
	}
}
