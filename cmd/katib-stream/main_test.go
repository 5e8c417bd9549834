package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// envProgram in its environment makes the test binary katib-stream itself, so that a test can send it signals.
const envProgram = "KATIB_STREAM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(envProgram) != "" {
		main()
	}
	forgetEnvironment()
	_ = flag.Set("test.parallel", "6") // most of the time the tests wait; the command line still wins
	os.Exit(testserver.Run(m))
}

// forgetEnvironment keeps what the developer's shell says about servers and databases out of the tests.
func forgetEnvironment() {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		ours := strings.HasPrefix(name, "KATIB_") && !strings.HasPrefix(name, "KATIB_STREAM_TEST_")
		if ours || strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "DB_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(os.TempDir(), "katib-stream-test-has-no-contexts"))
}

const patience = 60 * time.Second

// eventually polls until done is true, and fails the test when that takes longer than patience.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
