package producer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	tests := []struct {
		name  string
		trial string // the environment's
		cfg   Config
		want  string // in the error
	}{
		{"the environment's trial", "from-katib", Config{Namespace: "ns"}, ""},
		{"no trial", "", Config{Namespace: "ns"}, "KATIB_TRIAL_NAME"},
		{"bad trial", "", Config{Namespace: "ns", Trial: "My_Trial"}, `trial name "My_Trial"`},
		{"bad namespace", "", Config{Namespace: "no/good", Trial: "t"}, `namespace "no/good"`},
		{"negative", "", Config{Namespace: "ns", Trial: "t", AckWait: -1}, "AckWait is -1"},
		{"no wait for the buffer", "", Config{Namespace: "ns", Trial: "t", BufferWait: -1}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(trialVariable, test.trial)
			got, err := test.cfg.withDefaults()
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Trial == "" || got.BatchEvents != 1000 || got.BatchBytes != 256<<10 || got.BatchWait != 100*time.Millisecond ||
				got.BufferBytes != 64<<20 || got.BufferWait == 0 || got.MaxInFlight != 64 || got.AckWait != 10*time.Second || got.Logger == nil {
				t.Errorf("defaults: %+v", got)
			}
		})
	}
	if _, err := New(nil, Config{Trial: "t"}); err == nil {
		t.Error("a producer without a connection")
	}
}

func TestPodNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespace")
	if got, err := podNamespace(file); got != "default" || err != nil {
		t.Errorf("outside of a pod: %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("team-a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := podNamespace(file); got != "team-a" || err != nil {
		t.Errorf("inside of a pod: %q, %v", got, err)
	}
	if _, err := podNamespace(t.TempDir()); err == nil {
		t.Error("an unreadable file passes for outside of a pod")
	}
}
