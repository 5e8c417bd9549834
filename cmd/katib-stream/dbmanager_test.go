package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// manage runs `db-manager` until the test ends or it is stopped.
func manage(t testing.TB, env map[string]string, args ...string) *running {
	t.Helper()
	always := []string{"db-manager", "--listen", "127.0.0.1:0", "--listen-address", "127.0.0.1:0", "--log-format", "json"}
	return start(t, env, append(always, args...)...)
}

// grpc connects to a db-manager that logs JSON.
func (r *running) grpc() *grpc.ClientConn {
	r.t.Helper()
	address := ""
	eventually(r.t, "it answers Katib", func() bool {
		for line := range strings.Lines(r.stderr.String()) {
			var record struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "answering Katib" {
				address = record.Address
			}
		}
		return address != ""
	})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestDBManager(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			ns := testserver.NATS(t)
			db := database.Fresh(t)
			args, env := []string{"--server", ns.URL(), "--db", db}, map[string]string(nil)
			if database.Name != "sqlite" {
				args, env = args[:2], katibEnv(t, db)
			}
			consume(t, nil, "--server", ns.URL(), "--db", db)
			m := manage(t, env, args...)
			client := katibapi.NewDBManagerClient(m.grpc())
			report := &katibapi.ReportObservationLogRequest{TrialName: "t", ObservationLog: &katibapi.ObservationLog{MetricLogs: []*katibapi.MetricLog{
				{TimeStamp: "0001-01-01T00:00:00Z", Metric: &katibapi.Metric{Name: "loss", Value: "unavailable"}},
				{TimeStamp: "2026-11-24T12:00:00.123456Z", Metric: &katibapi.Metric{Name: "loss", Value: "0.1250"}},
			}}}
			if _, err := client.ReportObservationLog(soon(t), report); err != nil {
				t.Fatal(err)
			}
			log, err := client.GetObservationLog(soon(t), &katibapi.GetObservationLogRequest{TrialName: "t", MetricName: "loss"})
			if err != nil {
				t.Fatal(err)
			}
			if got := log.ObservationLog.String(); got != report.ObservationLog.String() {
				t.Errorf("reported %v, read %v", report, got)
			}
			if _, err := client.DeleteObservationLog(soon(t), &katibapi.DeleteObservationLogRequest{TrialName: "t"}); err != nil {
				t.Fatal(err)
			}
			m.answers("/readyz", http.StatusOK, "ok")
			m.answers("/healthz", http.StatusOK, "ok")
			m.answers("/metrics", http.StatusOK, `katib_stream_dbmanager_call_seconds_count{code="OK",method="ReportObservationLog"} 1`)
			if status := m.finish(); status != statusOK || m.stdout.String() != "" || strings.Contains(m.stderr.String(), ":katib@") {
				t.Errorf("status %d, stdout %q, log\n%s", status, &m.stdout, &m.stderr)
			}
		})
	}
}

func TestDBManagerWithoutNATS(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	ns.Stop()
	m := manage(t, nil, "--server", ns.URL(), "--db", "sqlite:"+t.TempDir()+"/katib.db")
	health, err := grpc_health_v1.NewHealthClient(m.grpc()).Check(soon(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v", health, err)
	}
	m.answers("/readyz", http.StatusServiceUnavailable, "not connected to NATS")
	ns.Start()
	m.answers("/readyz", http.StatusOK, "ok")
}

func TestDBManagerWithoutADatabase(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	for _, migrate := range []string{"--migrate", "--migrate=false"} {
		db := "postgres://katib:" + secret + "@127.0.0.1:1/katib"
		m := start(t, nil, "db-manager", "--listen", "", "--server", ns.URL(), "--db", db, "--connect-timeout", "500ms", migrate)
		if status := m.wait(); status != statusError {
			t.Errorf("status %d", status)
		}
		m.says("the database did not answer within 500ms (--connect-timeout)")
		if strings.Contains(m.stderr.String(), secret) {
			t.Errorf("it tells the password: %s", &m.stderr)
		}
	}
}

func TestDBManagerIsStoppedWhileItWaits(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	m := manage(t, nil, "--server", ns.URL(), "--db", "postgres://katib@127.0.0.1:1/katib")
	m.answers("/readyz", http.StatusServiceUnavailable, "starting")
	if status := m.finish(); status != statusOK {
		t.Errorf("status %d, log\n%s", status, &m.stderr)
	}
}

func TestDBManagerUsage(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"--report never":           `--report is "never", neither persisted nor accepted`,
		"--read never":             `--read is "never", neither complete nor database`,
		"--read-wait 0s":           "--read-wait is 0s; it must be above 0",
		"--read-max 1":             "read max is 1, not 65536 to",
		"--connect-timeout 0s":     "--connect-timeout is 0s, not above 0",
		"--grpc-tls-cert x":        "--grpc-tls-cert and --grpc-tls-key need each other",
		"--grpc-tls-client-ca x":   "--grpc-tls-client-ca needs --grpc-tls-cert",
		"--db nonsense":            "--db: the database URL has no scheme",
		"x":                        `it takes no arguments, but was given "x"`,
		"--server http://nonsense": "is no NATS URL",
	} {
		line := append([]string{"db-manager", "--listen", ""}, strings.Fields(args)...)
		if !strings.Contains(args, "--db") {
			line = append(line, "--db", "sqlite:"+t.TempDir()+"/katib.db")
		}
		failsWith(t, katibStream(t, line...), statusUsage, says)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"katib-stream publish -o json", "publish -o json"},
		{"/app/katib-stream", ""},
		{"./katib-db-manager", "db-manager"},
		{"katib-db-manager -connect-timeout=60s --listen-address 0.0.0.0:6789", "db-manager --connect-timeout=60s --listen-address 0.0.0.0:6789"},
		{"katib-db-manager -listen-address :1 -s nats://n -- -x", "db-manager --listen-address :1 -s nats://n -- -x"},
	} {
		if got := commandLine(strings.Fields(tt.args)); !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s becomes %q", tt.args, got)
		}
	}
}
