package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// execWorld is a NATS server with a consumer behind it, and what `katib-stream exec` is told about them.
type execWorld struct {
	program string
	server  *testserver.NATSServer
	db      *katibdb.DB
	spool   string
}

// newExecWorld makes one whose consumer runs and answers.
func newExecWorld(t testing.TB, program string) execWorld {
	t.Helper()
	w := withoutConsumer(t, program)
	js := connect(t, w.server.URL())
	consume(t, js, w.db, consumer.Config{})
	flushService(t, js, w.db)
	return w
}

func withoutConsumer(t testing.TB, program string) execWorld {
	t.Helper()
	w := execWorld{program: program, server: testserver.NATS(t), spool: t.TempDir()}
	w.db = open(t, "sqlite:"+filepath.Join(t.TempDir(), "katib.db"))
	ensureStreams(t, connect(t, w.server.URL()))
	return w
}

// says is what a command has written so far.
type says struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *says) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *says) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// execution is `katib-stream exec` under way.
type execution struct {
	t           testing.TB
	command     *exec.Cmd
	in          io.WriteCloser
	out, errOut says
}

// start runs a shell script under exec, with flags, for a trial.
func (w execWorld) start(t testing.TB, trial, script string, flags ...string) *execution {
	t.Helper()
	args := append([]string{"exec", "--trial", trial, "--server", w.server.URL(), "--spool", w.spool}, flags...)
	e := &execution{t: t, command: exec.CommandContext(t.Context(), w.program, append(args, "--", "sh", "-c", script)...)}
	e.command.Stdout, e.command.Stderr = &e.out, &e.errOut
	var err error
	if e.in, err = e.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := e.command.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// ends waits for the end, and checks the status and that each of the lines is said on standard error, and none beside.
func (e *execution) ends(status int, lines ...string) {
	e.t.Helper()
	e.endsWith(status)
	said := slices.Collect(strings.Lines(e.errOut.String()))
	if !slices.EqualFunc(said, lines, strings.Contains) {
		e.t.Errorf("it says %q; want lines with %q", said, lines)
	}
}

// endsWith waits for the end, and checks the status.
func (e *execution) endsWith(status int) {
	e.t.Helper()
	_ = e.command.Wait() // the status says it
	if got := e.command.ProcessState.ExitCode(); got != status {
		e.t.Errorf("it ends with %d; want %d; it says %s", got, status, &e.errOut)
	}
}

// release lets a script go on that reads a line.
func (e *execution) release() {
	e.t.Helper()
	if _, err := io.WriteString(e.in, "\n"); err != nil {
		e.t.Fatal(err)
	}
}

func (e *execution) prints(text string) {
	e.t.Helper()
	eventually(e.t, fmt.Sprintf("it prints %q", text), func() bool { return strings.Contains(e.out.String(), text) })
}

// holds checks a trial's rows, in their order, without times.
func (w execWorld) holds(t testing.TB, trial string, want ...string) {
	t.Helper()
	rows, err := w.db.Rows(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, row.Metric+" "+row.Value)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows of %s are %q; want %q", trial, got, want)
	}
}

func (w execWorld) eventuallyHolds(t testing.TB, trial string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d rows of %s are persisted", len(want), trial), func() bool {
		rows, err := w.db.Rows(t.Context(), trial)
		return err == nil && len(rows) >= len(want)
	})
	w.holds(t, trial, want...)
}

// buildProgram builds katib-stream. It looks at the folders itself, so that `go test` knows when an earlier result is old.
func buildProgram(t testing.TB) string {
	t.Helper()
	for _, folder := range []string{"../cmd/katib-stream", "../internal/child", "../internal/metricline"} {
		if _, err := os.ReadDir(folder); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "katib-stream")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/katib-stream").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	return program
}

// What a command prints is in the database when exec ends, once, and the command's end is exec's.
func TestExec(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	for name, test := range map[string]func(*testing.T, string){
		"formats":         testExecFormats,
		"times":           testExecTimes,
		"much":            testExecMuch,
		"files":           testExecFiles,
		"NATS comes":      testExecNATSComes,
		"NATS restarts":   testExecNATSRestarts,
		"NATS stays away": testExecNATSStaysAway,
		"no consumer":     testExecNoConsumer,
		"terminated":      testExecTerminated,
		"nobody reads":    testExecBrokenPipe,
		"killed":          testExecKilled,
		"ranks":           testExecRanks,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, program)
		})
	}
}

func testExecFormats(t *testing.T, program string) {
	w := newExecWorld(t, program)
	tests := map[string]struct {
		script string
		flags  []string
		status int
		rows   []string
		says   []string
	}{
		"text":     {`echo "epoch=1 loss=0.50 lr=3"; echo accuracy=0.9; printf loss=.25; exit 3`, []string{"--metrics", "loss, accuracy"}, 3, []string{"loss 0.50", "accuracy 0.9", "loss .25"}, nil},
		"stderr":   {`echo loss=1 >&2`, []string{"--metrics", "loss"}, 0, []string{"loss 1"}, []string{"loss=1"}},
		"json":     {`echo '{"loss": "0.5", "accuracy": 0.90, "lr": 3}'; echo plain`, []string{"--metrics", "loss,accuracy", "--format", "json"}, 0, []string{"accuracy 0.90", "loss 0.5"}, nil},
		"filters":  {`echo "loss: nan; accuracy -> 1"`, []string{"--metrics", "loss,accuracy", "--filter", `(\w+): (\w+)`, "--filter", `(\w+) -> (\d)`}, 0, []string{"loss nan", "accuracy 1"}, nil},
		"all":      {`echo "a=1 b=x c=2"; echo b=3`, []string{"--all-metrics"}, 0, []string{"a 1", "c 2", "b 3"}, nil},
		"terminal": {`test -t 1 && test -t 2 && echo loss=1`, []string{"--metrics", "loss", "--tty"}, 0, []string{"loss 1"}, nil},
		"unreadable": {
			`echo loss=nan; echo loss=; echo "loss: 3"; echo "loss = high"; echo loss=1`,
			[]string{"--metrics", "loss"},
			0,
			[]string{"loss 1"},
			[]string{`katib-stream: exec: 4 lines looked like metrics and could not be read: "loss=nan", "loss=", "loss: 3"`},
		},
		"missing": {
			`echo "Loss=1 lr=2"`,
			[]string{"--metrics", "loss,accuracy"},
			0, nil,
			[]string{"katib-stream: exec: no value was found for accuracy, loss; the lines had Loss, lr"},
		},
		"none at all": {`echo hello`, []string{"--all-metrics"}, 0, nil, []string{"katib-stream: exec: no metric was found"}},
		"too long": {
			`printf loss=1; head -c 1048576 /dev/zero | tr '\0' x; echo; echo loss=2`,
			[]string{"--metrics", "loss"},
			0,
			[]string{"loss 2"},
			[]string{`katib-stream: exec: 1 line looked like metrics and could not be read: "loss=1xxx`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := "formats-" + strings.ReplaceAll(name, " ", "-")
			w.start(t, trial, tt.script, tt.flags...).ends(tt.status, tt.says...)
			w.holds(t, trial, tt.rows...)
		})
	}
}

func testExecTimes(t *testing.T, program string) {
	w := newExecWorld(t, program)
	began := time.Now()
	w.start(t, "times", `echo "2024-03-04T17:55:08.123456+01:00 loss=1"; echo loss=2; echo loss=3`, "--metrics", "loss").ends(0)
	rows, err := w.db.Rows(t.Context(), "times")
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v, %v", rows, err)
	}
	if want := time.Date(2024, 3, 4, 16, 55, 8, 123_456_000, time.UTC); !rows[0].Time.Equal(want) {
		t.Errorf("the time is %v; want %v", rows[0].Time, want)
	}
	if rows[1].Time.Before(began.Add(-time.Second)) || !rows[2].Time.After(rows[1].Time) || rows[2].Value != "3" {
		t.Errorf("the times that were not told are %v and %v", rows[1].Time, rows[2].Time)
	}
}

// Many metrics on both streams between much other output, which passes through to the byte.
func testExecMuch(t *testing.T, program string) {
	w := newExecWorld(t, program)
	const each = 20_000
	e := w.start(t, "much", `awk 'BEGIN{for(i=1;i<=20000;i++) print "loss=" i}'
		awk 'BEGIN{for(i=1;i<=20000;i++) print "accuracy=" i}' >&2`, "--metrics", "loss,accuracy")
	e.endsWith(0)
	if strings.Count(e.out.String(), "\n") != each || strings.Count(e.errOut.String(), "\n") != each {
		t.Errorf("%d and %d bytes", len(e.out.String()), len(e.errOut.String()))
	}
	found := persistedOf(t, w.db, "much")
	for i := 1; i <= each; i++ {
		if times := found[fmt.Sprint(i)]; times != 2 {
			t.Fatalf("%d is there %d times; want once for each stream", i, times)
		}
	}
	if len(found) != each {
		t.Errorf("there are %d values", len(found))
	}
}

func testExecFiles(t *testing.T, program string) {
	w := newExecWorld(t, program)
	tests := map[string]struct {
		before string
		script string
		rows   []string
	}{
		"appears later":     {"", `sleep 0.3; echo loss=1 > "$F"; echo loss=2 >> "$F"`, []string{"loss 1", "loss 2"}},
		"no newline":        {"", `printf 'loss=1\nloss=2' > "$F"`, []string{"loss 1", "loss 2"}},
		"of an earlier run": {"loss=0\n", `echo loss=1 >> "$F"`, []string{"loss 1"}},
		"truncated":         {"loss=0\nloss=0.0000\n", `sleep 0.3; printf loss=1 > "$F"; sleep 0.5; : > "$F"; sleep 0.5; echo 5 >> "$F"; echo loss=2 >> "$F"`, []string{"loss 1", "loss 2"}},
		"replaced":          {"loss=0\n", `echo loss=1 >> "$F"; printf loss=2 >> "$F"; mv "$F" "$F.1"; sleep 0.5; echo 5 > "$F.2"; echo loss=3 >> "$F.2"; mv "$F.2" "$F"`, []string{"loss 1", "loss 2", "loss 3"}},
		"removed":           {"", `echo loss=1 > "$F"; sleep 0.3; rm "$F"`, []string{"loss 1"}},
		"in pieces":         {"", `printf lo > "$F"; sleep 0.3; printf ss=1 >> "$F"; sleep 0.3; echo 5 >> "$F"`, []string{"loss 15"}},
		"never there":       {"", `true`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial, file := "files-"+strings.ReplaceAll(name, " ", "-"), filepath.Join(t.TempDir(), "metrics.log")
			if tt.before != "" {
				if err := os.WriteFile(file, []byte(tt.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var says []string
			if tt.rows == nil {
				says = []string{"no value was found for loss"}
			}
			w.start(t, trial, "F="+file+`; echo loss=7; `+tt.script, "--metrics", "loss", "--file", file).ends(0, says...)
			w.holds(t, trial, tt.rows...)
		})
	}
	t.Run("two", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		w.start(t, "two", `cd `+dir+`; echo loss=1 > a; sleep 0.3; echo loss=2 > b`, "--metrics", "loss", "--file", filepath.Join(dir, "a"), "--file", filepath.Join(dir, "b")).ends(0)
		w.holds(t, "two", "loss 1", "loss 2")
	})
}

func testExecNATSComes(t *testing.T, program string) {
	w := newExecWorld(t, program)
	w.server.Stop()
	e := w.start(t, "comes", `echo loss=1; read -r line; echo loss=2`, "--metrics", "loss")
	e.prints("loss=1")
	w.server.Start()
	e.release()
	e.endsWith(0) // whether the consumer is back yet is chance
	w.eventuallyHolds(t, "comes", "loss 1", "loss 2")
	if said := e.errOut.String(); strings.Count(said, "NATS is away") != 1 || strings.Contains(said, "stuck") {
		t.Errorf("that NATS was away is worth one line; it says %s", said)
	}
}

func testExecNATSRestarts(t *testing.T, program string) {
	w := newExecWorld(t, program)
	e := w.start(t, "restarts", `echo loss=1; read -r line; echo loss=2`, "--metrics", "loss")
	w.eventuallyHolds(t, "restarts", "loss 1")
	w.server.Stop()
	w.server.Start()
	e.release()
	e.endsWith(0) // whether the consumer is back yet is chance
	w.eventuallyHolds(t, "restarts", "loss 1", "loss 2")
}

func testExecNATSStaysAway(t *testing.T, program string) {
	w := newExecWorld(t, program)
	w.server.Stop()
	flags := []string{"--metrics", "loss", "--flush-timeout", "500ms"}
	left := "katib-stream: exec: undelivered: 2 events not stored: time is up; not connected: nats: server is disconnected; the next start delivers them from " + w.spool
	w.start(t, "away", `echo loss=1; echo loss=2`, flags...).ends(0, "NATS is away", left)
	w.start(t, "away", `echo loss=3; echo loss=4`, append(flags, "--on-undelivered", "fail")...).ends(74, "NATS is away", left)
	w.start(t, "away", `echo loss=5; echo loss=6; exit 9`, append(flags, "--on-undelivered", "fail")...).ends(9, "NATS is away", left)
	w.server.Start()
	w.start(t, "next", `echo loss=7`, "--metrics", "loss").endsWith(0) // whether the consumer is back yet is chance
	w.eventuallyHolds(t, "next", "loss 7")
	w.eventuallyHolds(t, "away", "loss 1", "loss 2", "loss 3", "loss 4", "loss 5", "loss 6")
}

func testExecRanks(t *testing.T, program string) {
	w := newExecWorld(t, program)
	for _, script := range []string{"RANK=0", "RANK=1", "RANK=2 KATIB_STREAM_RANKS=all"} {
		w.rank(t, script)
	}
	w.eventuallyHolds(t, "ranks", "loss 0", "loss 2")
}

// rank runs exec under what a launcher sets, as a command that prints its rank.
func (w execWorld) rank(t *testing.T, environment string) {
	t.Helper()
	script := environment + ` exec "$0" exec --trial ranks --metrics loss -- sh -c 'echo loss=$RANK; exit 4'`
	command := exec.CommandContext(t.Context(), "sh", "-c", script, w.program)
	command.Env = append(os.Environ(), "KATIB_STREAM_SERVERS="+w.server.URL(), "KATIB_STREAM_SPOOL="+w.spool)
	out, err := command.CombinedOutput()
	silent := environment == "RANK=1"
	if command.ProcessState.ExitCode() != 4 || strings.Contains(string(out), "reports nothing") != silent || !strings.Contains(string(out), "loss=") {
		t.Errorf("%s: %v, %s", environment, err, out)
	}
}

func testExecNoConsumer(t *testing.T, program string) {
	w := withoutConsumer(t, program)
	began := time.Now()
	w.start(t, "alone", `echo loss=1`, "--metrics", "loss", "--on-undelivered", "fail").ends(0, "what was sent is stored: time is up; no consumer answers")
	if took := time.Since(began); took < 2*time.Second || took > 15*time.Second {
		t.Errorf("it took %v; want about 2 s", took)
	}
	consume(t, connect(t, w.server.URL()), w.db, consumer.Config{})
	w.eventuallyHolds(t, "alone", "loss 1")
}

// The command has the signal, and what it prints on it is reported.
func testExecTerminated(t *testing.T, program string) {
	w := newExecWorld(t, program)
	e := w.start(t, "terminated", `trap 'echo loss=2; exit 5' TERM; echo loss=1; while :; do sleep 0.05; done`, "--metrics", "loss")
	e.prints("loss=1")
	if err := e.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	e.ends(5)
	w.holds(t, "terminated", "loss 1", "loss 2")
	w.start(t, "terminated", `echo loss=3; kill -KILL $$`, "--metrics", "loss").ends(128 + 9)
	w.holds(t, "terminated", "loss 1", "loss 2", "loss 3")
}

// Nobody takes the output any more, not even what exec says, and still all of it is reported.
func testExecBrokenPipe(t *testing.T, program string) {
	w := newExecWorld(t, program)
	shell := exec.CommandContext(t.Context(), "sh", "-c", `{ "$0" "$@"; echo "status $?" >&3; } 2>&1 | head -n 1`, program,
		"exec", "--trial", "pipe", "--server", w.server.URL(), "--spool", w.spool, "--metrics", "loss,accuracy", "--",
		"sh", "-c", `trap '' PIPE; echo loss=1; while echo y 2>/dev/null; do :; done; exit 6`)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.ExtraFiles = []*os.File{write}
	text, err := shell.Output()
	write.Close()
	status := make([]byte, 100)
	n, _ := read.Read(status)
	if string(text) != "loss=1\n" || err != nil || string(status[:n]) != "status 6\n" {
		t.Errorf("%q, %v, %q", text, err, status[:n])
	}
	w.holds(t, "pipe", "loss 1")
}

// exec itself is killed: what it read is in the spool or further on, and the next one delivers it.
func testExecKilled(t *testing.T, program string) {
	w := newExecWorld(t, program)
	w.server.Stop()
	e := w.start(t, "killed", `echo loss=1; echo loss=2; while :; do sleep 0.05; echo alive; done`, "--metrics", "loss")
	e.prints("alive")
	if err := e.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = e.command.Wait()
	w.server.Start()
	w.start(t, "next", `echo loss=7`, "--metrics", "loss").endsWith(0)
	w.eventuallyHolds(t, "killed", "loss 1", "loss 2")
}
