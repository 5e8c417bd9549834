package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/katibdb"
)

// TestDemoFindsWhatIsWrong spoils a trial's rows in a real database, in each way that there is.
func TestDemoFindsWhatIsWrong(t *testing.T) {
	const first = "trial_name = 'digits-01' AND metric_name = 'loss' AND value = '0.5'"
	tests := map[string]struct {
		spoil string
		want  comparison
	}{
		"nothing":           {"SELECT 1", comparison{Rows: 4}},
		"a lost row":        {"DELETE FROM observation_logs WHERE " + first, comparison{Rows: 3, Lost: 1}},
		"a doubled row":     {"INSERT INTO observation_logs (trial_name, time, metric_name, value) SELECT trial_name, time, metric_name, value FROM observation_logs WHERE " + first, comparison{Rows: 5, Doubled: 1}},
		"another value":     {"UPDATE observation_logs SET value = '0.50' WHERE " + first, comparison{Rows: 4, Altered: 1}},
		"another time":      {"UPDATE observation_logs SET time = '2026-11-24 12:00:00.123457' WHERE " + first, comparison{Rows: 4, Altered: 1}},
		"a foreign row":     {"INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('digits-01', '2026-11-24 12:00:09.000000', 'f1', '1')", comparison{Rows: 5, Unexpected: 1}},
		"another trial's":   {"UPDATE observation_logs SET trial_name = 'digits-02' WHERE " + first, comparison{Rows: 3, Lost: 1}},
		"two other values":  {"UPDATE observation_logs SET value = value || '0' WHERE metric_name = 'loss'", comparison{Rows: 4, Altered: 2}},
		"a second value":    {"INSERT INTO observation_logs (trial_name, time, metric_name, value) SELECT trial_name, time, metric_name, '7' FROM observation_logs WHERE " + first, comparison{Rows: 5, Unexpected: 1}},
		"all rows are gone": {"DELETE FROM observation_logs", comparison{Lost: 4}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg, err := katibdb.ParseURL("sqlite:" + filepath.Join(dir, "katib.db"))
			if err != nil {
				t.Fatal(err)
			}
			db, err := katibdb.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			trial := &demoTrial{Name: "digits-01", notes: filepath.Join(dir, "notes")}
			var noted strings.Builder
			for _, metrics := range []string{"0.5", "0.25"} {
				// The nanoseconds are cut off, not rounded.
				fmt.Fprintf(&noted, `{"time":"2026-11-24T12:00:00.1234569Z","step":1,"metrics":{"loss":%q,"accuracy":"0.9"}}`+"\n", metrics)
				for _, row := range []string{"'loss', '" + metrics + "'", "'accuracy', '0.9'"} {
					if _, err := db.SQL().ExecContext(t.Context(), "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ('digits-01', '2026-11-24 12:00:00.123456', "+row+")"); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := os.WriteFile(trial.notes, []byte(noted.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := db.SQL().ExecContext(t.Context(), tt.spoil); err != nil {
				t.Fatal(err)
			}
			if _, err := trial.check(t.Context(), db.SQL()); err != nil || trial.comparison != tt.want {
				t.Errorf("%+v, %v; want %+v", trial.comparison, err, tt.want)
			}
		})
	}
}

func TestDemoVerdict(t *testing.T) {
	tests := map[string]struct {
		result demoResult
		want   string // part of the error, "" for none
	}{
		"as promised":   {demoResult{Killed: true, Redeliveries: 1}, ""},
		"lost":          {demoResult{Killed: true, Redeliveries: 1, comparison: comparison{Lost: 1}}, "lost"},
		"doubled":       {demoResult{Killed: true, Redeliveries: 1, comparison: comparison{Doubled: 1}}, "doubled"},
		"altered":       {demoResult{Killed: true, Redeliveries: 1, comparison: comparison{Altered: 1}}, "altered"},
		"unexpected":    {demoResult{Killed: true, Redeliveries: 1, comparison: comparison{Unexpected: 1}}, "nobody reported"},
		"not killed":    {demoResult{Redeliveries: 1}, "not killed"},
		"no redelivery": {demoResult{Killed: true}, "no redelivery"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.result.judge()
			err := tt.result.verdict()
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("verdict %v; want %q", err, tt.want)
			}
		})
	}
}

// TestDemo runs the whole demo with few steps, and then without the kill, of which it has to say that it shows nothing.
func TestDemo(t *testing.T) {
	program, trainer := buildPrograms(t)
	for name, killAt := range map[string]int{"with the kill": 2, "without the kill": 0} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr output
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, log: slog.New(slog.DiscardHandler)}
			dir := filepath.Join(t.TempDir(), "demo")
			err := a.demo(t.Context(), demoOptions{
				dir: dir, trialCount: 8, steps: 300, parallel: 2, seed: 1, output: cli.JSON, program: program, trainer: trainer, killAt: killAt,
			})
			var result demoResult
			if jsonErr := json.Unmarshal([]byte(stdout.String()), &result); jsonErr != nil {
				t.Fatalf("%v: %v\n%s\n%s", err, jsonErr, stdout.String(), stderr.String())
			}
			clean := result.Lost+result.Doubled+result.Altered+result.Unexpected == 0 && result.Events == 8*300 && result.Rows == 2*8*300
			if !clean {
				t.Errorf("not each event is there once: %s", stdout.String())
			}
			if killed := killAt > 0; killed != (err == nil) || killed != (result.Redeliveries > 0) || killed != result.Passed {
				t.Errorf("error %v, %d redeliveries, passed %v", err, result.Redeliveries, result.Passed)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) { interruptDemo(t, program) })
}

// interruptDemo interrupts a demo when all kinds of its processes run, and demands that nothing is left of it.
func interruptDemo(t *testing.T, program string) {
	temporary := t.TempDir()
	command := exec.Command(program, "demo", "--steps", "100000")
	command.Env = append(os.Environ(), "TMPDIR="+temporary)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // by the group its processes can be found
	r := startCommand(t, command)
	group := -r.process.Pid
	t.Cleanup(func() { _ = syscall.Kill(group, syscall.SIGKILL) }) // for a demo that leaves some
	eventually(t, "the second consumer is up", func() bool { return strings.Contains(r.stdout.String(), "another consumer is up") })

	r.signal(syscall.SIGINT)
	if status := r.wait(); status != statusError || !strings.HasPrefix(r.stderr.String(), "katib-stream: demo: interrupted") {
		t.Errorf("status %d, %s", status, &r.stderr)
	}
	if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("processes are left: %v", err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// buildPrograms builds this program and the trainer: the demo's processes are to be the real ones.
func buildPrograms(t *testing.T) (program, trainer string) {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", dir, ".", "../../examples/digits")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "katib-stream"), filepath.Join(dir, "digits")
}

func TestDemoSaysWhatItNeeds(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	trainer, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no trainer":         {[]string{"--trainer", filepath.Join(full, "none")}, statusError, "make build"},
		"a folder in use":    {[]string{"--trainer", trainer, "--dir", full}, statusUsage, "not empty"},
		"too few trials":     {[]string{"--trials", "7"}, statusUsage, "--trials is 7"},
		"no steps":           {[]string{"--steps", "0"}, statusUsage, "--steps is 0"},
		"nothing in between": {[]string{"--parallel", "0"}, statusUsage, "--parallel is 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if r := katibStream(t, append([]string{"demo"}, tt.args...)...); r.status != tt.status || !strings.Contains(r.stderr, tt.want) {
				t.Errorf("%v; want status %d and %q", r, tt.status, tt.want)
			}
		})
	}
}

func TestDemoPrintsOn80Columns(t *testing.T) {
	trial := &demoTrial{Name: "digits-10", hyperparameters: hyperparameters{0.00617, 64, 48}, Best: 0.981, Last: 0.975, Events: 2000, comparison: comparison{Rows: 4000}}
	r := demoResult{Passed: true, Killed: true, Redeliveries: 6, Duplicates: 5, Trials: []*demoTrial{trial}, Best: trial.Name, Events: 2000, comparison: trial.comparison}
	for i := range 2000 {
		r.curve = append(r.curve, float64(i)/2000)
	}
	var out strings.Builder
	if err := (&app{stdout: &out}).printDemo(r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if width := len([]rune(strings.TrimRight(line, "\n"))); width > 80 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}
