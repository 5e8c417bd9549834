package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/internal/doctor"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// TestDoctor looks at a deployment that is fresh, mends it, and breaks it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			url, db := testserver.NATS(t).URL(), database.Fresh(t)
			args := []string{"doctor", "--server", url, "--db", db}
			fresh := katibStream(t, args...)
			if fresh.status != statusError || fresh.stderr != "" || strings.Contains(fresh.stdout, ":katib@") {
				t.Errorf("a fresh deployment: %v", fresh)
			}
			for _, line := range []string{
				"\nJetStream\n", "\n  FAIL  KATIB_METRICS ", " -> katib-stream doctor --fix: make the streams that are missing\n", "\ndatabase\n",
			} {
				if !strings.Contains(fresh.stdout, line) {
					t.Errorf("it does not say %q:\n%s", line, fresh.stdout)
				}
			}
			fixed := katibStream(t, append(args, "--fix")...)
			if fixed.status != statusOK || !strings.HasPrefix(fixed.stdout, "done: make the streams that are missing\n") || strings.Contains(fixed.stdout, "FAIL") {
				t.Errorf("with --fix: %v", fixed)
			}
			if again := katibStream(t, args...); again.status != statusOK || strings.Contains(again.stdout, "done: ") {
				t.Errorf("after --fix: %v", again)
			}
			if strict := katibStream(t, append(args, "--strict")...); strict.status != statusError { // no consumer runs
				t.Errorf("with --strict: %v", strict)
			}
			start(t, nil, "consumer", "--server", url, "--db", db, "--listen", "")
			eventually(t, "a consumer runs, and nothing is wrong", func() bool { return katibStream(t, append(args, "--strict")...).status == statusOK })
		})
	}
}

func TestDoctorAsJSON(t *testing.T) {
	t.Parallel()
	_, js := withStreams(t)
	got := katibStream(t, "doctor", "--server", js.Conn().ConnectedUrl(), "-o", "json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.status != statusError {
		t.Fatalf("%v, %v", err, got)
	}
	if report.Count(doctor.Fail) != 1 || report.Count(doctor.Skip) == 0 {
		t.Errorf("want no consumer, and no database, got %s", got.stdout)
	}
}

func TestDoctorWithoutADatabase(t *testing.T) {
	t.Parallel()
	got := katibStream(t, "doctor", "--server", "127.0.0.1:1")
	if got.status != statusError || !strings.Contains(got.stdout, "no database is given with --db or Katib's variables") {
		t.Errorf("%v", got)
	}
}

// TestDoctorOfAFileThatMustNotBeWritten runs as a user who may only read it.
func TestDoctorOfAFileThatMustNotBeWritten(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "katib-doctor-") // a test's own folder is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "katib.db")
	if got := katibStream(t, "migrate", "--db", "sqlite:"+path); got.status != statusOK {
		t.Fatal(got)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode os.FileMode // of the folder
		says string
	}{{0o555, "attempt to write a readonly database"}, {0o777, "it takes none: "}} { // the second leaves a file there
		if err := os.Chmod(folder, tt.mode); err != nil {
			t.Fatal(err)
		}
		r := startUnprivileged(t, "doctor", "--server", "127.0.0.1:1", "--db", "sqlite:"+path)
		if status := r.wait(); status != statusError || !strings.Contains(r.stdout.String(), tt.says) {
			t.Errorf("in a folder of mode %o: status %d\n%s%s", tt.mode, status, &r.stdout, &r.stderr)
		}
	}
}

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"--role king":           `--role is "king", none of consumer, db-manager, producer, reader`,
		"--timeout 0s":          "--timeout is 0s, not above 0",
		"--namespace A":         `the namespace "A" is no Kubernetes name`,
		"--replicas 0":          "must be above 0",
		"--replicas 9":          "replicas is 9, not 1 to 5",
		"--stream-max-bytes 1":  "must be at least 2097152",
		"--db oracle://x":       `unknown database "oracle"`,
		"--server http://h":     "is no NATS URL",
		"--fix everything":      "it takes no arguments",
		"--strict=maybe":        "neither true nor false",
		"--context no-such-one": `context "no-such-one"`,
	} {
		failsWith(t, katibStream(t, append([]string{"doctor"}, strings.Fields(args)...)...), statusUsage, "katib-stream: doctor: ", says)
	}
}
