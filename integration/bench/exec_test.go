package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// execBench is what `katib-stream exec` is run with.
type execBench struct{ program, server, spool string }

func (e execBench) command(b *testing.B, args ...string) *exec.Cmd {
	b.Helper()
	own := []string{"exec", "--trial", "bench", "--server", e.server, "--spool", e.spool, "--metrics", "loss", "--log-level", "error"}
	command := exec.CommandContext(b.Context(), e.program, append(append(own, "--"), args...)...)
	command.Stderr = b.Output()
	return command
}

// BenchmarkExec measures what `katib-stream exec` costs a command: how much output passes through it a second, beside cat
// in its place, and how much later a command ends under it.
func BenchmarkExec(b *testing.B) {
	db := open(b, "sqlite:"+filepath.Join(b.TempDir(), "katib.db"))
	defer db.Close()
	nats := testserver.NATS(b)
	serveKatib(b, connect(b, nats.URL()), db)
	e := execBench{program: build(b), server: nats.URL(), spool: b.TempDir()}
	for _, kind := range []struct {
		name      string
		megabytes int
		every     int // line has a metric; 0 for none
	}{{"no metric", 512, 0}, {"a metric in every 100th line", 256, 100}, {"a metric in every line", 32, 1}} {
		file := e.print(b, kind.megabytes, kind.every)
		b.Run("through cat/"+kind.name, func(b *testing.B) {
			measurePassed(b, kind.megabytes, exec.CommandContext(b.Context(), "sh", "-c", `cat "$0" | cat`, file))
		})
		b.Run("through exec/"+kind.name, func(b *testing.B) { measurePassed(b, kind.megabytes, e.command(b, "cat", file)) })
	}
	for name, script := range map[string]string{"nothing reported": "sleep 1", "one event": "echo loss=1; sleep 1"} {
		b.Run("end/"+name, func(b *testing.B) { e.measureEnd(b, script) })
	}
}

// print makes a file of lines of 100 bytes.
func (e execBench) print(b *testing.B, megabytes, every int) string {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "output"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	for i := range megabytes * 10_000 {
		line := fmt.Sprintf("2026-11-24 12:00:00 INFO trainer.py:42 batch %d of many was seen in 0.1234 s", i)
		if every > 0 && i%every == 0 {
			line = fmt.Sprintf("2026-11-24 12:00:00 INFO trainer.py:42 epoch=1 batch=%d loss=0.%06d", i, i%1_000_000)
		}
		fmt.Fprintf(w, "%-99s\n", line)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return file.Name()
}

// measurePassed reads all that a command prints, and says how fast that was, and how long the command took to end then:
// exec is done when everything is in the database.
func measurePassed(b *testing.B, megabytes int, command *exec.Cmd) {
	b.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, out, int64(megabytes)*1_000_000); err != nil {
		b.Fatalf("after %d bytes: %v", n, err)
	}
	took := time.Since(began)
	if err := command.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op") // says nothing here
	b.ReportMetric(float64(megabytes)/took.Seconds(), "MB/s")
	b.ReportMetric(float64(time.Since(began)-took)/float64(time.Second), "s-until-end")
}

// measureEnd runs a command bare and under exec in turn, and says by how much later it ends, at the median.
func (e execBench) measureEnd(b *testing.B, script string) {
	b.Helper()
	const runs = 9
	var bare, under []time.Duration
	for range runs {
		bare = append(bare, duration(b, exec.CommandContext(b.Context(), "sh", "-c", script)))
		under = append(under, duration(b, e.command(b, "sh", "-c", script)))
	}
	b.ReportMetric(0, "ns/op") // says nothing here
	slices.Sort(bare)
	slices.Sort(under)
	b.ReportMetric(float64(under[runs/2]-bare[runs/2])/float64(time.Millisecond), "ms-later")
}

func duration(b *testing.B, command *exec.Cmd) time.Duration {
	b.Helper()
	began := time.Now()
	if err := command.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
