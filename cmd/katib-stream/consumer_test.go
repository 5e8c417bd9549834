package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// consume runs `consumer` until the test ends or it is stopped.
func consume(t testing.TB, env map[string]string, args ...string) *running {
	t.Helper()
	return start(t, env, append([]string{"consumer", "--listen", "127.0.0.1:0", "--log-format", "json", "--stop-timeout", "5s"}, args...)...)
}

// http is where a consumer that logs JSON answers HTTP.
func (r *running) http() (url string) {
	r.t.Helper()
	eventually(r.t, "it listens", func() bool {
		for line := range strings.Lines(r.stderr.String()) {
			var record struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &record) == nil && strings.HasPrefix(record.Msg, "listening for /metrics") {
				url = "http://" + record.Address
			}
		}
		return url != ""
	})
	return url
}

// get asks over HTTP; the status is 0 when nobody answers.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// answers waits until a path answers with a status and a text.
func (r *running) answers(path string, status int, text string) {
	r.t.Helper()
	url := r.http() + path
	last := ""
	defer func() {
		if r.t.Failed() {
			r.t.Logf("the last answer was %s", last)
		}
	}()
	eventually(r.t, fmt.Sprintf("%s answers %d %q", path, status, text), func() bool {
		got, body := get(r.t, url)
		last = fmt.Sprintf("%d %s", got, body)
		return got == status && strings.Contains(body, text)
	})
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			ns := testserver.NATS(t)
			db := database.Fresh(t)
			args, env := []string{"--server", ns.URL(), "--db", db}, map[string]string(nil)
			if database.Name != "sqlite" {
				args, env = args[:2], katibEnv(t, db) // Katib's own variables do as well
			}
			c := consume(t, env, args...)
			c.answers("/readyz", http.StatusOK, "ok")
			if got := katibStream(t, "publish", "t", "loss=0.1250", "accuracy=0.5", "--server", ns.URL()); got.status != statusOK {
				t.Fatal(got)
			}
			persisted(t, db, "t", "loss 0.1250", "accuracy 0.5")
			put(t, connect(t, ns.URL()), "katib.metrics.default.t.me", "nope")
			c.answers("/metrics", http.StatusOK, `katib_stream_dead_letters_total{stage="decode"} 1`)
			begin := time.Now()
			if status := c.finish(); status != statusOK || time.Since(begin) > 10*time.Second {
				t.Errorf("status %d after %v", status, time.Since(begin))
			}
			if log := c.stderr.String(); c.stdout.String() != "" || strings.Contains(log, ":katib@") || strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("stdout %q, log\n%s", &c.stdout, log)
			}
		})
	}
}

func TestConsumerHTTP(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	c := consume(t, nil, "--server", ns.URL(), "--db", "sqlite:"+t.TempDir()+"/katib.db")
	c.answers("/readyz", http.StatusOK, "ok")
	_, metrics := get(t, c.http()+"/metrics")
	for _, name := range []string{
		`messages_total{outcome="persisted"}`, `messages_total{outcome="duplicate"}`, `messages_total{outcome="deleted"}`, `messages_total{outcome="dead"}`,
		"rows_total", "redeliveries_total", "commit_retries_total", "batch_rows_count", "commit_seconds_bucket", "pending_messages",
		"unacknowledged_messages", "trimmed_messages_total",
	} {
		if !strings.Contains(metrics, "\nkatib_stream_"+name) {
			t.Errorf("/metrics has no katib_stream_%s", name)
		}
	}
	for _, name := range []string{"\ngo_goroutines ", "\nprocess_start_time_seconds "} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics has no%s", name)
		}
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/": http.StatusNotFound, "/nonsense": http.StatusNotFound} {
		if status, body := get(t, c.http()+path); status != want {
			t.Errorf("%s answers %d %s, want %d", path, status, body, want)
		}
	}
}

func TestConsumerWithoutHTTP(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	db := "sqlite:" + t.TempDir() + "/katib.db"
	c := start(t, nil, "consumer", "--listen", "", "--server", ns.URL(), "--db", db)
	c.says("msg=consuming")
	report(t, ns.URL(), "default", "t")
	persisted(t, db, "t", "loss 1")
	if status := c.finish(); status != statusOK || strings.Contains(c.stderr.String(), "listening") {
		t.Errorf("status %d, log\n%s", status, &c.stderr)
	}
}

func TestConsumerUsageErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no workers":         {[]string{"--workers", "0"}, statusUsage, "consumer: --workers is 0; it must be above 0"},
		"negative workers":   {[]string{"--workers", "-1"}, statusUsage, "workers is -1, not 1 to 256"},
		"many workers":       {[]string{"--workers", "257"}, statusUsage, "workers is 257, not 1 to 256"},
		"no wait":            {[]string{"--batch-wait", "0s"}, statusUsage, "--batch-wait is 0s; it must be above 0"},
		"no bytes":           {[]string{"--batch-bytes", "0"}, statusUsage, "--batch-bytes is 0; it must be above 0"},
		"a short history":    {[]string{"--history", "1s"}, statusUsage, "history (1s) at least 1m"},
		"a small stream":     {[]string{"--stream-max-bytes", "1MiB"}, statusUsage, "stream sizes"},
		"many replicas":      {[]string{"--replicas", "7"}, statusUsage, "replicas is 7, not 1 to 5"},
		"a broken server":    {[]string{"--server", "nats://me:" + secret + "@"}, statusUsage, "server nats://***@ is no NATS URL"},
		"no credentials":     {[]string{"--creds", "nowhere.creds"}, statusUsage, "nowhere.creds"},
		"a port that is no":  {[]string{"--listen", "127.0.0.1:http:80"}, statusError, "give another address with --listen"},
		"a port that is not": {[]string{"--listen", taken.Addr().String()}, statusError, "address already in use; give another address with --listen"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"consumer", "--server", "nats://127.0.0.1:1", "--db", "sqlite:" + t.TempDir() + "/katib.db", "--listen", "127.0.0.1:0"}, tt.args...)
			failsWith(t, katibStream(t, args...), tt.status, tt.says)
		})
	}
}
