package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/integration/faults"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestQuarantine has messages that kill each consumer which decodes or persists them, among good ones. Consumers are
// started again, as Kubernetes would. Each killer has to end as a dead letter, nothing else, and everything else in the
// database.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "katib-stream")
	build := exec.Command("go", "build", "-trimpath", "-overlay", testserver.Overlay(t, "..", faults.BadRelease), "-o", program, "./cmd/katib-stream")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	overDatabases(t, func(t *testing.T, url string) {
		const trials, events, deadly = 4, 2_000, 7 // deliveries that kill: two unmarked, three in company, two alone
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		ensureStreams(t, js)
		for _, metric := range []string{faults.KillsDecoders, faults.KillsWriters} {
			for number := 1; number <= 3; number++ {
				name := map[bool]string{true: metric, false: "n"}[number == 2]
				send(t, js, "katib.metrics.default."+metric+"."+metric, fmt.Sprintf(`{"metrics":{%q:%d}}`, name, number), nats.Header{schema.HeaderMsgID: {fmt.Sprint(metric, ":", number)}})
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		var deaths atomic.Int32
		for range 2 {
			group.Go(func() { revive(ctx, t, program, server.URL(), url, &deaths) })
		}
		for i := range trials {
			group.Go(func() { reportTrial(t, server.URL(), fmt.Sprintf("trial-%d", i), events) })
		}
		eventually(t, "both killers are dead letters", func() bool { return len(deadLetters(t, js)) == 2 })
		settled(t, js)
		before := deaths.Load()
		t.Logf("consumers died %d times", before)
		if before < deadly || before > 2*deadly {
			t.Errorf("consumers died %d times; want %d to %d", before, deadly, 2*deadly)
		}
		for _, letter := range deadLetters(t, js) {
			if stage := letter.Header.Get(schema.HeaderStage); stage != schema.StageQuarantine {
				t.Errorf("dead letter of %s is of the stage %s: %s", letter.Header.Get(schema.HeaderSubject), stage, letter.Header.Get(schema.HeaderReason))
			}
		}
		db := open(t, url)
		for _, metric := range []string{faults.KillsDecoders, faults.KillsWriters} {
			checkCount(t, db.SQL(), 2, "SELECT COUNT(*) FROM observation_logs WHERE trial_name = '"+metric+"'")
			checkCount(t, db.SQL(), 1, "SELECT COUNT(*) FROM stream_producers WHERE watermark = 3 AND dead = 1 AND trial_name = '"+metric+"'")
		}
		for i := range trials {
			checkTrial(t, db.SQL(), fmt.Sprintf("trial-%d", i), events)
		}
		checkCount(t, db.SQL(), 0, "SELECT COUNT(*) FROM stream_attempts")
		if after := deaths.Load(); after != before {
			t.Errorf("%d more consumers died after the killers were dead letters", after-before)
		}
	})
}

// revive runs a consumer until ctx ends, and counts how often it died.
func revive(ctx context.Context, t *testing.T, program, server, db string, deaths *atomic.Int32) {
	for ctx.Err() == nil {
		p, err := testserver.StartProcess([]string{program, "consumer", "--server", server, "--db", db, "--ack-wait", "2s", "--listen", ""}, os.Environ(), t.TempDir())
		if err != nil {
			t.Error(err)
			return
		}
		select {
		case <-p.Ended():
			deaths.Add(1)
			wait(ctx, 100*time.Millisecond)
		case <-ctx.Done():
			if err := p.Terminate(); err != nil {
				t.Error(err)
			}
			<-p.Ended()
		}
	}
}
