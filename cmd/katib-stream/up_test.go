package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// upArgs are those of an `up` on free ports.
func upArgs(data string, args ...string) []string {
	return append([]string{"up", "--data", data, "--port", "0", "--listen", "127.0.0.1:0", "--listen-address", "127.0.0.1:0", "-o", "json"}, args...)
}

// places waits until an `up` that prints JSON says where everything is.
func (r *running) places() (p places) {
	r.t.Helper()
	defer func() {
		if r.t.Failed() {
			r.t.Logf("it wrote\n%s%s", &r.stdout, &r.stderr)
		}
	}()
	eventually(r.t, "it is up", func() bool { return json.Unmarshal([]byte(r.stdout.String()), &p) == nil })
	return p
}

func TestUp(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "not", "there yet")
	// A shell in which the other commands are sent elsewhere does not send up there.
	env := map[string]string{"KATIB_STREAM_SERVERS": "nats://127.0.0.1:1", "NATS_URL": "nats://127.0.0.1:1", "KATIB_STREAM_PASSWORD": secret}
	monitor := freeAddress(t)
	up := start(t, env, upArgs(data, "--monitor-port", monitor[strings.LastIndex(monitor, ":")+1:])...)
	where := up.places()
	if where.Data != data || where.Database != "sqlite:"+filepath.Join(data, "katib.db") || where.Monitoring != "http://"+monitor {
		t.Errorf("it says %+v", where)
	}
	for _, url := range []string{where.HTTP + "/healthz", where.HTTP + "/readyz", where.HTTP + "/metrics", where.Monitoring + "/healthz"} {
		if status, body := get(t, url); status != http.StatusOK {
			t.Errorf("%s answers %d %s", url, status, body)
		}
	}
	for i := range 3 {
		if got := katibStream(t, "publish", "t", fmt.Sprintf("loss=0.%d00", i), "--server", where.NATS); got.status != statusOK {
			t.Fatal(got)
		}
	}
	persisted(t, where.Database, "t", "loss 0.000", "loss 0.100", "loss 0.200")
	up.says(`msg="connected to NATS" server=` + where.NATS)
	begin := time.Now()
	if status := up.finish(); status != statusOK || time.Since(begin) > 15*time.Second {
		t.Errorf("status %d after %v", status, time.Since(begin))
	}
	if log := up.stderr.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") || strings.Contains(log, secret) {
		t.Errorf("it logs\n%s", log)
	}

	again := start(t, nil, upArgs(data)...)
	if got := katibStream(t, "trials", "--server", again.places().NATS); !strings.Contains(got.stdout, "default    t      3 ") {
		t.Errorf("after a restart the trials are %v", got)
	}
}

func TestUpText(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	up := start(t, nil, "up", "--data", data, "--port", "0", "--listen", "127.0.0.1:0", "--listen-address", "127.0.0.1:0")
	eventually(t, "it is up", func() bool { return strings.Contains(up.stdout.String(), "Try ") })
	lines := strings.Split(up.stdout.String(), "\n")
	want := []string{
		"katib-stream is up; Ctrl-C stops it.",
		"NATS      nats://127.0.0.1:",
		"Database  sqlite:" + filepath.Join(data, "katib.db"),
		"Katib     127.0.0.1:",
		"Metrics   http://127.0.0.1:",
		"Health    http://127.0.0.1:",
		"Data      " + data,
		"Try       katib-stream publish my-trial loss=0.5 --server nats://127.0.0.1:",
		"",
	}
	if len(lines) != len(want) {
		t.Fatalf("it prints\n%s", &up.stdout)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
	_, command, _ := strings.Cut(lines[7], "katib-stream ")
	if got := katibStream(t, strings.Fields(command)...); got.status != statusOK {
		t.Errorf("what it says to try: %v", got)
	}
}

// TestUpWithOutsideParts lets servers of one's own take the place of the embedded ones.
func TestUpWithOutsideParts(t *testing.T) {
	t.Parallel()
	databases := testserver.Databases(t)
	urlOf := withUsers(t, nil)
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		up := start(t, nil, upArgs(data, "--server", urlOf("all"))...)
		where := up.places()
		if !strings.HasPrefix(where.NATS, "nats://***@") || where.Monitoring != "" {
			t.Errorf("it says %+v", where)
		}
		report(t, urlOf("all"), "default", "t")
		persisted(t, where.Database, "t", "loss 1")
		if _, err := os.Stat(filepath.Join(data, "nats")); err == nil {
			t.Error("there is an embedded NATS as well")
		}
	})
	for _, database := range databases {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			data, db := t.TempDir(), database.Fresh(t)
			env, args := map[string]string{"KATIB_STREAM_DB": db}, upArgs(data)
			if database.Name == "postgres" {
				env = katibEnv(t, db)
			}
			up := start(t, env, args...)
			where := up.places()
			report(t, where.NATS, "default", "t")
			persisted(t, db, "t", "loss 1")
			if _, err := os.Stat(filepath.Join(data, "katib.db")); err == nil || strings.Contains(where.Database, ":katib@") {
				t.Errorf("there is an embedded database as well (%v), or it tells the password: %+v", err, where)
			}
		})
	}
}

func TestUpSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	up := start(t, nil, upArgs(used)...)
	up.places()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	file := filepath.Join(t.TempDir(), "file")
	inTheWay := t.TempDir()
	for path, make := range map[string]func(string) error{
		file:                            func(path string) error { return os.WriteFile(path, nil, 0o600) },
		filepath.Join(inTheWay, "lock"): func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		if err := make(path); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		data   string
		args   []string
		status int
		says   []string
	}{
		"another instance runs":        {used, nil, statusError, []string{fmt.Sprintf("another katib-stream (process %d) uses it; stop that one, or give another folder with --data", os.Getpid())}},
		"NATS's port is taken":         {t.TempDir(), []string{"--port", port}, statusError, []string{":" + port, "address already in use; give another with --port or --monitor-port, or use that NATS server with --server"}},
		"the monitoring port is taken": {t.TempDir(), []string{"--monitor-port", port}, statusError, []string{":" + port, "give another with --port or --monitor-port"}},
		"HTTP's port is taken":         {t.TempDir(), []string{"--listen", taken.Addr().String()}, statusError, []string{"address already in use; give another address with --listen"}},
		"the folder is a file":         {file, nil, statusError, []string{"make the data folder", "give another with --data"}},
		"the folder cannot be made":    {filepath.Join(file, "data"), nil, statusError, []string{"make the data folder", "give another with --data"}},
		"the folder cannot be locked":  {inTheWay, nil, statusError, []string{"lock the data folder", "give another with --data"}},
		"no such port":                 {t.TempDir(), []string{"--port", "65536"}, statusUsage, []string{"--port is 65536, not 0 to 65535"}},
		"no such monitoring port":      {t.TempDir(), []string{"--monitor-port", "-1"}, statusUsage, []string{"--monitor-port is -1, not 0 to 65535"}},
		"a password for nobody":        {t.TempDir(), []string{"--password", secret}, statusUsage, []string{"--password is for a NATS server of your own, which --server or --context names"}},
		"no workers":                   {t.TempDir(), []string{"--workers", "0"}, statusUsage, []string{"--workers is 0; it must be above 0"}},
		"a broken database":            {t.TempDir(), []string{"--db", "oracle://me:" + secret + "@h/katib"}, statusUsage, []string{`--db: unknown database "oracle"`}},
		"a broken server":              {t.TempDir(), []string{"--server", "http://me:" + secret + "@h"}, statusUsage, []string{"server http://***@h is no NATS URL"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStream(t, upArgs(tt.data, tt.args...)...), tt.status, append(tt.says, "katib-stream: up: ")...)
		})
	}
}
