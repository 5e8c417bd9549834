package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestReach(t *testing.T) {
	const secret = "s3cret"
	url := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "me", Password: secret}}}).URL()
	mine := strings.Replace(url, "//", "//me:"+secret+"@", 1)
	tests := map[string]struct {
		servers string
		status  Status
		says    string
	}{
		"it answers":       {mine, OK, "answers (testserver, version 2."},
		"one of two":       {"nats://127.0.0.1:1," + mine, Warn, "nobody answers"},
		"nobody":           {"nats://127.0.0.1:1", Fail, "nobody answers"},
		"a wrong password": {strings.Replace(mine, secret, "wrong", 1), Fail, "refuses us"},
		"no such host":     {"nats://me:" + secret + "@nowhere.invalid", Fail, "nowhere.invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := run(t, configFor(tt.servers))
			wants(t, report, "server", tt.status, tt.says)
			if tt.status == Fail {
				wants(t, report, "everything else of NATS", Skip, "not reachable")
			}
			if strings.Contains(lines(report), secret) {
				t.Errorf("it tells the password\n%s", lines(report))
			}
		})
	}
	if _, err := Run(t.Context(), Config{NATS: natsconn.Config{Servers: "http://x"}}); err == nil {
		t.Error("a server that is no URL of NATS is taken")
	}
}

func TestMaxPayload(t *testing.T) {
	for largest, status := range map[int32]Status{1 << 20: OK, 8 << 20: OK, 512 << 10: Warn, 64 << 10: Fail} {
		url := testserver.NATSWith(t, testserver.NATSOptions{MaxPayload: largest}).URL()
		wants(t, run(t, configFor(url)), "max payload", status, " bytes")
	}
}

func TestServerVersions(t *testing.T) {
	for version, status := range map[string]Status{
		"2.15.2": OK, "2.15.3": OK, "2.16.0": OK, "3.0.0": OK, "2.14.5": OK, "2.12.15": OK, "2.15.2-RC.1": OK, "2.15.1": Warn, "2.14.3": Warn,
		"2.14.4": Fail, "2.12.14": Fail, "2.13.99": Warn, "2.10.29": Warn, "1.4.1": Warn, "": Warn,
	} {
		var v visit
		v.judgeVersion(version)
		if got := v.report.Findings[0].Status; got != status {
			t.Errorf("%q is %s, want %s", version, got, status)
		}
	}
}

// account starts a server with one account, whose JetStream may do what limits say; nil is none.
func account(t *testing.T, limits *server.JetStreamAccountLimits) (url string) {
	t.Helper()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("NATS does not start")
	}
	if limits == nil {
		if err := ns.GlobalAccount().DisableJetStream(); err != nil {
			t.Fatal(err)
		}
	} else if err := ns.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": *limits}); err != nil {
		t.Fatal(err)
	}
	return ns.ClientURL()
}

func TestAccount(t *testing.T) {
	url := account(t, nil)
	report := run(t, configFor(url))
	wants(t, report, "account", Fail, "has no JetStream")
	if report.Count(Fail) != 1 {
		t.Errorf("one thing is wrong\n%s", lines(report))
	}
	limits := server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: 100 << 20, MaxStreams: -1, MaxConsumers: 1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
	url = account(t, &limits)
	cfg := configFor(url)
	cfg.Streams.MaxBytes = 200 << 20
	report = run(t, cfg)
	wants(t, report, "account", OK, "0 B of 100 MiB are taken")
	wants(t, report, schema.Stream, Fail, "the account has room for 100 MiB, the stream wants 200 MiB")
	three := cfg
	three.Streams.Replicas = 3
	wants(t, run(t, three), schema.Stream, Fail, "the account has room for 33 MiB")
	cfg.Fix = true
	if report = run(t, cfg); report.Unfixed() == 0 {
		t.Errorf("a stream was made that has no room\n%s", lines(report))
	}
	limits.MaxStore = 200 << 20
	url = account(t, &limits)
	made(t, connect(t, url))
	report = run(t, configFor(url))
	wants(t, report, "account", OK, "128 MiB of 200 MiB are taken or reserved")
	wants(t, report, "account", Fail, "it has 1 of 1 consumers")
}

func TestClocks(t *testing.T) {
	for skew, status := range map[time.Duration]Status{0: OK, 900 * time.Millisecond: OK, 1100 * time.Millisecond: OK, 1300 * time.Millisecond: Warn, -time.Minute: Warn} {
		var v visit
		v.judgeClock("NATS", skew, 400*time.Millisecond)
		if got := v.report.Findings[0].Status; got != status {
			t.Errorf("a skew of %v is %s, want %s", skew, got, status)
		}
	}
	now := clockNow()
	if skew, trip := now.skew(time.Now().Add(time.Hour)); skew < 59*time.Minute || skew > 61*time.Minute || trip <= 0 {
		t.Errorf("a clock that is an hour ahead is %v ahead, after %v", skew, trip)
	}
}
