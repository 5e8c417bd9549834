package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const (
	trials   = 8
	metric   = "accuracy"
	timeText = "2006-01-02 15:04:05.000000"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func trial(i int) string { return "trial-" + strconv.Itoa(i%trials) }
func at(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }
func value(i int) string { return "0." + strconv.Itoa(100_000+i) }

// BenchmarkDrain lets a consumer, a process of its own, drain a backlog of 1,000,000 points, and sets that beside the
// best bare loop of inserts of the same rows over the same server. One part alone: -bench 'Drain/mariadb/20_points'.
func BenchmarkDrain(b *testing.B) {
	binary := build(b)
	for _, database := range testserver.Databases(b) {
		if database.Name == "sqlite" {
			continue
		}
		b.Run(database.Name, func(b *testing.B) {
			b.Logf("%s", durability(b, database.Name, database.Fresh(b)))
			best := bestLoop(b, database)
			for _, perMessage := range []int{1, 20, 100} {
				b.Run(fmt.Sprintf("%d points", perMessage), func(b *testing.B) {
					server := testserver.NATS(b)
					backlog(b, server.URL(), perMessage)
					for _, workers := range []int{1, 4} {
						b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
							rate, resident := drain(b, binary, server.URL(), database.Fresh(b), workers)
							report(b, rate, best)
							b.ReportMetric(float64(resident>>10), "MiB")
						})
					}
				})
			}
		})
	}
}

// report gives a rate, and its share of the best bare loop where that was run.
func report(b *testing.B, rate, best float64) {
	b.ReportMetric(0, "ns/op") // says nothing here
	b.ReportMetric(rate, "rows/s")
	if best > 0 {
		b.ReportMetric(100*rate/best, "%_of_best")
	}
}

func build(b testing.TB) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "katib-stream")
	command := exec.Command("go", "build", "-o", binary, "github.com/katib-stream/katib-stream/cmd/katib-stream")
	if out, err := command.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// backlog stores the points as 8 producers that report side by side would, perMessage of them in a message.
func backlog(b *testing.B, url string, perMessage int) {
	b.Helper()
	js := connect(b, url)
	if _, err := consumer.EnsureStreams(b.Context(), js, consumer.StreamConfig{MaxBytes: 1 << 30, DeadLetterMaxBytes: 64 << 20}); err != nil {
		b.Fatal(err)
	}
	numbers := [trials]uint64{}
	for first := 0; first < points; first += trials * perMessage {
		for p := range trials {
			producer := fmt.Sprintf("%032x", p)
			msg := nats.NewMsg(schema.Subject{Namespace: "default", Trial: trial(p), Producer: producer}.String())
			for i := first + p; i < min(first+trials*perMessage, points); i += trials {
				msg.Data = schema.AppendEvent(msg.Data, schema.Event{Time: at(i), Step: new(int64(i)), Metrics: []schema.Metric{{Name: metric, Value: value(i)}}})
				msg.Data = append(msg.Data, '\n')
			}
			if len(msg.Data) == 0 {
				continue
			}
			numbers[p]++
			msg.Header.Set(schema.HeaderMsgID, schema.MessageID(producer, numbers[p]))
			if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
}

func connect(b testing.TB, url string) jetstream.JetStream {
	b.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4_000))
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// drain gives the rows per second from the consumer's start to the last acknowledgement, and its largest resident size
// in KiB.
func drain(b *testing.B, binary, server, url string, workers int) (rate float64, resident int) {
	b.Helper()
	js := connect(b, server)
	_ = js.DeleteConsumer(b.Context(), schema.Stream, schema.Consumer)
	db := open(b, url)
	defer db.Close()
	command := exec.Command(binary, "consumer", "--server", server, "--db", url, "--workers", strconv.Itoa(workers), "--listen", "", "--log-level", "warn")
	command.Stderr = os.Stderr
	begin := time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	waitForFloor(b, js)
	took := time.Since(begin)
	resident = highWater(b, command.Process.Pid)
	_ = command.Process.Signal(os.Interrupt)
	if err := command.Wait(); err != nil {
		b.Fatalf("consumer: %v", err)
	}
	var count int
	if err := db.SQL().QueryRowContext(b.Context(), "SELECT COUNT(*) FROM observation_logs").Scan(&count); err != nil || count != points {
		b.Fatalf("%d rows, %v; want %d", count, err, points)
	}
	return points / took.Seconds(), resident
}

func waitForFloor(b testing.TB, js jetstream.JetStream) {
	b.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Minute)
	for {
		cons, err := js.Consumer(b.Context(), schema.Stream, schema.Consumer)
		if err == nil && cons.CachedInfo().NumPending == 0 && cons.CachedInfo().NumAckPending == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			b.Fatal("the backlog was not drained in 10 minutes")
		}
	}
}

func highWater(b testing.TB, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatal("no VmHWM")
	return 0
}

// durability prints what a commit is worth on this server; it is the same for both sides.
func durability(b *testing.B, database, url string) string {
	b.Helper()
	queries := []string{"SELECT @@version", "SELECT @@innodb_flush_log_at_trx_commit", "SELECT @@sync_binlog", "SELECT @@log_bin"}
	if database == "postgres" {
		queries = []string{"SHOW server_version", "SHOW synchronous_commit", "SHOW fsync"}
	}
	db := open(b, url)
	defer db.Close()
	said := map[string]string{}
	for _, query := range queries {
		var value string
		if err := db.SQL().QueryRowContext(context.Background(), query).Scan(&value); err != nil {
			b.Fatal(err)
		}
		said[strings.Fields(query)[1]] = value
	}
	text, _ := json.Marshal(said)
	return string(text)
}
