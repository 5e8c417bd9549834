package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestExecUsage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	tests := map[string]struct {
		args []string
		env  map[string]string
		says string
	}{
		"no command":           {[]string{"--trial", "t", "--metrics", "loss"}, nil, "exec: no command is given; it comes after --; see `katib-stream exec --help`"},
		"nothing after --":     {[]string{"--trial", "t", "--metrics", "loss", "--"}, nil, "no command is given"},
		"no trial":             {[]string{"--metrics", "loss", "true"}, nil, "no trial is given: set KATIB_TRIAL_NAME, as Katib does in the pods of a Trial, or --trial"},
		"a trial's name":       {[]string{"--trial", "A", "--metrics", "loss", "true"}, nil, `the trial name "A" is no Kubernetes name`},
		"a namespace":          {[]string{"--trial", "t", "--namespace", "A", "--metrics", "loss", "true"}, nil, `the namespace "A" is no Kubernetes name`},
		"no metrics":           {[]string{"--trial", "t", "true"}, nil, "--metrics loss,accuracy says which metrics are kept, as the Experiment's objective names them; --all-metrics keeps all"},
		"only commas":          {[]string{"--trial", "t", "--metrics", " ,", "true"}, nil, "--metrics loss,accuracy says which metrics are kept"},
		"metrics, and all":     {[]string{"--trial", "t", "--metrics", "loss", "--all-metrics", "true"}, nil, "--metrics and --all-metrics exclude each other"},
		"a format":             {[]string{"--trial", "t", "--metrics", "loss", "--format", "TEXT", "true"}, nil, `the format is "TEXT", neither text nor json`},
		"a filter":             {[]string{"--trial", "t", "--metrics", "loss", "--filter", "(", "true"}, nil, `filter "(" is no regular expression`},
		"a filter's groups":    {[]string{"--trial", "t", "--metrics", "loss", "--filter", "(a)", "true"}, nil, `filter "(a)" has too few groups, 1; it needs one for the name and one for the value`},
		"a filter beside json": {[]string{"--trial", "t", "--metrics", "loss", "--format", "json", "--filter", "(a)=(b)", "true"}, nil, "filters are for the text format"},
		"a folder for a file":  {[]string{"--trial", "t", "--metrics", "loss", "--spool", "none", "--file", folder, "true"}, nil, "--file " + folder + " is no regular file"},
		"undelivered":          {[]string{"--trial", "t", "--metrics", "loss", "--on-undelivered", "ignore", "true"}, nil, `--on-undelivered is "ignore", neither warn nor fail`},
		"ranks":                {[]string{"--trial", "t", "--metrics", "loss", "--ranks", "1", "true"}, nil, `--ranks is "1", neither 0 nor all`},
		"no time to flush":     {[]string{"--trial", "t", "--metrics", "loss", "--flush-timeout", "-1s", "true"}, nil, "--flush-timeout is -1s, less than 0"},
		"an unknown flag":      {[]string{"--trail", "t", "true"}, nil, "unknown flag: --trail"},
		"a server":             {[]string{"--trial", "t", "--metrics", "loss", "--server", "http://x", "true"}, nil, "server http://x is no NATS URL"},
		"by the environment":   {[]string{"true"}, map[string]string{"KATIB_TRIAL_NAME": "t", "KATIB_STREAM_METRICS": "loss", "KATIB_STREAM_ON_UNDELIVERED": "x"}, `--on-undelivered is "x"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStreamWith(t, tt.env, "", append([]string{"exec"}, tt.args...)...), statusUsage, "katib-stream: exec: ", tt.says)
		})
	}
}

// execProcess runs exec in a process of its own.
func execProcess(t testing.TB, url string, args ...string) *running {
	t.Helper()
	return startProcess(t, nil, append([]string{"exec", "--trial", "t", "--server", url, "--spool", t.TempDir()}, args...)...)
}

// What comes after the command's name is the command's, with and without --.
func TestExecLeavesTheCommandItsFlags(t *testing.T) {
	t.Parallel()
	ns, _ := withStreams(t)
	for name, args := range map[string][]string{
		"without --": {"--metrics", "loss", "echo", "--metrics", "x", "--help", "--", "-t"},
		"with --":    {"--metrics", "loss", "--", "echo", "--metrics", "x", "--help", "--", "-t"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execProcess(t, ns.URL(), args...)
			if status := r.wait(); status != statusOK || r.stdout.String() != "--metrics x --help -- -t\n" || r.stderr.String() != "katib-stream: exec: no value was found for loss\n" {
				t.Errorf("status %d: %s%s", status, &r.stdout, &r.stderr)
			}
		})
	}
}

func TestExecNotStarted(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		command string
		status  int
		says    string
	}{
		"not there":      {"no-such-command", 127, "katib-stream: exec: run no-such-command: executable file not found in $PATH\n"},
		"not executable": {plain, 126, "katib-stream: exec: run " + plain + ": permission denied\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execProcess(t, "nats://"+freeAddress(t), "--metrics", "loss", "--log-level", "error", tt.command)
			if status := r.wait(); status != tt.status || r.stderr.String() != tt.says || r.stdout.String() != "" {
				t.Errorf("status %d: %s%s", status, &r.stdout, &r.stderr)
			}
		})
	}
}

// Nobody can be asked whether it is persisted: it is stored, and one line says so.
func TestExecMayNotFlush(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, map[string]*server.Permissions{"writer": {Publish: &server.SubjectPermission{Deny: []string{"katib.flush.>"}}}})
	began := time.Now()
	r := execProcess(t, urlOf("writer"), "--metrics", "loss", "--on-undelivered", "fail", "--log-level", "error", "echo", "loss=1")
	const says = "what was sent is stored: not permitted to publish to katib.flush.default.t"
	if status := r.wait(); status != statusOK || !strings.Contains(r.stderr.String(), says) || strings.Count(r.stderr.String(), "\n") != 1 {
		t.Errorf("status %d: %s", status, &r.stderr)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A stream that refuses leaves the command its end, and exec its own.
func TestExecWithoutAStream(t *testing.T) {
	t.Parallel()
	r := execProcess(t, withoutJetStream(t), "--metrics", "loss", "--flush-timeout", "300ms", "--spool", "none", "--log-level", "error", "echo", "loss=1")
	if status := r.wait(); status != statusOK || !strings.Contains(r.stderr.String(), "katib-stream: exec: undelivered: 1 event not stored: ") || strings.Count(r.stderr.String(), "\n") != 1 {
		t.Errorf("status %d: %s", status, &r.stderr)
	}
}
